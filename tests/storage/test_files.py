"""Files are whole or not there, whatever happens in between."""

import os
import stat

import pytest

from regard.storage.files import written_whole


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, "old contents"])
def test_a_failed_write_leaves_what_was_there(tmp_path, error, old):
    path = tmp_path / "file.txt"
    if old is not None:
        path.write_text(old)

    def fail():
        with written_whole(path) as file:
            file.write("half of the new con")
            file.flush()
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == ([] if old is None else ["file.txt"])
    assert old is None or path.read_text() == old


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with written_whole(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_the_new_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    done, replace, fsync = [], os.replace, os.fsync
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths))[1])
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("fsync"), fsync(handle))[1])
    with written_whole(tmp_path / "file.txt") as file:
        file.write("x")
    assert done == ["fsync", "replace", "fsync"]  # the file, its name, the folder


def test_text_is_utf8_with_plain_line_ends_and_bytes_stay_bytes(tmp_path):
    with written_whole(tmp_path / "text") as file:
        file.write("März\n")
    with written_whole(tmp_path / "bytes", "wb") as file:
        file.write(b"\x00\r\n")
    assert (tmp_path / "text").read_bytes() == "März\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\x00\r\n"


def test_folders_are_made_and_the_usual_rights_are_given(tmp_path):
    mask = os.umask(0o027)
    try:
        with written_whole(tmp_path / "new" / "folder" / "file") as file:
            file.write("x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new" / "folder" / "file").stat().st_mode) == 0o640

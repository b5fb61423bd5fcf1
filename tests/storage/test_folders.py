"""Folders of arrays which are whole or not there."""

import pytest

from regard.storage.folders import MANIFEST, write_folder


def write(place):
    (place / "ids").write_bytes(b"\0\1")
    return {"skipped": {}}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["train", "part [1]", "*", "a?"])
def test_what_a_killed_builder_left_is_removed_and_nothing_of_others(tmp_path, name):
    for left in (f".{name}.1.partial", ".b.2.partial"):
        (tmp_path / left).mkdir()
    write_folder(tmp_path / name, write, "")
    assert files(tmp_path) == sorted([f".{name}.lock", ".b.2.partial", name])
    assert files(tmp_path / name) == ["ids", MANIFEST]


def test_another_folder_is_not_overwritten(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ValueError, match="is no store, and is not overwritten; choose another folder"):
        write_folder(tmp_path, write, "")
    assert files(tmp_path) == ["notes"]

"""Named tensors come back bit by bit, or not at all."""

import io
import json
import pickle
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from regard.storage.weights import read_tensors, write_tensors

TENSORS = {
    "b.weight": torch.arange(6, dtype=torch.float32).view(2, 3),
    "a": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "scalar": torch.tensor(3.0, dtype=torch.float64),
    "empty": torch.zeros(0, 4),
    "steps": torch.tensor([1, 2, 3]),
}


@pytest.fixture
def path(tmp_path):
    write_tensors(tmp_path / "weights.safetensors", TENSORS)
    return tmp_path / "weights.safetensors"


def header(path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def rewrite(path, about: dict, data: bytes):
    text = json.dumps(about).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_tensors_come_back_as_they_were(path):
    again = read_tensors(path)
    assert again.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert again[name].dtype is tensor.dtype
        assert again[name].shape == tensor.shape
        assert torch.equal(again[name], tensor)


def test_other_readers_of_safetensors_read_the_same(path):
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("b.weight"), TENSORS["b.weight"])


def test_views_and_parameters_are_written_by_their_values(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    tensors = {"turned": whole.T, "slice": whole[:, 1:3], "parameter": torch.nn.Parameter(whole)}
    write_tensors(tmp_path / "x.safetensors", tensors)
    for name, tensor in read_tensors(tmp_path / "x.safetensors").items():
        assert torch.equal(tensor, tensors[name])


def test_files_of_others_are_read_without_a_digest(tmp_path):
    save_file({"a": torch.ones(3)}, tmp_path / "x.safetensors")
    assert torch.equal(read_tensors(tmp_path / "x.safetensors")["a"], torch.ones(3))


def test_a_file_cut_short_anywhere_is_refused(path):
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"weights\.safetensors is cut short or is not a safetensors file"):
            read_tensors(path)


def test_no_flipped_bit_changes_a_tensor_unseen(path):
    content, refused = path.read_bytes(), 0
    for place in range(len(content)):
        flipped = content[place] ^ (1 << (place % 8))
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        try:
            again = read_tensors(path)
        except ValueError:
            refused += 1
            continue
        assert again.keys() == TENSORS.keys()
        assert all(torch.equal(again[name], tensor) for name, tensor in TENSORS.items())
    data = sum(tensor.nbytes for tensor in TENSORS.values())
    assert refused >= data  # those in the data are all seen


def test_an_altered_byte_says_what_is_wrong(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="was altered after it was written"):
        read_tensors(path)


@pytest.mark.parametrize("change", ["name", "shape", "dtype", "digest"])
def test_an_altered_header_is_seen(path, change):
    about, data = header(path)
    if change == "name":
        about["c"] = about.pop("a")
    elif change == "shape":
        about["b.weight"]["shape"] = [3, 2]
    elif change == "dtype":
        about["a"]["dtype"] = "F16"
    else:
        about["__metadata__"]["sha256"] = "0" * 64
    rewrite(path, about, data)
    with pytest.raises(ValueError, match="was altered after it was written"):
        read_tensors(path)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        read_tensors(tmp_path / "weights.safetensors")


class Evil:
    """What a pickle may do to its reader."""

    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle was run')",)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
def test_pickle_is_refused_and_never_run(tmp_path, name):
    file = io.BytesIO()
    pickle.dump(Evil(), file)
    (tmp_path / name).write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_tensors(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full(handle):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_tensors(path, {"a": torch.zeros(3)})
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == ["weights.safetensors"]


PARTS = {"m-1.safetensors": ["a", "scalar"], "m-2.safetensors": ["b.weight", "empty", "steps"]}


@pytest.fixture
def index(tmp_path):
    """The index of tensors in two files, which stand for one of the name `m.safetensors`."""
    for file, names in PARTS.items():
        write_tensors(tmp_path / file, {name: TENSORS[name] for name in names})
    path = tmp_path / "m.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {name: file for file, names in PARTS.items() for name in names}}))
    return path


def remap(index, **files):
    about = json.loads(index.read_text())
    about["weight_map"] |= files
    index.write_text(json.dumps({"weight_map": {name: file for name, file in about["weight_map"].items() if file}}))


def test_a_file_in_parts_is_read_by_its_index(index):
    again = read_tensors(index.with_name("m.safetensors"))
    assert again.keys() == TENSORS.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in TENSORS.items())


def test_a_whole_file_needs_no_index(index):
    write_tensors(index.with_name("m.safetensors"), {"whole": torch.ones(1)})
    assert read_tensors(index.with_name("m.safetensors")).keys() == {"whole"}


def test_a_missing_part_is_named(index):
    index.with_name("m-2.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"m\.safetensors\.index\.json names m-2\.safetensors, which is missing"
    ):
        read_tensors(index.with_name("m.safetensors"))


def test_a_part_holds_what_the_index_says_and_nothing_else(index):
    remap(index, a="m-2.safetensors", more="m-2.safetensors", steps=None)
    with pytest.raises(ValueError, match=r"does not hold what m\.safetensors\.index\.json says") as error:
        read_tensors(index.with_name("m.safetensors"))
    assert str(error.value).splitlines()[1:] == ["  unknown: a"]
    remap(index, a="m-1.safetensors")
    with pytest.raises(ValueError, match=r"m-2\.safetensors does not hold") as error:
        read_tensors(index.with_name("m.safetensors"))
    assert str(error.value).splitlines()[1:] == ["  missing: more", "  unknown: steps"]


@pytest.mark.parametrize(
    "file", ["../m-1.safetensors", "/m-1.safetensors", "sub/m-1.safetensors", "..", "", "m.bin", "./m-1.safetensors"]
)
def test_an_index_leads_to_no_other_folder_and_no_other_format(index, file):
    about = json.loads(index.read_text())
    about["weight_map"]["a"] = file
    index.write_text(json.dumps(about))
    with pytest.raises(ValueError, match=rf"names '{re.escape(file)}', which is no safetensors file beside it"):
        read_tensors(index.with_name("m.safetensors"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', '{"weight_map": {"a']
)
def test_a_damaged_index_is_refused(index, text):
    index.write_text(text)
    with pytest.raises(ValueError, match=r"m\.safetensors\.index\.json is not an index of safetensors files"):
        read_tensors(index.with_name("m.safetensors"))


def test_an_altered_part_is_seen(index):
    part = index.with_name("m-1.safetensors")
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)
    with pytest.raises(ValueError, match=r"m-1\.safetensors was altered after it was written"):
        read_tensors(index.with_name("m.safetensors"))

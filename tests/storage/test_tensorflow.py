"""Checkpoints which TensorFlow wrote (`ckpt/make.py`), and damaged ones."""

import lzma
import random
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.storage.crc32c import masked
from regard.storage.protobuf import varint
from regard.storage.tensorflow import _ordered, read_checkpoint

FOLDER = Path(__file__).parent / "ckpt"
NAMES = ["bert_model", "parts"]


def wanted(name: str) -> dict[str, np.ndarray]:
    """What TensorFlow had in its variables; bfloat16 as float32."""
    with np.load(FOLDER / f"{name}.npz") as values:
        return dict(values)


def same(found: dict[str, torch.Tensor], values: dict[str, np.ndarray]) -> bool:
    """Whether they are the same to the bit."""
    plain = {name: (part.float() if part.dtype is torch.bfloat16 else part).numpy() for name, part in found.items()}
    return plain.keys() == values.keys() and all(
        plain[name].dtype == values[name].dtype and np.array_equal(plain[name], values[name]) for name in plain
    )


def copied(name: str, folder: Path) -> list[Path]:
    """A checkpoint of one's own to spoil."""
    return [Path(shutil.copy(path, folder)) for path in sorted(FOLDER.glob(f"{name}.ckpt.*"))]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The checkpoint with several blocks."""
    folder = tmp_path_factory.mktemp("many")
    for path in FOLDER.glob("many.ckpt.*.xz"):
        (folder / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
    return folder / "many.ckpt"


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_what_tensorflow_had(name):
    assert same(read_checkpoint(FOLDER / f"{name}.ckpt"), wanted(name))


def test_every_type_is_torchs_own():
    found = {name: tensor.dtype for name, tensor in read_checkpoint(FOLDER / "bert_model.ckpt").items()}
    assert found["bert/embeddings/word_embeddings"] is torch.float32
    assert found["types/brain"] is torch.bfloat16
    assert found["types/half"] is torch.float16
    assert found["types/double"] is torch.float64
    assert found["types/int"] is torch.int32
    assert found["types/truth"] is torch.bool
    assert found["global_step"] is torch.int64


def test_a_checkpoint_is_found_by_its_prefix_its_index_or_its_folder(tmp_path):
    copied("parts", tmp_path)
    values = wanted("parts")
    for path in (tmp_path / "parts.ckpt", str(tmp_path / "parts.ckpt.index"), tmp_path):
        assert same(read_checkpoint(path), values)
    copied("bert_model", tmp_path)
    with pytest.raises(FileNotFoundError, match="has 2 files called"):
        read_checkpoint(tmp_path)


def test_only_what_is_kept_is_read(tmp_path):
    *_, index = copied("bert_model", tmp_path)
    data = tmp_path / "bert_model.ckpt.data-00000-of-00001"
    spoilt = bytearray(data.read_bytes())
    place = bytes(spoilt).index(
        wanted("bert_model")["bert/encoder/layer_0/attention/self/query/kernel/adam_m"].tobytes()
    )
    spoilt[place] ^= 1
    data.write_bytes(spoilt)
    found = read_checkpoint(index, lambda name: not name.endswith("adam_m"))
    values = wanted("bert_model")
    del values["bert/encoder/layer_0/attention/self/query/kernel/adam_m"]
    assert same(found, values)
    with pytest.raises(ValueError, match=r"data-00000-of-00001 is damaged: .*adam_m does not match its checksum"):
        read_checkpoint(index)


def test_names_may_take_several_blocks_and_parts_any_place(many):
    found = read_checkpoint(many, lambda name: name != "text")
    far = found.pop("far")
    assert [(name[:9], int(value)) for name, value in found.items()] == [(f"layer_{n:03d}", n) for n in range(300)]
    assert torch.equal(far, torch.arange(8300)[None] % 7 == 0)


def test_a_tensor_of_another_type_is_named(many):
    with pytest.raises(ValueError, match="text is of TensorFlow's type 7, which is not read; leave it out"):
        read_checkpoint(many)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no model.ckpt.index; checkpoints of TensorFlow 0"):
        read_checkpoint(tmp_path / "model.ckpt")
    first, *_ = copied("parts", tmp_path)
    first.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"parts.ckpt.index names parts.ckpt.data-00000-of-00002, which is missing"
    ):
        read_checkpoint(tmp_path / "parts.ckpt")


def places(path: Path, length: int) -> range:
    """All of an index, and some of a data file, whose bytes are all alike."""
    return range(0, length, 1 if path.suffix == ".index" else 17)


def outcome(prefix: Path, values: dict[str, np.ndarray]) -> str:
    """What a spoilt checkpoint gives: the right values, or one of two errors, which name the file."""
    fault = ""
    try:
        found = read_checkpoint(prefix)
    except (ValueError, FileNotFoundError) as error:
        fault = str(error)
    else:
        assert same(found, values)
    assert not fault or prefix.name in fault
    return fault


@pytest.mark.parametrize("name", NAMES)
def test_a_file_which_is_cut_short_anywhere_is_an_error(tmp_path, name):
    values = wanted(name)
    for path in copied(name, tmp_path):
        whole = path.read_bytes()
        for length in [*places(path, len(whole)), len(whole) - 1]:
            path.write_bytes(whole[:length])
            assert outcome(tmp_path / f"{name}.ckpt", values), (path.name, length)
        path.write_bytes(whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_bit_which_was_turned_is_an_error_unless_nothing_depends_on_it(tmp_path, name):
    values = wanted(name)
    for path in copied(name, tmp_path):
        whole = path.read_bytes()
        found = []
        for place in places(path, len(whole)):
            spoilt = bytearray(whole)
            spoilt[place] ^= 1 << place % 8
            path.write_bytes(spoilt)
            found.append(outcome(tmp_path / f"{name}.ckpt", values))
        path.write_bytes(whole)
        # but for the padding of the footer and a block which is not used
        assert found.count("") <= (40 + 13 if path.suffix == ".index" else 0)


def blocks(index: bytes) -> list[tuple[int, int]]:
    """Where the two blocks of a small table lie that are read: of pairs, and of places."""
    view, at = memoryview(index), len(index) - 48
    numbers = []
    for _ in range(4):
        number, at = varint(view, at)
        numbers.append(number)
    return [(0, numbers[0] - 5), (numbers[2], numbers[3])]  # the unused block follows the first one


@pytest.mark.parametrize("name", NAMES)
def test_what_is_spoilt_under_a_right_checksum_is_an_error_or_a_value(tmp_path, name):
    """Nothing but the two errors, and at once: an index of 600 bytes cannot ask for more than its files hold."""
    index = copied(name, tmp_path)[-1]
    whole, generator = index.read_bytes(), random.Random(0)
    found = []
    for number in range(600):
        start, length = blocks(whole)[number % 10 == 0]
        spoilt = bytearray(whole)
        for _ in range(generator.randint(1, 3)):
            byte = generator.choice([0, 1, 127, 128, 255, generator.randrange(256)])
            spoilt[start + generator.randrange(length)] = byte
        end = start + length + 1
        spoilt[end : end + 4] = masked(bytes(spoilt[start:end])).to_bytes(4, "little")
        index.write_bytes(spoilt)
        try:
            read_checkpoint(index)
        except (ValueError, FileNotFoundError) as error:
            found.append(str(error))
    assert all(name in error for error in found)
    assert len(set(found)) > 20  # what follows the checksum was reached
    assert sum("a block does not match its checksum" in error for error in found) <= 60


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2))
def test_numbers_in_keys_are_in_order(numbers):
    """What the encoding is for; and no number's bytes begin another's."""
    coded = sorted(map(_ordered, set(numbers)))
    assert [_ordered(number) for number in sorted(set(numbers))] == coded
    assert not any(other.startswith(one) for one, other in pairwise(coded))


def test_numbers_in_keys_are_tensorflows():
    """From keys which it wrote: 0, 3, 67, 134 and 8200."""
    assert [_ordered(n).hex() for n in (0, 3, 67, 134)] == ["80", "83", "c043", "c086"]
    assert (_ordered(-1).hex(), _ordered(8200).hex()) == ("7f", "e02008")

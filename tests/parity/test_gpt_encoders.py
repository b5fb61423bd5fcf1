"""GPT and GPT-2 as they are tuned by labels, beside Hugging Face Transformers: classes, losses and framed texts."""

import json

import pytest
import torch
from small_encoders import LINES
from tiny import headed, inputs, shaken
from tokenizers import pre_tokenizers
from torch.nn.functional import cross_entropy, mse_loss
from torch.testing import assert_close

from regard.models.heads import kind_of
from regard.models.hugging_face import LAYOUTS
from regard.models.parameters import plain_weights
from regard.models.saved import load_model, save_model
from regard.objectives.labels import labels_of
from regard.reading.reader import Reader
from regard.storage.weights import read_tensors
from regard.text.directory import save_tokenizer
from regard.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
EXACT = {"atol": 1e-12, "rtol": 1e-12}
WORDS, LENGTHS = 29, (9, 3, 14, 4)
SIZES = {"vocab_size": WORDS, "n_positions": 24, "n_embd": 16, "n_layer": 3, "n_head": 4}
KINDS = {"gpt-encoder": ("OpenAIGPT", transformers.OpenAIGPTConfig), "gpt2-encoder": ("GPT2", transformers.GPT2Config)}
every = pytest.mark.parametrize("name", KINDS)


def published(name: str, ending: str, **changes):
    """A model of theirs with weights at which every part matters."""
    torch.manual_seed(0)
    kind, config = KINDS[name]
    return shaken(getattr(transformers, kind + ending)(config(**SIZES, **changes)).eval())


def said(peer, ids: list[int]) -> torch.Tensor:
    """What theirs says of one input."""
    with torch.no_grad():
        return peer(torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("labels", [3, 1])
@every
def test_a_directory_of_theirs_says_the_same(name, labels, tmp_path):
    peer = published(name, "ForSequenceClassification", num_labels=labels)
    peer.save_pretrained(tmp_path / "theirs")
    model, peer = load_model(tmp_path / "theirs"), peer.double()
    save_model(model, tmp_path / "ours")
    written, given = (read_tensors(tmp_path / whose / "model.safetensors") for whose in ("ours", "theirs"))
    assert written.keys() == given.keys()
    assert kind_of(model) == ("classification" if labels > 1 else "regression")
    text, segments = inputs(name, *LENGTHS, words=WORDS)
    found = model.double()(text, segments)
    for row, ids in zip(found, text.unpack(text.tokens), strict=True):
        assert_close(torch.atleast_1d(row), said(peer, ids.tolist()), **EXACT)


@pytest.mark.parametrize("head", ["classification", "regression"])
@every
def test_a_directory_of_ours_says_the_same(name, head, tmp_path):
    model = headed(name, head, dtype=torch.float32, words=WORDS)
    save_model(model, tmp_path)
    kind = getattr(transformers, KINDS[name][0] + "ForSequenceClassification")
    peer, report = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    text, segments = inputs(name, *LENGTHS, words=WORDS)
    found = model.double()(text, segments)
    for row, ids in zip(found, text.unpack(text.tokens), strict=True):
        assert_close(torch.atleast_1d(row), said(peer.double(), ids.tolist()), **EXACT)


@pytest.mark.parametrize("head", ["classification", "regression", "choice"])
@every
def test_the_loss_and_its_gradient_are_those_of_both_of_their_models(name, head):
    """L3 = L2 + lambda L1 (Radford et al. 2018, equation 5), the mean of a batch; from a language model of theirs."""
    share, (text, segments) = 0.5, inputs(name, *LENGTHS, words=WORDS)
    model = headed(name, head, words=WORDS, context=24, depth=3)
    peer = published(name, "LMHeadModel").double()
    tensors = {key.removeprefix("encoder."): value for key, value in plain_weights(model).items()}
    score = tensors.pop("output.weight").clone().requires_grad_()
    layout = LAYOUTS[name.removesuffix("-encoder")]
    peer.load_state_dict(layout.write_tensors(tensors, 4), strict=False)
    peer.tie_weights()
    sums, texts = [], []
    for ids in text.unpack(text.tokens):
        found = peer(ids[None], output_hidden_states=True)
        sums.append(found.hidden_states[-1][0, -1])
        texts.append(cross_entropy(found.logits[0, :-1], ids[1:]))
    scores = torch.stack(sums) @ score.T
    labels, of_labels = {
        "classification": ((torch.tensor([2, 0, 1, 2]),), lambda labels: cross_entropy(scores, labels)),
        "regression": ((torch.tensor([0.5, -1.0, 2.0, 0.0]).double(),), lambda labels: mse_loss(scores[:, 0], labels)),
        "choice": (
            (torch.tensor([1, 0]), torch.tensor([2, 2])),
            lambda labels, counts: cross_entropy(scores.view(2, 2), labels),
        ),
    }[head]
    wanted = of_labels(*labels) + share * torch.stack(texts).mean()
    wanted.backward()
    loss = labels_of(head, model, share)(text, segments, *labels)
    total = loss.total / loss.tokens
    assert_close(total, wanted, **EXACT)
    assert_close(-loss.log_likelihood / loss.tokens, of_labels(*labels), **EXACT)  # what is told is of the labels alone
    total.backward()
    assert_close(model.output.weight.grad, score.grad, **EXACT)
    theirs = {key: parameter.grad for key, parameter in peer.named_parameters()}
    for key, gradient in layout.read_tensors(theirs, "here", 4).items():
        if key != "output.weight":
            assert_close(model.encoder.get_parameter(key).grad, gradient, **EXACT)


@pytest.mark.parametrize("kind", ["bpe", "bytes", "words"])
@every
def test_texts_in_their_hands_give_the_same_from_a_directory_of_ours(name, kind, tmp_path):
    """Their tokenizer of our directory frames texts and pairs, and pads what their model does not read."""
    words = Tokenizer.train(LINES, kind=kind, vocabulary=300 if kind == "bytes" else 90).for_tasks()
    reader = Reader(headed(name, "classification", dtype=torch.float32, words=words.size, context=96), words)
    reader.save(tmp_path)
    compare_texts(reader, tmp_path)


@every
def test_a_tokenizer_without_a_pad_pads_with_its_start(name, tmp_path):
    ids = {token: id for id, token in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|endoftext|>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    words = Tokenizer.load(tmp_path).for_tasks()
    assert "pad_token" not in words.special_tokens
    reader = Reader(headed(name, "classification", dtype=torch.float32, words=words.size, context=96), words)
    reader.save(tmp_path)
    compare_texts(reader, tmp_path)


@every
def test_a_directory_whose_texts_have_no_special_tokens_says_the_same(name, tmp_path):
    """As most which are published: the last token of a text sums it up, and pairs stand end to end."""
    words = Tokenizer.train(LINES, kind="bpe", vocabulary=90)
    kind, config = KINDS[name]
    torch.manual_seed(0)
    sizes = {**SIZES, "vocab_size": words.size, "n_positions": 96, "pad_token_id": words.pad}
    peer = shaken(getattr(transformers, kind + "ForSequenceClassification")(config(**sizes, num_labels=3)))
    peer.save_pretrained(tmp_path)
    save_tokenizer(words, tmp_path, padding_side="right", model_input_names=["input_ids", "attention_mask"])
    reader = Reader.load(tmp_path)
    compare_texts(reader, tmp_path)
    reader.save(tmp_path / "again")
    compare_texts(Reader.load(tmp_path / "again"), tmp_path / "again")
    with pytest.raises(ValueError, match="a text without a token cannot be summed up by its last one"):
        reader.predict([""])


def compare_texts(reader: Reader, folder) -> None:
    """What both libraries say of texts and of pairs of one directory."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = [("the film was good", "the walk ended"), ("dull", "the dinner was bright"), "the book was poor", "good"]
    with torch.no_grad():
        rows = [
            peer(**tokenizer(*parts, padding=True, return_tensors="pt")).logits.softmax(1)
            for parts in ([list(part) for part in zip(*texts[:2], strict=True)], [texts[2:]])
        ]
    found = torch.tensor([list(one.probabilities.values()) for one in reader.predict(texts)])
    assert_close(found, torch.cat(rows))
    assert found.std(0).min() > 1e-3

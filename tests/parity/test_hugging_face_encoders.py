"""Encoders and their heads beside Hugging Face Transformers: equal outputs, from each other's directories."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from small_encoders import LINES
from tiny import headed, inputs, shaken, tiny
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.attention.record import recording
from regard.layers.positions import distances
from regard.models.directory import read_config
from regard.models.heads import HEADS, kind_of
from regard.models.hugging_face_encoders import ENCODER_LAYOUTS
from regard.models.parameters import fill
from regard.models.saved import load_encoder, load_model, save_model
from regard.objectives.labels import ConditionalSpans
from regard.reading.reader import Reader
from regard.storage.weights import read_tensors, write_tensors
from regard.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
EXACT = {"atol": 1e-12, "rtol": 1e-12}
WORDS = 29
LENGTHS = (9, 1, 14, 4)


@dataclass
class Peer:
    """A model of theirs and what it is called here."""

    ours: str
    config: Any
    name: str  # how names of its classes begin
    sizes: dict
    changes: dict = field(default_factory=dict)  # of our tiny size, to the same kind


SIZES = {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 24, "max_position_embeddings": 16}
GROUPS = {"num_hidden_groups": 2, "inner_group_num": 2, "num_hidden_layers": 4}
XLNET = {"vocab_size": WORDS, "d_model": 16, "n_layer": 2, "n_head": 4, "d_inner": 24}
PEERS = {
    "bert": Peer("bert", transformers.BertConfig, "Bert", SIZES),
    "bert-tanh": Peer(
        "bert", transformers.BertConfig, "Bert", SIZES | {"hidden_act": "gelu_new"}, {"activation": "tanh"}
    ),
    "albert": Peer("albert", transformers.AlbertConfig, "Albert", SIZES | {"embedding_size": 12}),
    "albert-groups": Peer(
        "albert",
        transformers.AlbertConfig,
        "Albert",
        SIZES | GROUPS | {"embedding_size": 12, "hidden_act": "gelu"},
        {"groups": 2, "inner": 2, "depth": 5, "activation": "exact"},
    ),
    "xlnet": Peer("xlnet", transformers.XLNetConfig, "XLNet", XLNET),
    "xlnet-tanh": Peer(
        "xlnet", transformers.XLNetConfig, "XLNet", XLNET | {"ff_activation": "gelu_new", "clamp_len": 3}, {"clamp": 3}
    ),
}
CLASSES = {
    "": ("Model", transformers.AutoModel),
    "masked": ("ForMaskedLM", transformers.AutoModelForMaskedLM),
    "masked-pair": ("ForPreTraining", transformers.AutoModelForPreTraining),
    "classification": ("ForSequenceClassification", transformers.AutoModelForSequenceClassification),
    "regression": ("ForSequenceClassification", transformers.AutoModelForSequenceClassification),
    "choice": ("ForMultipleChoice", transformers.AutoModelForMultipleChoice),
    "tagging": ("ForTokenClassification", transformers.AutoModelForTokenClassification),
    "span": ("ForQuestionAnswering", transformers.AutoModelForQuestionAnswering),
}
XLNET_CLASSES = {
    **{head: kind for head, kind in CLASSES.items() if not head.startswith("masked")},
    "permuted": ("LMHeadModel", transformers.AutoModelForCausalLM),
    "span": ("ForQuestionAnsweringSimple", transformers.AutoModelForQuestionAnswering),
    "conditional-span": ("ForQuestionAnswering", transformers.XLNetForQuestionAnswering),
}
ALL = [(name, head) for name in PEERS for head in (XLNET_CLASSES if name.startswith("xlnet") else CLASSES)]
every = pytest.mark.parametrize(("name", "head"), ALL)
every_kind = pytest.mark.parametrize("name", PEERS)


@pytest.fixture(autouse=True)
def distances_as_exact_as_here(monkeypatch):
    """Their XLNet encodes distances in float32 by other steps; `test_xlnet.py` holds both to the authors'."""

    def embedding(places: Tensor, rates: Tensor, inputs: int | None = None) -> Tensor:
        """[P, B, D]."""
        return distances(places, 2 * len(rates)).double()[:, None].expand(-1, inputs or 1, -1)

    monkeypatch.setattr(transformers.XLNetModel, "positional_embedding", staticmethod(embedding))


def class_of(name: str, head: str) -> tuple[Any, Any]:
    """Their class, and that which finds it by itself."""
    ending, found = (XLNET_CLASSES if name.startswith("xlnet") else CLASSES)[head]
    return getattr(transformers, PEERS[name].name + ending), found


def published(name: str, head: str, **changes):
    """A model of theirs with weights at which every part matters."""
    torch.manual_seed(0)
    labels = {"classification": 3, "tagging": 3, "regression": 1}.get(head, 2)
    config = PEERS[name].config(**{**PEERS[name].sizes, "num_labels": labels, **changes})
    return shaken(class_of(name, head)[0](config).eval())


def ours(name: str, head: str, **changes):
    """A model of ours of the same kind."""
    kind = {"words": WORDS, "dtype": torch.float32, "context": 16, **PEERS[name].changes, **changes}
    if PEERS[name].ours == "xlnet":
        del kind["context"]
    return headed(PEERS[name].ours, head, **kind) if head else tiny(PEERS[name].ours, **kind)


@torch.no_grad()
def theirs(peer, text: Packed, segments: Tensor) -> list[dict[str, Tensor]]:
    """What their model says of each input, one by one."""
    pairs = zip(text.unpack(text.tokens), text.unpack(segments), strict=True)
    return [dict(peer(input_ids=ids[None], token_type_ids=own[None])) for ids, own in pairs]


def compare(model, peer, text: Packed, segments: Tensor) -> None:
    """Outputs of ours, of all inputs at once, with those of theirs, one by one."""
    model, peer, head = model.double(), peer.double(), kind_of(model)
    if head == "permuted":
        return compare_permuted(model, peer)
    if head == "conditional-span":
        return compare_beams(model, peer, text, segments)
    if head == "choice":
        return compare_options(model, peer, text, segments)
    found = theirs(peer, text, segments)

    def of(key: str) -> Tensor:
        """One of their outputs, of all inputs."""
        return torch.cat([one[key][0] if one[key].ndim > 1 else one[key] for one in found])

    if head == "":
        assert_close(model.hidden(text, segments), of("last_hidden_state"), **EXACT)
        if model.config.pools:
            pooled = torch.cat([one["pooler_output"] for one in found])
            assert_close(model(text, segments), pooled, **EXACT)
    elif head == "masked-pair":
        pair = "seq_relationship_logits" if "seq_relationship_logits" in found[0] else "sop_logits"
        rows = torch.tensor([1, 3, 12, 20])
        hidden, pairs = model.both(text, segments, rows)
        assert_close(model.output(hidden), of("prediction_logits")[rows], **EXACT)
        assert_close(model(text, segments), of("prediction_logits"), **EXACT)
        assert_close(pairs, torch.cat([one[pair] for one in found]), **EXACT)
    elif head == "span":
        starts, ends = model(text, segments)
        assert_close(starts, of("start_logits"), **EXACT)
        assert_close(ends, of("end_logits"), **EXACT)
    else:
        wanted = torch.cat([one["logits"].flatten(0, -2) for one in found])
        assert_close(model(text, segments), wanted[:, 0] if head == "regression" else wanted, **EXACT)
    return None


@torch.no_grad()
def compare_options(model, peer, text: Packed, segments: Tensor) -> None:
    """Scores of options, which must be of one length there."""
    ids, kinds = (torch.stack([part[:4] for part in text.unpack(x)[::2]]) for x in (text.tokens, segments))
    scores = peer(input_ids=ids[None], token_type_ids=kinds[None]).logits
    assert_close(model(Packed.of(list(ids)), kinds.flatten())[None], scores, **EXACT)


def orders(inputs: int, length: int, *, seed: int = 0) -> Tensor:
    """Whether a word is read before another in a random order, [B, T, T]; the first in it sees nothing."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(length, generator=generator) for _ in range(inputs)])
    return order[:, None] < order[:, :, None]


@torch.no_grad()
def compare_permuted(model, peer, *, inputs: int = 4, length: int = 9, backward: int = 0) -> None:
    """Scores of permuted words, in two segments of a text; a first word in the order, which is not alike, is left out.

    Theirs attends to everything alike there, ours to nothing.
    """
    generator = torch.Generator().manual_seed(1)
    memory = mems = None
    for step in range(2):
        tokens = torch.randint(WORDS, (inputs, length), generator=generator)
        segments = torch.randint(3, (inputs, length), generator=generator)
        allowed = orders(inputs, length, seed=step)
        some = [row.nonzero()[:, 0] for row in allowed.any(-1)] if step == 0 else [torch.arange(length)] * inputs
        targets = torch.stack([row[torch.randperm(len(row), generator=generator)[:5]] for row in some])
        mapping = torch.nn.functional.one_hot(targets, length).double()
        found = peer(
            input_ids=tokens,
            token_type_ids=segments,
            perm_mask=(~allowed).double(),
            target_mapping=mapping,
            mems=mems,
            use_mems=True,
        )
        how = {"reuse": peer.config.reuse_len, "backward": backward}
        scores, memory = model(tokens, segments, allowed, targets, memory, **how)
        assert_close(scores, found.logits, **EXACT)
        mems = found.mems
        if not model.config.memory:
            return
        for own, other in zip(memory, mems, strict=True):
            assert_close(own, other.transpose(0, 1), **EXACT)


@torch.no_grad()
def compare_beams(model, peer, text: Packed, segments: Tensor) -> None:
    """Starts, ends after each, and scores of no answer, where only some tokens may be chosen."""
    may_answer = torch.rand(len(segments), generator=torch.Generator().manual_seed(2)) < 0.7
    summaries = model.summaries(text)
    may_answer[summaries] = True
    starts, start_logs, ends, end_logs, none = model.beams(text, segments, may_answer)
    parts = (text.unpack(part) for part in (text.tokens, segments, may_answer))
    for number, (ids, own, may) in enumerate(zip(*parts, strict=True)):
        if len(ids) < 5:
            continue  # which theirs cannot read
        found = peer(
            input_ids=ids[None],
            token_type_ids=own[None],
            p_mask=(~may).double()[None],
            cls_index=summaries[number : number + 1] - text.starts[number],
        )
        assert_close(none[number : number + 1], found.cls_logits, **EXACT)
        there = start_logs[number].isfinite()
        assert there.sum() == min(5, may.sum())
        assert_close(start_logs[number].exp(), found.start_top_log_probs[0], **EXACT)  # which are no logarithms
        assert_close(starts[number][there], found.start_top_index[0][there], **EXACT)
        their_ends = found.end_top_index[0].view(5, 5).T  # of each start, where theirs are of each end
        their_shares = found.end_top_log_probs[0].view(5, 5).T
        assert_close(end_logs[number].exp()[there], their_shares[there], **EXACT)
        filled = end_logs[number].isfinite()
        assert_close(ends[number][filled], their_ends[filled], **EXACT)


@every
def test_a_directory_of_theirs_gives_the_same(name, head, tmp_path):
    peer = published(name, head)
    peer.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert kind_of(model) == head
    compare(model, peer, *inputs(PEERS[name].ours, *LENGTHS, words=WORDS))


@every
def test_a_directory_of_theirs_is_written_as_it_was_read(name, head, tmp_path):
    published(name, head).save_pretrained(tmp_path / "theirs")
    save_model(load_model(tmp_path / "theirs"), tmp_path / "ours")
    written, given = (read_tensors(tmp_path / whose / "model.safetensors") for whose in ("ours", "theirs"))
    tied = {"cls.predictions.decoder.bias", "cls.predictions.decoder.weight", "lm_loss.weight"}
    tied |= {"predictions.decoder.bias", "predictions.decoder.weight"}
    assert written.keys() - tied == given.keys() - tied
    assert all(torch.equal(tensor, given[key]) for key, tensor in written.items())
    about, other = (json.loads((tmp_path / whose / "config.json").read_text()) for whose in ("ours", "theirs"))
    assert about["architectures"] == other["architectures"]
    shared = about.keys() & other.keys() - {"transformers_version"}
    assert {"model_type", "vocab_size"} < shared
    assert {key: about[key] for key in shared} == {key: other[key] for key in shared}


@every
def test_a_directory_of_ours_gives_the_same(name, head, tmp_path):
    model = ours(name, head)
    save_model(model, tmp_path)
    peer, report = class_of(name, head)[1].from_pretrained(tmp_path, output_loading_info=True)
    assert type(peer) is class_of(name, head)[0]
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    compare(model, peer, *inputs(PEERS[name].ours, *LENGTHS, seed=1, words=WORDS))


@pytest.mark.parametrize(
    ("kind", "tokenizer", "changes"),
    [
        ("bert", "bert", {"context": 64}),
        ("bert", "xlnet", {"context": 64}),
        ("albert", "albert", {"context": 64}),
        ("xlnet", "xlnet", {}),
        ("xlnet", "bert", {}),
    ],
)
def test_texts_in_their_hands_give_the_same_from_a_directory_of_ours(kind, tokenizer, changes, tmp_path):
    """Their tokenizer of our directory frames texts, tells those of a pair apart, and pads as the model needs it."""
    words = Tokenizer.train(LINES, kind=tokenizer, vocabulary=120)
    reader = Reader(headed(kind, "classification", dtype=torch.float32, words=words.size, **changes), words)
    reader.save(tmp_path)
    texts = [("the film was good", "the walk ended"), ("dull", "the dinner was bright"), "the book was poor"]
    firsts, seconds = [text if isinstance(text, str) else text[0] for text in texts], [text[1] for text in texts[:2]]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        pairs, alone = (
            peer(**tokenizer(*parts, padding=True, return_tensors="pt")).logits.softmax(1)
            for parts in ((firsts[:2], seconds), (firsts,))
        )
    found = torch.tensor([list(one.probabilities.values()) for one in reader.predict([*texts, *firsts])])
    assert_close(found, torch.cat([pairs, alone[2:], alone]))


@every_kind
def test_padded_inputs_of_theirs_give_the_same(name, tmp_path):
    """XLNet's are padded to the left, so that the last token sums an input up."""
    peer = published(name, "classification")
    peer.save_pretrained(tmp_path)
    model, peer, kind = load_model(tmp_path).double(), peer.double(), PEERS[name].ours
    text, segments = inputs(kind, *LENGTHS, words=WORDS)
    ids, kinds, is_token = text.padded(5), Packed(segments, text.lengths).padded(0), text.is_token
    if kind == "xlnet":
        order = is_token.long().sort(dim=1, stable=True).indices  # padding first
        ids, kinds, is_token = (part.gather(1, order) for part in (ids, kinds, is_token))
    with torch.no_grad():
        padded = peer(input_ids=ids, token_type_ids=kinds, attention_mask=is_token.long(), output_hidden_states=True)
    assert_close(model(text, segments), padded.logits, **EXACT)
    assert_close(model.encoder.hidden(text, segments), padded.hidden_states[-1][is_token], **EXACT)
    assert torch.equal(Packed.from_padded(ids, is_token).tokens, text.tokens)


@every_kind
def test_weights_of_attention_are_theirs(name, tmp_path):
    peer = published(name, "", attn_implementation="eager")
    peer.save_pretrained(tmp_path)
    model, peer = load_model(tmp_path).double(), peer.double()
    text, segments = inputs(PEERS[name].ours, *LENGTHS, words=WORDS)
    with torch.no_grad(), recording(model) as maps:
        model.hidden(text, segments)
    calls = [weights for name in maps for weights in maps.calls[name]]
    if name == "albert-groups":  # two layers of each group, whose blocks run in turn
        first, second, third, fourth = (maps.calls[name] for name in maps)
        calls = [*zip(first, second, strict=True), *zip(third, fourth, strict=True)]
        calls = [weights for pair in calls for weights in pair]
    pairs = zip(text.unpack(text.tokens), text.unpack(segments), text.starts, text.lengths, strict=True)
    for ids, own, start, length in pairs:
        here = slice(start, start + length)
        with torch.no_grad():
            found = peer(input_ids=ids[None], token_type_ids=own[None], output_attentions=True).attentions
        found = [weights for layer in found for weights in (layer if isinstance(layer, tuple) else [layer])]
        assert len(found) == len(calls)
        for weights, wanted in zip(calls, found, strict=True):
            assert_close(weights[:, :, here, here], wanted, **EXACT)


def test_segments_which_are_read_both_ways_are_theirs():
    config = PEERS["xlnet"].config(**XLNET, bi_data=True, mem_len=7, reuse_len=4)
    torch.manual_seed(0)
    peer = shaken(transformers.XLNetLMHeadModel(config).eval()).double()
    for clamp in (-1, 3):
        peer.transformer.clamp_len = clamp
        model = headed("xlnet", "permuted", words=WORDS, memory=7, clamp=clamp, activation="exact")
        theirs_as_ours(peer, model)
        compare_permuted(model, peer, backward=2)  # half of the batch, there


def theirs_as_ours(peer, model) -> None:
    """Give our model the weights of theirs."""
    layout = ENCODER_LAYOUTS["xlnet"].headed(kind_of(model), pools=model.config.pools)
    fill(model, layout.read_tensors(peer.state_dict(), "here", model.config.heads), "here")


def test_the_loss_of_spans_which_depend_on_their_start_is_theirs(tmp_path):
    """But for whether there is an answer, which theirs tells from the right start in training, and ours never."""
    peer = published("xlnet", "conditional-span")
    peer.save_pretrained(tmp_path)
    model, peer = load_model(tmp_path).double(), peer.double()
    text, segments = inputs("xlnet", 9, 14, 6, words=WORDS)
    labels, total = torch.tensor([[2, 5], [13, 13], [0, 0]]), 0.0  # the last token stands for no answer
    may_answer = torch.ones(29, dtype=torch.bool)
    may_answer[[1, 9, 12, 24]] = False
    parts = (text.unpack(part) for part in (text.tokens, segments, may_answer))
    for (ids, own, may), (start, end) in zip(zip(*parts, strict=True), labels, strict=True):
        given = {"input_ids": ids[None], "token_type_ids": own[None], "p_mask": (~may).double()[None]}
        with torch.no_grad():
            spans = peer(**given, start_positions=start[None], end_positions=end[None]).loss
            none = peer(**given, cls_index=torch.tensor([len(ids) - 1])).cls_logits
        is_none = torch.full((1,), float(start == len(ids) - 1), dtype=torch.float64)
        total = total + spans + 0.5 * binary_cross_entropy_with_logits(none, is_none)
    loss = ConditionalSpans(model)(text, segments, labels, may_answer)
    assert_close(loss.total, total, **EXACT)
    assert_close(loss.log_likelihood, -total, **EXACT)
    assert (loss.tokens, loss.sequences) == (3, 3)


def test_albert_has_the_same_head_under_a_name_of_our_own(tmp_path):
    """Beside the parts of Transformers' XLNet; the first token sums an input up."""
    save_model(headed("albert", "conditional-span", dtype=torch.float32, words=WORDS, context=16), tmp_path)
    about = json.loads((tmp_path / "config.json").read_text())
    assert about["architectures"] == ["AlbertForConditionalQuestionAnswering"]
    model = load_model(tmp_path).double()
    tensors = read_tensors(tmp_path / "model.safetensors")
    config = transformers.XLNetConfig(d_model=16, n_head=4)
    parts = {}
    for part, name in (("start_logits", "StartLogits"), ("end_logits", "EndLogits"), ("answer_class", "AnswerClass")):
        parts[part] = getattr(transformers.models.xlnet.modeling_xlnet, f"XLNetPooler{name}")(config).double()
        own = {key.removeprefix(f"{part}."): x for key, x in tensors.items() if key.startswith(f"{part}.")}
        parts[part].load_state_dict(own)
    text, segments = inputs("albert", *LENGTHS, words=WORDS)
    may_answer, starts = torch.ones(len(segments), dtype=torch.bool), torch.tensor([2, 0, 13, 1])
    first, last, none = model(text, segments, may_answer, starts)
    for number, states in enumerate(text.unpack(model.encoder.hidden(text, segments))):
        states, at = states[None], starts[number : number + 1]
        scores = parts["start_logits"](states)
        assert_close(text.unpack(first)[number], scores[0], **EXACT)
        assert_close(text.unpack(last)[number], parts["end_logits"](states, start_positions=at)[0], **EXACT)
        likely = scores.softmax(1) @ states[0]
        found = parts["answer_class"](states, start_states=likely, cls_index=torch.tensor([0]))
        assert_close(none[number : number + 1], found, **EXACT)


def rewrite(folder, about: dict | None = None, tensors: dict | None = None, without: tuple[str, ...] = ()) -> None:
    """Change what a directory says, and its tensors."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (about or {})))
    if tensors is not None:
        write_tensors(folder / "model.safetensors", {key: x for key, x in tensors.items() if key not in without})


def test_a_bert_as_google_first_gave_it_to_transformers_loads(tmp_path):
    """As bert-base-uncased is: with gamma and beta, all heads, buffers, and the class of one head alone."""
    peer = published("bert", "masked-pair")
    peer.save_pretrained(tmp_path)
    wanted = load_model(tmp_path)
    tensors = read_tensors(tmp_path / "model.safetensors")
    old = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for key, tensor in tensors.items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(16)[None]
    old["cls.predictions.decoder.weight"] = old["bert.embeddings.word_embeddings.weight"].clone()
    old["cls.predictions.decoder.bias"] = old["cls.predictions.bias"].clone()
    rewrite(tmp_path, {"architectures": ["BertForMaskedLM"]}, old)
    model, text = load_model(tmp_path), inputs("bert", *LENGTHS, words=WORDS)
    assert kind_of(model) == "masked"
    assert torch.equal(model(*text), wanted(*text))
    rewrite(tmp_path, {"architectures": ["BertForPreTraining"]}, old)
    assert kind_of(load_model(tmp_path)) == "masked-pair"
    rewrite(tmp_path, {"architectures": ["BertModel"]}, old)
    assert torch.equal(load_model(tmp_path)(*text), wanted.encoder(*text))
    rewrite(tmp_path, tensors={**old, **{key: tensor.clone() for key, tensor in tensors.items()}})
    with pytest.raises(ValueError, match=r"LayerNorm.bias is there twice, under its old name and its new one"):
        load_model(tmp_path)


@every_kind
def test_the_prefix_of_the_encoder_may_be_there_or_not(name, tmp_path):
    published(name, "tagging").save_pretrained(tmp_path)
    text, wanted = inputs(PEERS[name].ours, *LENGTHS, words=WORDS), load_model(tmp_path)
    tensors, prefix = read_tensors(tmp_path / "model.safetensors"), ENCODER_LAYOUTS[PEERS[name].ours].prefix
    plain = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    assert plain.keys() != tensors.keys()
    rewrite(tmp_path, tensors=plain)
    assert torch.equal(load_model(tmp_path)(*text), wanted(*text))


@every_kind
def test_an_encoder_with_or_without_the_layer_which_sums_up_is_read(name, tmp_path):
    """Transformers writes BERT's and ALBERT's with the encoder, XLNet's with a head."""
    published(name, "classification").save_pretrained(tmp_path)
    tensors, kind = read_tensors(tmp_path / "model.safetensors"), PEERS[name].ours
    pooler = tuple(key for key in tensors if "pooler" in key or "summary" in key)
    assert len(pooler) == 2
    text, wanted = inputs(kind, *LENGTHS, words=WORDS), load_model(tmp_path).encoder
    for without, pools in (((), True), (pooler, False)):
        rewrite(tmp_path, {"architectures": [PEERS[name].name + "Model"]}, tensors, without)
        model = load_model(tmp_path)
        assert model.config.pools is pools
        assert torch.equal(model.hidden(*text), wanted.hidden(*text))
        if pools:
            assert torch.equal(model(*text), wanted(*text))
    encoder, is_fresh = load_encoder(tmp_path, pools=True)
    assert is_fresh
    assert torch.equal(encoder.hidden(*text), wanted.hidden(*text))


@every_kind
def test_every_tensor_which_is_wrong_is_listed(name, tmp_path):
    published(name, "tagging").save_pretrained(tmp_path)
    tensors = read_tensors(tmp_path / "model.safetensors")
    gone = next(
        key for key in tensors if "dense_0" not in key and key.endswith(("LayerNorm.weight", "layer_norm.bias"))
    )
    strangers = {"adapter.down.weight": torch.zeros(2, 3), "classifier.more": torch.zeros(1)}
    rewrite(tmp_path, tensors={**tensors, **strangers}, without=(gone,))
    with pytest.raises(ValueError, match="does not fit Tagger") as error:
        load_model(tmp_path)
    lines = str(error.value).splitlines()[1:]
    assert lines[0].startswith("  missing: encoder.")
    assert lines[1:] == ["  unknown: adapter.down.weight (2, 3)", "  unknown: classifier.more (1,)"]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bert", {"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05, but only 1e-12 is computed here"),
        ("bert", {"hidden_act": "relu"}, "hidden_act is 'relu', but only gelu_new, .* are computed here"),
        ("bert", {"position_embedding_type": "relative_key"}, "but only 'absolute' is computed here"),
        ("bert", {"is_decoder": True}, "is_decoder is True, but only False"),
        ("bert", {"pruned_heads": {"0": [1]}}, "pruned_heads=.* is not known for bert"),
        ("bert", {"rotary": True}, "rotary=True is not known for bert"),
        ("bert", {"architectures": ["BertForNextSentence"]}, "'BertForNextSentence' is not known; the arch"),
        ("bert", {"architectures": ["BertForMaskedLm"]}, "did you mean 'BertForMaskedLM'"),
        ("bert", {"architectures": ["BertModel", "BertForMaskedLM"]}, "architectures must name one class"),
        ("bert", {"problem_type": "multi_label_classification"}, "an input has one class or one number here"),
        ("bert", {"id2label": {"0": "A", "2": "B"}}, "id2label must name the classes 0, 1 and so on"),
        ("bert", {"id2label": {"0": "A", "1": "A", "2": "B"}}, "two classes of id2label have one name"),
        ("bert", {"classifier_dropout": "much"}, "classifier_dropout must be a rate of dropout, got 'much'"),
        ("albert", {"embedding_size": "wide"}, "embedding must be of type int"),
        ("albert", {"down_scale_factor": 2}, "down_scale_factor is 2, but only 1"),
        ("albert", {"num_hidden_groups": 3}, "groups must lie between 1 and depth=2, got 3"),
        ("xlnet", {"attn_type": "uni"}, "attn_type is 'uni', but only 'bi'"),
        ("xlnet", {"same_length": True}, "same_length is True, but only False"),
        ("xlnet", {"untie_r": False}, "untie_r is False, but only True"),
        ("xlnet", {"summary_type": "mean"}, "summary_type is 'mean', but only 'last'"),
        ("xlnet", {"d_head": 8}, "d_head is 8, but only 4"),
        ("xlnet", {"n_token": 30}, r"n_token and vocab_size differ|vocab_size and n_token differ"),
    ],
)
def test_what_is_not_computed_here_is_refused(name, change, message, tmp_path):
    published(name, "classification").save_pretrained(tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(ValueError, match=message) as error:
        load_model(tmp_path)
    assert str(tmp_path / "config.json") in str(error.value)


@every_kind
def test_what_is_left_unsaid_has_the_value_which_it_has_there(name, tmp_path):
    kind = PEERS[name]
    defaults = kind.config().to_dict()
    assert len(defaults) > 20
    for about in (defaults, {"model_type": kind.ours}):
        folder = tmp_path / str(len(about))
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(about))
    full, bare = (read_config(tmp_path / str(len(about)))[1] for about in (defaults, {"": ""}))
    assert full == bare


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"mem_len": None, "clamp_len": -1}, {"memory": 0, "clamp": 0}),
        ({"mem_len": 384, "clamp_len": 256}, {"memory": 384, "clamp": 256}),
        ({"dropout": 0.25}, {"dropout": 0.25, "attention_dropout": 0.25}),
        ({"dropout": 0.25, "dropatt": 0.0}, {"dropout": 0.25, "attention_dropout": 0.0}),
    ],
)
def test_fields_of_xlnet_are_read_and_written_as_they_were(change, wanted, tmp_path):
    published("xlnet", "").save_pretrained(tmp_path)
    rewrite(tmp_path, change)
    model = load_model(tmp_path)
    assert {key: getattr(model.config, key) for key in wanted} == wanted
    save_model(model, tmp_path / "again")
    about = json.loads((tmp_path / "again" / "config.json").read_text())
    assert {key: about[key] for key in change} == change
    assert ("dropatt" in about) == ("dropatt" in change)
    assert load_model(tmp_path / "again").config == model.config
    assert transformers.AutoModel.from_pretrained(tmp_path / "again").config.mem_len == change.get("mem_len", 512)


@pytest.mark.parametrize(
    ("name", "change", "rate"),
    [
        ("bert", {"classifier_dropout": 0.3}, 0.3),
        ("bert", {"classifier_dropout": None, "hidden_dropout_prob": 0.2}, 0.2),
        ("albert", {"classifier_dropout_prob": 0}, 0.0),
        ("xlnet", {"summary_last_dropout": 0.4}, 0.4),
        ("xlnet", {}, 0.1),
    ],
)
def test_the_dropout_below_a_head_is_kept(name, change, rate, tmp_path):
    published(name, "classification").save_pretrained(tmp_path)
    rewrite(tmp_path, change)
    model = load_model(tmp_path)
    assert model.dropout.rate == rate
    model.dropout.rate = 0.45
    save_model(model, tmp_path)
    assert load_model(tmp_path).dropout.rate == 0.45
    key = {"bert": "classifier_dropout", "albert": "classifier_dropout_prob", "xlnet": "summary_last_dropout"}[name]
    assert class_of(name, "classification")[0].from_pretrained(tmp_path).config.to_dict()[key] == 0.45


def test_what_old_files_say_of_generation_is_left_aside(tmp_path):
    published("bert", "tagging").save_pretrained(tmp_path)
    rewrite(tmp_path, {"do_sample": False, "max_length": 20, "output_past": True, "pruned_heads": {}, "top_k": 50})
    assert load_model(tmp_path).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("name", ["bert", "albert", "xlnet"])
@pytest.mark.parametrize("head", ["classification", "tagging"])
def test_names_of_classes_are_kept_by_both(name, head, tmp_path):
    model = ours(name, head)
    save_model(model, tmp_path)
    peer = class_of(name, head)[1].from_pretrained(tmp_path)
    assert peer.config.id2label == {0: "a", 1: "b", 2: "c"}
    peer.save_pretrained(tmp_path / "again")
    assert load_model(tmp_path / "again").labels == model.labels == ("a", "b", "c")


def test_every_head_is_beside_one_of_theirs():
    assert {head for _, head in ALL} - {""} == set(HEADS) - {"similarity"}  # which has no weight, and no class there

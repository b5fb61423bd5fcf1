"""Encoders with their tokenizers: what they say of texts, whatever stands beside these."""

import json
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_encoders import LINES, reviews, save_reader, small_reader
from torch.testing import assert_close

import regard
from regard.data.inputs import Draws, Examples, Inputs, frame_texts
from regard.data.loading import Cursor
from regard.reading.embedding import Pooling, embed
from regard.reading.pretrained import find_model
from regard.reading.reader import Reader
from regard.text.framing import Framing, shortened

KINDS = ["bert", "albert", "xlnet"]
TEXTS = [text for text, _ in reviews(40)] + ["a", " ".join(LINES[:3])]


@pytest.fixture(scope="module", params=KINDS)
def reader(request):
    return small_reader(request.param, "classification", ("no", "yes"))


def test_the_order_of_texts_and_their_neighbours_change_nothing(reader):
    whole = {text: one.probabilities for text, one in zip(TEXTS, reader.predict(TEXTS), strict=True)}
    mixed = random.Random(1).sample(TEXTS, len(TEXTS))
    for text, one in zip(mixed, reader.predict(mixed), strict=True):
        assert one.probabilities == pytest.approx(whole[text], abs=1e-6)
    for text in TEXTS[:3]:
        assert reader.predict([text])[0].probabilities == pytest.approx(whole[text], abs=1e-6)


def test_what_holds_in_this_thread_holds_for_every_batch(reader, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(reader, "batch", 8)
    assert reader.batch_threads == 2
    with torch.autocast("cpu", torch.bfloat16):
        found = reader.read(reader.frame(TEXTS[:5])[0], lambda text, _: [torch.is_autocast_enabled("cpu")] * len(text))
    assert found == [True] * 5


def test_a_pair_is_no_text_of_both(reader):
    one, other = reader.predict([("the film was good", "dull"), "the film was good dull"])
    assert one.probabilities != other.probabilities


def test_reading_drops_nothing_and_leaves_the_model_in_training(reader):
    wanted = reader.embed(TEXTS)

    def stops(done: int) -> None:
        """As somebody who presses Ctrl-C."""
        raise KeyboardInterrupt

    reader.model.train()
    try:
        assert_close(reader.embed(TEXTS), wanted)
        with pytest.raises(KeyboardInterrupt):
            reader.scores(reader.frame(TEXTS)[0], stops)
        assert all(module.training for module in reader.model.modules())
    finally:
        reader.model.eval()


def test_no_text_gives_no_answer(reader):
    assert reader.predict([]) == []
    assert reader.embed([]).shape == (0, 32)


def test_one_text_is_not_read_letter_by_letter(reader):
    for use in (reader.predict, reader.embed, reader.tag):
        with pytest.raises(ValueError, match=r"are a list, as \['A fine film\.'\]; got one text, 'good film'"):
            use("good film")
    with pytest.raises(ValueError, match=r"options are a list, as .* got one text, 'dull'"):
        reader.choose("good", "dull")


@pytest.mark.parametrize("wrong", [None, ("a", "b", "c"), (), ("a", None), 3])
def test_what_is_neither_a_text_nor_a_pair_is_named(reader, wrong):
    with pytest.raises(ValueError, match=r"texts\[1\] must be a text or a pair of texts, got ") as caught:
        reader.predict(["good", wrong])
    assert str(caught.value).endswith(f"got {wrong!r}")


def test_long_texts_are_cut_and_counted(reader):
    long = " ".join(["good"] * 900)
    inputs, cut = reader.frame(["good", long], 20)
    assert inputs.lengths.tolist() == [3, 20]
    assert cut == 1


def test_directories_keep_all_of_a_reader(tmp_path, reader):
    regard.save(reader, tmp_path)
    loaded = regard.load(tmp_path)
    assert isinstance(loaded, Reader)
    assert loaded.labels == ("no", "yes")
    for one, other in zip(reader.predict(TEXTS), loaded.predict(TEXTS), strict=True):
        assert one == other


@pytest.mark.parametrize("pooling", [Pooling("summary"), Pooling("max", normalises=False, longest=9)])
def test_directories_keep_how_vectors_are_made(tmp_path, pooling):
    first = small_reader()
    first.pooling = pooling
    first.save(tmp_path / "model")
    again = Reader.load(tmp_path / "model")
    assert again.pooling == Pooling(pooling.kind, pooling.normalises, pooling.longest or first.longest)
    assert torch.equal(again.embed(TEXTS[:1]), first.embed(TEXTS[:1]))
    small_reader().save(tmp_path / "plain")
    assert not (tmp_path / "plain" / "modules.json").exists()


@pytest.mark.parametrize("use", ["answer", "fill", "tag", "choose"])
def test_a_use_without_its_head_is_refused(reader, use):
    arguments = {"answer": ("what", "that"), "fill": ("[MASK]",), "tag": (["a b"],), "choose": ("a", ["b", "c"])}
    with pytest.raises(ValueError, match="this model has a head for classification, and cannot"):
        getattr(reader, use)(*arguments[use])


def test_numbers_tags_options_and_spans_have_their_forms():
    texts = ["the film was good", "dull"]
    assert [type(one.label) for one in small_reader("bert", "regression").predict(texts)] == [float, float]
    (tagged,) = small_reader("bert", "tagging", ("O", "B-X")).tag([["the", "film", "endless"]])
    assert len(tagged.words) == len(tagged.tags) == 3
    choice = small_reader("bert", "choice").choose("the film was", ["good", "bad", "dull"])
    assert sum(choice.probabilities) == pytest.approx(1.0, abs=1e-5)
    context = " and ".join(LINES[:8])  # longer than what the model reads at once
    ranked = small_reader("bert", "span").answer("what was it", context, stride=16)
    assert all(context[span.start : span.end] == span.text for span in ranked.spans)


def test_words_behind_the_limit_have_no_tag():
    words = ["good"] * 100
    (tagged,) = small_reader("bert", "tagging", ("O", "B-X")).tag([words])
    assert tagged.tags[61] is not None  # 64 positions less two
    assert tagged.tags[62:] == [None] * 38


def test_a_word_without_pieces_has_no_tag_and_moves_none():
    reader = small_reader("bert", "tagging", ("O", "B-X"))
    (whole,) = reader.tag([["the", "good", "film"]])
    (blank,) = reader.tag([["the", "\u200b", "good", "film"]])
    assert blank.tags == [whole.tags[0], None, *whole.tags[1:]]


def test_masks_are_filled_with_the_likeliest_pieces():
    reader = small_reader("bert", "masked")
    first, second = reader.fill("the [MASK] was [MASK]", best=200 if reader.tokenizer.size > 200 else 20)
    for mask in (first, second):
        values = [one.probability for one in mask]
        assert values == sorted(values, reverse=True)
    ids = reader.framing.frame(
        [*reader.tokenizer.encode("the"), reader.tokenizer.mask, *reader.tokenizer.encode("was"), reader.tokenizer.mask]
    )[0]
    with torch.inference_mode():
        scores = reader.model(regard.Packed.of([ids])).softmax(-1)[ids.index(reader.tokenizer.mask)]
    assert first[0].id == int(scores.argmax())
    assert first[0].probability == pytest.approx(float(scores.max()), abs=1e-6)


@pytest.mark.parametrize(("text", "message"), [("no mask", "there is nothing to fill in"), ("[MASK]" * 99, "exceeds")])
def test_what_cannot_be_filled_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        small_reader("bert", "masked").fill(text)


@pytest.mark.parametrize("kind", ["mean", "summary", "max"])
def test_vectors_are_what_pooling_says(reader, kind):
    text = "the film was good and the walk ended"
    ids, segments = reader.framing.frame(reader.tokenizer.encode(text))
    with torch.inference_mode():
        states = reader.encoder.hidden(regard.Packed.of([ids]), torch.tensor(segments))
    place = -1 if reader.framing.is_last else 0
    wanted = {"mean": states.mean(0), "summary": states[place], "max": states.amax(0)}[kind]
    found = embed(reader, ["dull", text], Pooling(kind, normalises=False))[1]
    assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert embed(reader, [text], Pooling(kind)).norm().item() == pytest.approx(1.0, abs=1e-5)


def test_rounded_weights_change_little():
    reader = small_reader("bert", "classification", ("no", "yes"))
    before = [one.probabilities["yes"] for one in reader.predict(TEXTS)]
    reader.round_weights("int8")
    after = [one.probabilities["yes"] for one in reader.predict(TEXTS)]
    assert after == pytest.approx(before, abs=0.02)
    alone = [reader.predict([text])[0].probabilities["yes"] for text in TEXTS[:5]]
    assert alone == pytest.approx(after[:5], abs=1e-5)  # each row is rounded by itself


def test_rounded_weights_are_not_saved(tmp_path):
    reader = small_reader()
    reader.round_weights("int8")
    with pytest.raises(ValueError, match="the weights were rounded, and are not there to be saved"):
        reader.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_packaged_model_gives_the_vectors_of_sentence_transformers():
    peer = pytest.importorskip("sentence_transformers")
    folder = find_model("minilm")
    texts = ["A short one.", "Ein längerer Satz, mit Umlauten: äöü!", "word " * 700, "", "猫が好きです"]
    wanted = peer.SentenceTransformer(str(folder)).encode(texts)
    assert_close(Reader.load(folder).embed(texts), torch.from_numpy(wanted), atol=1e-5, rtol=0)


def test_an_unknown_model_is_named():
    with pytest.raises(FileNotFoundError, match="did you mean 'minilm'"):
        find_model("minilmm")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modules.json": [{"type": "a.Transformer", "path": ""}, {"type": "a.Dense", "path": "2"}]}, "Dense is not"),
        ({"1/config.json": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}}, "its pooling is"),
        ({"1/config.json": {"pooling_mode_lasttoken": True}}, "its pooling is pooling_mode_lasttoken"),
    ],
)
def test_pooling_which_is_not_computed_is_refused(tmp_path, change, message):
    folder = save_reader(tmp_path / "model")
    (folder / "1").mkdir()
    files = {
        "modules.json": [{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "1"}],
        "1/config.json": {"pooling_mode_mean_tokens": True},
    }
    for name, content in {**files, **change}.items():
        (folder / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Reader.load(folder)


def test_a_tokenizer_of_another_model_is_refused():
    reader = small_reader("bert")
    reader.model.config = type(reader.model.config)(**{**vars(reader.model.config), "vocabulary": 5})
    with pytest.raises(ValueError, match="the model knows 5 ids, the tokenizer has"):
        Reader(reader.model, reader.tokenizer)


def test_other_directories_are_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ValueError, match=r"holds gpt2, a language model, .* and not an encoder"):
        Reader.load(tmp_path)


FIRST, LAST = Framing(101, 102, is_last=False), Framing(3, 4, is_last=True)


def test_inputs_are_framed_as_the_papers_do():
    assert FIRST.frame([7, 8]) == ([101, 7, 8, 102], [0, 0, 0, 0])
    assert FIRST.frame([7, 8], [9]) == ([101, 7, 8, 102, 9, 102], [0, 0, 0, 0, 1, 1])
    assert LAST.frame([7, 8], [9]) == ([7, 8, 4, 9, 4, 3], [0, 0, 0, 1, 1, 2])


@given(st.integers(1, 30), st.integers(1, 30), st.integers(2, 50))
def test_the_longer_text_is_cut_first(first, second, room):
    texts = [list(range(first)), list(range(second))]
    wanted = [list(one) for one in texts]
    while sum(map(len, wanted)) > room:  # as the codes of BERT and Transformers do, id by id
        max(reversed(wanted), key=len).pop()
    assert [list(one) for one in shortened(texts, room)] == wanted


def test_without_room_nothing_is_cut_silently():
    with pytest.raises(ValueError, match="there is room for 1 tokens, and 2 texts"):
        shortened([[1], [2]], 1)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 7), st.integers(0, 5))
def test_an_epoch_sees_every_example_once_and_can_be_entered_anywhere(lengths, size, seed):
    framed = [([n + 1] * length, [0] * length) for n, length in enumerate(lengths)]
    draws = Draws(Examples(Inputs.of(framed), torch.arange(len(lengths))), size, seed)
    plan, places = draws.plan(Cursor()), [Cursor()]
    batches = []
    while places[-1].epoch < 2:
        item, after = next(plan)
        batches.append(item.tolist())
        places.append(after)
    half = len(batches) // 2
    for epoch in (batches[:half], batches[half:]):
        assert sorted(n for batch in epoch for n in batch) == list(range(len(lengths)))
    for place, wanted in zip(places, batches, strict=False):
        assert next(draws.plan(place))[0].tolist() == wanted
    batch = draws.batch(np.array(batches[0]))
    assert [part[0].item() - 1 for part in batch.text.unpack(batch.text.tokens)] == batches[0]
    assert batch.labels[0].tolist() == batches[0]


def test_texts_are_framed_together_as_one_by_one():
    words = small_reader("bert").tokenizer
    framing = words.framing(is_last=False)
    texts = [("the film was good",), ("dull", "the walk ended"), ("a",)]
    inputs, _ = frame_texts(texts, words, framing, 64)
    for number, parts in enumerate(texts):
        alone, _ = frame_texts([parts], words, framing, 64)
        text, segments = inputs.packed(np.array([number]))
        assert text.tokens.tolist() == alone.ids.tolist()
        assert segments.tolist() == alone.segments.tolist()

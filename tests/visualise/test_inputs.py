"""What an encoder attends to and what it says of its inputs, as the pictures have it."""

import numpy as np
import pytest
import torch
from small_encoders import LINES, small_reader
from tiny import headed, shaken

import regard
from regard.attention.record import Attention
from regard.reading.packed import PackedReader
from regard.text.tokenizer import Tokenizer
from regard.visualise.inputs import examples
from regard.visualise.picture import Picture

KINDS = ["bert", "albert", "xlnet"]
PAIR = ("the good film ended", "the song was bad and the day was dull")
LONG = "the film was good and the walk was dull and the song ended and the book was bad and the day was bright"


def reader_of(kind: str, head: str = "", labels: tuple[str, ...] = (), **changes) -> PackedReader:
    """A small encoder of random weights, which says all sorts of things."""
    reader = small_reader(kind, head, labels, **changes)
    torch.manual_seed(1)
    shaken(reader.model)
    return reader


def applied(reader: PackedReader):
    """Which attentions are applied, in their order, as hooks see them."""
    names = {module: name for name, module in reader.named_modules() if isinstance(module, Attention)}
    seen = []
    handles = [module.register_forward_hook(lambda module, *_: seen.append(names[module])) for module in names]
    return seen, handles


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_is_what_is_recorded(kind):
    reader = reader_of(kind, "classification", ("no", "yes"))
    (drawn,) = examples(reader, [PAIR])
    with regard.recording(reader) as maps:
        reader.predict([PAIR])
    recorded = [weights for calls in maps.calls.values() for weights in calls]  # of one module, or each called once
    assert len(drawn.maps) == reader.model.config.depth == len(recorded)
    for one, weights in zip(drawn.maps, recorded, strict=True):
        assert np.abs(one.weights - weights[0].numpy()).max() < 1e-6
        assert one.queries == one.keys
        assert one.kind == "encoder"
    assert [one.layer for one in drawn.maps] == list(range(len(recorded)))


def test_each_application_of_shared_layers_is_a_layer_in_the_order_of_application():
    reader = reader_of("albert", "", depth=5, groups=2, inner=2)
    (drawn,) = examples(reader, [PAIR])
    seen, handles = applied(reader)
    with regard.recording(reader) as maps:
        reader.embed([PAIR[0]])
    for handle in handles:
        handle.remove()
    assert seen[0:2] != seen[-2:]  # of several groups
    assert [one.name.partition("(")[2] for one in drawn.maps] == [f"{name})" for name in seen]
    assert [one.layer for one in drawn.maps] == list(range(10))
    assert [len(calls) for calls in maps.calls.values()] == [3, 3, 2, 2]
    (single,) = examples(reader, [PAIR[0]])
    rest = {name: iter(calls) for name, calls in maps.calls.items()}
    for one, name in zip(single.maps, seen, strict=True):
        assert np.abs(one.weights - next(rest[name])[0].numpy()).max() < 1e-6


def test_a_pair_which_is_read_in_both_orders_is_drawn_in_one_with_the_prediction_of_both():
    reader = reader_of("bert", "classification", ("no", "yes"))
    reader.model.pairs = "both"
    (drawn,) = examples(reader, [PAIR])
    (found,) = reader.predict([PAIR])
    assert dict(drawn.text)["prediction"] == f"{found.label}, with probability {found.probability:.3f}"
    assert dict(drawn.text)["shown"] == "the pair in this order; the prediction is of both"
    reader.model.pairs = "joined"
    (alone,) = examples(reader, [PAIR])
    assert all(np.array_equal(one.weights, other.weights) for one, other in zip(drawn.maps, alone.maps, strict=True))
    assert dict(alone.text)["prediction"] != dict(drawn.text)["prediction"]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_which_are_compared_are_drawn_in_one_where_neither_sees_the_other(kind):
    reader = reader_of(kind, "similarity")
    (drawn,) = examples(reader, [PAIR])
    (found,) = reader.predict([PAIR])
    assert dict(drawn.text)["prediction"] == f"{found.label:.4g}"
    assert dict(drawn.text)["shown"] == "both texts one after the other; neither sees the other"
    assert [passage.name for passage in drawn.passages] == ["first text", "second text"]
    first = len(drawn.passages[0].tokens)
    inputs, _ = reader.frame([PAIR])
    assert inputs.lengths.tolist() == [len(passage.tokens) for passage in drawn.passages]
    plain = PackedReader(reader.encoder, reader.tokenizer)
    alone = [next(examples(plain, [text])) for text in PAIR]
    for one, left, right in zip(drawn.maps, *(each.maps for each in alone), strict=True):
        assert not one.weights[:, :first, first:].any()
        assert not one.weights[:, first:, :first].any()
        assert np.abs(one.weights[:, :first, :first] - left.weights).max() < 1e-5
        assert np.abs(one.weights[:, first:, first:] - right.weights).max() < 1e-5
    with pytest.raises(ValueError, match="two texts are compared here, got one text, 'the good film ended'; give two"):
        list(examples(reader, [PAIR[0]]))


def test_gpt_is_drawn_with_its_special_tokens_and_sees_nothing_ahead():
    words = Tokenizer.train(LINES, kind="bpe", vocabulary=90).for_tasks()
    reader = PackedReader(headed("gpt-encoder", "classification", words=words.size, dtype=torch.float32), words)
    (drawn,) = examples(reader, [PAIR])
    assert [passage.name for passage in drawn.passages] == ["first text", "second text", "summary"]
    ends = [(passage.tokens[0], passage.tokens[-1]) for passage in drawn.passages]
    assert (ends[0][0], ends[0][1], ends[2][0]) == ("_start_", "_delimiter_", "_classify_")
    assert all(not np.triu(one.weights, 1).any() for one in drawn.maps)


def test_gpt_without_special_tokens_is_drawn_as_it_reads():
    words = Tokenizer.train(LINES, kind="bpe", vocabulary=90)
    reader = PackedReader(headed("gpt-encoder", "classification", words=words.size, dtype=torch.float32), words)
    for given, names in (("the film", ["text"]), (PAIR, ["first text", "second text"])):
        (drawn,) = examples(reader, [given])
        assert [passage.name for passage in drawn.passages] == names


def test_a_head_of_permuted_words_is_drawn_as_its_encoder():
    reader = reader_of("xlnet", "permuted")
    (drawn,) = examples(reader, [PAIR])
    (bare,) = examples(PackedReader(reader.encoder, reader.tokenizer), [PAIR])
    for one, other in zip(drawn.maps, bare.maps, strict=True):
        assert one.name == f"encoder.{other.name}"
        assert np.abs(one.weights - other.weights).max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_segments_are_passages_and_special_tokens_are_seen(kind):
    reader = reader_of(kind)
    (drawn,) = examples(reader, [PAIR])
    names = ["first text", "second text", *["summary"] * (kind == "xlnet")]
    assert [passage.name for passage in drawn.passages] == names
    tokens = [token for passage in drawn.passages for token in passage.tokens]
    assert tuple(tokens) == drawn.maps[0].queries
    special = reader.tokenizer.special_tokens
    assert tokens[-1 if kind == "xlnet" else 0] == special["cls_token"]
    assert [passage.tokens[-1] for passage in drawn.passages[:2]] == [special["sep_token"]] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_classes_have_the_probabilities_which_are_predicted(kind):
    reader = reader_of(kind, "classification", tuple(f"class {n}" for n in range(11)))
    for drawn, predicted in zip(examples(reader, [*PAIR]), reader.predict(list(PAIR)), strict=True):
        (chances,) = drawn.chances
        assert chances.shares[0][0] == predicted.label
        assert len(chances.shares) == 8
        for name, share in chances.shares:
            assert share == pytest.approx(predicted.probabilities[name], abs=1e-6)
        others = 1 - sum(share for _, share in chances.shares)
        assert chances.note == f"3 others have {others:.3f} together"
        assert dict(drawn.text)["prediction"] == f"{predicted.label}, with probability {predicted.probability:.3f}"


def test_a_number_is_the_one_which_is_predicted():
    reader = reader_of("bert", "regression")
    (drawn,) = examples(reader, [PAIR])
    assert dict(drawn.text) == {"prediction": f"{reader.predict([PAIR])[0].label:.4g}"}


def test_heads_which_are_left_out_are_left_out_of_pictures_too():
    reader = reader_of("bert", "classification", ("no", "yes"))
    (whole,) = examples(reader, [PAIR])
    with regard.without_heads(reader, {"encoder.blocks.1.attention": [0]}):
        (drawn,) = examples(reader, [PAIR])
        (predicted,) = reader.predict([PAIR])
    assert drawn.chances[0].shares[0][1] == pytest.approx(predicted.probability, abs=1e-6)
    assert drawn.chances != whole.chances


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_marked_where_it_stands_in_its_window(kind):
    reader = reader_of(kind, "span")
    reader.longest = 24
    question = "what was bad"
    (drawn,) = examples(reader, [(question, LONG)], stride=5)
    ranked = reader.answer(question, LONG, stride=5)
    text = dict(drawn.text)
    assert text["best answer"] == ranked.best
    verdict = "above the threshold 0: there is none" if ranked.null_odds > 0 else "not above the threshold 0: the best"
    assert text["odds of none"].startswith(f"{ranked.null_odds:+.2f} nats, {verdict}")
    (other,) = examples(reader, [(question, LONG)], stride=5, threshold=ranked.null_odds + 1)
    assert dict(other.text)["odds of none"].endswith("the best answer stands")
    assert text["window"].startswith("number ")
    context = next(passage for passage in drawn.passages if passage.name == "context")
    assert [passage.marked for passage in drawn.passages if passage.name != "context"] == [None] * (
        len(drawn.passages) - 1
    )
    first, last = context.marked
    marked = "".join(token.strip("·▁ ") for token in context.tokens[first : last + 1])
    assert marked == ranked.best.replace(" ", "")
    shown = [share for _, share in drawn.chances[0].shares]
    assert shown == pytest.approx([span.probability for span in ranked.spans[:8]], abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_start_and_end_of_an_answer_is_written_under_its_token(kind):
    reader = reader_of(kind, "span")
    (drawn,) = examples(reader, [("what was bad", "the song was bad")])
    parts = [reader.tokenizer.encode(text) for text in ("what was bad", "the song was bad")]
    ids, segments = reader.framing.frame(*(parts[::-1] if kind == "xlnet" else parts))
    with torch.no_grad():
        sides = reader.model(regard.Packed.of([ids]), torch.tensor(segments))
    starts, ends = (side.softmax(0).tolist() for side in sides)
    notes = [note for passage in drawn.passages for note in passage.notes]
    for start, end, note in zip(starts, ends, notes, strict=True):
        wanted = [f"{name} {share:.2f}" for name, share in (("start", start), ("end", end)) if share >= 0.01]
        assert list(note) == wanted
    assert any(notes)


@pytest.mark.parametrize("kind", ["bert", "albert"])
def test_masks_have_the_candidates_which_fill_them(kind):
    reader = reader_of(kind, "masked")
    mask = reader.tokenizer.special_tokens["mask_token"]
    text = f"the {mask} was {mask} ."
    (drawn,) = examples(reader, [text], best=4)
    for chances, filled in zip(drawn.chances, reader.fill(text, best=4), strict=True):
        assert [name for name, _ in chances.shares] == [one.piece for one in filled]
        assert [share for _, share in chances.shares] == pytest.approx([one.probability for one in filled], abs=1e-6)
    places = [place for place, note in enumerate(drawn.passages[0].notes) if note]
    assert [drawn.passages[0].tokens[place] for place in places] == [mask, mask]


def test_a_model_of_masked_words_is_shown_at_a_text_without_masks():
    (drawn,) = examples(reader_of("bert", "masked"), ["the film was good"])
    assert drawn.chances == ()
    assert len(drawn.maps) == 2


def test_tags_stand_under_the_first_pieces_of_their_words():
    reader = reader_of("bert", "tagging", ("A", "B", "C"))
    words = ["the", "film", "zzz", "ended"]
    (drawn,) = examples(reader, [words])
    (tagged,) = reader.tag([words])
    notes = [note for note in drawn.passages[0].notes if note]
    assert notes == [(tag, f"{share:.2f}") for tag, share in zip(tagged.tags, tagged.probabilities, strict=True)]


def test_each_option_has_a_picture_and_all_have_their_probabilities():
    reader = reader_of("bert", "choice")
    options = ["it was good", "it was bad", "it ended"]
    drawn = list(examples(reader, [("the film", options)]))
    chosen = reader.choose("the film", options)
    assert len(drawn) == 3
    for one in drawn:
        assert one.chances[0].shares[0][0] == f"{chosen.option}: {options[chosen.option]}"
        assert one.chances[0].shares[0][1] == pytest.approx(max(chosen.probabilities), abs=1e-6)
        assert [passage.name for passage in one.passages] == ["text", "option"]


def test_looking_leaves_the_model_as_it_was():
    reader = reader_of("bert", "classification", ("no", "yes"))
    reader.model.train()
    list(examples(reader, ["the film"]))
    assert all(module.training for _, module in reader.named_modules())
    assert all(getattr(module, "recorded", None) is None for _, module in reader.named_modules())


def test_what_is_cut_is_said():
    reader = reader_of("bert")
    reader.longest = 8
    (drawn,) = examples(reader, [LONG])
    assert dict(drawn.text)["cut"] == "the input is longer than 8 tokens, and is read without its end"


def test_a_reader_is_viewed_as_a_translator_is(tmp_path):
    hostile = "</script><script>window.stolen = 1</script><img src=x onerror=alert(1)>"
    reader = reader_of("bert", "classification", (hostile, "yes"))
    page = regard.view(reader, [PAIR, hostile], tmp_path / "page.html", title=hostile)
    text = page.read_text("utf-8")
    assert text.count('class="example"') == 2
    assert text.count("<script") == text.count("</script>") == 4  # two examples, the titles, the page's own
    assert "<img" not in text
    assert Picture(examples(reader, [hostile]))._repr_html_().count("<") == 2  # a notebook's frame, in which it stands


@pytest.mark.parametrize(
    ("head", "given", "options", "message"),
    [
        ("", [], {}, "there is no sentence to look at"),
        ("", [" "], {}, "input 1 has an empty text"),
        ("classification", ["a", ("a", "b", "c")], {}, "input 2 must be a text or a pair of texts"),
        ("choice", ["a"], {}, "input 1 must be a text and a list of two options or more"),
        ("choice", [("a", ["b"])], {}, "input 1 must be a text and a list of two options or more"),
        ("tagging", [""], {}, "input 1 is empty"),
        ("span", ["what"], {}, "input 1 must be a question and its context"),
        ("span", [("what", " ")], {}, "input 1 must be a question and its context"),
        ("masked", ["the film"], {"best": 0}, "best must lie between 1 and the"),
        ("masked", ["film " * 70], {}, "input 1 has 72 tokens, more than the limit of 64"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(tmp_path, head, given, options, message):
    labels = ("A", "B") if head in ("classification", "tagging") else ()
    with pytest.raises(ValueError, match=message):
        regard.view(reader_of("bert", head, labels), given, tmp_path / "page.html", **options)
    assert not list(tmp_path.iterdir())


def test_an_option_of_another_head_is_refused():
    with pytest.raises(TypeError, match="best"):
        examples(reader_of("bert"), ["the film"], best=3)

"""From an encoder to pictures: what each token of an input attends to, and what the model says of it.

An input is what the model's head reads: a text or a pair of texts; a text and its options; a sentence, or its words; a
question and its context; a text with masks. An encoder without a head is shown at work, and says nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regard.attention.record import Maps, attentions
from regard.data.examples import Choices, TaggedWords
from regard.data.inputs import Inputs
from regard.data.labels import OF_NUMBERS
from regard.data.squad import Question
from regard.data.squad_windows import Window
from regard.decoding.spans import Ranked
from regard.reading.answering import find
from regard.reading.filling import masked_ids
from regard.reading.packed import PackedReader
from regard.reading.predicting import words_of
from regard.reading.preparing import SPANS, form_of, prepare
from regard.text.framing import SUMMARY
from regard.visualise.maps import AttentionMap, Chances, Example, Passage
from regard.visualise.watching import watching

SHOWN = 8  # of what is chosen among, at most
LEAST = 0.01  # probability which is written under a token
UNASKED = ("", *SPANS, "permuted")  # heads of which the states alone are looked at; what spans say is asked for apart

Input = str | Sequence[Any]


@dataclass(frozen=True, eq=False)
class Seen:
    """One input, what the model gave for it, and what was attended to."""

    ids: list[int]
    segments: list[int]
    output: Tensor
    maps: Maps


@dataclass(frozen=True)
class Told:
    """What is said of one input, beside its attention."""

    text: Mapping[str, str] = field(default_factory=dict)
    chances: Sequence[Chances] = ()
    notes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # by the place of a token
    marked: tuple[int, int] | None = None  # places of the first and the last token of what was found
    legend: str = ""


def examples(reader: PackedReader, inputs: Sequence[Input], **options: Any) -> Iterator[Example]:
    """The attention of each input, made one at a time.

    Args:
        reader: an encoder, or one with a head.
        inputs: for a head of classes, of a number or of permuted words, or without a head, texts and pairs; for one of
            options, pairs of a text and a list of options, each of which has a picture of its own; for one of tags,
            sentences, or lists of words; for one of spans, pairs of a question and its context; for one of masked
            words, texts and pairs, with masks or without.
        options: `best=5` candidates for each mask; `stride=128` tokens between the starts of two windows of a context,
            and `threshold=0.0`, the odds of no answer above which there is said to be none.

    Raises:
        ValueError: if an input is not what the head reads, is empty or too long, or an option is out of its range.
    """
    return _DRAWN[reader.head](reader, inputs, **options)


def _texts(reader: PackedReader, inputs: Sequence[Input]) -> Iterator[Example]:
    """Texts and pairs, and the class or the number of each."""
    for number, given in enumerate(inputs, 1):
        parts = _parts(given, number)
        first, *second = parts
        framed, cut = reader.frame([(first, second[0]) if second else first])
        seen = _see(reader, framed)
        scores = seen.output if reader.pairs == "joined" else reader.scores(framed)
        text: dict[str, str] = {}
        chances: list[Chances] = []
        if reader.head == "classification":
            chances = [_chances("class", reader.labels, scores[0].softmax(-1).tolist())]
            label, share = chances[0].shares[0]
            text["prediction"] = f"{label}, with probability {share:.3f}"
        elif reader.head in OF_NUMBERS:
            text["prediction"] = f"{float(scores[0]):.4g}"
        if reader.pairs == "both":
            text["shown"] = "the pair in this order; the prediction is of both"
        if reader.pairs == "apart":
            text["shown"] = "both texts one after the other; neither sees the other"
        if cut:
            what = "a text" if reader.pairs == "apart" else "the input"
            text["cut"] = f"{what} is longer than {reader.longest} tokens, and is read without its end"
        yield _drawn(reader, _title(*parts), seen, Told(text, chances))


def _options(reader: PackedReader, inputs: Sequence[Input]) -> Iterator[Example]:
    """A text with each of its options, and how probable each of these is."""
    for number, given in enumerate(inputs, 1):
        text, options = given if not isinstance(given, str) and len(given) == 2 else (given, ())
        if not isinstance(text, str) or isinstance(options, str) or len(options) < 2:
            raise ValueError(f"input {number} must be a text and a list of two options or more, got {given!r}")
        framed = prepare("choice", [Choices(text, tuple(options), None)], (), form_of(reader)).examples.inputs
        seen = [_see(reader, framed, place) for place in range(len(options))]
        shares = torch.cat([one.output for one in seen]).softmax(0).tolist()
        names = [f"{place}: {_title(option)}" for place, option in enumerate(options)]
        chances = [_chances("option", names, shares)]
        for place, one in enumerate(seen):
            about = {"shown": f"option {place}, with probability {shares[place]:.3f}"}
            yield _drawn(reader, f"{_title(text)} {names[place]}", one, Told(about, chances))


def _tags(reader: PackedReader, inputs: Sequence[Input]) -> Iterator[Example]:
    """Sentences, and the tag of each word, below its first piece."""
    for number, given in enumerate(inputs, 1):
        words = words_of(given) if isinstance(given, str) else list(given)
        if not words:
            raise ValueError(f"input {number} is empty")
        found = prepare("tagging", [TaggedWords(tuple(words), None)], (), form_of(reader)).examples
        assert found.places is not None
        seen = _see(reader, found.inputs)
        shares, best = seen.output.softmax(-1).max(-1)
        legend = "Below the first piece of each word: its tag, and how probable it is."
        places = found.places.tolist()
        notes = {place: (reader.labels[int(best[place])], f"{float(shares[place]):.2f}") for place in places}
        yield _drawn(reader, _title(" ".join(words)), seen, Told(notes=notes, legend=legend))


def _answers(
    reader: PackedReader, inputs: Sequence[Input], *, stride: int = 128, threshold: float = 0.0
) -> Iterator[Example]:
    """Questions, and the answer in the window of the context where it was found."""
    for number, given in enumerate(inputs, 1):
        question, context = given if not isinstance(given, str) and len(given) == 2 else ("", "")
        if not question.strip() or not context.strip():
            raise ValueError(f"input {number} must be a question and its context, got {given!r}")
        asked = [Question("asked", question, context)]
        prepared = prepare(reader.head, asked, (), form_of(reader, stride=stride))
        found = find(reader, prepared.windows, prepared.examples.inputs)
        ranked = found.ranked["asked"]
        place, marked = _where(prepared.windows, ranked)
        starts, ends = (side.tolist() for side in found.shares[place])
        lines = [
            [f"{name} {share:.2f}" for name, share in (("start", start), ("end", end)) if share >= LEAST]
            for start, end in zip(starts, ends, strict=True)
        ]
        told = Told(
            _about(ranked, place, len(prepared.windows), threshold),
            [_answers_of(ranked)],
            {place: tuple(own) for place, own in enumerate(lines) if own},
            marked,
            f"Below a token: the probability, where it is {LEAST} or more, that the answer starts or ends there; below "
            f"{reader.tokenizer.special_tokens['cls_token']}, that there is none in this window. The best answer is "
            "marked.",
        )
        yield _drawn(reader, _title(question), _see(reader, prepared.examples.inputs, place), told)


def _masks(reader: PackedReader, inputs: Sequence[Input], *, best: int = 5) -> Iterator[Example]:
    """Texts, and what may stand behind each mask."""
    if not 1 <= best <= reader.tokenizer.size:
        raise ValueError(
            f"best must lie between 1 and the {reader.tokenizer.size} pieces of the vocabulary, got {best}"
        )
    mask = reader.tokenizer.special_tokens["mask_token"]
    for number, given in enumerate(inputs, 1):
        parts = _parts(given, number)
        ids = [masked_ids(reader, part) if mask in part else reader.tokenizer.encode(part) for part in parts]
        framed = reader.framing.frame(*ids)
        if len(framed[0]) > reader.longest:
            raise ValueError(f"input {number} has {len(framed[0])} tokens, more than the limit of {reader.longest}")
        places = [place for place, id in enumerate(framed[0]) if id == reader.tokenizer.mask]
        seen = _see(reader, Inputs.of([framed]), rows=places)
        notes, chances = {}, []
        for place, row in zip(places, seen.output if places else (), strict=True):
            top = torch.topk(row.softmax(-1), best)
            pieces = reader.tokenizer.pieces(top.indices.tolist())
            shares = tuple(zip(pieces, top.values.tolist(), strict=True))
            chances.append(Chances(f"{mask} at place {place}", shares))
            notes[place] = tuple(f"{piece} {share:.2f}" for piece, share in shares[:3])
        legend = f"Below each {mask}: the likeliest pieces." if places else ""
        yield _drawn(reader, _title(*parts), seen, Told(chances=chances, notes=notes, legend=legend))


def _see(reader: PackedReader, inputs: Inputs, place: int = 0, rows: list[int] | None = None) -> Seen:
    """Record the model at one of the inputs, or at both texts of a pair, where they are read apart, in one row.

    Args:
        reader: with its head.
        inputs: of which one is looked at; of a pair which is read apart both, whose numbers stand for their segments.
        place: of the one.
        rows: places for which a head of masked words is asked.
    """
    is_apart = reader.pairs == "apart"
    read, segments = inputs.packed(np.arange(2) if is_apart else np.array([place]))
    text, kinds = read.to(reader.device), segments.to(reader.device)
    with watching(reader.model) as maps:
        if reader.head in UNASKED or rows == [] or reader.pairs != "joined":
            output = reader.encoder.hidden(text, kinds)
        elif rows is not None:
            output = reader.model(text, kinds, torch.tensor(rows)).float().cpu()
        else:
            output = reader.model(text, kinds).float().cpu()
    parts = np.repeat(np.arange(2), inputs.lengths) if is_apart else segments
    return Seen(read.tokens.tolist(), parts.tolist(), output, maps)


def _drawn(reader: PackedReader, title: str, seen: Seen, told: Told) -> Example:
    """The picture of an input."""
    pieces = reader.tokenizer.pieces(seen.ids)
    maps = [AttentionMap(name, weights[0].float().cpu(), pieces, pieces) for name, weights in _applied(reader, seen)]
    passages, first = [], 0
    parts = [len(list(own)) for _, own in groupby(seen.segments)]
    for name, length in zip(_names(reader, len(parts), seen.segments[-1] == SUMMARY), parts, strict=True):
        notes = tuple(told.notes.get(place, ()) for place in range(first, first + length)) if told.notes else ()
        marked = None
        if told.marked is not None and first <= told.marked[0] < first + length:
            marked = told.marked[0] - first, told.marked[1] - first
        passages.append(Passage(name, tuple(pieces[first : first + length]), notes=notes, marked=marked))
        first += length
    return Example(title, maps, told.text, passages=passages, legend=told.legend, chances=told.chances)


def _applied(reader: PackedReader, seen: Seen) -> Iterator[tuple[str, Tensor]]:
    """Name and weights of each attention in the order in which they are applied.

    Where layers share their weights, one attention is applied several times. Each time is a layer, called after its
    number and the module: `encoder.layers.3.attention (encoder.blocks.0.0.attention)`.
    """
    if all(len(calls) == 1 for calls in seen.maps.calls.values()):
        yield from seen.maps.items()
        return
    names = {id(module): name for name, module in attentions(reader).items()}
    lead = "encoder." if reader.head else ""
    applied: Counter[str] = Counter()
    for layer, block in enumerate(reader.encoder.layers()):
        name = names[id(block.attention)]
        yield f"{lead}layers.{layer}.attention ({name})", seen.maps.calls[name][applied[name]]
        applied[name] += 1


def _names(reader: PackedReader, parts: int, has_summary: bool) -> tuple[str, ...]:
    """What the segments of an input are called, in their order; the last of them may be a summary of its own."""
    if parts - has_summary == 1:
        names = ("text",)
    elif reader.head in SPANS:
        names = ("context", "question") if reader.framing.is_last else ("question", "context")
    else:
        names = ("text", "option") if reader.head == "choice" else ("first text", "second text")
    return (*names, "summary") if has_summary else names


def _parts(given: Input, number: int) -> tuple[str, ...]:
    """One text or two.

    Raises:
        ValueError: if it is anything else, or one is empty.
    """
    parts = (given,) if isinstance(given, str) else tuple(given)
    if len(parts) not in (1, 2) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"input {number} must be a text or a pair of texts, got {given!r}")
    if not all(part.strip() for part in parts):
        raise ValueError(f"input {number} has an empty text")
    return parts


def _title(*texts: str) -> str:
    """A short title."""
    return shorten(" / ".join(texts), 60, placeholder="…")


def _chances(title: str, names: Sequence[str], shares: Sequence[float]) -> Chances:
    """The most probable of several, and how much the others have together."""
    order = sorted(range(len(names)), key=lambda place: -shares[place])
    listed = tuple((names[place], shares[place]) for place in order[:SHOWN])
    others = order[SHOWN:]
    note = f"{len(others)} others have {sum(shares[place] for place in others):.3f} together" if others else ""
    return Chances(title, listed, note)


def _answers_of(ranked: Ranked) -> Chances:
    """The best answers."""
    spans = ranked.spans[:SHOWN]
    note = f"among the {len(ranked.spans)} best answers, whatever the odds that there is none"
    return Chances("answer", tuple((_title(span.text), span.probability) for span in spans), note)


def _about(ranked: Ranked, place: int, windows: int, threshold: float) -> dict[str, str]:
    """The best answer in words, and where it was found."""
    about = {"best answer": ranked.best or "none: the context has no token"}
    if ranked.spans:
        is_none = ranked.null_odds > threshold
        says = "above" if is_none else "not above", "there is none" if is_none else "the best answer stands"
        about["odds of none"] = f"{ranked.null_odds:+.2f} nats, {says[0]} the threshold {threshold:g}: {says[1]}"
    if windows > 1:
        about["window"] = f"number {place + 1} of {windows}, in which the best answer was found"
    return about


def _where(windows: Sequence[Window], ranked: Ranked) -> tuple[int, tuple[int, int] | None]:
    """The window where the best answer was found, and the places of its first and last token."""
    if not ranked.spans:
        return 0, None
    best = ranked.spans[0]
    for number, window in enumerate(windows):
        starts, ends = window.offsets.T
        [firsts] = ((starts == best.start) & (ends > starts) & window.has_most_context).nonzero()
        [lasts] = ((ends == best.end) & (ends > starts)).nonzero()
        if len(firsts) and len(lasts):
            return number, (window.first + int(firsts[0]), window.first + int(lasts[-1]))
    raise AssertionError("an answer begins in the window where its first token has its most context")


_DRAWN: dict[str, Callable[..., Iterator[Example]]] = {  # by the name of a head
    "": _texts,
    "classification": _texts,
    "regression": _texts,
    "similarity": _texts,
    "choice": _options,
    "tagging": _tags,
    "span": _answers,
    "conditional-span": _answers,
    "masked": _masks,
    "masked-pair": _masks,
    "permuted": _texts,
}

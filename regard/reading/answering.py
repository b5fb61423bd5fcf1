"""Answers to questions, out of a context of any length (Devlin et al. 2019, section 4.2 and 4.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.attention.packing import Packed
from regard.data.inputs import Inputs
from regard.data.squad import Question
from regard.data.squad_windows import Window
from regard.decoding.spans import Beams, Ranked, best_beams, best_spans
from regard.reading.packed import PackedReader, Progress
from regard.reading.preparing import form_of, prepare


def answer(reader: PackedReader, asked: Sequence[tuple[str, str]], *, stride: int = 128) -> list[Ranked]:
    """The answers to each (question, context), best first.

    Args:
        reader: with a head for spans.
        asked: questions and the contexts in which their answers are to be found.
        stride: tokens between the starts of two windows of a context.

    Raises:
        ValueError: if a question or a context is empty.
    """
    for question, context in asked:
        if not question.strip() or not context.strip():
            raise ValueError(
                f"a question and its context must have text, got {question!r} and {len(context)} characters"
            )
    reader.require("span", "conditional-span", use="find answers")
    questions = [Question(str(n), *one, place=f"question {n + 1}") for n, one in enumerate(asked)]
    prepared = prepare(
        reader.head, [question.without_answers() for question in questions], (), form_of(reader, stride=stride)
    )
    ranked = find(reader, prepared.windows, prepared.examples.inputs).ranked
    return [ranked[question.id] for question in questions]


@dataclass(frozen=True)
class FoundAnswers:
    """The answers to questions, by id; and of each window how probable each token is as a start and as an end, [T]."""

    ranked: dict[str, Ranked]
    shares: list[tuple[Tensor, Tensor]]


def find(
    reader: PackedReader, windows: Sequence[Window], inputs: Inputs, progress: Progress | None = None
) -> FoundAnswers:
    """The answers to the question of each window."""
    reader.require("span", "conditional-span", use="find answers")
    if reader.head == "conditional-span":
        beams = _beams(reader, inputs, progress)
        parts = (beams.starts, beams.start_scores, beams.ends, beams.end_scores)
        rows = zip(inputs.lengths.tolist(), *parts, strict=True)
        return FoundAnswers(best_beams(windows, beams), [_spread(*row) for row in rows])

    def compute(text: Packed, segments: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Scores of one batch."""
        starts, ends = (text.unpack(scores.float().cpu()) for scores in reader.model(text, segments))
        return list(zip(starts, ends, strict=True))

    scores = reader.read(inputs, compute, progress)
    shares = [(starts.softmax(0), ends.softmax(0)) for starts, ends in scores]
    return FoundAnswers(best_spans(windows, *zip(*scores, strict=True)), shares)


def _beams(reader: PackedReader, inputs: Inputs, progress: Progress | None) -> Beams:
    """The best starts of each window, and the best ends after each of them."""

    def compute(text: Packed, segments: Tensor) -> list[tuple[Tensor, ...]]:
        """Those of one batch."""
        parts = reader.model.beams(text, segments, reader.framing.may_answer(text.tokens, segments))
        return list(
            zip(*(part.float().cpu() if part.is_floating_point() else part.cpu() for part in parts), strict=True)
        )

    return Beams(*(torch.stack(part) for part in zip(*reader.read(inputs, compute, progress), strict=True)))


def _spread(length: int, starts: Tensor, start_logs: Tensor, ends: Tensor, end_logs: Tensor) -> tuple[Tensor, Tensor]:
    """How probable each of so many tokens is as a start and as an end, as far as the beams say."""
    both = (start_logs[:, None] + end_logs).exp().flatten()
    nothing = torch.zeros(length)
    return nothing.index_add(0, starts, start_logs.exp()), nothing.index_add(0, ends.flatten(), both)

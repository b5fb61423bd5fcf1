"""Answers to questions, out of a context of any length (Devlin et al. 2019, section 4.2 and 4.3)."""

from collections.abc import Sequence

from torch import Tensor

from regard.attention.packing import Packed
from regard.data.inputs import Inputs
from regard.data.squad import Question
from regard.data.squad_windows import Window
from regard.decoding.spans import Ranked, best_spans
from regard.reading.packed import PackedReader, Progress
from regard.reading.predicting import form_of
from regard.reading.preparing import prepare


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
    questions = [Question(str(n), text, context, (), False, "", "") for n, (text, context) in enumerate(asked)]
    prepared = prepare(
        "span", [question.without_answers() for question in questions], (), form_of(reader, stride=stride)
    )
    ranked = rank(reader, prepared.windows, prepared.examples.inputs)
    return [ranked[question.id] for question in questions]


def rank(
    reader: PackedReader, windows: Sequence[Window], inputs: Inputs, progress: Progress | None = None
) -> dict[str, Ranked]:
    """The answers to the question of each window, by its id."""
    return best_spans(windows, *zip(*span_scores(reader, inputs, progress), strict=True))


def span_scores(reader: PackedReader, inputs: Inputs, progress: Progress | None = None) -> list[tuple[Tensor, Tensor]]:
    """Scores of start and end at each token of each window."""
    reader.require("span", use="find answers")

    def compute(text: Packed, segments: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Those of one batch."""
        starts, ends = (text.unpack(scores.float().cpu()) for scores in reader.model(text, segments))
        return list(zip(starts, ends, strict=True))

    return reader.read(inputs, compute, progress)

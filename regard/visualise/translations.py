"""From a translator to pictures: every attention of a sentence pair."""

from collections.abc import Iterator, Sequence

import numpy as np

from regard.attention.record import attentions
from regard.decoding.translator import Translator
from regard.visualise.maps import AttentionMap, Example
from regard.visualise.watching import watching

START = "(start)"  # what a decoder reads before the first word


def examples(
    translator: Translator,
    sources: Sequence[str],
    references: Sequence[str] | None = None,
    *,
    forced: bool = False,
    beams: int = 5,
) -> Iterator[Example]:
    """The attention of each sentence, made one at a time.

    Args:
        translator: a model with attention.
        sources: sentences.
        references: their translations by others, shown beside the model's own.
        forced: look at how the model reads the references, instead of its own output.
        beams: of the model's own translations.

    Raises:
        ValueError: if the model has no attention, or sources and references differ in number.
    """
    attentions(translator)  # says so if there is none
    if references is not None and len(references) != len(sources):
        raise ValueError(f"there are {len(sources)} sources, but {len(references)} references")
    if forced and references is None:
        raise ValueError(
            "forced=True looks at how references are read: give references, or look at the model's own output"
        )
    outputs = references if forced and references is not None else translator.translate(sources, beams=beams)
    for number, (source, output) in enumerate(zip(sources, outputs, strict=True)):
        text = {"source": source, "output": output}
        if references is not None and not forced:
            text["reference"] = references[number]
        yield example(translator, source, output, text)


def example(translator: Translator, source: str, target: str, text: dict[str, str], title: str = "") -> Example:
    """Every attention of one sentence pair; the source is its title where none is given."""
    sources, targets = translator.pack([source], translator.source), translator.pack([target], translator.target)
    with watching(translator.model) as maps:
        translator.model(sources, targets)
    keys = translator.source.pieces(sources.tokens.tolist())
    written = translator.target.pieces(targets.tokens.tolist())
    read = [START, *written[:-1]]
    drawn = []
    for name, weights in maps.items():
        queries, looked_at, allowed = written, keys, None
        if name.startswith("encoder"):
            queries = keys
        elif name.startswith("decoder") and "source" not in name:
            queries = looked_at = read
            allowed = np.tri(len(read), dtype=bool)
        drawn.append(AttentionMap(name, weights[0].float().cpu(), queries, looked_at, allowed))
    return Example(title or source, drawn, text)

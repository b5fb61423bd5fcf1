"""Which length penalty suits a translator: the one with the highest BLEU on sentences kept apart for such choices."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from regard.decoding.translator import Translator
from regard.evaluate.bleu import check_pairs

PENALTIES = (0.0, 0.2, 0.6, 1.0, 1.4)  # the larger, the longer a search goes on


@dataclass(frozen=True)
class Trial:
    """What one length penalty gives."""

    length_penalty: float
    bleu: float  # sacreBLEU of the raw text
    length: float  # words of the translations for each word of the references

    def as_dict(self) -> dict[str, float]:
        """As JSON has it."""
        return asdict(self)


def trials(
    translator: Translator,
    sources: Sequence[str],
    references: Sequence[str],
    *,
    penalties: Iterable[float] = PENALTIES,
    beams: int = 5,
) -> Iterator[Trial]:
    """Translate `sources` with one length penalty after the other (alpha of Wu et al. 2016, equation 14).

    Beams prefer short translations, the more so the wider they are, and how much depends on the model. The sentences
    must not be those of the test.

    Raises:
        ValueError: if there is no source, or not one reference a source.
    """
    from sacrebleu import corpus_bleu

    check_pairs(sources, references, "sources")
    for penalty in penalties:
        outputs = translator.translate(sources, beams=beams, length_penalty=penalty)
        score = corpus_bleu(outputs, [list(references)])
        yield Trial(penalty, score.score, score.sys_len / max(1, score.ref_len))


def best_of(tried: Sequence[Trial]) -> Trial:
    """The trial of the highest BLEU, of the smallest penalty among equals."""
    return max(tried, key=lambda trial: (trial.bleu, -trial.length_penalty))

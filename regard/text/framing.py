"""How texts become the input of an encoder: the special tokens around them, and the segment in which each token stands.

BERT and ALBERT read `[CLS] A [SEP] B [SEP]`, segments 0 and 1 (Devlin et al. 2019, section 3); XLNet reads
`A <sep> B <sep> <cls>`, segments 0, 1 and 2 for the last (Yang et al. 2019, section 2.5, as in their code). GPT reads
`<start> A <delimiter> B <extract>` (Radford et al. 2018, section 3.3 and figure 1); its segments, which are told as
XLNet's, are for those who look at it, and the model does not read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Ids = Sequence[int]
SUMMARY = 2  # segment of a token which sums an input up behind its texts
Marks = TypeVar("Marks", bound=Any)  # an array or a tensor, of numbers or of booleans


@dataclass(frozen=True)
class Framing:
    """The special ids, and where the one stands whose state sums the input up."""

    summary: int  # [CLS]
    separator: int  # [SEP]
    is_last: bool  # the summary stands behind the texts, not before them

    def added(self, texts: int) -> int:
        """Special tokens around so many texts."""
        return 1 + texts

    def may_answer(self, ids: Marks, segments: Marks) -> Marks:
        """Which tokens may answer a question: those of its context, and the summary, which says that there is none.

        The context is the second text, or the first where the summary is last.
        """
        own = 0 if self.is_last else 1
        return ((segments == own) & (ids != self.separator)) | (ids == self.summary)

    def frame(self, *texts: Ids) -> tuple[list[int], list[int]]:
        """Ids and segments of an input of one text or two."""
        ids: list[int] = [] if self.is_last else [self.summary]
        segments = [0] * len(ids)
        for number, text in enumerate(texts):
            ids += [*text, self.separator]
            segments += [number] * (len(text) + 1)
        if self.is_last:
            ids.append(self.summary)
            segments.append(SUMMARY)
        return ids, segments


@dataclass(frozen=True)
class GPTFraming(Framing):
    """The special ids of GPT: its separator, the delimiter, stands between texts alone."""

    start: int

    def frame(self, *texts: Ids) -> tuple[list[int], list[int]]:
        """Ids and segments of an input of one text or two."""
        ids, segments = super().frame(*texts)
        end = len(ids) - 2  # of the last separator, which only stands between texts here
        return [self.start, *ids[:end], self.summary], [0, *segments[:end], SUMMARY]


@dataclass(frozen=True)
class BareFraming(Framing):
    """No special ids: the last one of the texts sums them up, as Transformers' users tune GPT-2."""

    def added(self, texts: int) -> int:
        """None."""
        return 0

    def frame(self, *texts: Ids) -> tuple[list[int], list[int]]:
        """Ids and segments of one text, or of two end to end.

        Raises:
            ValueError: if there is no id.
        """
        ids = [id for text in texts for id in text]
        if not ids:
            raise ValueError("a text without a token cannot be summed up by its last one; leave empty texts out")
        return ids, [number for number, text in enumerate(texts) for _ in text]


def shortened(texts: Sequence[Ids], room: int) -> list[Ids]:
    """The texts cut at their ends to `room` ids together; the longer of two loses first, id by id.

    Raises:
        ValueError: if there is no room for one id of each.
    """
    if room < len(texts):
        raise ValueError(f"there is room for {room} tokens, and {len(texts)} texts; allow longer inputs")
    if len(texts) == 1:
        return [texts[0][:room]]
    first, second = texts
    over = len(first) + len(second) - room
    if over <= 0:
        return [first, second]
    apart = len(first) - len(second)
    lost = min(over, abs(apart))  # by the longer one alone
    each, odd = divmod(over - lost, 2)
    # then in turn, the second first where both are as long
    from_first = each + (lost if apart > 0 else 0)
    from_second = each + odd + (lost if apart < 0 else 0)
    return [first[: len(first) - from_first], second[: len(second) - from_second]]

"""Sequences laid end to end: how a batch travels without padding.

A batch of sequences of lengths 3, 1 and 2 is one row of 6 tokens and the three lengths. Layers which work token by
token never see where a sequence ends; attention is told by the mask `documents(lengths)`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


def sent(x: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device. A GPU gets it in its own time: to wait would be to wait for all it has still to compute."""
    return x.to(device, non_blocking=torch.device(device).type == "cuda")


@dataclass(frozen=True, eq=False)
class Packed:
    """Token ids [N] of B sequences, end to end, and their lengths [B], which stay in host memory.

    Raises:
        ValueError: if the lengths do not add up to the number of tokens, or one of them is not positive.
    """

    tokens: Tensor
    lengths: Tensor

    def __post_init__(self):
        total = int(self.lengths.sum())
        if self.tokens.ndim != 1 or total != len(self.tokens):
            raise ValueError(f"lengths must add up to the tokens, got {total} and tokens {tuple(self.tokens.shape)}")
        if len(self.lengths) == 0 or int(self.lengths.min()) < 1:
            raise ValueError("a packed batch needs at least one sequence, and no sequence may be empty")

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int] | Tensor]) -> "Packed":
        """Pack sequences of ids."""
        parts = [torch.as_tensor(sequence, dtype=torch.int64) for sequence in sequences]
        if not parts:
            raise ValueError("a packed batch needs at least one sequence, and no sequence may be empty")
        return cls(torch.cat(parts), torch.tensor([len(part) for part in parts]))

    @classmethod
    def from_padded(cls, tokens: Tensor, is_token: Tensor) -> "Packed":
        """Pack a padded batch [B, T]; `is_token` is boolean [B, T], True where a token stands."""
        return cls(tokens[is_token], is_token.sum(1).cpu())

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def starts(self) -> Tensor:
        """Where each sequence starts, [B], in host memory."""
        return self.lengths.cumsum(0) - self.lengths

    @cached_property
    def positions(self) -> Tensor:
        """The place of each token in its own sequence, [N]."""
        places = torch.arange(len(self.tokens)) - self.starts.repeat_interleave(self.lengths)
        return sent(places, self.tokens.device)

    @cached_property
    def is_token(self) -> Tensor:
        """Which places of the padded batch hold a token, [B, T]."""
        return sent(torch.arange(int(self.lengths.max())) < self.lengths[:, None], self.tokens.device)

    @cached_property
    def is_first(self) -> Tensor:
        """True at the first token of each sequence, [N]."""
        return self.positions == 0

    def counts(self, rows: Tensor) -> Tensor:
        """How many of these places of the packed row [R], in host memory, lie in each sequence, [B]."""
        owners = torch.searchsorted(self.starts, rows, right=True) - 1
        return torch.bincount(owners, minlength=len(self))

    def to(self, device: torch.device | str) -> "Packed":
        """The same batch with its tokens on `device`."""
        return Packed(sent(self.tokens, device), self.lengths)

    def padded(self, fill: int) -> Tensor:
        """The same batch as [B, T], short sequences filled up with `fill`."""
        return torch.nn.utils.rnn.pad_sequence(list(self.tokens.split(self.lengths.tolist())), True, fill)

    def means(self, values: Tensor) -> Tensor:
        """The mean over each sequence of values [N, D] which stand beside the tokens, [B, D]; at least in float32."""
        exact = values.to(torch.promote_types(values.dtype, torch.float32))
        return torch.segment_reduce(exact, "mean", lengths=sent(self.lengths, values.device))

    def unpack(self, values: Tensor) -> list[Tensor]:
        """Split values [N, ...] which stand beside the tokens into one tensor a sequence."""
        return list(values.split(self.lengths.tolist()))

"""Drawing the next token: greedily, or at random from a distribution which is sharpened and cut."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; what is set is applied in this order, the order of GPT-2's published code.

    Raises:
        ValueError: if a value is out of its range.
    """

    repetition_penalty: float = 1.0  # theta of Keskar et al. 2019, section 4.1, for tokens which are there already
    temperature: float = 1.0  # scores are divided by it; 0, or too little to divide by, takes the most probable token
    top_k: int = 0  # of so many most probable tokens, and those as probable as the last; 0 is of all
    top_p: float = 1.0  # of the fewest most probable tokens which have this probability (Holtzman et al. 2020)

    def __post_init__(self):
        if not 0 < self.repetition_penalty < math.inf:  # nor is it "not a number"
            raise ValueError(f"repetition_penalty must be a number above 0, got {self.repetition_penalty}")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be a number from 0 on, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must not be negative, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], got {self.top_p}")

    def choose(self, scores: Tensor, chances: Tensor, is_there: Tensor | None = None) -> Tensor:
        """The next token of each row, [R].

        Args:
            scores: of each token, [R, V]; log-probabilities up to a constant.
            chances: a number from [0, 1) of each row, which alone decides what is drawn, [R].
            is_there: which tokens a row holds already, [R, V]; needed for a repetition penalty.
        """
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        if self.repetition_penalty != 1.0:
            assert is_there is not None
            penalised = torch.where(scores > 0, scores / self.repetition_penalty, scores * self.repetition_penalty)
            scores = torch.where(is_there, penalised, scores)
        if self.temperature < torch.finfo(scores.dtype).tiny or self.top_k == 1:
            return scores.argmax(-1)
        scores = scores - scores.amax(-1, keepdim=True)  # so that the best is 0, whatever it is divided by
        scores = scores / self.temperature
        if 0 < self.top_k < scores.shape[-1]:
            least = scores.topk(self.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        probabilities = torch.softmax(scores, -1)
        if self.top_p < 1.0:
            ranked, order = torch.sort(probabilities, dim=-1, descending=True, stable=True)
            is_kept = ranked.cumsum(-1) - ranked < self.top_p  # what those before it have is not yet enough
            is_kept[:, 0] = True  # also where top_p is too small for the numbers of this type
            probabilities = torch.zeros_like(probabilities).scatter(-1, order, ranked * is_kept)
        reached = probabilities.double().cumsum(-1)
        return (reached <= (chances.to(reached) * reached[:, -1])[:, None]).sum(-1)

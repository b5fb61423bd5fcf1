"""Sparse Transformer: Generating Long Sequences with Sparse Transformers.

Rewon Child, Scott Gray, Alec Radford, Ilya Sutskever, 2019. A deep stack of pre-activation blocks (equations 12 to 14,
those of GPT-2) whose attention is factorised: each position sees some sqrt(n) others, from which two layers or two
kinds of heads reach all. The same model with dense and with local attention is what that is compared with.

A pattern has two parts: one near a position, and one which reaches far. They take turns over layers, or share out the
heads, or are merged in each head (section 5.1), as the authors' code has them of "fixed". Dropout is at the ends of the
residual branches alone (section 5.4); what a block computes is computed again in the backward pass (section 5.4).

The near part of "strided" has l positions, the own one included, and the summary cells are l - c to l - 1, as the
authors' code counts both; section 4.3 prints one more of each.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from regard.attention.masks import Pattern, PerHead, banded, blocked, causal, fixed, strided, summaries
from regard.layers.activations import GELU
from regard.layers.attention import MultiHeadAttention
from regard.layers.blocks import FeedForward, Stack
from regard.layers.initialise import normal
from regard.layers.linear import Linear
from regard.layers.sizes import require_sizes
from regard.models.gpt2 import GPT2, GPT2Config
from regard.storage.names import require

PATTERNS = ("strided over layers", "strided over heads", "fixed over layers", "fixed over heads", "fixed")
COMPARED = ("dense", "local")  # with what: all of the past, as in table 2, and its last `stride` positions alone


@dataclass(frozen=True)
class SparseTransformerConfig(GPT2Config):
    """Sizes, section 7; the defaults are those for enwik8.

    `axes` are the lengths of the axes by which a position is known, the last one fastest; their product is the context:
    rows and columns of a text cut into rows of one stride, or rows, columns and channels of an image.
    """

    vocabulary: int = 256
    context: int = 12288
    width: int = 512
    depth: int = 30
    heads: int = 8
    hidden: int = 0  # width inside of feed-forward layers; 0 is four times the width
    key_width: int = 0  # of queries, and of keys, over all heads; 0 is the width
    dropout: float = 0.4
    activation: str = "sigmoid"  # section 5.2
    pattern: str = "fixed"
    stride: int = 128  # l
    summary: int = 32  # c, cells which sum up a block, of "fixed"
    subblocks: int = 1  # of so many cells each, which heads take in turn, the last of a block first (section 4.3)
    axes: tuple[int, ...] = (96, 128)

    def __post_init__(self):
        require_sizes(self, hidden=0, key_width=0)


SPARSE_TRANSFORMER_SIZES = {  # of 95M, 59M and 152M parameters, as the paper counts them too (section 7)
    "enwik8": SparseTransformerConfig(),
    "cifar10": SparseTransformerConfig(
        context=3072,
        width=256,
        depth=128,
        heads=2,
        hidden=512,  # half of what other feed-forward layers have (section 7.1)
        key_width=128,  # and half of what other queries and keys have
        dropout=0.25,
        pattern="strided over heads",
        axes=(32, 32, 3),
    ),
    "imagenet64": SparseTransformerConfig(
        context=12288, depth=48, heads=16, dropout=0.01, pattern="strided over heads", axes=(64, 64, 3)
    ),
    "tiny": SparseTransformerConfig(
        context=64, width=64, depth=2, heads=4, dropout=0.1, stride=8, summary=2, axes=(8, 8)
    ),
}


class Axes(nn.Module):
    """Positions as the sum of one learned table an axis (section 5.3)."""

    def __init__(self, axes: tuple[int, ...], width: int):
        super().__init__()
        self.axes, self.tables = axes, Stack(nn.Embedding(size, width) for size in axes)

    def forward(self, positions: Tensor) -> Tensor:
        """[N] -> [N, D]."""
        result = positions.new_zeros((), dtype=self.tables[0].weight.dtype)
        for size, table in zip(reversed(self.axes), reversed(list(self.tables)), strict=True):
            result = result + table(positions % size)
            positions = positions // size
        return result


class SparseTransformer(GPT2):
    """GPT-2's blocks with factorised attention, positions by axes, and their own start."""

    config: SparseTransformerConfig

    def __init__(self, config: SparseTransformerConfig):
        require("pattern", config.pattern, (*PATTERNS, *COMPARED))
        if math.prod(config.axes) != config.context:
            raise ValueError(f"axes {config.axes} hold {math.prod(config.axes)} positions, not the {config.context}")
        super().__init__(config)
        self.masks()  # refuses numbers which make no pattern
        self.output = Linear(config.width, config.vocabulary, bias=False)
        nn.init.zeros_(self.output.weight)  # "The weight matrix for the output logits was initialized to 0", section 6

    def places(self) -> nn.Module:
        """Positions by their axes."""
        return Axes(self.config.axes, self.config.width)

    def attention(self) -> MultiHeadAttention:
        """The attention of one layer, whose weights are not dropped."""
        c = self.config
        return MultiHeadAttention(c.width, c.heads, key_width=c.key_width or c.width)

    def feed_forward(self) -> FeedForward:
        """The feed-forward of one layer."""
        c = self.config
        return FeedForward(c.width, c.hidden or 4 * c.width, GELU[c.activation])

    def initialise(self) -> None:
        """N(0, 0.125 / sqrt(d_in)), embeddings by width (section 6).

        What is added to the residual stream is scaled by 1 / sqrt(2 N) (section 5.2).
        """
        c = self.config
        for module in self.modules():
            if isinstance(module, nn.Linear):
                normal([module.weight], 0.125 / math.sqrt(module.in_features))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        normal([self.token.weight], 0.125 / math.sqrt(c.width))
        normal([*self.position.parameters()], 0.125 / math.sqrt(c.width * len(c.axes)))
        with torch.no_grad():
            for block in self.blocks:
                for linear in (block.attention.output, block.feed_forward.contract):
                    linear.weight /= math.sqrt(2 * c.depth)

    def masks(self) -> list[Pattern]:
        """The patterns of section 4.3, laid out over layers and heads as in section 5.1, or one beside them."""
        c = self.config
        if c.pattern in COMPARED:
            return [causal() if c.pattern == "dense" else banded(c.stride)] * c.depth
        if c.pattern == "fixed":
            return [self.shared([fixed(c.stride, c.summary, n) for n in range(c.subblocks)])] * c.depth
        if c.pattern.startswith("strided"):
            near, far = banded(c.stride), [strided(c.stride)]
        else:
            near, far = blocked(c.stride), [summaries(c.stride, c.summary, n) for n in range(c.subblocks)]
        if c.pattern.endswith("over heads"):
            return [self.shared([near] * len(far) + far)] * c.depth
        turns = near, self.shared(far)
        return [turns[layer % 2] for layer in range(c.depth)]

    def shared(self, patterns: Sequence[Pattern]) -> Pattern:
        """The heads of a layer in equal parts, one a pattern."""
        return patterns[0] if len(patterns) == 1 else PerHead(self.config.heads, patterns)

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Ids and their positions, [N] each -> [N, D], without dropout."""
        return self.token(tokens) + self.position(positions)

    def run(self, block: nn.Module, x: Tensor, **attention) -> Tensor:
        """A packed row [1, N, D] through one block, which keeps nothing for the backward pass but its input."""
        if not (self.training and torch.is_grad_enabled()):
            return block(x, **attention)
        result = checkpoint(block, x, use_reentrant=False, context_fn=_again, **attention)
        assert isinstance(result, Tensor)
        return result


def _again() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Where a block is computed, and where it is computed again: in the function modes of now, which torch forgets."""
    return nullcontext(), _entered(_get_current_function_mode_stack())


@contextmanager
def _entered(modes: Sequence[TorchFunctionMode]) -> Iterator[None]:
    """Some modes together."""
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield

"""GPT: Improving Language Understanding by Generative Pre-Training.

Alec Radford, Karthik Narasimhan, Tim Salimans, Ilya Sutskever, 2018. The Transformer's decoder without a source,
trained to predict the next token of books, and then tuned for tasks by labels.

Details which the paper leaves open are those of the authors' code (finetune-transformer-lm): biases everywhere, the
tanh form of GELU, layer norms with epsilon 1e-5. Two things of that code, of which the paper says nothing, are left
aside: its scores include rows of positions and of special tokens, and it drops coordinates of the embedding table for a
whole step, where here they are dropped at each token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from regard.attention.masks import Pattern, causal, documents
from regard.attention.packing import Packed
from regard.layers.activations import GELU
from regard.layers.attention import MultiHeadAttention
from regard.layers.blocks import FeedForward, PostNormBlock, PreNormBlock, Stack
from regard.layers.cache import FillingCache
from regard.layers.continuation import Continuation
from regard.layers.dropout import Dropout
from regard.layers.initialise import normal
from regard.layers.linear import Linear
from regard.layers.sizes import require_sizes
from regard.layers.vocabulary import require_known
from regard.storage.names import require

EPSILON = 1e-5  # of layer norms, from the code
DEVIATION = 0.02  # of weights at the start, section 4.1


@dataclass(frozen=True)
class GPTConfig:
    """Sizes, section 4.1."""

    vocabulary: int = 40478  # 40,000 merges, and what they start from
    context: int = 512  # positions which have an embedding
    width: int = 768
    depth: int = 12
    heads: int = 12
    dropout: float = 0.1  # of embeddings, attention weights and residual branches
    activation: str = "tanh"  # form of GELU, that of the code; others who kept the architecture took the exact one

    def __post_init__(self):
        require_sizes(self)


GPT_SIZES = {
    "117M": GPTConfig(),
    "tiny": GPTConfig(vocabulary=256, context=64, width=64, depth=2, heads=4),
}


class GPT(nn.Module):
    """A stack of post-norm blocks which predicts the next token (section 3.1, equation 2)."""

    layer: type[PostNormBlock | PreNormBlock] = PostNormBlock

    def __init__(self, config: GPTConfig):
        require("activation", config.activation, GELU)
        super().__init__()
        self.config = c = config
        self.token, self.position = nn.Embedding(c.vocabulary, c.width), self.places()
        self.dropout = Dropout(c.dropout)
        self.blocks = Stack(self.block() for _ in range(c.depth))
        self.end = self.last_norm()
        self.output = Linear(c.width, c.vocabulary, bias=False)
        self.output.weight = self.token.weight  # W_e in the first and in the last line of equation 2
        self.initialise()

    def places(self) -> nn.Module:
        """Positions [N] -> what they add to embeddings, [N, D]."""
        return nn.Embedding(self.config.context, self.config.width)

    def block(self) -> PostNormBlock | PreNormBlock:
        """One layer: masked self-attention, and a feed-forward."""
        c = self.config
        return self.layer(self.attention(), self.feed_forward(), c.width, dropout=c.dropout, epsilon=EPSILON)

    def attention(self) -> MultiHeadAttention:
        """The attention of one layer."""
        return MultiHeadAttention(self.config.width, self.config.heads, dropout=self.config.dropout)

    def feed_forward(self) -> FeedForward:
        """The feed-forward of one layer, four times as wide inside."""
        return FeedForward(self.config.width, 4 * self.config.width, GELU[self.config.activation])

    def last_norm(self) -> nn.Module:
        """What follows the last block: nothing."""
        return nn.Identity()

    def initialise(self) -> None:
        """Weights normal, biases zero (section 4.1)."""
        normal([parameter for parameter in self.parameters() if parameter.ndim > 1], DEVIATION)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def masks(self) -> list[Pattern]:
        """What each layer sees of its own sequence."""
        return [causal()] * self.config.depth

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Ids and their positions, [N] each -> [N, D]."""
        return self.dropout(self.token(tokens) + self.position(positions))

    def hidden(self, text: Packed) -> Tensor:
        """What the output layer reads, at every token: [N, D].

        Raises:
            ValueError: if a sequence is longer than the context, or an id lies outside the vocabulary.
        """
        return self._read(text, [None] * len(self.blocks))

    def forward(self, text: Packed) -> Tensor:
        """Scores of the token after each one, given it and those before it: [N, V]."""
        return self.output(self.hidden(text))

    def start(self, prompts: Packed) -> Continuation:
        """Read the prompts; the state before the first new token."""
        filling = [FillingCache(prompts, mask) for mask in self.masks()]
        hidden = self._read(prompts, filling)[prompts.starts + prompts.lengths - 1]
        return Continuation.of(prompts, filling, hidden)

    def step(self, tokens: Tensor | None, state: Continuation) -> tuple[Tensor, Continuation]:
        """Last tokens [R], None at the first step -> scores of the next token [R, V], and the state after."""
        if tokens is None:
            return self.output(state.prompted()), state
        positions = state.lengths[state.hypotheses.owners]
        self._check(tokens, int(state.lengths.max()) + 1)
        x = self.embed(tokens, positions)[None]
        state, masks, caches = state.grow()
        for block, mask, cache in zip(self.blocks, masks, caches, strict=True):
            x = block(x, mask=mask, cache=cache)
        return self.output(self.end(x)[0]), state

    def run(self, block: nn.Module, x: Tensor, **attention) -> Tensor:
        """A packed row [1, N, D] through one block."""
        return block(x, **attention)

    def _read(self, text: Packed, caches: Sequence[FillingCache | None]) -> Tensor:
        """The hidden states [N, D] of packed sequences, whose keys and values `caches` take in."""
        self._check(text.tokens, int(text.lengths.max()))
        x, own = self.embed(text.tokens, text.positions)[None], documents(text.lengths)
        for block, mask, cache in zip(self.blocks, self.masks(), caches, strict=True):
            x = self.run(block, x, mask=mask & own, cache=cache)
        return self.end(x)[0]

    def _check(self, tokens: Tensor, length: int) -> None:
        """Refuse what has no embedding."""
        if length > self.config.context:
            raise ValueError(
                f"a sequence of {length} tokens does not fit into the context of {self.config.context} positions"
            )
        require_known(tokens, self.config.vocabulary)


class GPTEncoder(GPT):
    """GPT as it reads inputs for a task, under a head (section 3.2): the state of the last token sums an input up.

    The special tokens around an input are `regard.text.framing`'s, and the language model which goes on learning beside
    the task is `regard.objectives.labels`'.
    """

    sums_up_last: ClassVar[bool] = True  # the extract token
    is_causal: ClassVar[bool] = True
    unread: ClassVar[tuple[str, ...]] = ()
    deviation: ClassVar[float] = DEVIATION

    def hidden(self, text: Packed, segments: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """States of every token [N, D], or of the rows which are asked for; of segments the model knows nothing.

        Raises:
            ValueError: if an input is longer than the context, or an id lies outside the vocabulary.
        """
        states = super().hidden(text)
        return states if rows is None else states[rows]

    def pool(self, states: Tensor) -> Tensor:
        """States of the last tokens, which heads read as they are (equation 3): [B, D]."""
        return states

    def forward(self, text: Packed, segments: Tensor | None = None) -> Tensor:
        """The sum of each input, [B, D]."""
        return self.hidden(text, segments, text.starts + text.lengths - 1)

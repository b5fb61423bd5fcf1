"""GPT-3: Language Models are Few-Shot Learners.

Tom B. Brown, Benjamin Mann, Nick Ryder, Melanie Subbiah and others, 2020. "The same model and architecture as GPT-2
[...] with the exception that we use alternating dense and locally banded sparse attention patterns in the layers of the
transformer, similar to the Sparse Transformer" (section 2.1).

Neither the width of the band nor which layers have it was published. Here the first layer is dense and every second one
banded; the width is a field of the configuration.

Two rows of table 2.1 contradict themselves as printed. The 1.3B model has 24 heads of 128 at a width of 2,048, and
would have 1.5 billion parameters; with 16 heads of 128 it has 1.3, as its name says. The 13B model has a width of 5,140
with 40 heads of 128, which are 5,120: that is its width here.
"""

from dataclasses import dataclass

from regard.attention.masks import Pattern, banded, causal
from regard.models.gpt2 import GPT2, GPT2Config


@dataclass(frozen=True)
class GPT3Config(GPT2Config):
    """Sizes, table 2.1."""

    context: int = 2048
    dropout: float = 0.0  # none is named
    band: int = 256  # positions which a banded layer sees, the own one included


GPT3_SIZES = {
    "125M": GPT3Config(),
    "350M": GPT3Config(width=1024, depth=24, heads=16),
    "760M": GPT3Config(width=1536, depth=24, heads=16),
    "1.3B": GPT3Config(width=2048, depth=24, heads=16),
    "2.7B": GPT3Config(width=2560, depth=32, heads=32),
    "6.7B": GPT3Config(width=4096, depth=32, heads=32),
    "13B": GPT3Config(width=5120, depth=40, heads=40),
    "175B": GPT3Config(width=12288, depth=96, heads=96),
    "tiny": GPT3Config(vocabulary=256, context=64, width=64, depth=2, heads=4, band=4),
}


class GPT3(GPT2):
    """GPT-2 whose every second layer sees a band of the past."""

    config: GPT3Config

    def masks(self) -> list[Pattern]:
        """Dense and banded layers in turn."""
        band = banded(self.config.band)
        return [band if layer % 2 else causal() for layer in range(self.config.depth)]

"""GPT-2: Language Models are Unsupervised Multitask Learners.

Alec Radford, Jeffrey Wu, Rewon Child, David Luan, Dario Amodei, Ilya Sutskever, 2019. "The model largely follows the
details of the OpenAI GPT model with a few modifications" (section 2.3), which are this file.
"""

import math
from dataclasses import dataclass

from torch import nn

from regard.layers.blocks import PreNormBlock
from regard.layers.initialise import normal
from regard.models.gpt import EPSILON, GPT, GPTConfig, GPTEncoder


@dataclass(frozen=True)
class GPT2Config(GPTConfig):
    """Sizes, table 2."""

    vocabulary: int = 50257  # 256 bytes, 50,000 merges and the end of a text
    context: int = 1024


GPT2_SIZES = {  # parameters as they are, which the table gives as 117M, 345M, 762M and 1542M
    "124M": GPT2Config(),
    "355M": GPT2Config(width=1024, depth=24, heads=16),
    "774M": GPT2Config(width=1280, depth=36, heads=20),
    "1558M": GPT2Config(width=1600, depth=48, heads=25),
    "tiny": GPT2Config(vocabulary=256, context=64, width=64, depth=2, heads=4),
}


class GPT2(GPT):
    """GPT with the norm at the input of each sub-block, one more after the last, and a calmer start."""

    layer = PreNormBlock

    def last_norm(self) -> nn.Module:
        """ "An additional layer normalization was added after the final self-attention block"."""
        return nn.LayerNorm(self.config.width, EPSILON)

    def initialise(self) -> None:
        """As GPT; what is added to the residual stream by 1/sqrt(N), N the number of residual layers.

        Positions are N(0, 0.01), from the code.
        """
        super().initialise()
        residual = [weight for block in self.blocks for weight in (block.attention.output, block.feed_forward.contract)]
        normal([linear.weight for linear in residual], 0.02 / math.sqrt(len(residual)))
        normal([*self.position.parameters()], 0.01)


class GPT2Encoder(GPTEncoder, GPT2):
    """GPT-2 as it reads inputs for a task, in the way of GPT; its own paper tunes nothing."""

"""What the authors' code of BERT and of ALBERT gave for one batch, and the model with their weights."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.testing import assert_close

from regard.attention.packing import Packed
from regard.models import MODELS
from regard.models.google import GOOGLE_LAYOUTS
from regard.models.heads import MaskedWordsAndPair
from regard.models.parameters import fill

ORACLES = Path(__file__).parent / "oracles"
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


class Published:
    """A batch, the model, and what its authors' code gave for it.

    Args:
        name: of the model.
        pair: what that code calls the loss of two segments.
        labels: what it calls their labels.
    """

    def __init__(self, name: str, pair: str, labels: str):
        self.oracle = np.load(ORACLES / f"{name}.npz")
        self.layout = GOOGLE_LAYOUTS[name].headed("masked-pair", pools=True)
        about = json.loads(str(self.oracle["config"]))
        values = GOOGLE_LAYOUTS[name].read_config(about, "here") | {"activation": "tanh", "dropout": 0.0}
        config = MODELS[name].config(**{**values, "attention_dropout": 0.0})
        self.model = MaskedWordsAndPair(MODELS[name].model(config))
        fill(self.model, self.named("w/"), "here")
        self.real = self.inside("input_mask").bool()
        self.text = Packed.from_padded(self.inside("input_ids"), self.real)
        self.segments = self.inside("token_type_ids")[self.real]
        self.pair, self.labels = pair, self.inside(labels)[:, 0]

    def named(self, prefix: str) -> dict[str, Tensor]:
        """Their tensors of one kind by our names."""
        keys = [key for key in self.oracle.files if key.startswith(prefix)]
        theirs = {key.removeprefix(prefix): torch.from_numpy(self.oracle[key]) for key in keys}
        return self.layout.read_tensors(theirs, "here", 4)

    def inside(self, name: str) -> Tensor:
        """What went in."""
        value = torch.from_numpy(self.oracle[f"in/{name}"])
        return value if value.is_floating_point() else value.long()

    def out(self, name: str) -> Tensor:
        """What came out."""
        return torch.from_numpy(self.oracle[f"out/{name}"])

    @property
    def is_masked(self) -> Tensor:
        """Which of the places of masked words [B, P] have a word."""
        return self.inside("masked_lm_weights") == 1

    def rows(self) -> Tensor:
        """The places of masked words in the packed row, [B, P]."""
        return self.text.starts[:, None] + self.inside("masked_lm_positions")

    def losses(self) -> tuple[Tensor, Tensor]:
        """Of masked words and of pairs, as their code averages them."""
        rows, order = self.rows()[self.is_masked].sort()
        states, pairs = self.model.both(self.text, self.segments, rows)
        ids = self.inside("masked_lm_ids")[self.is_masked][order]
        words = torch.nn.functional.cross_entropy(self.model.output(states), ids, reduction="sum")
        return words / (len(ids) + 1e-5), torch.nn.functional.cross_entropy(pairs, self.labels)

    @contextmanager
    def watched(self) -> Iterator[list[Tensor]]:
        """What every layer gives, in the order in which they are computed."""
        seen: list[Tensor] = []
        blocks = {id(block): block for block in self.model.encoder.layers()}.values()
        hooks = [block.register_forward_hook(lambda *call: seen.append(call[2][0])) for block in blocks]
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()

    def compare_attention(self, weights: Tensor, number: int) -> None:
        """Weights of the packed row, [H, N, N], of one of the layers beside theirs, [B, H, T, T]."""
        for theirs, start, length in zip(
            self.out(f"attn_probs_{number}"), self.text.starts, self.text.lengths, strict=True
        ):
            own = weights[:, start : start + length]
            assert_close(own[..., start : start + length], theirs[:, :length, :length], **CLOSE)
            assert_close(own.sum(-1), torch.ones_like(own[..., 0]), **CLOSE)  # nothing of other inputs
            assert not theirs[:, :length, length:].any()  # nor of padding there

"""Plain torch.nn.Transformer between a shared embedding and its transpose, in padded batches."""

import torch
from torch import Tensor, nn

from benchmarks.material import PAD
from regard.layers.positions import sinusoids
from regard.models.transformer import TransformerConfig


class TorchTransformer(nn.Module):
    """The paper's network out of torch's own layers.

    Dropout is where regard has it: after embeddings and sublayers. torch.nn.Transformer also drops out attention
    weights and inside the feed-forward; that is switched off here, which makes it faster.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.token = nn.Embedding(config.vocabulary, config.width)
        nn.init.normal_(self.token.weight, std=config.width**-0.5)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.Transformer(
            config.width,
            config.heads,
            config.depth,
            config.depth,
            config.hidden,
            config.dropout,
            batch_first=True,
        )
        for layer in (*self.layers.encoder.layers, *self.layers.decoder.layers):
            layer.dropout.p = 0.0  # inside the feed-forward
            for module in layer.modules():
                if isinstance(module, nn.MultiheadAttention):
                    module.dropout = 0.0
        self.register_buffer("places", sinusoids(torch.arange(256), config.width), persistent=False)

    def embed(self, tokens: Tensor) -> Tensor:
        """[B, T] -> [B, T, D]."""
        scaled = self.token(tokens) * self.token.embedding_dim**0.5
        return self.dropout(scaled + self.places[: tokens.shape[1]])

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """[B, S] and [B, T] -> [B, T, V]."""
        shifted = torch.cat([target.new_full((len(target), 1), PAD), target[:, :-1]], 1)
        is_padding = source == PAD
        hidden = self.layers(
            self.embed(source),
            self.embed(shifted),
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(target.shape[1]),
            tgt_is_causal=True,
            src_key_padding_mask=is_padding,
            memory_key_padding_mask=is_padding,
        )
        return hidden @ self.token.weight.T

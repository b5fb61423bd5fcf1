"""The published initialisations."""

import math

from torch import Tensor, nn


def uniform(model: nn.Module, bound: float) -> None:
    """Every parameter uniform in [-bound, bound] (Sutskever et al. 2014, section 3.4)."""
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -bound, bound)


def orthogonal_blocks(weight: Tensor) -> None:
    """Each square block of a stack of recurrent matrices [n * D, D] orthogonal (Cho et al. 2014, section 4.1.1)."""
    for block in weight.split(weight.shape[1]):
        nn.init.orthogonal_(block)


def glorot_blocks(weight: Tensor, blocks: int) -> None:
    """Each of `blocks` matrices which stand one under the other, by Glorot's uniform rule for its own size."""
    for block in weight.chunk(blocks):
        nn.init.xavier_uniform_(block)


def normal(parameters: list[Tensor], deviation: float) -> None:
    """Independent normal values of the given standard deviation."""
    for parameter in parameters:
        nn.init.normal_(parameter, 0.0, deviation)


def truncated_normal(model: nn.Module, deviation: float) -> None:
    """Matrices and embeddings normal, cut at two standard deviations; biases zero; layer norms as they are.

    Devlin et al. 2019, as in their code.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(module.weight, 0.0, deviation, -2 * deviation, 2 * deviation)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def tensor2tensor(model: nn.Module, embedding: nn.Embedding, fused: list[Tensor]) -> None:
    """Glorot uniform kernels, zero biases, embeddings N(0, 1/D), as in the Transformer's published code.

    Args:
        model: all of it; layer norms keep their ones and zeros.
        embedding: the shared table.
        fused: weights which hold three matrices (query, key, value), each of which is drawn for its own size.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for weight in fused:
        glorot_blocks(weight, 3)
    nn.init.normal_(embedding.weight, 0.0, 1.0 / math.sqrt(embedding.embedding_dim))

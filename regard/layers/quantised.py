"""Weights of 8 bits, for models which are only used: a quarter of the memory is read for every token."""

import warnings

import torch
from torch import Tensor, nn

from regard.layers.attention import HeadProjections, MultiHeadAttention
from regard.layers.linear import Linear

_ENGINES = ("x86", "fbgemm")


class QuantisedLinear(nn.Module):
    """A linear layer with weights of 8 bits, scaled row by row; what enters is rounded to 7 bits when it comes."""

    def __init__(self, linear: Linear):
        super().__init__()
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(1).clamp(min=1e-12).double() / 127
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch will replace its quantised tensors, and has no replacement yet
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
            self._packed = torch.ops.quantized.linear_prepack(rounded, linear.bias)
        self._outputs = len(weight)

    def forward(self, input: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        rows = input.reshape(-1, input.shape[-1])
        result = torch.ops.quantized.linear_dynamic(rows.float(), self._packed, True)
        return result.to(input.dtype).view(*input.shape[:-1], self._outputs)


def quantise(model: nn.Module) -> nn.Module:
    """Round the weights of a model's linear layers to 8 bits, in place; it can then be used, not trained.

    Raises:
        ValueError: if torch has no such products on this machine, or the model is not on the processor, or has no
            layer for which it is done.
    """
    if torch.backends.quantized.engine not in _ENGINES or not hasattr(torch.ops.quantized, "linear_prepack"):
        raise ValueError("this build of torch has no products of 8 bits for this processor; leave int8 away")
    if any(parameter.device.type != "cpu" for parameter in model.parameters()):
        raise ValueError("products of 8 bits are of the processor; leave int8 away, or the model on the CPU")
    chosen = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if type(layer) is Linear and not _is_used_in_parts(parent, name)
    ]
    if not chosen:
        raise ValueError(f"{type(model).__name__} has no layer whose weights can be rounded")
    for parent, name, layer in chosen:
        setattr(parent, name, QuantisedLinear(layer))
    return model.requires_grad_(False)


def is_quantised(model: nn.Module) -> bool:
    """Whether `quantise` was applied to a model, whose weights are then not there any more."""
    return any(isinstance(module, QuantisedLinear) for module in model.modules())


def _is_used_in_parts(parent: nn.Module, name: str) -> bool:
    """Whether a layer's matrix is used in parts, as by attention whose queries come from elsewhere than its keys."""
    is_apart = isinstance(parent, HeadProjections) and not isinstance(parent, MultiHeadAttention)
    return is_apart and name == "projection"

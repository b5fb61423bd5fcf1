"""Weights of 8 or 16 bits, for models which are only used: less memory is read for every token."""

import warnings

import torch
from torch import Tensor, nn

from regard.layers.attention import HeadProjections, MultiHeadAttention
from regard.layers.linear import Linear, has_bfloat16_products
from regard.storage.names import require

KINDS = ("int8", "bfloat16")

_MARK = "weights_are_rounded"
_ENGINES = ("x86", "fbgemm")
_LEVELS = 63  # of 7 bits to either side: sums of 8 bits would overflow on processors without VNNI
_PRODUCT = getattr(torch.ops.quantized, "linear_with_input_q_dq_qweight_dq_output_fp32", None)


class Int8Linear(nn.Module):
    """A linear layer with weights of 8 bits, scaled row by row; what enters is rounded to 7 bits when it comes.

    Each row of the input has a scale of its own, so that it is the same whatever stands beside it.
    """

    def __init__(self, linear: Linear):
        super().__init__()
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(1).clamp(min=1e-12).double() / 127
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch will replace its quantised tensors, and has no replacement yet
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
            self._packed = torch.ops.quantized.linear_prepack(rounded, None)
        self._bias = None if linear.bias is None else linear.bias.detach().float()
        self._outputs = len(weight)

    def forward(self, input: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        rows = input.reshape(-1, input.shape[-1]).float()
        largest = torch.maximum(rows.amax(1, keepdim=True), rows.amin(1, keepdim=True).neg_()).clamp_(min=1e-12)
        assert _PRODUCT is not None
        result = _PRODUCT(rows / largest, 1 / _LEVELS, _LEVELS + 1, self._packed)
        if self._bias is None:
            result.mul_(largest)
        else:
            torch.addcmul(self._bias, result, largest, out=result)
        return result.to(input.dtype).view(*input.shape[:-1], self._outputs)


class Bfloat16Linear(nn.Module):
    """A linear layer with weights of bfloat16, in the order in which the processor's products read them."""

    def __init__(self, linear: Linear):
        super().__init__()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().bfloat16(), 1)
        self._bias = None if linear.bias is None else linear.bias.detach().bfloat16()

    def forward(self, input: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return torch.ops.mkldnn._linear_pointwise(input, self._packed, self._bias, "none", [], "")


def round_weights(model: nn.Module, kind: str) -> nn.Module:
    """Round the weights of a model, in place; it can then be used, not trained.

    Args:
        model: of the library.
        kind: "int8" rounds those of linear layers, on a processor; "bfloat16" computes the whole model so.

    Raises:
        ValueError: if the kind is not known, the machine has no such products, the model is not where they are, or it
            has no layer for which it is done.
    """
    require("kind", kind, KINDS)
    on_processor = all(parameter.device.type == "cpu" for parameter in model.parameters())
    if kind == "int8" and not on_processor:
        raise ValueError("products of 8 bits are of the processor; leave int8 away, or the model on the CPU")
    if kind == "int8" and (torch.backends.quantized.engine not in _ENGINES or _PRODUCT is None):
        raise ValueError("this build of torch has no products of 8 bits for this processor; leave int8 away")
    if kind == "bfloat16" and on_processor and not has_bfloat16_products():
        raise ValueError("this processor has no products of bfloat16; leave bfloat16 away, or take int8")
    chosen = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if type(layer) is Linear and not _is_used_in_parts(parent, name)
    ]
    if not chosen:
        raise ValueError(f"{type(model).__name__} has no layer whose weights can be rounded")
    if kind == "bfloat16":
        model.bfloat16()
    if on_processor:
        for parent, name, layer in chosen:
            setattr(parent, name, Int8Linear(layer) if kind == "int8" else Bfloat16Linear(layer))
    model.register_buffer(_MARK, torch.tensor(True), persistent=False)
    return model.requires_grad_(False)


def is_rounded(model: nn.Module) -> bool:
    """Whether `round_weights` was applied to a model, whose own weights are then not there any more."""
    return hasattr(model, _MARK)


def _is_used_in_parts(parent: nn.Module, name: str) -> bool:
    """Whether a layer's matrix is used in parts, as by attention whose queries come from elsewhere than its keys."""
    is_apart = isinstance(parent, HeadProjections) and not isinstance(parent, MultiHeadAttention)
    return is_apart and name == "projection"

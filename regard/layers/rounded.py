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
            self.pack(torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8))
        self._bias = None if linear.bias is None else linear.bias.detach().float()
        self._outputs = len(weight)

    def forward(self, input: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        rows = input.reshape(-1, input.shape[-1]).float()
        largest = torch.maximum(rows.amax(1, keepdim=True), rows.amin(1, keepdim=True).neg_()).clamp_(min=1e-12)
        result = self.multiply(rows / largest)
        if self._bias is None:
            result.mul_(largest)
        else:
            torch.addcmul(self._bias, result, largest, out=result)
        return result.to(input.dtype).view(*input.shape[:-1], self._outputs)

    def pack(self, weight: Tensor) -> None:
        """Keep the rounded weight in the order in which products read it."""
        self._packed = torch.ops.quantized.linear_prepack(weight, None)

    def multiply(self, rows: Tensor) -> Tensor:
        """Rows of values between -1 and 1, rounded, times the rounded weight: [N, I] -> [N, O]."""
        assert _PRODUCT is not None
        return _PRODUCT(rows, 1 / _LEVELS, _LEVELS + 1, self._packed)


class Int8LinearOfManyRows(Int8Linear):
    """The same product by oneDNN: faster than the other for ten rows or more, and slower for one."""

    def pack(self, weight: Tensor) -> None:
        """Keep the rounded weight in the order in which products read it."""
        self._packed = torch.ops.onednn.qlinear_prepack(weight.int_repr(), None)
        self._scales, self._zeros = weight.q_per_channel_scales().float(), weight.q_per_channel_zero_points().int()

    def multiply(self, rows: Tensor) -> Tensor:
        """Rows of values between -1 and 1, rounded, times the rounded weight: [N, I] -> [N, O]."""
        rounded = torch.quantize_per_tensor(rows, 1 / _LEVELS, _LEVELS + 1, torch.quint8)
        numbers = torch.empty(0, dtype=torch.uint8).set_(rounded.untyped_storage(), 0, rounded.shape, rounded.stride())
        weight = self._packed, self._scales, self._zeros
        result = None, 1.0, 0, torch.float32, "none", [], ""  # no bias, scale and zero of what is not rounded again
        return torch.ops.onednn.qlinear_pointwise(numbers, 1 / _LEVELS, _LEVELS + 1, *weight, *result)


class Bfloat16Linear(nn.Module):
    """A linear layer with weights of bfloat16, in the order in which the processor's products read them."""

    def __init__(self, linear: Linear):
        super().__init__()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().bfloat16(), 1)
        self._bias = None if linear.bias is None else linear.bias.detach().bfloat16()

    def forward(self, input: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return torch.ops.mkldnn._linear_pointwise(input, self._packed, self._bias, "none", [], "")


def round_weights(model: nn.Module, kind: str, *, has_many_rows: bool = False) -> nn.Module:
    """Round the weights of a model, in place; it can then be used, not trained.

    Args:
        model: of the library.
        kind: "int8" rounds those of linear layers, on a processor; "bfloat16" computes the whole model so.
        has_many_rows: whether most products will be of more than ten tokens, as those of encoders are, and not of one.

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
        in_onednn = has_many_rows and torch.cpu._is_vnni_supported() and hasattr(torch.ops.onednn, "qlinear_pointwise")
        rounded = Bfloat16Linear if kind == "bfloat16" else Int8LinearOfManyRows if in_onednn else Int8Linear
        for parent, name, layer in chosen:
            setattr(parent, name, rounded(layer))
    model.register_buffer(_MARK, torch.tensor(True), persistent=False)
    return model.requires_grad_(False)


def is_rounded(model: nn.Module) -> bool:
    """Whether `round_weights` was applied to a model, whose own weights are then not there any more."""
    return hasattr(model, _MARK)


def _is_used_in_parts(parent: nn.Module, name: str) -> bool:
    """Whether a layer's matrix is used in parts, as by attention whose queries come from elsewhere than its keys."""
    is_apart = isinstance(parent, HeadProjections) and not isinstance(parent, MultiHeadAttention)
    return is_apart and name == "projection"

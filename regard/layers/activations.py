"""The forms of GELU by name (Hendrycks and Gimpel 2016, section 2)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn.functional import gelu, sigmoid

GELU: dict[str, Callable[[Tensor], Tensor]] = {
    "exact": gelu,
    "tanh": partial(gelu, approximate="tanh"),
    "sigmoid": lambda x: x * sigmoid(1.702 * x),
}

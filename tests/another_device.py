"""A device which no machine needs to have: it calls itself `meta`, and computes on the processor.

What a GPU would refuse is refused here too: an operation on tensors of which some lie there and some do not. Numbers
of no dimension, and indices into what lies there, may come from the processor. Encoders can be used on it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")  # the one besides `cpu` which any build of torch can name and index
COPIES = ("_to_copy", "copy_")
INDEXED = ("index", "index_put_")
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")


class Elsewhere(Tensor):
    """A tensor on that device; its numbers are those of `own`."""

    own: Tensor

    @staticmethod
    def __new__(cls, own: Tensor):
        size = own.shape, own.stride(), own.storage_offset()
        made = Tensor._make_wrapper_subclass(cls, *size, dtype=own.dtype, device=DEVICE)
        made.own = own
        return made

    def tolist(self) -> Any:
        """Its numbers, which torch gives of plain tensors alone."""
        return self.own.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function} outside of `AnotherDevice`")


class AnotherDevice(TorchDispatchMode):
    """While this is on, there is the device; inference mode, in which torch indexes plain tensors alone, is off.

    Attributes:
        products: of matrices which were computed there.
        products_here: those which were computed on the processor.
    """

    def __init__(self, monkeypatch):
        super().__init__()
        self.products = self.products_here = 0
        monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: DEVICE)
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name, given = function.overloadpacket.__name__, tree_leaves((args, kwargs))
        is_there = any(isinstance(one, Elsewhere) for one in given)
        may_mix = name in COPIES or (name in INDEXED and isinstance(given[0], Elsewhere))
        strangers = [tuple(one.shape) for one in given if type(one) is Tensor and one.ndim]
        if is_there and strangers and not may_mix:
            raise RuntimeError(f"{name} of tensors on two devices; on the processor are {strangers}")
        if asked := [one for one in given if isinstance(one, torch.device)]:
            is_there = asked[0] == DEVICE
        self.products += name in PRODUCTS and is_there
        self.products_here += name in PRODUCTS and not is_there
        found = function(*tree_map(_own, args), **tree_map(_own, kwargs or {}))
        return tree_map(lambda one: Elsewhere(one) if isinstance(one, Tensor) else one, found) if is_there else found


def _own(one: Any) -> Any:
    """What the processor computes with."""
    if isinstance(one, Elsewhere):
        return one.own
    return torch.device("cpu") if isinstance(one, torch.device) and one == DEVICE else one

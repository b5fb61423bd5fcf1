"""The parameters of a model by their names: taken out, and filled in."""

import torch
from torch import Tensor, nn

from regard.models.layout import is_same


def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The parameters of a model by name; one which stands under two names is kept under the first."""
    seen, weights = set(), {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) not in seen:
            seen.add(id(parameter))
            weights[name] = parameter.detach()
    return weights


def fill(model: nn.Module, tensors: dict[str, Tensor], place: str) -> None:
    """Copy tensors into the parameters of the same names.

    Raises:
        ValueError: if one is missing, unknown, or of another shape or kind, or if several of one parameter's names have
            different values; lists all of them, and changes nothing.
    """
    wanted, first = plain_weights(model), _first_names(model)
    given: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        given.setdefault(first.get(name, name), tensor)
    faults = [f"missing: {name} {tuple(wanted[name].shape)}" for name in wanted if name not in given]
    for name, tensor in tensors.items():
        own = first.get(name)
        if own is None:
            faults.append(f"unknown: {name} {tuple(tensor.shape)}")
        elif tensor is not given[own] and not is_same(tensor, given[own]):
            faults.append(f"values of {name}: not those of {own}, which is the same parameter here")
        elif tensor.shape != wanted[own].shape:
            faults.append(f"shape of {name}: {tuple(tensor.shape)}, not {tuple(wanted[own].shape)}")
        elif not tensor.is_floating_point():
            faults.append(f"type of {name}: {tensor.dtype}, not a floating point type")
    if faults:
        raise ValueError(f"{place} does not fit {type(model).__name__}:\n  " + "\n  ".join(faults))
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(given[name])


def _first_names(model: nn.Module) -> dict[str, str]:
    """Each name of a parameter, and the first one which it has."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(one), name) for name, one in model.named_parameters(remove_duplicate=False)}

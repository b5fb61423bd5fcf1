"""The papers' optimisers. The rate of each update comes from the schedule."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

Parameters = Iterable[nn.Parameter]


def sgd(parameters: Parameters, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent (Sutskever et al. 2014, section 3.4)."""
    return torch.optim.SGD(parameters, lr=1.0, foreach=True)


def adadelta(parameters: Parameters, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """Adadelta with rho = 0.95 and epsilon = 1e-6 (Cho et al. 2014; Bahdanau et al. 2015, section 4.2)."""
    return torch.optim.Adadelta(parameters, lr=1.0, rho=0.95, eps=1e-6, foreach=True)


def adam(parameters: Parameters, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """Adam with beta2 = 0.98, if it is not given, and epsilon = 1e-9 (Vaswani et al. 2017, section 5.3)."""
    return torch.optim.Adam(parameters, lr=1.0, betas=(0.9, beta2 or 0.98), eps=1e-9, fused=True)


def adamw(parameters: Parameters, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """Adam with beta2 = 0.95, if it is not given, and epsilon = 1e-8 (Brown et al. 2020, appendix B).

    All matrices decay, apart from the gradient (Loshchilov and Hutter 2019); biases and gains do not, as in GPT's
    section 4.1. That beta2 is for batches of millions of tokens. In one of a thousand a rare word is not seen for
    hundreds of steps, and its squared gradient is forgotten in twenty: what little pushes it down meanwhile is then
    scaled up to whole steps. 0.999 remembers it.
    """
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=1.0, betas=(0.9, beta2 or 0.95), fused=True
    )


OPTIMISERS: dict[str, Callable[[Parameters, float, float], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adadelta": adadelta,
    "adam": adam,
    "adamw": adamw,
}


def require_use(optimiser: str, decay: float, beta2: float) -> None:
    """Refuse a decay or a beta2 which the optimiser would ignore, and a beta2 which is no share."""
    if decay and optimiser != "adamw":
        raise ValueError(f"plan.decay is of plan.optimiser='adamw', got {optimiser!r}")
    if beta2 and optimiser not in ("adam", "adamw"):
        raise ValueError(f"plan.beta2 is of plan.optimiser='adam' or 'adamw', got {optimiser!r}")
    if not 0.0 <= beta2 < 1.0:
        raise ValueError(f"plan.beta2 must lie in [0, 1), got {beta2}")

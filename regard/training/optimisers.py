"""The papers' optimisers. The rate of each update comes from the schedule."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

Parameters = Iterable[nn.Parameter]


def sgd(parameters: Parameters) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent (Sutskever et al. 2014, section 3.4)."""
    return torch.optim.SGD(parameters, lr=1.0, foreach=True)


def adadelta(parameters: Parameters) -> torch.optim.Optimizer:
    """Adadelta with rho = 0.95 and epsilon = 1e-6 (Cho et al. 2014; Bahdanau et al. 2015, section 4.2)."""
    return torch.optim.Adadelta(parameters, lr=1.0, rho=0.95, eps=1e-6, foreach=True)


def adam(parameters: Parameters) -> torch.optim.Optimizer:
    """Adam with beta2 = 0.98 and epsilon = 1e-9 (Vaswani et al. 2017, section 5.3)."""
    return torch.optim.Adam(parameters, lr=1.0, betas=(0.9, 0.98), eps=1e-9, fused=True)


OPTIMISERS: dict[str, Callable[[Parameters], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adadelta": adadelta,
    "adam": adam,
}

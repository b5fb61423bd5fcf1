"""The papers' optimisers. The rate of each update comes from the schedule, times the scale of a group of parameters.

XLNet's code, where nothing decays, and Transformer-XL's take TensorFlow's Adam. That is "adamw" with `beta2=0.999`, but
for the place of its epsilon of 1e-8: TensorFlow adds it to the root of what is not yet corrected for the first steps.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw as adamw_step

Groups = Sequence[dict[str, Any]]  # torch's groups of parameters, each with its scale of the rate; made by `scaled`


def scaled(parameters: Iterable[nn.Parameter], scale: float = 1.0) -> dict[str, Any]:
    """A group of parameters whose rate is `scale` times the schedule's.

    XLNet's layer-wise decay scales gradients instead, which Adam undoes: it divides by their size.
    """
    return {"params": list(parameters), "scale": scale}


def sgd(groups: Groups, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent (Sutskever et al. 2014, section 3.4)."""
    return torch.optim.SGD(groups, lr=1.0, foreach=True)


def adadelta(groups: Groups, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """Adadelta with rho = 0.95 and epsilon = 1e-6 (Cho et al. 2014, section 4.1.1; Bahdanau et al. 2015, B.2)."""
    return torch.optim.Adadelta(groups, lr=1.0, rho=0.95, eps=1e-6, foreach=True)


def adam(groups: Groups, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """Adam with beta2 = 0.98, if it is not given, and epsilon = 1e-9 (Vaswani et al. 2017, section 5.3)."""
    return torch.optim.Adam(groups, lr=1.0, betas=(0.9, beta2 or 0.98), eps=1e-9, fused=True)


def adamw(groups: Groups, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """Adam with beta2 = 0.95, if it is not given, and epsilon = 1e-8 (Brown et al. 2020, appendix B).

    All matrices decay, apart from the gradient (Loshchilov and Hutter 2019); biases and gains do not, as in GPT's
    section 4.1. That beta2 is for batches of millions of tokens. In one of a thousand a rare word is not seen for
    hundreds of steps, and its squared gradient is forgotten in twenty: what little pushes it down meanwhile is then
    scaled up to whole steps. 0.999 remembers it.
    """
    return torch.optim.AdamW(_decaying(groups, decay), lr=1.0, betas=(0.9, beta2 or 0.95), fused=True)


def bert(groups: Groups, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """BERT's Adam: beta1 = 0.9 and, if it is not given, beta2 = 0.999 (Devlin et al. 2019, appendix A.2).

    The paper leaves out what its code does: epsilon is 1e-6, and the moments are not corrected for the first steps.
    XLNet's and ALBERT's codes have the same. All of them keep from decay what is called a bias or lies in a layer
    normalisation, which are the vectors; XLNet's `r_w_bias`, `r_r_bias` and `r_s_bias`, which are [H, K], decay there
    and here.
    """
    return UncorrectedAdam(_decaying(groups, decay), beta2 or 0.999)


def lamb(groups: Groups, decay: float = 0.0, beta2: float = 0.0) -> torch.optim.Optimizer:
    """LAMB as ALBERT's code has it (You et al. 2020, algorithm 2; Lan et al. 2020, section 4.1): see `Lamb`."""
    return Lamb(_decaying(groups, decay), beta2 or 0.999)


class UncorrectedAdam(torch.optim.AdamW):
    """Adam with decay apart from the gradient, epsilon = 1e-6, and moments which are not corrected for the first steps.

    It is torch's, which divides the moments by 1 - beta^t, at the step t = infinity: there both divisors are 1.

    Args:
        groups: of parameters.
        beta2: the share of squared gradients which a step keeps.
    """

    def __init__(self, groups: Groups, beta2: float):
        super().__init__(groups, lr=1.0, betas=(0.9, beta2), eps=1e-6, fused=True)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {
                    "step": torch.full((), math.inf, dtype=torch.float32, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take moments; a run which began with another Adam goes on without corrections."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state["step"].fill_(math.inf)


class Lamb(UncorrectedAdam):
    """The same Adam, whose update of each matrix is made as long as the matrix is, times the rate.

    The decay is a part of the update. Vectors, and matrices of zeros, are moved by the plain update. The ratio of
    lengths has no bounds. A matrix is what a model keeps as one: query, key and value are one `projection` here and
    share a ratio, where ALBERT's code has three.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter which has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        """One update of one parameter."""
        state = self.state[parameter]
        update = torch.zeros_like(parameter)
        beta1, beta2 = group["betas"]
        adamw_step(  # Adam's step from zero, at the rate -1, is the update itself
            [update],
            [gradient],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=-1.0,
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )
        if parameter.ndim > 1:
            update.add_(parameter, alpha=group["weight_decay"])
            length, of_update = torch.linalg.vector_norm(parameter), torch.linalg.vector_norm(update)
            # numbers stay on the device, which would have to be waited for twice a matrix
            update.mul_(torch.where((length > 0) & (of_update > 0), length / of_update, 1.0))
        parameter.add_(update, alpha=-group["lr"])


def _decaying(groups: Groups, decay: float) -> list[dict[str, Any]]:
    """Each group in two, matrices, which decay, and vectors, which do not."""
    parts = [
        {**group, "params": [p for p in group["params"] if (p.ndim > 1) is decays], "weight_decay": decay * decays}
        for group in groups
        for decays in (True, False)
    ]
    return [part for part in parts if part["params"]]


OPTIMISERS: dict[str, Callable[[Groups, float, float], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adadelta": adadelta,
    "adam": adam,
    "adamw": adamw,
    "bert": bert,
    "lamb": lamb,
}


def require_use(optimiser: str, decay: float, beta2: float) -> None:
    """Refuse a decay or a beta2 which the optimiser would ignore, and a beta2 which is no share."""
    also = "'bert' and 'lamb' take it too"
    if decay and optimiser not in ("adamw", "bert", "lamb"):
        raise ValueError(f"plan.decay is of plan.optimiser='adamw', got {optimiser!r}; {also}")
    if beta2 and optimiser not in ("adam", "adamw", "bert", "lamb"):
        raise ValueError(f"plan.beta2 is of plan.optimiser='adam' or 'adamw', got {optimiser!r}; {also}")
    if not 0.0 <= beta2 < 1.0:
        raise ValueError(f"plan.beta2 must lie in [0, 1), got {beta2}")

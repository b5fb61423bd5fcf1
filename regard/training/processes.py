"""One process or several, on one machine or several, behind the same few calls.

Accelerate finds out what was launched, picks the device and replicates the model (DDP). Where its launcher was asked to
shard (`accelerate launch --use_fsdp`, or ACCELERATE_USE_FSDP=true), parameters, gradients and optimiser state are split
over the processes by torch's `fully_shard` (FSDP, version 2), on GPUs and on CPUs alike.
"""

import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.state import is_initialized
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from regard.layers.blocks import FeedForward

PATIENCE = timedelta(days=1)  # for which others wait while the main process tokenises or validates
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Processes:
    """The processes of a run, and how they hold its model.

    Raises:
        ValueError: if what was launched is not what accelerate found, or an option of sharding is not known here.
    """

    def __init__(self):
        launched = _launched()
        self.accelerator = Accelerator(
            # The plan says where to compute in bfloat16, not the launcher. Accelerate keeps one setting for a program:
            # what a Trainer of Transformers has set before stays, and moves nothing where one process trains.
            mixed_precision=None if launched == 1 and is_initialized() else "no",
            cpu=not torch.accelerator.is_available(),
            kwargs_handlers=[
                InitProcessGroupKwargs(timeout=PATIENCE),
                # After the first update DDP would move gradients to other buckets, in which three or more processes add
                # up in another order; then a resumed run, whose first update comes later, would not be the same to the
                # bit. Where parameters may be unused, it leaves them where they are.
                DistributedDataParallelKwargs(find_unused_parameters=launched > 2),
            ],
        )
        self.device = self.accelerator.device
        self.count, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.is_main = self.accelerator.is_main_process
        self.shards = self.count > 1 and _is_set("ACCELERATE_USE_FSDP")
        if launched != self.count:
            raise ValueError(f"{launched} processes were launched, but accelerate found {self.count}")
        if self.shards and _is_set("FSDP_OFFLOAD_PARAMS"):
            raise ValueError("parameters cannot be offloaded to the CPU; launch without --fsdp_offload_params")

    def wait(self) -> None:
        """Until every process is here."""
        self.accelerator.wait_for_everyone()

    def main_first(self) -> AbstractContextManager[None]:
        """The others enter when the main process has left."""
        return self.accelerator.main_process_first()

    def summed(self, values: Tensor) -> Tensor:
        """The sum over processes, on the device where there are several; one process need not wait for its device."""
        if self.count > 1:
            values = values.to(self.device)
            torch.distributed.all_reduce(values)
        return values

    def from_main(self, *values: float) -> list[float]:
        """What the main process has, in all of them; none goes on before it is there."""
        own = values if self.is_main else [0.0] * len(values)
        return self.summed(torch.tensor(own, dtype=torch.float64)).tolist()

    def mean(self, value: float) -> float:
        """The mean over processes."""
        return float(self.summed(torch.tensor(value))) / self.count if self.count > 1 else value

    def hold(self, objective: nn.Module) -> nn.Module:
        """The objective on the device: as it is, replicated or sharded. Optimisers are made after this."""
        if self.count == 1:
            return objective.to(self.device)
        if not self.shards:
            return self.accelerator.prepare_model(objective)
        objective.to(self.device)
        for module in list(objective.modules()):
            if isinstance(module, FeedForward):  # most weights of a deep model; gathered one layer at a time
                fully_shard(module)
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # which is not written to
        fully_shard(objective)
        return objective

    def gathering(self, objective: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
        """Gradients stay with their process until the last batch of an update."""
        if isinstance(objective, FSDPModule):
            objective.set_requires_gradient_sync(is_last)
        elif isinstance(objective, DistributedDataParallel) and not is_last:
            return objective.no_sync()
        return nullcontext()

    def clip(self, objective: nn.Module, largest: float) -> float:
        """The norm of all gradients; where it exceeds `largest` (0 is no limit) they are scaled down to it."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in objective.parameters() if p.grad is not None])
        if largest:
            torch.nn.utils.clip_grads_with_norm_(objective.parameters(), largest, norm)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def is_finite(self, objective: nn.Module) -> bool:
        """Whether every weight on every process is finite."""
        locals_ = (p.to_local() if isinstance(p, DTensor) else p for p in objective.parameters())
        faults = sum((~local.detach().isfinite()).any() for local in locals_)
        return not self.summed(torch.as_tensor(faults, device=self.device).long().reshape(1)).item()

    def weights(self, objective: nn.Module) -> dict[str, Tensor]:
        """All weights, whole, on the CPU of the main process; nothing in the others. Every process takes part."""
        whole: Any = get_model_state_dict(objective, options=_WHOLE)
        return whole

    def optimiser_state(self, objective: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
        """The optimiser's state by parameter, as `weights`."""
        whole: Any = get_optimizer_state_dict(objective, optimiser, options=_WHOLE)
        return whole.get("state", {})

    def set_optimiser_state(
        self, objective: nn.Module, optimiser: torch.optim.Optimizer, state: dict[str, dict[str, Tensor]]
    ) -> None:
        """Put whole state back, of which every process keeps its part."""
        if not state:  # plain descent has none, and torch does not take that
            return
        own: Any = get_optimizer_state_dict(objective, optimiser)  # for its groups
        whole: Any = {**own, "state": state}
        set_optimizer_state_dict(objective, optimiser, whole, options=StateDictOptions(full_state_dict=True))


def require_alone(advice: str) -> None:
    """Refuse what would be done, and written, by each of several processes.

    Raises:
        ValueError: if several were launched; it ends with the advice.
    """
    if (launched := _launched()) > 1:
        raise ValueError(f"{launched} processes were launched, and this is done by one; {advice}")


def _launched() -> int:
    """How many processes a launcher has begun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _is_set(variable: str) -> bool:
    """Whether a variable of accelerate's launcher says yes."""
    return os.environ.get(variable, "").lower() in ("1", "true", "yes")

"""The most memory which updates of a run take."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5)


class PeakMemory:
    """The highest that memory stands while it is watched, in bytes: what was held before, and what came to it.

    On a GPU it is what torch has allocated; on a processor under Linux, what the process has in memory, without what
    there is beside. Elsewhere nothing is known, and the peak stays 0.

    Args:
        device: where the model computes.
        held: bytes of tensors which are there already and belong to what is watched.
    """

    def __init__(self, device: torch.device, held: int):
        self.peak, self._held, self._is_cuda = 0, held, device.type == "cuda"
        gc.collect()
        self.settle()

    def settle(self) -> None:
        """Begin anew after something which is not watched: what is free is given back, what else came is left out."""
        if not self._is_cuda and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
            library.malloc_trim(0)
        self._beside = self._highest() - self._held if self._reset() else 0

    @property
    def _is_known(self) -> bool:
        """Whether there is something which tells."""
        return self._is_cuda or _CLEAR.exists()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at the peak inside the block."""
        is_known = self._reset()
        yield
        if is_known:
            self.peak = max(self.peak, self._highest() - self._beside)

    def _reset(self) -> bool:
        """Begin a new peak, where that is possible."""
        if not self._is_known:
            return False
        if self._is_cuda:
            torch.cuda.reset_peak_memory_stats()
            return True
        try:
            _CLEAR.write_text(_RESET_PEAK)
        except OSError:  # a kernel without it, or a container which forbids it
            return False
        return True

    def _highest(self) -> int:
        """The peak since it was begun."""
        if self._is_cuda:
            return torch.cuda.max_memory_allocated()
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

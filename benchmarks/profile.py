"""Where the time of a workload goes, by operation."""

import os

from benchmarks.measure import Workload

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own messages, read when torch is loaded


def profile(workload: Workload, *, rows: int = 14) -> str:
    """One part of the work under torch's profiler: the costliest operations, by their own time."""
    import torch

    workload.run(0)
    everywhere = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)  # batches are computed in threads
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], experimental_config=everywhere
    ) as profiler:
        workload.run(0)
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    lines = [f"{'operation':<58}{'share':>7}{'ms':>10}{'calls':>8}"]
    for event in events[:rows]:
        spent = event.self_cpu_time_total
        lines.append(f"{event.key[:56]:<58}{spent / total:>7.1%}{spent / 1000:>10.1f}{event.count:>8}")
    return "\n".join(lines)

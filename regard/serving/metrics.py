"""What a service has done, as Prometheus reads it (its text format, version 0.0.4).

All is counted in the thread of the event loop, so that no lock is needed.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
POWERS = tuple(float(1 << power) for power in range(14))
Labels = tuple[tuple[str, str], ...]


@dataclass
class Histogram:
    """How many values lay below each bound."""

    bounds: tuple[float, ...]
    total: float = 0.0
    counts: list[int] = field(init=False)

    def __post_init__(self):
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: Labels = ()) -> Iterator[str]:
        """One line a bound, then the sum and the number of all."""
        sums = list(accumulate(self.counts))
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), sums, strict=True):
            yield f"{name}_bucket{_written((*labels, ('le', bound)))} {count}"
        yield f"{name}_sum{_written(labels)} {self.total}"
        yield f"{name}_count{_written(labels)} {sums[-1]}"


class Metrics:
    """Requests, batches and tokens."""

    def __init__(self):
        self.requests: Counter[Labels] = Counter()
        self.seconds: dict[str, Histogram] = {}
        self.inputs, self.sizes = Histogram(POWERS), Histogram(POWERS)
        self.tokens: Counter[str] = Counter()

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request which is over."""
        self.requests[(("endpoint", endpoint), ("status", str(status)))] += 1
        self.seconds.setdefault(endpoint, Histogram(SECONDS)).add(seconds)

    def batch(self, inputs: int, tokens: int) -> None:
        """Count a batch which was computed."""
        self.inputs.add(inputs)
        self.sizes.add(tokens)

    def page(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """All of it; `gauges` are what is so now, by name, with what they mean."""
        lines = list(_head("regard_requests_total", "counter", "Requests which are over; 499 has left before."))
        lines += [f"regard_requests_total{_written(labels)} {count}" for labels, count in self.requests.items()]
        lines += _head("regard_request_seconds", "histogram", "From the first byte of a request to its end.")
        for endpoint, histogram in self.seconds.items():
            lines += histogram.lines("regard_request_seconds", (("endpoint", endpoint),))
        lines += _head("regard_batch_inputs", "histogram", "Inputs which were computed together.")
        lines += self.inputs.lines("regard_batch_inputs")
        lines += _head("regard_batch_tokens", "histogram", "Tokens which were computed together.")
        lines += self.sizes.lines("regard_batch_tokens")
        lines += _head("regard_tokens_total", "counter", "Tokens which were read and written.")
        lines += [f'regard_tokens_total{{kind="{kind}"}} {self.tokens[kind]}' for kind in ("read", "written")]
        for name, (meaning, value) in gauges.items():
            lines += [*_head(name, "gauge", meaning), f"{name} {value}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    """What stands above the lines of a metric."""
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _written(labels: Labels) -> str:
    """Labels in braces."""
    escaped = ((name, text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, text in labels)
    inside = ",".join(f'{name}="{text}"' for name, text in escaped)
    return f"{{{inside}}}" if inside else ""

"""Signals which ask a run to stop."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)
TOGETHER = 1.0  # seconds; a scheduler and a launcher may both pass on what is one request


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """A list to which SIGTERM and SIGINT (Ctrl-C) are added instead of ending the process; a later one ends it at once.

    A signal which is ignored stays so. Outside of the main thread nothing is caught: who started it handles signals.
    """
    caught: list[int] = []
    before: dict[int, Any] = {}
    first = 0.0

    def note(number: int, _frame: Any) -> None:
        nonlocal first
        if caught and time.monotonic() - first > TOGETHER:
            restore()
            os.kill(os.getpid(), number)
        first = first if caught else time.monotonic()
        caught.append(number)

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, note)
    try:
        yield caught
    finally:
        restore()

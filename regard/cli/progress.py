"""Progress bars of commands: rate and time left, on the terminal only."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A bar which is moved by calling what it gives, with the number of things done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


def counted(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Items, with a bar which says how many are done."""
    with progress(len(items), what) as done:
        for number, item in enumerate(items):
            yield item
            done(number + 1)

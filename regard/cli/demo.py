"""`regard demo`."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

MODELS = {"rnnsearch": "RNNsearch (2014)", "transformer": "Transformer (2017)"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the two runs and the page.")] = Path("runs/demo"),
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change both runs.")] = None,
) -> None:
    """Train RNNsearch and a small Transformer on dates, test them, and draw what they attend to.

    A run which is already in the folder is gone on with, so that a stopped demo continues.

    Example:

      regard demo --out runs/demo
    """
    from rich.console import Console
    from rich.table import Table

    from regard.decoding.translator import Translator
    from regard.evaluate.scores import exact_match
    from regard.training.run import RUN_FILE, read_run
    from regard.visualise.page import write_page
    from regard.visualise.translations import example

    console = Console(highlight=False)
    _train_both(out, settings or [], console.print)
    test = read_run(out / "rnnsearch" / RUN_FILE).test
    assert test is not None
    pairs = list(test.read())
    sources, references = [pair.source for pair in pairs], [pair.target for pair in pairs]
    translators = {name: Translator.load(out / kind) for kind, name in MODELS.items()}
    outputs = {
        name: translator.translate(sources, beams=1, length_penalty=0.0) for name, translator in translators.items()
    }
    table = Table(title=f"{len(sources):,} dates which neither model has seen")
    for heading in ("as people write it", "ISO 8601", *MODELS.values()):
        table.add_column(heading)
    shown = [n * len(sources) // 12 for n in range(12)]
    for n in shown:
        marks = [
            outputs[name][n] + ("" if outputs[name][n] == references[n] else "  (wrong)") for name in MODELS.values()
        ]
        table.add_row(sources[n], references[n], *marks)
    table.add_section()
    exact = [f"{exact_match(outputs[name], references):.1f} % exact" for name in MODELS.values()]
    table.add_row("all of them", "", *exact)
    console.print(table)
    pictures = (
        example(
            translator,
            sources[n],
            outputs[name][n],
            {"model": name, "source": sources[n], "output": outputs[name][n], "reference": references[n]},
            f"{sources[n]} – {name}",
        )
        for n in shown
        for name, translator in translators.items()
    )
    page = out / "attention.html"
    write_page(page, pictures, title="What two models attend to when they read a date")
    console.print("what they attend to:")
    console.print(str(page.resolve()), soft_wrap=True)


def _train_both(out: Path, settings: list[str], say: Callable[[str], None]) -> None:
    """Train both side by side, each on its half of the cores: models as small as these gain nothing from more."""
    from regard.training.run import RUN_FILE

    threads = str(max(1, (os.cpu_count() or 1) // len(MODELS)))
    running = {}
    for kind, name in MODELS.items():
        folder = out / kind
        what = ["--resume", str(folder)] if (folder / RUN_FILE).is_file() else [f"dates-{kind}", "--out", str(folder)]
        options = [part for setting in settings for part in ("--set", setting)]
        running[name] = subprocess.Popen(
            [sys.executable, "-m", "regard", "train", *what, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": threads, "COLUMNS": "200"},
        )
    watchers = [threading.Thread(target=_repeat, args=(name, process, say)) for name, process in running.items()]
    for watcher in watchers:
        watcher.start()
    try:
        for watcher in watchers:
            watcher.join()
    except KeyboardInterrupt:  # which both have got too, and answer with a checkpoint
        for watcher in watchers:
            watcher.join()
        raise
    for name, process in running.items():
        if process.wait():
            raise ValueError(f"the training of {name} ended with status {process.returncode}; what it said is above")


def _repeat(name: str, process: subprocess.Popen[str], say: Callable[[str], None]) -> None:
    """Say what a process says, led by its model's name."""
    width = max(map(len, MODELS.values()))
    assert process.stderr is not None
    for line in process.stderr:
        say(f"{name:<{width}}  {line.rstrip()}")

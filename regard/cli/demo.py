"""`regard demo`."""

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

    from regard.evaluate.scores import exact_match
    from regard.training.loop import train
    from regard.training.run import RUN_FILE, read_run
    from regard.visualise.page import write_page
    from regard.visualise.translations import example

    console = Console(highlight=False)
    outputs, translators = {}, {}
    sources: list[str] = []
    references: list[str] = []
    for kind, name in MODELS.items():
        folder = out / kind
        resume = (folder / RUN_FILE).is_file()
        run = read_run(folder / RUN_FILE if resume else f"dates-{kind}", settings or ())
        console.print(f"[bold]{name}[/bold]")
        translators[name] = train(run, folder, resume=resume)
        assert run.test is not None
        pairs = list(run.test.read())
        sources, references = [pair.source for pair in pairs], [pair.target for pair in pairs]
        outputs[name] = translators[name].translate(sources, beams=1, length_penalty=0.0)
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
            translators[name],
            sources[n],
            outputs[name][n],
            {"model": name, "source": sources[n], "output": outputs[name][n], "reference": references[n]},
        )
        for n in shown
        for name in MODELS.values()
    )
    page = out / "attention.html"
    write_page(page, pictures, title="What two models attend to when they read a date")
    console.print("what they attend to:")
    console.print(str(page.resolve()), soft_wrap=True)

"""`regard report`."""

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import Device


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run of `regard finetune`.")],
    file: Annotated[str, typer.Argument(help="Labelled examples; without, those the run was validated on.")] = "",
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    worst: Annotated[int, typer.Option(help="Examples which are listed, those with the largest loss.")] = 200,
    device: Device = "cpu",
) -> None:
    """Write one HTML page of what a fine-tuned model does well and where it errs; it needs no network.

    It shows what was trained and how it went, the measures, which classes are taken for which, and the examples with
    the largest loss, the worst of them with their attention.

    Examples:

      regard report runs/reviews

      regard report runs/reviews test.csv --out test-report.html
    """
    if out.suffix != ".html":
        raise ValueError(f"{out} must end in .html")
    from regard.cli.reporting import report_run

    typer.echo(str(report_run(folder, out, file, worst=worst, device=device)))

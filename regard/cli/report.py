"""`regard report`."""

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import (
    COLUMNS,
    Device,
    LabelColumn,
    OptionColumns,
    PairColumn,
    Skip,
    TextColumn,
    columns_of,
    require_file,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run of `regard finetune`.")],
    file: Annotated[str, typer.Argument(help="Labelled examples; without, those the run was validated on.")] = "",
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    text: TextColumn = "",
    pair: PairColumn = "",
    label: LabelColumn = "",
    options: OptionColumns = None,
    skip: Skip = False,
    worst: Annotated[int, typer.Option(help="Examples which are listed, those with the largest loss.")] = 200,
    device: Device = "cpu",
) -> None:
    """Write one HTML page of what a fine-tuned model does well and where it errs; it needs no network.

    It shows what was trained and how it went, the measures, which classes are taken for which, and the examples with
    the largest loss, the worst of them with their attention.

    Examples:

      regard report runs/reviews

      regard report runs/reviews test.csv --out test-report.html

      regard report runs/reviews others.csv --text body --label stars
    """
    if out.suffix != ".html":
        raise ValueError(f"{out} must end in .html")
    require_file(context, file, *COLUMNS, "skip")
    from regard.cli.reporting import report_run

    columns = columns_of(text, pair, label, options)
    typer.echo(str(report_run(folder, out, file, columns, skip=skip, worst=worst, device=device)))

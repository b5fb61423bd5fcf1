"""`regard patterns`."""

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import find

ROWS = 6  # which are drawn, and the papers' stride, where nothing else is asked for: figure 3 of the Sparse Transformer
MOST = 2048  # positions of a figure, every pair of which takes some 100 bytes while it is drawn


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("patterns")(patterns)


def patterns(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A language model's directory; without, the papers' patterns."),
    ] = None,
    stride: Annotated[int, typer.Option(help="Length of a row; 0 is 6, or the model's own stride or width.")] = 0,
    positions: Annotated[int, typer.Option(help="Of the sequence; 0 is six rows, as far as the model knows them.")] = 0,
    out: Annotated[Path, typer.Option(help="The figure: a .png, .svg or .pdf file.")] = Path("patterns.svg"),
) -> None:
    """Draw attention patterns as in figure 3 of the Sparse Transformer: those of papers, or of a model's layers.

    Examples:

      regard patterns --stride 6 --out patterns.svg

      regard patterns runs/sparse --positions 128
    """
    if max(positions, stride) > MOST:
        raise ValueError(f"--positions and --stride must be {MOST} or less, for every pair of positions is drawn")
    from regard.reading.directory import load
    from regard.storage.figures import save_figure
    from regard.visualise.patterns import draw_patterns, patterns_of, published, row_of

    if folder is None:
        stride = stride or ROWS
        masks, most = published(stride), MOST
    else:
        model = load(find(folder)).model
        masks, most = patterns_of(model), min(MOST, getattr(model.config, "context", MOST))
        stride = stride or min(row_of(masks) or ROWS, most)
    save_figure(draw_patterns(masks, positions=positions or min(ROWS * stride, most), stride=stride), out)
    typer.echo(str(out))

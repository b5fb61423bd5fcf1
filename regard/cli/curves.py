"""`regard curves`."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("curves")(curves)


def curves(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of runs, ended or not.")],
    out: Annotated[Path, typer.Option(help="The figure: a .png, .svg or .pdf file.")] = Path("curves.svg"),
    exact: Annotated[bool, typer.Option("--exact", help="Draw exact match instead of BLEU.")] = False,
) -> None:
    """Draw how runs went: loss, and BLEU or bits a character, by the tokens they were trained on.

    Example:

      regard curves runs/a runs/b --out curves.svg
    """
    from regard.cli.folders import by_name
    from regard.evaluate.curves import curves_figure
    from regard.storage.figures import save_figure
    from regard.training.log import MEASURES, read_measures

    runs = {}
    for name, folder in by_name(folders).items():
        path = folder / MEASURES
        if not path.is_file():
            raise FileNotFoundError(f"{folder} holds no {MEASURES}: it is no run's folder, or nothing was trained yet")
        runs[name] = read_measures(path)
    writes = any("validation_bits_per_character" in line for lines in runs.values() for line in lines)
    quality = "exact_match" if exact else "bits_per_character" if writes else "bleu"
    save_figure(curves_figure(runs, quality=f"validation_{quality}"), out)
    typer.echo(out)

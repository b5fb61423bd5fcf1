"""`regard view`."""

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import Beams


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("view")(view)


def view(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A model directory.")],
    text: Annotated[list[str] | None, typer.Option(help="A sentence; may be given several times.")] = None,
    source: Annotated[Path | None, typer.Option(help="A file of sentences.")] = None,
    target: Annotated[Path | None, typer.Option(help="Their references, shown beside the translations.")] = None,
    forced: Annotated[bool, typer.Option("--forced", help="Look at how the references are read.")] = False,
    first: Annotated[int, typer.Option(help="Sentences of the file at most.")] = 20,
    out: Annotated[Path, typer.Option(help=".html; .png or .svg for one sentence.")] = Path("attention.html"),
    beams: Beams = 5,
) -> None:
    """Draw what a model attends to, as one HTML page which needs no network, or as a picture.

    Examples:

      regard view runs/dates --text 'de_CH 3. März 1998'

      regard view runs/m --source test.de --target test.en --first 10 --out attention.html

      regard view runs/m --text 'Ein Mann schläft.' --out alignment.svg
    """
    if bool(text) == bool(source):
        raise ValueError("give sentences with --text, or a file of them with --source")
    if out.suffix not in (".html", ".png", ".svg"):
        raise ValueError(f"{out} must end in .html, .png or .svg")
    from regard.cli.lines import read_lines
    from regard.decoding.translator import Translator
    from regard.visualise.picture import Picture
    from regard.visualise.translations import examples
    from regard.visualise.translations import view as write

    sentences = read_lines(source)[:first] if source is not None else list(text or ())
    references = None if target is None else read_lines(target)[: len(sentences)]
    translator = Translator.load(folder)
    if out.suffix == ".html":
        title = f"Attention of {folder.resolve().name}"
        write(translator, sentences, out, references, title=title, forced=forced, beams=beams)
    else:
        Picture(list(examples(translator, sentences, references, forced=forced, beams=beams))).save(out)
    typer.echo(str(out))

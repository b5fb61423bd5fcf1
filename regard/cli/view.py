"""`regard view`."""

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import Beams

TRANSLATING = ("source", "target", "forced", "first", "beams")  # options of encoder-decoders alone
WRITING = ("tokens", "seed")  # of language models alone


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("view")(view)


def view(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A model directory.")],
    text: Annotated[list[str] | None, typer.Option(help="A sentence or text; may be given several times.")] = None,
    source: Annotated[Path | None, typer.Option(help="A file of sentences to translate.")] = None,
    target: Annotated[Path | None, typer.Option(help="Their references, shown beside the translations.")] = None,
    forced: Annotated[bool, typer.Option("--forced", help="Look at how the references are read.")] = False,
    first: Annotated[int, typer.Option(help="Sentences of the file at most.")] = 20,
    tokens: Annotated[int, typer.Option(help="Let a language model first go on with so many tokens.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Draw these; without, the most probable ones are taken.")] = None,
    out: Annotated[Path, typer.Option(help=".html; .png or .svg for one sentence.")] = Path("attention.html"),
    beams: Beams = 5,
) -> None:
    """Draw what a model attends to, as one HTML page which needs no network, or as a picture.

    Examples:

      regard view runs/dates --text 'de_CH 3. März 1998'

      regard view runs/m --source test.de --target test.en --first 10 --out attention.html

      regard view runs/m --text 'Ein Mann schläft.' --out alignment.svg

      regard view runs/shakespeare --text 'ROMEO:' --tokens 50
    """
    if bool(text) == bool(source):
        raise ValueError("give sentences with --text, or a file of them with --source")
    if out.suffix not in (".html", ".png", ".svg"):
        raise ValueError(f"{out} must end in .html, .png or .svg")
    from regard.cli.lines import read_lines
    from regard.decoding.directory import load
    from regard.decoding.writer import Writer
    from regard.visualise.page import write_page
    from regard.visualise.picture import Picture
    from regard.visualise.view import pictures

    model = load(folder)
    if isinstance(model, Writer):
        _refuse(context, TRANSLATING, f"{folder} holds a language model, which reads --text and takes --tokens, --seed")
        found = pictures(model, text or (), tokens=tokens, seed=seed)
    else:
        _refuse(context, WRITING, f"{folder} holds an encoder-decoder, which translates")
        sentences = read_lines(source)[:first] if source is not None else list(text or ())
        references = None if target is None else read_lines(target)[: len(sentences)]
        found = pictures(model, sentences, references=references, forced=forced, beams=beams)
    if out.suffix == ".html":
        write_page(out, found, title=f"Attention of {folder.resolve().name}")
    else:
        Picture(found).save(out)
    typer.echo(str(out))


def _refuse(context: typer.Context, names: tuple[str, ...], why: str) -> None:
    """Refuse options which mean nothing to a model."""
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [f"--{name}" for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        raise ValueError(f"{', '.join(given)} cannot be used here: {why}")

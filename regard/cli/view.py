"""`regard view`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regard.cli.options import Beams, Device, Folder, given_among

if TYPE_CHECKING:
    from regard.reading.reader import Reader
    from regard.visualise.maps import Example

TRANSLATING = ("source", "target", "forced", "first", "beams")  # options of encoder-decoders alone
WRITING = ("tokens", "seed")  # of language models alone
READING = ("pair", "question", "passage")  # of encoders alone


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("view")(view)


def view(
    context: typer.Context,
    folder: Folder,
    text: Annotated[list[str] | None, typer.Option(help="A sentence or text; may be given several times.")] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="The second text of each pair, or the options of one text; for encoders.")
    ] = None,
    question: Annotated[str | None, typer.Option(help="For an encoder which finds answers.")] = None,
    passage: Annotated[
        str | None, typer.Option("--context", metavar="FILE|TEXT", help="In which the answer is to be found.")
    ] = None,
    source: Annotated[Path | None, typer.Option(help="A file of sentences to translate.")] = None,
    target: Annotated[Path | None, typer.Option(help="Their references, shown beside the translations.")] = None,
    forced: Annotated[bool, typer.Option("--forced", help="Look at how the references are read.")] = False,
    first: Annotated[int, typer.Option(help="Sentences of the file at most.")] = 20,
    tokens: Annotated[int, typer.Option(help="Let a language model first go on with so many tokens.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Draw these; without, the most probable ones are taken.")] = None,
    out: Annotated[Path, typer.Option(help=".html; .png or .svg for one sentence.")] = Path("attention.html"),
    beams: Beams = 5,
    device: Device = "cpu",
) -> None:
    """Draw what a model attends to, as one HTML page which needs no network, or as a picture.

    Examples:

      regard view runs/dates --text 'de_CH 3. März 1998'

      regard view runs/m --source test.de --target test.en --first 10 --out attention.html

      regard view runs/m --text 'Ein Mann schläft.' --out alignment.svg

      regard view runs/shakespeare --text 'ROMEO:' --tokens 50

      regard view runs/mrpc --text 'He said no.' --pair 'No, he said.'

      regard view runs/squad --question 'Who was it?' --context article.txt
    """
    if sum(map(bool, (text, source, question))) != 1:
        raise ValueError("give sentences with --text, a file of them with --source, or a --question with its --context")
    if out.suffix not in (".html", ".png", ".svg"):
        raise ValueError(f"{out} must end in .html, .png or .svg")
    from regard.decoding.writer import Writer
    from regard.reading.directory import load
    from regard.reading.reader import Reader
    from regard.visualise.page import write_page
    from regard.visualise.picture import Picture
    from regard.visualise.view import pictures

    model = load(folder).to(device)
    if isinstance(model, Reader):
        _refuse(context, (*TRANSLATING, *WRITING), f"{folder} holds an encoder")
        found = _read(folder, model, text or [], pair or [], question, passage)
    elif isinstance(model, Writer):
        why = f"{folder} holds a language model, which reads --text and takes --tokens, --seed"
        _refuse(context, (*TRANSLATING, *READING), why)
        found = pictures(model, text or (), tokens=tokens, seed=seed)
    else:
        _refuse(context, (*WRITING, *READING), f"{folder} holds an encoder-decoder, which translates")
        sentences, references = _sentences(text or [], source, target)
        sentences, references = sentences[:first], None if references is None else references[:first]
        found = pictures(model, sentences, references=references, forced=forced, beams=beams)
    if out.suffix == ".html":
        write_page(out, found, title=f"Attention of {folder.resolve().name}")
    else:
        Picture(found).save(out)
    typer.echo(str(out))


def _sentences(texts: list[str], source: Path | None, target: Path | None) -> tuple[list[str], list[str] | None]:
    """What is translated, and the references of a file where there is one.

    Raises:
        ValueError: if not each sentence has a reference.
    """
    from regard.cli.lines import read_lines
    from regard.cli.pairs import read_both

    if source is not None and target is not None:
        return read_both(source, target)
    if target is None:
        return (read_lines(source) if source is not None else texts), None
    references = read_lines(target)
    if len(references) != len(texts):
        raise ValueError(f"there are {len(texts)} --text, but {target} has {len(references)} lines")
    return texts, references


def _read(
    folder: Path, reader: "Reader", texts: list[str], pairs: list[str], question: str | None, context: str | None
) -> Iterator["Example"]:
    """The pictures of what an encoder reads.

    Raises:
        ValueError: if it is not what its head reads.
    """
    from regard.cli.examples import inputs_of
    from regard.evaluate.squad_files import read_threshold
    from regard.reading.preparing import SPANS
    from regard.visualise.view import pictures

    if (reader.head in SPANS) != (question is not None) or (question is None) != (context is None):
        what = "--question and --context" if reader.head in SPANS else "--text"
        raise ValueError(f"this model has {f'a head for {reader.head}' if reader.head else 'no head'}: give it {what}")
    if pairs and reader.head in ("tagging", *SPANS):
        raise ValueError(f"--pair cannot be used here: this model has a head for {reader.head}")
    if question is not None and context is not None:
        return pictures(reader, [(question, _text_of(context))], threshold=read_threshold(folder))
    return pictures(reader, inputs_of(reader.head, texts, pairs))


def _text_of(context: str) -> str:
    """What stands in the file of this name, where there is one; else the text itself.

    Raises:
        FileNotFoundError: if it looks like a file's name, and there is no such file.
    """
    from regard.cli.lines import read_lines

    try:
        is_file = Path(context).is_file()
    except (OSError, ValueError):  # too long for a name, or with a character which no name has
        is_file = False
    if is_file:
        return "\n".join(read_lines(Path(context)))
    if re.fullmatch(r"\S+\.\w{2,5}", context, re.ASCII):
        raise FileNotFoundError(f"no file {context}")
    return context


def _refuse(context: typer.Context, names: tuple[str, ...], why: str) -> None:
    """Refuse options which mean nothing to a model."""
    if wrong := given_among(context, *names):
        raise ValueError(f"{', '.join(wrong)} cannot be used here: {why}")

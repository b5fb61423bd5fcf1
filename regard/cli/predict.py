"""`regard predict`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.options import Bfloat16, Folder, Int8, round_as_asked


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict")(predict)


def predict(
    folder: Folder,
    file: Annotated[str, typer.Argument(help="A table, a CoNLL file, or hub data.")] = "",
    texts: Annotated[list[str] | None, typer.Option("--text", help="A text; may be given several times.")] = None,
    pair: Annotated[str, typer.Option(help="The second text of the one text; of a file, its column.")] = "",
    column: Annotated[str, typer.Option(help="Of a file: column of the text.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines here instead of printing them.")] = None,
    int8: Int8 = False,
    bfloat16: Bfloat16 = False,
) -> None:
    """Say what a fine-tuned model makes of texts, one JSON object a line, in their order.

    Examples:

      regard predict runs/reviews --text 'A fine film.'

      regard predict runs/reviews new.csv --out predictions.jsonl

      regard predict runs/names unseen.conll
    """
    if bool(file) == bool(texts):
        raise ValueError("give a file, or texts with --text")
    from regard.data.examples import Example, TaggedWords
    from regard.reading.reader import Reader
    from regard.storage.files import written_whole
    from regard.training.planning import source_of

    reader = Reader.load(folder)
    round_as_asked(reader, int8, bfloat16)
    reader.require("classification", "regression", "tagging", "choice", use="predict; `regard answer` asks questions")
    if file:
        task = reader.head if reader.head == "tagging" else ""
        source = source_of(file, task, {"text": column, "pair": pair})
        items: list[Any] = list(source.read(labelled=False))  # pyright: ignore[reportCallIssue]
    elif reader.head == "tagging":
        from regard.reading.predicting import words_of

        items = [TaggedWords(tuple(words_of(text)), None) for text in texts or ()]
    else:
        items = [Example((text, pair) if pair else (text,), None) for text in texts or ()]
    lines = [json.dumps(one, ensure_ascii=False) for one in _predictions(reader, items)]
    if out is None:
        for line in lines:
            typer.echo(line)
        return
    with written_whole(out) as written:
        written.writelines(line + "\n" for line in lines)
    typer.echo(str(out))


def _predictions(reader: Any, items: list[Any]) -> list[dict[str, Any]]:
    """What is said of each item."""
    from regard.cli.progress import counted

    if reader.head == "tagging":
        return [vars(one) for one in reader.tag([item.words for item in items])]
    if reader.head == "choice":
        return [vars(reader.choose(item.text, item.options)) for item in counted(items, "choosing")]
    texts = [item.texts[0] if len(item.texts) == 1 else item.texts for item in items]
    _, cut = reader.frame(texts)
    if cut:
        typer.echo(f"{cut:,} of {len(items):,} inputs are longer than {reader.longest} tokens, and are cut", err=True)
    return [one.as_dict() for one in reader.predict(texts)]

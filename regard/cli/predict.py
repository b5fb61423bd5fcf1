"""`regard predict`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.options import Bfloat16, Device, Folder, Int8, columns_of, round_as_asked


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict")(predict)


def predict(
    folder: Folder,
    file: Annotated[str, typer.Argument(help="A table, a CoNLL file, or hub data.")] = "",
    texts: Annotated[
        list[str] | None, typer.Option("--text", help="A text; may be given several times. Of a file, its column.")
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option("--pair", help="The second text of each text, or the options of one. Of a file, its column."),
    ] = None,
    options: Annotated[list[str] | None, typer.Option("--option", help="Of a file: column of an option.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines here instead of printing them.")] = None,
    skip: Annotated[
        bool,
        typer.Option("--skip", help="Of a file: count and pass over what cannot be used; say the place of the rest."),
    ] = False,
    int8: Int8 = False,
    bfloat16: Bfloat16 = False,
    device: Device = "cpu",
) -> None:
    """Say what a fine-tuned model makes of texts, one JSON object a line, in their order.

    The columns of a file are those which the model was tuned on, or are given.

    Examples:

      regard predict runs/reviews --text 'A fine film.'

      regard predict runs/reviews new.csv --out predictions.jsonl

      regard predict runs/reviews others.csv --text body --skip

      regard predict runs/names unseen.conll
    """
    if not file and not texts:
        raise ValueError("give a file, or texts with --text")
    if not file and skip:
        raise ValueError("--skip passes over what cannot be used in a file; no file is given")
    if not file and options:
        raise ValueError("--option names a column of a file; give the options of one text with --pair")
    if file and max(len(texts or ()), len(pairs or ())) > 1:
        raise ValueError(f"of {file}, --text and --pair each name one column")
    from regard.cli.folders import require_room
    from regard.cli.progress import progress
    from regard.data.labels import OF_NUMBERS
    from regard.data.rows import SkippedExamples
    from regard.reading.predicting import predict_all
    from regard.reading.preparing import SPANS, form_of, prepare
    from regard.reading.reader import Reader
    from regard.storage.files import written_whole

    if out is not None:
        require_room(out, is_folder=False)
    reader, skipped = Reader.load(folder).to(device), SkippedExamples() if skip else None
    if reader.head in SPANS:
        raise ValueError(f"{folder} answers questions, which `regard answer` asks")
    if not reader.head:
        raise ValueError(f"{folder} has no head which says anything of texts; `regard finetune` gives it one")
    reader.require("classification", *OF_NUMBERS, "tagging", "choice", use="predict")
    round_as_asked(reader, int8, bfloat16)
    if file:
        items = _read(folder, reader.head, file, texts, pairs, options, skipped)
        if skipped is not None:
            typer.echo(str(skipped), err=True)
    else:
        items = _given(reader.head, texts or [], pairs or [])
    prepared = prepare(reader.head, items, (), form_of(reader))
    inputs = prepared.examples.inputs
    if prepared.cut:
        what = f"{prepared.cut:,} of {len(inputs):,} inputs are longer than {reader.longest} tokens"
        typer.echo(f"{what}, and are read without their ends", err=True)
    with progress(len(inputs), "predicting") as done:
        found = predict_all(reader, items, prepared, done)
    places = [{"place": item.place} if skip else {} for item in items]  # without what is passed over lines are rows
    lines = [json.dumps(place | _plain(one), ensure_ascii=False) for place, one in zip(places, found, strict=True)]
    if out is None:
        for line in lines:
            typer.echo(line)
        return
    with written_whole(out) as written:
        written.writelines(line + "\n" for line in lines)
    typer.echo(str(out))


def _read(
    folder: Path,
    head: str,
    file: str,
    texts: list[str] | None,
    pairs: list[str] | None,
    options: list[str] | None,
    skipped: Any,
) -> list[Any]:
    """The examples of a file; those which cannot be used are counted in `skipped`, where there is one.

    Raises:
        ValueError: if they are not what the head reads.
    """
    from regard.cli.examples import require_alike, run_in, source_in
    from regard.data.labels import require_kind

    columns = columns_of((texts or [""])[0], (pairs or [""])[0], "", options)
    run = run_in(folder)
    source = source_in(file, head, run, columns)
    items = list(source.read(skipped, labelled=False))  # pyright: ignore[reportCallIssue]
    for item in items[:1]:
        require_kind(item, head)
    require_alike(items, run, file)
    return items


def _given(head: str, texts: list[str], pairs: list[str]) -> list[Any]:
    """The examples which are given on the command line.

    Raises:
        ValueError: if they are not what the head reads.
    """
    from regard.cli.examples import inputs_of
    from regard.data.examples import Choices, Example, TaggedWords
    from regard.reading.predicting import words_of

    if head == "tagging":
        if pairs:
            raise ValueError("--pair cannot be used here: this model tags the words of single texts")
        return [TaggedWords(tuple(words_of(text)), None) for text in texts]
    inputs = inputs_of(head, texts, pairs)
    if head == "choice":
        return [Choices(text, tuple(options), None) for text, options in inputs]
    return [Example((one,) if isinstance(one, str) else tuple(one), None) for one in inputs]


def _plain(one: Any) -> dict[str, Any]:
    """A prediction as JSON has it, without what there is not."""
    return one.as_dict() if hasattr(one, "as_dict") else vars(one)

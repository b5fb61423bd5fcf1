"""`regard reach`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import Device, find


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reach")(reach)


def reach(
    folder: Annotated[Path, typer.Argument(metavar="DIR", callback=find, help="A language model's directory.")],
    file: Annotated[Path, typer.Argument(help="Text, JSON Lines or Parquet.")],
    documents: Annotated[
        str, typer.Option(help="What a document of a plain file is: file, lines, paragraphs.")
    ] = "file",
    column: Annotated[str, typer.Option(help="The column of JSON Lines or Parquet.")] = "",
    context: Annotated[
        int, typer.Option(help="Tokens of a segment or window; 0 is all positions which are known.")
    ] = 0,
    tokens: Annotated[int, typer.Option(help="Of the text at most; 0 reads all.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the model, as memory=640.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The figure: a .png, .svg or .pdf file.")] = Path("reach.svg"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: the weight at every distance.")] = False,
    device: Device = "cpu",
) -> None:
    """Measure and draw how far back each head of a language model looks, over a whole text.

    A model with memory reads segment by segment, and sees beyond them; another reads windows which overlap by half.

    Examples:

      regard reach runs/wikitext2-transformer-xl wiki.test.tokens --documents lines --context 64

      regard reach runs/shakespeare play.txt --tokens 20000 --json
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from regard.cli.texts import tokenised
    from regard.data.corpus import Corpus
    from regard.decoding.writer import Writer
    from regard.storage.figures import require_figure, save_figure
    from regard.training.run import parsed_settings
    from regard.visualise.reach import measure_reach, reach_figure

    require_figure(out)
    writer = Writer.load(folder, **parsed_settings(settings or ())).to(device)
    context = context or writer.context or 0
    if not context:
        raise ValueError(f"the model in {folder} has no context of its own; give --context, the tokens of a segment")
    corpus = Corpus(str(file), documents=documents, column=column)
    with tokenised(corpus, writer.tokenizer) as store:
        columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=min(tokens or store.size, store.size))
            say = lambda read: progress.update(task, completed=read)
            found = measure_reach(writer.model, store, context, tokens=tokens, progress=say)
    save_figure(reach_figure(found), out)
    if as_json:
        typer.echo(json.dumps({"text": corpus.path, "context": context, "figure": str(out), **found.as_dict()}))
        return
    typer.echo(f"{corpus.path}: {found}")
    for name, means in found.mean_distances.items():
        typer.echo(f"{name}  " + "  ".join(f"{mean:.1f}" for mean in means))
    typer.echo(str(out))

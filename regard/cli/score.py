"""`regard score`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import AsJson, Bfloat16, Device, Folder, Int8, Skip, round_as_asked


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("score")(score)


def score(
    folder: Folder,
    file: Annotated[
        Path | None, typer.Argument(help="Text, JSON Lines or Parquet; the run's test text without.")
    ] = None,
    documents: Annotated[
        str, typer.Option(help="What a document of a plain file is: file, lines, paragraphs.")
    ] = "file",
    column: Annotated[str, typer.Option(help="The column of JSON Lines or Parquet.")] = "",
    context: Annotated[int, typer.Option(min=0, help="Tokens of a window or segment; 0 is as in training.")] = 0,
    stride: Annotated[int, typer.Option(min=0, help="Windows begin so many tokens apart; 0 is the context.")] = 0,
    lanes: Annotated[
        int, typer.Option(min=0, help="Of a model with memory: parts read side by side; 0 reads without memory.")
    ] = 1,
    apart: Annotated[bool, typer.Option("--apart", help="No document sees another; without, one stream.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the model, as memory=640.")
    ] = None,
    skip: Skip = False,
    batch: Annotated[int, typer.Option(min=1, help="Tokens computed together at most, without memory.")] = 4096,
    int8: Int8 = False,
    bfloat16: Bfloat16 = False,
    as_json: AsJson = False,
    device: Device = "cpu",
) -> None:
    """Score a text: perplexity a token and a word, bits a character and a byte, each with the count it is over.

    Examples:

      regard score runs/shakespeare play.txt --stride 32

      regard score runs/wikitext2-transformer-xl wiki.test.tokens --documents lines --set memory=400

      regard score runs/gpt2 news.jsonl --column text --apart
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from regard.cli.texts import tokenised
    from regard.data.corpus import Corpus
    from regard.data.sources import located
    from regard.decoding.writer import Writer
    from regard.evaluate.likelihood import Reading, likelihood
    from regard.evaluate.perplexity import Perplexity
    from regard.training.run import RUN_FILE, parsed_settings, read_run

    run = read_run(folder / RUN_FILE) if (folder / RUN_FILE).is_file() else None
    writer = Writer.load(folder, **parsed_settings(settings or ())).to(device)
    round_as_asked(writer, int8, bfloat16)
    if file is not None:
        corpus = Corpus(str(file), documents=documents, column=column)
    elif run is not None and run.test is not None:
        corpus = located(run.test)
    else:
        raise ValueError(f"{folder} names no test text of its own; give a file")
    context = context or getattr(run and run.plan, "context", 0) or writer.context or 0
    if not context:
        raise ValueError(f"the model in {folder} has no context of its own; give --context, the tokens of a segment")
    if writer.context is not None and context > writer.context:
        raise ValueError(f"--context {context} exceeds the {writer.context} positions which the model knows")
    has_memory = hasattr(writer.model, "read") and lanes > 0 and not stride and not apart
    if lanes > 1 and not has_memory:
        raise ValueError(
            f"--lanes {lanes} means nothing where no memory is carried on: leave it out, or --stride and --apart; a "
            "model needs a memory for it"
        )
    reading = Reading(context, max(batch, context), stride, apart, lanes if has_memory else 0)
    with tokenised(corpus, writer.tokenizer, skips=skip) as store:
        columns = (TextColumn("scoring"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=store.size)
            found = likelihood(writer.model, store, reading, lambda tokens: progress.update(task, completed=tokens))
        counts, skipped = store.counts, store.skipped
    share = found.tokens / counts["tokens"]
    about = Perplexity(
        -found.nats,
        found.tokens,
        **{name: round(counts[name] * share) for name in ("words", "characters", "bytes")},
    )
    if as_json:
        typer.echo(json.dumps({"text": corpus.path, "reading": vars(reading), **about.as_dict()}, indent=2))
        return
    typer.echo(f"{corpus.path}: {counts['documents']:,} documents, {counts['tokens']:,} tokens; {skipped}")
    typer.echo(str(reading))
    typer.echo(str(about))

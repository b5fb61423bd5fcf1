"""`regard answer`, `regard fill` and `regard embed`: what an encoder is asked directly."""

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import AsJson, Bfloat16, Device, Folder, Int8, find, given_among, round_as_asked


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("answer")(answer)
    app.command("fill")(fill)
    app.command("embed")(embed)


def answer(
    command: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", callback=find, help="A directory of a model which was tuned on questions.")
    ],
    question: Annotated[str, typer.Argument(help="In words.")] = "",
    context: Annotated[
        Path | None, typer.Option(help="A text file in which the answer is looked for; - is standard input.")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(help="Answer all of a file instead: SQuAD's JSON, with answers or without.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Of a file: write its answers here, in the form which SQuAD's script reads.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Odds of no answer above which there is none; without, what was tuned.")
    ] = None,
    best: Annotated[int, typer.Option(min=1, help="Answers which are shown.")] = 3,
    as_json: AsJson = False,
    device: Device = "cpu",
) -> None:
    """Answer a question out of a text of any length, or all questions of a file.

    Examples:

      regard answer runs/squad --context article.txt 'When was the bridge built?'

      regard answer runs/squad --questions asked.json --out predictions.json
    """
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"--threshold must be a finite number, got {threshold}")
    if questions is not None:
        if strange := given_among(command, "question", "context", "best", "as_json"):
            raise ValueError(f"--questions takes all of a file; leave {', '.join(strange)} away")
        _answer_all(folder, questions, out, threshold, device)
        return
    if out is not None:
        raise ValueError("--out takes the answers to a file of questions, which --questions names")
    if not question or context is None:
        raise ValueError("give a question and --context FILE, or a file of questions with --questions")
    import dataclasses

    from regard.cli.lines import read_lines
    from regard.data.squad_windows import LONGEST_QUESTION
    from regard.decoding.spans import decide
    from regard.evaluate.squad_files import read_threshold
    from regard.reading.reader import Reader

    reader, text = Reader.load(folder).to(device), "\n".join(read_lines(context))
    asked = len(reader.tokenizer.encode(question))
    if asked > LONGEST_QUESTION:
        typer.echo(f"of {asked} tokens of the question the first {LONGEST_QUESTION} are read; ask it shorter", err=True)
    ranked = reader.answer(question, text)
    limit = read_threshold(folder) if threshold is None else threshold
    found = decide(ranked, limit)
    if as_json:
        spans = [dataclasses.asdict(span) for span in ranked.spans[:best]]
        about = {"answer": found, "null_odds": ranked.null_odds, "threshold": limit, "answers": spans}
        typer.echo(json.dumps(about, indent=2, ensure_ascii=False))
        return
    typer.echo(found or "(no answer in this text)")
    for span in ranked.spans[:best]:
        typer.echo(f"  {span.probability:6.1%}  characters {span.start:,} to {span.end:,}: {span.text}")
    typer.echo(f"  odds of no answer {ranked.null_odds:.2f}, against a threshold of {limit:g}")


def _answer_all(folder: Path, file: Path, out: Path | None, threshold: float | None, device: str) -> None:
    """Answer the questions of a file, and write their answers by their ids, or print them."""
    from regard.cli.examples import run_in, stride_of
    from regard.cli.folders import require_room
    from regard.cli.questions import answers_to
    from regard.data.benchmarks import SquadFile
    from regard.decoding.spans import decided
    from regard.evaluate.squad_files import read_threshold, write_predictions
    from regard.reading.reader import Reader

    if out is not None:
        require_room(out, is_folder=False)
    asked, reader = SquadFile(str(file)).read(), Reader.load(folder).to(device)
    limit = read_threshold(folder) if threshold is None else threshold
    found = decided(answers_to(asked, reader, stride_of(run_in(folder))), limit)
    without = sum(not one for one in found.values())
    typer.echo(f"{len(found):,} questions; {without:,} get no answer, at odds of that above {limit:g}", err=True)
    if out is None:
        typer.echo(json.dumps(found, indent=4, ensure_ascii=False))
        return
    write_predictions(out, found)
    typer.echo(str(out))


def fill(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", callback=find, help="A directory of a model of masked words.")
    ],
    text: Annotated[str, typer.Argument(help="With [MASK] where a word is missing.")],
    best: Annotated[int, typer.Option(help="Word pieces for each mask.")] = 5,
    as_json: AsJson = False,
    device: Device = "cpu",
) -> None:
    """Fill in the words which are masked in a text.

    Example:

      regard fill runs/bert 'The capital of France is [MASK].'
    """
    from regard.reading.reader import Reader

    found = Reader.load(folder).to(device).fill(text, best=best)
    if as_json:
        typer.echo(json.dumps([[vars(one) for one in mask] for mask in found], indent=2, ensure_ascii=False))
        return
    for number, mask in enumerate(found, 1):
        typer.echo(f"mask {number}: " + ", ".join(f"{one.piece} {one.probability:.1%}" for one in mask))


def embed(
    folder: Folder,
    file: Annotated[Path | None, typer.Argument(help="A text a line; - is standard input.")] = None,
    texts: Annotated[list[str] | None, typer.Option("--text", help="A text; may be given several times.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the vectors as .npy or .safetensors.")] = None,
    int8: Int8 = False,
    bfloat16: Bfloat16 = False,
    device: Device = "cpu",
) -> None:
    """Give each text a vector; of a sentence-transformers directory, the one which that library gives.

    Examples:

      regard embed minilm sentences.txt --out vectors.npy

      regard embed minilm --text 'A sentence.' --text 'Another one.'
    """
    if (file is None) == (not texts):
        raise ValueError("give a file, or texts with --text")
    if out is not None and out.suffix not in (".npy", ".safetensors"):
        raise ValueError(f"{out} must end in .npy or .safetensors")
    import numpy as np

    from regard.cli.lines import read_lines
    from regard.cli.progress import progress
    from regard.reading.embedding import embed_inputs
    from regard.reading.reader import Reader
    from regard.storage.files import written_whole
    from regard.storage.weights import write_tensors

    reader = Reader.load(folder).to(device)
    round_as_asked(reader, int8, bfloat16)
    sentences = read_lines(file) if file is not None else list(texts or ())
    inputs, cut = reader.frame(sentences, reader.pooling.longest, pairs="joined")
    if cut:
        longest = min(reader.longest, reader.pooling.longest or reader.longest)
        what = f"{cut:,} of {len(inputs):,} texts are longer than {longest} tokens"
        typer.echo(f"{what}, and are read without their ends", err=True)
    with progress(len(inputs), "embedding") as done:
        vectors = embed_inputs(reader, inputs, reader.pooling, done)
    if out is None:
        for row in vectors.tolist():
            typer.echo(json.dumps(row))
        return
    if out.suffix == ".npy":
        with written_whole(out, "wb") as written:
            np.save(written, vectors.numpy())
    else:
        write_tensors(out, {"vectors": vectors})
    typer.echo(f"{out}: {len(vectors):,} vectors of {vectors.shape[1]} numbers")

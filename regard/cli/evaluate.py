"""`regard evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import (
    COLUMNS,
    AsJson,
    Beams,
    Device,
    LabelColumn,
    LengthPenalty,
    OptionColumns,
    PairColumn,
    Skip,
    TextColumn,
    columns_of,
    find,
    given_among,
    require_file,
)

OF_PAIRS = ("source", "target", "beams", "length_penalty", "lengths", "output")  # options of encoder-decoders alone
OF_EXAMPLES = (*COLUMNS, "skip")  # of encoders alone


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    context: typer.Context,
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR... [FILE]", help="Model directories; labelled examples, of an encoder.")
    ],
    source: Annotated[Path | None, typer.Option(help="Source sentences; without, the run's own test set.")] = None,
    target: Annotated[Path | None, typer.Option(help="Their reference translations.")] = None,
    beams: Beams = 5,
    length_penalty: LengthPenalty = None,
    lengths: Annotated[Path | None, typer.Option(help="Draw BLEU by source length: a .png or .svg file.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the translations here (of one model).")] = None,
    text: TextColumn = "",
    pair: PairColumn = "",
    label: LabelColumn = "",
    options: OptionColumns = None,
    skip: Skip = False,
    as_json: AsJson = False,
    device: Device = "cpu",
) -> None:
    """Score models on a test set.

    Encoder-decoders by BLEU, chrF, exact match, perplexity, and BLEU by source length; encoders which were tuned on
    labels by the measures of their task, with a table of what is mistaken for what.

    Examples:

      regard evaluate runs/multi30k-transformer

      regard evaluate runs/a runs/b --source test.de --target test.en --lengths lengths.png

      regard evaluate runs/reviews test.csv
    """
    from regard.models import entry_of
    from regard.models.directory import read_config, require_reading
    from regard.reading.pretrained import PACKAGES

    folders = [find(path) if str(path) in PACKAGES else path for path in folders]
    files = [path for path in folders if not path.is_dir()]
    folders = [path for path in folders if path.is_dir()]
    for path in files:
        if not path.is_file() and not str(path).startswith("hub:"):
            raise FileNotFoundError(f"no folder and no file {path}")
    if not folders or len(files) > 1:
        raise ValueError("give model directories, and one file of labelled examples at most")
    if all(entry_of(read_config(folder)[0]).reads == "inputs" for folder in folders):
        from regard.cli.assess import assess_readers

        if strange := given_among(context, *OF_PAIRS):
            raise ValueError(f"of encoder-decoders, not of encoders: {', '.join(strange)}")
        file, columns = str(files[0]) if files else "", columns_of(text, pair, label, options)
        require_file(context, file, *COLUMNS)
        assess_readers(folders, file, columns, skip=skip, as_json=as_json, device=device)
        return
    for folder in folders:
        require_reading(folder, "pairs")
    if strange := [*map(str, files), *given_among(context, *OF_EXAMPLES)]:
        raise ValueError(
            f"of encoders, not of encoder-decoders: {', '.join(strange)}; give sentences by --source and --target"
        )
    if output is not None and len(folders) > 1:
        raise ValueError("--output takes the translations of one model")
    _score_translators(folders, source, target, beams, length_penalty, lengths, output, as_json, device)


def _score_translators(
    folders: list[Path],
    source: Path | None,
    target: Path | None,
    beams: int,
    length_penalty: float | None,
    lengths: Path | None,
    output: Path | None,
    as_json: bool,
    device: str,
) -> None:
    """Print the scores of encoder-decoders; the arguments are those of the command."""
    from regard.cli.folders import by_name
    from regard.cli.pairs import read_pairs
    from regard.decoding.translator import Translator
    from regard.evaluate.lengths import bleu_by_length
    from regard.evaluate.perplexity import perplexity
    from regard.evaluate.scores import score
    from regard.storage.figures import require_figure
    from regard.storage.files import written_whole

    if lengths is not None:
        require_figure(lengths)
    sources, references, names = read_pairs(folders, source, target, part="test")
    systems, scores, penalties = {}, {}, {}
    for name, folder in by_name(folders).items():
        translator = Translator.load(folder).to(device)
        penalties[name] = translator.length_penalty if length_penalty is None else length_penalty
        systems[name] = translator.translate(sources, beams=beams, length_penalty=penalties[name])
        logs = translator.score(sources, references)
        scores[name] = score(
            systems[name], references, perplexity=perplexity(logs, translator.counts(references), references)
        )
    table = bleu_by_length(sources, references, systems)
    if output is not None:
        with written_whole(output) as file:
            file.writelines(line + "\n" for line in next(iter(systems.values())))
    if lengths is not None:
        table.draw(lengths)
    if as_json:
        results = {name: one.as_dict() | {"length_penalty": penalties[name]} for name, one in scores.items()}
        found = {"test": names, "beams": beams, "scores": results, "by_length": table.as_dict()}
        typer.echo(json.dumps(found, indent=2))
        return
    for name, one in scores.items():
        typer.echo(f"{name}  ({len(sources):,} sentences, {beams} beams, length penalty {penalties[name]:g})")
        typer.echo(str(one))
        typer.echo("")
    typer.echo("BLEU by source length")
    typer.echo(str(table))

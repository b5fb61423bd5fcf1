"""`regard evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Model directories, compared by length.")],
    source: Annotated[Path | None, typer.Option(help="Source sentences; without, the run's own test set.")] = None,
    target: Annotated[Path | None, typer.Option(help="Their reference translations.")] = None,
    beams: Annotated[int, typer.Option(help="Open hypotheses; 1 is greedy.")] = 5,
    lengths: Annotated[Path | None, typer.Option(help="Draw BLEU by source length: a .png or .svg file.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the translations here (of one model).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score models on a test set: BLEU, chrF, exact match, perplexity, BLEU by source length.

    Examples:

      regard evaluate runs/multi30k-transformer

      regard evaluate runs/a runs/b --source test.de --target test.en --lengths lengths.png
    """
    if (source is None) != (target is None):
        raise ValueError("give both --source and --target, or neither for the run's own test set")
    if output is not None and len(folders) > 1:
        raise ValueError("--output takes the translations of one model")
    from regard.cli.lines import read_lines
    from regard.decoding.translator import load
    from regard.evaluate.lengths import bleu_by_length
    from regard.evaluate.perplexity import perplexity
    from regard.evaluate.scores import score
    from regard.storage.files import written_whole

    if source is not None and target is not None:
        sources, references = read_lines(source), read_lines(target)
        if len(sources) != len(references):
            raise ValueError(f"{source} has {len(sources)} lines, but {target} has {len(references)}")
        names = [f"{source}, {target}"]
    else:
        sources, references, names = _own_test(folders)
    systems, scores = {}, {}
    for folder in folders:
        translator = load(folder)
        name = folder.resolve().name
        name = name if name not in systems else str(folder)
        systems[name] = translator.translate(sources, beams=beams)
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
        results = {name: one.as_dict() for name, one in scores.items()}
        typer.echo(
            json.dumps({"test": names, "beams": beams, "scores": results, "by_length": table.as_dict()}, indent=2)
        )
        return
    for name, one in scores.items():
        typer.echo(f"{name}  ({len(sources):,} sentences, {beams} beams)")
        typer.echo(str(one))
        typer.echo("")
    typer.echo("BLEU by source length")
    typer.echo(str(table))


def _own_test(folders: list[Path]) -> tuple[list[str], list[str], list[str]]:
    """The test set which the first folder's run names; all must name the same."""
    from regard.training.run import RUN_FILE, located, read_run

    runs = []
    for folder in folders:
        if not (folder / RUN_FILE).is_file():
            raise ValueError(f"{folder} has no {RUN_FILE}; give --source and --target")
        runs.append(read_run(folder / RUN_FILE))
    test = runs[0].test
    if test is None:
        raise ValueError(f"the run in {folders[0]} names no test set; give --source and --target")
    if any(run.test != test for run in runs):
        raise ValueError("the runs name different test sets; give --source and --target")
    pairs = list(located(test).read())
    return [pair.source for pair in pairs], [pair.target for pair in pairs], [test.path, test.target_path]

"""`regard tune`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import AsJson, Beams, Device, Folder


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tune")(tune)


def tune(
    folder: Folder,
    source: Annotated[Path | None, typer.Option(help="Source sentences; without, the run's validation set.")] = None,
    target: Annotated[Path | None, typer.Option(help="Their reference translations.")] = None,
    penalty: Annotated[list[float] | None, typer.Option(help="One to try; may be given several times.")] = None,
    beams: Beams = 5,
    as_json: AsJson = False,
    device: Device = "cpu",
) -> None:
    """Find the length penalty of the highest BLEU, and keep it in the directory for all translations to come.

    Examples:

      regard tune runs/multi30k-transformer

      regard tune runs/m --source dev.de --target dev.en --penalty 0.8 --penalty 1 --penalty 1.2
    """
    from rich.console import Console
    from rich.progress import track

    from regard.cli.pairs import read_pairs
    from regard.decoding.beam import Ranking
    from regard.decoding.translator import Translator, save_search
    from regard.evaluate.tuning import PENALTIES, best_of, trials
    from regard.models.directory import require_reading

    penalties = penalty or list(PENALTIES)
    for one in penalties:
        Ranking(one)  # refuses what is none, before the first one is tried
    require_reading(folder, "pairs")
    sources, references, _ = read_pairs([folder], source, target, part="validation")
    translator = Translator.load(folder).to(device)
    console = Console(stderr=True)
    running = trials(translator, sources, references, penalties=penalties, beams=beams)
    tried = list(track(running, "length penalties", total=len(penalties), console=console))
    best = best_of(tried)
    save_search(best.length_penalty, folder)
    if as_json:
        found = {"length_penalty": best.length_penalty, "beams": beams, "trials": [trial.as_dict() for trial in tried]}
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo("length penalty   BLEU   length")
    for trial in tried:
        mark = "   kept" if trial is best else ""
        typer.echo(f"{trial.length_penalty:>14g}  {trial.bleu:>5.2f}   {trial.length:>6.3f}{mark}")

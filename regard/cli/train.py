"""`regard train`."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    run: Annotated[str, typer.Argument(metavar="RECIPE|RUN.toml", help="A recipe's name, or a TOML file.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; becomes a model directory.")] = None,
    model: Annotated[
        str, typer.Option(help="A folder, `minilm`, or hub:OWNER/NAME to go on from, with its tokenizer.")
    ] = "",
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the run.")] = None,
) -> None:
    """Train a model, or go on with a run that was stopped.

    Examples:

      regard train dates-rnnsearch --out runs/dates

      regard train multi30k-transformer --out runs/m --set plan.steps=2000 --set model.dropout=0.1

      regard train tinyshakespeare-gpt2 --model gpt2 --out runs/verse --set plan.rate=3e-5 --set plan.tokens=1024

      regard train --resume runs/m

      accelerate launch --num_processes 2 -m regard train multi30k-transformer --out runs/m
    """
    if bool(run) == bool(resume):
        raise ValueError("give a recipe or a file to train, or --resume FOLDER to go on")
    if resume is not None and (out is not None or model):
        raise ValueError(f"--resume goes on in its own folder; leave {'--out' if out is not None else '--model'} away")
    if resume is None and out is None:
        raise ValueError("say where the run goes, with --out FOLDER")
    from regard.cli.folders import require_free
    from regard.training.loop import train as start
    from regard.training.run import RUN_FILE, read_run

    folder = resume or out
    assert folder is not None
    if resume is None:
        require_free(folder)
    if resume is not None and not (resume / RUN_FILE).is_file():
        raise ValueError(f"there is no run to resume in {resume}: it has no {RUN_FILE}")
    planned = read_run(run if resume is None else resume / RUN_FILE, settings or (), model)
    start(planned, folder, resume=resume is not None)
    typer.echo(str(folder))

"""`regard recipes` and `regard info`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import AsJson, find


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("recipes")(recipes)
    app.command("info")(info)


def recipes(as_json: AsJson = False) -> None:
    """List the recipes which come with the library, and the comparisons of several.

    Example:

      regard recipes
    """
    import tomllib

    from regard.recipes import comparisons
    from regard.recipes import recipes as found

    def about(files: dict[str, Path]) -> dict[str, str]:
        """What each is, by name."""
        return {name: tomllib.loads(path.read_text("utf-8")).get("about", "") for name, path in files.items()}

    one, several = about(found()), about(comparisons())
    if as_json:
        typer.echo(json.dumps({**one, **several}, indent=2))
        return
    width = max(map(len, (*one, *several)))
    for name, text in one.items():
        typer.echo(f"{name:<{width}}  {text}")
    typer.echo("\nfor `regard compare`:")
    for name, text in several.items():
        typer.echo(f"{name:<{width}}  {text}")


def info(
    folder: Annotated[Path, typer.Argument(metavar="DIR", callback=find, help="A model directory or a run's folder.")],
    as_json: AsJson = False,
) -> None:
    """Say what a model is: sizes, parameters, and what it was trained on.

    Example:

      regard info runs/dates
    """
    import dataclasses

    from regard.attention.record import attentions
    from regard.decoding.translator import Translator
    from regard.models import entry_of
    from regard.models.directory import read_config, read_head
    from regard.models.parameters import plain_weights
    from regard.models.saved import load_model
    from regard.training.checkpoint import checkpoints, read_state
    from regard.training.run import RUN_FILE, read_run

    kind, config = read_config(folder)
    translator = Translator.load(folder) if entry_of(kind).reads == "pairs" else None
    model = load_model(folder) if translator is None else translator.model
    weights = plain_weights(model)
    groups: dict[str, int] = {}
    for name, weight in weights.items():
        groups[name.split(".")[0]] = groups.get(name.split(".")[0], 0) + weight.numel()
    about: dict[str, object] = {
        "model": kind,
        "config": dataclasses.asdict(config),
        "parameters": sum(weight.numel() for weight in weights.values()),
        "parameters_by_part": groups,
    }
    if entry_of(kind).reads == "inputs":
        head, labels = read_head(folder)
        about["head"] = head or "none"
        if labels:
            about["labels"] = ", ".join(labels)
    if translator is not None:
        about["vocabularies"] = {"source": translator.source.size, "target": translator.target.size}
    try:
        about["attentions"] = {name: module.heads for name, module in attentions(model).items()}
    except ValueError:
        about["attentions"] = {}
    if (folder / RUN_FILE).is_file():
        run = read_run(folder / RUN_FILE)
        about["trained_on"] = {"name": run.name, "train": run.train.path, "steps": run.plan.steps}
        if found := checkpoints(folder / "checkpoints"):
            state = read_state(found[-1])
            kept = ("step", "best", "best_step", "tokens", "seconds")
            about["last_checkpoint"] = {key: state[key] for key in kept}
    if as_json:
        typer.echo(json.dumps(about, indent=2))
        return
    for key, value in about.items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for name, inner in value.items():
                typer.echo(f"  {name}: {_shown(inner)}")
        else:
            typer.echo(f"{key}: {_shown(value)}")


def _shown(value: object) -> str:
    """A value as text, large numbers with separators."""
    return f"{value:,}" if type(value) is int else str(value)

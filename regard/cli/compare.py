"""`regard compare`."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help="Recipes, or KIND:SIZE, each with ,key=value...; or one comparison."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the comparison, its runs and its page.")] = None,
    data: Annotated[str, typer.Option(help="A recipe whose data all share, a text, or SOURCE,TARGET.")] = "",
    validation: Annotated[str, typer.Option(help="A text, or SOURCE,TARGET, to validate on.")] = "",
    budget: Annotated[str, typer.Option(help="Of each run: 10min, 5Mtokens, 2PFLOP.")] = "",
    seeds: Annotated[int, typer.Option(help="Runs of each contestant; 0 is as the comparison says, or 1.")] = 0,
    finetune: Annotated[
        str, typer.Option(help="What encoders are measured on: a table, or a GLUE task's folder.")
    ] = "",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change all runs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train systems on the same examples under the same budget, several seeds each, and say which differ.

    The same command goes on where it was stopped; so does `regard compare --out DIR`.

    Examples:

      regard compare dates-rnnsearch dates-transformer --budget 3min --seeds 3 --out runs/dates

      regard compare gpt2:tiny transformer-xl:tiny,plan.context=64 --data play.txt --budget 5Mtokens --out runs/texts

      regard compare attention-by-length --out runs/attention

      regard compare --out runs/attention
    """
    if out is None:
        raise ValueError("say where the comparison goes, with --out FOLDER")
    from regard.compare.comparison import COMPARISON, Comparison
    from regard.compare.contestants import read_comparison
    from regard.compare.presenting import Outcome
    from regard.compare.running import compare as run

    def say(text: str) -> None:
        """A line which is no result."""
        typer.echo(text, err=True)

    if models:
        comparison = read_comparison(
            models,
            data=data,
            validation=validation,
            budget=budget,
            seeds=seeds,
            finetune=finetune,
            settings=settings or (),
            say=say,
        )
    elif data or validation or budget or seeds or finetune or settings:
        raise ValueError("say who competes; without, --out goes on with the comparison which is there, as it is")
    elif not (out / COMPARISON).is_file():
        raise ValueError(f"say who competes; there is no comparison in {out} to go on with")
    else:
        comparison = Comparison.load(out)
    outcome = Outcome(comparison, *run(comparison, out, say))
    page = outcome.save(out)
    if as_json:
        typer.echo((out / "comparison.json").read_text(encoding="utf-8"))
        return
    typer.echo(f"{outcome.table().caption}\n\n{outcome.table()}\n")
    for standing in outcome.standings():
        typer.echo(f"{standing.name}: {standing.quality}")
        for words, _ in standing.verdicts:
            typer.echo(f"  {words}")
    typer.echo(f"\n{page}")

"""`regard finetune`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.options import InBfloat16, LabelColumn, OptionColumns, PairColumn, Skip, columns_of, given

REPORT = "report.html"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("finetune")(finetune)


def finetune(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A folder, `minilm`, or hub:OWNER/NAME.")] = "",
    train: Annotated[str, typer.Option(help="CSV, TSV, JSON Lines, Parquet, CoNLL, SQuAD's JSON, or hub data.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; becomes a model directory.")] = None,
    validation: Annotated[str, typer.Option(help="Examples to validate on; without, a tenth of the others.")] = "",
    text: Annotated[str, typer.Option(help="Column of the text; found by its usual names without.")] = "",
    pair: PairColumn = "",
    label: LabelColumn = "",
    options: OptionColumns = None,
    task: Annotated[
        str, typer.Option(help="classification, regression, similarity, choice, tagging, (conditional-)span.")
    ] = "",
    both_orders: Annotated[
        bool, typer.Option("--both-orders", help="Read pairs in both orders, and add them up.")
    ] = False,
    epochs: Annotated[float, typer.Option(help="Times which every example is seen.")] = 3.0,
    rate: Annotated[float, typer.Option(help="The highest learning rate.")] = 5e-5,
    batch: Annotated[int, typer.Option(help="Examples of an update.")] = 32,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the rate rises.")] = 0.1,
    longest: Annotated[int, typer.Option(help="Tokens of an input; 0 is 384 for questions, else 128.")] = 0,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 1,
    patience: Annotated[int, typer.Option(help="Stop after so many validations without a better one.")] = 0,
    freeze: Annotated[int, typer.Option(help="Lower layers which stay as they are, embeddings with them.")] = 0,
    head_only: Annotated[bool, typer.Option("--head-only", help="Train only what stands on the encoder.")] = False,
    layer_decay: Annotated[float, typer.Option(help="A layer's rate is that of the one above times this.")] = 1.0,
    bfloat16: InBfloat16 = False,
    skip: Skip = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Of plan, text, train, validation.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
) -> None:
    """Fine-tune an encoder, GPT or GPT-2 on labelled examples; the task is found by their labels, and stated.

    Without --task numbers of pairs are learnt by regression, which reads both texts together. Similarity reads each for
    itself, and says how near their vectors are: those of many texts can be kept (`regard embed`) and compared.

    At the end a page says how it went: curves, what is mistaken for what, and the worst mistakes with their attention.

    Examples:

      regard finetune --model minilm --train reviews.csv --out runs/reviews

      regard finetune --model minilm --train pairs.tsv --text premise --pair hypothesis --label gold --out runs/nli

      regard finetune --model runs/bert --train train.conll --validation dev.conll --out runs/names

      regard finetune --resume runs/reviews
    """
    if resume is not None:
        if others := given(context, "resume", "settings"):
            raise ValueError(f"--resume goes on as the run was planned; leave {', '.join(others)} away, or use --set")
        _resume(resume, settings or [])
        return
    if not model or not train or out is None:
        raise ValueError("say what is tuned, on what and where: --model MODEL --train FILE --out FOLDER")
    from regard.cli.folders import require_free
    from regard.models.directory import read_config
    from regard.reading.pretrained import find_model
    from regard.training.loop import train as start
    from regard.training.planning import Wishes, plan_finetuning, source_of, written_as
    from regard.training.processes import Processes
    from regard.training.run import parsed_settings

    require_free(out)
    folder = find_model(model)
    if head_only and freeze:
        raise ValueError("--head-only freezes all layers; leave --freeze away")
    _, config = read_config(folder)
    changes = parsed_settings(settings or ())
    _check_settings(changes, validation)
    plan = {"examples": batch, "rate": rate, "seed": seed, "patience": patience, "layer_decay": layer_decay}
    plan |= {"freeze": config.depth if head_only else freeze, "precision": "bfloat16" if bfloat16 else "float32"}
    words = {"skip": skip, **({"longest": longest} if longest else {})}
    wishes = Wishes(
        epochs,
        warmup,
        text=words | dict(changes.get("text", {})),
        plan=plan | dict(changes.get("plan", {})),
        both_orders=both_orders,
    )
    columns = columns_of(text, pair, label, options)
    source, other = source_of(train, task, columns, changes.get("train"), "--set train"), None
    if validation:
        alike = {**columns, **written_as(source, validation)}
        other = source_of(validation, task, alike, changes.get("validation"), "--set validation")
    run, said = plan_finetuning(folder, out.resolve().name, source, other, wishes, task)
    is_main = Processes().is_main
    for line in said if is_main else ():
        typer.echo(line, err=True)
    start(run, out)
    if is_main:
        _report(out)


def _check_settings(changes: dict[str, Any], validation: str) -> None:
    """Refuse settings of what a run has not, or is given otherwise."""
    for name, values in changes.items():
        if name not in ("plan", "text", "train", "validation") or not isinstance(values, dict):
            raise ValueError(f"--set changes plan, text, train or validation here, as plan.optimiser=bert, got {name}")
        if name in ("train", "validation") and "path" in values:
            raise ValueError(f"--{name} names the file, not --set {name}.path")
    if "validation" in changes and not validation:
        raise ValueError("--set validation... is of the file of --validation, which is not given")


def _resume(folder: Path, settings: list[str]) -> None:
    """Go on with a run, and report on it anew."""
    from regard.training.loop import train
    from regard.training.processes import Processes
    from regard.training.run import RUN_FILE, read_run

    if not (folder / RUN_FILE).is_file():
        raise ValueError(f"there is no run to resume in {folder}: it has no {RUN_FILE}")
    train(read_run(folder / RUN_FILE, settings), folder, resume=True)
    if Processes().is_main:
        _report(folder)


def _report(folder: Path) -> None:
    """Write the page on a run, computed where it was trained."""
    from regard.cli.reporting import report_run
    from regard.training.processes import Processes

    typer.echo(str(report_run(folder, folder / REPORT, device=Processes().device)))

"""`regard glue`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.options import AsJson, InBfloat16


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("glue")(glue)


def glue(
    out: Annotated[Path, typer.Option(help="Folder of the runs, one for each task and seed.")],
    data: Annotated[Path, typer.Option(help="The folder with CoLA, SST-2 and so on, as they are distributed.")],
    model: Annotated[str, typer.Option(help="A folder, `minilm`, or hub:OWNER/NAME.")] = "minilm",
    tasks: Annotated[str, typer.Option(help="Such as CoLA,RTE; without, all whose training file is there.")] = "",
    seeds: Annotated[int, typer.Option(help="Runs of each task, with the seeds 1 and so on.")] = 1,
    settings: Annotated[
        str, typer.Option("--settings", help="Whose settings: minilm, bert, albert, xlnet or gpt; the model's without.")
    ] = "",
    rate: Annotated[float, typer.Option(help="Another learning rate; 0 is as in the settings.")] = 0.0,
    epochs: Annotated[float, typer.Option(help="Another number of epochs; 0 is as in the settings.")] = 0.0,
    longest: Annotated[int, typer.Option(help="Other tokens of an input at most; 0 is as in the settings.")] = 0,
    bfloat16: InBfloat16 = False,
    submission: Annotated[Path | None, typer.Option(help="Write the zip for GLUE's server here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune on GLUE's tasks and print the table of development scores; runs which are there are not run again.

    Examples:

      regard glue --data glue --model minilm --tasks SST-2,MRPC --seeds 3 --out runs/glue

      regard glue --data glue --model hub:google-bert/bert-base-uncased --out runs/bert --submission glue.zip
    """
    from regard.data.glue import GLUE_TASKS, read_glue
    from regard.data.glue_settings import settings_for
    from regard.evaluate.glue import GlueScores, over_seeds, score_task
    from regard.evaluate.glue_files import require_submission, write_submission
    from regard.models.directory import read_config
    from regard.reading.pretrained import PACKAGES, find_model
    from regard.storage.names import require
    from regard.training.processes import require_alone

    require_alone("`regard finetune` takes a task to several processes")
    folder = find_model(model)
    whose = settings or (model if model in PACKAGES else read_config(folder)[0])
    there = [name for name, task in GLUE_TASKS.items() if name != "AX" and _has(data, task)]
    chosen = [name.strip() for name in tasks.split(",") if name.strip()] or there
    for name in chosen:
        require("task", name, [task for task in GLUE_TASKS if task != "AX"])
    if not chosen:
        raise FileNotFoundError(f"no task has its train.tsv in {data}, which is to hold folders as CoLA and SST-2")
    sheets = _sheets_of(chosen)
    if submission is not None:
        require_submission(submission, sheets)
    if seeds < 1:
        raise ValueError(f"--seeds must be 1 or more, got {seeds}")
    scored: list[dict[str, Any]] = [{} for _ in range(seeds)]
    for task in chosen:
        recipe = settings_for(whose, task)[0]
        pace = {"epochs": epochs} if epochs else {"steps": recipe.steps_for(len(read_glue(task, data, "train")))}
        for seed in range(1, seeds + 1):
            place = out / f"{task}-{seed}"
            changes = {"rate": rate or recipe.rate, "seed": seed, "precision": "bfloat16" if bfloat16 else "float32"}
            changes |= {"optimiser": recipe.optimiser, "beta2": recipe.beta2, "decay": recipe.decay}
            changes["best"] = GLUE_TASKS[task].metrics[0]
            _trained(place, folder, data, task, recipe, pace, longest, changes)
            scored[seed - 1] |= score_task(task, data, partial(_predicted, place))
    runs = [GlueScores(own) for own in scored]
    if submission is not None:
        write_submission(submission, _test_predictions(out, data, sheets))
        typer.echo(str(submission), err=True)
    report = over_seeds(runs) if seeds > 1 else runs[0]
    typer.echo(report.as_json() if as_json else str(report))


def _has(data: Path, task: Any) -> bool:
    """Whether the training file of a task is there."""
    return (data / task.folder / task.files["train"].name).is_file() if "train" in task.files else False


def _trained(
    place: Path, folder: Path, data: Path, task: str, recipe: Any, pace: dict, longest: int, plan: dict
) -> None:
    """Train the run of a task and a seed, for so many epochs or steps, or go on with it, unless it is done."""
    from regard.cli.folders import is_done
    from regard.data.benchmarks import GluePart
    from regard.training.loop import train
    from regard.training.planning import Wishes, plan_finetuning
    from regard.training.run import RUN_FILE, differences, read_run

    parts = [GluePart(str(data), task, split) for split in ("train", "dev_matched" if task == "MNLI" else "dev")]
    wishes = Wishes(
        **pace,
        warmup=recipe.warmup,
        text={"longest": longest or recipe.longest},
        plan={"examples": recipe.batch, **plan},
        both_orders=recipe.both_orders,
    )
    run, said = plan_finetuning(folder, f"{task}-{plan['seed']}", parts[0], parts[1], wishes, recipe.head)
    if (place / RUN_FILE).is_file():
        there = read_run(place / RUN_FILE)
        first, asked = str(there.model["from"]), str(run.model["from"])
        if Path(first).resolve() != Path(asked).resolve():  # one model may be named in two ways
            raise ValueError(f"{place} holds a run of the model {first}, not of {asked}; choose another --out")
        others = [name for name in differences(there, run) if name.startswith(("model.", "text.", "plan."))]
        if others := [name for name in others if name != "model.from"]:
            raise ValueError(f"{place} holds a run with another {', '.join(others)}; choose another --out")
        if not is_done(there, place):
            train(there, place, resume=True)
        return
    for line in (f"{task}, seed {plan['seed']}", *said):
        typer.echo(line, err=True)
    train(run, place)


def _predicted(place: Path, examples: Any) -> list[Any]:
    """What the model of a run says of examples, where it was trained."""
    from regard.reading.reader import Reader
    from regard.training.processes import Processes

    reader = Reader.load(place).to(Processes().device)
    return [one.label for one in reader.predict([_text(example) for example in examples])]


def _text(example: Any) -> Any:
    """One text, or a pair."""
    return example.texts[0] if len(example.texts) == 1 else example.texts


def _sheets_of(tasks: list[str]) -> dict[str, str]:
    """The sheets which a submission has of some tasks, each with the task whose model predicts it."""
    from regard.evaluate.glue import SHEETS

    models = {name: "MNLI" if name == "AX" else sheet.task.name for name, sheet in SHEETS.items()}
    return {name: task for name, task in models.items() if task in tasks}


def _test_predictions(out: Path, data: Path, models: dict[str, str]) -> dict[str, list[Any]]:
    """What the first seed of each task says of the test set of each sheet."""
    from regard.data.glue import read_glue
    from regard.evaluate.glue import SHEETS

    return {
        name: _predicted(out / f"{task}-1", read_glue(SHEETS[name].task.name, data, SHEETS[name].test))
        for name, task in models.items()
    }

"""`regard squad`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.options import AsJson, InBfloat16, given, given_among


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("squad")(squad)


def squad(
    context: typer.Context,
    dev: Annotated[Path, typer.Option(help="Questions on which it is measured; SQuAD's JSON, 1.1 or 2.0.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; becomes a model directory.")] = None,
    train: Annotated[
        Path | None, typer.Option(help="Questions to learn from; without, the run in --out is done.")
    ] = None,
    model: Annotated[str, typer.Option(help="A folder, `minilm`, or hub:OWNER/NAME.")] = "minilm",
    held: Annotated[float, typer.Option(help="Share of training by which the threshold of no answer is tuned.")] = 0.1,
    epochs: Annotated[float, typer.Option(help="Times which every question is seen.")] = 2.0,
    rate: Annotated[float, typer.Option(help="The highest learning rate.")] = 5e-5,
    batch: Annotated[int, typer.Option(help="Windows of an update.")] = 32,
    longest: Annotated[int, typer.Option(help="Tokens of a window; 0 is 384, or what the model reads.")] = 0,
    stride: Annotated[int, typer.Option(help="Tokens between the starts of two windows.")] = 128,
    conditional: Annotated[
        bool,
        typer.Option("--conditional", help="Ends depend on starts, as XLNet's authors have it."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 1,
    bfloat16: InBfloat16 = False,
    predictions: Annotated[
        Path | None, typer.Option(help="Score these, whosever they are: JSON, an answer by the id of its question.")
    ] = None,
    odds: Annotated[
        Path | None, typer.Option(help="With --predictions: the odds of there being no answer, by id.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Odds above which a prediction counts as no answer.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Fine-tune on questions, tune the threshold of no answer on a held part of training, and score others with it.

    The predictions are written beside the model in the official format, with their n-best lists and odds. Scores are
    those of the official scripts: of 1.1 where every question has an answer, else of 2.0.

    Examples:

      regard squad --model minilm --train train-v2.0.json --dev dev-v2.0.json --out runs/squad

      regard squad --dev dev-v2.0.json --out runs/squad

      regard squad --dev dev-v2.0.json --predictions predictions.json --odds null_odds.json
    """
    from regard.cli.folders import is_done, require_free
    from regard.data.benchmarks import SquadFile
    from regard.reading.preparing import SPANS
    from regard.reading.pretrained import find_model
    from regard.training.loop import train as start
    from regard.training.planning import Wishes, plan_finetuning
    from regard.training.processes import require_alone
    from regard.training.run import RUN_FILE, read_run

    require_alone(
        "`regard finetune` takes questions to several processes, and `regard squad --out` scores what it made"
    )
    questions = SquadFile(str(dev)).read()
    if predictions is not None:
        if others := given(context, "dev", "predictions", "odds", "threshold", "as_json"):
            raise ValueError(f"--predictions are scored as they are; leave {', '.join(others)} away")
        if odds is None and given_among(context, "threshold"):
            raise ValueError("--threshold is held against --odds FILE, which is not given")
        _print(_of_files(questions, predictions, odds, threshold), as_json)
        return
    if strange := given_among(context, "odds", "threshold"):
        raise ValueError(f"{', '.join(strange)} goes with --predictions; a run has its own")
    if out is None:
        raise ValueError("say where the run is to be, with --out DIR; or what is to be scored, with --predictions FILE")
    if (out / RUN_FILE).is_file():
        if others := given(context, "out", "dev", "as_json"):
            raise ValueError(
                f"{out} holds a run already; leave {', '.join(others)} away to go on with it, or choose another --out"
            )
        run = read_run(out / RUN_FILE)
        if run.model.get("head") not in SPANS:
            raise ValueError(f"{out} holds a run which learns no questions; choose another --out")
        if not is_done(run, out):
            start(run, out, resume=True)
    elif train is None:
        raise ValueError(f"there is no run in {out}; say what to learn from, with --train FILE")
    else:
        require_free(out)
        if not 0.0 < held < 1.0:
            raise ValueError(f"--held must lie between 0 and 1, got {held:g}")
        parts = SquadFile(str(train), (held, 1.0)), SquadFile(str(train), (0.0, held))
        plan = {"examples": batch, "rate": rate, "seed": seed, "precision": "bfloat16" if bfloat16 else "float32"}
        task = "conditional-span" if conditional else "span"
        text = {"stride": stride, **({"longest": longest} if longest else {})}
        wishes = Wishes(epochs, text=text, plan={"best": "best_f1", **plan})
        run, said = plan_finetuning(find_model(model), out.resolve().name, *parts, wishes, task)
        for line in said:
            typer.echo(line, err=True)
        start(run, out)
    _tune(run, out)
    _print(_score(run, out, questions), as_json)


def _print(scores: Any, as_json: bool) -> None:
    """A table, or JSON."""
    typer.echo(json.dumps(scores.as_dict(), indent=2) if as_json else str(scores))


def _of_files(questions: list, predictions: Path, odds: Path | None, threshold: float) -> Any:
    """The official scores of predictions which lie in files."""
    from regard.evaluate.squad_files import read_null_odds, read_predictions

    given_odds = None if odds is None else read_null_odds(odds)
    return _scored(questions, read_predictions(predictions), given_odds, threshold)


def _scored(questions: list, answers: dict[str, str], odds: dict[str, float] | None, threshold: float) -> Any:
    """The scores of SQuAD 1.1 where every question has an answer and no odds say otherwise, else of 2.0."""
    from regard.evaluate.squad import score, score_version_1

    if odds is None and _all_have_answers(questions):
        return score_version_1(questions, answers)
    return score(questions, answers, odds, threshold)


def _all_have_answers(questions: list) -> bool:
    """Whether there is an answer to every question, as in SQuAD 1.1."""
    return all(question.answers for question in questions)


def _tune(run: Any, out: Path) -> None:
    """Keep the threshold of no answer, by the questions on which a run is validated, where some have no answer."""
    from regard.data.sources import located
    from regard.evaluate.squad_files import write_threshold
    from regard.evaluate.squad_tuning import tune_threshold

    apart = located(run.validation).read()
    if _all_have_answers(apart):
        return
    best, odds = _best_and_odds(_answers(out, apart, run.text.stride))
    tuned = tune_threshold(apart, best, odds)
    write_threshold(out, tuned.threshold)
    typer.echo(f"threshold {tuned.threshold:.3f}, by {len(apart):,} questions kept out of training", err=True)


def _score(run: Any, out: Path, questions: list) -> Any:
    """The official scores of the answers to questions, which are written beside the model."""
    from regard.evaluate.squad_files import read_threshold, write_answers

    threshold, ranked = read_threshold(out), _answers(out, questions, run.text.stride)
    has_all = _all_have_answers(questions)
    write_answers(out / "predictions", ranked, threshold=float("inf") if has_all else threshold)
    best, odds = _best_and_odds(ranked)
    return _scored(questions, best, None if has_all else odds, threshold)


def _best_and_odds(ranked: dict) -> tuple[dict[str, str], dict[str, float]]:
    """The best answer to each question, and the odds of there being none."""
    return {id: one.best for id, one in ranked.items()}, {id: one.null_odds for id, one in ranked.items()}


def _answers(folder: Path, questions: list, stride: int) -> dict:
    """The answers of a model to questions, by id; it computes where it was trained."""
    from regard.cli.questions import answers_to
    from regard.reading.reader import Reader
    from regard.training.processes import Processes

    return answers_to(questions, Reader.load(folder).to(Processes().device), stride)

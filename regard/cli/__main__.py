"""The `regard` command.

Heavy libraries are imported by the commands which need them, so that `regard --help` answers at once.
"""

import os
import sys

import typer

from regard import __version__
from regard.cli import (
    about,
    ask,
    compare,
    curves,
    demo,
    evaluate,
    finetune,
    generate,
    glue,
    patterns,
    predict,
    reach,
    report,
    score,
    serve,
    squad,
    train,
    translate,
    tune,
    view,
)

HELP = """The lineage of attention, each system as its paper has it: train it, use it, look into it.

Examples:

  regard recipes                                   what can be trained out of the box

  regard train dates-transformer --out runs/dates  train one

  echo 'de_CH 3. März 1998' | regard translate runs/dates

  regard view runs/dates --text 'de_CH 3. März 1998' --out attention.html
"""

MISPLACED = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
for module in (
    *(train, finetune, tune, translate, generate, predict, ask, evaluate, score, glue, squad, serve),
    *(compare, curves, view, report, patterns, reach, about, demo),
):
    module.register(app)


def _version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"regard {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """What stands before a command."""


def main() -> None:
    """Run a command; a user's mistake becomes one line and exit status 1."""
    try:
        app()
    except (ValueError, *MISPLACED) as error:
        _fail(error)
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except RuntimeError as error:
        loop = sys.modules.get("regard.training.loop")  # which is there if it raised this
        if loop is None or not isinstance(error, loop.Interrupted | loop.Diverged):
            raise
        _fail(error, getattr(error, "status", 1))


def _fail(error: BaseException, status: int = 1) -> None:
    """Say what was wrong, and leave."""
    print(f"regard: {error}", file=sys.stderr)
    raise SystemExit(status) from None


if __name__ == "__main__":
    main()

"""Options which several commands share."""

from pathlib import Path
from typing import Annotated, Protocol

import typer


class Rounding(Protocol):
    """A model which is only used, and whose weights can be rounded."""

    def round_weights(self, kind: str) -> object:
        """Round them, to `int8` or `bfloat16`."""
        ...


def _at_hand(device: str) -> str:
    """A device's name, once it is known to be here; so that nothing is loaded for one which is not.

    Raises:
        ValueError: if it is not.
    """
    if device == "cpu":
        return device
    import torch

    found, here = torch.accelerator.current_accelerator(check_available=True), ["cpu"]
    if found is not None:
        here += [found.type, *(f"{found.type}:{number}" for number in range(torch.accelerator.device_count()))]
    if device not in here:
        raise ValueError(f"there is no device {device!r} here; --device can be {', '.join(here)}")
    return device


def find(folder: Path) -> Path:
    """The folder of a model, which may be called by another name, as `minilm`.

    Raises:
        FileNotFoundError, ValueError: as of `find_model`.
    """
    from regard.reading.pretrained import find_model

    return find_model(folder)


Folder = Annotated[
    Path, typer.Argument(metavar="DIR", callback=find, help="A model directory, `minilm`, or hub:OWNER/NAME.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Device = Annotated[str, typer.Option(callback=_at_hand, help="cpu, cuda, cuda:1, ...")]
InBfloat16 = Annotated[bool, typer.Option("--bfloat16", help="Products in bfloat16.")]  # of training
Skip = Annotated[bool, typer.Option("--skip", help="Count and pass over what cannot be used.")]
TextColumn = Annotated[str, typer.Option("--text", help="Of labelled examples: column of the text.")]
PairColumn = Annotated[str, typer.Option("--pair", help="Column of the second text.")]
LabelColumn = Annotated[str, typer.Option("--label", help="Column of the label.")]
OptionColumns = Annotated[list[str] | None, typer.Option("--option", help="Column of an option; several times.")]
Beams = Annotated[int, typer.Option(min=1, help="Open hypotheses; 1 is greedy.")]
LengthPenalty = Annotated[
    float | None, typer.Option(help="Alpha of Wu et al. 2016, equation 14; without, what was tuned, or 0.6.")
]

Int8 = Annotated[bool, typer.Option("--int8", help="Round weights to 8 bits: faster on a processor.")]
Bfloat16 = Annotated[
    bool, typer.Option("--bfloat16", help="Round weights to 16 bits: faster where the processor has such products.")
]


def given(context: typer.Context, *apart: str) -> list[str]:
    """The options which stand on the command line, but for some which are called by their parameters."""
    return [
        max(parameter.opts, key=len)
        for parameter in context.command.params
        if parameter.name is not None
        and parameter.name not in apart
        and (source := context.get_parameter_source(parameter.name)) is not None
        and source.name == "COMMANDLINE"
    ]


def given_among(context: typer.Context, *names: str) -> list[str]:
    """Those of some options which stand on the command line; they are called by their parameters."""
    return given(context, *(str(one.name) for one in context.command.params if one.name not in names))


COLUMNS = ("text", "pair", "label", "options")  # of a file of labelled examples, as parameters of commands


def columns_of(text: str, pair: str, label: str, options: list[str] | None) -> dict[str, str | tuple[str, ...]]:
    """The columns of labelled examples, by their names in `Table`; those which are empty are not given."""
    return dict(zip(COLUMNS, (text, pair, label, tuple(options or ())), strict=True))


def require_file(context: typer.Context, file: str, *names: str) -> None:
    """Refuse options which say how a file is read where none is given; they are called by their parameters.

    Raises:
        ValueError: names them.
    """
    if not file and (strange := given_among(context, *names)):
        raise ValueError(f"{', '.join(strange)}: of a file of labelled examples, which is not given")


def round_as_asked(model: Rounding, int8: bool, bfloat16: bool) -> None:
    """Round a model's weights as `--int8` or `--bfloat16` say.

    Raises:
        ValueError: if both are given, or the machine has no such products.
    """
    if int8 and bfloat16:
        raise ValueError("--int8 and --bfloat16 are two ways to round weights; give one of them")
    if int8 or bfloat16:
        model.round_weights("int8" if int8 else "bfloat16")

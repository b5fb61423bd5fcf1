"""Options which several commands share."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from regard.decoding.writer import Writer

Beams = Annotated[int, typer.Option(help="Open hypotheses; 1 is greedy.")]
LengthPenalty = Annotated[
    float | None, typer.Option(help="Alpha of Wu et al. 2016, equation 14; without, what was tuned, or 0.6.")
]

Int8 = Annotated[bool, typer.Option("--int8", help="Round weights to 8 bits: faster on a processor.")]
Bfloat16 = Annotated[
    bool, typer.Option("--bfloat16", help="Round weights to 16 bits: faster where the processor has such products.")
]


def round_as_asked(writer: "Writer", int8: bool, bfloat16: bool) -> None:
    """Round a writer's weights as `--int8` or `--bfloat16` say.

    Raises:
        ValueError: if both are given, or the machine has no such products.
    """
    if int8 and bfloat16:
        raise ValueError("--int8 and --bfloat16 are two ways to round weights; give one of them")
    if int8 or bfloat16:
        writer.round_weights("int8" if int8 else "bfloat16")

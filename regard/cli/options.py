"""Options which several commands share."""

from typing import Annotated

import typer

Beams = Annotated[int, typer.Option(help="Open hypotheses; 1 is greedy.")]
LengthPenalty = Annotated[
    float | None, typer.Option(help="Alpha of Wu et al. 2016, equation 14; without, what was tuned, or 0.6.")
]

"""`regard generate`."""

import json
import sys
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import Bfloat16, Device, Folder, Int8, round_as_asked


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("generate")(generate)


def generate(
    folder: Folder,
    prompt: Annotated[
        list[str] | None, typer.Option(help="What the text begins with; may be given several times.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Prompts, one a line; - is standard input.")] = None,
    tokens: Annotated[int, typer.Option(help="New tokens at most.")] = 100,
    temperature: Annotated[float, typer.Option(help="Below 1 is bolder, above 1 more varied; 0 is greedy.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw from so many most probable tokens; 0 is from all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the most probable tokens which have this probability.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1 avoids tokens which are there already.")] = 1.0,
    beams: Annotated[int, typer.Option(help="Open hypotheses of a beam search; 1 draws instead.")] = 1,
    length_penalty: Annotated[float, typer.Option(help="Of a beam search: alpha of Wu et al. 2016.")] = 0.0,
    stop: Annotated[list[str] | None, typer.Option(help="A text which ends what is written.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first prompt; the next has the next number.")] = 0,
    samples: Annotated[int, typer.Option(help="Texts after each prompt, of seeds which follow one another.")] = 1,
    window: Annotated[bool, typer.Option("--window", help="Let long texts slide through the model's context.")] = False,
    int8: Int8 = False,
    bfloat16: Bfloat16 = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a text.")] = False,
    device: Device = "cpu",
) -> None:
    """Let a language model go on from prompts; one text is written token by token as it comes.

    Examples:

      regard generate runs/shakespeare --prompt 'ROMEO:' --tokens 300 --temperature 0.8

      regard generate runs/gpt2 --prompt 'Attention is' --top-k 40 --samples 3

      regard generate runs/gpt2 --file prompts.txt --temperature 0 --json
    """
    if bool(prompt) == bool(file):
        raise ValueError("give prompts with --prompt, or a file of them with --file")
    if samples < 1:
        raise ValueError(f"--samples must be 1 or more, got {samples}")
    from regard.cli.lines import read_lines
    from regard.decoding.writer import Writer

    prompts = [text for text in (read_lines(file) if file is not None else prompt or []) for _ in range(samples)]
    writer = Writer.load(folder).to(device)
    round_as_asked(writer, int8, bfloat16)
    parts = writer.stream(
        prompts,
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        beams=beams,
        length_penalty=length_penalty,
        stop=stop or (),
        seed=seed,
        window=window,
    )
    if len(prompts) == 1 and not as_json:
        parts = chain([next(parts)], parts)  # the first one shows that the prompt can be gone on from
        sys.stdout.write(prompts[0])
        for part in parts:
            sys.stdout.write(part.text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        return
    texts, ended = [""] * len(prompts), [""] * len(prompts)
    for part in parts:
        texts[part.prompt] += part.text
        ended[part.prompt] = part.ended
    for number, (text, own, why) in enumerate(zip(prompts, texts, ended, strict=True)):
        if as_json:
            typer.echo(json.dumps({"prompt": text, "text": own, "ended": why, "seed": seed + number}))
        else:
            typer.echo(f"{'' if not number else chr(10)}{text}{own}")

"""`regard translate`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import Beams, Device, Folder, LengthPenalty


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("translate")(translate)


def translate(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="Sentences, one a line; standard input without it.")] = Path("-"),
    beams: Beams = 5,
    length_penalty: LengthPenalty = None,
    coverage_penalty: Annotated[float, typer.Option(help="Beta of the same equation.")] = 0.0,
    best: Annotated[int, typer.Option(help="Translations of each sentence; above 1, numbered with their scores.")] = 1,
    longest: Annotated[int, typer.Option(help="Tokens at most; 0 allows the source's length and 50.")] = 0,
    alignments: Annotated[bool, typer.Option("--alignments", help="With --json: what each piece attended to.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    device: Device = "cpu",
) -> None:
    """Translate lines, and write each translation as soon as it is there.

    Examples:

      echo 'de_CH 3. März 1998' | regard translate runs/dates

      regard translate runs/m test.de --beams 4 > test.out

      regard translate runs/m test.de --best 3 --json
    """
    if alignments and not as_json:
        raise ValueError("--alignments are written as JSON; add --json")
    from regard.cli.lines import as_they_come, decoded
    from regard.decoding.translator import Translator

    if str(file) != "-" and not file.is_file():
        raise FileNotFoundError(f"no file {file}")
    translator = Translator.load(folder).to(device)
    with sys.stdin.buffer if str(file) == "-" else open(file, "rb") as stream:
        name = "standard input" if str(file) == "-" else str(file)
        for group in as_they_come(decoded(stream, name), 256):
            found = translator.search(
                group,
                beams=beams,
                length_penalty=length_penalty,
                coverage_penalty=coverage_penalty,
                best=best,
                longest=longest or None,
                alignments=alignments,
            )
            for source, translations in zip(group, found, strict=True):
                if as_json:
                    typer.echo(json.dumps({"source": source, "translations": [_plain(t) for t in translations]}))
                elif best == 1:
                    typer.echo(translations[0].text)
                else:
                    for number, translation in enumerate(translations, 1):
                        typer.echo(f"{number}\t{translation.score:.4f}\t{translation.text}")
            sys.stdout.flush()


def _plain(translation) -> dict[str, object]:
    """A translation as JSON has it."""
    plain = {
        "text": translation.text,
        "score": translation.score,
        "log_probability": translation.log_probability,
        "finished": translation.finished,
    }
    if translation.alignment is not None:
        rows = [[round(weight, 5) for weight in row] for row in translation.alignment.tolist()]
        plain |= {"source_pieces": translation.source_pieces, "pieces": translation.pieces, "alignment": rows}
    return plain

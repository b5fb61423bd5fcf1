"""The recipes which come with the library: one TOML file an experiment, and one a comparison of several."""

from pathlib import Path

HERE = Path(__file__).parent


def recipes() -> dict[str, Path]:
    """Their files, by name."""
    return {path.stem: path for path in sorted(HERE.glob("*.toml"))}


def comparisons() -> dict[str, Path]:
    """The files of comparisons, by name."""
    return {path.stem: path for path in sorted((HERE / "comparisons").glob("*.toml"))}

"""The recipes which come with the library: one TOML file an experiment."""

from pathlib import Path


def recipes() -> dict[str, Path]:
    """Their files, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}

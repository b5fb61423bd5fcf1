"""What a new run begins with: the configuration of its model and its tokenizer, of its own or of another model.

`model.from` names a model to go on from: it brings its size, its tokenizer and its weights.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard.data.rows import SkippedDocuments
from regard.data.sources import located
from regard.models import entry_of
from regard.models.directory import read_config
from regard.models.parameters import fill, plain_weights
from regard.models.saved import load_model
from regard.reading.pretrained import find_model
from regard.storage.configuration import configured
from regard.storage.names import require
from regard.text.tokenizer import TOKENIZER, Tokenizer


def configuration(model: dict[str, Any], **changes: Any) -> Any:
    """The configuration of a run's model: that of its size, or of the one which it goes on from, but for what it says.

    Args:
        model: of a run.
        **changes: fields which others decide, such as vocabularies.

    Raises:
        ValueError: if there is no such kind, size or field, or values do not go together; if the model to go on from is
            of another kind.
        FileNotFoundError: if that is not there.
    """
    values = dict(model)
    kind, size, first = (str(values.pop(name, "")) for name in ("kind", "size", "from"))
    entry = entry_of(kind)
    if first and size:
        raise ValueError(f"what goes on from {first} has its size: leave model.size out")
    if not first:
        require("model.size", size, entry.sizes)
        values = {**dataclasses.asdict(entry.sizes[size]), **values}
    elif not _is_whole(values, entry.config):  # as a run which is begun says it
        found, config = read_config(find_model(first))
        if found != kind:
            raise ValueError(f"model.from={first!r} holds {found}, not {kind}")
        values = {**dataclasses.asdict(config), **values}
    return configured(entry.config, {**values, **changes}, "model")


def _is_whole(values: dict[str, Any], config: type) -> bool:
    """Whether values say all of a configuration but what may be None, which TOML has no word for."""
    return {field.name for field in dataclasses.fields(config) if field.default is not None} <= values.keys()


def kind_of_model(first: str) -> str:
    """Of which kind a model to go on from is.

    Raises:
        FileNotFoundError, ValueError: if that is not there, or no model of the library.
    """
    return read_config(find_model(first))[0]


def go_on_from(model: nn.Module, first: str | Path) -> None:
    """Give a model the weights of another.

    Raises:
        FileNotFoundError: if that is not there.
        ValueError: if the two are of different shape; every wrong tensor is listed.
    """
    folder = find_model(first)
    fill(model, plain_weights(load_model(folder)), str(folder))


def as_begun(run: Any, config: Any) -> Any:
    """A run as its folder says it: it does not need the directory of the model which it goes on from any more.

    Raises:
        ValueError: if there can be no such model, before any text is tokenised for it.
    """
    require_model(run, config)
    if "from" not in run.model:
        return run
    return dataclasses.replace(run, model={**run.model, **dataclasses.asdict(config)})


def require_model(run: Any, config: Any) -> None:
    """Refuse a configuration of which no model can be made, or whose weights are not those which it goes on from.

    Raises:
        ValueError: if it is one; names the fields which make weights of another shape.
    """
    entry, first = entry_of(run.model["kind"]), run.model.get("from", "")
    shapes = _shapes(entry.model, config)
    if not first:
        return
    theirs = dataclasses.asdict(read_config(find_model(first))[1])
    own = dataclasses.asdict(config)
    differs = [name for name in own if own[name] != theirs[name] and name != "pools"]  # which may begin at random
    if _shapes(entry.model, dataclasses.replace(config, **{name: theirs[name] for name in differs})) != shapes:
        wrong = (f"{name}={theirs[name]!r}, not {own[name]!r}" for name in differs if not isinstance(own[name], float))
        raise ValueError(f"the weights of {first} are of another shape: they have {', '.join(wrong)}")


def _shapes(model: type[nn.Module], config: Any) -> dict[str, torch.Size]:
    """The shapes of a model's weights, none of which is made."""
    with torch.device("meta"):
        return {name: weight.shape for name, weight in plain_weights(model(config)).items()}


def tokenizer_place(run: Any) -> Path | None:
    """Where the tokenizer of a run lies, if it is not to be trained: a file, or the folder of a model.

    Raises:
        FileNotFoundError: if there is none.
    """
    name = run.text.load or run.model.get("from", "")
    if not name:
        return None
    return Path(name) if Path(name).is_file() else find_model(name)


def text_tokenizer(run: Any, folder: Path, say: Callable[[str], None]) -> Tokenizer:
    """The tokenizer of a run on running text, in its folder, which begins with it where it is new."""
    if not run.is_begun(folder):
        tokenizer = _of_text(run, say)
        tokenizer.save(folder / TOKENIZER)
        config = run.task.config(run.model, run.text, run.plan, tokenizer.size)
        as_begun(run, config).save(folder)  # last: a folder with a run.toml has its tokenizer
    return Tokenizer.load(folder / TOKENIZER)


def _of_text(run: Any, say: Callable[[str], None]) -> Tokenizer:
    """A tokenizer which is there, or one trained on the text of a run."""
    place = tokenizer_place(run)
    if place is not None:
        return Tokenizer.load(place)
    say(f"training a tokenizer of kind {run.text.kind}")
    pieces = located(run.train).read(SkippedDocuments() if run.text.skip else None)
    return run.text.trained_on(piece.text for piece in pieces)

"""Models in directories of Hugging Face's layout: config.json and model.safetensors."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard.models import MODELS, Entry
from regard.models.hugging_face import LAYOUTS
from regard.models.layout import is_same
from regard.storage.files import written_whole
from regard.storage.names import did_you_mean
from regard.storage.weights import read_tensors, write_tensors

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def name_of(model: nn.Module) -> str:
    """The registry's name of a model."""
    for name, entry in MODELS.items():
        if type(model) is entry.model:
            return name
    raise ValueError(f"{type(model).__name__} is not a model of the library")


def entry_of(name: str) -> Entry:
    """The registry's entry of this name.

    Raises:
        ValueError: if there is none; names the nearest.
    """
    if name not in MODELS:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(MODELS)}{did_you_mean(name, MODELS)}")
    return MODELS[name]


def configured(kind: type, values: dict[str, Any], place: str) -> Any:
    """A frozen configuration from plain values.

    Raises:
        ValueError: if a key is unknown (names the nearest), or a value is of another type than its field.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in fields:
            hint = did_you_mean(key, fields) or f"; the keys are {', '.join(fields)}"
            raise ValueError(f"{place}: unknown key {key!r}{hint}")
        default = fields[key].default
        if isinstance(default, tuple) and isinstance(value, list):  # JSON and TOML know no tuples
            values = {**values, key: tuple(value)}
            continue
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            continue
        if default is not dataclasses.MISSING and default is not None and type(value) is not type(default):
            wanted = "list" if isinstance(default, tuple) else type(default).__name__
            got = type(value).__name__
            raise ValueError(f"{place}: {key} must be of type {wanted}, got {value!r} of type {got}")
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{place}: missing {', '.join(missing)}")
    return kind(**values)


def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The parameters of a model by name; one which stands under two names is kept under the first."""
    seen, weights = set(), {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) not in seen:
            seen.add(id(parameter))
            weights[name] = parameter.detach()
    return weights


def save_model(model: nn.Module, folder: str | Path) -> None:
    """Write config.json and model.safetensors into `folder`."""
    folder = Path(folder)
    name, weights = name_of(model), plain_weights(model)
    values = dataclasses.asdict(model.config)  # pyright: ignore[reportArgumentType]
    layout = LAYOUTS.get(name)
    about = {"model_type": name, **values} if layout is None else layout.write_config(values)
    write_tensors(folder / WEIGHTS, weights if layout is None else layout.write_tensors(weights))
    with written_whole(folder / CONFIG) as file:
        json.dump(about, file, indent=2)
        file.write("\n")


def read_config(folder: str | Path) -> tuple[str, Any]:
    """The name and the configuration of the model in `folder`.

    Raises:
        FileNotFoundError: if there is no config.json.
        ValueError: if it is not JSON, names no model of the library, or has an unknown key.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"no model in {folder}: it has no {CONFIG}")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(about, dict) or "model_type" not in about:
        raise ValueError(f"{path} names no model_type")
    name = str(about.pop("model_type"))
    name = next((ours for ours, layout in LAYOUTS.items() if layout.model_type == name), name)
    try:
        entry = entry_of(name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if name in LAYOUTS:
        about = LAYOUTS[name].read_config(about, str(path))
    return name, configured(entry.config, about, str(path))


def require_reading(folder: str | Path, reads: str, but: str) -> None:
    """Refuse a directory whose model reads something else; `but` says what that is good for."""
    name, _ = read_config(folder)
    if entry_of(name).reads != reads:
        kinds = {"pairs": "an encoder-decoder", "text": "a language model"}
        raise ValueError(f"{folder} holds {name}, {kinds[entry_of(name).reads]}, {but}")


def load_model(folder: str | Path, **changes: Any) -> nn.Module:
    """The model in `folder`, in evaluation mode; `changes` are fields of its configuration which fit its weights.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged or do not belong together; every wrong tensor is listed.
    """
    name, config = read_config(folder)
    config = configured(type(config), {**dataclasses.asdict(config), **changes}, str(folder))
    path = Path(folder) / WEIGHTS
    tensors = read_tensors(path)
    if name in LAYOUTS:
        tensors = LAYOUTS[name].read_tensors(tensors, str(path))
    state = torch.random.get_rng_state()
    model = MODELS[name].model(config)
    torch.random.set_rng_state(state)  # loading must not move the caller's randomness
    fill(model, tensors, str(path))
    return model.eval()


def fill(model: nn.Module, tensors: dict[str, Tensor], place: str) -> None:
    """Copy tensors into the parameters of the same names.

    Raises:
        ValueError: if one is missing, unknown, or of another shape or kind, or if several of one parameter's names have
            different values; lists all of them, and changes nothing.
    """
    wanted, first = plain_weights(model), _first_names(model)
    given: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        given.setdefault(first.get(name, name), tensor)
    faults = [f"missing: {name} {tuple(wanted[name].shape)}" for name in wanted if name not in given]
    for name, tensor in tensors.items():
        own = first.get(name)
        if own is None:
            faults.append(f"unknown: {name} {tuple(tensor.shape)}")
        elif tensor is not given[own] and not is_same(tensor, given[own]):
            faults.append(f"values of {name}: not those of {own}, which is the same parameter here")
        elif tensor.shape != wanted[own].shape:
            faults.append(f"shape of {name}: {tuple(tensor.shape)}, not {tuple(wanted[own].shape)}")
        elif not tensor.is_floating_point():
            faults.append(f"type of {name}: {tensor.dtype}, not a floating point type")
    if faults:
        raise ValueError(f"{place} does not fit {type(model).__name__}:\n  " + "\n  ".join(faults))
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(given[name])


def _first_names(model: nn.Module) -> dict[str, str]:
    """Each name of a parameter, and the first one which it has."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(one), name) for name, one in model.named_parameters(remove_duplicate=False)}

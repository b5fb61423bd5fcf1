"""Models in directories of Hugging Face's layout: config.json and model.safetensors.

Encoders are also read from where Google's authors put them (`regard.models.google`), and out of directories of
Sentence Transformers, where they are the first of several modules.
"""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard.layers.rounded import is_rounded
from regard.models import MODELS, Entry
from regard.models.google import GOOGLE_LAYOUTS, GoogleLayout, checkpoint_in, read_marks, read_weights
from regard.models.heads import HEADS, Head, kind_of
from regard.models.hugging_face import LAYOUTS
from regard.models.hugging_face_encoders import ENCODER_LAYOUTS, EncoderLayout, read_labels, written_labels
from regard.models.layout import Layout, is_same
from regard.storage.configuration import configured
from regard.storage.files import written_whole
from regard.storage.names import did_you_mean
from regard.storage.weights import read_tensors, write_tensors

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODULES = "modules.json"  # of Sentence Transformers


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


def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """The parameters of a model by name; one which stands under two names is kept under the first."""
    seen, weights = set(), {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) not in seen:
            seen.add(id(parameter))
            weights[name] = parameter.detach()
    return weights


def save_model(model: nn.Module, folder: str | Path) -> None:
    """Write config.json and model.safetensors into `folder`.

    Raises:
        ValueError: if the weights were rounded.
    """
    if is_rounded(model):
        raise ValueError("the weights were rounded, and are not there to be saved; save them before")
    folder = Path(folder)
    head = kind_of(model)
    name, weights = name_of(model.encoder if isinstance(model, Head) else model), plain_weights(model)
    values = dataclasses.asdict(model.config)  # pyright: ignore[reportArgumentType]
    layout = LAYOUTS.get(name)
    if name in ENCODER_LAYOUTS:
        layout = ENCODER_LAYOUTS[name].headed(head, pools=values["pools"])
    about = {"model_type": name, **values} if layout is None else layout.write_config(values)
    if isinstance(model, Head):
        about |= written_labels(head, model.labels) | ENCODER_LAYOUTS[name].written_dropout(model.dropout.rate, about)
    write_tensors(folder / WEIGHTS, weights if layout is None else layout.write_tensors(weights, values["heads"]))
    with written_whole(folder / CONFIG) as file:
        json.dump(about, file, indent=2)
        file.write("\n")


@dataclass(frozen=True)
class _Directory:
    """What a folder says of its model before the weights are read.

    Args:
        file: what says so.
        name: the registry's name of the model.
        about: what is said, in the words of `layout`, or in our own.
        layout: whose words these are.
    """

    file: Path
    name: str
    about: dict[str, Any]
    layout: Layout | None

    @property
    def config(self) -> Any:
        """The model's configuration."""
        values = self.about if self.layout is None else self.layout.read_config(self.about, str(self.file))
        return configured(MODELS[self.name].config, values, str(self.file))

    @property
    def head(self) -> tuple[str, tuple[str, ...]]:
        """What stands on the model, and the classes which it tells apart."""
        if isinstance(self.layout, GoogleLayout):
            return self.layout.head_in(read_marks(self.file.parent, self.layout))
        if not isinstance(self.layout, EncoderLayout):
            return "", ()
        head = self.layout.head_of(self.about, str(self.file))
        return head, read_labels(self.about, str(self.file)) if head and not HEADS[head].size else ()

    @property
    def weights(self) -> Path:
        """Where they lie."""
        return (
            checkpoint_in(self.file.parent) if isinstance(self.layout, GoogleLayout) else self.file.with_name(WEIGHTS)
        )

    def read_tensors(self) -> dict[str, Tensor]:
        """The weights by the names which they have there."""
        return read_weights(self.file.parent) if isinstance(self.layout, GoogleLayout) else _read_weights(self.weights)


def model_folder(folder: str | Path) -> Path:
    """Where the files of the model in `folder` lie: there, or in that of the first module of Sentence Transformers.

    Raises:
        ValueError: if the first of several modules is none which is read.
    """
    folder = Path(folder)
    path = folder / MODULES
    if not path.is_file():
        return folder
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        kind, name = str(modules[0]["type"]), str(modules[0]["path"])
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is no list of modules ({error!r}); fetch it again") from error
    if kind.rpartition(".")[2] != "Transformer" or name != Path(name).name or name == "..":
        raise ValueError(f"{path}: the first module must be a Transformer in a folder here, got {kind} in {name!r}")
    return folder / name


def read_config(folder: str | Path) -> tuple[str, Any]:
    """The name and the configuration of the model in `folder`.

    Raises:
        FileNotFoundError: if there is no config.json.
        ValueError: if it is not JSON, names no model of the library, or has an unknown key.
    """
    directory = _directory(folder)
    return directory.name, directory.config


def read_head(folder: str | Path) -> tuple[str, tuple[str, ...]]:
    """What stands on the encoder in `folder`, by its name in HEADS, or nothing; and the classes which it tells apart.

    Raises:
        FileNotFoundError, ValueError: as of `read_config`, and if there is no encoder, or a head which is not known.
    """
    directory = _directory(folder)
    if directory.name not in ENCODER_LAYOUTS:
        raise ValueError(
            f"{folder} holds {directory.name}, which is no encoder; the encoders are {', '.join(ENCODER_LAYOUTS)}"
        )
    return directory.head


def _directory(folder: str | Path) -> _Directory:
    """What `folder` says of its model."""
    folder = model_folder(folder)
    path = folder / CONFIG
    if not path.is_file():
        for name, layout in GOOGLE_LAYOUTS.items():
            if (folder / layout.file).is_file():
                return _Directory(folder / layout.file, name, _read_json(folder / layout.file), layout)
        raise FileNotFoundError(f"no model in {folder}: it has no {CONFIG}")
    about = _read_json(path)
    if "model_type" not in about:
        raise ValueError(f"{path} names no model_type")
    name = str(about.pop("model_type"))
    layouts: dict[str, Layout] = {**LAYOUTS, **ENCODER_LAYOUTS}
    name = next((ours for ours, layout in layouts.items() if layout.model_type == name), name)
    try:
        entry_of(name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return _Directory(path, name, about, layouts.get(name))


def _read_json(path: Path) -> dict[str, Any]:
    """What a configuration says."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(about, dict):
        raise ValueError(f"{path} is no object of JSON, and names no model_type")
    return about


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; where there is only a pickle, says how it is turned into one.

    Raises:
        FileNotFoundError, ValueError: as of `read_tensors`.
    """
    try:
        return read_tensors(path)
    except FileNotFoundError as error:
        pickles = sorted(path.parent.glob("pytorch_model*.bin"))
        if path.parent.joinpath(f"{path.name}.index.json").is_file() or not pickles:
            raise
        raise FileNotFoundError(
            f"{error}, only {pickles[0].name}, which is a pickle: it can run code when read, and never is. Where you "
            "trust it, load it with Transformers, and save_pretrained(folder) writes model.safetensors"
        ) from error


_USED = {  # what a model is, by what it reads, and which commands use it
    "pairs": "an encoder-decoder, which `regard translate` uses",
    "text": "a language model, which `regard generate` and `score` use",
    "inputs": "an encoder, which `regard finetune`, `predict`, `answer`, `fill` and `embed` use",
}


def require_reading(folder: str | Path, reads: str) -> None:
    """Refuse a directory whose model reads something else than `pairs`, `text` or `inputs`.

    Raises:
        ValueError: says what uses it.
    """
    name, _ = read_config(folder)
    found = entry_of(name).reads
    if found != reads:
        raise ValueError(f"{folder} holds {name}, {_USED[found]}, and not {_USED[reads].partition(',')[0]}")


def load_model(folder: str | Path, **changes: Any) -> nn.Module:
    """The model in `folder`, in evaluation mode; `changes` are fields of its configuration which fit its weights.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged or do not belong together; every wrong tensor is listed.
    """
    directory = _directory(folder)
    config = _changed(directory.config, changes, folder)
    layout, tensors, place = directory.layout, directory.read_tensors(), str(directory.weights)
    head, labels = directory.head
    if isinstance(layout, EncoderLayout):
        pools = HEADS[head].pools if head else layout.has_pooler(tensors)
        layout, config = layout.headed(head, pools=pools), dataclasses.replace(config, pools=pools)
    if layout is not None:
        tensors = layout.read_tensors(tensors, place, config.heads)
    with _same_randomness():
        model = MODELS[directory.name].model(config)
        if head and isinstance(layout, EncoderLayout):
            dropout = layout.dropout_of(directory.about, str(directory.file))
            model = HEADS[head](model, labels, dropout=dropout)
    fill(model, tensors, place)
    return model.eval()


def load_encoder(folder: str | Path, *, pools: bool, **changes: Any) -> tuple[nn.Module, bool]:
    """The encoder in `folder` without what stands on it, for another use; and whether it needs training to sum up.

    Args:
        folder: a model directory.
        pools: whether it is to sum inputs up; a layer for that which is not there begins at random.
        changes: fields of its configuration which fit its weights, as of `load_model`.

    Raises:
        FileNotFoundError, ValueError: as of `load_model`.
    """
    read_head(folder)
    directory = _directory(folder)
    config = _changed(directory.config, {**changes, "pools": pools}, folder)
    layout, tensors, place = directory.layout, directory.read_tensors(), str(directory.weights)
    assert isinstance(layout, EncoderLayout)
    is_fresh = pools and not layout.has_pooler(tensors)
    found = layout.headed("", pools=pools).read_tensors(tensors, place, config.heads)
    model = MODELS[directory.name].model(config)
    if is_fresh:
        found |= {name: tensor for name, tensor in plain_weights(model).items() if name.startswith("pooler.")}
    fill(model, found, place)
    return model.eval(), is_fresh


def _changed(config: Any, changes: dict[str, Any], folder: str | Path) -> Any:
    """A configuration with other values in some of its fields."""
    return configured(type(config), {**dataclasses.asdict(config), **changes}, str(folder))


@contextmanager
def _same_randomness() -> Iterator[None]:
    """Leave torch's generator as it was: loading must not move the caller's randomness."""
    state = torch.random.get_rng_state()
    try:
        yield
    finally:
        torch.random.set_rng_state(state)


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

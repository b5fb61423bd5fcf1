"""What a directory says of its model before the weights are read: config.json, in Transformers' words or in our own.

Encoders also lie where Google's authors put them (`regard.models.google`), and in directories of Sentence Transformers,
where they are the first of several modules.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from regard.models import MODELS, entry_of
from regard.models.google import GOOGLE_LAYOUTS, GoogleLayout, checkpoint_in, read_marks, read_weights
from regard.models.heads import HEADS, require_options
from regard.models.hugging_face import LAYOUTS
from regard.models.hugging_face_encoders import ENCODER_LAYOUTS, EncoderLayout, read_labels, read_options
from regard.models.layout import Layout
from regard.storage.configuration import configured
from regard.storage.weights import read_tensors

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODULES = "modules.json"  # of Sentence Transformers


@dataclass(frozen=True)
class Directory:
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

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """What `folder` says.

        Raises:
            FileNotFoundError: if there is no config.json.
            ValueError: if it is not JSON, or names no model of the library.
        """
        folder = model_folder(folder)
        path = folder / CONFIG
        if not path.is_file():
            for name, layout in GOOGLE_LAYOUTS.items():
                if (folder / layout.file).is_file():
                    return cls(folder / layout.file, name, _read_json(folder / layout.file), layout)
            raise FileNotFoundError(f"no model in {folder}: it has no {CONFIG}")
        about = _read_json(path)
        if "model_type" not in about:
            raise ValueError(f"{path} names no model_type")
        name = _ours(str(about.pop("model_type")), about.get("architectures"))
        try:
            entry_of(name)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return cls(path, name, about, {**LAYOUTS, **ENCODER_LAYOUTS}.get(name))

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
    def options(self) -> dict[str, Any]:
        """What else is said of its head: keywords of that.

        Raises:
            ValueError: as of `require_options`.
        """
        options = read_options(self.about)
        require_options(self.head[0], options, f"{self.file}: ")
        return options

    @property
    def weights(self) -> Path:
        """Where they lie."""
        return (
            checkpoint_in(self.file.parent) if isinstance(self.layout, GoogleLayout) else self.file.with_name(WEIGHTS)
        )

    def read_tensors(self) -> dict[str, Tensor]:
        """The weights by the names which they have there."""
        return read_weights(self.file.parent) if isinstance(self.layout, GoogleLayout) else _read_weights(self.weights)


def _ours(model_type: str, architectures: Any) -> str:
    """The registry's name of what Transformers calls so; a language model which has a head for a task is an encoder."""
    layouts: dict[str, Layout] = {**LAYOUTS, **ENCODER_LAYOUTS}
    names = [name for name, layout in layouts.items() if layout.model_type == model_type] or [model_type]
    for name in names[1:]:
        classes = ENCODER_LAYOUTS[name].classes
        if isinstance(architectures, list) and any(classes.get(head) in architectures for head in classes if head):
            return name
    return names[0]


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
    if kind.rpartition(".")[2] != "Transformer":
        raise ValueError(f"{path}: the first module must be a Transformer, got {kind}")
    return module_folder(folder, name)


def module_folder(folder: Path, name: str) -> Path:
    """Where the files of a module of Sentence Transformers lie.

    Args:
        folder: the model's.
        name: which modules.json gives as the module's path; nothing stands for the folder itself.

    Raises:
        ValueError: if it is not a folder in there.
    """
    if name != Path(name).name or name == "..":
        raise ValueError(f"{folder / MODULES}: the path of a module must be a folder here, got {name!r}")
    return folder / name


def read_config(folder: str | Path) -> tuple[str, Any]:
    """The name and the configuration of the model in `folder`.

    Raises:
        FileNotFoundError: if there is no config.json.
        ValueError: if it is not JSON, names no model of the library, or has an unknown key.
    """
    directory = Directory.read(folder)
    return directory.name, directory.config


def read_head(folder: str | Path) -> tuple[str, tuple[str, ...]]:
    """What stands on the encoder in `folder`, by its name in HEADS, or nothing; and the classes which it tells apart.

    Raises:
        FileNotFoundError, ValueError: as of `read_config`, and if there is no encoder, or a head which is not known.
    """
    directory = Directory.read(folder)
    if directory.name not in ENCODER_LAYOUTS:
        raise ValueError(
            f"{folder} holds {directory.name}, which is no encoder; the encoders are {', '.join(ENCODER_LAYOUTS)}"
        )
    return directory.head


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

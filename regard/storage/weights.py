"""Named tensors in safetensors files, whole and as they were written; never pickle.

Files written here carry a digest of their contents in their header, which is checked when they are read. A file without
one (from elsewhere) is checked as far as its header allows.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from regard.storage.files import written_whole

_DIGEST = "sha256"


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors to a safetensors file, whole or not at all; equal tensors give equal files."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = memoryview(save(kept, {"format": "pt", _DIGEST: _digest(kept)}))
    end = 8 + int.from_bytes(data[:8], "little")
    about = json.loads(bytes(data[8:end]))
    about["__metadata__"] = dict(sorted(about["__metadata__"].items()))  # which the library writes in any order
    header = json.dumps(dict(sorted(about.items())), separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with written_whole(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.write(data[end:])


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read every tensor of a safetensors file; where it is in parts, of those which its index beside it names.

    Raises:
        FileNotFoundError: if there is no such file, or a part is missing.
        ValueError: if it is not a safetensors file, is cut short, or differs from what was written; or if a part does
            not hold what the index says.
    """
    path = Path(path)
    index = path.with_name(f"{path.name}.index.json")
    if not path.is_file() and index.is_file():
        return _read_parts(index)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} is not a safetensors file; other formats can run code when read, and are refused")
    try:
        with safe_open(path, "pt") as file:
            digest = (file.metadata() or {}).get(_DIGEST)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is cut short or is not a safetensors file ({error}); fetch or save it again"
        ) from error
    if digest is not None and digest != _digest(tensors):
        raise ValueError(f"{path} was altered after it was written: its contents do not match their digest")
    return tensors


def _read_parts(index: Path) -> dict[str, Tensor]:
    """Every tensor of the files among which an index shares them out (`weight_map`, from tensor to file)."""
    try:
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        parts = {file: {name for name in files if files[name] == file} for file in sorted(set(files.values()))}
        strangers = [file for file in parts if Path(file).name != file or Path(file).suffix != ".safetensors"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index} is not an index of safetensors files ({error!r}); fetch it again") from error
    if strangers:
        raise ValueError(f"{index} names {strangers[0]!r}, which is no safetensors file beside it; it is not read")
    tensors: dict[str, Tensor] = {}
    for file, names in parts.items():
        part = index.with_name(file)
        if not part.is_file():
            raise FileNotFoundError(f"{index} names {file}, which is missing; fetch it again")
        found = read_tensors(part)
        if wrong := sorted(names ^ found.keys()):
            faults = [f"{'missing' if name in names else 'unknown'}: {name}" for name in wrong]
            raise ValueError(f"{part} does not hold what {index.name} says:\n  " + "\n  ".join(faults))
        tensors |= found
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

"""Hypernetworks in files: our own as safetensors, and the published checkpoints of GHN-1, GHN-2 and GHN-3.

A published file holds ``config``, ``state_dict`` and ``epoch`` (facebookresearch/ppuda, ghn/nn.py and
utils/trainer.py), or the weights alone; it is read with torch's restricted unpickler.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ogive.core.errors import SpecError, in_line
from ogive.documents import checked, parsed
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.ghn import GHN
from ogive.hypernets.published import configured, renamed
from ogive.training.checkpoint import misfit

__all__ = ["SHIPPED", "load", "save"]

# GHN-2 of the small preset, which ogive trained on CIFAR-10 at 16×16; ghn2-small.json says how.
SHIPPED = Path(__file__).parent / "ghn2-small.safetensors"

KEY = "hypernetwork"
_WRITTEN = {
    "max_shape": [int],
    "num_classes": int,
    "hypernet": str,
    "decoder": str,
    "weight_norm": bool,
    "ve": bool,
    "layernorm": bool,
    "hid": int,
    "farthest?": int,
    "doubled?": bool,
    "layers?": int,
    "heads?": int,
    "rank?": int,
}


def load(path: Path) -> GHN:
    """The hypernetwork of a file, in evaluation mode; SpecError says in one line what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder: name a file in it" if path.is_dir() else "does not exist"
        raise SpecError(f"A hypernetwork is read from a file, but {path} {what}.")
    if _is_joblib(path):
        raise SpecError(
            f"{path} is a pickle of joblib, as the released files of GHN-3 are, which may run any code when it is "
            "read. Where you trust it, write it once more by torch.save(joblib.load(FILE), OTHER)."
        )
    try:
        written, tensors = _published(path) if _is_published(path) else _own(path)
        configuration = Configuration.published(written)
    except SpecError as error:
        if str(path) in str(error):
            raise
        raise SpecError(f"{path} holds no hypernetwork that can be used: {error}") from None
    with torch.device("meta"):
        made = GHN(configuration)
    other = misfit(made, tensors)
    if other is not None:
        name, found, wanted = other
        raise SpecError(
            f"The tensors in {path} are not those of its configuration: {name} is "
            f"{'missing' if found is None else found} there, but "
            f"{'no part' if wanted is None else wanted} of such a hypernetwork."
        )
    made.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return made.eval()


def save(ghn: GHN, path: Path) -> None:
    """Write a hypernetwork as safetensors, whole or not at all."""
    scratch = Path(path).with_suffix(".tmp")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in ghn.state_dict().items()}
    save_file(tensors, scratch, metadata={KEY: json.dumps(ghn.configuration.written())})
    scratch.replace(path)


def _is_published(path: Path) -> bool:
    """Whether it is a file of torch.save, which is a zip archive or, of old, a pickle."""
    return _magic(path) in (b"PK", b"\x80\x02")


def _is_joblib(path: Path) -> bool:
    """Whether it is a pickle of joblib: compressed by zlib, or of a newer protocol than torch writes."""
    first = _magic(path)
    return first[:1] == b"\x78" or (first[:1] == b"\x80" and first[1:] > b"\x02")


def _magic(path: Path) -> bytes:
    """The first two bytes, which of safetensors are those of a length and may be any: then nothing."""
    with path.open("rb") as file:
        first = file.read(9)
    return b"" if first[8:] == b"{" else first[:2]


def _own(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = (file.metadata() or {}).get(KEY)
            if header is None:
                tensors = renamed(tensors)
                return configured(None, tensors), tensors
            return checked(parsed(header), _WRITTEN), tensors
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{path} is damaged, or no file of a hypernetwork ({in_line(error)}).") from None


def _published(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
        raise SpecError(f"{path} is damaged, or holds more than tensors and numbers ({in_line(error)}).") from None
    if not isinstance(whole, dict):
        raise SpecError(f"{path} holds a {type(whole).__name__}, but a published hypernetwork is a dictionary.")
    config, tensors = whole.get("config"), whole.get("state_dict", whole)
    if not isinstance(config, dict | None) or not all(isinstance(one, Tensor) for one in dict(tensors).values()):
        raise SpecError(
            f"{path} lacks the entries config and state_dict of a published hypernetwork, a dictionary and tensors, "
            "and is no dictionary of tensors alone."
        )
    found = renamed(tensors)
    return configured(config, found), found

"""Hypernetworks in files: our own as safetensors, and the published checkpoints of GHN-1 and GHN-2.

A published file holds ``config``, ``state_dict`` and ``epoch`` (facebookresearch/ppuda, ghn/nn.py and
utils/trainer.py); it is read with torch's restricted unpickler.
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
}


def load(path: Path) -> GHN:
    """The hypernetwork of a file, in evaluation mode; SpecError says in one line what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder: name a file in it" if path.is_dir() else "does not exist"
        raise SpecError(f"A hypernetwork is read from a file, but {path} {what}.")
    written, tensors = _published(path) if _is_published(path) else _own(path)
    try:
        configuration = Configuration.published(written)
    except SpecError as error:
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
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02")


def _own(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(KEY)
            if header is None:
                raise SpecError(f"{path} holds tensors, but no hypernetwork: it lacks the header {KEY!r}.")
            return checked(parsed(header), _WRITTEN), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{path} is damaged, or no file of a hypernetwork ({in_line(error)}).") from None


def _published(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
        raise SpecError(f"{path} is damaged, or holds more than tensors and numbers ({in_line(error)}).") from None
    if not isinstance(whole, dict) or not {"config", "state_dict"} <= whole.keys():
        raise SpecError(f"{path} lacks the entries config and state_dict of a published hypernetwork.")
    config, tensors = whole["config"], whole["state_dict"]
    if not isinstance(config, dict) or not all(isinstance(one, Tensor) for one in dict(tensors).values()):
        raise SpecError(f"The entries config and state_dict of {path} are not a dictionary and tensors.")
    # One that several GPUs trained has a prefix before each name.
    return config, {str(name).removeprefix("module."): tensor for name, tensor in tensors.items()}

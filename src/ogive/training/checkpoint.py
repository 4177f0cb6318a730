"""Checkpoints: the state of a training in one safetensors file, replaced at once and never torn.

The header of the file holds a JSON record beside the tensors, so that weights and history cannot part. The last two
files are kept: one that a crash damaged is passed over with a warning.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, optim

from ogive.core.errors import StoreError, in_line, quoted
from ogive.core.rng import Seed
from ogive.documents import checked, parsed

__all__ = [
    "Checkpoint",
    "decided",
    "latest",
    "misfit",
    "optimizer_tensors",
    "restore_optimizer",
    "save",
    "save_tensors",
]

Shape = tuple[int, ...]

logger = logging.getLogger(__name__)

SCHEMA = 1
KEPT = 2
PATTERN = "epoch-{:06d}.safetensors"

# What a training or a search writes beside its tensors. Epochs are read as the records that their training keeps.
RECORD = {
    "schema": int,
    "epoch": int,
    "fingerprint": {...: object},
    "history?": [{...: (float, str, bool, None)}],
    **dict.fromkeys(("undone?", "in_a_row?", "averaged_steps?"), int),
    "averaging?": bool,
    "found?": [[float]],
    "decisions?": [{...: object}],
    "notes?": [[object]],
}

Checkpoint = tuple[dict[str, Tensor], dict[str, Any]]


def decided(recipe: Any, seed: Seed, data: str, network: Mapping[str, Tensor]) -> dict[str, Any]:
    """What decides the weights of a training, as JSON: a recipe, streams, a digest of data and shapes of weights."""
    shapes = {name: list(tensor.shape) for name, tensor in network.items()}
    told = hashlib.sha256(json.dumps(shapes).encode()).hexdigest()
    return {"recipe": asdict(recipe), "seed": [seed.root, *seed.path], "data": data, "network": told}


def save(folder: Path, epoch: int, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> Path:
    """Write the state after `epoch` epochs; StoreError says why it could not be written, and the last one stays."""
    path = folder / PATTERN.format(epoch)
    scratch = path.with_suffix(".tmp")
    header = {"record": json.dumps({"schema": SCHEMA, "epoch": epoch, **record}, allow_nan=False)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_apart(tensors), scratch, metadata=header)
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        scratch.unlink(missing_ok=True)
        raise StoreError(
            f"The checkpoint {path} could not be written ({error}); the one before it is intact: make room and resume."
        ) from None
    for old in sorted(folder.glob(PATTERN.replace("{:06d}", "*")))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as a file that is either complete or absent."""
    scratch = path.with_suffix(".tmp")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, scratch)
    scratch.replace(path)


def latest(folder: Path, fingerprint: Mapping[str, Any]) -> Checkpoint | None:
    """The newest readable checkpoint, None where there is none; StoreError if it belongs to another training."""
    for path in sorted(folder.glob(PATTERN.replace("{:06d}", "*")), reverse=True):
        try:
            with safe_open(path, framework="pt") as file:
                record = checked(parsed((file.metadata() or {})["record"]), RECORD)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("The checkpoint %s is damaged (%s); using the one before it.", path, in_line(error))
            continue
        _check(path, record, fingerprint)
        return tensors, record
    return None


def _check(path: Path, record: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> None:
    if record["schema"] > SCHEMA:
        raise StoreError(
            f"{path} has schema {record['schema']}, but this version reads up to {SCHEMA}: use the newer version."
        )
    found = record["fingerprint"]
    differing = [name for name, value in fingerprint.items() if found.get(name) != value]
    if differing:
        name = differing[0]
        if name not in found:
            raise StoreError(
                f"{path} says nothing of its {name}, which now is {quoted(fingerprint[name])}: it belongs to another "
                "training, or to one of version 0.1, which goes on with it."
            )
        raise StoreError(
            f"{path} belongs to another training: its {name} is {_told(found.get(name), fingerprint[name])}. "
            "Use another folder, or the settings of that training."
        )


def _told(found: Any, now: Any) -> str:
    """A value and the one of now; of two records, the first entry that differs."""
    if isinstance(found, Mapping) and isinstance(now, Mapping):
        name = next(name for name in (*now, *found) if (name in found, found.get(name)) != (name in now, now.get(name)))
        return f"one with {name}={quoted(found.get(name))}, but now with {name}={quoted(now.get(name))}"
    return f"{quoted(found)}, but now it is {quoted(now)}"


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory, as the format demands."""
    seen: set[int] = set()
    copies = {}
    for name, tensor in tensors.items():
        copy = tensor.detach().cpu().contiguous()
        copies[name] = copy.clone() if copy.untyped_storage().data_ptr() in seen else copy
        seen.add(copy.untyped_storage().data_ptr())
    return copies


def _sync(folder: Path) -> None:
    """Make the new name itself durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def optimizer_tensors(optimizer: optim.Optimizer) -> dict[str, Tensor]:
    """What the optimiser remembers of each parameter (momentum, moments, step), by the number of the parameter."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value for index, own in state.items() for name, value in own.items() if value is not None
    }


def restore_optimizer(optimizer: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimiser back what it remembered; its options stay as they were made."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = _laid_out(value, parameters[int(index)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """The value in the memory layout of its parameter: fused optimisers take for granted that the two are alike."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def restore_module(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Load the tensors whose names start with `prefix` into a module, in place."""
    with torch.no_grad():
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})


def misfit(module: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[str, Shape | None, Shape | None] | None:
    """The first tensor that is not as in a module: its name, its shape as found and as wanted; None where all fit."""
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    names = (name for name in {**wanted, **found} if wanted.get(name) != found.get(name))
    return next(((name, found.get(name), wanted.get(name)) for name in names), None)

"""Weights from a file: a supernet that an earlier search trained, or networks that somebody stored.

Both are safetensors. A supernet is a checkpoint of its training, ``epoch-NNNNNN.safetensors`` in a folder
``supernet-…`` or ``generators-…`` of a run. `save_networks` writes networks of some architectures, however they came
about; whoever has neither hands an object with ``network(arch)`` in from Python.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import OgiveError, SpecError, shortened
from ogive.core.space import SearchSpace
from ogive.documents import checked, parsed
from ogive.networks.autogan import GeneratorSize, SharedGenerator, whole_choices
from ogive.networks.build import Skeleton, WeightSource
from ogive.spaces.autogan import NAME
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import read_part, rows_of_cells
from ogive.supernets.sharing import sharing_of, supernet
from ogive.training.batches import LAYOUT
from ogive.training.checkpoint import RECORD, misfit
from ogive.training.data import Data
from ogive.training.task import Size, Task

__all__ = ["Given", "StoredNetworks", "save_networks"]

logger = logging.getLogger(__name__)

SCHEMA = 1

_SIZE = {"channels?": (int, None), "cells?": (int, None), "auxiliary?": bool}
_NETWORKS = {"schema": int, "size": _SIZE, "archs": [str]}
_SKELETON = {
    **dict.fromkeys(("channels", "cells", "classes?", "inputs?"), int),
    "style?": str,
    "auxiliary?": bool,
    "drop_path?": float,
    "size?": (int, None),
}
# What a training of a supernet, and one of generators, say of themselves.
_OF_CELLS = {
    "name": str,
    "origin": {"space": str, "skeleton": _SKELETON, "partial": int},
    "recipe": {"epochs?": float, "steps?": float},
}
_OF_GENERATORS = {
    "origin": {"name": str, "supernet": {"size": {...: int}}},
    "recipe": {"epochs?": float, "steps?": float},
}


class Given:
    """Weights of a `file` that are there already: a supernet's checkpoint, or networks as `save_networks` writes them.

    A part of a supernet of cells gives weights to the architectures that it holds. Nothing is trained, and nothing is
    asked of the space but what the file itself holds. SpecError for a file that cannot be read, or that is for another
    space or for other images.
    """

    def __init__(self, file: Path, *, space: SearchSpace, data: Data, task: Task[Any], device: str = "cpu") -> None:
        self.file, self.space, self.data, self.task, self.device = Path(file), space, data, task, device
        self._made: WeightSource | None = self._read()  # now: a mistake is known before time is spent

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None}  # another process reads the file itself

    @property
    def source(self) -> WeightSource:
        """What the file holds."""
        if self._made is None:
            self._made = self._read()
        return self._made

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture with the weights of the file; SpecError if it has none for it."""
        return self.source.network(arch)

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        with self.file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _read(self) -> WeightSource:
        header, tensors = _opened(self.file)
        try:
            if "networks" in header:
                return self._networks(checked(parsed(header["networks"]), _NETWORKS), tensors)
            record = checked(parsed(header["record"]), RECORD)
            name, origin, recipe = _fingerprint(record["fingerprint"])
            self._check_training(record, recipe)
            if "size" in origin:
                return self._generator(origin, name, tensors)
            return self._supernet(origin, name, tensors)
        except OgiveError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SpecError(
                f"{self.file} holds neither a supernet nor networks: give the epoch-….safetensors of a folder "
                f"supernet-… or generators-… that a search left, or a file of save_networks ({_short(error)})."
            ) from None

    def _check_training(self, record: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
        length = recipe.get("epochs", recipe.get("steps"))
        if record["epoch"] != length:
            logger.warning("The supernet in %s was trained for %s of %s rounds.", self.file, record["epoch"], length)

    def _refuse_other(self, what: str, wanted: object, found: object) -> None:
        if wanted != found:
            raise SpecError(f"The weights in {self.file} are for {what} {found}, but the search has {wanted}.")

    def _supernet(self, origin: Mapping[str, Any], name: str, tensors: Mapping[str, Tensor]) -> Supernet:
        """The supernet or, with a name, a part of it."""
        self._refuse_other("the space", self.space.name, origin["space"])
        shape, classes = self.data.shape, len(self.data.classes)
        skeleton = replace(Skeleton(**origin["skeleton"]), size=min(shape[1:]))
        self._refuse_other("images with channels and classes", (shape[0], classes), (skeleton.inputs, skeleton.classes))
        sharing, partial = sharing_of(self.space), origin["partial"]
        if partial < 1 or skeleton.cells > len(tensors):  # each of which has some
            raise ValueError(
                f"it has {skeleton.cells} cells, of 1/{partial} of the channels, but {len(tensors)} tensors"
            )
        with torch.device("meta"):
            made = supernet(sharing, skeleton, partial=partial)
            if name:
                choices = rows_of_cells(made, read_part(sharing.plan, name))
                made = supernet(sharing, skeleton, partial=partial, choices=choices)
        self._fill(made, tensors, "supernet.")
        return made.to(memory_format=LAYOUT)  # type: ignore[call-overload,no-any-return]

    def _generator(self, origin: Mapping[str, Any], name: str, tensors: Mapping[str, Tensor]) -> SharedGenerator:
        if name:
            raise SpecError(
                f"{self.file} holds a part of generators ({shortened(name)}): give the file of all of them."
            )
        self._refuse_other("the space", self.space.name, NAME)
        size = GeneratorSize(**origin["size"])
        self._refuse_other("images of the shape", self.data.shape, (size.outputs, size.side, size.side))
        with torch.device("meta"):
            made = SharedGenerator(whole_choices(), size)
        self._fill(made, tensors, "generator.")
        return made

    def _networks(self, record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> StoredNetworks:
        if record["schema"] > SCHEMA:
            raise SpecError(f"{self.file} has schema {record['schema']}, but this version reads up to {SCHEMA}.")
        size = Size(**record["size"])
        archs = []
        for text in record["archs"]:
            arch = Architecture.parse(text)
            self._refuse_other("the space", self.space.name, arch.space)
            archs.append(self.space.admit(arch))
        recipe = self.task.fitted(self.task.recipe(), size, self.space)

        def built(arch: Architecture) -> nn.Module:
            made = self.task.network(arch, size, recipe, seed=None)
            self._fill(made, tensors, f"{archs.index(arch)}.")
            return made.to(memory_format=LAYOUT)  # type: ignore[call-overload,no-any-return]

        if archs:
            built(archs[0])
        return StoredNetworks(str(self.file), archs, built)

    def _fill(self, made: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
        """Give a network the tensors of the file whose names begin with `prefix`, on the device of the search."""
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        other = misfit(made, own)
        if other is not None:
            name, found, wanted = other
            raise SpecError(
                f"The weights in {self.file} fit no network of {self.space.name} that ogive builds: {prefix}{name} is "
                f"{'missing' if found is None else found} there, and {'none' if wanted is None else wanted} here."
            )
        made.load_state_dict({name: tensor.to(self.device) for name, tensor in own.items()}, assign=True)


class StoredNetworks:
    """Networks of some architectures, each with weights of its own."""

    def __init__(self, place: str, archs: Sequence[Architecture], built: Callable[[Architecture], nn.Module]) -> None:
        self.place, self.archs, self._built = place, tuple(archs), built

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture; SpecError if it is none of these."""
        if arch not in self.archs:
            raise SpecError(f"{self.place} holds weights of {len(self.archs)} architectures, but not of {arch}.")
        return self._built(arch)


def save_networks(path: Path, networks: Mapping[Architecture, nn.Module], size: Size = Size()) -> None:  # noqa: B008
    """Write networks of architectures as a file for ``given``; `size` is what their task built them with."""
    tensors, archs = {}, list(networks)
    for number, arch in enumerate(archs):
        for name, tensor in networks[arch].state_dict().items():
            tensors[f"{number}.{name}"] = tensor.detach().cpu().contiguous().clone()
    record = {"schema": SCHEMA, "size": asdict(size), "archs": [str(arch) for arch in archs]}
    scratch = Path(path).with_suffix(".tmp")
    save_file(tensors, scratch, metadata={"networks": json.dumps(record)})
    scratch.replace(path)


def _opened(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The header and the tensors of a file; SpecError says in one line why it cannot be read."""
    if not path.is_file():
        what = "is a folder: name a file in it" if path.is_dir() else "does not exist"
        raise SpecError(f"Weights are read from a file, but {path} {what}.")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise SpecError(f"{path} is damaged, or no safetensors file: {_short(error)}.") from None


def _fingerprint(found: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Name, origin and recipe of a supernet, as its training wrote them; KeyError or ValueError for another one."""
    origin = found["origin"]
    if "supernet" in origin:
        checked(found, _OF_GENERATORS)
        return origin["name"], origin["supernet"], found["recipe"]
    checked(found, _OF_CELLS)
    return found["name"], {key: origin[key] for key in ("space", "skeleton", "partial")}, found["recipe"]


def _short(error: Exception) -> str:
    return shortened(f"{type(error).__name__}: {error}".splitlines()[0])

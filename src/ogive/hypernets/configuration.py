"""What a hypernetwork is made of: sizes and switches, of which GHN-1, GHN-2 and MLP are three settings.

Knyazev et al., "Parameter Prediction for Unseen Deep Architectures", NeurIPS 2021, section 4 and appendix B; the values
are those of facebookresearch/ppuda, config.py and ghn/nn.py.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError, UnknownName, quoted
from ogive.core.network_graph import FARTHEST

__all__ = ["KINDS", "Configuration"]

# Largest shapes that are predicted; wider tensors are tiled. ghn/nn.py and experiments/train_ghn.py.
CIFAR, IMAGENET = (64, 64, 11, 11), (64, 64, 16, 16)
# Of LoGAH, whose tensors are whole up to 2048 channels: table 1 there, K = 2048 · 16.
WIDE = (2048, 2048, 16, 16)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A graph hypernetwork.

    * `classes`: of the networks whose last layer it predicts; `largest`: outputs, inputs, rows and columns of the
      largest tensor that it decodes; `width`: of its embeddings;
    * `messages`: "gnn" passes them along the graph, "graphormer" attends to all nodes in `layers` of `heads` (GHN-3,
      which also takes the middle of windows and not their upper left corner), "mlp" looks at each node alone;
    * `farthest`: nodes up to this distance send messages over virtual edges; 1 for none of these;
    * `doubled`: whether the nearest send over both kinds, as the published code has it, or over the first only, as
      equation 4 of the paper has it;
    * `rank`: of the two matrices whose product is a predicted tensor, as LoGAH has it; 0 for the decoder that tiles;
    * `layer_norm`, `normalised`: whether embeddings, and predicted parameters, are normalised.
    """

    classes: int = 10
    largest: tuple[int, int, int, int] = CIFAR
    width: int = 32
    messages: str = "gnn"
    layers: int = 1
    heads: int = 8
    farthest: int = FARTHEST
    doubled: bool = True
    rank: int = 0
    layer_norm: bool = True
    normalised: bool = True

    def __post_init__(self) -> None:
        if self.messages not in MESSAGES:
            raise UnknownName("kind of messages", self.messages, MESSAGES)
        if self.layers < 1 or self.heads < 1 or (self.messages == "graphormer" and self.width % self.heads):
            raise SpecError(
                f"The heads of a hypernetwork divide its width of {self.width}, but got heads={self.heads} and "
                f"layers={self.layers}."
            )
        if self.rank < 0:
            raise SpecError(f"The rank of a decoder is at least 1, or 0 for one that tiles, but got {self.rank}.")
        if self.classes < 1 or self.farthest < 1 or min(self.largest) < 1:
            raise SpecError(f"Classes, distances and shapes of a hypernetwork are at least 1, but got {self}.")
        if self.width < 4 or self.width % 4:
            raise SpecError(f"The width of a hypernetwork is a multiple of 4, but got {self.width}.")
        if self.largest[2] != self.largest[3] or self.largest[0] != self.largest[1]:
            raise SpecError(f"The largest tensor has as many rows as columns, and outputs as inputs: {self.largest}.")

    @classmethod
    def of(cls, kind: str, *, classes: int = 10, images: str = "cifar") -> Configuration:
        """A published one, by the name of its kind in any case, as in `KINDS`; for CIFAR or for ImageNet."""
        if kind.lower() not in KINDS:
            raise UnknownName("kind of hypernetwork", kind, KINDS)
        options = dict(KINDS[kind.lower()])
        largest = IMAGENET if images == "imagenet" else CIFAR
        if "width" in options and options.get("messages") == "graphormer":
            largest = (options["width"], options["width"], *largest[2:])
        if "rank" in options:
            largest = WIDE
        return cls(classes=classes, largest=largest, **options)

    @property
    def centred(self) -> bool:
        """Whether smaller windows are the middle of the largest one."""
        return self.messages == "graphormer"

    @property
    def virtual(self) -> bool:
        """Whether there are virtual edges."""
        return self.farthest > 1

    @classmethod
    def published(cls, written: Mapping[str, Any]) -> Configuration:
        """The one that a published checkpoint tells; SpecError for what is not supported."""
        try:
            if written.get("decoder", "conv") not in ("conv", "low_rank"):
                raise SpecError(f"Only convolutional decoders can be read, but this is {quoted(written['decoder'])}.")
            largest = tuple(int(side) for side in written["max_shape"])
            if len(largest) != 4:
                raise SpecError(f"The largest shape has four sides, but got {largest}.")
            return cls(
                classes=int(written["num_classes"]),
                largest=largest,
                width=int(written.get("hid", 32)),
                messages={"gatedgnn": "gnn"}.get(written.get("hypernet", "gatedgnn"), written.get("hypernet", "")),
                layers=int(written.get("layers", 1)),
                heads=int(written.get("heads", 8)),
                farthest=int(written.get("farthest", FARTHEST)) if written.get("ve") else 1,
                doubled=bool(written.get("doubled", True)),
                rank=int(written.get("rank", 0)),
                layer_norm=bool(written.get("layernorm")),
                normalised=bool(written.get("weight_norm")),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError(f"The configuration of a hypernetwork lacks something ({quoted(error)}).") from None

    def written(self) -> dict[str, Any]:
        """The same as published checkpoints have it, and the two switches that these leave at their defaults."""
        return {
            "max_shape": list(self.largest),
            "num_classes": self.classes,
            "hypernet": {"gnn": "gatedgnn"}.get(self.messages, self.messages),
            "decoder": "low_rank" if self.rank else "conv",
            "weight_norm": self.normalised,
            "ve": self.virtual,
            "layernorm": self.layer_norm,
            "hid": self.width,
            "farthest": self.farthest,
            "doubled": self.doubled,
            "layers": self.layers,
            "heads": self.heads,
            **({"rank": self.rank} if self.rank else {}),
        }

    @property
    def channels(self) -> npt.NDArray[np.int64]:
        """The numbers of channels that have embeddings of their own."""
        return _channels(self.classes)

    @property
    def sides(self) -> npt.NDArray[np.int64]:
        """The sides of windows that have."""
        return _sides(self.largest[3])

    def places(self, shapes: Sequence[tuple[int, ...]]) -> npt.NDArray[np.int64]:
        """For each shape of a tensor the places of its four sides among the embeddings, (N, 4); nearest if unseen."""
        channels, sides = _nearest_channels(self.classes), _nearest_sides(self.largest[3])
        found = np.empty((len(shapes), 4), np.int64)
        found[:] = (len(self.channels), len(self.channels), len(self.sides), len(self.sides))
        for row, shape in enumerate(shapes):
            if shape:
                four = four_sides(shape)
                found[row, :2] = channels[np.minimum(four[:2], len(channels) - 1)]
                found[row, 2:] = sides[np.minimum(four[2:], len(sides) - 1)]
        return found


MESSAGES = ("gnn", "graphormer", "mlp")
KINDS: dict[str, dict[str, Any]] = {
    "ghn2": {},
    "ghn1": {"farthest": 1, "layer_norm": False, "normalised": False},
    "mlp": {"messages": "mlp"},
    # SamsungSAILMontreal/ghn3, ghn3/nn.py
    "ghn3-t": {"messages": "graphormer", "width": 64, "layers": 3, "heads": 8},
    "ghn3-s": {"messages": "graphormer", "width": 128, "layers": 5, "heads": 16},
    "ghn3-l": {"messages": "graphormer", "width": 256, "layers": 12, "heads": 16},
    "ghn3-xl": {"messages": "graphormer", "width": 384, "layers": 24, "heads": 16},
    # Zhou et al., LoGAH, table 1
    "logah-t": {"messages": "graphormer", "width": 64, "layers": 3, "heads": 8, "rank": 32},
    "logah-s": {"messages": "graphormer", "width": 128, "layers": 5, "heads": 16, "rank": 90},
    "logah-b": {"messages": "graphormer", "width": 256, "layers": 5, "heads": 16, "rank": 128},
    "logah-l": {"messages": "graphormer", "width": 256, "layers": 12, "heads": 16, "rank": 256},
}


def four_sides(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Outputs, inputs, rows and columns of a tensor, as it is looked up; ghn/layers.py."""
    if len(shape) == 3 and shape[0] == 1 and min(shape[1:]) > 1:  # positions of tokens, as on a square
        side = int(shape[1] ** 0.5)
        return 1, shape[2], side, side
    padded = (*shape, 1, 1, 1, 1)
    return padded[0], padded[1], padded[2], padded[3]


@functools.cache
def _channels(classes: int) -> npt.NDArray[np.int64]:
    steps = (*range(8, 64, 8), *range(64, 4096, 16), *range(4096, 8193, 32))
    return np.unique([1, 3, classes, *steps]).astype(np.int64)


@functools.cache
def _sides(largest: int) -> npt.NDArray[np.int64]:
    return np.unique([*range(1, max(12, largest), 2), 14, 16]).astype(np.int64)


@functools.cache
def _nearest_channels(classes: int) -> npt.NDArray[np.int64]:
    known = _channels(classes)
    nearest = _nearest(known)
    for few in range(4, 8):  # of few channels, there are as many as 8
        if few not in known:
            nearest[few] = int(np.flatnonzero(known == 8)[0])
    return nearest


@functools.cache
def _nearest_sides(largest: int) -> npt.NDArray[np.int64]:
    known = _sides(largest)
    nearest = _nearest(known)
    nearest[2] = int(np.flatnonzero(known == 3)[0])  # 2×2 counts as 3×3
    return nearest


def _nearest(known: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The place of the nearest known number for each number up to the largest, the lower one of two."""
    found: npt.NDArray[np.int64] = np.abs(known[None] - np.arange(known[-1] + 1)[:, None]).argmin(axis=1)
    return found

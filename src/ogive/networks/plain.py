"""Plain: what a task adds to the files in which its networks are taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ogive.networks.source import Import

__all__ = ["Entry", "Inputs", "Plain"]

Inputs = tuple[Tensor, ...]  # what a network takes in one call; its outputs alike


def _apart(found: Inputs, expected: Inputs) -> float:
    """The largest difference of two numbers in one place."""
    return max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What a file without source holds before a network, so that it takes inputs as they were read.

    `before` makes of these what the network takes, and `given` the reverse, about; `facts` say what the file takes.
    """

    before: nn.Module
    given: Callable[[Inputs], Inputs]
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plain:
    """What NAME.py says and does beside its network, and what every exported file is compared on.

    `takes`: what the network reads, as part of a sentence, with a comma at the end; `usage`: lines with NAME for the
    file's own name; `constants` and `functions` (the last one is main()) as source, and the `imports` of both.
    `facts`: what a reader of a file without source is told. `inputs` and `outputs`: what these are called; the first
    output has the `axes` of the first input, and then as many numbers as classes, `width`, where these have names, or
    the `shape` that it is told to have.
    `traced`: whether formats can be made that follow a batch through the network; the first axis of every input is then
    of any length.

    `whole` makes what is taken away of a network: by default itself, else with what makes answers of its outputs.
    `difference` is how far two answers to one question are apart.
    `entries` are what a graph for ONNX may hold before the network: "numbers", which is usual, and "bytes".
    `drawn` makes random inputs of some size, and `real` are real ones: what a file is given, and what the network was
    given for the same. `beside` are more files of every format, texts by their names, from NAME. `keep` writes into a
    folder what the files can be tried on.
    """

    takes: str
    usage: str
    constants: str
    functions: tuple[str, ...]
    imports: frozenset[Import] = frozenset()
    facts: Mapping[str, object] = field(default_factory=dict)
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ("logits",)
    axes: tuple[str, ...] = ("N",)
    width: int | None = None
    shape: tuple[int, ...] | None = None
    traced: bool = True
    whole: Callable[[nn.Module], nn.Module] = lambda network: network
    difference: Callable[[Inputs, Inputs], float] = _apart
    entries: Mapping[str, Entry] = field(default_factory=dict)
    drawn: Callable[[int, torch.Generator], Inputs]
    real: Sequence[tuple[Inputs, Inputs]] = ()
    beside: Callable[[str], Mapping[str, str]] = lambda name: {}
    keep: Callable[[Path], None] = lambda folder: None

"""Small networks that read sentences: convolutions over words (Kim, EMNLP 2014), and transformers.

Both begin with a vector for each word. ``textcnn`` then has convolutions of several widths side by side,
``transformer`` layers of attention; the text forms are ``64 3-4-5 64 max 0.25`` and ``64 2 4 2 mean 0.1``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, quoted
from ogive.core.graph import Graph, Sketch
from ogive.core.space import Choice, SearchSpace

__all__ = ["SENTENCES", "TEXTCNN", "TRANSFORMER", "Attentive", "Convolutional", "attentive_of", "convolutional_of"]
__all__ += ["textcnn", "transformer"]

TEXTCNN, TRANSFORMER = "textcnn", "transformer"
SENTENCES = (TEXTCNN, TRANSFORMER)
WIDTHS = ("16", "32", "64", "128")
KERNELS = ("3", "5", "3-4-5", "2-3-4-5")
POOLINGS = ("max", "mean")
DROPOUTS = ("0", "0.1", "0.25", "0.5")


@dataclass(frozen=True, slots=True)
class Convolutional:
    """Convolutions over words: the size of a word's vector, the widths of kernels, how many of each, what follows."""

    width: int
    kernels: tuple[int, ...]
    channels: int
    pooling: str
    dropout: float


@dataclass(frozen=True, slots=True)
class Attentive:
    """A transformer: the size of a word's vector, layers, heads, how much wider the inner layer is, what follows."""

    width: int
    layers: int
    heads: int
    expansion: int
    pooling: str
    dropout: float


@functools.cache
def textcnn() -> SearchSpace:
    """The space of 512 small convolutional networks for sentences: kernels of several widths side by side."""
    variables = (
        Choice("width", WIDTHS),
        Choice("kernels", KERNELS),
        Choice("channels", WIDTHS),
        Choice("pooling", POOLINGS),
        Choice("dropout", DROPOUTS),
    )
    return _space(TEXTCNN, variables, _draw_convolutional)


@functools.cache
def transformer() -> SearchSpace:
    """The space of 1,152 small transformers for sentences."""
    variables = (
        Choice("width", WIDTHS),
        Choice("layers", ("1", "2", "3", "4")),
        Choice("heads", ("1", "2", "4")),
        Choice("expansion", ("1", "2", "4")),
        Choice("pooling", POOLINGS),
        Choice("dropout", DROPOUTS),
    )
    return _space(TRANSFORMER, variables, _draw_attentive)


def _space(name: str, variables: tuple[Choice, ...], draw: functools.partial[Graph] | object) -> SearchSpace:
    read = functools.partial(_read, name, variables)
    write = functools.partial(_write, variables)
    about = {"tasks": ("classification",), "inputs": ("sentences",)}
    return SearchSpace(name=name, variables=variables, draw=draw, read=read, write=write, **about)  # type: ignore[arg-type]


def _words(variables: Sequence[Choice], arch: Architecture) -> list[str]:
    return [str(variable.options[int(choice)]) for variable, choice in zip(variables, arch.choices, strict=True)]


def _write(variables: tuple[Choice, ...], arch: Architecture) -> str:
    return " ".join(_words(variables, arch))


def _read(name: str, variables: tuple[Choice, ...], text: str) -> Architecture:
    words = text.split()
    if len(words) == len(variables) and all(w in v.options for w, v in zip(words, variables, strict=True)):
        return Architecture(name, tuple(v.options.index(w) for w, v in zip(words, variables, strict=True)))
    wanted = ", ".join(f"{variable.name} {'|'.join(map(str, variable.options))}" for variable in variables)
    raise InvalidArchitecture(f"A network of {name} is written as {wanted}, in this order; got {quoted(text)}.")


def convolutional_of(arch: Architecture) -> Convolutional:
    """The network of an architecture of textcnn."""
    width, kernels, channels, pooling, dropout = _words(_choices(textcnn()), arch)
    return Convolutional(int(width), tuple(map(int, kernels.split("-"))), int(channels), pooling, float(dropout))


def attentive_of(arch: Architecture) -> Attentive:
    """The network of an architecture of transformer."""
    width, layers, heads, expansion, pooling, dropout = _words(_choices(transformer()), arch)
    return Attentive(int(width), int(layers), int(heads), int(expansion), pooling, float(dropout))


def _choices(space: SearchSpace) -> list[Choice]:
    return [variable for variable in space.variables if isinstance(variable, Choice)]


def _draw_convolutional(arch: Architecture) -> Graph:
    found, sketch = convolutional_of(arch), Sketch()
    words = sketch.node(f"linear_{found.width}", 0)
    read = [sketch.node(f"conv_{kernel}", words) for kernel in found.kernels]
    pooled = [sketch.node(f"{found.pooling}_pool", each) for each in read]
    joined = pooled[0] if len(pooled) == 1 else sketch.node("concat", *pooled)
    return _ended(sketch, joined, found.dropout)


def _draw_attentive(arch: Architecture) -> Graph:
    found, sketch = attentive_of(arch), Sketch()
    x = sketch.node(f"linear_{found.width}", 0)
    for _ in range(found.layers):
        x = sketch.node("add", x, sketch.node(f"attention_{found.heads}", x))
        x = sketch.node("add", x, sketch.node(f"linear_{found.expansion * found.width}", x))
    return _ended(sketch, sketch.node(f"{found.pooling}_pool", x), found.dropout)


def _ended(sketch: Sketch, x: int, dropout: float) -> Graph:
    x = sketch.node(f"dropout_{dropout:g}", x) if dropout else x
    sketch.node("output", sketch.node("linear", x))
    return sketch.graph()

"""Generators of networks: what is searched is the few hyper-parameters of a distribution, not one network.

Ru et al., "Neural Architecture Generator Optimization", NeurIPS 2020, section 3. A network of `hnag` is a graph of
cells (Watts and Strogatz), each a graph of groups (Erdős and Rényi), each a graph of operations (Watts and Strogatz);
`draw` says which of its networks stands for a generator. `rnag_ws`, `rnag_er` and `rnag_ba` are the flat random graphs
of Xie et al., ICCV 2019: three stages in a row. Numbers of nodes and neighbours are options in their order.
The text form is ``parameters=4000000 N_t=5 K_t=3 P_t=0.5 N_m=3 P_m=0.6 N_b=4 K_b=2 P_b=0.5 draw=7``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, quoted
from ogive.core.graph import Graph
from ogive.core.space import Choice, Draw, Fixed, Real, SearchSpace, Variable
from ogive.spaces.hnag_graph import MERGES, OPS, Drawn, Generator, Level, drawn

__all__ = [
    "BUDGET",
    "HNAG",
    "drawn_of",
    "generator_of",
    "generator_space",
    "hnag",
    "hnag_darts",
    "hnag_ops",
    "hnag_ratios",
    "rnag_ba",
    "rnag_er",
    "rnag_ws",
]

BUDGET = 4_000_000  # NAGO, section 4: of images of CIFAR; 6,000,000 of larger ones
LEAST, MOST = 1_000, 1_000_000_000
# So many networks of a generator are told apart.
DRAWS = 1_000

Values = Mapping[str, float]


def _options(first: int, last: int) -> tuple[str, ...]:
    return tuple(map(str, range(first, last + 1)))


NODES, NEIGHBOURS, PROBABILITY = _options(3, 10), _options(2, 5), (0.1, 0.9)  # NAGO, section 3
GROUPS = _options(1, 10)  # the same; the published configuration begins at 3, so that what was found best is not in it
_BOTTOM = (Choice("N_b", NODES), Choice("K_b", NEIGHBOURS), Real("P_b", *PROBABILITY))
_EIGHT = (
    Choice("N_t", NODES),
    Choice("K_t", NEIGHBOURS),
    Real("P_t", *PROBABILITY),
    Choice("N_m", GROUPS),
    Real("P_m", *PROBABILITY),
    *_BOTTOM,
)
_WEIGHTS = (*(f"merge_{name}" for name in MERGES), *(f"op_{name}" for name in OPS))
_STAGES = tuple(f"stage_{place}" for place in range(3))
_CHANNELS = tuple(f"channels_{place}" for place in range(3))
_FLAT = Choice("N", _options(10, 40))  # 30 to 120 nodes in three stages
_JOINING = Choice("K", _options(1, 8))
_RING = Choice("K", _options(2, 8))
_WIRED = Real("P", *PROBABILITY)

_VARIABLES: Mapping[str, tuple[Variable, ...]] = {
    "hnag": _EIGHT,
    # NAGO, section 4.4, has 15 and 14 of them; how these are divided, and their ranges, are ours.
    "hnag_ops": (*_EIGHT, *(Real(name, 0.0, 1.0) for name in _WEIGHTS)),
    "hnag_ratios": (*_EIGHT, *(Real(n, 0.1, 1.0) for n in _STAGES), *(Real(n, 1.0, 4.0) for n in _CHANNELS)),
    "hnag_darts": _BOTTOM,
    "rnag_ws": (_FLAT, _RING, _WIRED),
    "rnag_er": (_FLAT, _WIRED),
    "rnag_ba": (_FLAT, _JOINING),
}
HNAG = tuple(_VARIABLES)


def hnag(*, parameters: int = BUDGET) -> SearchSpace:
    """The space of 8 hyper-parameters; networks have as many `parameters` as fit the budget, all of them counted."""
    return generator_space("hnag", parameters)


def hnag_ops(*, parameters: int = BUDGET) -> SearchSpace:
    """The same with weights of three ways to merge and of four operations: 15 hyper-parameters."""
    return generator_space("hnag_ops", parameters)


def hnag_ratios(*, parameters: int = BUDGET) -> SearchSpace:
    """The same with shares of cells and ratios of widths of the three stages: 14 hyper-parameters."""
    return generator_space("hnag_ratios", parameters)


def hnag_darts(*, parameters: int = BUDGET) -> SearchSpace:
    """The subspace that is like DARTS: 20 cells in a row, each one random graph of operations."""
    return generator_space("hnag_darts", parameters)


def rnag_ws(*, parameters: int = BUDGET) -> SearchSpace:
    """Three stages in a row, each one graph of Watts and Strogatz; Xie et al. use 32 nodes, K = 4 and P = 0.75."""
    return generator_space("rnag_ws", parameters)


def rnag_er(*, parameters: int = BUDGET) -> SearchSpace:
    """Three stages in a row, each one graph of Erdős and Rényi."""
    return generator_space("rnag_er", parameters)


def rnag_ba(*, parameters: int = BUDGET) -> SearchSpace:
    """Three stages in a row, each one graph of Barabási and Albert, with K edges for each node that joins."""
    return generator_space("rnag_ba", parameters)


@functools.cache
def generator_space(name: str, parameters: int = BUDGET) -> SearchSpace:
    """The space of this name; SpecError for a budget that is none."""
    if isinstance(parameters, bool) or not LEAST <= parameters <= MOST:
        raise SpecError(f"A budget of {LEAST:,} to {MOST:,} parameters is needed, but got parameters={parameters}.")
    variables = (Fixed("parameters", parameters, LEAST, MOST), *_VARIABLES[name], Draw("draw", DRAWS))
    return SearchSpace(name=name, variables=variables, draw=draw, read=functools.partial(read, space=name), write=write)


def generator_of(arch: Architecture) -> Generator:
    """The generator that an architecture is a network of."""
    values = _values(arch)
    made: Mapping[str, Callable[[Values], Generator]] = {"hnag_darts": _like_darts}
    if arch.space.startswith("rnag_"):
        return _flat(arch.space.removeprefix("rnag_"), values)
    return made.get(arch.space, _nested)(values)


def drawn_of(arch: Architecture) -> Drawn:
    """The network of an architecture, as steps."""
    return drawn(generator_of(arch), int(arch.choices[-1]))


def draw(arch: Architecture) -> Graph:
    """The operations of the network and how values are merged; the input is that of the first stage."""
    steps = drawn_of(arch).steps
    ops = ("input", *(step.op for step in steps), "output")
    edges = {(source, place) for place, step in enumerate(steps, 1) for source in step.sources}
    return Graph(ops, frozenset(edges | {(len(steps), len(steps) + 1)}))


def read(text: str, *, space: str) -> Architecture:
    """The architecture of a text such as ``parameters=4000000 N=32 K=4 P=0.75 draw=0``."""
    variables = generator_space(space, BUDGET).variables
    said = dict(word.partition("=")[::2] for word in text.split())
    try:
        if said.keys() != {variable.name for variable in variables}:
            raise ValueError
        return Architecture(space, tuple(_choice(variable, said[variable.name]) for variable in variables))
    except ValueError:
        example = write(generator_space(space, BUDGET).check(tuple(map(_lowest, variables))))
        raise InvalidArchitecture(f"A network of {space} is written like {example}; got {quoted(text)}.") from None


def write(arch: Architecture) -> str:
    """All hyper-parameters by their names."""
    pairs = zip(generator_space(arch.space, BUDGET).variables, arch.choices, strict=True)
    return " ".join(f"{v.name}={v.options[int(x)] if isinstance(v, Choice) else repr(x)}" for v, x in pairs)


def _choice(variable: Variable, text: str) -> int | float:
    if isinstance(variable, Choice):
        return variable.options.index(text)
    return float(text) if isinstance(variable, Real) else int(text)


def _lowest(variable: Variable) -> int | float:
    if isinstance(variable, Fixed):
        return variable.value
    return variable.low if isinstance(variable, Real) else 0


def _values(arch: Architecture) -> Values:
    """The hyper-parameters by their names, options as the numbers that they are."""
    pairs = zip(generator_space(arch.space, BUDGET).variables, arch.choices, strict=True)
    return {v.name: float(v.options[int(x)]) if isinstance(v, Choice) else float(x) for v, x in pairs}


def _nested(values: Values) -> Generator:
    ratios = {
        field: tuple(values[name] for name in names)
        for field, names in (
            ("stages", _STAGES),
            ("channels", _CHANNELS),
            ("merges", _WEIGHTS[: len(MERGES)]),
            ("ops", _WEIGHTS[len(MERGES) :]),
        )
        if names[0] in values
    }
    top = Level("ws", int(values["N_t"]), int(values["K_t"]), values["P_t"])
    middle = Level("er", int(values["N_m"]), probability=values["P_m"])
    return Generator(top, middle, _bottom(values), **ratios)


def _bottom(values: Values) -> Level:
    return Level("ws", int(values["N_b"]), int(values["K_b"]), values["P_b"])


def _like_darts(values: Values) -> Generator:
    return Generator(Level("chain", 20), Level("er", 1), _bottom(values))  # README of rubinxin/vega_NAGO


def _flat(kind: str, values: Values) -> Generator:
    nodes, neighbours, probability = int(values["N"]), int(values.get("K", 0)), values.get("P", 0.0)
    level = {
        "ws": Level("ws", nodes, neighbours, probability),
        "er": Level("er", nodes, probability=probability),
        "ba": Level("ba", nodes, neighbours),
    }[kind]
    return Generator(Level("chain", 3), Level("er", 1), level)

"""The five cell spaces of NDS: a normal and a reduction cell as in NASNet, AmoebaNet, PNAS, ENAS or DARTS, and a size.

Radosavovic et al., "On Network Design Spaces for Visual Recognition", ICCV 2019. In each of them a node adds
two operations, each on any earlier state; both may be the same operation on the same state. The spaces differ in the
operations (those of pycls, models/nas/genotypes.py), in the number of nodes, and in the output of a cell, which joins
all nodes or only the loose ones, which no other node reads.

A network has a depth (cells) and a width (channels of the first ones) as well. A sample draws widths of 16, 24 and 32
and depths of 4 to 20 unless told otherwise; the larger ones are for networks for ImageNet, and 36 and 48 for those
that DARTS published. Which sizes the authors used was not checked in the paper: take the lists as an open range, to
which a record of another size may have to be added. That the output of a cell of ENAS joins the loose nodes was not
checked either; a published record of AmoebaNet and published cells of NASNet, PNAS and DARTS agree with the rules here.

The published text form of a network is the object `net` of a record of the published files.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, nearest, quoted, shortened
from ogive.core.graph import Graph, Sketch
from ogive.core.space import Choice, SearchSpace
from ogive.spaces.darts import KINDS, Cell, Kind, addends, append_cells
from ogive.spaces.darts import OPS as DARTS_OPS
from ogive.spaces.notation import entries_of
from ogive.spaces.restricted import RestrictedSpace
from ogive.spaces.sequences import PlaceForm, pair_form

__all__ = [
    "DEPTHS",
    "FAMILIES",
    "WIDTHS",
    "Family",
    "architecture",
    "cell_of",
    "concat_of",
    "nds_amoeba",
    "nds_darts",
    "nds_enas",
    "nds_nasnet",
    "nds_pnas",
    "read_net",
    "size_of",
    "whole",
]

WIDTHS = (16, 24, 32, 36, 48, 64, 80, 96)
DEPTHS = (4, 6, 8, 10, 12, 14, 16, 18, 20, 22)
CIFAR_WIDTHS = (16, 24, 32)
CIFAR_DEPTHS = (4, 8, 12, 16, 20)

# Longer than the text of any network; the parser of the standard library may fail badly on enormous input.
LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class Family:
    """What the cells of one space are made of; `joins_all` says whether a cell's output joins nodes that are read."""

    name: str
    ops: tuple[str, ...]
    nodes: int
    joins_all: bool


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "nds_nasnet",
            (
                "skip_connect", "conv_3x1_1x3", "conv_7x1_1x7", "dil_conv_3x3", "avg_pool_3x3", "max_pool_3x3",
                "max_pool_5x5", "max_pool_7x7", "conv_1x1", "conv_3x3", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7",
            ),
            nodes=5,
            joins_all=False,
        ),
        Family(
            "nds_amoeba",
            (
                "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "avg_pool_3x3", "max_pool_3x3",
                "dil_sep_conv_3x3", "conv_7x1_1x7",
            ),
            nodes=5,
            joins_all=False,
        ),
        Family(
            "nds_pnas",
            (
                "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_7x1_1x7", "skip_connect", "avg_pool_3x3",
                "max_pool_3x3", "dil_conv_3x3",
            ),
            nodes=5,
            joins_all=True,
        ),
        Family(
            "nds_enas",
            ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"),
            nodes=5,
            joins_all=False,
        ),
        Family("nds_darts", DARTS_OPS, nodes=4, joins_all=True),
    )
}  # fmt: skip


def nds_nasnet(*, widths: tuple[int, ...] = CIFAR_WIDTHS, depths: tuple[int, ...] = CIFAR_DEPTHS) -> SearchSpace:
    """Cells of NASNet: 13 operations, 5 nodes, of which the output joins the loose ones."""
    return _space("nds_nasnet", widths, depths)


def nds_amoeba(*, widths: tuple[int, ...] = CIFAR_WIDTHS, depths: tuple[int, ...] = CIFAR_DEPTHS) -> SearchSpace:
    """Cells of AmoebaNet: 8 operations, 5 nodes, of which the output joins the loose ones."""
    return _space("nds_amoeba", widths, depths)


def nds_pnas(*, widths: tuple[int, ...] = CIFAR_WIDTHS, depths: tuple[int, ...] = CIFAR_DEPTHS) -> SearchSpace:
    """Cells of PNAS: 8 operations, 5 nodes, all of which the output joins."""
    return _space("nds_pnas", widths, depths)


def nds_enas(*, widths: tuple[int, ...] = CIFAR_WIDTHS, depths: tuple[int, ...] = CIFAR_DEPTHS) -> SearchSpace:
    """Cells of ENAS: 5 operations, 5 nodes, of which the output joins the loose ones."""
    return _space("nds_enas", widths, depths)


def nds_darts(*, widths: tuple[int, ...] = CIFAR_WIDTHS, depths: tuple[int, ...] = CIFAR_DEPTHS) -> SearchSpace:
    """Cells of DARTS as NDS draws them: 8 operations, `none` included, 4 nodes, all of which the output joins."""
    return _space("nds_darts", widths, depths)


def whole(name: str) -> SearchSpace:
    """The space of all widths and depths, which is what tables may hold and networks can be built of."""
    return _space(name, WIDTHS, DEPTHS)


# -- what an architecture is ------------------------------------------------------------------------------------------


def cell_of(arch: Architecture, kind: Kind) -> Cell:
    """The (operation, state) entries of one cell, two for each node, in the order of the record."""
    family = FAMILIES[arch.space]
    start = KINDS.index(kind) * 4 * family.nodes
    choices = [int(choice) for choice in arch.choices[start : start + 4 * family.nodes]]
    return tuple((family.ops[op], state) for op, state in zip(choices[::2], choices[1::2], strict=True))


def concat_of(arch: Architecture, kind: Kind) -> tuple[int, ...]:
    """The states that make the output of one cell."""
    return _joined(FAMILIES[arch.space], cell_of(arch, kind))


def size_of(arch: Architecture) -> tuple[int, int]:
    """Width and depth."""
    depth, width = arch.choices[-2:]
    return WIDTHS[int(width)], DEPTHS[int(depth)]


def architecture(name: str, normal: Cell, reduce: Cell, *, width: int, depth: int) -> Architecture:
    """The architecture of two cells and a size; InvalidArchitecture if the space has none."""
    family = FAMILIES[name]
    choices = [*_choices(family, "normal", normal), *_choices(family, "reduce", reduce)]
    for field, value, known in (("depth", depth, DEPTHS), ("width", width, WIDTHS)):
        if type(value) is not int or value not in known:
            raise InvalidArchitecture(f"{field}: networks of {name} have one of {_listed(known)}; got {quoted(value)}.")
        choices.append(known.index(value))
    return Architecture(name, tuple(choices))


def _joined(family: Family, cell: Cell) -> tuple[int, ...]:
    read = set() if family.joins_all else {state for _, state in cell}
    return tuple(node for node in range(2, 2 + family.nodes) if node not in read)


def _choices(family: Family, kind: Kind, cell: Cell) -> list[int]:
    if len(cell) != 2 * family.nodes:
        raise InvalidArchitecture(
            f"genotype.{kind}: a cell of {family.name} has {2 * family.nodes} entries; got {len(cell)}."
        )
    choices = []
    for place, (op, state) in enumerate(cell):
        earlier = 2 + place // 2
        if op not in family.ops:
            raise InvalidArchitecture(
                f"genotype.{kind}[{place}]: {quoted(op)} is no operation of {family.name}. {nearest(op, family.ops)}"
            )
        if not 0 <= state < earlier:
            raise InvalidArchitecture(
                f"genotype.{kind}[{place}]: node {earlier} reads states 0..{earlier - 1}; got {state}."
            )
        choices += [family.ops.index(op), state]
    return choices


# -- spaces -----------------------------------------------------------------------------------------------------------


@functools.cache
def _space(name: str, widths: tuple[int, ...], depths: tuple[int, ...]) -> SearchSpace:
    for field, values, known in (("widths", widths, WIDTHS), ("depths", depths, DEPTHS)):
        if not values or not set(values) <= set(known) or len(set(values)) < len(values):
            raise SpecError(f"The {field} of {name} are some of {_listed(known)}; got {list(values)}.")
    family = FAMILIES[name]
    cells = 1
    for node in range(family.nodes):
        cells *= (len(family.ops) * (2 + node)) ** 2
    variables = _variables(family)
    sizes = tuple(map(DEPTHS.index, depths)), tuple(map(WIDTHS.index, widths))
    return RestrictedSpace(
        name=name,
        variables=variables,
        draw=draw,
        is_legal=functools.partial(_of_size, *sizes),
        count=cells**2 * len(depths) * len(widths),
        read=functools.partial(read, name),
        write=write,
        tokens=_tokens(family, *sizes),
        offered=(*(tuple(range(len(variable.options))) for variable in variables[:-2]), *sizes),
    )


def _tokens(family: Family, depths: tuple[int, ...], widths: tuple[int, ...]) -> PlaceForm:
    """For each addend of each node the state that it reads and its operation; depth and width, if there are several.

    One size of `nds_enas` has 40 tokens of 12, as in section 3.1 of "Neural Architecture Optimization".
    """
    states = [range(2 + node) for _ in KINDS for node in range(family.nodes) for _ in range(2)]
    nodes = [(first, first + 2) for first in range(0, 8 * family.nodes, 4)]
    several = len(depths) * len(widths) > 1
    form = pair_form(
        states,
        len(family.ops),
        values=functools.partial(_values, depths, widths, several),
        architecture=functools.partial(_of_values, family.name, depths, widths),
        cells=(tuple(nodes[: family.nodes]), tuple(nodes[family.nodes :])),
    )
    if not several:
        return form
    starts = (*form.starts, form.vocabulary, form.vocabulary + len(depths))
    return replace(form, starts=starts, counts=(*form.counts, len(depths), len(widths)))


def _values(depths: tuple[int, ...], widths: tuple[int, ...], several: bool, arch: Architecture) -> list[int | float]:
    *cells, depth, width = arch.choices
    if not _of_size(depths, widths, arch.choices):
        raise InvalidArchitecture(f"{arch} has another size than the networks whose sequences were asked for.")
    swapped = [value for op, state in zip(cells[::2], cells[1::2], strict=True) for value in (state, op)]
    return [*swapped, depths.index(int(depth)), widths.index(int(width))] if several else swapped


def _of_values(name: str, depths: tuple[int, ...], widths: tuple[int, ...], values: Sequence[int]) -> Architecture:
    *cells, depth, width = values if len(values) % 4 else (*values, 0, 0)
    swapped = [value for state, op in zip(cells[::2], cells[1::2], strict=True) for value in (op, state)]
    return Architecture(name, (*swapped, depths[depth], widths[width]))


def _of_size(depths: tuple[int, ...], widths: tuple[int, ...], choices: tuple[int | float, ...]) -> bool:
    return choices[-2] in depths and choices[-1] in widths


def _variables(family: Family) -> tuple[Choice, ...]:
    return (
        *(
            variable
            for kind in KINDS
            for node in range(2, 2 + family.nodes)
            for side in ("first", "second")
            for variable in (
                Choice(f"{kind}.{node}.{side}.op", family.ops),
                Choice(f"{kind}.{node}.{side}.state", tuple(map(str, range(node)))),
            )
        ),
        # Last, so that those of a restricted space come early when it is listed.
        Choice("depth", tuple(map(str, DEPTHS))),
        Choice("width", tuple(map(str, WIDTHS))),
    )


def draw(arch: Architecture) -> Graph:
    """A stem, one normal and one reduction cell as in the picture of `darts`, and how many cells are stacked.

    The width stands in the label of the stem ("stem_16"), the depth in that of the node before the output ("stack_20").
    """
    width, depth = size_of(arch)
    sketch = Sketch()
    cells = ((addends(cell_of(arch, kind)), concat_of(arch, kind)) for kind in KINDS)
    last = append_cells(cells, sketch, sketch.node(f"stem_{width}", 0))
    sketch.node("output", sketch.node(f"stack_{depth}", last))
    return sketch.graph()


# -- text -------------------------------------------------------------------------------------------------------------


def read(name: str, text: str) -> Architecture:
    """The network of ``{"depth": 8, "width": 16, "genotype": {"normal": [["sep_conv_3x3", 0], ...], ...}}``."""
    return read_net(name, parsed(name, text))


def parsed(name: str, text: str) -> object:
    """JSON that a user wrote; InvalidArchitecture if it is none."""
    try:
        if len(text) > LONGEST:
            raise ValueError(f"longer than {LONGEST} characters")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArchitecture(
            f"A network of {name} is written as the object `net` of the published files; cannot read "
            f"{shortened(text)!r}: {error}."
        ) from None


def write(arch: Architecture) -> str:
    """The published object of a network, on one line."""
    width, depth = size_of(arch)
    genotype: dict[str, object] = {}
    for kind in KINDS:
        genotype[kind] = cell_of(arch, kind)
        genotype[f"{kind}_concat"] = concat_of(arch, kind)
    return json.dumps({"depth": depth, "width": width, "genotype": genotype})


def read_net(name: str, net: object) -> Architecture:
    """The architecture of the object `net` of a record; InvalidArchitecture names the field that cannot be right.

    How a network was trained (`aux`, `drop_prob`) is no part of its architecture.
    """
    if not isinstance(net, Mapping) or not isinstance(net.get("genotype"), Mapping):
        raise InvalidArchitecture(f"A network of {name} has a genotype of two cells; got {shortened(repr(net), 60)}.")
    genotype = net["genotype"]
    cells = {kind: _entries(kind, genotype.get(kind)) for kind in KINDS}
    arch = architecture(name, cells["normal"], cells["reduce"], width=net.get("width"), depth=net.get("depth"))  # type: ignore[arg-type]  # checked there
    for kind in KINDS:
        given, joined = genotype.get(f"{kind}_concat"), concat_of(arch, kind)
        # Another order of the states is the same network but for the order of its channels.
        if not isinstance(given, list) or sorted(map(repr, given)) != sorted(map(repr, joined)):
            rule = "all nodes" if FAMILIES[name].joins_all else "the nodes that no other reads"
            raise InvalidArchitecture(
                f"genotype.{kind}_concat: cells of {name} join {rule}, which are {list(joined)}; got "
                f"{shortened(repr(given), 60)}."
            )
    return arch


def _entries(kind: Kind, value: object) -> Cell:
    entries = entries_of(value)
    if entries is None:
        raise InvalidArchitecture(
            f"genotype.{kind}: a cell is a list of pairs [operation, state]; got {shortened(repr(value), 60)}."
        )
    return entries


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))

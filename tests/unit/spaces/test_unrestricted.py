from __future__ import annotations

import itertools

import numpy as np
import pytest

from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.spaces.darts import darts
from ogive.spaces.ddarts import dartopti, ddarts
from ogive.spaces.handcrafted import HANDCRAFTED
from ogive.spaces.nested import Entry, NestedGenotype, read_nested, without_orphans, write_nested
from ogive.spaces.unrestricted import (
    HELD,
    _legal_cells,
    dartopti_from,
    ddarts_dense,
    outline_of,
    outline_of_architecture,
)


@pytest.mark.parametrize("name", HANDCRAFTED)
def test_a_handcrafted_network_is_an_architecture_of_its_own_space(name: str) -> None:
    space = dartopti_from(network=name)
    outline = outline_of(space)
    arch = space.admit(outline.architecture(HANDCRAFTED[name]))
    found = outline.genotype(arch)
    assert [set(cell) for cell in found.cells] == [set(cell) for cell in HANDCRAFTED[name].cells]
    assert (found.layers, found.reductions) == (HANDCRAFTED[name].layers, HANDCRAFTED[name].reductions)
    assert space.parse(write_nested(HANDCRAFTED[name])) == arch == space.parse(space.format(arch))
    assert outline_of_architecture(arch) == outline
    assert space.draw(arch).ops.count("concat") == len(found.layers)


def test_an_architecture_of_ddarts_is_one_of_the_dense_space_too() -> None:
    arch = ddarts(cells=5).sample(np.random.default_rng(0))
    genotype = outline_of(ddarts(distinct=5)).genotype(arch)
    dense = outline_of(ddarts_dense(cells=5))
    other = ddarts_dense(distinct=5).admit(dense.architecture(genotype))
    assert [set(cell) for cell in dense.genotype(other).cells] == [set(cell) for cell in genotype.cells]


def test_cells_of_one_operation_and_one_node_are_counted_as_they_are_listed() -> None:
    for operations, nodes in ((1, 1), (1, 2), (2, 2), (1, 3)):
        slots = [(op, node, state) for node in range(2, 2 + nodes) for state in range(node) for op in range(operations)]
        legal = 0
        for held in itertools.product((False, True), repeat=len(slots)):
            cell = [Entry(str(op), node, state) for (op, node, state), one in zip(slots, held, strict=True) if one]
            legal += bool(cell) and len(without_orphans(cell)) == len(cell)
        assert legal == _legal_cells(operations, nodes)


def test_what_reads_a_node_without_input_is_not_legal() -> None:
    space = ddarts_dense(cells=1)
    choices = [1 - HELD] * len(space.variables)
    assert not space.is_legal(tuple(choices))
    places = {variable.name: place for place, variable in enumerate(space.variables)}
    choices[places["0.3.2.skip_connect"]] = HELD
    assert not space.is_legal(tuple(choices))
    choices[places["0.2.0.max_pool_3x3"]] = HELD
    assert space.is_legal(tuple(choices))


def test_bad_input_is_refused_with_its_reason() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'resnet18'"):
        dartopti_from(network="resnet81")
    with pytest.raises(SpecError, match="at least one distinct cell"):
        ddarts_dense(cells=0)
    with pytest.raises(UnknownName, match="space of nested cells"):
        outline_of(darts())
    cell = (Entry("simple_conv_3x3", 2, 0),)
    with pytest.raises(InvalidArchitecture, match=r"cell 0 has \('simple_conv_3x3', 2, 0\)"):
        outline_of(ddarts_dense(cells=1)).architecture(NestedGenotype((cell,)))
    with pytest.raises(InvalidArchitecture, match="2 distinct cells, but got 1"):
        outline_of(dartopti(cells=2)).architecture(NestedGenotype((cell,)))
    with pytest.raises(InvalidArchitecture, match="none of resnet18"):
        dartopti_from().read(write_nested(NestedGenotype((cell,))))  # type: ignore[misc]
    assert read_nested(write_nested(NestedGenotype((cell,)))).cells == (cell,)
    with pytest.raises(InvalidArchitecture, match="has 99 variables"):
        ddarts_dense(cells=1).is_legal((0,) * 99)


def test_samples_differ_and_stay_as_they_are_when_written() -> None:
    space = ddarts_dense(cells=2)
    rng = Seed(0).numpy("samples")
    first, second = space.sample(rng), space.sample(rng)
    assert first != second
    assert space.parse(space.format(first)) == first

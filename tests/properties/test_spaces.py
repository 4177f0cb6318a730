"""What holds for every architecture of every space, looked for by hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.core.architecture import Architecture
from ogive.core.graph import Graph
from ogive.core.space import SearchSpace
from ogive.spaces import nasbench101 as cells101
from ogive.spaces import nasbench201 as cells201
from ogive.spaces.darts import KINDS, cell_of, darts
from ogive.spaces.ddarts import ddarts
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize

SPACES = [nasbench201(), nasbench101(), natssize(), darts(), ddarts(distinct=2)]
every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def shuffled(graph: Graph, rng: np.random.Generator) -> Graph:
    """The same graph with its nodes in a random topological order; input stays first and output last."""
    waiting = {node: set(graph.predecessors(node)) for node in range(len(graph))}
    order: list[int] = []
    while waiting:
        ready = [
            node
            for node, before in waiting.items()
            if not before and (graph.ops[node] != "output" or len(waiting) == 1)
        ]
        node = ready[0] if 0 in ready else ready[int(rng.integers(len(ready)))]
        del waiting[node]
        order.append(node)
        for before in waiting.values():
            before.discard(node)
    return graph.relabelled(order)


@every_space
@given(rng=generators)
def test_a_mutant_is_legal_and_differs_in_one_variable(space: SearchSpace, rng: np.random.Generator) -> None:
    arch = space.sample(rng)
    mutant = space.mutate(arch, rng)
    assert space.check(mutant.choices) == mutant
    assert sum(a != b for a, b in zip(arch.choices, mutant.choices, strict=True)) == 1


@every_space
@given(rng=generators)
def test_a_child_is_legal_and_inherits_every_choice(space: SearchSpace, rng: np.random.Generator) -> None:
    first, second = space.sample(rng), space.sample(rng)
    child = space.cross(first, second, rng)
    assert space.check(child.choices) == child
    assert all(c in pair for c, *pair in zip(child.choices, first.choices, second.choices, strict=True))


@every_space
@given(rng=generators)
def test_both_text_forms_round_trip(space: SearchSpace, rng: np.random.Generator) -> None:
    arch = space.sample(rng)
    assert space.parse(space.format(arch)) == arch
    assert space.parse(str(arch)) == arch


@every_space
@given(rng=generators)
def test_a_drawing_leads_from_one_input_to_one_output(space: SearchSpace, rng: np.random.Generator) -> None:
    graph = space.draw(space.sample(rng))
    assert [graph.ops.count(end) for end in ("input", "output")] == [1, 1]
    assert (graph.ops[0], graph.ops[-1]) == ("input", "output")


@every_space
@given(rng=generators)
def test_the_canonical_drawing_does_not_depend_on_the_order_of_the_nodes(
    space: SearchSpace, rng: np.random.Generator
) -> None:
    graph = space.draw(space.sample(rng)).pruned()
    assert shuffled(graph, rng).canonical() == graph.canonical()


@pytest.mark.parametrize("space", [nasbench201(), nasbench101()], ids=lambda space: space.name)
@given(rng=generators)
def test_pruning_and_the_canonical_form_settle_at_once_and_keep_the_network(
    space: SearchSpace, rng: np.random.Generator
) -> None:
    arch = space.sample(rng)
    assert space.prune is not None
    assert space.canonical is not None
    pruned, canonical = space.prune(arch), space.canonical(arch)
    assert space.prune(pruned) == pruned
    assert space.canonical(canonical) == canonical == space.canonical(pruned)
    assert space.prune(canonical) == canonical
    drawn = space.draw(arch).pruned().canonical()
    assert drawn == space.draw(pruned).pruned().canonical() == space.draw(canonical).pruned().canonical()


@given(rng=generators)
def test_relabelling_a_nasbench101_cell_changes_neither_its_hash_nor_its_canonical_form(
    rng: np.random.Generator,
) -> None:
    arch = nasbench101().sample(rng)
    graph = shuffled(nasbench101().draw(arch).pruned(), rng)
    matrix = [[int((i, j) in graph.edges) for j in range(len(graph))] for i in range(len(graph))]
    relabelled = nasbench101().parse(f"ModelSpec(matrix={matrix}, ops={list(graph.ops)})")
    assert cells101.module_hash(relabelled) == cells101.module_hash(arch)
    assert cells101.canonical(relabelled) == cells101.canonical(arch)


@given(rng=generators)
def test_exchanging_the_inner_nodes_of_a_nasbench201_cell_keeps_its_canonical_form(rng: np.random.Generator) -> None:
    a, b, _, d, e, f = nasbench201().sample(rng).choices
    mirrored = [Architecture("nasbench201", choices) for choices in ((a, b, 0, d, e, f), (b, a, 0, d, f, e))]
    assert cells201.canonical(mirrored[0]) == cells201.canonical(mirrored[1])


@given(rng=generators)
def test_a_darts_node_reads_two_different_earlier_states(rng: np.random.Generator) -> None:
    arch = darts().sample(rng)
    for kind in KINDS:
        states = [state for _, state in cell_of(arch, kind)]
        for node in range(4):
            assert 0 <= states[2 * node] < states[2 * node + 1] < node + 2


@given(indices=st.lists(st.integers(0, 15_624)))
def test_nasbench201_indices_and_choices_are_inverse(indices: list[int]) -> None:
    wanted = np.array(indices, np.int64)
    np.testing.assert_array_equal(cells201.index_of(cells201.choices_of(wanted)), wanted)

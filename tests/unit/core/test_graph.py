from __future__ import annotations

import itertools

import pytest

from ogive.core.errors import SpecError
from ogive.core.graph import Graph, Sketch

DIAMOND = Graph(("input", "a", "b", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))


def graphs(nodes: int) -> list[Graph]:
    places = list(itertools.combinations(range(nodes), 2))
    return [
        Graph(("x",) * nodes, frozenset(edge for edge, kept in zip(places, bits, strict=True) if kept))
        for bits in itertools.product((False, True), repeat=len(places))
    ]


@pytest.mark.parametrize("edge", [(1, 0), (1, 1), (0, 4), (-1, 2)])
def test_an_edge_must_go_forward_between_nodes_that_exist(edge: tuple[int, int]) -> None:
    with pytest.raises(SpecError, match="0 <= i < j < 4"):
        Graph(("a",) * 4, frozenset({edge}))


def test_predecessors_and_successors_are_ascending() -> None:
    assert DIAMOND.predecessors(3) == [1, 2]
    assert DIAMOND.successors(0) == [1, 2]
    assert DIAMOND.predecessors(0) == []
    assert len(DIAMOND) == 4


def test_relabelling_moves_labels_and_edges_together() -> None:
    assert DIAMOND.relabelled((0, 2, 1, 3)) == Graph(("input", "b", "a", "output"), DIAMOND.edges)


def test_relabelling_refuses_what_is_no_topological_order() -> None:
    with pytest.raises(SpecError, match="each once"):
        DIAMOND.relabelled((0, 1, 1, 3))
    with pytest.raises(SpecError, match="0 <= i < j"):
        DIAMOND.relabelled((1, 0, 2, 3))


def test_pruning_drops_what_the_output_does_not_depend_on() -> None:
    #            0 -> 1 -> 4        2 is fed but leads nowhere, 3 leads to the output but is not fed
    graph = Graph(("input", "a", "dead end", "unfed", "output"), frozenset({(0, 1), (1, 4), (0, 2), (3, 4)}))
    assert graph.pruned() == Graph(("input", "a", "output"), frozenset({(0, 1), (1, 2)}))


def test_pruning_keeps_input_and_output_even_if_nothing_joins_them() -> None:
    graph = Graph(("input", "a", "output"), frozenset({(0, 1)}))
    assert graph.pruned() == Graph(("input", "output"), frozenset())


def test_a_sketch_is_the_graph_of_what_each_node_reads() -> None:
    sketch = Sketch()
    first, second = sketch.node("a", 0), sketch.node("b", 0)
    assert sketch.node("output", first, second) == 3
    assert sketch.graph() == Graph(("input", "a", "b", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))


def test_isomorphic_graphs_have_one_canonical_form() -> None:
    mirrored = Graph(("input", "b", "a", "output"), DIAMOND.edges)
    assert mirrored != DIAMOND
    assert mirrored.canonical() == DIAMOND.canonical()


def test_the_canonical_form_is_a_form_of_the_same_graph_and_its_own() -> None:
    form = DIAMOND.canonical()
    assert sorted(form.ops) == sorted(DIAMOND.ops)
    assert len(form.edges) == len(DIAMOND.edges)
    assert form.canonical() == form


def test_the_unlabelled_acyclic_graphs_are_counted_as_published() -> None:
    # Closed form: 1, 2, 6, 31 acyclic digraphs on 1..4 unlabelled nodes (OEIS A003087; Robinson 1977).
    for nodes, count in ((1, 1), (2, 2), (3, 6), (4, 31)):
        assert len({graph.canonical() for graph in graphs(nodes)}) == count


def test_many_twins_do_not_make_the_canonical_form_slow() -> None:
    # Sixteen interchangeable nodes have 16! orders.
    middle = range(1, 17)
    graph = Graph(
        ("input", *("conv",) * 16, "output"), frozenset({*((0, i) for i in middle), *((i, 17) for i in middle)})
    )
    assert graph.canonical() == graph.relabelled((0, *reversed(middle), 17)).canonical()


def test_a_graph_is_disconnected_only_if_its_input_does_not_reach_its_output() -> None:
    assert not DIAMOND.is_disconnected
    assert Graph(("input", "a", "b", "output"), frozenset({(0, 1), (2, 3)})).is_disconnected
    assert not Graph(("input", "output"), frozenset({(0, 1)})).is_disconnected
    assert not Graph(("a", "b"), frozenset()).is_disconnected  # it says nothing of inputs and outputs

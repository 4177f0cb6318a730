from __future__ import annotations

import itertools

import numpy as np
import pytest

from ogive.core.graph import Graph
from ogive.report.layered import place


def diamond() -> Graph:
    return Graph(("input", "a", "b", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))


def random_graph(seed: int, nodes: int = 18) -> Graph:
    rng = np.random.default_rng(seed)
    edges = {(i, i + 1) for i in range(nodes - 1) if rng.random() < 0.8}
    edges |= {tuple(sorted(map(int, rng.choice(nodes, 2, replace=False)))) for _ in range(nodes)}
    return Graph(tuple(f"op{k}" for k in range(nodes)), frozenset(edges))  # type: ignore[arg-type]


def test_every_edge_leads_downwards() -> None:
    graph = random_graph(0)
    layout = place(graph, [40.0] * len(graph), box=20, gap=30)
    assert set(layout.routes) == graph.edges
    for (source, target), route in layout.routes.items():
        assert route[0] == layout.nodes[source]
        assert route[-1] == layout.nodes[target]
        assert all(lower[1] - upper[1] == pytest.approx(50) for upper, lower in itertools.pairwise(route))


@pytest.mark.parametrize("seed", range(8))
def test_boxes_of_one_layer_do_not_overlap_and_lie_inside_the_picture(seed: int) -> None:
    graph = random_graph(seed)
    widths = [30.0 + 5 * (node % 7) for node in range(len(graph))]
    layout = place(graph, widths, box=20, gap=30, across=12)
    for first, second in itertools.combinations(range(len(graph)), 2):
        (x, y), (other_x, other_y) = layout.nodes[first], layout.nodes[second]
        if y == other_y:
            assert abs(x - other_x) >= (widths[first] + widths[second]) / 2 + 12 - 1e-6
    for (x, y), width in zip(layout.nodes, widths, strict=True):
        assert x - width / 2 >= -1e-6
        assert x + width / 2 <= layout.width + 1e-6
        assert 10 <= y <= layout.height - 10


def test_a_planar_graph_is_drawn_without_crossings() -> None:
    # Two chains that the numbering interleaves the wrong way round: in numeric order, both pairs of edges cross.
    graph = Graph(("input", "a", "b", "c", "d", "output"), frozenset({(0, 1), (0, 2), (1, 4), (2, 3), (3, 5), (4, 5)}))
    layout = place(graph, [30.0] * 6, box=20, gap=20)
    x = [point[0] for point in layout.nodes]
    assert (x[1] - x[2]) * (x[4] - x[3]) > 0


def test_a_diamond_is_symmetric() -> None:
    layout = place(diamond(), [30.0] * 4, box=20, gap=20)
    (top, _), (left, _), (right, _), (bottom, _) = layout.nodes
    assert top == pytest.approx(bottom)
    assert (left + right) / 2 == pytest.approx(top)


def test_given_layers_are_kept() -> None:
    layout = place(diamond(), [30.0] * 4, box=20, gap=10, layers=[0, 1, 2, 3])
    assert [y for _, y in layout.nodes] == [10, 40, 70, 100]
    assert len(layout.routes[0, 2]) == 3


def test_an_empty_graph_has_an_empty_layout() -> None:
    assert place(Graph((), frozenset()), [], box=20, gap=20).nodes == ()

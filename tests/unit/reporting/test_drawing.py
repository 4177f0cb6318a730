from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ogive.core.graph import Graph
from ogive.reporting.drawing import FAMILIES, OTHER, family, label, place, svg


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


def test_hostile_labels_are_escaped() -> None:
    document = svg(Graph(("input", "<script>alert(1)</script>"), frozenset({(0, 1)})), title='"><script>')
    assert "<script" not in document
    ET.fromstring(document)


def test_large_graphs_become_dots_with_a_legend() -> None:
    ops = ("input", *(["sep_conv_3x3", "linear", "avg_pool_3x3"] * 66), "output")
    graph = Graph(ops, frozenset((node, node + 1) for node in range(len(ops) - 1)))
    document = svg(graph, title="a chain")
    assert "<rect" not in document
    assert len(document) < 10_000
    assert "separable conv" in document


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("nor_conv_3x3", "conv"),
        ("conv1x1-bn-relu", "conv"),
        ("sep_conv_5x5", "separable conv"),
        ("dil_conv_3x3", "dilated conv"),
        ("maxpool3x3", "pool"),
        ("skip_connect", "skip"),
        ("none", "none"),
        ("input", "ends"),
        ("concat", "join"),
        ("linear", "dense"),
        ("gelu", "other"),
    ],
)
def test_operations_belong_to_families(op: str, expected: str) -> None:
    assert family(op) == expected


def test_labels_are_written_as_people_write_them() -> None:
    assert [label(op) for op in ("nor_conv_3x3", "conv1x1-bn-relu", "maxpool3x3", "sep_conv_5x5", "skip_connect")] == [
        "conv 3×3",
        "conv 1×1",
        "max pool 3×3",
        "sep 5×5",
        "identity",
    ]


def test_white_letters_can_be_read_on_every_colour() -> None:
    def luminance(colour: str) -> float:
        # WCAG 2.2, "relative luminance".
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for _, _, colour in (*FAMILIES, (OTHER[0], "", OTHER[1])):
        if colour != "none":
            assert 1.05 / (luminance(colour) + 0.05) >= 4.5, colour

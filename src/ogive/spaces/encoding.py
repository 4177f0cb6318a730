"""Nested cells as matrices of gates and back, and the distance between two networks that follows from them.

Shapes: E edges of a cell, O operations. The edges of a node stand together, by ascending state; node 2 comes first.
Heuillet et al., "D-DARTS" (arXiv:2108.09306); the published code is aheuillet/D-DARTS, architecture_processing.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError, UnknownName
from ogive.spaces.nested import INPUTS, Entry, NestedCell, NestedGenotype, nodes_of, without_orphans

__all__ = ["ACCURACIES", "PRESENT", "RULES", "Rule", "derived", "distance", "edge_index", "encoded", "parsed"]

Gates = npt.NDArray[np.float64]
Rule = Literal["sparse", "edge", "complete"]
RULES: tuple[Rule, ...] = ("sparse", "edge", "complete")
# The threshold that only what is not there, with strength 0, does not pass.
PRESENT = float(np.nextafter(0.0, 1.0))

# Accuracy in per cent of a small network into which an operation was inserted: op_stats.json of the published code,
# which are the weights of the distance, in the order of the twelve operations.
ACCURACIES: Mapping[str, float] = {
    "conv_3x1_1x3": 82.105830863444,
    "conv_7x1_1x7": 83.1591640991211,
    "max_pool_3x3": 82.13416411336264,
    "avg_pool_3x3": 81.56333073120116,
    "skip_connect": 81.34166406249999,
    "simple_conv_1x1": 81.49166413777668,
    "simple_conv_3x3": 82.30333082275389,
    "sep_conv_3x3": 83.39583075561525,
    "sep_conv_5x5": 84.97416410115558,
    "dil_conv_3x3": 82.73583073323566,
    "dil_conv_5x5": 82.89249749959309,
    "bottleneck_1x3x1": 82.87499756469727,
}


def edge_index(node: int, state: int) -> int:
    """The row of the edge from a state to a node: all edges of the nodes before it come first."""
    before = node - INPUTS
    return before * (before + 3) // 2 + state


def encoded(cell: NestedCell, operations: Sequence[str], *, nodes: int = 4, on: float = 10.0) -> Gates:
    """Architecture parameters (E, O) of a given cell: `on` where it has an operation, zero elsewhere.

    Through a sigmoid, 10 becomes a gate of 0.99995, but zero one of 0.5: a search that starts from the parameters of a
    ResNet starts from the ResNet plus half of everything else. Raises SpecError for a cell with more nodes, and
    UnknownName for an operation that is none of `operations`.
    """
    alphas_EO = np.zeros((edge_index(INPUTS + nodes, 0), len(operations)))
    for op, node, state in cell:
        if op not in operations:
            raise UnknownName("operation of the encoding", op, operations)
        if node >= INPUTS + nodes:
            raise SpecError(
                f"A cell of {nodes} nodes has none numbered {node}: encode it with nodes={node - INPUTS + 1}."
            )
        alphas_EO[edge_index(node, state), operations.index(op)] = on
    return alphas_EO


def parsed(
    gates_EO: npt.ArrayLike,
    operations: Sequence[str],
    *,
    rule: Rule = "sparse",
    threshold: float = 0.85,  # train_search.py of the published code
) -> NestedCell:
    """The cell that gates stand for: what is at least `threshold`, of what the rule admits.

    * "sparse": the strongest operation on each of the two strongest edges of a node, the stronger edge first;
    * "edge": the two strongest operations of every edge;
    * "complete": every operation.

    Of equal edges the one from the lower state is taken, of equal operations the first. The cell may have nodes
    without input, and may read them; `without_orphans` drops what does.
    """
    gates = np.asarray(gates_EO, np.float64)
    if rule not in RULES:
        raise UnknownName("rule of parsing", rule, RULES)
    entries: list[Entry] = []
    for node in _nodes(gates, operations):
        rows = gates[edge_index(node, 0) : edge_index(node + 1, 0)]
        if rule == "sparse":
            edges = np.argsort(-rows.max(axis=1), kind="stable")[:2].tolist()
            picked = [(state, int(rows[state].argmax())) for state in edges]
        else:
            kept = 2 if rule == "edge" else len(operations)
            strongest = np.argsort(-rows, axis=1, kind="stable")[:, :kept]
            picked = [(state, op) for state, row in enumerate(strongest.tolist()) for op in sorted(row)]
        entries += [Entry(operations[op], node, state) for state, op in picked if rows[state, op] >= threshold]
    return tuple(entries)


def derived(
    gates: Sequence[npt.ArrayLike],
    operations: Sequence[str],
    *,
    layers: Sequence[int] = (),
    reductions: Sequence[int] | None = None,
    rule: Rule = "sparse",
    threshold: float = 0.85,
    full: bool = False,
) -> NestedGenotype:
    """The network that the gates (E, O) of all distinct cells stand for, each parsed by itself.

    What reads a node without input is dropped, where the published code skips it or fails. A cell of which nothing is
    left keeps the strongest operation on its inputs, so that every network has a way from its images to its logits; or,
    with `full`, what the rule "sparse" takes without a threshold, two operations a node.
    """
    cells = []
    for gates_EO in gates:
        cell = without_orphans(parsed(gates_EO, operations, rule=rule, threshold=threshold))
        if not cell and full:
            cell = without_orphans(parsed(gates_EO, operations, threshold=PRESENT))
        cells.append(cell or _strongest(np.asarray(gates_EO, np.float64), operations))
    return NestedGenotype(tuple(cells), tuple(layers), None if reductions is None else tuple(reductions))


def _strongest(gates_EO: Gates, operations: Sequence[str]) -> NestedCell:
    found = [
        (gates_EO[edge_index(node, state), op], -node, -state, -op)
        for node in _nodes(gates_EO, operations)
        for state in range(INPUTS)
        for op in range(len(operations))
    ]
    _, node, state, op = max(found)
    return (Entry(operations[-op], -node, -state),)


def distance(a: NestedGenotype, b: NestedGenotype, weights: Mapping[str, float] = ACCURACIES) -> float:
    """How far two networks are apart: the mean Hausdorff distance of their distinct cells, 0 to 1.

    Cells are paired in their order; those that one network has more than the other do not count. The distance of two
    edges is the share of the weights of the operations that only one of them has. Symmetric, and zero between equal
    cells, but zero between some others too: it asks which combinations of operations occur, not where.
    """
    pairs = list(zip(_present(a, weights), _present(b, weights), strict=False))
    return sum(_hausdorff(*pair, weights) for pair in pairs) / len(pairs)


def _present(genotype: NestedGenotype, weights: Mapping[str, float]) -> list[npt.NDArray[np.bool_]]:
    """Which operation is on which edge, for each distinct cell; edges without any count as edges too."""
    nodes = max(4, *(nodes_of(cell)[-1] - INPUTS + 1 for cell in genotype.cells))
    return [encoded(cell, tuple(weights), nodes=nodes) > 0 for cell in genotype.cells]


def _hausdorff(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_], weights: Mapping[str, float]) -> float:
    shares = np.array(list(weights.values()))
    apart = ((a[:, None] != b[None]) * shares).sum(axis=2) / shares.sum()
    return float(max(apart.min(axis=1).max(), apart.min(axis=0).max()))


def _nodes(gates_EO: Gates, operations: Sequence[str]) -> range:
    """The nodes that the rows of a matrix belong to; SpecError for another shape."""
    if gates_EO.ndim == 2 and gates_EO.shape[1] == len(operations):
        for nodes in range(1, len(gates_EO) + 1):
            if edge_index(INPUTS + nodes, 0) == len(gates_EO):
                return range(INPUTS, INPUTS + nodes)
    raise SpecError(
        f"Gates of a cell have a row for each of its 2, 5, 9, 14, 20 or 27 edges and so on, and a column for each of "
        f"{len(operations)} operations, but got the shape {gates_EO.shape}."
    )

from __future__ import annotations

import numpy as np
import pytest

from ogive.core.errors import SpecError, UnknownName
from ogive.networks.nested_genotypes import HANDCRAFTED, PUBLISHED_NESTED
from ogive.spaces.encoding import RULES, Rule, derived, distance, edge_index, encoded, parsed
from ogive.spaces.nested import DARTOPTI_OPERATIONS, DDARTS_OPERATIONS, Entry, NestedCell, NestedGenotype, nodes_of

NETWORKS = {**HANDCRAFTED, **PUBLISHED_NESTED}


def gates(cell: NestedCell, nodes: int) -> np.ndarray:
    alphas: np.ndarray = encoded(cell, DARTOPTI_OPERATIONS, nodes=nodes)
    return 1 / (1 + np.exp(-alphas))


def test_edges_are_numbered_node_by_node() -> None:
    numbers = [edge_index(node, state) for node in range(2, 8) for state in range(node)]
    assert numbers == list(range(27))


def test_a_given_operation_gets_ten_and_everything_else_a_gate_of_one_half() -> None:
    found = gates((Entry("skip_connect", 3, 2),), 4)
    assert found.shape == (14, 12)
    assert found[4, DARTOPTI_OPERATIONS.index("skip_connect")] == pytest.approx(0.99995, abs=5e-6)
    assert np.count_nonzero(found == 0.5) == 14 * 12 - 1


@pytest.mark.parametrize("name", NETWORKS)
def test_every_cell_comes_back_from_its_encoding_by_the_rules_that_admit_it(name: str) -> None:
    for cell in NETWORKS[name].cells:
        nodes = nodes_of(cell)[-1] - 1
        assert set(parsed(gates(cell, nodes), DARTOPTI_OPERATIONS, rule="complete")) == set(cell)
        assert set(parsed(gates(cell, nodes), DARTOPTI_OPERATIONS, rule="edge")) == set(cell)
        sparse = set(parsed(gates(cell, nodes), DARTOPTI_OPERATIONS))
        assert sparse <= set(cell)
        if len({entry[1:] for entry in cell}) == len(cell) <= 8 and "edge" not in name:
            assert sparse == set(cell)


def test_the_sparse_rule_loses_the_shortcut_beside_a_bottleneck() -> None:
    cell = NETWORKS["resnet50"].cells[0]
    found = parsed(gates(cell, 3), DARTOPTI_OPERATIONS)
    assert {entry.op for entry in cell} == {"bottleneck_1x3x1", "skip_connect"}
    assert {entry.op for entry in found} == {"skip_connect"}


def test_the_stronger_edge_comes_first_and_the_lower_state_among_equals() -> None:
    rows = np.zeros((2, 7))
    rows[1, 0] = 0.95
    rows[0, 2] = 0.9
    assert [entry.state for entry in parsed(rows, DDARTS_OPERATIONS)] == [1, 0]
    rows[0, 2] = 0.95
    assert [entry.state for entry in parsed(rows, DDARTS_OPERATIONS)] == [0, 1]


def test_the_threshold_itself_is_enough() -> None:
    rows = np.zeros((2, 7))
    rows[0, 3], rows[1, 4] = 0.85, 0.8499
    for rule in RULES:
        assert parsed(rows, DDARTS_OPERATIONS, rule=rule) == (Entry("sep_conv_3x3", 2, 0),)
    assert parsed(rows, DDARTS_OPERATIONS, threshold=0.9) == ()


@pytest.mark.parametrize(("rule", "count"), [("sparse", 8), ("edge", 28), ("complete", 98)])
def test_the_rules_admit_so_many_operations_of_an_open_cell(rule: Rule, count: int) -> None:
    assert len(parsed(np.ones((14, 7)), DDARTS_OPERATIONS, rule=rule)) == count


@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_network_comes_back_from_its_gates(name: str) -> None:
    genotype = NETWORKS[name]
    nodes = max(nodes_of(cell)[-1] for cell in genotype.cells) - 1
    found = derived(
        [gates(cell, nodes) for cell in genotype.cells],
        DARTOPTI_OPERATIONS,
        layers=genotype.layers,
        reductions=genotype.reductions,
        rule="edge",
    )
    assert [set(cell) for cell in found.cells] == [set(cell) for cell in genotype.cells]
    assert (found.layers, found.reductions) == (genotype.layers, genotype.reductions)


def test_what_reads_a_node_without_input_is_not_derived() -> None:
    rows = np.zeros((14, 7))
    rows[edge_index(3, 0), 2] = rows[edge_index(4, 2), 3] = rows[edge_index(5, 4), 3] = 0.9
    assert derived([rows], DDARTS_OPERATIONS).cells == ((Entry("skip_connect", 3, 0),),)


def test_a_cell_of_which_nothing_is_left_keeps_the_strongest_operation_on_its_inputs() -> None:
    rows = np.full((14, 7), 0.1)
    rows[edge_index(4, 2), 0] = 0.8
    rows[edge_index(4, 1), 3] = 0.5
    assert derived([rows], DDARTS_OPERATIONS).cells == ((Entry("sep_conv_3x3", 4, 1),),)
    assert derived([np.zeros((14, 7))], DDARTS_OPERATIONS).cells == ((Entry("max_pool_3x3", 2, 0),),)


def test_bad_input_is_refused_with_its_reason() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'sparse'"):
        parsed(np.ones((14, 7)), DDARTS_OPERATIONS, rule="sparce")  # type: ignore[arg-type]
    for shape in ((14, 8), (13, 7), (14,)):
        with pytest.raises(SpecError, match="but got the shape"):
            parsed(np.ones(shape), DDARTS_OPERATIONS)
    with pytest.raises(SpecError, match="nodes=5"):
        encoded((Entry("skip_connect", 6, 0),), DDARTS_OPERATIONS)
    with pytest.raises(UnknownName, match="operation of the encoding"):
        encoded((Entry("simple_conv_1x1", 2, 0),), DDARTS_OPERATIONS)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_distance_is_symmetric_and_zero_from_a_network_to_itself(name: str) -> None:
    assert distance(NETWORKS[name], NETWORKS[name]) == 0.0
    for other in NETWORKS.values():
        assert 0.0 <= distance(NETWORKS[name], other) == distance(other, NETWORKS[name]) <= 1.0


def test_cells_that_only_one_network_has_do_not_count() -> None:
    cells = NETWORKS["resnet50"].cells
    assert distance(NestedGenotype(cells[:1]), NestedGenotype(cells)) == 0.0


def test_an_edge_is_as_far_from_none_as_the_share_of_its_operation() -> None:
    empty = NestedGenotype(((Entry("skip_connect", 2, 0),),))
    more = NestedGenotype(((Entry("skip_connect", 2, 0), Entry("sep_conv_3x3", 2, 1)),))
    assert distance(empty, more, {"skip_connect": 1.0, "sep_conv_3x3": 3.0}) == 0.75

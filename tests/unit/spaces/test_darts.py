from __future__ import annotations

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces.darts import CHOOSABLE, OPS, architecture, cell_of, darts

# The genotype DARTS_V2 as published (quark0/darts, cnn/genotypes.py), with the entries of some nodes by strength.
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
    "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def test_the_space_has_two_cells_of_180_wirings_and_seven_operations_on_eight_edges() -> None:
    assert darts().size == (180 * 7**8) ** 2
    assert len(darts().variables) == 24


def test_none_is_an_operation_of_the_supernet_only() -> None:
    assert len(OPS) == 8
    assert OPS[0] == "none"
    assert "none" not in CHOOSABLE


def test_a_published_genotype_is_read() -> None:
    arch = darts().parse(DARTS_V2)
    assert cell_of(arch, "normal") == (
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("dil_conv_3x3", 2),
    )
    assert cell_of(arch, "reduce")[2:4] == (("max_pool_3x3", 1), ("skip_connect", 2))


def test_the_entries_of_a_node_may_come_in_either_order() -> None:
    swapped = DARTS_V2.replace("('skip_connect', 2), ('max_pool_3x3', 1)", "('max_pool_3x3', 1), ('skip_connect', 2)")
    assert swapped != DARTS_V2
    assert darts().parse(swapped) == darts().parse(DARTS_V2)


def test_what_is_written_is_read_back() -> None:
    arch = darts().parse(DARTS_V2)
    assert darts().parse(darts().format(arch)) == arch
    assert architecture(cell_of(arch, "normal"), cell_of(arch, "reduce")) == arch


def test_ranges_and_tuples_are_read_as_published_lists() -> None:
    variant = DARTS_V2.replace("reduce_concat=[2, 3, 4, 5]", "reduce_concat=range(2, 6)")
    assert darts().parse(variant) == darts().parse(DARTS_V2)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("('dil_conv_3x3', 2)", "('dil_conv_3x3', 0)", "two different states"),
        ("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)", "two different states"),
        ("('dil_conv_3x3', 2)", "('none', 2)", "cannot hold the operation 'none'"),
        ("('dil_conv_3x3', 2)", "('dil_conv_3x33', 2)", "Did you mean 'dil_conv_3x3'"),
        (", ('dil_conv_3x3', 2)", "", "a list of 8 pairs"),
        ("('dil_conv_3x3', 2)", "('dil_conv_3x3',)", "a list of 8 pairs"),
        ("('dil_conv_3x3', 2)", "'dil_conv_3x3'", "a list of 8 pairs"),
        ("('dil_conv_3x3', 2)", "('dil_conv_3x3', '2')", "a list of 8 pairs"),
        ("normal_concat=[2, 3, 4, 5]", "normal_concat=[3, 4, 5]", "concatenate the states"),
        ("normal_concat=[2, 3, 4, 5]", "normal_concat=2", "concatenate the states"),
        ("normal_concat=[2, 3, 4, 5], ", "", "Cannot read"),
    ],
)
def test_a_genotype_of_another_space_is_refused(old: str, new: str, complaint: str) -> None:
    assert old in DARTS_V2
    with pytest.raises(InvalidArchitecture, match=complaint):
        darts().parse(DARTS_V2.replace(old, new))


def test_the_drawing_is_a_normal_cell_that_feeds_a_reduction_cell() -> None:
    graph = darts().draw(darts().parse(DARTS_V2))
    assert len(graph) == 2 + 2 * (2 + 8 + 4 + 1)
    assert (graph.ops[0], graph.ops[-1]) == ("input", "output")
    assert graph.pruned() == graph
    assert [graph.ops.count(op) for op in ("sum", "concat", "sep_conv_3x3", "max_pool_3x3")] == [8, 2, 5, 5]
    concat = graph.ops.index("concat")
    # The reduction cell reads the input (k-2) and the normal cell (k-1).
    first, second = (node for node in graph.successors(0) if node > concat), graph.successors(concat)
    assert [graph.ops[node] for node in (*first, *second)] == ["preprocess_0", "preprocess_1"]


def test_cells_that_only_exchange_their_inputs_are_drawn_differently() -> None:
    def drawn(first: str, second: str) -> object:
        cell = ((first, 0), (second, 1), *[("skip_connect", 0), ("skip_connect", 1)] * 3)
        return darts().draw(architecture(cell, cell)).canonical()

    assert drawn("sep_conv_3x3", "max_pool_3x3") != drawn("max_pool_3x3", "sep_conv_3x3")


def test_a_cell_of_the_wrong_length_is_refused() -> None:
    cell = cell_of(Architecture("darts", (0,) * 24), "normal")
    with pytest.raises(InvalidArchitecture, match="has 8 entries, got 6"):
        architecture(cell[:6], cell)

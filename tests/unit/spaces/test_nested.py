from __future__ import annotations

import pytest

from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.spaces.nested import (
    DARTOPTI_OPERATIONS,
    DDARTS_OPERATIONS,
    Entry,
    NestedGenotype,
    deepened,
    depth_map,
    nodes_of,
    read_nested,
    without_orphans,
    write_nested,
)

CHAIN = (Entry("sep_conv_3x3", 2, 0), Entry("skip_connect", 3, 2))
SKIP = (Entry("skip_connect", 2, 1),)
PUBLISHED = (
    "Genotype_nested(genes=[[('skip_connect', 2, 1)], [('sep_conv_3x3', 3, 0)]], reductions=[1], concat=range(2, 6))"
)


def test_the_vocabularies_stand_in_the_order_of_the_published_code() -> None:
    assert DDARTS_OPERATIONS[:3] == ("max_pool_3x3", "avg_pool_3x3", "skip_connect")
    assert (len(DDARTS_OPERATIONS), len(DARTOPTI_OPERATIONS)) == (7, 12)
    assert set(DDARTS_OPERATIONS) < set(DARTOPTI_OPERATIONS)


def test_a_network_has_by_default_a_layer_a_cell_and_reductions_a_third_and_two_thirds_down() -> None:
    genotype = NestedGenotype((SKIP,) * 8)
    assert genotype.layers == tuple(range(8))
    assert genotype.halving == (2, 5)


def test_a_genotype_is_a_value() -> None:
    plain = NestedGenotype(((("skip_connect", 2, 1),),))  # type: ignore[arg-type]  # a plain triple will do
    assert plain == NestedGenotype((SKIP,))
    assert hash(plain) == hash(NestedGenotype((SKIP,)))


def test_nodes_that_nothing_leads_to_do_not_exist() -> None:
    assert nodes_of((Entry("skip_connect", 5, 0), Entry("skip_connect", 3, 0))) == (3, 5)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ((), "has no operation"),
        ((Entry("sep_conv_9x9", 2, 0),), "cannot hold the operation 'sep_conv_9x9'. Did you mean"),
        ((Entry("skip_connect", 1, 0),), "numbered from 2"),
        ((Entry("skip_connect", 2, 2),), "node 2 reads 2"),
        ((Entry("skip_connect", 2, -1),), "node 2 reads -1"),
        ((Entry("skip_connect", 4, 3),), "reads node 3, which has no input"),
        (SKIP * 2, "twice"),
    ],
)
def test_a_cell_that_cannot_be_is_refused_with_its_reason(cell: tuple[Entry, ...], reason: str) -> None:
    with pytest.raises(InvalidArchitecture, match=reason):
        NestedGenotype((SKIP, cell))


@pytest.mark.parametrize(
    ("layers", "reductions", "reason"),
    [
        ((0, 2), None, "one of the 2 cells"),
        ((), (1, 0), "ascending"),
        ((), (2,), r"layers 0\.\.1"),
        ((), (1, 1), "asc"),
    ],
)
def test_layers_and_reductions_must_exist(layers: tuple[int, ...], reductions: tuple[int, ...], reason: str) -> None:
    with pytest.raises(InvalidArchitecture, match=reason):
        NestedGenotype((SKIP, CHAIN), layers, reductions)


def test_a_network_without_cells_is_refused() -> None:
    with pytest.raises(InvalidArchitecture, match="at least one cell"):
        NestedGenotype(())


def test_what_reads_an_absent_node_is_dropped_on_request_however_long_the_chain() -> None:
    chain = (*SKIP, Entry("skip_connect", 4, 3), Entry("sep_conv_3x3", 5, 4), Entry("sep_conv_3x3", 5, 2))
    assert without_orphans(chain) == (*SKIP, Entry("sep_conv_3x3", 5, 2))
    assert without_orphans((Entry("skip_connect", 4, 3),)) == ()


def test_a_published_cell_that_nothing_reaches_is_an_error_and_no_crash() -> None:
    """The last cell of Xception_cifar100_threshold_edge_0.85 (aheuillet/D-DARTS), whose node 2 has no input."""
    cell = (
        Entry("sep_conv_3x3", 3, 2),
        Entry("max_pool_3x3", 4, 3),
        Entry("max_pool_3x3", 5, 3),
        Entry("skip_connect", 5, 4),
        Entry("max_pool_3x3", 5, 4),
    )
    with pytest.raises(InvalidArchitecture, match="Node 3 of cell 0 reads node 2, which has no input"):
        NestedGenotype((cell,))
    assert without_orphans(cell) == ()


# -- text -------------------------------------------------------------------------------------------------------------


def test_cells_that_a_deeper_network_leaves_out_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    cell = (Entry("sep_conv_3x3", 2, 0),)
    eight = NestedGenotype((cell,) * 8)
    for layers in (9, 9, 12, 20):
        deepened(eight, layers)
    (record,) = caplog.records
    assert "9 layers from 8 cells has no layer for the cells [1]" in record.getMessage()
    assert "12 layers or more have all of them" in record.getMessage()


def test_the_published_text_is_read() -> None:
    expected = NestedGenotype((SKIP, (Entry("sep_conv_3x3", 3, 0),)), reductions=(1,))
    assert read_nested(PUBLISHED) == expected
    assert read_nested(PUBLISHED.replace("range(2, 6)", "[2, 3]")) == expected


@pytest.mark.parametrize(
    "genotype",
    [NestedGenotype((SKIP, CHAIN), reductions=(1,)), NestedGenotype((SKIP, CHAIN), (0, 1, 1, 0), (1, 2, 3))],
    ids=["a layer a cell", "repeated cells"],
)
def test_a_genotype_survives_its_text(genotype: NestedGenotype) -> None:
    assert read_nested(write_nested(genotype)) == genotype


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Genotype_nested(genes=3, concat=[2], reductions=[])", "list of cells"),
        ("Genotype_nested(genes=[3], concat=[2], reductions=[])", "list of triples"),
        ("Genotype_nested(genes=[[('skip_connect', 2)]], concat=[2], reductions=[])", "list of triples"),
        ("Genotype_nested(genes=[[('skip_connect', 2, 'a')]], concat=[2], reductions=[])", "list of triples"),
        ("Genotype_nested(genes=[[('skip_connect', 2, 1)]], concat=[2], reductions=['a'])", "whole numbers"),
        ("Genotype_opt(genes=[[('skip_connect', 2, 1)]], seq=1, concat=[2], reductions=[])", "whole numbers"),
        ("Genotype_nested(genes=[[('skip_connect', 2, 1)]])", "its arguments must be"),
    ],
)
def test_other_texts_are_refused_with_their_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidArchitecture, match=reason):
        read_nested(text)


# -- depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", range(5, 13))
def test_a_deeper_network_keeps_the_searched_reductions_where_its_own_are(cells: int) -> None:
    for layers in range(cells, 4 * cells):
        found = depth_map(cells, layers)
        assert len(found) == layers
        assert set(found) <= set(range(cells))
        assert found[layers // 3] == cells // 3
        assert found[2 * layers // 3] == 2 * cells // 3


@pytest.mark.parametrize("cells", [1, 2, 3, 4])
def test_too_few_cells_cannot_be_deepened(cells: int) -> None:
    assert depth_map(cells, cells) == tuple(range(cells))
    with pytest.raises(SpecError, match="at least 5 distinct cells"):
        depth_map(cells, cells + 1)


def test_a_network_is_not_made_shallower() -> None:
    with pytest.raises(SpecError, match="ask for 8 or more"):
        depth_map(8, 7)


def test_deepening_sets_the_reductions_anew() -> None:
    stored = NestedGenotype((SKIP,) * 8, reductions=(2, 6))
    assert deepened(stored, 8).halving == (2, 5)
    assert deepened(stored, 20).halving == (6, 13)


def test_what_repeats_cells_or_reduces_more_than_twice_is_not_deepened() -> None:
    for genotype in (NestedGenotype((SKIP,), (0,) * 8), NestedGenotype((SKIP,) * 8, reductions=(1, 2, 3))):
        with pytest.raises(SpecError, match="build it with 8 cells"):
            deepened(genotype, 14)

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.networks.nested_genotypes import HANDCRAFTED, PUBLISHED_NESTED
from ogive.spaces.darts import PAIRS
from ogive.spaces.ddarts import _cell_is_legal, _legal_cells, architecture, dartopti, ddarts, genotype_of, prune
from ogive.spaces.nested import Entry, NestedGenotype, nodes_of, write_nested

SPARSE = ["ddarts_cifar10", "ddarts_cifar100"]
# One cell: node 2 reads both inputs, node 3 state 2, nodes 4 and 5 nothing.
ONE = (0, 0, 1, 1, 7, 2, 0, 7, 7, 0, 7, 7)


def test_a_cell_holds_what_its_choices_name() -> None:
    arch = ddarts(distinct=1).check(ONE)
    assert genotype_of(arch).cells == (
        (Entry("max_pool_3x3", 2, 0), Entry("avg_pool_3x3", 2, 1), Entry("skip_connect", 3, 2)),
    )


@pytest.mark.parametrize("name", SPARSE)
def test_published_networks_are_architectures(name: str) -> None:
    genotype = PUBLISHED_NESTED[name]
    arch = ddarts().admit(architecture(genotype))
    again = genotype_of(arch)
    assert [set(cell) for cell in again.cells] == [set(cell) for cell in genotype.cells]
    assert ddarts().parse(write_nested(genotype)) == arch
    assert again.halving == (2, 5)


def test_networks_of_the_twelve_operations_have_a_space_of_their_own() -> None:
    genotype = PUBLISHED_NESTED["dartopti_resnet18_cifar10"]
    arch = dartopti().admit(architecture(genotype, "dartopti"))
    assert dartopti().parse(write_nested(genotype)) == arch
    with pytest.raises(InvalidArchitecture, match="7 operations"):
        architecture(genotype)


@pytest.mark.parametrize(
    ("genotype", "reason"),
    [
        (HANDCRAFTED["resnet18"], "every layer is a cell of its own"),
        (PUBLISHED_NESTED["ddarts_cifar10_edge"], "build the genotype itself"),
        (PUBLISHED_NESTED["dartopti_resnet50_cifar10"], "node 6"),
        (
            NestedGenotype(((Entry("skip_connect", 4, 0), Entry("skip_connect", 4, 1), Entry("max_pool_3x3", 4, 1)),)),
            "has 3 operations",
        ),
    ],
    ids=["repeated", "two on an edge", "six nodes", "two on a state"],
)
def test_cells_that_the_space_does_not_have_are_refused(genotype: NestedGenotype, reason: str) -> None:
    with pytest.raises(InvalidArchitecture, match=reason):
        architecture(genotype, "dartopti")


@pytest.mark.parametrize(
    "cell",
    [(0, 7, 7) * 4, (0, 7, 7, 1, 0, 0, 0, 7, 7, 0, 7, 7)],
    ids=["no operation at all", "an absent node is read"],
)
def test_cells_without_an_output_or_with_an_orphan_are_no_architectures(cell: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArchitecture, match="not a legal architecture"):
        ddarts(distinct=2).check((*ONE, *cell))


def test_the_size_counts_the_legal_cells() -> None:
    ranges = [range(width) for pairs in PAIRS for width in (len(pairs), 2, 2)]
    legal = sum(_cell_is_legal(choices, 1) for choices in itertools.product(*ranges))
    assert _legal_cells(1) == legal
    assert ddarts(distinct=2).size == _legal_cells(7) ** 2


def test_pruning_names_a_state_that_nobody_reads_in_one_way() -> None:
    other = (0, 0, 1, 2, 7, 2, 3, 7, 7, 5, 7, 7)
    archs = [ddarts(distinct=1).check(choices) for choices in (ONE, other)]
    assert genotype_of(archs[0]) == genotype_of(archs[1])
    assert prune(archs[0]) == prune(archs[1]) == archs[0]


def test_random_networks_have_nearly_all_that_they_may_have() -> None:
    rng = np.random.default_rng(0)
    counts = [len(cell) for _ in range(50) for cell in genotype_of(ddarts().sample(rng)).cells]
    assert max(counts) == 8
    assert 6.5 < np.mean(counts) < 7.5


def test_the_drawing_chains_the_cells_and_leaves_out_absent_nodes() -> None:
    arch = ddarts(distinct=2).check(ONE * 2)
    graph = ddarts(distinct=2).draw(arch)
    assert graph.ops.count("sum") == 2 * len(nodes_of(genotype_of(arch).cells[0])) == 4
    assert graph.ops.count("concat") == 2
    assert len(graph) == 2 + 2 * (2 + 3 + 2 + 1)
    second = [node for node, op in enumerate(graph.ops) if op == "preprocess_0"][1]
    assert graph.predecessors(second) == [0]


def test_a_space_needs_a_cell() -> None:
    with pytest.raises(SpecError, match="distinct=0"):
        ddarts(distinct=0)


def test_an_architecture_says_itself_how_many_cells_it_has() -> None:
    assert len(genotype_of(Architecture("ddarts", ONE * 5)).cells) == 5
    with pytest.raises(InvalidArchitecture, match="96 variables"):
        ddarts().admit(Architecture("ddarts", ONE * 5))

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces import nasbench101 as module
from ogive.spaces.nasbench101 import OPS, PAIRS, nasbench101

CONV3, CONV1, POOL = range(3)


def cell(edges: list[tuple[int, int]], ops: tuple[int, ...] = (0, 0, 0, 0, 0)) -> Architecture:
    return Architecture("nasbench101", (*(int(pair in edges) for pair in PAIRS), *ops))


def test_the_space_has_a_bit_for_each_pair_of_seven_vertices_and_five_operations() -> None:
    space = nasbench101()
    assert len(space.variables) == 26
    assert len(space) == 423_624


def test_a_cell_needs_a_path_from_input_to_output() -> None:
    assert module.is_legal(cell([(0, 6)]).choices)
    assert not module.is_legal(cell([]).choices)
    assert not module.is_legal(cell([(0, 1), (2, 6)]).choices)


def test_edges_are_counted_after_pruning() -> None:
    nine = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (1, 6), (2, 6), (3, 6)]
    assert module.is_legal(cell(nine).choices)
    # A tenth edge that leads nowhere does not count, one to the output does.
    assert module.is_legal(cell([*nine, (0, 4)]).choices)
    assert not module.is_legal(cell([*nine, (0, 6)]).choices)


def test_pruning_removes_dead_ends_and_what_nothing_enters() -> None:
    arch = cell([(0, 1), (1, 6), (1, 2), (3, 6)], (POOL, CONV1, CONV1, POOL, POOL))
    assert module.prune(arch) == cell([(0, 1), (1, 6)], (POOL, 0, 0, 0, 0))
    assert module.pruned_cell(arch) == module.Cell(((0, 1, 0), (0, 0, 1), (0, 0, 0)), (POOL,))


def test_the_canonical_cell_has_its_unused_vertices_last() -> None:
    arch = cell([(0, 3), (3, 6)], (CONV3, CONV3, POOL, CONV3, CONV3))
    assert module.canonical(arch) == cell([(0, 1), (1, 6)], (POOL, 0, 0, 0, 0))


def test_the_canonical_cell_is_the_smallest_of_all_relabellings() -> None:
    rng, space = np.random.default_rng(1), nasbench101()
    for _ in range(5):
        arch = next(arch for arch in iter(lambda: space.sample(rng), None) if len(module.pruned_cell(arch).ops) == 5)
        edges = [pair for pair, bit in zip(PAIRS, module.prune(arch).choices, strict=False) if bit]
        relabelled = []
        for order in itertools.permutations(range(1, 6)):
            place = {0: 0, 6: 6, **{vertex: order[vertex - 1] for vertex in range(1, 6)}}
            moved = [(place[i], place[j]) for i, j in edges]
            if all(i < j for i, j in moved):
                ops = sorted(range(1, 6), key=place.__getitem__)
                relabelled.append(cell(moved, tuple(int(arch.choices[len(PAIRS) + vertex - 1]) for vertex in ops)))
        assert module.canonical(arch) == min(relabelled)


def test_small_cells_are_enumerated_as_counted_by_hand() -> None:
    # Input and output alone: 1. One inner vertex: with and without the edge past it, 3 operations: 6.
    assert len(module._distinct(2)) == 1
    assert len(module._distinct(3)) == 6
    # Two inner vertices a < b, each on a path. In a chain (edge a-b) the input may also reach b, a the output and the
    # input the output: 8 graphs of 9 labellings. Side by side, with or without the edge past them: 2 graphs of 6.
    assert len(module._distinct(4)) == 8 * 9 + 2 * 6


def test_the_listing_is_of_canonical_cells() -> None:
    listed = list(itertools.islice(nasbench101(), 200))
    assert len(set(listed)) == 200
    assert all(module.canonical(arch) == arch for arch in listed)
    assert all(nasbench101().check(arch.choices) == arch for arch in listed)


def test_hashes_are_the_published_ones() -> None:
    # Rows of the NAS-Bench-101 release (google-research/nasbench): matrix row by row, operations, hash.
    published = [
        ("100110100001001010101", "131124", "00005c142e6f48ac74fdcf73e3439874"),
        ("100000100001000111101", "221214", "0000718c96730a92ea6d5242f8ce77e2"),
    ]
    choices = [(*map(int, bits), *(int(op) - 1 for op in ops[:-1])) for bits, ops, _ in published]
    hashes = [digest for _, _, digest in published]
    assert [module.module_hash(nasbench101().check(row)) for row in choices] == hashes
    assert [digest.decode() for digest in module.module_hashes(choices)] == hashes


def test_hashing_many_prunes_first() -> None:
    rng, space = np.random.default_rng(0), nasbench101()
    archs = [space.sample(rng) for _ in range(100)]
    together = [digest.decode() for digest in module.module_hashes([arch.choices for arch in archs])]
    assert together == [module.module_hash(arch) for arch in archs]
    assert together == [module.module_hash(module.canonical(arch)) for arch in archs]


def test_hashing_a_cell_without_a_path_is_refused() -> None:
    with pytest.raises(InvalidArchitecture, match="Cell 1 has no path"):
        module.module_hashes([cell([(0, 6)]).choices, cell([]).choices])


def test_the_drawing_leaves_out_vertices_without_edges_only() -> None:
    graph = nasbench101().draw(cell([(0, 2), (2, 6), (0, 4)], (CONV3, POOL, CONV3, CONV1, CONV3)))
    assert graph.ops == ("input", OPS[POOL], OPS[CONV1], "output")
    assert graph.edges == {(0, 1), (1, 3), (0, 2)}


def test_a_specification_is_read_with_its_output_last() -> None:
    text = "ModelSpec(matrix=[[0, 1, 1], [0, 0, 1], [0, 0, 0]], ops=['input', 'maxpool3x3', 'output'])"
    assert nasbench101().parse(text) == cell([(0, 1), (0, 6), (1, 6)], (POOL, 0, 0, 0, 0))


def test_a_specification_is_written_whole() -> None:
    arch = cell([(0, 2), (2, 6), (0, 4)], (CONV3, POOL, CONV3, CONV1, CONV3))
    assert nasbench101().parse(nasbench101().format(arch)) == arch
    assert (
        nasbench101()
        .format(arch)
        .endswith(
            "ops=['input', 'conv3x3-bn-relu', 'maxpool3x3', 'conv3x3-bn-relu', 'conv1x1-bn-relu', 'conv3x3-bn-relu', "
            "'output'])"
        )
    )


def test_a_specification_of_more_vertices_is_pruned() -> None:
    matrix = np.zeros((9, 9), int)
    matrix[0, 7] = matrix[7, 8] = matrix[0, 1] = 1
    ops = ["input", *["conv3x3-bn-relu"] * 6, "maxpool3x3", "output"]
    assert nasbench101().parse(f"ModelSpec({matrix.tolist()}, {ops})") == cell([(0, 1), (1, 6)], (POOL, 0, 0, 0, 0))
    matrix[range(8), range(1, 9)] = 1
    with pytest.raises(InvalidArchitecture, match="leaves 9"):
        nasbench101().parse(f"ModelSpec({matrix.tolist()}, {ops})")


@pytest.mark.parametrize(
    ("matrix", "ops", "complaint"),
    [
        ("[[0, 1], [1, 0]]", "['input', 'output']", "above its diagonal"),
        ("[[0, 2], [0, 0]]", "['input', 'output']", "above its diagonal"),
        ("[[0, 1], [0]]", "['input', 'output']", "square"),
        ("[[0]]", "['input']", "square"),
        ("[[0, 'x'], [0, 0]]", "['input', 'output']", "above its diagonal"),
        ("7", "['input', 'output']", "square"),
        ("[[0, 1], [0, 0]]", "['input']", "as many ops"),
        ("[[0, 1], [0, 0]]", "['output', 'input']", "as many ops"),
        ("[[0, 1], [0, 0]]", "None", "as many ops"),
        ("[[0,1,0],[0,0,1],[0,0,0]]", "['input', 'maxpool', 'output']", "Did you mean 'maxpool3x3'"),
        ("[[0,1,0],[0,0,1],[0,0,0]]", "['input', ['maxpool3x3'], 'output']", "no operation"),
        ("[[0, 0], [0, 0]]", "['input', 'output']", "not a legal architecture"),
    ],
)
def test_a_specification_that_is_no_cell_is_refused(matrix: str, ops: str, complaint: str) -> None:
    with pytest.raises(InvalidArchitecture, match=complaint):
        nasbench101().parse(f"ModelSpec(matrix={matrix}, ops={ops})")

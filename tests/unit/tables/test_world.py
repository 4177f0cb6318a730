from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.space import Choice, Real, SearchSpace
from ogive.spaces.nasbench101 import nasbench101
from ogive.tables.keys import SortedDigests
from ogive.tables.store import Column, Table, write_table
from ogive.tables.world import ClosedWorld


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


FOUR = tuple("abcd")
SPACE = SearchSpace("toy", (Choice("x", FOUR), Choice("y", FOUR), Choice("z", FOUR)), draw)
ROWS = [(0, 0, 0), (0, 0, 1), (0, 1, 1), (3, 3, 3), (3, 3, 2)]


def table_of(folder: Path, space: str, rows: object, by: str = "choices") -> Table:
    key, _ = SortedDigests.of(space, np.array(rows), by=by)
    columns = {"val": (Column("%", "", "float64"), np.arange(key.rows, dtype=np.float64))}
    about = {"source": "", "licence": "", "importer": ""}
    return write_table(folder / "some", columns, name="some", space=space, key=key, complete=False, **about)


@pytest.fixture
def world(tmp_path: Path) -> ClosedWorld:
    return ClosedWorld.of(SPACE, table_of(tmp_path, "toy", ROWS))


def arch(*choices: int) -> Architecture:
    return Architecture("toy", choices)


def test_a_world_holds_the_rows_of_its_table_and_says_so(world: ClosedWorld) -> None:
    assert len(world) == world.size == 5
    assert {one.choices for one in world} == set(ROWS)
    assert str(world) == "closed world of 5 rows"
    assert arch(0, 0, 1) in world
    assert arch(1, 1, 1) not in world
    assert Architecture("other", (0, 0, 1)) not in world
    assert world.check((3, 3, 3)) == arch(3, 3, 3)
    with pytest.raises(InvalidArchitecture, match="not a legal architecture"):
        world.check((1, 1, 1))


def test_samples_are_rows_all_of_them_in_the_long_run(world: ClosedWorld) -> None:
    rng = np.random.default_rng(0)
    drawn = [world.sample(rng).choices for _ in range(500)]
    counts = [drawn.count(row) for row in ROWS]
    assert sum(counts) == 500
    assert min(counts) > 60


def test_a_mutation_is_the_nearest_row_that_was_not_visited(world: ClosedWorld) -> None:
    rng = np.random.default_rng(0)
    assert world.mutate(arch(0, 0, 0), rng) == arch(0, 0, 1)
    world.visit(arch(0, 0, 1))
    assert world.mutate(arch(0, 0, 0), rng) == arch(0, 1, 1)
    world.visit(arch(0, 1, 1))
    assert {world.mutate(arch(0, 0, 0), rng) for _ in range(40)} == {arch(3, 3, 3), arch(3, 3, 2)}


def test_distances_that_are_kept_forget_no_visit_and_no_parent(tmp_path: Path) -> None:
    every = np.stack(np.unravel_index(np.arange(64), (4, 4, 4)), axis=1)
    world, rng = ClosedWorld.of(SPACE, table_of(tmp_path, "toy", every)), np.random.default_rng(0)
    for _ in range(3):
        for parent in (arch(1, 2, 3), arch(0, 0, 0), arch(3, 1, 2)):
            child = world.mutate(parent, rng)
            left = [one for one in map(tuple, every) if world._table.row(arch(*one)) not in world.visited]
            apart = [sum(a != b for a, b in zip(one, parent.choices, strict=True)) for one in left]
            nearest = min(distance for one, distance in zip(left, apart, strict=True) if one != parent.choices)
            assert sum(a != b for a, b in zip(child.choices, parent.choices, strict=True)) == nearest
            assert child != parent
            world.visit(child)
    assert len(world.visited) == 9
    for row in every.tolist():
        world.visit(arch(*row))
        again = world.mutate(arch(1, 2, 3), rng)
    # Now that all were visited, all of them may be so anew.
    assert sum(a != b for a, b in zip(again.choices, (1, 2, 3), strict=True)) == 1


def test_neighbours_are_the_nearest_unvisited_rows_and_as_many_as_in_the_open_space(tmp_path: Path) -> None:
    every = np.stack(np.unravel_index(np.arange(64), (4, 4, 4)), axis=1)
    world = ClosedWorld.of(SPACE, table_of(tmp_path, "toy", every))
    assert set(world.neighbours(arch(1, 2, 3))) == set(SPACE.neighbours(arch(1, 2, 3)))
    world.visit(arch(1, 2, 0))
    found = world.neighbours(arch(1, 2, 3))
    near = [one for one in found if sum(a != b for a, b in zip(one.choices, (1, 2, 3), strict=True)) == 1]
    assert (len(found), len(near)) == (9, 8)
    assert arch(1, 2, 0) not in found


def test_neighbours_of_a_small_world_are_all_that_is_left(world: ClosedWorld) -> None:
    world.visit(arch(3, 3, 3))
    assert [one.choices for one in world.neighbours(arch(0, 0, 0))][:2] == [(0, 0, 1), (0, 1, 1)]
    assert {one.choices for one in world.neighbours(arch(0, 0, 0))} == {(0, 0, 1), (0, 1, 1), (3, 3, 2)}


def test_what_is_outside_is_projected_onto_the_nearest_unvisited_row_and_counted(world: ClosedWorld) -> None:
    assert world.project(arch(0, 1, 1)) == arch(0, 1, 1)
    assert world.projections == 0
    assert world.project(arch(3, 3, 1)) in (arch(3, 3, 3), arch(3, 3, 2))
    world.visit(arch(3, 3, 3))
    assert world.project(arch(3, 3, 1)) == arch(3, 3, 2)
    assert world.projections == 2


def test_children_of_two_rows_are_rows(world: ClosedWorld) -> None:
    rng = np.random.default_rng(0)
    children = {world.cross(arch(0, 0, 0), arch(3, 3, 3), rng) for _ in range(50)}
    assert {child.choices for child in children} <= set(ROWS)
    assert world.cross(arch(0, 0, 0), arch(0, 0, 0), rng) == arch(0, 0, 0)


def test_when_all_was_visited_everything_may_be_visited_again(world: ClosedWorld) -> None:
    for row in ROWS:
        world.visit(arch(*row))
    rng = np.random.default_rng(0)
    assert world.mutate(arch(0, 0, 0), rng) == arch(0, 0, 1)
    assert world.project(arch(0, 0, 2)) in (arch(0, 0, 0), arch(0, 0, 1))


def test_two_worlds_of_one_table_do_not_share_what_was_visited(world: ClosedWorld) -> None:
    other = ClosedWorld.of(world, world._table)
    world.visit(arch(0, 0, 1))
    assert other.visited == []
    assert len(world.visited) == 1
    other.revisit(world.visited, 3)
    assert (other.visited, other.projections) == (world.visited, 3)


def test_the_distance_of_cells_of_nasbench101_ignores_the_order_of_their_vertices(tmp_path: Path) -> None:
    space = nasbench101()
    text = "ModelSpec(matrix={}, ops=['input', {}, 'output'])"
    # A chain of a convolution and a pooling, and one that starts with the pooling.
    chain = [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    wide = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    cells = [
        space.canonical(space.parse(text.format(matrix, ops)))
        for matrix, ops in (
            (chain, "'maxpool3x3', 'maxpool3x3'"),
            (wide, "'conv3x3-bn-relu', 'conv3x3-bn-relu'"),
            (wide, "'conv1x1-bn-relu', 'maxpool3x3'"),
        )
    ]
    world = ClosedWorld.of(space, table_of(tmp_path, "nasbench101", [cell.choices for cell in cells], "module hash"))
    asked = space.parse(text.format(wide, "'maxpool3x3', 'conv3x3-bn-relu'"))
    # One operation differs once the two vertices are exchanged; as they stand, both would.
    distances = world._distances(asked)
    assert distances[world._table.row(cells[2])] == 1
    assert distances[world._table.row(cells[1])] == 1
    assert distances[world._table.row(cells[0])] == 3 + 1
    # An isomorphic cell is in the world, and is proposed as the row has it.
    turned = space.parse(text.format(wide, "'maxpool3x3', 'conv1x1-bn-relu'"))
    assert turned in world
    assert turned != cells[2]
    assert world.project(turned) == cells[2]
    assert world.projections == 0


def test_a_world_is_sent_to_another_process_without_its_columns(world: ClosedWorld) -> None:
    world.visit(arch(0, 0, 1))
    again = pickle.loads(pickle.dumps(world))
    assert again.visited == world.visited
    assert len(again) == 5


def test_a_table_of_another_space_or_of_continuous_variables_makes_no_world(tmp_path: Path) -> None:
    table = table_of(tmp_path, "toy", ROWS)
    with pytest.raises(SpecError, match="for the space toy, not for nasbench101"):
        ClosedWorld.of(nasbench101(), table)
    continuous = SearchSpace("toy", (Choice("x", FOUR), Choice("y", FOUR), Real("z", 0, 1)), draw)
    with pytest.raises(SpecError, match="edit distance is not defined"):
        ClosedWorld.of(continuous, table)

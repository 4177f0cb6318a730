from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.networks.build import Skeleton
from ogive.supernets.alphas import Alphas
from ogive.supernets.gates import SinglePath
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Edge, partition
from ogive.supernets.paths import drawn, uniform_paths
from ogive.supernets.plan import DARTS, NASBENCH201
from ogive.supernets.sequential import Level, UniformTraining, split_and_trained, trained
from ogive.supernets.sharing import supernet
from ogive.training.data import Data, Split
from ogive.training.recipe import Recipe
from ogive.training.tasks.classification import Classification

pytestmark = pytest.mark.usefixtures("one_thread")

EDGE = Edge("cell", 0)


def split(seed: int, count: int) -> Split:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(images, torch.arange(count) % 2)


DATA = Data("noise", split(0, 24), split(1, 8), split(2, 8), ("a", "b"), (0.5,) * 3, (0.25,) * 3)
RECIPE = Recipe(epochs=3, batch_size=12, learning_rate=0.025, weight_decay=1e-4)


def whole() -> Supernet:
    return supernet("nasbench201", Skeleton(channels=2, cells=1, classes=2), seed=0)


def training(folder: Path | None = None, **changes: object) -> UniformTraining:
    plain = UniformTraining(
        Classification(DATA), Seed(0), RECIPE, replace(RECIPE, epochs=2), {"space": "nasbench201"}, folder=folder
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def same(one: Supernet, other: Supernet) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(t, states[1][name]) for name, t in states[0].items()
    )


# -- what is drawn ----------------------------------------------------------------------------------------------------


def test_every_architecture_of_a_part_is_drawn_equally_often() -> None:
    rows = ((1,), (0, 3), (2,), (1, 4), (2,), (0,))
    draw = torch.Generator().manual_seed(0)
    cells = [drawn(NASBENCH201, rows, draw) for _ in range(2000)]
    counts = {cell: cells.count(cell) for cell in set(cells)}
    assert len(counts) == 4
    assert all(abs(count - 500) < 100 for count in counts.values())


def test_cells_of_darts_are_drawn_with_two_edges_a_node_fixed_ones_among_them() -> None:
    rows = list(DARTS.everything)
    rows[3], rows[5], rows[9] = (4,), (), (5,)
    draw = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(300):
        cell = drawn(DARTS, tuple(rows), draw)
        for node in range(2, 6):
            assert sum(bool(row) for row, (_, target) in zip(cell, DARTS.edges, strict=True) if target == node) == 2
        assert (cell[3], cell[5], cell[9]) == ((4,), (), (5,))
        seen |= {(edge, row) for edge, row in enumerate(cell)}
    assert not any(0 in row for _, row in seen)  # no cell of darts holds `none`
    assert {op for edge, row in seen if edge == 0 for op in row} == set(range(1, 8))
    assert {row for edge, row in seen if edge == 13} == {(), *((op,) for op in range(1, 8))}
    rows[2] = rows[4] = (1,)
    with pytest.raises(SpecError, match="has 2 edges, but node 3 of this part of the supernet has 3 that are fixed"):
        drawn(DARTS, tuple(rows), draw)


def test_the_cells_of_a_supernet_share_a_draw_unless_each_has_its_own() -> None:
    draw = torch.Generator().manual_seed(0)
    shared, apart = (uniform_paths(whole(), per_cell=per_cell) for per_cell in (False, True))
    assert isinstance(shared, Alphas)
    for _ in range(5):
        assert len({mix.active for mix in shared.mixture(SinglePath(), draw)}) == 1
        assert len({mix.active for mix in apart.mixture(SinglePath(), draw)}) == 3


# -- training ---------------------------------------------------------------------------------------------------------


def test_a_training_moves_weights_and_depends_on_seed_and_data_alone(tmp_path: Path) -> None:
    first, second = trained(whole(), "", training()), trained(whole(), "", training(tmp_path))
    assert same(first, second)
    assert not same(first, whole())
    assert not same(first, trained(whole(), "", training(seed=Seed(1))))
    assert not same(first, trained(whole(), "", training(per_cell=True)))


def test_an_interrupted_training_goes_on_and_a_finished_one_is_read_back(tmp_path: Path) -> None:
    expected = trained(whole(), "", training())

    def interrupt(text: str) -> None:
        if "epoch 2 of 3" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(whole(), "", training(tmp_path, progress=interrupt))
    told: list[str] = []
    assert same(trained(whole(), "", training(tmp_path, progress=told.append)), expected)
    assert [text.partition(", loss")[0] for text in told] == ["supernet: epoch 3 of 3"]
    told.clear()
    assert same(trained(whole(), "", training(tmp_path, progress=told.append)), expected)
    assert told == []


def test_trainings_of_different_settings_do_not_meet_in_one_folder(tmp_path: Path) -> None:
    first = trained(whole(), "", training(tmp_path))
    second = trained(whole(), "", training(tmp_path, seed=Seed(1)))
    assert len(list(tmp_path.iterdir())) == 2
    assert same(trained(whole(), "", training(tmp_path)), first)
    assert not same(first, second)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        trained(whole(), "", training(tmp_path / "file" / "inside"))


def test_a_loss_that_is_no_number_leaves_the_weights_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    broken = replace(DATA, mean=(math.nan,) * 3)
    network = trained(whole(), "", training(task=Classification(broken), recipe=replace(RECIPE, batch_size=4)))
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), whole().parameters(), strict=True))
    assert "no number in three steps in a row" in caplog.text


def test_parts_begin_at_the_weights_of_their_parent_and_train_apart(tmp_path: Path) -> None:
    parent = trained(whole(), "", training(tmp_path))
    before = {name: tensor.clone() for name, tensor in parent.state_dict().items()}
    parts = split_and_trained(parent, [Level(EDGE)], training(tmp_path))
    assert all(torch.equal(tensor, before[name]) for name, tensor in parent.state_dict().items())
    assert len(parts) == 5
    assert len(list(tmp_path.iterdir())) == 6
    by_hand = partition(parent, EDGE).parts[((3,),)]
    assert not same(by_hand, parts.parts[((3,),)])
    trained(by_hand, "cell:0 nor_conv_3x3", training())
    assert same(by_hand, parts.parts[((3,),)])
    weights = [part.stem[0].weight for _, part in parts]  # type: ignore[index,union-attr]
    assert not any(torch.equal(weights[0], other) for other in weights[1:])


def test_the_parts_of_every_level_are_trained_before_they_are_split(tmp_path: Path) -> None:
    levels = [Level(EDGE, ((0, 1, 4), (2, 3))), Level(Edge("cell", 3), ((0, 1), (2, 3, 4)))]
    told: list[str] = []
    parts = split_and_trained(whole(), levels, training(tmp_path, progress=told.append))
    assert list(parts.parts) == [((0, 1, 4), (0, 1)), ((0, 1, 4), (2, 3, 4)), ((2, 3), (0, 1)), ((2, 3), (2, 3, 4))]
    names = [text.partition(": epoch 2")[0] for text in told if ": epoch 2" in text]
    left, right = "none-skip_connect-avg_pool_3x3", "nor_conv_1x1-nor_conv_3x3"
    assert names[:3] == [
        f"supernet (cell:0 {left})",
        f"supernet (cell:0 {right})",
        (f"supernet (cell:0 {left}, cell:3 none-skip_connect)"),
    ]
    assert len(names) == 6
    arch = NASBENCH201.derive([torch.eye(5)[torch.tensor([2, 0, 0, 4, 1, 1])]])
    assert parts.route(arch) == ((2, 3), (2, 3, 4))
    network = parts.network(arch)
    assert np.isfinite(network(torch.zeros(4, 3, 8, 8)).detach().numpy()).all()

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ogive import catalog
from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.spaces.darts import OPS, darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.few_shot import FewShot, Splitting
from ogive.strategies.local import RandomSearch
from ogive.strategies.supernet import SupernetStrategy
from ogive.supernets.plan import DARTS, NASBENCH201
from ogive.training.data import Data, Split

pytestmark = pytest.mark.usefixtures("one_thread")

EVERY_OPERATION = {0, 1, 2, 3, 4}


def split(seed: int, count: int) -> Split:
    """Images whose class shows: the second is brighter."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(noise + 100 * labels.byte()[:, None, None, None], labels)


DATA = Data("bright", split(0, 24), split(1, 8), split(2, 8), ("dark", "bright"), (0.4,) * 3, (0.25,) * 3)


def searcher(space: SearchSpace, kind: str = "darts", **options: Any) -> SupernetStrategy:
    plain: dict[str, Any] = {
        "space": space, "data": DATA, "seed": Seed(0), "channels": 4, "cells": 1, "epochs": 2, "batch_size": 12,
    }  # fmt: skip
    if kind == "darts":
        plain["alpha_learning_rate"] = 0.1
    found: SupernetStrategy = catalog.build("strategy", kind, **{**plain, **options})
    return found


def strategy(inner: dict[str, Any] | None = None, space: SearchSpace | None = None, **options: Any) -> FewShot:
    space = nasbench201() if space is None else space
    progress = options.pop("progress", None)
    splitting = Splitting(**{"part_epochs": 1, **options})
    return FewShot(searcher(space, **(inner or {})), space=space, seed=Seed(0), splitting=splitting, progress=progress)


def whole_search(search: FewShot) -> list[Any]:
    return search.ask(1000)


def test_one_ask_is_an_epoch_of_the_supernet_or_of_a_part_and_the_best_part_is_proposed() -> None:
    search = strategy()
    proposals = [search.ask() for _ in range(7)]
    assert [len(one) for one in proposals] == [1] * 7
    assert search.ask() == []
    assert all(one[0].cost.wall_s > 0 for one in proposals)
    whole, *parts = search.found
    assert proposals[1][0].arch == whole.arch
    # Each proposal after the supernet's is that of the part with the lowest loss until then.
    for number in range(1, 6):
        best = min(parts[:number], key=lambda found: found.loss)
        assert proposals[1 + number][0].arch == best.arch
    assert search.derived() == min(parts, key=lambda found: found.loss).arch


def test_every_part_derives_its_own_operation_on_the_split_edge() -> None:
    search = strategy(split=3)
    whole_search(search)
    parts = search.found[1:]
    assert [found.name for found in parts] == [f"cell:3 {name}" for name in NASBENCH201.operations]
    assert [found.arch.choices[3] for found in parts] == [0, 1, 2, 3, 4]


def test_parts_of_several_edges_are_searched_level_by_level() -> None:
    search = strategy({"epochs": 1}, split=[0, 3])
    proposals = whole_search(search)
    assert len(proposals) == 1 + 5 + 25
    assert [found.level for found in search.found] == [0] + 5 * [1] + 25 * [2]
    deepest = search.found[-25:]
    assert {(found.arch.choices[0], found.arch.choices[3]) for found in deepest} == {
        (one, other) for one in EVERY_OPERATION for other in EVERY_OPERATION
    }
    assert proposals[-1].arch == min(deepest, key=lambda found: found.loss).arch


def test_parts_in_darts_hold_what_their_two_edges_hold() -> None:
    inner = {"epochs": 1, "cells": 3}
    search = strategy(inner, darts(), split=["normal:2", "reduce:0"], transfer=False)
    search.ask(8)
    assert search._waiting is not None
    # An edge of the second node may be absent, which takes the place of `none`; one of the first has to be there.
    assert len(search.found) + len(search._waiting) == 8 * 7
    seen = [(found.name, DARTS.choices(found.arch)) for found in search.found]
    for name, choices in seen:
        first, second = (place.split(" ")[1] for place in name.split(", "))
        assert choices["normal"][2] == (() if first == "absent" else (OPS.index(first),))
        assert choices["reduce"][0] == (OPS.index(second),)
    assert [name.split(",")[0] for name, _ in seen] == 7 * ["normal:2 absent"] + ["normal:2 max_pool_3x3"]


def test_a_part_begins_with_the_weights_of_its_parent() -> None:
    search = strategy()
    search.ask(2)
    search._finish()
    assert search._begin()
    parent = search._parents[""]
    _, part = search._now or (None, None)
    assert part is not None
    before, after = parent.state_dict(), part.search.supernet.state_dict()
    assert after.keys() < before.keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    assert [len(group) for group in part.search.alphas.groups] == [5]


def test_every_part_has_the_same_images_and_random_numbers_of_its_own() -> None:
    search = strategy(transfer=False)
    parts = []
    while search.ask():
        assert search._now is not None
        parts.append(search._now[1].search)
    assert len(parts) == 5
    for one in parts[1:]:
        assert torch.equal(one.alphas_task.data.train.images, parts[0].alphas_task.data.train.images)
        assert torch.equal(one.weights_task.data.train.images, parts[0].weights_task.data.train.images)
        assert one.seed != parts[0].seed
    stems = [one.supernet.state_dict()["stem.0.weight"] for one in parts]
    assert not torch.equal(stems[0], stems[1])


@pytest.mark.parametrize(
    ("inner", "options"),
    [
        ({}, {}),
        ({}, {"split": "random", "splits": 2, "part_epochs": 2}),
        ({}, {"split": "agreement"}),
        ({}, {"transfer": False, "part_epochs": 2}),
        ({"partial": 2, "edge_normalisation": True, "warm_epochs": 1}, {}),
        ({"gate": "gumbel"}, {}),
        ({"gate": "sigmoid", "zero_one": 1.0}, {}),
        ({"kind": "spos(candidates=6, population=3, tournament=2)"}, {}),
        ({"kind": "enas(hidden=8, controller_steps=2, controller_samples=3, final_candidates=4)"}, {}),
        ({"select": "perturbation", "tune_epochs": 1, "epochs": 1}, {"transfer": False}),
    ],
    ids=str,
)
def test_it_goes_on_from_any_epoch_as_if_nothing_had_happened(
    inner: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    whole, stopped = strategy(inner, **options), strategy(inner, **options)
    expected = []
    for turn in range(6):
        expected += whole.ask()
        found = stopped.ask()
        assert [one.arch for one in found] == [one.arch for one in expected[turn : turn + 1]]
        stopped.save(tmp_path / str(turn))
        stopped = strategy(inner, **options)
        stopped.load(tmp_path / str(turn))
    assert whole.found == stopped.found
    assert whole._now is not None and stopped._now is not None  # noqa: PT018
    there, here = (one[1].search.tensors() for one in (whole._now, stopped._now))
    assert there.keys() == here.keys()
    assert all(torch.equal(there[name], here[name]) for name in there)


def test_finished_parts_are_not_kept_when_nothing_is_split_from_them(tmp_path: Path) -> None:
    search = strategy()
    search.ask(6)
    search.save(tmp_path / "before")
    assert sorted(path.name for path in (tmp_path / "before").iterdir()) == ["few_shot.json", "parent-0", "search"]
    search.ask(1)
    search.save(tmp_path / "last")
    assert sorted(path.name for path in (tmp_path / "last").iterdir()) == ["few_shot.json", "search"]


def test_a_loss_that_is_no_number_ends_a_part_and_not_the_search() -> None:
    search = strategy({"batch_size": 4})  # three steps an epoch
    search.ask(2)
    search._finish()
    assert search._begin()
    assert search._now is not None
    with torch.no_grad():
        search._now[1].search.weights[-1].fill_(math.nan)
    search.ask(5)
    whole, broken, *others = search.found
    assert search.rolled_back == 3
    assert broken.loss == math.inf
    assert all(math.isfinite(one.loss) for one in (whole, *others))
    assert search.derived() == min(others, key=lambda found: found.loss).arch


def test_progress_says_which_part_and_which_epoch() -> None:
    told: list[str] = []
    search = strategy(progress=told.append, part_epochs=2)
    whole_search(search)
    assert any(text.startswith("whole supernet, epoch 2 of 2: loss ") for text in told)
    assert any(text.startswith("part 3 of 5 (cell:0 nor_conv_1x1), epoch 1 of 2: loss ") for text in told)
    assert told[-1].startswith(f"the part with {search.best.name} decides: ")


def test_a_state_of_another_search_or_a_torn_one_is_refused(tmp_path: Path) -> None:
    search = strategy()
    search.ask(3)
    search.save(tmp_path / "state")
    with pytest.raises(StoreError, match="'split': \\['cell:1'\\]"):
        strategy(split=1).load(tmp_path / "state")
    shutil.rmtree(tmp_path / "state" / "parent-0")
    with pytest.raises(StoreError, match="parent-0 holds no readable supernet"):
        strategy().load(tmp_path / "state")


def test_what_cannot_be_split_or_searched_in_parts_is_refused() -> None:
    with pytest.raises(SpecError, match=r"write few_shot\(darts\)"):
        FewShot(RandomSearch(nasbench201(), Seed(0)), space=nasbench201(), seed=Seed(0))
    with pytest.raises(SpecError, match="part_epochs must be at least 1, but got 0"):
        strategy(part_epochs=0)
    with pytest.raises(SpecError, match="splits must be at least 1, but got 0"):
        strategy(splits=0)
    with pytest.raises(SpecError, match="split names none"):
        strategy(split=[])
    with pytest.raises(SpecError, match="edges of a cell of nasbench201 are 0 to 5"):
        strategy(split=6)
    with pytest.raises(SpecError, match="split on different edges"):
        strategy(split=[0, 3, 0])
    with pytest.raises(SpecError, match="leave out transfer=false"):
        strategy(split="agreement", transfer=False)
    with pytest.raises(SpecError, match="leaves no edge to split"):
        strategy({"select": "perturbation"})
    with pytest.raises(SpecError, match="drops edges in darts"):
        strategy({"select": "perturbation", "cells": 3}, darts(), transfer=False)


def test_edges_that_cannot_be_split_are_refused_before_the_first_epoch() -> None:
    for space, split, reason in (
        (nasbench201(), "random", "6 edges to split, but 7 were asked for"),
        (nasbench201(), "agreement", "6 edges to split, but 7 were asked for"),
        # The only cell of so short a network is a reduction cell.
        (darts(), ["reduce:0", "normal:0"], "normal:0 has no cell"),
    ):
        for transfer in (True, False):
            if transfer or split != "agreement":
                told: list[str] = []
                search = strategy({}, space, split=split, splits=7, transfer=transfer, progress=told.append)
                with pytest.raises(SpecError, match=reason):
                    search.ask()
                assert told == []


def test_single_paths_of_a_part_are_compared_with_its_weights_alone() -> None:
    inner = {"kind": "spos(candidates=6, population=3, tournament=2)"}
    search = strategy(inner, split=2)
    whole_search(search)
    assert [found.arch.choices[2] for found in search.found[1:]] == [0, 1, 2, 3, 4]


def test_the_same_seed_searches_alike_and_another_does_not() -> None:
    first, second = (strategy(), strategy())
    assert [one.arch for one in whole_search(first)] == [one.arch for one in whole_search(second)]
    assert first.found == second.found
    other = FewShot(
        searcher(nasbench201(), seed=Seed(1)), space=nasbench201(), seed=Seed(1), splitting=Splitting(part_epochs=1)
    )
    whole_search(other)
    assert [found.loss for found in other.found] != [found.loss for found in first.found]


@pytest.mark.parametrize("options", [{}, {"transfer": False}, {"split": [0, 3], "part_epochs": 2}, {"split": "random"}])
def test_a_search_says_how_many_proposals_it_makes_and_rehearses_all(options: dict[str, Any]) -> None:
    search = strategy(**options)
    assert search.rehearse() > 0
    assert search.proposals == len(whole_search(search))

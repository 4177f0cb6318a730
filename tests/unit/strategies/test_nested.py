from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from ogive import catalog
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks.build import build, build_nested, default_skeleton
from ogive.spaces.darts import darts
from ogive.spaces.ddarts import dartopti, ddarts
from ogive.spaces.nested import NestedGenotype
from ogive.spaces.unrestricted import dartopti_from, ddarts_dense, outline_of
from ogive.strategies.nested import Nested
from ogive.strategies.supernet import SupernetStrategy
from ogive.training.data import Data, Split

pytestmark = pytest.mark.usefixtures("one_thread")


def split(seed: int, count: int) -> Split:
    """Images whose class shows: the second is brighter."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(noise + 100 * labels.byte()[:, None, None, None], labels)


DATA = Data("bright", split(0, 32), split(1, 8), split(2, 8), ("dark", "bright"), (0.4,) * 3, (0.25,) * 3)


def strategy(**options: Any) -> SupernetStrategy:
    plain: dict[str, Any] = {
        "space": ddarts(cells=3), "data": DATA, "seed": Seed(0), "channels": 2, "epochs": 3, "batch_size": 8,
        "alpha_learning_rate": 0.1, "form": "literal", "ablation": 0.0,
    }  # fmt: skip
    found: SupernetStrategy = catalog.build("strategy", "ddarts", **{**plain, **options})
    return found


def genotype(search: SupernetStrategy) -> NestedGenotype:
    assert isinstance(search.method.derive, Nested)
    return search.method.derive.genotype(search.search)


def opened(search: SupernetStrategy, gate: float) -> None:
    """Every gate of the first cell as open as this, those of the others shut."""
    with torch.no_grad():
        for place, own in enumerate(search.search.alphas.groups):
            own.fill_(torch.logit(torch.tensor(gate if place == 0 else 0.01)))


def test_one_ask_is_one_epoch_and_what_it_proposes_can_be_built_and_deepened() -> None:
    search = strategy()
    proposals = search.ask(5)
    assert [epoch.number for epoch in search.search.history] == [1, 2, 3]
    assert search.ask() == []
    for proposal in proposals:
        ddarts(cells=3).admit(proposal.arch)
    network = build(proposals[-1].arch, default_skeleton("ddarts", channels=2, cells=3))
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def test_the_genotype_of_a_search_is_deepened_to_any_number_of_layers() -> None:
    search = strategy(space=ddarts(cells=5), epochs=1)
    (proposal,) = search.ask()
    assert search.derived() == proposal.arch
    for layers in (5, 8, 14, 20):
        skeleton = default_skeleton("ddarts", channels=2, cells=layers)
        deep = build_nested(genotype(search), skeleton, seed=0)
        assert deep.recipe["reductions"] == (layers // 3, 2 * layers // 3)
        assert set(deep.recipe["layers"]) <= set(range(5))  # type: ignore[call-overload]
        assert deep(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
        same = build(proposal.arch, skeleton, seed=0)
        assert same(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def told(value: object) -> str:
    """A parameter as the name of its test, the same in every process."""
    if not isinstance(value, dict):
        return str(value)
    return " ".join(f"{key}={part.name if isinstance(part, SearchSpace) else part}" for key, part in value.items())


@pytest.mark.parametrize(
    "options",
    [
        {"form": "weighted", "ablation": 0.7},
        {"form": "literal", "ablation": 0.7, "reference_leaks": True},
        {"space": ddarts_dense(cells=1), "rule": "edge", "warm_epochs": 1, "epochs": 1},
        {"space": dartopti(cells=1), "form": "differentiable", "ablation": 0.7},
    ],
    ids=told,
)
def test_a_search_goes_on_from_what_was_saved_to_the_bit(options: dict[str, Any], tmp_path: Path) -> None:
    options = {"epochs": 2, "batch_size": 16, **options}
    whole, begun, resumed = (strategy(**options) for _ in range(3))
    expected = [proposal.arch for proposal in whole.ask(3)]
    assert len(expected) == 2
    begun.ask(1)
    begun.save(tmp_path)
    resumed.load(tmp_path)
    assert [proposal.arch for proposal in resumed.ask(3)] == expected[1:]
    there, here = whole.search.tensors(), resumed.search.tensors()
    assert there.keys() == here.keys()
    assert all(torch.equal(there[name], here[name]) for name in there)


def test_a_state_of_other_losses_is_refused(tmp_path: Path) -> None:
    search = strategy(epochs=1)
    search.ask()
    search.save(tmp_path)
    with pytest.raises(StoreError, match="belongs to another training: its options"):
        strategy(epochs=1, zero_one=1.0).load(tmp_path)


def test_steps_without_a_finite_loss_are_undone_and_three_in_a_row_end_the_search(
    caplog: pytest.LogCaptureFixture,
) -> None:
    search = strategy(epochs=9, batch_size=4, space=ddarts(cells=2), form="weighted", ablation=0.7)
    search.ask()
    before = {name: tensor.clone() for name, tensor in search.search.tensors().items()}
    batches = search.search.train_batches
    images = torch.full_like(batches.data.train.images.float(), torch.inf)
    batches.data = Data(
        DATA.name, Split(images, batches.data.train.labels), DATA.val, DATA.test, DATA.classes, DATA.mean, DATA.std
    )
    good = search.derived()
    assert [proposal.arch for proposal in search.ask(5)] == [good]
    assert search.rolled_back == 3
    assert "the search ends after 1 whole epoch with what it had" in caplog.text
    after = search.search.tensors()
    assert [name for name in after if not torch.equal(before[name], after[name])] == []


def test_the_architecture_waits_for_warm_epochs_which_come_on_top() -> None:
    search = strategy(epochs=1, warm_epochs=1)
    search.ask()
    assert all(not own.any() for own in search.search.alphas.groups)
    search.ask()
    assert all(own.any() for own in search.search.alphas.groups)
    assert search.ask() == []


# -- what is derived --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "entries"), [("sparse", 8), ("edge", 28), ("complete", 98)])
def test_rules_derive_what_passes_and_two_operations_a_node_where_nothing_does(rule: Any, entries: int) -> None:
    search = strategy(space=ddarts_dense(cells=2), rule=rule)
    opened(search, 0.9)
    assert [len(cell) for cell in genotype(search).cells] == [entries, 8]
    outline = outline_of(search.space)
    assert [set(cell) for cell in outline.genotype(search.derived()).cells] == [
        set(cell) for cell in genotype(search).cells
    ]
    opened(search, 0.84)
    assert [len(cell) for cell in genotype(search).cells] == [8, 8]


def test_what_an_epoch_says_tells_how_many_cells_have_decided(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told: list[str] = []
    search = strategy(epochs=1, alpha_learning_rate=1e-6, final_alpha_learning_rate=1e-6, progress=told.append)
    search.ask()
    assert "24 operations in 3 cells, of which 0 with gates of 0.85 or more (strongest 0.50)" in told[-1]
    assert told[-1] in caplog.text


def test_a_search_from_a_handcrafted_network_starts_with_it_and_ends_when_it_stays_there() -> None:
    """With rates so small that nothing changes: the published code ends at its epoch 14 then, counted from 0.

    Five warm epochs, five more of which no distance is taken, and five distances, the last alike to the four before.
    """
    space = dartopti_from(network="resnet18")
    search = strategy(
        space=space, epochs=12, alpha_learning_rate=1e-9, final_alpha_learning_rate=1e-9, rule="complete", batch_size=16
    )
    assert search.epochs == 17
    proposals = search.ask(17)
    assert len(proposals) == 15
    start = outline_of(space).start
    assert start is not None
    assert {proposal.arch for proposal in proposals} == {outline_of(space).architecture(start)}


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"space": darts()}, UnknownName, "space of nested cells"),
        ({"rule": "edge"}, SpecError, "give --space ddarts_dense or dartopti_from"),
        ({"space": ddarts_dense(cells=1), "rule": "most"}, SpecError, "but got most"),
        ({"threshold": 1.5}, SpecError, "between 0 and 1, but got 1.5"),
        ({"form": "literary"}, SpecError, "takes 'literal' or"),
        ({"form": "differentiable", "ablation": 0.7, "reference_leaks": True}, SpecError, "literal and weighted"),
        ({"channels": 0}, SpecError, "channels of a supernet must be at least 1"),
        ({"space": dartopti_from(network="xception")}, SpecError, "8×8 are too small"),
        ({"warm_epochs": -1}, SpecError, "warm_epochs"),
        ({"alpha_learning_rate": 0.0}, SpecError, "learning_rate of the architecture"),
    ],
    ids=told,
)
def test_bad_options_are_refused_before_anything_is_trained(
    options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        strategy(**options).search  # noqa: B018 - makes the supernet

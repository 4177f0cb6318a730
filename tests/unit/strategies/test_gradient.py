"""Searches by gradients, with every option. Over 500 lines: they share tiny images and one maker of strategies."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ogive import catalog
from ogive.context import Context
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.build import build, default_skeleton
from ogive.spaces import darts as darts_space
from ogive.spaces.darts import darts
from ogive.spaces.ddarts import ddarts, genotype_of
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.gradient import Strongest
from ogive.strategies.supernet import SupernetStrategy
from ogive.supernets.perturbation import Decision, _operation_for
from ogive.training.data import Data, Split
from ogive.training.tasks.classification import Classification

pytestmark = pytest.mark.usefixtures("one_thread")


def split(seed: int, count: int, side: int = 8) -> Split:
    """Images whose class shows: the second is brighter."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, side, side), generator=draw, dtype=torch.uint8)
    return Split(noise + 100 * labels.byte()[:, None, None, None], labels)


DATA = Data("bright", split(0, 48), split(1, 8), split(2, 8), ("dark", "bright"), (0.4,) * 3, (0.25,) * 3)


def strategy(**options: Any) -> SupernetStrategy:
    plain: dict[str, Any] = {
        "space": nasbench201(), "data": DATA, "seed": Seed(0), "channels": 4, "cells": 1, "epochs": 3, "batch_size": 8
    }  # fmt: skip
    found: SupernetStrategy = catalog.build("strategy", "darts", **{**plain, **options})
    return found


def test_one_ask_is_one_epoch_and_the_search_ends_after_the_last() -> None:
    search = strategy(alpha_learning_rate=0.1)
    first = search.ask()
    assert len(first) == 1
    assert first[0].cost.wall_s > 0
    assert len(search.search.history) == 1
    assert len(search.ask(5)) == 2
    assert search.ask() == []
    assert [epoch.number for epoch in search.search.history] == [1, 2, 3]


def test_a_supernet_learns_what_can_be_seen() -> None:
    search = strategy(epochs=6)
    search.ask(6)
    assert search.search.history[-1].train_score > 90
    assert search.search.history[-1].train_loss < search.search.history[0].train_loss / 2


@pytest.mark.parametrize("order", [1, 2])
def test_what_darts_derives_can_be_built_and_trained_on(order: Any) -> None:
    search = strategy(space=darts(), cells=3, order=order, epochs=1, batch_size=24, alpha_learning_rate=0.1)
    (proposal,) = search.ask()
    darts().admit(proposal.arch)
    network = build(proposal.arch, default_skeleton("darts", channels=4, cells=3))
    network(torch.zeros(2, 3, 8, 8))[0, 0].backward()


def test_the_orders_teach_the_architecture_differently() -> None:
    values = []
    for order in (1, 2):
        search = strategy(order=order, epochs=1, alpha_learning_rate=0.1)
        search.ask()
        values.append(search.search.alphas.groups[0].detach())
    assert not torch.equal(*values)


def test_each_half_of_the_training_images_has_its_own() -> None:
    data = replace(DATA, train=split(0, 21))
    first, second = (half.data for half in Classification(data).halved(Seed(3)))
    both = torch.cat([first.train.images, second.train.images]).flatten(1)
    assert (len(first.train), len(second.train)) == (10, 11)
    assert {tuple(row.tolist()) for row in both} == {tuple(row.tolist()) for row in data.train.images.flatten(1)}
    assert torch.equal(Classification(data).halved(Seed(3))[0].data.train.images, first.train.images)
    assert not torch.equal(Classification(data).halved(Seed(4))[0].data.train.images, first.train.images)
    with pytest.raises(SpecError, match="two halves, but bright has 1"):
        Classification(replace(DATA, train=split(0, 1))).halved(Seed(0))


def test_the_architecture_waits_for_warm_epochs() -> None:
    search = strategy(warm_epochs=1, alpha_learning_rate=0.1)
    before = search.search.alphas.groups[0].detach().clone()
    search.ask()
    assert torch.equal(before, search.search.alphas.groups[0])
    search.ask()
    assert not torch.equal(before, search.search.alphas.groups[0])


@pytest.mark.parametrize(
    "options",
    [
        {"gate": "gumbel"},
        {"gate": "gumbel", "order": 2},
        {"gate": "sigmoid", "zero_one": 10.0},
        {"partial": 2, "edge_normalisation": True},
        {"partial": 4, "edge_normalisation": True, "gate": "gumbel"},
    ],
    ids=str,
)
def test_remedies_compose_and_go_on_from_what_was_saved(options: dict[str, Any], tmp_path: Path) -> None:
    options = {"alpha_learning_rate": 0.1, **options}
    whole, begun, resumed = (strategy(**options) for _ in range(3))
    expected = [proposal.arch for proposal in whole.ask(3)]
    begun.ask(1)
    begun.save(tmp_path)
    resumed.load(tmp_path)
    assert [proposal.arch for proposal in resumed.ask(2)] == expected[1:]
    there, here = whole.search.tensors(), resumed.search.tensors()
    assert there.keys() == here.keys()
    assert all(torch.equal(there[name], here[name]) for name in there)


def test_gates_that_do_not_compete_have_no_none() -> None:
    search = strategy(gate="sigmoid")
    assert all(0 not in row for rows in search.search.alphas.choices for row in rows)
    assert 0 not in search.derived().choices


def test_the_loss_of_fair_darts_drives_gates_to_their_ends() -> None:
    far = []
    for weight in (0.0, 100.0):
        search = strategy(gate="sigmoid", zero_one=weight, alpha_learning_rate=0.05)
        search.ask(3)
        far.append(float((search.search.alphas.groups[0].detach().sigmoid() - 0.5).abs().mean()))
    assert far[1] > far[0]


def test_a_state_of_another_search_is_refused(tmp_path: Path) -> None:
    search = strategy(epochs=1)
    search.ask()
    search.save(tmp_path)
    with pytest.raises(StoreError, match="belongs to another training: its recipe is"):
        strategy(epochs=2).load(tmp_path)
    with pytest.raises(StoreError, match="no readable state of a supernet"):
        strategy(epochs=1).load(tmp_path / "nowhere")


# -- rules of FairDARTS and of DARTS+ ---------------------------------------------------------------------------------


def test_the_threshold_of_fair_darts_proposes_cells_of_ddarts_that_can_be_built() -> None:
    space = ddarts(distinct=3)
    options: dict[str, Any] = {"gate": "sigmoid", "threshold": 0.85, "alpha_learning_rate": 0.5, "batch_size": 24}
    search = strategy(space=space, cells=None, **options)
    found = [proposal.arch for proposal in search.ask(3)]
    for arch in found:
        space.admit(arch)
        cells = genotype_of(arch).cells
        assert len(cells) == 3  # as many as the supernet has layers, two of which are reductions
        assert cells[1] == cells[2]
    assert search.search.supernet.kinds == ("normal", "reduce", "reduce")
    assert any(len(cell) != 8 for arch in found for cell in genotype_of(arch).cells)
    build(found[-1], default_skeleton("ddarts", channels=4, cells=3))(torch.zeros(2, 3, 8, 8))[0, 0].backward()


def test_fair_darts_derives_as_published_where_cells_may_leave_out_nodes(caplog: pytest.LogCaptureFixture) -> None:
    def fair(space: Any, **options: Any) -> SupernetStrategy:
        sizes = {"channels": 4, "epochs": 1, "batch_size": 24, "alpha_learning_rate": 0.5}
        given = Context({"space": lambda: space, "data": lambda: DATA}, Seed(0))
        found: SupernetStrategy = catalog.build("strategy", "fair_darts", given, **sizes, **options)
        return found

    space = ddarts(distinct=3)
    published, same, other = (fair(space, **one).ask() for one in ({}, {"threshold": 0.85}, {"threshold": None}))
    assert published[0].arch == same[0].arch != other[0].arch
    for own in ({"select": "perturbation"}, {"gate": "softmax", "zero_one": 0.0}):
        assert fair(space, **own).method.derive == Strongest()
    assert not caplog.records
    fair(darts(), cells=3)
    (record,) = caplog.records
    assert record.message.startswith("A cell of darts cannot leave out a node")
    assert 'give --space "ddarts(distinct=8)"' in record.message


def test_skip_connections_of_fair_darts_are_counted_in_its_first_cell() -> None:
    search = strategy(space=ddarts(distinct=3), cells=None, gate="sigmoid", threshold=0.85, most_skips=0, epochs=9)
    with torch.no_grad():
        search.search.alphas.groups[0][:, darts_space.OPS.index("skip_connect")] = 9.0
    search.ask()
    assert search.ask() == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"threshold": 0.85, "gate": "sigmoid"}, "which a cell of nasbench201 cannot be"),
        ({"threshold": 0.85, "gate": "sigmoid", "space": darts()}, "which a cell of darts cannot be"),
        ({"threshold": 0.85, "space": ddarts(distinct=3)}, "a rule of sigmoid gates, but got gate=softmax"),
        ({"threshold": 1.0, "gate": "sigmoid", "space": ddarts(distinct=3)}, "must be between 0 and 1, but got 1.0"),
        ({"settled": 0}, "settled must be at least 1, but got 0"),
        ({"most_skips": -1}, "most_skips must be at least 0, but got -1"),
        ({"eigenvalue_ratio": -1.3}, "eigenvalue_ratio must be a positive number, but got -1.3"),
        ({"eigenvalue_ratio": 1.3, "eigenvalue_from": -3}, "eigenvalue_from must be at least 1, but got -3"),
        ({"gate": "sigmoid", "zero_one": -5.0}, "zero_one must be 0 or a positive number, but got -5.0"),
        ({"tune_epochs": -1}, "tune_epochs must be at least 0, but got -1"),
        ({"warm_epochs": -1}, "warm_epochs must be at least 0, but got -1"),
        ({"warm_epochs": 4}, "at most all 3 epochs are, but got warm_epochs=4"),
        ({"alpha_learning_rate": -1.0}, "alpha_learning_rate must be a positive number, but got -1.0"),
        ({"alpha_weight_decay": -1.0}, "alpha_weight_decay must be 0 or a positive number, but got -1.0"),
        ({"alpha_momentum": 1.0}, "at least 0 and below 1, but got"),
        ({"channels": 0}, "channels of a supernet must be at least 1, but got channels=0"),
        ({"cells": 0}, "cells of a supernet must be at least 1, but got 0"),
        ({"partial": 0}, "partial is at least 1, but got 0"),
    ],
    ids=str,
)
def test_rules_that_cannot_be_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        strategy(**options)


def test_a_ranking_that_stays_for_some_epochs_ends_the_search(tmp_path: Path) -> None:
    # Alphas that hardly move keep their ranking; the epochs in which they wait do not count.
    options: dict[str, Any] = {"settled": 2, "warm_epochs": 1, "epochs": 9, "alpha_learning_rate": 1e-9}
    search = strategy(**options)
    assert len(search.ask(9)) == 4  # one that waits, one that is ranked first, and two that are ranked alike
    begun, resumed = strategy(**options), strategy(**options)
    begun.ask(3)
    begun.save(tmp_path)
    resumed.load(tmp_path)
    assert len(resumed.ask(9)) == 1


def test_a_ranking_that_changes_lets_the_search_go_on() -> None:
    search = strategy(settled=1, epochs=4, alpha_learning_rate=0.5)
    search.ask()
    for _ in range(3):
        with torch.no_grad():
            for group in search.search.alphas.groups:
                group.copy_(group.flip(1))
        assert len(search.ask()) == 1


# -- steps without a finite loss --------------------------------------------------------------------------------------


def spoilt(search: SupernetStrategy, rows: list[int]) -> None:
    """Some images of the half that teaches the weights become infinite."""
    batches = search.search.train_batches
    images = batches.data.train.images.float()
    images[rows] = torch.inf
    batches.data = replace(batches.data, train=Split(images, batches.data.train.labels))


def test_a_step_without_a_finite_loss_is_undone_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    search = strategy(epochs=2, alpha_learning_rate=0.1)
    rate = search.search.optimizer.param_groups[0]["lr"]
    spoilt(search, [0])  # one of three batches
    assert len(search.ask(1)) == 1
    assert search.rolled_back == 1
    assert "gave no finite loss; it was undone" in caplog.text
    assert search.search.optimizer.param_groups[0]["lr"] == rate
    state = search.search.tensors()
    assert all(tensor.isfinite().all() for tensor in state.values())
    assert len(search.ask(5)) == 1


def test_a_step_that_is_undone_leaves_no_trace() -> None:
    search = strategy(epochs=2, alpha_learning_rate=0.1)
    search.ask()
    before = {name: tensor.clone() for name, tensor in search.search.tensors().items()}
    spoilt(search, list(range(24)))
    search.ask()
    after = search.search.tensors()
    assert search.rolled_back == 3
    assert [name for name in after if not torch.equal(before[name], after[name])] == []


def test_three_such_steps_in_a_row_end_the_search_with_what_it_had(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    search = strategy(epochs=9, batch_size=4)
    search.ask()
    good = search.derived()
    spoilt(search, list(range(24)))
    assert [proposal.arch for proposal in search.ask(5)] == [good]
    assert search.ask() == []
    assert "the search ends after 1 whole epoch with what it had" in caplog.text
    search.save(tmp_path)
    resumed = strategy(epochs=9, batch_size=4)
    resumed.load(tmp_path)
    assert resumed.ask() == []
    assert resumed.rolled_back == 3


@pytest.mark.parametrize("between", [False, True])
def test_the_steps_in_a_row_may_be_of_different_epochs_and_runs(tmp_path: Path, between: bool) -> None:
    search = strategy(epochs=9, batch_size=12)  # two steps an epoch
    spoilt(search, list(range(24)))
    assert len(search.ask()) == 1
    if between:
        search.save(tmp_path)
        search = strategy(epochs=9, batch_size=12)
        search.load(tmp_path)
        spoilt(search, list(range(24)))
    assert len(search.ask(5)) == 1
    assert search.rolled_back == 3
    assert search.search.over


def test_undone_steps_of_tuning_count_and_end_the_search_too(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 1, "select": "perturbation", "tune_epochs": 2, "batch_size": 12}
    search = strategy(**options)
    assert len(search.ask()) == 1
    spoilt(search, list(range(24)))
    search.search.weights_task = Classification(search.search.train_batches.data)
    assert len(search.ask(5)) == 1
    assert search.rolled_back == 3
    assert "the search ends" in caplog.text
    search.save(tmp_path)
    resumed = strategy(**options)
    resumed.load(tmp_path)
    assert resumed.ask() == []
    assert resumed.rolled_back == 3


# -- when to stop -----------------------------------------------------------------------------------------------------


def preferring(search: SupernetStrategy, operation: int) -> None:
    with torch.no_grad():
        search.search.alphas.groups[0][:, operation] += 10.0


def test_too_many_skip_connections_end_the_search_also_after_a_restart(tmp_path: Path) -> None:
    search, patient = strategy(most_skips=5), strategy(most_skips=6)
    for one in (search, patient):
        preferring(one, 1)
        assert one.ask()[0].arch.choices == (1,) * 6
    assert search.ask() == []
    assert len(patient.ask()) == 1
    search.save(tmp_path)
    resumed = strategy(most_skips=5)
    resumed.load(tmp_path)
    assert resumed.ask() == []


def test_a_loss_that_bends_ends_the_search_with_an_earlier_cell(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 9, "batch_size": 24, "alpha_learning_rate": 0.3}
    options |= {"eigenvalue_ratio": 1e-9, "eigenvalue_from": 1}
    whole, begun, resumed = (strategy(**options) for _ in range(3))
    expected = [proposal.arch for proposal in whole.ask(9)]
    # Any ratio is more than nothing, as soon as there are two averages to compare: in the fifth epoch.
    assert all(value > 0 for value in whole._notes[0])
    assert len(expected) == 5
    assert expected[4] == expected[0]
    begun.ask(4)
    begun.save(tmp_path)
    resumed.load(tmp_path)
    assert [proposal.arch for proposal in resumed.ask(9)] == expected[4:]


# -- selection by perturbation ----------------------------------------------------------------------------------------


def test_perturbation_decides_one_edge_an_ask_after_the_epochs(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 1, "select": "perturbation", "tune_epochs": 1}
    whole, begun, resumed = (strategy(**options) for _ in range(3))
    expected = [proposal.arch for proposal in whole.ask(20)]
    assert len(expected) == 1 + 6
    assert whole.search.alphas.groups[0].shape == (0, 5)
    assert all(len(row) == 1 and row != (0,) for row in whole.search.supernet.choices[0])
    assert expected[-1].choices == tuple(row[0] for row in whole.search.supernet.choices[0])
    begun.ask(3)
    begun.save(tmp_path)
    resumed.load(tmp_path)
    assert [proposal.arch for proposal in resumed.ask(20)] == expected[3:]
    there, here = whole.search.tensors(), resumed.search.tensors()
    assert there.keys() == here.keys()
    assert all(torch.equal(there[name], here[name]) for name in there)


def test_perturbation_leaves_two_edges_to_every_node_of_darts() -> None:
    search = strategy(space=darts(), cells=1, epochs=1, select="perturbation", tune_epochs=0, order=0, batch_size=24)
    proposals = search.ask(100)
    # The only cell is a reduction cell of fourteen edges, of which six are dropped.
    assert len(proposals) == 1 + 14 + 6
    (rows,) = search.search.supernet.choices
    assert [sum(map(len, rows[start:end])) for start, end in ((0, 2), (2, 5), (5, 9), (9, 14))] == [2] * 4
    assert search.search.supernet.plan.choices(proposals[-1].arch)["reduce"] == rows


def test_what_cannot_be_spared_is_kept() -> None:
    search = strategy(epochs=4, order=0)
    search.ask(4)
    with torch.no_grad():
        # The output of the cell hangs on its last edge, and that on one operation.
        search.search.alphas.groups[0][3:5] = torch.tensor([9.0, -9.0, -9.0, -9.0, -9.0])
        search.search.alphas.groups[0][5] = torch.tensor([-9.0, -9.0, 9.0, -9.0, -9.0])
    assert _operation_for(search.search, "cell", 5, None) == Decision("cell", 5, 2)


# -- words ------------------------------------------------------------------------------------------------------------


def test_progress_says_how_many_skip_connections_would_be_derived(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    search = strategy(epochs=1, progress=told.append)
    with caplog.at_level(logging.INFO):
        (proposal,) = search.ask()
    count = nasbench201().format(proposal.arch).count("skip_connect")
    assert told[-1].startswith("epoch 1 of 1: loss")
    assert f"{count} skip connection" in told[-1]
    assert told[-1] in caplog.text


def test_what_cannot_be_searched_is_refused_before_any_work() -> None:
    with pytest.raises(UnknownName, match="no space with a supernet named 'nasbench101'"):
        strategy(space=nasbench101())
    with pytest.raises(SpecError, match="2×2 are too small for the reductions"):
        strategy(space=darts(), data=replace(DATA, train=split(0, 8, side=2)), cells=8)
    with pytest.raises(SpecError, match="a multiple of partial=4"):
        strategy(channels=6, partial=4)
    with pytest.raises(SpecError, match="zero_one is a loss of sigmoid gates"):
        strategy(zero_one=1.0)
    with pytest.raises(SpecError, match="at most all 3 epochs"):
        strategy(warm_epochs=4)


def test_weights_may_be_trained_with_nesterov_momentum() -> None:
    moved = []
    for nesterov in (False, True):
        search = strategy(nesterov=nesterov, order=0, epochs=1)
        search.ask()
        moved.append(search.search.supernet.state_dict()["stem.0.weight"])
    assert not torch.equal(*moved)


def test_the_options_are_written_as_those_of_any_part() -> None:
    given = Context({"space": nasbench201, "data": lambda: DATA}, Seed(0))
    made = catalog.build("strategy", "darts(order=2, gate=gumbel, epochs=4)", given)
    assert (made.epochs, made.method.learner.architecture.order) == (4, 2)
    with pytest.raises(SpecError, match=r"darts\(order=\.\.\.\) takes 0 or 1 or 2, but got 3"):
        catalog.build("strategy", "darts(order=3)", given)


# -- ways to compute it -----------------------------------------------------------------------------------------------


# Both are torch's own: its compiler hides the second one, which a test that makes errors of warnings sees.
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("order", [1, 2])
def test_a_compiled_supernet_is_searched_as_the_supernet_itself(order: Any) -> None:
    plain, compiled = (strategy(order=order, epochs=1, batch_size=12, alpha_learning_rate=0.1) for _ in range(2))
    search = compiled.search
    traced = torch.compile(search.supernet, backend="aot_eager", fullgraph=True)  # as on a GPU, but for the graphs
    search._run, search._compiled = traced, True  # type: ignore[assignment]
    assert plain.ask()[0].arch == compiled.ask()[0].arch
    there, here = plain.search.tensors(), search.tensors()
    for name, tensor in there.items():
        torch.testing.assert_close(here[name], tensor, rtol=1e-4, atol=1e-5)
    assert search.curvature() == pytest.approx(plain.search.curvature(), rel=1e-2)


def test_bf16_rounds_forward_passes_but_not_the_differences_of_the_second_order() -> None:
    exact, rounded = (strategy(epochs=1, precision=precision) for precision in ("float32", "bf16"))
    losses = []
    for made in (exact, rounded):
        search = made.search
        batch = next(iter(search.train_batches.epoch(Seed(0))))
        found = [search._lost(batch, search.gate, Seed(0), "weights", exact=flag) for flag in (False, True)]
        losses.append([one.loss.item() for one in found])
    assert losses[0][0] == losses[0][1] == losses[1][1]
    assert losses[1][0] != losses[0][0]
    assert losses[1][0] == pytest.approx(losses[0][0], abs=0.05)
    (proposal,) = rounded.ask()
    assert all(tensor.isfinite().all() for tensor in rounded.search.tensors().values())
    nasbench201().admit(proposal.arch)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"compiled": True}, "Graphs are captured on a CUDA device, but the device is cpu"),
        ({"compiled": True, "device": "cuda", "gate": "gumbel"}, "but with the gate GumbelOneHot.* they are drawn"),
        ({"precision": "bf8"}, "precision"),
    ],
    ids=str,
)
def test_ways_that_cannot_be_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises((SpecError, UnknownName), match=reason):
        strategy(**options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("order", [1, 2])
def test_graphs_of_a_cuda_device_search_as_the_supernet_itself(order: Any) -> None:
    options: dict[str, Any] = {"device": "cuda", "order": order, "epochs": 2, "alpha_learning_rate": 0.1}
    plain, captured = strategy(**options), strategy(**options, compiled=True)
    first, second = plain.ask(2), captured.ask(2)
    assert [proposal.arch for proposal in first] == [proposal.arch for proposal in second]
    there, here = plain.search.tensors(), captured.search.tensors()
    for name, tensor in there.items():
        torch.testing.assert_close(here[name], tensor, rtol=1e-2, atol=1e-3)


# -- how long it would take -------------------------------------------------------------------------------------------


def test_a_rehearsal_counts_every_epoch_and_changes_nothing() -> None:
    short, long = strategy(epochs=2), strategy(epochs=60)
    # Thirty times as many epochs; a busy machine may make one of them several times slower.
    assert 0 < 4 * short.rehearse() < long.rehearse()
    assert [one.arch for one in short.ask(2)] == [one.arch for one in strategy(epochs=2).ask(2)]


PERTURBED = {"select": "perturbation", "tune_epochs": 0}


@pytest.mark.parametrize(
    ("space", "options"),
    [
        (nasbench201, {}),
        (nasbench201, PERTURBED),
        (darts, {}),
        pytest.param(darts, PERTURBED, marks=pytest.mark.slow),  # more than 30 s
    ],
)
def test_a_search_says_how_many_proposals_it_makes(space: Any, options: dict[str, Any]) -> None:
    search = strategy(space=space(), epochs=1, cells=3 if space is darts else 1, batch_size=24, **options)
    assert search.rehearse() > 0
    assert len(search.ask(1000)) == search.proposals

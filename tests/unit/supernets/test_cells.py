from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.build import Skeleton
from ogive.spaces.ddarts import ddarts
from ogive.spaces.unrestricted import outline_of
from ogive.supernets.ablation import CellLosses, Form, random_gates, zero_one_loss
from ogive.supernets.cells import CellRecipe, CellSearch, cell_learning_rate
from ogive.supernets.gates import Mix
from ogive.supernets.nested import starting_alphas
from ogive.supernets.sharing import nested_sharing, supernet
from ogive.training.batches import Batch
from ogive.training.data import Data, Split
from ogive.training.recipe import Recipe
from ogive.training.tasks.classification import Classification

pytestmark = pytest.mark.usefixtures("one_thread")


def split(seed: int, count: int) -> Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(noise + 100 * labels.byte()[:, None, None, None], labels)


DATA = Data("bright", split(0, 48), split(1, 8), split(2, 8), ("dark", "bright"), (0.4,) * 3, (0.25,) * 3)


def search(losses: CellLosses, *, cells: int = 2, spread: float = 0.3, **options: Any) -> CellSearch:
    """A search in float64, whose architecture is not at its start, so that no gradient is zero by symmetry."""
    outline = outline_of(ddarts(cells=cells))
    network = supernet(nested_sharing(outline), Skeleton(4, cells, classes=2), seed=0).double()
    alphas = starting_alphas(network, outline)
    with torch.no_grad():
        for own in alphas.groups:
            own.add_(spread * torch.randn(own.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    recipe = Recipe(epochs=4, batch_size=8, learning_rate=0.005, nesterov=False, gradient_clip=5.0)
    return CellSearch(
        network, alphas, *Classification(DATA).halved(Seed(0)), recipe, CellRecipe(**options), losses, seed=Seed(0)
    )


def batches(found: CellSearch) -> tuple[Batch, Batch]:
    return next(found.train_batches.epoch(Seed(1))), next(found.valid_batches.epoch(Seed(2)))


def losses_of(found: CellSearch, other: Batch, streams: Seed) -> list[Tensor]:
    """All passes in one graph, as the loss of every cell is defined."""
    groups = found.alphas.groups
    mixes = [Mix(torch.sigmoid(own)) for own in groups]
    entropy = found.alphas_task.lost_on(other, found.supernet(other.images, mixes), found.recipe)
    marginals = []
    for cell, own in enumerate(groups):
        draw = torch.Generator().manual_seed(streams.integer(f"without cell {cell}"))
        ablated = [Mix(random_gates(own, draw)) if place == cell else mix for place, mix in enumerate(mixes)]
        marginals.append(
            entropy - found.alphas_task.lost_on(other, found.supernet(other.images, ablated), found.recipe)
        )
    return found.losses(entropy, torch.stack(marginals), groups)


@pytest.mark.parametrize("form", ["literal", "weighted", "differentiable"])
def test_each_cell_steps_with_the_gradient_of_its_own_loss(form: Form) -> None:
    found = search(CellLosses(form=form))
    batch, other = batches(found)
    streams = Seed(5)
    expected = [
        torch.autograd.grad(loss, own, retain_graph=True)[0]
        for loss, own in zip(losses_of(found, other, streams), found.alphas.groups, strict=True)
    ]
    _, gradients = found._architecture_gradients(batch, other, found.current_gate, streams)
    for one, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-9, atol=1e-12)
    assert all(weight.grad is None for weight in found.weights)


def test_the_literal_form_teaches_what_no_ablation_loss_teaches_and_the_others_do_not() -> None:
    found = {}
    for name, losses in (
        ("none", CellLosses(ablation=0.0)),
        ("literal", CellLosses(form="literal")),
        ("weighted", CellLosses(form="weighted")),
        ("differentiable", CellLosses(form="differentiable")),
    ):
        one = search(losses)
        found[name] = one._architecture_gradients(*batches(one), one.current_gate, Seed(5))[1]
    assert all(map(torch.equal, found["none"], found["literal"]))
    for form in ("weighted", "differentiable"):
        assert not any(map(torch.equal, found["none"], found[form]))


def test_what_the_ablation_loss_adds_is_measured_without_a_trace_and_is_nothing_in_its_literal_form() -> None:
    found: dict[str, tuple[float, float]] = {}
    for form in ("literal", "weighted", "differentiable"):
        one = search(CellLosses(form=form))
        before = {name: tensor.clone() for name, tensor in one.tensors().items()}
        found[form] = one.added()
        assert all(torch.equal(before[name], tensor) for name, tensor in one.tensors().items())
    assert found["literal"][0] == 0.0
    assert found["weighted"][0] > 0.0
    assert found["differentiable"][0] > 0.0
    assert found["literal"][1] == found["weighted"][1] == found["differentiable"][1] > 0.0


def test_at_the_start_only_cross_entropy_moves_the_gates() -> None:
    gradients = []
    for weight in (0.0, 9.0):
        one = search(CellLosses(zero_one=weight, ablation=0.0), spread=0.0)
        gradients.append(one._architecture_gradients(*batches(one), one.current_gate, Seed(5))[1])
    assert all(map(torch.equal, *gradients))
    assert all(own.any() for own in gradients[0])


@pytest.mark.parametrize("form", ["literal", "differentiable"])
def test_passes_without_a_cell_leave_no_trace(form: Form) -> None:
    """Neither in running statistics, nor in the weights, nor in the architecture."""
    found = search(CellLosses(form=form))
    batch, other = batches(found)
    found._step(batch, other, found.current_gate, Seed(5), 0)
    plain = search(CellLosses(form=form, ablation=0.0))
    plain._step(batch, other, plain.current_gate, Seed(5), 0)
    norms = [module for module in found.supernet.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked) for norm in norms if norm.num_batches_tracked is not None} == {1}
    assert found.contributions != [0.0] * 2
    assert plain.contributions == [0.0] * 2


def test_a_step_of_the_architecture_changes_each_cell_as_an_adam_of_its_own_would() -> None:
    found = search(CellLosses(), weight_decay=0.0)
    batch, other = batches(found)
    before = [own.detach().clone() for own in found.alphas.groups]
    gradients = found._architecture_gradients(batch, other, found.current_gate, Seed(5))[1]
    found._step(batch, other, found.current_gate, Seed(5), 0)
    assert len(found.architect.param_groups) == 2
    for own, start, gradient in zip(found.alphas.groups, before, gradients, strict=True):
        alone = start.clone().requires_grad_()
        alone.grad = gradient
        torch.optim.Adam([alone], lr=3e-3, betas=(0.9, 0.999)).step()
        torch.testing.assert_close(own, alone)


@pytest.mark.parametrize("waits", [0, 5])
def test_rates_of_cells_are_those_of_a_torch_scheduler_that_counts_from_the_first_epoch(waits: int) -> None:
    """train_search.py of D-DARTS: T_max is `epochs`, to which the warm epochs come on top while the scheduler steps."""
    alone = torch.nn.Parameter(torch.zeros(1))
    adam = torch.optim.Adam([alone], lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=50, eta_min=1e-3)
    published = []
    for _ in range(50 + waits):
        published.append(adam.param_groups[0]["lr"])
        adam.step()
        scheduler.step()
    recipe = CellRecipe(warm_epochs=waits)
    rates = [cell_learning_rate(recipe, 50 + waits, epoch) for epoch in range(50 + waits)]
    assert rates == pytest.approx(published, rel=1e-9)
    assert rates[waits] == pytest.approx(3e-3 if waits == 0 else 1e-3 + 1e-3 * (1 + math.cos(math.pi * 5 / 50)))


def test_the_floor_of_the_rates_is_no_share_of_their_start() -> None:
    assert cell_learning_rate(CellRecipe(learning_rate=1e-4), 10, 10) == pytest.approx(1e-3)


# -- the habits of the published code ---------------------------------------------------------------------------------


class Reference:
    """The order of steps of the published code, with gradients that autograd accumulates where nothing clears them."""

    def __init__(self, found: CellSearch) -> None:
        self.found, self.groups = found, found.alphas.groups
        self.adams = [torch.optim.Adam([own], lr=3e-3, weight_decay=1e-3) for own in self.groups]
        self.left: list[list[float]] = []

    def step(self, batch: Batch, other: Batch, streams: Seed) -> Sequence[Tensor]:
        found, kept = self.found, [buffer.clone() for buffer in self.found.buffers]
        totals = losses_of(found, other, streams)
        for adam, own, total in zip(self.adams, self.groups, totals, strict=True):
            total.backward(retain_graph=True)
            adam.step()
            own.grad = None
        self.left.append([0.0 if own.grad is None else float(own.grad.norm()) for own in self.groups])
        for buffer, value in zip(found.buffers, kept, strict=True):
            buffer.copy_(value)
        mixes = [Mix(torch.sigmoid(own)) for own in self.groups]
        loss = found.alphas_task.lost_on(batch, found.supernet(batch.images, mixes), found.recipe)
        decided = zero_one_loss(torch.cat([own.flatten() for own in self.groups]))
        (loss + found.losses.zero_one * decided).backward()
        gradients = [weight.grad.clone() for weight in found.weights if weight.grad is not None]
        nn.utils.clip_grad_norm_(found.weights, 5.0)
        found.optimizer.step()
        found.optimizer.zero_grad()
        return gradients


@pytest.mark.parametrize("form", ["literal", "weighted"])
def test_leaks_are_those_of_the_published_order_of_steps(form: Form) -> None:
    ours, theirs = (search(CellLosses(form=form), reference_leaks=True) for _ in range(2))
    reference = Reference(theirs)
    rounds = list(zip(ours.train_batches.epoch(Seed(1)), ours.valid_batches.epoch(Seed(2)), strict=True))
    for number, (batch, other) in enumerate(rounds[:2]):
        streams = Seed(5).child(str(number))
        ours._step(batch, other, ours.current_gate, streams, 0)
        reference.step(batch, other, streams)
    for mine, other_one in zip(ours.alphas.groups, theirs.alphas.groups, strict=True):
        torch.testing.assert_close(mine, other_one, rtol=1e-7, atol=1e-9)
    for mine, other_one in zip(ours.weights, theirs.weights, strict=True):
        torch.testing.assert_close(mine, other_one, rtol=1e-7, atol=1e-9)
    for leftover, own in zip(ours.leftovers, theirs.alphas.groups, strict=True):
        assert own.grad is not None
        torch.testing.assert_close(leftover, own.grad, rtol=1e-6, atol=1e-9)


def test_leaks_change_what_is_learnt_and_clean_gradients_leave_nothing_behind() -> None:
    clean, leaking = (search(CellLosses(form="literal"), reference_leaks=leaks) for leaks in (False, True))
    for one in (clean, leaking):
        one._step(*batches(one), one.current_gate, Seed(5), 0)
    assert clean.leftovers == []
    assert not torch.equal(clean.weights[0], leaking.weights[0])


def test_leaks_are_refused_with_a_form_that_the_published_code_does_not_have() -> None:
    with pytest.raises(SpecError, match="literal and weighted, not differentiable"):
        search(CellLosses(form="differentiable"), reference_leaks=True)
    with pytest.raises(SpecError, match="learning_rate of the architecture"):
        CellRecipe(learning_rate=-1.0)


def test_a_step_that_is_undone_keeps_what_leaked_before() -> None:
    found = search(CellLosses(form="literal"), reference_leaks=True)
    batch, other = batches(found)
    found._step(batch, other, found.current_gate, Seed(5), 0)
    before = {name: tensor.clone() for name, tensor in found.tensors().items()}
    assert found._step(replace(batch, images=batch.images * torch.inf), other, found.current_gate, Seed(6), 0) is None
    assert [name for name, tensor in found.tensors().items() if not torch.equal(before[name], tensor)] == []

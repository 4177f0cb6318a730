from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ogive.core.errors import SpecError, UnknownName
from ogive.supernets.ablation import FORMS, CellLosses, Form, random_gates, relative_contributions, zero_one_loss

CELLS = 3


def parameters() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(14, 7, generator=draw, dtype=torch.float64).requires_grad_() for _ in range(CELLS)]


def network_loss(gates: list[Tensor]) -> Tensor:
    """A smooth stand-in for the loss of a supernet that depends on the gates of every cell, and on their products."""
    means = torch.stack([(gate * torch.linspace(-1, 2, 7, dtype=torch.float64)).mean() for gate in gates])
    return (means.prod() - means.sum() + 1.0).square()


def losses_of(alphas: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The loss of the whole, and the marginal contribution of each cell, with their graphs."""
    gates = [torch.sigmoid(alpha) for alpha in alphas]
    draw = torch.Generator().manual_seed(2)
    whole = network_loss(gates)
    broken = []
    for cell in range(CELLS):
        replaced = list(gates)
        replaced[cell] = random_gates(alphas[cell], draw)
        broken.append(network_loss(replaced))
    return whole, whole - torch.stack(broken)


def gradients(losses: CellLosses) -> list[Tensor]:
    alphas = parameters()
    found = losses(*losses_of(alphas), alphas)
    return [torch.autograd.grad(loss, own, retain_graph=True)[0] for loss, own in zip(found, alphas, strict=True)]


# -- the zero-one loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1, 2])
def test_the_zero_one_loss_and_its_gradient_are_exactly_zero_where_gates_are_undecided(power: int) -> None:
    alphas = torch.zeros(14, 7, requires_grad=True)
    loss = zero_one_loss(alphas, power)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(loss, alphas)
    assert loss.item() == 0.0
    assert not gradient.any()


def test_the_zero_one_loss_pushes_gates_apart() -> None:
    alphas = torch.tensor([-0.5, 0.5], requires_grad=True)
    (gradient,) = torch.autograd.grad(zero_one_loss(alphas), alphas)
    assert gradient[0] > 0 > gradient[1]
    assert zero_one_loss(torch.tensor([-100.0, 100.0])).item() == -0.25
    assert zero_one_loss(torch.tensor([-100.0, 100.0]), 1).item() == -0.5


# -- contributions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normaliser", ["mean", "mean absolute"])
def test_relative_contributions_sum_to_zero(normaliser: str) -> None:
    marginals = torch.tensor([0.3, -0.1, -0.7, 0.25], dtype=torch.float64)
    total = relative_contributions(marginals, normaliser).sum()  # type: ignore[arg-type]
    assert abs(total.item()) < 1e-12


def test_relative_contributions_are_zero_where_the_mean_is() -> None:
    balanced = torch.tensor([0.5, -0.5])
    assert relative_contributions(balanced, "mean").tolist() == [0.0, 0.0]
    assert relative_contributions(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert relative_contributions(balanced).tolist() == [-1.0, 1.0]


def test_both_normalisers_agree_where_all_cells_help() -> None:
    marginals = torch.tensor([-0.3, -0.1, -0.7])
    torch.testing.assert_close(relative_contributions(marginals, "mean"), relative_contributions(marginals))


def test_the_robust_one_keeps_its_sign_and_its_size_where_the_mean_is_small_or_positive() -> None:
    for shift in (-1e-6, 1e-6):
        marginals = torch.tensor([-0.5, 0.5]) + shift
        assert relative_contributions(marginals, "mean").abs().max() > 1e5
        torch.testing.assert_close(relative_contributions(marginals), torch.tensor([1.0, -1.0]), atol=1e-4, rtol=0)
    draw = torch.Generator().manual_seed(0)
    for _ in range(100):
        marginals = torch.randn(8, generator=draw)
        assert relative_contributions(marginals).abs().max() <= 8.0


def test_gates_at_random_lie_between_zero_and_one_and_follow_the_generator() -> None:
    alphas = torch.zeros(14, 7)
    first, second = (random_gates(alphas, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert 0 <= first.min() < 0.2 < 0.8 < first.max() <= 1


# -- how it acts ------------------------------------------------------------------------------------------------------


def test_the_literal_ablation_loss_is_added_and_has_no_gradient_at_all() -> None:
    with_it, without = CellLosses(form="literal", ablation=0.5), CellLosses(form="literal", ablation=0.0)
    alphas = parameters()
    whole, marginals = losses_of(alphas)
    relative = relative_contributions(marginals, "mean")
    for one, other, part in zip(
        with_it(whole, marginals, alphas), without(whole, marginals, alphas), relative, strict=True
    ):
        torch.testing.assert_close(one, other - 0.5 * part)
    assert all(torch.equal(one, other) for one, other in zip(gradients(with_it), gradients(without), strict=True))


@pytest.mark.parametrize("form", ["weighted", "differentiable"])
def test_the_acting_forms_change_the_gradient_of_every_cell(form: Form) -> None:
    pairs = zip(gradients(CellLosses(form=form)), gradients(CellLosses(form=form, ablation=0.0)), strict=True)
    assert all((one - other).abs().max() > 1e-6 for one, other in pairs)


@pytest.mark.parametrize("form", FORMS)
def test_without_its_weight_every_form_is_the_plain_loss(form: Form) -> None:
    alphas = parameters()
    whole, marginals = losses_of(alphas)
    found = CellLosses(form=form, ablation=0.0, zero_one=2.0)(whole, marginals, alphas)
    for loss, own in zip(found, alphas, strict=True):
        torch.testing.assert_close(loss, whole + 2.0 * zero_one_loss(own))


def test_the_weighted_form_scales_the_gradient_of_cross_entropy_by_what_a_cell_lacks() -> None:
    alphas = parameters()
    whole, marginals = losses_of(alphas)
    plain = torch.autograd.grad(whole, alphas, retain_graph=True)
    found = gradients(CellLosses(form="weighted", ablation=0.3, zero_one=0.0))
    weights = 1.0 - 0.3 * relative_contributions(marginals.detach())
    assert (weights > 0).all()
    for gradient, weight, expected in zip(found, weights, plain, strict=True):
        torch.testing.assert_close(gradient, weight * expected)


def test_a_weight_is_never_negative() -> None:
    marginals = torch.tensor([-1.0, 0.0, 0.0])
    losses = CellLosses(form="weighted", ablation=0.7, zero_one=0.0)
    found = losses(torch.tensor(2.0), marginals, [torch.zeros(14, 7)] * 3)
    torch.testing.assert_close(torch.stack(found), 2.0 * torch.tensor([0.0, 1.7, 1.7]))


def test_the_differentiable_form_is_the_mean_gradient_with_another_cell_at_random() -> None:
    alphas = parameters()
    whole, marginals = losses_of(alphas)
    found = gradients(CellLosses(form="differentiable", ablation=0.5, zero_one=0.0))
    broken = whole - marginals
    scale = 0.5 / (CELLS * marginals.detach().abs().mean())
    for cell, own in enumerate(alphas):
        others = sum(broken[other] for other in range(CELLS) if other != cell)
        (expected,) = torch.autograd.grad(whole + scale * others, own, retain_graph=True)
        torch.testing.assert_close(found[cell], expected)


def test_bad_settings_are_refused_with_their_reason() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'literal'"):
        CellLosses(form="litteral")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="zero_one must be 0"):
        CellLosses(zero_one=-1.0)
    with pytest.raises(SpecError, match="ablation must be 0"):
        CellLosses(ablation=float("nan"))
    with pytest.raises(SpecError, match="1 or 2"):
        CellLosses(power=3)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="Each of the 2 cells"):
        CellLosses()(torch.tensor(1.0), torch.zeros(3), [torch.zeros(14, 7)] * 2)


def test_the_arithmetic_of_the_published_code_comes_back() -> None:
    """Three cells at the start of a search: numbers from executing aheuillet/D-DARTS at e3ad5d9."""
    marginals = torch.tensor([0.1302094459, 0.1933867931, -0.2475485802], dtype=torch.float64)
    losses = CellLosses(zero_one=7.0, ablation=0.5, form="literal")
    alphas = [torch.zeros(14, 7, dtype=torch.float64) for _ in range(3)]
    assert relative_contributions(marginals, "mean")[0].item() == pytest.approx(4.1366254, abs=1e-6)
    total = losses(torch.tensor(2.5004873, dtype=torch.float64), marginals, alphas)[0]
    assert total.item() == pytest.approx(0.4321746, abs=1e-6)

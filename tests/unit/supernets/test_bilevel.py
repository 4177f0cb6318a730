from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.networks.build import Skeleton
from ogive.supernets.alphas import Alphas
from ogive.supernets.bilevel import Unrolling, first_order, kept_buffers, momentum_of, second_order
from ogive.supernets.gates import Softmax
from ogive.supernets.networks import Supernet
from ogive.supernets.sharing import supernet
from ogive.training.recipe import Recipe, learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")


# -- a problem that can be solved on paper ----------------------------------------------------------------------------


class Toy:
    """L_val = alpha w - 2 alpha + 1 and L_train = (w - alpha)², from (2, -2); both steps have the rate 0.1."""

    def __init__(self, xi: float) -> None:
        self.alpha = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
        self.w = torch.tensor([-2.0], dtype=torch.float64, requires_grad=True)
        self.xi = xi

    def training(self) -> Tensor:
        return (self.w * self.w - 2 * self.alpha * self.w + self.alpha * self.alpha).sum()

    def validation(self) -> Tensor:
        return (self.alpha * self.w - 2 * self.alpha + 1).sum()

    def step(self) -> None:
        if self.xi:
            unrolling = Unrolling(self.xi)
            _, (gradient,) = second_order([self.w], [self.alpha], self.training, self.validation, unrolling)
        else:
            _, (gradient,) = first_order([self.alpha], self.validation)
        with torch.no_grad():
            self.alpha -= 0.1 * gradient
        (own,) = torch.autograd.grad(self.training(), [self.w])
        with torch.no_grad():
            self.w -= 0.1 * own


@pytest.mark.parametrize(("xi", "alpha", "w"), [(0.0, 2.4, -1.12), (0.5, 1.8, -1.24)])
def test_the_first_step_of_the_toy_is_that_of_the_published_equations(xi: float, alpha: float, w: float) -> None:
    toy = Toy(xi)
    toy.step()
    assert (toy.alpha.item(), toy.w.item()) == pytest.approx((alpha, w), abs=1e-9)


@pytest.mark.parametrize(("xi", "fixed"), [(0.0, 2.0), (0.1, 5 / 3), (0.5, 1.0), (1.0, 2 / 3)])
def test_the_toy_ends_where_the_closed_form_says(xi: float, fixed: float) -> None:
    toy = Toy(xi)
    for _ in range(600):
        toy.step()
    assert (toy.alpha.item(), toy.w.item()) == pytest.approx((fixed, fixed), abs=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_step_ahead_is_the_step_of_sgd(nesterov: bool) -> None:
    start, (rate, momentum, decay) = torch.tensor([3.0, -1.0], dtype=torch.float64), (0.1, 0.9, 0.01)
    w = start.clone().requires_grad_()
    alpha = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([w], lr=rate, momentum=momentum, weight_decay=decay, nesterov=nesterov)

    def training() -> Tensor:
        return (w.pow(3) * alpha).sum()

    for _ in range(2):  # the first step has nothing to remember
        before = w.detach().clone()
        seen: list[Tensor] = []

        def validation(seen: list[Tensor] = seen) -> Tensor:
            seen.append(w.detach().clone())
            return (w * torch.tensor([1.0, 3.0], dtype=torch.float64)).sum()

        ahead = Unrolling(rate, momentum, decay, momentum_of(sgd, [w]), nesterov=nesterov)
        _, (gradient,) = second_order([w], [alpha], training, validation, ahead)
        sgd.zero_grad()
        training().backward(inputs=[w])
        sgd.step()
        torch.testing.assert_close(seen[0], w.detach(), rtol=1e-12, atol=1e-12)
        # The derivative of the step in the architecture, which it depends on by the gradient 3 w² alpha alone.
        share = rate * (1 + momentum if nesterov else 1)
        torch.testing.assert_close(
            gradient, -share * 3 * before.square() * torch.tensor([1.0, 3.0], dtype=torch.float64), rtol=1e-4, atol=1e-6
        )


def test_momentum_and_decay_are_part_of_the_step_ahead() -> None:
    w = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    alpha = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    seen: list[float] = []

    def training() -> Tensor:
        return (w * w * alpha).sum()

    def validation() -> Tensor:
        seen.append(w.item())
        return (w * alpha).sum()

    unrolling = Unrolling(0.1, momentum=0.9, weight_decay=0.01, buffers=[torch.tensor([2.0], dtype=torch.float64)])
    second_order([w], [alpha], training, validation, unrolling)
    assert seen == pytest.approx([3.0 - 0.1 * (0.9 * 2.0 + 2 * 3.0 * 0.5 + 0.01 * 3.0)])


@pytest.mark.parametrize(
    ("weight", "uncapped", "share"),
    [
        (-2.0, False, 0.25 / 8),  # the gradient 2 (w - alpha) is -8
        (-2.0, True, 0.25 / 8),
        (2.05, False, 1.0),  # here it is 0.1, so that nothing is clipped
        (2.05, True, 0.25 / 0.1),
    ],
)
def test_a_clipped_step_ahead_is_shorter_and_so_is_its_correction(weight: float, uncapped: bool, share: float) -> None:
    toy = Toy(0.5)
    with torch.no_grad():
        toy.w.fill_(weight)
    unrolling = Unrolling(0.5, clip=0.25, uncapped=uncapped)
    _, (gradient,) = second_order([toy.w], [toy.alpha], toy.training, toy.validation, unrolling)
    ahead = weight - 0.5 * min(share, 1.0) * 2 * (weight - 2.0)
    # The vector is alpha = 2, clipped to 0.25 too, and the mixed derivative of the training loss -2.
    assert gradient.item() == pytest.approx((ahead - 2.0) + 0.5 * share * 2 * 0.25, rel=1e-4)


def test_a_loss_that_no_weight_matters_to_has_the_direct_gradient_only() -> None:
    w = torch.ones(2, dtype=torch.float64, requires_grad=True)
    alpha = torch.ones(2, dtype=torch.float64, requires_grad=True)

    def training() -> Tensor:
        return (w * alpha).sum()

    def validation() -> Tensor:
        return (3 * alpha).sum()

    _, (gradient,) = second_order([w], [alpha], training, validation, Unrolling(0.1))
    assert gradient.tolist() == [3.0, 3.0]


# -- a supernet without kinks -----------------------------------------------------------------------------------------


def smooth(network: Supernet) -> Supernet:
    """The same network with softplus for ReLU and means for maxima."""

    def replace(module: nn.Module) -> None:
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus())
            elif isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(3, child.stride, 1, count_include_pad=False))
            else:
                replace(child)

    replace(network)
    return network


def problem(network: Supernet, side: int = 16) -> tuple[Alphas, Callable[[], Tensor], Callable[[], Tensor]]:
    draw = torch.Generator().manual_seed(1)
    alphas = network.alphas(draw)
    dtype = next(network.parameters()).dtype
    x = torch.randn(2, 8, 3, side, side, generator=draw, dtype=torch.float64).to(dtype)
    y = torch.arange(16).view(2, 8) % 10

    def loss_on(part: int) -> Callable[[], Tensor]:
        return lambda: F.cross_entropy(network(x[part], alphas.mixture(Softmax(), draw)), y[part])

    return alphas, loss_on(0), loss_on(1)


def test_the_difference_converges_quadratically_on_a_smooth_supernet() -> None:
    network = smooth(supernet("darts", Skeleton(4, 3), seed=0)).double()
    alphas, training, validation = problem(network)
    weights, rate = list(network.parameters()), 0.025
    # What the difference approximates, by differentiating twice.
    inner = torch.autograd.grad(training(), weights)
    before = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight, gradient in zip(weights, inner, strict=True):
            weight -= rate * gradient
    outer = torch.autograd.grad(validation(), [*alphas.tensors, *weights])
    with torch.no_grad():
        for weight, value in zip(weights, before, strict=True):
            weight.copy_(value)
    inner = torch.autograd.grad(training(), weights, create_graph=True)
    dot = sum((one * other).sum() for one, other in zip(inner, outer[2:], strict=True))
    product = torch.autograd.grad(dot, alphas.tensors)  # type: ignore[arg-type]
    exact = [one - rate * other for one, other in zip(outer, product, strict=False)]

    scale = rate * torch.cat([part.flatten() for part in product]).norm()
    errors = []
    for radius in (0.1, 0.01, 0.001):
        _, found = second_order(weights, alphas.tensors, training, validation, Unrolling(rate), radius)
        difference = torch.cat([(one - other).flatten() for one, other in zip(found, exact, strict=True)])
        errors.append(float(difference.norm() / scale))
    assert errors[1] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(100, rel=0.3)


# -- what a step may not touch ----------------------------------------------------------------------------------------


def test_an_architecture_step_leaves_weights_momentum_and_statistics_as_they_were() -> None:
    network = supernet("darts", Skeleton(4, 3), seed=0)
    alphas, training, validation = problem(network)
    weights = list(network.parameters())
    optimizer = torch.optim.SGD(weights, lr=0.025, momentum=0.9, weight_decay=3e-4)
    training().backward(inputs=weights)
    optimizer.step()
    optimizer.zero_grad()
    buffers = momentum_of(optimizer, weights)
    state = [*weights, *network.buffers(), *(buffer for buffer in buffers if buffer is not None)]
    before = [tensor.detach().clone() for tensor in state]
    with kept_buffers(network):
        _, first = first_order(alphas.tensors, validation)
        unrolling = Unrolling(0.025, 0.9, 3e-4, buffers)
        _, second = second_order(weights, alphas.tensors, training, validation, unrolling)
    assert all(map(torch.equal, before, state))
    assert all(weight.grad is None for weight in weights)
    assert all(alpha.grad is None for alpha in alphas.tensors)
    assert not any(map(torch.equal, first, second))


def test_a_step_of_the_weights_leaves_the_architecture_as_it_was() -> None:
    network = supernet("darts", Skeleton(4, 3), seed=0)
    alphas, training, _ = problem(network)
    before = [alpha.detach().clone() for alpha in alphas.tensors]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        training().backward()
        optimizer.step()
    assert all(map(torch.equal, before, alphas.tensors))


def test_an_optimiser_without_a_step_remembers_nothing() -> None:
    weight = torch.zeros(2, requires_grad=True)
    assert momentum_of(torch.optim.SGD([weight], lr=0.1, momentum=0.9), [weight]) == [None]


# -- the schedule -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epoch", "rate"), [(0, 0.025), (1, 0.0249763207), (25, 0.013), (49, 0.0010236793)])
def test_the_learning_rate_of_the_search_is_the_closed_form(epoch: int, rate: float) -> None:
    recipe = Recipe(epochs=50, learning_rate=0.025, final_learning_rate=0.001)
    assert learning_rate(recipe, epoch) == pytest.approx(rate, abs=1e-10)

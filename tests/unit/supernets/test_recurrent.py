from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.recurrent import RecurrentCell
from ogive.spaces.darts_rnn import CONCAT, OPS, PUBLISHED, architecture
from ogive.supernets.bilevel import Unrolling, first_order, second_order
from ogive.supernets.recurrent import EDGES, MixedRecurrentCell, RecurrentSupernet, derived
from ogive.supernets.recurrent_search import LanguageSupernet, TextArchitecture, TextWeights
from ogive.supernets.search import Search
from ogive.training.tasks.language import Language
from ogive.training.text import Text

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = 9
NOTHING = dict.fromkeys(("dropout", "dropout_hidden", "dropout_input", "dropout_embedding"), 0.0)
RECIPE = TextWeights(batch_size=4, bptt=8, learning_rate=5.0)


@pytest.fixture(scope="module")
def text() -> Text:
    rng = np.random.default_rng(0)

    def part(count: int) -> Tensor:
        jumps = np.where(rng.random(count) < 0.9, 1, rng.integers(0, WORDS, count))
        return torch.from_numpy(np.cumsum(jumps) % WORDS)

    return Text("counting", tuple(map(str, range(WORDS))), part(400), part(160), part(40))


def search(
    text: Text, *, dropouts: dict[str, float] = NOTHING, order: int = 1, rate: float = 0.05, **changes: Any
) -> Search:
    network = RecurrentSupernet(WORDS, width=6, **dropouts)
    network.reset(torch.Generator().manual_seed(0))
    made, weights = LanguageSupernet(network), replace(RECIPE, **changes)
    alphas = made.alphas(torch.Generator().manual_seed(1))
    architecture = TextArchitecture(order=order, learning_rate=rate).recipe  # type: ignore[arg-type]
    halves = Language(text).halved(Seed(0))
    return Search(made, alphas, *halves, weights.recipe, architecture, seed=Seed(0), optimiser=weights.optimiser)


def test_the_edges_are_in_the_order_of_the_published_code() -> None:
    assert len(EDGES) == 36
    assert EDGES[:4] == ((0, 1), (0, 2), (1, 2), (0, 3))


def test_a_mixed_cell_with_all_weight_on_one_cell_is_that_cell_but_for_the_normalisation() -> None:
    torch.manual_seed(0)
    entries = PUBLISHED["darts_v1"].recurrent
    mixed, plain = MixedRecurrentCell(4, 4).double(), RecurrentCell(entries, CONCAT, 4, 4).double()
    mixed.norm = torch.nn.Identity()  # type: ignore[assignment]
    for ours, theirs in zip(mixed.parameters(), plain.parameters(), strict=True):
        value = torch.randn(ours.shape, dtype=torch.float64)
        ours.data, theirs.data = value, value
    weights_EO = torch.zeros(36, 5, dtype=torch.float64)
    for node, (name, state) in enumerate(entries, start=1):
        weights_EO[EDGES.index((state, node)), OPS.index(name)] = 1.0
    x, hidden = torch.randn(3, 2, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    torch.testing.assert_close(mixed.mixed(x, hidden, weights_EO), plain(x, hidden))
    assert derived(weights_EO) == architecture(entries)


def test_what_none_has_weakens_an_edge_and_none_is_never_derived() -> None:
    alphas_EO = torch.zeros(36, 5)
    alphas_EO[:, 0] = 10.0
    assert derived(alphas_EO).choices == (0,) * 16
    alphas_EO = torch.zeros(36, 5)
    alphas_EO[EDGES.index((0, 2))] = torch.tensor([5.0, 0.0, 2.0, 0.0, 0.0])
    assert derived(alphas_EO).choices[2:4] == (1, 0)


def test_the_supernet_learns_and_its_architecture_moves(text: Text) -> None:
    under = search(text, bptt=5)
    before = under.alphas.groups[0].detach().clone()
    epochs = [under.epoch() for _ in range(4)]
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert epochs[-1].train_loss < 0.9 * math.log(WORDS)  # as much as a network that knows nothing
    assert not torch.allclose(under.alphas.groups[0], before, atol=1e-2)
    assert [epoch.rolled_back for epoch in epochs] == [0] * 4


def test_the_alphas_are_no_weights_and_a_step_of_the_architecture_moves_no_statistics(text: Text) -> None:
    under = search(text, order=2)
    assert all(under.alphas.groups[0] is not weight for weight in under.weights)
    weights = [weight.detach().clone() for weight in under.weights]
    seen: list[Tensor] = []

    def spying(*_: object) -> None:
        seen.append(under.supernet.model.cell.norm.running_mean.clone())  # type: ignore[union-attr]

    under.supernet.register_forward_hook(spying)
    # One piece, so that the epoch is one step: three runs for the second order, one of validation, one of the weights.
    under.train_batches.words_TB = under.train_batches.words_TB[:9]  # type: ignore[attr-defined]
    under.epoch()
    assert len(seen) == 5
    assert not torch.equal(seen[3], seen[0])
    # The last run starts from the statistics of the beginning, as the first did, but with alphas that have moved.
    torch.testing.assert_close(seen[4], seen[0], rtol=0.2, atol=0.01)
    assert any(not torch.equal(old, new) for old, new in zip(weights, under.weights, strict=True))


def test_the_second_order_is_that_of_automatic_differentiation(
    text: Text,
) -> None:
    torch.manual_seed(0)
    network = RecurrentSupernet(WORDS, width=4, **NOTHING).double()
    alphas = torch.randn(36, 5, dtype=torch.float64)
    alphas[:, OPS.index("relu")] = -40.0  # the one activation with a kink has no part
    alphas.requires_grad_()
    words, other = text.train[:40].view(10, 4), text.val[:40].view(10, 4)
    names = [name for name, _ in network.named_parameters()]
    weights = [parameter for _, parameter in network.named_parameters()]

    def loss(values: list[Tensor], words_TB: Tensor) -> Tensor:
        hidden = torch.zeros(1, 4, 4, dtype=torch.float64)
        called = torch.func.functional_call(
            _Calling(network),
            {f"network.{k}": v for k, v in zip(names, values, strict=True)},
            (words_TB[:-1], hidden, torch.softmax(alphas, -1)),
        )
        return F.nll_loss(called.flatten(0, 1), words_TB[1:].flatten())

    rate = 0.3
    gradients = torch.autograd.grad(loss(list(weights), words), weights, create_graph=True)
    ahead = [weight - rate * gradient for weight, gradient in zip(weights, gradients, strict=True)]
    (exact,) = torch.autograd.grad(loss(ahead, other), [alphas])
    errors = []
    for radius in (0.01, 0.001):
        _, (found,) = second_order(
            weights,
            [alphas],
            lambda: loss(list(weights), words),
            lambda: loss(list(weights), other),
            Unrolling(rate),
            radius=radius,
        )
        errors.append(float((found - exact).norm() / exact.norm()))
    (simple,) = first_order([alphas], lambda: loss(list(weights), other))[1]
    assert (simple - exact).norm() > 1e-2 * exact.norm()
    assert errors[1] < 1e-3
    assert errors[0] == pytest.approx(100 * errors[1], rel=0.3)  # of the order of the squared radius


class _Calling(torch.nn.Module):
    def __init__(self, network: RecurrentSupernet) -> None:
        super().__init__()
        self.network = network

    def forward(self, words: Tensor, hidden: Tensor, weights: Tensor) -> Tensor:
        return self.network.mixed(words, hidden, weights)[0]


@pytest.mark.parametrize("order", [1, 2])
def test_a_search_that_goes_on_from_its_state_is_the_same_search(text: Text, order: int) -> None:
    dropouts = {"dropout": 0.3, "dropout_hidden": 0.2, "dropout_input": 0.3, "dropout_embedding": 0.1}
    whole, first, second = (search(text, dropouts=dropouts, order=order) for _ in range(3))
    for under in (whole, first, second):
        under.train_batches.words_TB = under.train_batches.words_TB[:30]  # type: ignore[attr-defined]
    for _ in range(2):
        whole.epoch()
    first.epoch()
    tensors = {name: tensor.detach().clone() for name, tensor in first.tensors().items()}
    second.restore(tensors, first.record())
    second.epoch()
    assert second.history == whole.history
    for ours, theirs in zip(second.tensors().values(), whole.tensors().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_random_state_of_the_caller_stays_as_it_is(text: Text) -> None:
    under = search(text, dropouts={**NOTHING, "dropout": 0.5})
    before = torch.random.get_rng_state()
    under.epoch()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_steps_without_a_finite_loss_are_undone_and_three_in_a_row_end_the_search(text: Text) -> None:
    under = search(text)
    under.epoch()
    with torch.no_grad():
        under.supernet.model.bias[0] = math.nan  # type: ignore[union-attr,operator]
    before = {name: tensor.detach().clone() for name, tensor in under.tensors().items()}
    epoch = under.epoch()
    assert under.over
    assert epoch.rolled_back == 3
    assert math.isnan(epoch.train_loss)
    for name, tensor in under.tensors().items():
        torch.testing.assert_close(tensor.detach(), before[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": 3}, "The order of a search is 1 or 2"),
        ({"bptt": 0}, "bptt must be at least 1"),
        ({"rate": 0.0}, "alpha_learning_rate must be a positive number"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or a positive number"),
        ({"batch_size": 100}, "160 words cannot be read as 100 texts side by side"),
    ],
)
def test_what_makes_no_sense_is_refused(text: Text, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        search(text, **changes)

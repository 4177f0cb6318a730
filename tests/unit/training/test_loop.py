from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.training.batches import Batches
from ogive.training.data import Data, Split
from ogive.training.distributed import ALONE
from ogive.training.loop import Diverged
from ogive.training.recipe import Recipe, learning_rate
from ogive.training.supervised import Progress, accuracy, train

SEED = Seed(3)


class Linear(nn.Module):
    """One linear layer without bias, whose step can be followed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(36, 3, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(torch.linspace(-0.1, 0.1, 108).view(3, 36))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.layer(x_NCHW.flatten(1))  # type: ignore[no-any-return]


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adamw", "learning_rate": 0.02, "gradient_clip": 1.0},
        {"average": 0.9, "label_smoothing": 0.1, "warmup_epochs": 2.0},
        {"mixup": 0.4, "cutout": 2, "anneal": "epoch"},
        {"autoaugment": True},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_a_network_learns_to_tell_stripes_apart_with_every_kind_of_recipe(
    small: type[nn.Module], stripes: Data, options: dict[str, Any]
) -> None:
    network = small()
    outcome = train(network, stripes, Recipe(epochs=12, batch_size=16, **options), seed=SEED)
    assert outcome.val_acc > 90
    assert outcome.val_acc == accuracy(network, stripes.val, stripes)
    assert [epoch.number for epoch in outcome.history] == list(range(1, 13))
    assert outcome.history[-1].train_loss < outcome.history[0].train_loss


def test_equal_seeds_give_equal_weights_and_leave_the_callers_stream_alone(
    small: type[nn.Module], stripes: Data
) -> None:
    found = []
    state = torch.get_rng_state()
    for seed in (Seed(1), Seed(1), Seed(2)):
        network = small()
        train(network, stripes, Recipe(epochs=2), seed=seed)
        found.append(weights(network))
        torch.rand(5)  # what is drawn outside must not matter
    torch.set_rng_state(state)
    assert same(found[0], found[1])
    assert not same(found[0], found[2])
    train(small(), stripes, Recipe(epochs=1), seed=Seed(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_test_images_are_never_touched(small: type[nn.Module], stripes: Data) -> None:
    # A tensor on the meta device has no values: whoever computed with it would fail.
    unreadable = Split(stripes.test.images.to("meta"), stripes.test.labels.to("meta"))
    outcome = train(small(), replace(stripes, test=unreadable), Recipe(epochs=1), seed=SEED)
    assert outcome.val_acc >= 0


def test_an_epoch_shows_every_image_once_in_batches_of_equal_size(stripes: Data) -> None:
    recipe = Recipe(batch_size=16, padding=0)
    count = len(stripes.train)
    marked = replace(stripes, train=Split(stripes.train.images, torch.arange(count)))
    batches = Batches(marked, recipe, torch.device("cpu"), torch.float32, ALONE)
    epochs = [list(batches.epoch(SEED.child(f"epoch {number}"))) for number in range(2)]
    for epoch in epochs:
        sizes = {len(batch.labels) for batch in epoch}
        assert max(sizes) <= 16
        assert max(sizes) - min(sizes) <= 1
        seen = torch.cat([batch.labels for batch in epoch])
        assert torch.equal(seen.sort().values, torch.arange(count))
        images = torch.cat([batch.images for batch in epoch])
        assert torch.equal(images, stripes.normalised(stripes.train.images[seen]))
    assert not torch.equal(epochs[0][0].labels, epochs[1][0].labels)


def test_mixup_mixes_images_and_losses_with_one_weight(stripes: Data) -> None:
    plain = Recipe(batch_size=1000, padding=0)
    mixing = replace(plain, mixup=0.5)
    device = torch.device("cpu")
    (first,) = Batches(stripes, plain, device, torch.float64, ALONE).epoch(SEED)
    (mixed,) = Batches(stripes, mixing, device, torch.float64, ALONE).epoch(SEED)
    assert mixed.others is not None
    rest = (mixed.images - mixed.weight * first.images) / (1 - mixed.weight)
    by_label = {int(label): first.images[first.labels == label] for label in first.labels.unique()}
    for image, label in zip(rest, mixed.others, strict=True):
        assert (by_label[int(label)] - image).abs().flatten(1).amax(1).min() < 1e-9
    logits = torch.randn(len(mixed.labels), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = F.cross_entropy(logits, mixed.labels), F.cross_entropy(logits, mixed.others)
    lost = mixed.measured(logits, F.cross_entropy).item()
    assert lost == pytest.approx((mixed.weight * a + (1 - mixed.weight) * b).item())


def one_step(stripes: Data, network: nn.Module, **options: object) -> tuple[dict[str, Tensor], float]:
    """All images in one batch, plain gradient descent at a rate of 0.5: the new weights and the loss before."""
    plain = {"epochs": 1, "batch_size": 1000, "learning_rate": 0.5, "momentum": 0.0, "nesterov": False}
    recipe = Recipe(**{**plain, "weight_decay": 0.0, "padding": 0, **options})  # type: ignore[arg-type]
    outcome = train(network, stripes, recipe, seed=SEED)
    return weights(network), outcome.history[0].train_loss


def by_hand(stripes: Data, smoothing: float = 0.0) -> tuple[Tensor, Tensor, float]:
    """The first weights of Linear, the gradient there, and the loss."""
    network = Linear()
    images = stripes.normalised(stripes.train.images)
    loss = F.cross_entropy(network(images), stripes.train.labels, label_smoothing=smoothing)
    loss.backward()
    weight = network.layer.weight
    assert weight.grad is not None
    return weight.detach(), weight.grad, loss.item()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_step_is_gradient_descent_on_the_smoothed_loss(stripes: Data, smoothing: float) -> None:
    before, gradient, loss = by_hand(stripes, smoothing)
    after, reported = one_step(stripes, Linear(), label_smoothing=smoothing)
    torch.testing.assert_close(after["layer.weight"], before - 0.5 * gradient)
    assert reported == pytest.approx(loss, rel=1e-5)


def test_weight_decay_pulls_towards_zero(stripes: Data) -> None:
    before, gradient, _ = by_hand(stripes)
    after, _ = one_step(stripes, Linear(), weight_decay=0.1)
    torch.testing.assert_close(after["layer.weight"], before - 0.5 * (gradient + 0.1 * before))


def test_the_gradient_is_clipped_to_its_norm(stripes: Data) -> None:
    before, gradient, _ = by_hand(stripes)
    assert gradient.norm() > 0.01
    after, _ = one_step(stripes, Linear(), gradient_clip=0.01)
    torch.testing.assert_close(before - after["layer.weight"], 0.5 * 0.01 * gradient / gradient.norm())


def test_the_average_of_the_weights_is_what_is_kept(stripes: Data) -> None:
    before, gradient, _ = by_hand(stripes)
    after, _ = one_step(stripes, Linear(), average=0.99)
    # At the first step the decay is 1 / 10, so nine tenths of the way are gone.
    torch.testing.assert_close(after["layer.weight"], before - 0.9 * 0.5 * gradient)


class Normed(Linear):
    """The same, of pixels of mean 1 and variance 4 that are normalised first."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return super().forward(self.norm(2 * x_NCHW + 1))


def test_running_statistics_are_averaged_as_the_weights_are_and_counts_are_not(stripes: Data) -> None:
    now, _ = one_step(stripes, Normed())
    kept, _ = one_step(stripes, Normed(), average=0.99)
    assert now["norm.running_mean"] > 0.05
    # Both start at mean 0 and variance 1.
    torch.testing.assert_close(kept["norm.running_mean"], 0.9 * now["norm.running_mean"])
    torch.testing.assert_close(kept["norm.running_var"], 0.1 + 0.9 * now["norm.running_var"])
    assert kept["norm.num_batches_tracked"] == now["norm.num_batches_tracked"] == 1


class TwoHeads(Linear):
    """The same logits twice in training: the loss must be 1 + the weight of the auxiliary head times as large."""

    def forward(self, x_NCHW: Tensor) -> Tensor | tuple[Tensor, Tensor]:  # type: ignore[override]
        logits = super().forward(x_NCHW)
        return (logits, logits) if self.training else logits


def test_an_auxiliary_head_counts_with_its_weight(stripes: Data) -> None:
    before, gradient, loss = by_hand(stripes)
    after, reported = one_step(stripes, TwoHeads(), auxiliary_weight=0.4)
    assert reported == pytest.approx(1.4 * loss, rel=1e-5)
    torch.testing.assert_close(after["layer.weight"], before - 0.5 * 1.4 * gradient)


class Dropping(Linear):
    """Notes the drop-path probability that it is given."""

    def __init__(self, final: float) -> None:
        super().__init__()
        self.drop_path, self.drop_path_prob = final, -1.0
        self.noted: list[float] = []

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            self.noted.append(self.drop_path_prob)
        return super().forward(x_NCHW)


@pytest.mark.parametrize(("own", "asked", "final"), [(0.2, None, 0.2), (0.2, 0.4, 0.4)])
def test_drop_path_rises_with_the_epochs(stripes: Data, own: float, asked: float | None, final: float) -> None:
    network = Dropping(own)
    train(network, stripes, Recipe(epochs=4, batch_size=1000, drop_path=asked), seed=SEED)
    assert network.noted == pytest.approx([final * epoch / 4 for epoch in range(4)])


@pytest.mark.parametrize(("anneal", "moments"), [("step", [0, 0.5, 1, 1.5]), ("epoch", [0, 0, 1, 1])])
def test_the_rate_falls_at_every_step_or_at_every_epoch(stripes: Data, anneal: str, moments: list[float]) -> None:
    # Black images that stay black have no gradient, so that each step multiplies the weights by 1 - rate x decay.
    black = Split(torch.zeros_like(stripes.train.images), stripes.train.labels)
    data = replace(stripes, train=black, mean=(0.0,), std=(1.0,))
    recipe = Recipe(epochs=2, batch_size=len(black) // 2, anneal=anneal, weight_decay=0.5, momentum=0.0, nesterov=False)  # type: ignore[arg-type]
    network, sizes = Linear(), []
    network.register_forward_pre_hook(lambda module, _: sizes.append(module.layer.weight.norm().item()))
    train(network, data, recipe, seed=SEED, validate_every=0)
    rates = [(1 - after / before) / 0.5 for before, after in itertools.pairwise(sizes)]
    assert rates[:4] == pytest.approx([learning_rate(recipe, moment) for moment in moments], rel=1e-4)


def test_a_training_that_diverges_stops_with_the_epoch_and_the_rate(small: type[nn.Module], stripes: Data) -> None:
    recipe = Recipe(epochs=3, learning_rate=1e30, batch_size=16)
    with pytest.raises(Diverged, match=r"The loss became (nan|inf) in epoch 1 of 3 at a learning rate of .*e\+\d"):
        train(small(), stripes, recipe, seed=SEED)


def test_validation_happens_as_often_as_asked_and_always_in_the_end(small: type[nn.Module], stripes: Data) -> None:
    for every, expected in ((0, [5]), (2, [2, 4, 5]), (1, [1, 2, 3, 4, 5])):
        outcome = train(small(), stripes, Recipe(epochs=5), seed=SEED, validate_every=every)
        assert [epoch.number for epoch in outcome.history if epoch.val_acc is not None] == expected


def test_progress_ends_at_the_last_epoch_with_no_time_left(small: type[nn.Module], stripes: Data) -> None:
    reports: list[Progress] = []
    outcome = train(small(), stripes, Recipe(epochs=3, batch_size=16), seed=SEED, progress=reports.append)
    ends = [report for report in reports if report.step == report.steps]
    assert [report.epoch for report in ends] == [1, 2, 3]
    assert ends[-1].seconds_left == 0
    assert ends[0].seconds_left > 0
    assert [(e.loss, e.train_score, e.val_score) for e in ends] == [
        (e.train_loss, e.train_acc, e.val_acc) for e in outcome.history
    ]


def test_accuracy_counts_in_eval_mode_and_leaves_the_mode(small: type[nn.Module], stripes: Data) -> None:
    network = small().train()
    before = weights(network)
    found = accuracy(network, stripes.val, stripes)
    assert network.training
    assert same(before, weights(network))
    network.eval()
    right = network(stripes.normalised(stripes.val.images)).argmax(1) == stripes.val.labels
    assert found == pytest.approx(100 * right.double().mean().item())


def test_an_accuracy_of_no_images_is_refused(small: type[nn.Module], stripes: Data) -> None:
    nothing = Split(stripes.val.images[:0], stripes.val.labels[:0])
    with pytest.raises(SpecError, match="at least one image"):
        accuracy(small(), nothing, stripes)


def test_the_network_comes_back_in_the_usual_layout(small: type[nn.Module], stripes: Data) -> None:
    network = small()
    train(network, stripes, Recipe(epochs=1), seed=SEED)
    assert all(tensor.is_contiguous() for tensor in network.state_dict().values())

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.networks.autogan import (
    Discriminator,
    GeneratorSize,
    SharedGenerator,
    discriminator,
    generator,
    whole_choices,
)
from ogive.networks.build import drawing_from
from ogive.spaces.autogan import autogan
from ogive.training.adversarial import AdversarialRecipe, Duel, Pixels, Round, Stand, noise, sampled, train_adversarial
from ogive.training.data import Data, Split, load
from ogive.training.loop import Diverged, drive

SIZE = GeneratorSize(channels=4, latent=6, side=16, outputs=1)
ARCH = autogan().parse("1 1 2 1 0 2 0 1 1 1 1 1 0 3")
RECIPE = AdversarialRecipe(steps=4, batch_size=16, generator_batch=12, critic_steps=2)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", size=16, limit=60)


def pair(whole: bool = False) -> tuple[SharedGenerator, Discriminator]:
    if not whole:
        return generator(ARCH, SIZE, seed=0), discriminator(4, 1, seed=1)
    with drawing_from(0):
        return SharedGenerator(whole_choices(), SIZE), discriminator(4, 1, seed=1)


def trained(
    data: Data, recipe: AdversarialRecipe = RECIPE, folder: Path | None = None, *, seed: int = 0, whole: bool = False
) -> tuple[dict[str, Tensor], tuple[Round, ...]]:
    made, critic = pair(whole)
    route = uniform if whole else None
    history = train_adversarial(made, critic, data, recipe, seed=Seed(seed), folder=folder, path=route)
    return weights_of(made, critic), history


def weights_of(made: nn.Module, critic: nn.Module) -> dict[str, Tensor]:
    weights = {f"g.{name}": tensor for name, tensor in made.state_dict().items()}
    return weights | {f"d.{name}": tensor for name, tensor in critic.state_dict().items()}


def uniform(draw: torch.Generator) -> tuple[int, ...]:
    return tuple(row[int(torch.randint(len(row), (), generator=draw))] for row in whole_choices())


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_step_is_the_published_one(digits: Data) -> None:
    """Written once more with plain autograd and torch's Adam: hinge losses, some turns of one, one of the other."""
    recipe = replace(RECIPE, steps=2, average=0.0, critic_steps=3)
    (found, other), (made, critic) = pair(), pair()
    history = train_adversarial(found, other, digits, recipe, seed=Seed(0))
    adams = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.0, 0.9)) for net in (made, critic)]
    batches = -(-60 // 16)
    for step in range(2):
        streams = Seed(0).child(f"step {step}")
        losses = []
        for turn in range(3):
            epoch, batch = divmod(3 * step + turn, batches)
            draw = torch.Generator().manual_seed(Seed(0).child(f"epoch {epoch}").integer("order"))
            rows = torch.randperm(60, generator=draw).tensor_split(batches)[batch]
            real = digits.train.images[rows] / 127.5 - 1
            fake = made(noise(len(rows), 6, streams.integer(f"noise {turn}"))).detach()
            judged = critic(torch.cat((real, fake)))
            loss = (1 - judged[: len(rows)]).clamp(min=0).mean() + (1 + judged[len(rows) :]).clamp(min=0).mean()
            losses.append(float(loss.detach()))
            adams[1].zero_grad()
            loss.backward()
            adams[1].step()
            if turn == 0:
                second = -critic(made(noise(12, 6, streams.integer("noise")))).mean()
                adams[0].zero_grad()
                second.backward()
                adams[0].step()
        assert history[step].critic_loss == pytest.approx(sum(losses) / 3, rel=1e-4)
        assert history[step].generator_loss == pytest.approx(float(second.detach()), rel=1e-4)
    # Not weight by weight: a bias before a batch normalisation has no gradient but noise, which Adam makes large.
    torch.testing.assert_close(sampled(found, noise(9, 6, 5)), sampled(made, noise(9, 6, 5)), rtol=1e-3, atol=1e-4)


def test_equal_seeds_give_equal_weights_and_other_seeds_others(digits: Data) -> None:
    before = torch.random.get_rng_state()
    first, again, other = trained(digits), trained(digits), trained(digits, seed=1)
    assert equal(first[0], again[0])
    assert first[1] == again[1]
    assert not equal(first[0], other[0])
    assert torch.equal(before, torch.random.get_rng_state())


def test_labels_and_the_other_splits_are_not_looked_at(digits: Data) -> None:
    blank = Split(torch.zeros_like(digits.val.images), torch.zeros_like(digits.val.labels))
    train = Split(digits.train.images, torch.zeros_like(digits.train.labels))
    assert equal(trained(digits)[0], trained(replace(digits, train=train, val=blank, test=blank))[0])


class Interrupted(Duel):
    """A training that ends as Ctrl-C ends it, in its third step."""

    def _step(self, number: int) -> Tensor:
        if number == 2:
            raise KeyboardInterrupt
        return super()._step(number)


def interrupted(data: Data, whole: bool) -> Interrupted:
    route = uniform if whole else None
    return Interrupted(*pair(whole), data, RECIPE, seed=Seed(0), device=torch.device("cpu"), path=route)


@pytest.mark.parametrize("whole", [False, True])
def test_an_interrupted_training_goes_on_to_the_bit(digits: Data, tmp_path: Path, whole: bool) -> None:
    expected = trained(digits, whole=whole)
    with pytest.raises(KeyboardInterrupt):
        drive(interrupted(digits, whole), folder=tmp_path)
    found = trained(digits, folder=tmp_path, whole=whole)
    assert equal(found[0], expected[0])
    assert found[1] == expected[1]
    assert [one.step for one in found[1]] == [1, 2, 3, 4]
    # A finished training is read back.
    again = interrupted(digits, whole)
    drive(again, folder=tmp_path)
    assert equal(weights_of(again.generator, again.critic), expected[0])


def test_a_folder_of_another_training_is_refused(digits: Data, tmp_path: Path) -> None:
    trained(digits, replace(RECIPE, steps=1), tmp_path)
    with pytest.raises(StoreError, match="belongs to another training: its recipe"):
        trained(digits, replace(RECIPE, steps=2), tmp_path)
    with pytest.raises(StoreError, match="its seed"):
        trained(digits, replace(RECIPE, steps=1), tmp_path, seed=1)


def test_the_average_is_what_is_kept_and_the_training_does_not_see_it(digits: Data) -> None:
    plain, averaged = (trained(digits, replace(RECIPE, average=average)) for average in (0.0, 0.5))
    assert plain[1] == averaged[1]
    kept = {name: tensor for name, tensor in averaged[0].items() if name.startswith("d.") or "running" in name}
    assert all(torch.equal(plain[0][name], tensor) for name, tensor in kept.items())
    name = "g.cells.0.first.pre.convolution.weight"
    made = pair()[0]
    average = made.state_dict()[name.removeprefix("g.")].clone()
    for steps in range(1, 5):
        # The weights after fewer steps of the same training are those on the way.
        now = trained(digits, replace(RECIPE, steps=steps, average=0.0))[0][name]
        average.lerp_(now, 1 - min(0.5, steps / (9 + steps)))
    torch.testing.assert_close(averaged[0][name], average, rtol=1e-4, atol=1e-6)


def test_a_falling_rate_ends_at_nothing(digits: Data) -> None:
    one = replace(RECIPE, steps=1, average=0.0)
    assert equal(trained(digits, one)[0], trained(digits, replace(one, decay=True))[0])
    two = replace(one, steps=2)
    assert not equal(trained(digits, two)[0], trained(digits, replace(two, decay=True))[0])


def test_a_loss_that_is_no_number_is_told(digits: Data) -> None:
    made, critic = pair()
    with torch.no_grad():
        made.linear.weight.fill_(torch.nan)
    with pytest.raises(Diverged, match="lower the learning rate"):
        train_adversarial(made, critic, digits, RECIPE, seed=Seed(0))


def test_progress_is_told(digits: Data) -> None:
    told: list[Stand] = []
    train_adversarial(*pair(), digits, RECIPE, seed=Seed(0), progress=told.append)
    assert [str(one).split(",")[0] for one in told] == [f"step {number} of 4" for number in range(1, 5)]
    assert [one.over for one in told] == [0.25, 0.5, 0.75, 1.0]


def test_pixels_are_seen_between_minus_one_and_one_and_stored_as_they_were(digits: Data) -> None:
    pixels = Pixels.of(digits)
    assert (float(pixels.shown(digits.train.images).min()), float(pixels.shown(digits.train.images).max())) == (-1, 1)
    assert torch.equal(pixels.stored(pixels.shown(digits.train.images)), digits.train.images)
    floats = replace(digits, train=Split(digits.train.images.float() / 100 - 1, digits.train.labels))
    pixels = Pixels.of(floats)
    shown = pixels.shown(floats.train.images)
    assert (float(shown.min()), float(shown.max())) == (-1, 1)
    torch.testing.assert_close(pixels.stored(shown), floats.train.images)
    with pytest.raises(SpecError, match="contrast"):
        Pixels.of(replace(digits, train=Split(torch.ones(2, 1, 16, 16), torch.zeros(2, dtype=torch.int64))))


def test_the_training_brings_made_images_nearer_to_real_ones() -> None:
    """Images of one grey level: the mean of what is made must move there from around zero."""
    grey = Split(torch.full((64, 1, 16, 16), 230, dtype=torch.uint8), torch.arange(64) % 2)
    grey.images[0, 0, 0, 0] = 0
    data = Data("grey", grey, grey, grey, ("a", "b"), (0.9,), (0.1,))
    made, critic = pair()
    before = sampled(copy.deepcopy(made).eval(), noise(64, 6, 0)).mean()
    recipe = replace(RECIPE, steps=40, learning_rate=4e-3, average=0.0, critic_steps=1)
    train_adversarial(made, critic, data, recipe, seed=Seed(0))
    after = sampled(made.eval(), noise(64, 6, 0)).mean()
    target = 230 / 127.5 - 1
    assert abs(float(after) - target) < 0.5 * abs(float(before) - target)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"critic_steps": 0}, {"learning_rate": 0.0}, {"betas": (0.0, 1.0)}, {"average": 1.0}]
)
def test_a_recipe_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    make: Callable[..., AdversarialRecipe] = AdversarialRecipe
    with pytest.raises(SpecError, match=next(iter(wrong))):
        make(**wrong)

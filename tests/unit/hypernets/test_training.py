"""The training of hypernetworks: steps, networks that are left out, limits, and going on where one was stopped."""

import json
import signal
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from warm import begun, ended

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.hypernets.batch import Batch
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.files import load
from ogive.hypernets.ghn import GHN
from ogive.hypernets.measuring import accuracies, with_weights
from ogive.hypernets.population import Population, Sized, of_split
from ogive.hypernets.recipe import GHNRecipe, plan_for, rate_at
from ogive.hypernets.shards import write
from ogive.hypernets.training import IN_A_ROW, GHNTraining
from ogive.parameter_prediction.training import planned, train_ghn
from ogive.training.data import load as load_data
from ogive.training.loop import Diverged, drive
from ogive.training.recipe import Recipe
from ogive.training.statistics import without_statistics

SIZE = Sized((1, 8, 8), 10)
FEW = GHNRecipe(
    epochs=2, steps=2, meta_batch=2, network_nodes=70, first=40, channels=(4,), hidden=(16,), milestones=(),
    validation_networks=1, validation_images=60,
)  # fmt: skip
SMALL = Configuration(width=8, largest=(8, 8, 11, 11))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", limit=64)


def started(data, recipe=FEW, images=None, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ghn = GHN(SMALL)
    images = Recipe(batch_size=8) if images is None else images
    population = Population(SIZE, recipe)
    return GHNTraining(ghn, data, recipe, images, population, seed=Seed(seed), device=torch.device("cpu"))


def first_step(training):
    streams = training.seed.child("epoch 0")
    members = training.population.drawn(streams.numpy("networks"))
    return members, next(iter(training.batches.epoch(streams)))


def test_gradients_are_those_of_the_mean_loss_of_all_networks(digits):
    training = started(digits, replace(FEW, gradient_clip=0.0))
    members, batch = first_step(training)
    torch.manual_seed(5)  # of the dropout in the heads
    training._step(members, batch)
    stepwise = {name: parameter.grad.clone() for name, parameter in training.ghn.named_parameters()}

    other = started(digits)
    torch.manual_seed(5)
    graphs = Batch.of([member.graph for member in members], SMALL)
    losses = []
    for member, weights in zip(members, other.ghn.parameters_of(graphs), strict=True):
        module = member.module().train()
        without_statistics(module)
        losses.append(F.cross_entropy(with_weights(module, weights, batch.images), batch.labels))
    torch.stack(losses).mean().backward()

    assert any(gradient.abs().sum() > 0 for gradient in stepwise.values())
    for name, parameter in other.ghn.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(stepwise[name], expected, atol=1e-6, rtol=1e-4)


def test_the_loss_falls_where_the_same_networks_read_the_same_images(digits):
    training = started(digits, replace(FEW, learning_rate=3e-3))
    members, batch = first_step(training)
    losses = [training._step(members, batch)[0].item() / 2 for _ in range(15)]

    assert losses[-1] < losses[0] - 0.1


def test_a_network_without_a_finite_loss_is_left_out(digits):
    training = started(digits)
    members, batch = first_step(training)
    before = {name: tensor.clone() for name, tensor in training.ghn.state_dict().items()}
    blown = replace(batch, images=torch.full_like(batch.images, float("nan")))

    assert training._step(members, blown).tolist() == [0, 0, 0]
    for name, tensor in training.ghn.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)


def test_a_training_of_which_nothing_is_finite_has_diverged(digits):
    training = started(digits, replace(FEW, steps=IN_A_ROW + 5), Recipe(batch_size=2))
    with torch.no_grad():
        training.ghn.embed.weight.fill_(float("nan"))

    with pytest.raises(Diverged, match=f"No network of {IN_A_ROW} steps in a row"):
        drive(training)


def test_the_limits_of_nodes_hold_and_name_what_lets_nothing_through():
    population = Population(SIZE, replace(FEW, most_nodes=120, meta_batch=2))
    rng = Seed(1).numpy("networks")
    for _ in range(5):
        sizes = [len(member.graph) for member in population.drawn(rng)]
        assert sum(sizes) <= 120
        assert max(sizes) <= 70

    with pytest.raises(SpecError, match="network_nodes=5 nodes"):
        Population(SIZE, replace(FEW, network_nodes=5)).drawn(rng)
    with pytest.raises(SpecError, match="most_nodes=8"):
        Population(SIZE, replace(FEW, most_nodes=8, first=12)).drawn(rng)


def test_networks_of_files_are_those_that_are_drawn(tmp_path):
    shards = write(tmp_path, "train", FEW.first, 1)
    drawn, read = (Population(SIZE, FEW, source).drawn(Seed(3).numpy("x")) for source in (None, shards))

    assert [member.design for member in drawn] == [member.design for member in read]
    with pytest.raises(SpecError, match="of the split train, but"):
        Population(SIZE, FEW, write(tmp_path / "val", "val", 1, 0))


def test_large_networks_have_the_least_width():
    population = Population(SIZE, replace(FEW, channels=(8, 10, 12), network_nodes=None, first=300, meta_batch=60,
                                          most_nodes=10**6))  # fmt: skip
    members = population.drawn(Seed(0).numpy("x"))

    assert {member.channels for member in members} == {8, 10, 12}
    assert {member.channels for member in members if member.design.cells > 12} == {8}


def test_modules_are_not_changed_and_a_training_repeats_itself(digits):
    outcomes = []
    for _ in range(2):
        training = started(digits)
        measured = drive(training)
        outcomes.append((measured, training.history, training.ghn.state_dict()))

    (measured, history, weights), (again, other, same) = outcomes
    assert (measured, history) == (again, other)
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_rates_rise_and_fall_as_their_schedule_says():
    paper = plan_for("paper").recipe

    assert [rate_at(paper, epoch) for epoch in (0, 199.9, 200, 250)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])
    cosine = replace(FEW, epochs=10, warmup_epochs=1)
    assert rate_at(cosine, 0) == pytest.approx(5e-4)
    assert rate_at(cosine, 1) == pytest.approx(1e-3)
    assert rate_at(cosine, 5.5) == pytest.approx(5e-4)


# Knyazev et al., NeurIPS 2021; facebookresearch/ppuda, config.py and experiments/train_ghn.py.
def test_the_recipes_of_the_paper():
    cifar, ghn1, imagenet = (plan_for("paper"), plan_for("paper", kind="ghn1"), plan_for("paper", style="imagenet"))

    recipe = cifar.recipe
    assert (recipe.epochs, recipe.meta_batch, recipe.most_nodes, recipe.gradient_clip) == (300, 8, 2200, 5.0)
    assert recipe.channels == (32, 48, 64, 80, 96, 112, 128)
    assert (cifar.images.batch_size, ghn1.recipe.meta_batch) == (64, 1)
    assert (imagenet.images.batch_size, imagenet.images.label_smoothing) == (256, 0.1)
    assert imagenet.configuration.largest == (64, 64, 16, 16)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"channels": (7,)}, "channels are even numbers from 4 on"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number"),
        ({"optimizer": "sgd"}, "optimizer"),
    ],
)
def test_a_recipe_refuses(changes, said):
    with pytest.raises((SpecError, UnknownName), match=said):
        GHNRecipe(**changes)


def test_half_precision_trains(digits):
    training = started(digits, replace(FEW, epochs=1, precision="bf16"))
    drive(training)

    assert training.history[0].left_out == 0


def test_accuracies_leave_the_hypernetwork_as_it_was(digits):
    ghn = started(digits).ghn.train()
    members = of_split("val", range(2), 8, SIZE, 16)
    found = accuracies(ghn, members, digits, digits.val)

    assert ghn.training
    assert found == accuracies(ghn, members, digits, digits.val)
    assert all(0 <= one <= 100 for one in found)


OPTIONS = (
    "epochs=2, steps=2, meta_batch=2, validation_images=20, validation_networks=1, network_nodes=60, first=40, "
    "channels=[4], width=8, largest=[8, 8, 11, 11], batch_size=8"
)
TRAINS = """
import os, signal, sys
from pathlib import Path
from ogive.parameter_prediction.training import train_ghn

calls = []
def tell(step):
    calls.append(step)
    if len(sys.argv) > 3 and step.epoch == 2 and step.step >= 1:
        os.kill(os.getpid(), signal.SIGKILL)

train_ghn(Path(sys.argv[1]), preset="tiny", data="digits(limit=32)", options=sys.argv[2], threads=1, tell=tell)
"""


def test_one_that_was_killed_goes_on_to_the_same_weights(tmp_path):
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    said = tmp_path / "said"
    # The whole one needs no process of its own, which imports for longer than it trains.
    train_ghn(whole, preset="tiny", data="digits(limit=32)", options=OPTIONS, threads=1)
    assert ended(begun(TRAINS, cut, OPTIONS, "dies", said=said), 120) == -signal.SIGKILL
    assert not cut.exists()
    (folder,) = tmp_path.glob("cut.safetensors.training-*")
    assert list(folder.glob("epoch-*.safetensors"))
    assert ended(begun(TRAINS, cut, OPTIONS, said=said), 120) == 0, said.read_text()

    assert not folder.exists()
    expected, found = (load(path).state_dict() for path in (whole, cut))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    figures = json.loads((tmp_path / "cut.safetensors.json").read_text())
    assert [epoch["number"] for epoch in figures["history"]] == [1, 2]


def test_what_cannot_be_trained_on_is_refused(tmp_path):
    with pytest.raises(UnknownName, match="preset"):
        planned("ghn2", "large", "digits")
    with pytest.raises(SpecError, match="option of the training of a hypernetwork"):
        planned("ghn2", "tiny", "digits", "epoch=3")
    with pytest.raises(SpecError, match="is a folder"):
        train_ghn(tmp_path, preset="tiny", data="digits")
    assert isinstance(GHN(planned("mlp", "tiny", "digits").configuration), nn.Module)

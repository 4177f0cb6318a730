from __future__ import annotations

import pytest
import torch

from ogive.core.errors import UnknownName
from ogive.core.rng import Seed
from ogive.training.augment import Augmentation
from ogive.training.data import Data, Split
from ogive.training.evaluation import EVALUATIONS, PRESETS, Preset, evaluation
from ogive.training.recipe import learning_rate
from ogive.training.supervised import train

# Three reductions leave maps of 4×4 of images of 32×32.
TOO_SMALL = ("dartopti-resnet18-cifar10", "dartopti-resnet50-cifar10")

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(side: int, classes: int) -> Data:
    """Random images in as many classes as asked for, of which only a few occur."""
    draw = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        images = torch.randint(0, 256, (count, 3, side, side), generator=draw, dtype=torch.uint8)
        return Split(images, torch.arange(count) % min(classes, 5))

    names = tuple(f"class {number}" for number in range(classes))
    return Data("noise", split(20), split(10), split(10), names, (0.5,) * 3, (0.25,) * 3, Augmentation(4, flip=True))


@pytest.mark.parametrize("name", EVALUATIONS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_builds_the_network_that_it_names(name: str, preset: Preset) -> None:
    plan = evaluation(name, preset)
    with torch.device("meta"):
        network = plan.network()
    assert (network.auxiliary_head is None) == (preset != "paper" or name in TOO_SMALL)


@pytest.mark.parametrize(
    "name", ["ddarts-cifar100", "dartopti-resnet18-cifar10", "dartopti-resnet18-imagenet", "darts-v2-cifar10"]
)
def test_the_tiny_setting_trains(name: str) -> None:
    plan = evaluation(name, "tiny")
    assert plan.skeleton.size is not None
    network = plan.network(seed=0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    outcome = train(network, noise(plan.skeleton.size, plan.skeleton.classes), plan.recipe, seed=Seed(0))
    assert len(outcome.history) == plan.recipe.epochs
    assert not torch.equal(network.state_dict()["classifier.weight"], before["classifier.weight"])


def test_the_settings_of_darts_are_the_published_ones() -> None:
    cifar = evaluation("darts-v2-cifar10", "paper")
    recipe = cifar.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.cutout, recipe.gradient_clip) == (600, 96, 16, 5.0)
    assert (recipe.drop_path, recipe.auxiliary_weight, recipe.weight_decay) == (0.2, 0.4, 3e-4)
    assert (recipe.autoaugment, recipe.final_learning_rate, recipe.learning_rate) == (False, 0.0, 0.025)
    with torch.device("meta"):
        network = cifar.network()
    assert sum(weight.numel() for weight in network.parameters()) == 3_825_768  # with the auxiliary head
    photographs = evaluation("darts-v2-imagenet", "paper")
    recipe = photographs.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.weight_decay, recipe.label_smoothing) == (250, 128, 3e-5, 0.1)
    assert (recipe.resized_crop, recipe.jitter, recipe.hue, recipe.cutout) == (224, 0.4, 0.2, 0)
    assert (learning_rate(recipe, 0), recipe.drop_path, recipe.autoaugment) == (0.1, 0.0, False)
    assert learning_rate(recipe, 249) == pytest.approx(5.08349e-5, rel=1e-5)
    with torch.device("meta"):
        network = photographs.network()
    assert sum(weight.numel() for weight in network.parameters()) == 5_979_528


def test_the_papers_rate_falls_by_a_cosine_from_epoch_to_epoch() -> None:
    recipe = evaluation("ddarts-cifar10", "paper").recipe
    assert recipe.anneal == "epoch"
    assert learning_rate(recipe, 0) == pytest.approx(0.025)
    assert learning_rate(recipe, 300) == pytest.approx(0.0125)
    assert learning_rate(recipe, 599) == pytest.approx(1.7135e-7, rel=1e-4)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'ddarts-cifar10"):
        evaluation("ddarts-cifar")
    with pytest.raises(UnknownName, match="Did you mean 'paper'"):
        evaluation("ddarts-cifar10", "papers")  # type: ignore[arg-type]

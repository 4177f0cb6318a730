from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.autogan import GeneratorSize, SharedGenerator, discriminator, whole_choices
from ogive.networks.build import WeightSource, drawing_from
from ogive.spaces.autogan import autogan
from ogive.supernets.generators import (
    Pair,
    PathTraining,
    decision,
    divided,
    split_and_trained,
    trained,
    uniform_route,
)
from ogive.training.adversarial import AdversarialRecipe, noise
from ogive.training.data import Data, load

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = GeneratorSize(channels=2, latent=4, side=16, outputs=1)
ARCHS = [autogan().sample(np.random.default_rng(seed)) for seed in range(4)]
RECIPE = AdversarialRecipe(steps=2, batch_size=12, generator_batch=8, critic_steps=1, average=0.0)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", size=16, limit=24)


def fresh() -> Pair:
    with drawing_from(0):
        return Pair(SharedGenerator(whole_choices(), SIZE), discriminator(2, 1, seed=1))


def training(data: Data, folder: Path | None = None, **options: object) -> PathTraining:
    made = PathTraining(data, Seed(0), RECIPE, replace(RECIPE, steps=1), {"made": "here"}, folder=folder)
    return replace(made, **options)  # type: ignore[arg-type]


def state(pair: Pair) -> dict[str, Tensor]:
    found = {f"g.{name}": tensor.clone() for name, tensor in pair.generator.state_dict().items()}
    return found | {f"d.{name}": tensor.clone() for name, tensor in pair.critic.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def images(network: nn.Module, *, train: bool) -> Tensor:
    with torch.no_grad():
        made: Tensor = network.train(train)(noise(6, 4, 3))
    return made


# -- splitting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 2, 3, 8, 13])
def test_the_parts_of_any_decision_divide_the_space(place: int) -> None:
    parts = divided(fresh(), place)
    assert len(parts) == len(whole_choices()[place])
    assert sum(math.prod(map(len, pair.generator.choices)) for _, pair in parts) == 373_248
    for arch in ARCHS:
        assert parts.route(arch) == ((arch.choices[place],),)
        assert [key for key, pair in parts if arch.choices[place] in pair.generator.choices[place]] == [
            parts.route(arch)
        ]
    assert isinstance(parts, WeightSource)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("text", ["conv1", "up2", "skips3"])
def test_right_after_a_split_an_architecture_makes_the_images_of_the_parent_to_the_bit(
    digits: Data, text: str, train: bool
) -> None:
    parent = trained(fresh(), "", training(digits))
    parts = divided(parent, decision(text))
    for arch in ARCHS:
        made = images(parts.network(arch), train=train)
        assert torch.equal(made, images(parent.generator.network(arch), train=train))


def test_a_part_begins_with_copies_of_all_that_it_can_use(digits: Data) -> None:
    parent = trained(fresh(), "", training(digits))
    before = state(parent)
    parts = divided(parent, decision("conv1"))
    for number, word in enumerate(("post", "pre")):
        part = parts.parts[((number,),)]
        # What belongs to the other kind of convolution has no weights here, and everything else is there.
        left = {name for name in before if f"cells.0.first.{'pre' if word == 'post' else 'post'}." in name}
        left |= {name.replace("first", "second") for name in before if name in left}
        assert state(part).keys() == {name for name in before if name not in left and name in before}
        assert same(state(part), {name: before[name] for name in state(part)})
        with torch.no_grad():
            for weight in (*part.generator.parameters(), *part.critic.parameters()):
                weight.zero_()
    assert same(state(parent), before)
    assert parts.name(((1,),)) == "pre"


def test_parts_of_a_level_begin_where_those_before_it_ended(digits: Data) -> None:
    up, shortcut = decision("up1"), decision("shortcut2")
    parent = trained(fresh(), "", training(digits))
    final = split_and_trained(parent, [up, shortcut], training(digits))
    assert len(final) == 3 * 2
    first = split_and_trained(parent, [up], training(digits))
    name = "up1 nearest, shortcut2 yes"
    between = divided(first.parts[((1,),)], shortcut).parts[((1,),)]
    assert same(state(between), {key: state(first.parts[((1,),)])[key] for key in state(between)})
    expected = trained(between, name, training(digits))
    assert same(state(expected), state(final.parts[((1,), (1,))]))
    assert final.name(((1,), (1,))) == "nearest+yes"
    for arch in ARCHS:
        assert final.route(arch) == ((arch.choices[up],), (arch.choices[shortcut],))


def test_what_cannot_be_split_is_refused(digits: Data) -> None:
    with pytest.raises(UnknownName, match="up4"):
        decision("up4")
    part = divided(fresh(), 0).parts[((0,),)]
    with pytest.raises(SpecError, match="conv1 is made"):
        divided(part, 0)
    for wrong in ([], [1, 1]):
        with pytest.raises(SpecError, match="different decisions"):
            split_and_trained(fresh(), wrong, training(digits))
    parts = divided(fresh(), 0)
    del parts.parts[((1,),)]
    with pytest.raises(SpecError, match="No part"):
        parts.part(Architecture("autogan", (1, *([0] * 13))))


# -- training ---------------------------------------------------------------------------------------------------------


def test_paths_are_drawn_uniformly_from_the_choices() -> None:
    choices = ((0,), (1, 2), (0, 1, 3))
    draw = torch.Generator().manual_seed(0)
    counts = Counter(tuple(uniform_route(choices)(draw)) for _ in range(1200))
    assert set(counts) == {(0, b, c) for b in (1, 2) for c in (0, 1, 3)}
    assert all(150 < count < 250 for count in counts.values())


def test_a_training_is_read_back_and_those_that_begin_alike_share_it(digits: Data, tmp_path: Path) -> None:
    told: list[str] = []
    again = training(digits, tmp_path)
    first = split_and_trained(trained(fresh(), "", again), [decision("up1")], again)
    folders = {path.name for path in tmp_path.iterdir()}
    assert len(folders) == 4
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    # The weights that it began with do not matter any more.
    with drawing_from(9):
        other = Pair(SharedGenerator(whole_choices(), SIZE), discriminator(2, 1))
    later = training(digits, tmp_path, progress=told.append)
    second = split_and_trained(trained(other, "", later), [decision("up1"), decision("up2")], later)
    assert len(told) == 9
    assert all(line.startswith("supernet (up1 ") and ", up2 " in line for line in told)  # nothing was trained again
    assert files.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}.items()
    assert len({path.name for path in tmp_path.iterdir()} - folders) == 9
    assert later.spent[""] == again.spent[""] > 0
    assert len(first) == 3
    assert len(second) == 9
    trained(fresh(), "", training(digits, tmp_path, origin={"made": "elsewhere"}))
    assert len(list(tmp_path.iterdir())) == 14

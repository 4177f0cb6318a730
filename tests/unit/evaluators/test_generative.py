from __future__ import annotations

import io
import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ogive import catalog, session
from ogive.core.errors import SpecError, UnknownName
from ogive.core.evaluator import Evaluator
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Proposal
from ogive.estimate import estimate
from ogive.evaluators.inherited import Inherited
from ogive.evaluators.trained import Trained
from ogive.networks.autogan import GeneratorSize, SharedGenerator, discriminator, generator
from ogive.networks.build import build, default_skeleton
from ogive.networks.count import parameters
from ogive.runs import read_run
from ogive.spaces.autogan import autogan
from ogive.spaces.nasbench201 import nasbench201
from ogive.supernets.generators import GeneratorParts
from ogive.training.adversarial import AdversarialRecipe, noise, sampled, train_adversarial
from ogive.training.data import Data, Split, load
from ogive.training.image_features import FeatureRecipe, image_features
from ogive.training.samples import grid_png
from ogive.training.statistics import recalibrated
from ogive.training.task import Size
from ogive.training.tasks.generation import Generation, GenerationRecipe
from ogive.training.tasks.judge import Judging
from ogive.weights.generators import GeneratorSplitting, GeneratorTrainer, GeneratorTraining
from ogive.weights.shared import SharedWeights, parts, supernet

pytestmark = pytest.mark.usefixtures("one_thread", "ogive_home")

ARCHS = [autogan().sample(np.random.default_rng(seed)) for seed in range(3)]
TINY = {
    "channels": 2,
    "critic_channels": 2,
    "images": 30,
    "statistics_images": 20,
    "feature_channels": 2,
    "feature_epochs": 1,
    "steps": 2,
    "batch_size": 12,
    "generator_batch": 8,
    "critic_steps": 1,
}
SMALL = ", ".join(f"{name}={value}" for name, value in TINY.items() if name != "channels")
OF_JUDGE = ", ".join(f"{name}={value}" for name, value in list(TINY.items())[2:6])
OF_TRAINING = ", ".join(f"{name}={TINY[name]}" for name in ("critic_channels", *list(TINY)[6:]))
EVALUATORS = {
    "trained": f"trained({SMALL})",
    "supernet": f"inherited(supernet({OF_TRAINING}), {OF_JUDGE})",
    "parts": f"inherited(parts({OF_TRAINING}, part_steps=1, split=up3), {OF_JUDGE})",
}


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", size=16, limit=40)


def made(data: Data, **options: Any) -> Trained:
    written = {**TINY, **options}
    recipe = GenerationRecipe(**{e.name: written.pop(e.name) for e in fields(GenerationRecipe) if e.name in written})
    size, folder = Size(channels=written.pop("channels")), written.get("folder")
    task = Generation(data, folder=folder)
    return Trained(**{"task": task, "recipe": recipe, "size": size, "seed": Seed(0), "space": autogan(), **written})


def weights(data: Data, *, folder: Path | None = None, **options: Any) -> SharedWeights:
    written = {**TINY, **({"part_steps": 1} if "split" in options else {}), **options}
    names = {entry.name for entry in fields(GeneratorSplitting)}
    training: dict[str, Any] = {name: value for name, value in written.items() if name in names}
    place: dict[str, Any] = {
        "space": autogan(),
        "task": Generation(data),
        "seed": Seed(0),
        "channels": 2,
        "folder": folder,
    }
    if "split" in options:
        return parts(training=GeneratorSplitting(**training), **place)
    return supernet(training=GeneratorTraining(**training), **place)


def shared(data: Data, *, metric: str | None = None, progress: Any = None, **options: Any) -> Inherited:
    judging = Judging(**{entry.name: TINY[entry.name] for entry in fields(Judging) if entry.name in TINY})
    about: dict[str, Any] = {"task": Generation(data), "space": autogan(), "seed": Seed(0), "measuring": judging}
    return Inherited(weights(data, **options), metric=metric, progress=progress, **about)


def metrics(evaluator: Evaluator, archs: list[object] | None = None) -> list[dict[str, float]]:
    found = evaluator.evaluate([Proposal(arch) for arch in archs or ARCHS])  # type: ignore[arg-type]
    assert [measured.error for measured in found] == [None] * len(found)
    return [dict(measured.metrics) for measured in found]


# -- trained from scratch ---------------------------------------------------------------------------------------------


def test_what_is_measured_are_the_images_of_the_trained_generator(digits: Data) -> None:
    (found,) = metrics(made(digits), [ARCHS[0]])
    seed = Seed(0).child(str(ARCHS[0])).child("repeat 0")
    network = generator(ARCHS[0], GeneratorSize(2, side=16, outputs=1), seed=seed.integer("weights"))
    critic = discriminator(2, 1, seed=seed.integer("critic"))
    recipe = AdversarialRecipe(steps=2, batch_size=12, generator_batch=8, critic_steps=1)
    train_adversarial(network, critic, digits, recipe, seed=seed)
    recalibrated(network, [noise(20, 128, Seed(0).integer("statistics"))])
    images = sampled(network, noise(30, 128, Seed(0).integer("images")))
    stored = ((images + 1) * 127.5).round().byte()
    measure = image_features(digits, FeatureRecipe(channels=2, epochs=1))
    assert (found["own_fid"], found["own_is"]) == pytest.approx(measure.measured(stored))
    assert found["params"] == parameters(network)
    assert found["macs"] > 0


def test_an_outcome_depends_on_no_other_candidate_and_on_no_test_image(digits: Data) -> None:
    blank = Split(torch.zeros_like(digits.test.images), torch.zeros_like(digits.test.labels))
    first, second = metrics(made(digits), ARCHS[:2])
    # Another test set makes other data, and so another classifier, but of the same weights.
    other = pickle.loads(pickle.dumps(made(replace(digits, test=blank))))
    assert metrics(other, ARCHS[1::-1]) == [second, first]


def test_the_fidelity_is_a_number_of_steps(digits: Data) -> None:
    (shorter,) = metrics(made(digits, steps=1), [ARCHS[0]])
    evaluator = made(digits)
    assert evaluator.evaluate([Proposal(ARCHS[0], fidelity=1)])[0].metrics == shorter
    assert metrics(evaluator, [ARCHS[0]]) != [shorter]


def test_a_candidate_that_diverges_or_does_not_fit_is_a_failed_one(digits: Data, tmp_path: Path) -> None:
    wild = made(digits, learning_rate=1e30, folder=tmp_path).evaluate([Proposal(ARCHS[0])])[0]
    assert wild.error is not None
    assert wild.error.startswith("diverged: ")
    assert list(tmp_path.iterdir()) == []
    large = made(digits, memory_limit_mb=1, channels=64).evaluate([Proposal(ARCHS[0])])[0]
    assert large.error is not None
    assert large.error.startswith("out of memory: training would take about")
    assert large.metrics["params"] > 0


def test_a_picture_of_samples_is_left_and_nothing_else(digits: Data, tmp_path: Path) -> None:
    metrics(made(digits, folder=tmp_path, samples=9), [ARCHS[0]])
    name = "-".join(str(choice) for choice in ARCHS[0].choices)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == [f"samples/{name}.png"]
    with Image.open(tmp_path / "samples" / f"{name}.png") as picture:
        assert picture.size == (3 * 16 + 2 * 2, 3 * 16 + 2 * 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_holds_the_images_row_by_row(channels: int) -> None:
    images = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, channels, 2, 3)
    with Image.open(io.BytesIO(grid_png(images))) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (2 * 2 + 2, 3 * 3 + 4, 3)
    assert pixels[0, [0, 5, 10], 0].tolist() == [0, 64, 128]
    assert pixels[4, [0, 5, 10], 0].tolist() == [191, 255, 255]  # the last place is empty
    assert pixels[0, 3].tolist() == [255] * 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": 1}, "images must be at least 2"),
        ({"critic_channels": 0}, "discriminator has at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"feature_epochs": 0}, "epochs of the feature network"),
        ({"threads": 0}, "threads must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused_at_once(digits: Data, options: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        made(digits, **options)


def test_only_generators_are_taken_and_nobody_else_takes_them(digits: Data) -> None:
    with pytest.raises(SpecError, match="The task is generation, and networks of nasbench201 are for classification"):
        made(digits, space=nasbench201())
    with pytest.raises(SpecError, match="make images instead of reading them"):
        build(ARCHS[0], default_skeleton("nasbench201"))


# -- inherited --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [None, "up1"])
def test_an_estimate_is_that_of_the_inherited_generator_with_statistics_of_its_own(
    digits: Data, split: str | None
) -> None:
    evaluator = shared(digits, metric="shared_fid", **({} if split is None else {"split": split}))
    found = metrics(evaluator)
    assert isinstance(evaluator.weights, SharedWeights)
    assert isinstance(evaluator.weights.source, SharedGenerator if split is None else GeneratorParts)
    measure = image_features(digits, FeatureRecipe(channels=2, epochs=1))
    for arch, value in zip(ARCHS, found, strict=True):
        network = recalibrated(evaluator.weights.network(arch), [noise(20, 128, Seed(0).integer("statistics"))])
        assert isinstance(network, SharedGenerator)
        images = sampled(network, noise(30, 128, Seed(0).integer("images")))
        stored = ((images + 1) * 127.5).round().byte()
        assert value == {"shared_fid": pytest.approx(measure.measured(stored)[0])}
    assert found == metrics(evaluator, ARCHS[::-1])[::-1]
    assert evaluator.weights.training_s > 0


def test_the_supernet_is_trained_once_into_the_folder_and_read_by_others(digits: Data, tmp_path: Path) -> None:
    first = shared(digits, split="shortcut2", folder=tmp_path)
    expected = metrics(first)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len({path.parent for path in files}) == 3
    told: list[str] = []
    assert metrics(shared(digits, split=["shortcut2"], folder=tmp_path, progress=told.append)) == expected
    assert metrics(pickle.loads(pickle.dumps(first))) == expected
    assert told == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == files
    # With the part that holds it, an architecture has no other weights than those of the parts.
    assert metrics(shared(digits, folder=tmp_path)) != expected


def test_decisions_are_named_or_drawn(digits: Data) -> None:
    first, second = (weights(digits, split="random", splits=3)._trainer for _ in range(2))
    assert isinstance(first, GeneratorTrainer)
    assert isinstance(second, GeneratorTrainer)
    assert first._decisions == second._decisions
    assert len(set(first._decisions)) == 3
    with pytest.raises(UnknownName, match="up9"):
        shared(digits, split="up9")
    with pytest.raises(SpecError, match="different decisions"):
        shared(digits, split=["up1", "up1"])
    with pytest.raises(SpecError, match="splits must be"):
        shared(digits, split="random", splits=0)
    with pytest.raises(SpecError, match="write parts"):
        shared(digits, split=None)


# -- searches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trained", "parts"])
def test_a_search_of_generators_minimises_its_own_distance(name: str, tmp_path: Path) -> None:
    settings = session.Settings(
        space="autogan",
        strategy="evolution(population=2, tournament=2)" if name == "parts" else "random",
        evaluator=EVALUATORS[name],
        budget=Budget(trials=3 if name == "parts" else 2),
        data="digits(size=16, limit=40)",
        channels=2,
        threads=1,
    )
    run = session.search(settings, tmp_path / "run")
    assert run.config["objectives"] == ["minimize(own_fid)"]
    assert [trial.status for trial in run.trials] == ["ok"] * len(run.trials)
    assert [trial.scores for trial in run.trials] == [(-trial.metrics["own_fid"],) for trial in run.trials]
    assert read_run(tmp_path / "run").trials == run.trials
    assert len(list((tmp_path / "run").rglob("*.png"))) == len({trial.arch for trial in run.trials})


@pytest.mark.parametrize("name", ["trained", "supernet"])
def test_a_dry_run_says_how_long_it_takes_and_keeps_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path))
    settings = session.Settings(
        space="autogan",
        evaluator=EVALUATORS[name],
        budget=Budget(trials=4),
        data="digits(size=16, limit=40)",
        channels=2,
        threads=1,
    )
    found = estimate(settings)
    assert (found.size, found.error) == (373_248, None)
    assert 0 < found.trial_s < found.total_s < 1000
    assert list(tmp_path.iterdir()) == []


def test_the_catalog_names_both_ways() -> None:
    assert {"trained", "inherited"} <= set(catalog.names("evaluator"))
    with pytest.raises(SpecError, match="The evaluator generative is now written trained"):
        catalog.resolve("evaluator", "generative")

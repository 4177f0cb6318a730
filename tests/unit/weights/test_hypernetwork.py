"""Weights that a hypernetwork predicts, in searches of every space that builds networks of images or rows."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import small_parts
import torch

from ogive import catalog, session
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.trial import Budget
from ogive.hypernets import files
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.ghn import GHN
from ogive.networks.build import BUILDERS, SEQUENTIAL
from ogive.session import Settings
from ogive.training.data import load
from ogive.training.tasks.classification import Classification
from ogive.weights.hypernetwork import Hypernetwork

pytestmark = pytest.mark.usefixtures("one_thread", "ogive_home")

# One space for each function that builds networks of images: those that share one are built alike.
# Learnt shares of a generated network are read in several places, as tied weights are, which no hypernetwork predicts.
TIED = "rnag_ws"
SPACES = sorted({BUILDERS[name]: name for name in sorted(BUILDERS) if name not in ("mlp", *SEQUENTIAL)}.values())
SPACES.remove(TIED)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ghn") / "ghn.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        files.save(GHN(Configuration(width=8, largest=(8, 8, 11, 11))), path)
    return path


def weights(file: Path, space: str, **size: int | None) -> Hypernetwork:
    data = load("digits", limit=96)
    made = catalog.build("space", space)
    return Hypernetwork(file, space=made, data=data, task=Classification(data), seed=Seed(0), **size)


@pytest.mark.parametrize("space", SPACES)
def test_networks_of_every_space_get_weights(file: Path, space: str) -> None:
    channels, cells = small_parts.SIZES[space]
    source = weights(file, small_parts.SMALL.get(space, space), channels=channels, cells=cells)
    rng = np.random.default_rng(0)
    arch, shapes = source.space.sample(rng), (2, *source.data.shape)
    first, again = source.network(arch), source.network(arch)
    with torch.no_grad():
        assert first.train()(torch.randn(shapes)).isfinite().all()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_networks_with_tied_weights_are_refused_in_one_line(file: Path) -> None:
    source = weights(file, small_parts.SMALL.get(TIED, TIED))
    with pytest.raises(SpecError, match=r"The parameter .* is used \d times: a hypernetwork predicts"):
        source.network(source.space.sample(np.random.default_rng(0)))


def test_a_search_takes_its_estimates_from_a_hypernetwork(file: Path) -> None:
    settings = Settings(
        space="nasbench201",
        strategy="random",
        evaluator=f"inherited(ghn('{file}'), statistics_images=48)",
        data="digits(limit=96)",
        channels=4,
        cells=1,
        threads=1,
        budget=Budget(trials=3),
    )
    trials, again = session.searched(settings)[0], session.searched(settings)[0]

    assert all(trial.measurement.error is None and 0 <= trial.metrics["val_acc"] <= 100 for trial in trials)
    assert [trial.metrics for trial in trials] == [trial.metrics for trial in again]


def test_it_is_read_again_by_other_processes(file: Path) -> None:
    source = weights(file, "nasbench201", channels=4, cells=1)
    arch = source.space.sample(np.random.default_rng(1))
    other = pickle.loads(pickle.dumps(source))

    assert all(
        torch.equal(a, b)
        for a, b in zip(source.network(arch).parameters(), other.network(arch).parameters(), strict=True)
    )
    assert other.digest == source.digest


def test_a_hypernetwork_for_other_classes_is_refused(tmp_path: Path) -> None:
    files.save(GHN(Configuration(classes=7, width=8, largest=(8, 8, 11, 11))), tmp_path / "seven.safetensors")

    with pytest.raises(SpecError, match="networks of 7 classes, but the data have 10"):
        weights(tmp_path / "seven.safetensors", "nasbench201")

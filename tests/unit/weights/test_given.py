"""Weights of a file: what a search left and what somebody stored; and the files that are neither."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ogive import catalog, session
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Proposal
from ogive.evaluators.inherited import Inherited
from ogive.runs import read_run
from ogive.session import Settings
from ogive.training.data import Data, load
from ogive.training.task import Size
from ogive.training.tasks.classification import Classification
from ogive.weights.given import Given, save_networks

pytestmark = pytest.mark.usefixtures("one_thread", "ogive_home")

TRAINED = Settings(
    space="nasbench201",
    strategy="random",
    evaluator="inherited(statistics_images=48)",
    data="digits(limit=96)",
    weights="supernet(epochs=1, batch_size=16)",
    channels=2,
    cells=1,
    threads=1,
    budget=Budget(trials=3),
)


def digits() -> Data:
    return load("digits", limit=96)


def given(file: Path, space: str = "nasbench201", data: Data | None = None) -> Given:
    read = data or digits()
    return Given(file, space=catalog.build("space", space), data=read, task=Classification(read))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("given") / "run"
    session.search(TRAINED, folder)
    return folder


@pytest.fixture
def file(run: Path) -> Path:
    (found,) = run.rglob("epoch-*.safetensors")
    return found


# -- a supernet that a search left ------------------------------------------------------------------------------------


def test_the_supernet_of_another_search_gives_the_estimates_that_it_gave_there(run: Path, file: Path) -> None:
    wanted = replace(TRAINED, weights=f"given('{file}')", channels=16, cells=5)  # the file knows its size
    before, now = read_run(run).trials, session.searched(wanted)[0]
    assert [(t.arch, t.scores) for t in now] == [(t.arch, t.scores) for t in before]


def test_given_weights_train_nothing_and_are_read_again_by_other_processes(file: Path) -> None:
    weights = given(file)
    other = pickle.loads(pickle.dumps(weights))
    assert other._made is None
    arch = weights.space.sample(np.random.default_rng(0))
    images = digits().normalised(digits().val.images)
    torch.testing.assert_close(other.network(arch).train()(images), weights.network(arch).train()(images))


def test_a_search_goes_on_only_with_the_same_file(file: Path, tmp_path: Path) -> None:
    copied = tmp_path / "weights.safetensors"
    copied.write_bytes(file.read_bytes())
    wanted = replace(TRAINED, weights=f"given('{copied}')", budget=Budget(trials=1))
    session.search(wanted, tmp_path / "run")
    session.resume(tmp_path / "run", budget=Budget(trials=2))
    assert not supernets(tmp_path / "run")
    content = bytearray(copied.read_bytes())
    content[-1] ^= 1
    copied.write_bytes(content)
    with pytest.raises(StoreError, match=r"The weights of .* had the digest"):
        session.resume(tmp_path / "run", budget=Budget(trials=3))


def supernets(folder: Path) -> list[Path]:
    return list(folder.rglob("supernet-*"))


def test_the_supernet_of_generators_is_read_too(tmp_path: Path) -> None:
    recipe = "critic_channels=2, steps=2, batch_size=12, generator_batch=8, critic_steps=1"
    wanted = replace(
        TRAINED,
        space="autogan",
        data="digits(size=16, limit=40)",
        cells=None,
        weights=f"supernet({recipe})",
        evaluator="inherited(images=30, statistics_images=20, feature_channels=2, feature_epochs=1)",
    )
    before = session.search(wanted, tmp_path / "run")
    file = sorted(tmp_path.rglob("generators-*/epoch-*.safetensors"))[-1]
    now = session.searched(replace(wanted, weights=f"given('{file}')"))[0]
    assert [(t.arch, t.scores) for t in now] == [(t.arch, t.scores) for t in before.trials]
    with pytest.raises(SpecError, match="are for the space autogan, but the search has nasbench201"):
        given(file)


# -- networks that somebody stored ------------------------------------------------------------------------------------


def test_stored_networks_ask_nothing_of_the_space(tmp_path: Path) -> None:
    """NAS-Bench-101 has no supernet."""
    space, task, size = catalog.build("space", "nasbench101"), Classification(digits()), Size(channels=8, cells=1)
    recipe = task.recipe()
    archs = [space.sample(np.random.default_rng(seed)) for seed in range(3)]
    networks = {arch: task.network(arch, size, recipe, seed=number) for number, arch in enumerate(archs[:2])}
    save_networks(tmp_path / "networks.safetensors", networks, size)
    weights = given(tmp_path / "networks.safetensors", "nasbench101")
    for arch, network in networks.items():
        for name, tensor in weights.network(arch).state_dict().items():
            assert torch.equal(tensor, network.state_dict()[name])
    evaluator = Inherited(weights, task=task, space=space, seed=Seed(0))
    first, second, third = evaluator.evaluate([Proposal(arch) for arch in archs])
    assert (first.error, second.error) == (None, None)
    assert third.error is not None
    assert "holds weights of 2 architectures, but not of" in third.error


def test_a_task_without_batch_statistics_measures_stored_networks_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [",".join(f"{value:.3f}" for value in row) for row in rng.normal(size=(60, 4))]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,price", *lines]))
    space = catalog.build("space", "mlp")
    rows = catalog.build("data", f"csv:{tmp_path / 'rows.csv'}(target=price)")
    task = catalog.task_of(space, rows)
    arch, recipe = space.sample(rng), task.recipe()
    network = task.network(arch, Size(), recipe, seed=1)
    save_networks(tmp_path / "one.safetensors", {arch: network})
    about = Context({"space": lambda: space, "data": lambda: rows}, Seed(0))
    evaluator = catalog.build("evaluator", f"inherited(given('{tmp_path / 'one.safetensors'}'))", about)
    (found,) = evaluator.evaluate([Proposal(arch)])
    expected = task.measured(network, "val", recipe, seed=Seed(0))["val_rmse"]
    assert found.metrics == {"val_rmse": pytest.approx(expected)}


def test_an_object_with_networks_is_a_source_from_python(tmp_path: Path) -> None:
    class Mine:
        def network(self, arch: Architecture) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    from ogive.api import search

    torch.manual_seed(0)
    found = search(space="nasbench101", evaluator="inherited", weights=Mine(), data="digits(limit=40)", budget=2)
    assert [trial.status for trial in found.trials] == ["ok"] * 2
    with pytest.raises(SpecError, match=r"Weights come from an object with network\(arch\), but got int"):
        search(space="nasbench101", evaluator="inherited", weights=3, data="digits(limit=40)", budget=2)


# -- what is no such file ---------------------------------------------------------------------------------------------


def damaged(file: Path, out: Path) -> Path:
    out.write_bytes(file.read_bytes()[:-100])
    return out


def foreign(_: Path, out: Path) -> Path:
    save_file({"weight": torch.zeros(3)}, out)
    return out


def of_a_candidate(_: Path, out: Path) -> Path:
    record = {"schema": 1, "epoch": 1, "fingerprint": {"recipe": {}, "seed": [0]}, "history": []}
    save_file({"network.weight": torch.zeros(3)}, out, metadata={"record": json.dumps(record)})
    return out


def other_tensors(file: Path, out: Path) -> Path:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        save_file({"supernet.stem": torch.zeros(3)}, out, metadata=opened.metadata())
    return out


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _, out: out, "but .* does not exist"),
        (lambda _, out: out.parent, "is a folder: name a file in it"),
        (damaged, "is damaged, or no safetensors file"),
        (foreign, "holds neither a supernet nor networks"),
        (of_a_candidate, "holds neither a supernet nor networks"),
        (other_tensors, "fit no network of nasbench201"),
    ],
    ids=["missing", "folder", "damaged", "foreign", "candidate", "tensors"],
)
def test_another_file_is_refused_in_one_line(
    make: Callable[[Path, Path], Path], reason: str, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=reason) as told:
        given(make(file, tmp_path / "other.safetensors"))
    assert "\n" not in str(told.value)


def test_weights_for_another_search_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="are for the space nasbench201, but the search has darts"):
        given(file, "darts")
    two = replace(digits(), classes=("a", "b"))
    with pytest.raises(SpecError, match=r"channels and classes \(1, 10\), but the search has \(1, 2\)"):
        given(file, data=two)


def test_a_part_gives_weights_to_the_architectures_that_it_holds_and_to_no_others(tmp_path: Path) -> None:
    split = replace(TRAINED, weights="parts(split=[0, 3], groups=true, epochs=1, part_epochs=1, batch_size=16)")
    before = session.search(split, tmp_path / "few").trials
    named = {path: json.loads(header(path)["record"])["fingerprint"]["name"] for path in tmp_path.rglob("epoch-*")}
    deepest = [path for path, name in named.items() if name.count(",") == 1]
    assert len(deepest) == 4
    found = [session.searched(replace(split, weights=f"given('{path}')"))[0] for path in deepest]
    for trial, *others in zip(before, *found, strict=True):
        assert [other.scores for other in others if other.status == "ok"] == [trial.scores]
        assert all(other.arch == trial.arch for other in others)


def header(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())

"""An interrupted training, resumed, ends with the weights and the history of one that was left alone: to the bit."""

from __future__ import annotations

import json
import logging
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ogive.core.errors import MissingData, StoreError
from ogive.core.rng import Seed
from ogive.training.data import Data
from ogive.training.recipe import Recipe
from ogive.training.supervised import Outcome, train

SEED = Seed(3)
EPOCHS = 4
STEPS = 6  # of 96 training images
RECIPES = {
    "sgd": Recipe(epochs=EPOCHS, batch_size=16, average=0.9, cutout=2, mixup=0.3),
    "adamw": Recipe(epochs=EPOCHS, batch_size=16, optimizer="adamw", learning_rate=0.01, warmup_epochs=1.5),
}


class Stopped(BaseException):
    """Stands for whatever ends a process; not an Exception, so nothing that handles those can swallow it."""


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_equal(network: nn.Module, outcome: Outcome, expected: tuple[nn.Module, Outcome]) -> None:
    assert outcome.history == expected[1].history
    own, other = weights(network), weights(expected[0])
    assert own.keys() == other.keys()
    for name, tensor in own.items():
        assert torch.equal(tensor, other[name]), name


def stop_at(small: type[nn.Module], stripes: Data, recipe: Recipe, folder: Path, call: int) -> None:
    def before(now: int) -> None:
        if now == call:
            raise Stopped

    network: Any = small()
    network.before = before
    with pytest.raises(Stopped):
        train(network, stripes, recipe, seed=SEED, folder=folder)


@pytest.fixture(scope="module", params=sorted(RECIPES))
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


@pytest.fixture(scope="module")
def uninterrupted(small: type[nn.Module], stripes: Data, recipe: Recipe) -> tuple[nn.Module, Outcome]:
    network = small()
    return network, train(network, stripes, recipe, seed=SEED)


def test_writing_checkpoints_does_not_change_the_training(
    small: type[nn.Module], stripes: Data, recipe: Recipe, uninterrupted: tuple[nn.Module, Outcome], tmp_path: Path
) -> None:
    network = small()
    assert_equal(network, train(network, stripes, recipe, seed=SEED, folder=tmp_path), uninterrupted)


@pytest.mark.parametrize("call", [0, 3, STEPS, STEPS + 1, 3 * STEPS - 1, 3 * STEPS + 4])
def test_a_training_stopped_at_any_step_resumes_exactly(
    call: int,
    small: type[nn.Module],
    stripes: Data,
    recipe: Recipe,
    uninterrupted: tuple[nn.Module, Outcome],
    tmp_path: Path,
) -> None:
    stop_at(small, stripes, recipe, tmp_path, call)
    torch.rand(3)
    network: Any = small()
    outcome = train(network, stripes, recipe, seed=SEED, folder=tmp_path)
    assert_equal(network, outcome, uninterrupted)
    assert network.calls == STEPS * (EPOCHS - call // STEPS)  # what was finished is not done again


def test_a_finished_training_is_only_read(
    small: type[nn.Module], stripes: Data, recipe: Recipe, uninterrupted: tuple[nn.Module, Outcome], tmp_path: Path
) -> None:
    train(small(), stripes, recipe, seed=SEED, folder=tmp_path)
    network: Any = small()
    assert_equal(network, train(network, stripes, recipe, seed=SEED, folder=tmp_path), uninterrupted)
    assert network.calls == 0


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_checkpoint_is_passed_over_with_a_warning(
    kept: float,
    small: type[nn.Module],
    stripes: Data,
    recipe: Recipe,
    uninterrupted: tuple[nn.Module, Outcome],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop_at(small, stripes, recipe, tmp_path, 3 * STEPS + 2)
    newest = max(tmp_path.glob("*.safetensors"))
    assert newest.name == "epoch-000003.safetensors"
    newest.write_bytes(newest.read_bytes()[: int(kept * newest.stat().st_size)])
    network: Any = small()
    with caplog.at_level(logging.WARNING):
        outcome = train(network, stripes, recipe, seed=SEED, folder=tmp_path)
    assert "epoch-000003.safetensors is damaged" in caplog.text
    assert_equal(network, outcome, uninterrupted)
    assert network.calls == 2 * STEPS


def test_without_any_readable_checkpoint_the_training_begins_anew(
    small: type[nn.Module], stripes: Data, recipe: Recipe, uninterrupted: tuple[nn.Module, Outcome], tmp_path: Path
) -> None:
    stop_at(small, stripes, recipe, tmp_path, 3 * STEPS + 2)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"")
    network: Any = small()
    assert_equal(network, train(network, stripes, recipe, seed=SEED, folder=tmp_path), uninterrupted)
    assert network.calls == EPOCHS * STEPS


def test_two_checkpoints_are_kept_and_no_scratch_file(small: type[nn.Module], stripes: Data, tmp_path: Path) -> None:
    train(small(), stripes, RECIPES["sgd"], seed=SEED, folder=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["epoch-000003.safetensors", "epoch-000004.safetensors", "metrics.jsonl"]


def test_a_full_disk_is_an_error_that_says_so_and_the_training_resumes_from_the_epoch_before(
    small: type[nn.Module], stripes: Data, tmp_path: Path
) -> None:
    recipe = RECIPES["sgd"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    first: Any = small()

    def fill(call: int) -> None:
        if call == 2 * STEPS:
            # No file may grow beyond 1,000 bytes from here on.
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))

    first.before = fill
    try:
        with pytest.raises(StoreError, match=r"epoch-000003.safetensors could not be written .* make room and resume"):
            train(first, stripes, recipe, seed=SEED, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(p.name for p in tmp_path.glob("epoch*")) == ["epoch-000001.safetensors", "epoch-000002.safetensors"]
    resumed, whole = small(), small()
    outcome = train(resumed, stripes, recipe, seed=SEED, folder=tmp_path)
    assert_equal(resumed, outcome, (whole, train(whole, stripes, recipe, seed=SEED)))


@pytest.mark.parametrize(
    ("recipe", "seed", "message"),
    [
        (Recipe(epochs=3), SEED, "its recipe is"),
        (Recipe(epochs=2), Seed(4), r"its seed is \[3\], but now it is \[4\]"),
    ],
)
def test_the_checkpoints_of_another_training_are_refused(
    recipe: Recipe, seed: Seed, message: str, small: type[nn.Module], stripes: Data, tmp_path: Path
) -> None:
    train(small(), stripes, Recipe(epochs=2), seed=SEED, folder=tmp_path)
    with pytest.raises(StoreError, match=f"belongs to another training: {message}"):
        train(small(), stripes, recipe, seed=seed, folder=tmp_path)


def test_a_checkpoint_of_a_newer_schema_is_refused(small: type[nn.Module], stripes: Data, tmp_path: Path) -> None:
    train(small(), stripes, Recipe(epochs=2), seed=SEED, folder=tmp_path)
    path = max(tmp_path.glob("*.safetensors"))
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()["record"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={"record": json.dumps({**record, "schema": 99})})
    with pytest.raises(StoreError, match="has schema 99, but this version reads up to 1"):
        train(small(), stripes, Recipe(epochs=2), seed=SEED, folder=tmp_path)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_journal_has_one_line_for_each_epoch_even_after_a_torn_one(
    small: type[nn.Module], stripes: Data, tmp_path: Path
) -> None:
    recipe = RECIPES["sgd"]
    stop_at(small, stripes, recipe, tmp_path, 2 * STEPS + 1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"number": 3, "train_l')
    outcome = train(small(), stripes, recipe, seed=SEED, folder=tmp_path)
    found = lines(tmp_path)
    assert [line["number"] for line in found] == [1, 2, 3, 4]
    for line, epoch in zip(found, outcome.history, strict=True):
        assert line["train_loss"] == epoch.train_loss
        assert line["val_acc"] == epoch.val_acc
        assert line.keys() == {"number", "learning_rate", "train_loss", "train_acc", "val_acc", "seconds"}


def test_tensorboard_files_hold_the_figures_of_the_journal(
    small: type[nn.Module], stripes: Data, tmp_path: Path
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="tensorboard")
    train(small(), stripes, RECIPES["sgd"], seed=SEED, folder=tmp_path, tensorboard=True)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("val_acc")]
    assert found == [(line["number"], pytest.approx(line["val_acc"], rel=1e-6)) for line in lines(tmp_path)]


def test_tensorboard_that_is_not_installed_is_named_with_the_way_to_get_it(
    small: type[nn.Module], stripes: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingData, match=r"pip install 'ogive\[trackers\]'"):
        train(small(), stripes, RECIPES["sgd"], seed=SEED, folder=tmp_path, tensorboard=True)

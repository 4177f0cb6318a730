from __future__ import annotations

import gc
import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError
from ogive.core.evaluator import Evaluator
from ogive.core.graph import DISCONNECTED
from ogive.core.metric import names_of
from ogive.core.rng import Seed
from ogive.core.trial import Measurement, Proposal
from ogive.evaluators.trained import Trained
from ogive.executors.processes import Processes
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.data import Data, Split, load
from ogive.training.memory import capacity, is_out_of_memory, training_bytes
from ogive.training.recipe import Recipe
from ogive.training.supervised import Progress
from ogive.training.task import Builder, Size
from ogive.training.tasks.classification import Classification

ARCH = Architecture("nasbench201", (3, 1, 2, 3, 0, 4))
OTHER = Architecture("nasbench201", (1, 2, 3, 1, 2, 3))
SIZE: dict[str, Any] = {"channels": 4, "cells": 1, "batch_size": 32}


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", limit=120)


pytestmark = pytest.mark.usefixtures("one_thread")


def trained(data: Data, builder: Builder | None = None, **options: Any) -> Trained:
    """The evaluator with the options of its recipe and its size side by side, as they are written."""
    written = {"seed": Seed(0), "space": nasbench201(), "epochs": 2, **SIZE, **options}
    recipe = Recipe(**{entry.name: written.pop(entry.name) for entry in fields(Recipe) if entry.name in written})
    size = Size(**{entry.name: written.pop(entry.name) for entry in fields(Size) if entry.name in written})
    return Trained(task=Classification(data, builder=builder), recipe=recipe, size=size, **written)


def measured(evaluator: Evaluator, arch: Architecture = ARCH, fidelity: int | None = None) -> Measurement:
    (measurement,) = evaluator.evaluate([Proposal(arch, fidelity)])
    return measurement


def metrics(measurement: Measurement) -> dict[str, float]:
    assert measurement.error is None, measurement.error
    return dict(measurement.metrics)


def test_a_candidate_is_measured_without_a_look_at_the_test_images(digits: Data) -> None:
    # A tensor on the meta device has no values: whoever computed with it would fail.
    unreadable = Split(digits.test.images.to("meta"), digits.test.labels.to("meta"))
    measurement = measured(trained(replace(digits, test=unreadable), epochs=8))
    assert measurement.metrics.keys() == {"val_acc", "params", "macs"} == set(names_of(trained(digits).metrics))
    assert 30 < metrics(measurement)["val_acc"] <= 100  # chance is 10
    assert measurement.cost.wall_s > 0


def test_a_cell_without_a_path_is_refused_before_it_is_trained(digits: Data) -> None:
    # 0->1 is a convolution and 1->3, 2->3 and 0->3 are none: nothing reaches node 3.
    dead_end = Architecture("nasbench201", (3, 3, 3, 0, 0, 0))
    built: list[Architecture] = []

    def builder(arch: Architecture, seed: int) -> nn.Module:
        built.append(arch)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    found = measured(trained(digits, builder), dead_end)
    assert (found.error, dict(found.metrics), built) == (DISCONNECTED, {}, [])
    assert measured(trained(digits, builder, epochs=1)).error is None
    assert measured(trained(digits, builder, space=None, epochs=1), dead_end).error is None  # nobody has its graph


def test_the_outcome_depends_on_seed_architecture_and_fidelity_alone(digits: Data) -> None:
    alone = [metrics(measured(trained(digits), arch)) for arch in (ARCH, OTHER)]
    evaluator = trained(digits)
    together = evaluator.evaluate([Proposal(OTHER), Proposal(ARCH), Proposal(OTHER)])
    assert [metrics(m) for m in together] == [alone[1], alone[0], alone[1]]
    assert metrics(measured(trained(digits), fidelity=2)) == alone[0]
    assert metrics(measured(trained(digits, epochs=8, seed=Seed(1)))) != metrics(measured(trained(digits, epochs=8)))


def test_repeats_average_independent_trainings(digits: Data) -> None:
    once, twice, thrice = (metrics(measured(trained(digits, repeats=n, epochs=4)))["val_acc"] for n in (1, 2, 3))
    second, third = 2 * twice - once, 3 * thrice - 2 * twice
    assert len({round(value, 6) for value in (once, second, third)}) > 1
    for value in (once, second, third):
        assert value * 1.2 == pytest.approx(round(value * 1.2), abs=1e-6)  # each a count of 120 images


def test_a_candidate_that_diverges_is_a_failure_with_its_reason(digits: Data) -> None:
    found = trained(digits, learning_rate=1e30).evaluate([Proposal(ARCH), Proposal(OTHER)])
    for measurement in found:
        assert measurement.error is not None
        assert measurement.error.startswith("diverged: The loss became")
        assert "val_acc" not in measurement.metrics
        assert measurement.metrics["params"] > 0


def test_a_network_far_too_large_is_a_failure_that_costs_no_memory(digits: Data) -> None:
    measurement = measured(trained(digits, channels=50_000, cells=20, memory_limit_mb=64))
    assert measurement.error is not None
    assert measurement.error.startswith("out of memory: training would take about ")
    assert measurement.error.endswith("MiB, and the limit is 64 MiB")
    assert measurement.metrics["params"] > 1e12  # more than any machine holds: it can only have been counted


def test_without_a_limit_the_memory_of_the_machine_is_one(digits: Data) -> None:
    measurement = measured(trained(digits, channels=50_000, cells=20))
    assert measurement.error is not None
    assert "out of memory" in measurement.error


def test_the_limit_counts_the_images_of_a_batch(digits: Data) -> None:
    assert measured(trained(digits, channels=32, batch_size=120, memory_limit_mb=12)).error is not None
    assert measured(trained(digits, channels=32, batch_size=4, memory_limit_mb=12, epochs=1)).error is None


class Greedy(nn.Module):
    """A network whose forward pass asks for more memory than there can be, as no estimate could foresee."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training and not x_NCHW.is_meta:
            torch.empty(1 << 60, dtype=torch.uint8)
        return self.layer(x_NCHW.flatten(1))  # type: ignore[no-any-return]


class Broken(Greedy):
    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training and not x_NCHW.is_meta:
            raise ValueError("the sizes do not fit\nand more lines")
        return self.layer(x_NCHW.flatten(1))  # type: ignore[no-any-return]


class Looking(Greedy):
    """A network that looks at values, as none on the meta device can."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        assert x_NCHW.sum().item() < 1e9
        return self.layer(x_NCHW.flatten(1))  # type: ignore[no-any-return]


def built(arch: Architecture, seed: int) -> nn.Module:
    return {1: Greedy, 2: Broken, 3: Looking}.get(int(arch.choices[0]), Plain)()


class Plain(Greedy):
    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.layer(x_NCHW.flatten(1))  # type: ignore[no-any-return]


def test_memory_that_cannot_be_had_fails_the_candidate_and_not_the_next_one(digits: Data) -> None:
    evaluator = trained(digits, space=None, builder=built, epochs=10)
    found = evaluator.evaluate([Proposal(Architecture("own", (n,))) for n in (1, 0)])
    assert found[0].error is not None
    assert found[0].error.startswith("out of memory: ")
    assert found[1].error is None
    assert found[1].metrics["val_acc"] > 50


def test_any_other_mishap_fails_its_candidate_with_one_line(digits: Data) -> None:
    evaluator = trained(digits, space=None, builder=built)
    found = evaluator.evaluate([Proposal(Architecture("own", (n,))) for n in (2, 0)])
    assert found[0].error == "ValueError: the sizes do not fit"
    assert found[1].error is None


def test_a_network_that_cannot_be_estimated_is_trained_all_the_same(digits: Data) -> None:
    evaluator = trained(digits, space=None, builder=built, epochs=1)
    assert metrics(measured(evaluator, Architecture("own", (3,))))["params"] == 650


def test_the_estimate_is_what_a_forward_pass_keeps(digits: Data) -> None:
    # Linear(64, 10) on a batch of 32 keeps its input; the log-softmax of the loss is beyond the network.
    with torch.device("meta"):
        network = Plain()
    weights, batch = 4 * (640 + 10), 4 * 32 * 64
    recipe = Recipe(batch_size=32, momentum=0.0, nesterov=False)
    assert training_bytes(network, (1, 8, 8), recipe) == 2 * weights + batch + batch + 2 * batch
    assert training_bytes(network, (1, 8, 8), replace(recipe, optimizer="adamw")) == 4 * weights + 4 * batch


def test_the_estimate_grows_with_the_batch_as_the_kept_tensors_do() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    one, two, three = (training_bytes(network, (1, 16, 16), Recipe(batch_size=n)) for n in (10, 20, 30))
    assert three - two == two - one > 10 * 8 * 16 * 16 * 4 * 2


def tensors_alive() -> int:
    gc.collect()
    return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())


def test_estimates_leave_no_tensor_behind() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    before = tensors_alive()
    for _ in range(20):
        training_bytes(network, (1, 16, 16), Recipe())
    assert tensors_alive() == before


def test_what_an_exception_says_of_memory_is_understood() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not is_out_of_memory(RuntimeError("the sizes do not fit"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_the_machine_has_memory() -> None:
    found = capacity(torch.device("cpu"))
    assert found is None or found > 1 << 28


# -- interruptions -----------------------------------------------------------------------------------------------------


def interrupting(at: int) -> Any:
    def report(progress: Progress) -> None:
        if progress.epoch == at and progress.step == progress.steps:
            raise KeyboardInterrupt

    return report


def test_ctrl_c_passes_through_and_the_training_goes_on_where_it_was(digits: Data, tmp_path: Path) -> None:
    expected = metrics(measured(trained(digits, epochs=4, repeats=2)))
    with pytest.raises(KeyboardInterrupt):
        measured(trained(digits, epochs=4, repeats=2, folder=tmp_path, progress=interrupting(3)))
    seen: list[Progress] = []
    resumed = trained(digits, epochs=4, repeats=2, folder=tmp_path, progress=seen.append)
    assert metrics(measured(resumed)) == expected
    assert [report.epoch for report in seen if report.step == report.steps] == [3, 4, 1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == []


def test_a_failed_training_leaves_no_folder(digits: Data, tmp_path: Path) -> None:
    measured(trained(digits, learning_rate=1e30, folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_other_settings_left_unfinished_is_refused(digits: Data, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        measured(trained(digits, epochs=4, folder=tmp_path, progress=interrupting(3)))
    with pytest.raises(StoreError, match="belongs to another training: its recipe is"):
        measured(trained(digits, epochs=4, folder=tmp_path, weight_decay=0.0))


# -- processes, threads, refusals --------------------------------------------------------------------------------------


def test_a_worker_process_measures_what_this_one_does(digits: Data) -> None:
    expected = metrics(measured(trained(digits)))
    copy = pickle.loads(pickle.dumps(trained(digits, progress=lambda report: None)))
    assert metrics(measured(copy)) == expected
    with Processes(1) as workers:
        shared = workers.share(trained(digits, threads=1))
        (found,) = workers.submit(shared.evaluate, [Proposal(ARCH)]).result()
    assert metrics(found) == expected


def test_the_threads_of_torch_are_set_and_put_back(digits: Data) -> None:
    seen: list[int] = []
    before = torch.get_num_threads()
    metrics(measured(trained(digits, threads=2, progress=lambda report: seen.append(torch.get_num_threads()))))
    assert set(seen) == {2}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "repeats must be at least 1, but got 0"),
        ({"memory_limit_mb": 0}, "memory_limit_mb must be at least 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"channels": 0}, "channels"),
        ({"auxiliary": True}, "auxiliary"),
        ({"space": darts(), "cells": 14, "auxiliary": True, "channels": 4}, "too small"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(
    digits: Data, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        trained(digits, **options)


def test_the_second_head_and_drop_path_of_darts_are_trained(digits: Data) -> None:
    data = load("digits", size=32, limit=20)
    space = darts()
    arch = space.sample(Seed(0).numpy("arch"))
    plain = trained(data, space=space, channels=2, cells=3, epochs=1)
    both = trained(data, space=space, channels=2, cells=3, epochs=1, auxiliary=True, drop_path=0.3)
    assert metrics(measured(both, arch))["macs"] == metrics(measured(plain, arch))["macs"]
    assert metrics(measured(both, arch))["params"] > metrics(measured(plain, arch))["params"]

"""Training: an epoch of a small network, and what the loop adds to the bare steps.

``make bench ARGS="-k training"`` prints the times; the line with a ratio names the baseline, measured in the same run.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.rng import Seed
from ogive.networks.build import build, default_skeleton
from ogive.training.batches import Batches
from ogive.training.data import Data, load
from ogive.training.distributed import ALONE
from ogive.training.recipe import Recipe
from ogive.training.supervised import train

ARCH = Architecture("nasbench201", (3, 1, 2, 3, 0, 4))
RECIPE = Recipe(epochs=1)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


def network() -> nn.Module:
    return build(ARCH, default_skeleton("nasbench201", channels=8, cells=1, inputs=1), seed=0)


def test_training_epoch_on_digits(benchmark: Any, digits: Data) -> None:
    """nasbench201 with 8 channels and 1 cell a stage, 1,010 images of 8 x 8 in batches of 64, one thread."""
    outcome = benchmark.pedantic(lambda: train(network(), digits, RECIPE, seed=Seed(0)), rounds=10, warmup_rounds=2)
    assert outcome.val_acc >= 0


def test_training_epoch_with_a_checkpoint(benchmark: Any, digits: Data, tmp_path: Path) -> None:
    places = iter(range(100))

    def work() -> None:
        train(network(), digits, RECIPE, seed=Seed(0), folder=tmp_path / str(next(places)))

    benchmark.pedantic(work, rounds=10, warmup_rounds=1)


def test_training_overhead_of_the_loop(digits: Data, capsys: pytest.CaptureFixture[str]) -> None:
    """Against forward, backward and a plain SGD step on the same images, ready-made."""
    device = torch.device("cpu")
    ready = list(Batches(digits, RECIPE, device, torch.float32, ALONE).epoch(Seed(0)))

    def bare() -> None:
        net = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        for batch in ready:
            optimizer.zero_grad()
            F.cross_entropy(net(batch.images), batch.labels).backward()
            optimizer.step()

    def whole() -> None:
        train(network(), digits, RECIPE, seed=Seed(0))

    times: dict[str, list[float]] = {"bare": [], "whole": []}
    for _ in range(12):  # in turn, so that a busy moment hits both
        for name, work in (("bare", bare), ("whole", whole)):
            started = time.process_time()
            work()
            times[name].append(time.process_time() - started)
    fastest = {name: min(values) for name, values in times.items()}
    with capsys.disabled():
        print(f"\n  loop with augmentation and validation / bare steps: {fastest['whole'] / fastest['bare']:.2f}")


def test_training_memory_estimate(benchmark: Any) -> None:
    from ogive.training.memory import training_bytes

    with torch.device("meta"):
        net = build(ARCH, default_skeleton("nasbench201", channels=16, cells=5))
    found = benchmark.pedantic(training_bytes, args=(net, (3, 32, 32), Recipe(batch_size=256)), rounds=5)
    assert found > 1 << 30

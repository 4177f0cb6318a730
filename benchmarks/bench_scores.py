"""Scores without training: NASWOT against the way of the release, its memory, and every score's seconds.

``make bench ARGS="-k scores"`` prints the figures; the ratios name the baseline, measured in the same run with one
thread. ``OGIVE_BENCH_CELLS=5`` takes all five published cells instead of two.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive.networks.build import build, default_skeleton
from ogive.scores import SCORES, score_function
from ogive.scores.naswot import naswot
from ogive.spaces.nasbench201 import nasbench201

Show = Callable[[str], None]

SPACE = nasbench201()
# The first five cells that the unit counts of the release were taken on; NAS-Bench-201's own size, a batch of 128.
CELLS = (
    "|none~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|skip_connect~2|",
    "|skip_connect~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|none~2|",
    "|avg_pool_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_1x1~0|nor_conv_1x1~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|avg_pool_3x3~0|skip_connect~1|none~2|",
)[: int(os.environ.get("OGIVE_BENCH_CELLS", "2"))]
BATCH = 128


@pytest.fixture
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def images() -> Tensor:
    return torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network(cell: str) -> nn.Module:
    return build(SPACE.parse(cell), default_skeleton(SPACE.name), seed=0)


def seconds(run: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """The least seconds of this process' processor, and what came out: other programs cannot add to them."""
    best, found = float("inf"), None
    for _ in range(repeats):
        started = time.process_time()
        found = run()
        best = min(best, time.process_time() - started)
    return best, found


def as_released(scored: nn.Module, batch: Tensor, *, twice: bool) -> float:
    """Mellor et al.'s search as it is written: hooks in both directions, float codes, two products a layer.

    The backward hook marks a layer as seen by the gradient; a second forward pass then sums up the marked ones in
    numpy. With `twice` a layer is hooked wherever the name of its class holds "ReLU", as in the release, which counts
    containers such as ReLUConvBN too; without, only ReLUs are, so that the score is the strict one.
    """
    kernel = np.zeros((len(batch), len(batch)))

    def mark(module: nn.Module, *_: Any) -> None:
        module.seen = True  # type: ignore[assignment]

    def count(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        if not getattr(module, "seen", False):
            return
        codes = (inputs[0].flatten(1) > 0).float()
        agreeing, both_off = codes @ codes.t(), (1.0 - codes) @ (1.0 - codes.t())
        kernel[...] += agreeing.cpu().numpy() + both_off.cpu().numpy()

    handles: list[Any] = []
    for module in scored.modules():
        if "ReLU" in type(module).__name__ if twice else isinstance(module, nn.ReLU):
            handles += [module.register_forward_hook(count), module.register_full_backward_hook(mark)]
    inputs = batch.clone().requires_grad_()
    answers = scored.train()(inputs)
    answers.backward(torch.ones_like(answers))
    scored(batch)
    for handle in handles:
        handle.remove()
    return float(np.linalg.slogdet(kernel)[1])


def test_scores_naswot_against_the_way_of_the_release(benchmark: Any, show: Show, one_thread: None) -> None:
    batch = images()
    ours, forward, strict, release = 0.0, 0.0, 0.0, 0.0
    for cell in CELLS:
        took, score = seconds(lambda cell=cell: naswot(network(cell), batch))
        ours += took
        took, baseline = seconds(lambda cell=cell: as_released(network(cell), batch, twice=False), 2)
        strict += took
        assert score == baseline  # to the last bit: both kernels are whole numbers
        took, baseline = seconds(lambda cell=cell: as_released(network(cell), batch, twice=True), 2)
        release += took
        assert naswot(network(cell), batch, reference_compat=True) == baseline
        forward += seconds(lambda cell=cell: passed(network(cell), batch))[0]
    benchmark.pedantic(lambda: naswot(network(CELLS[0]), batch), rounds=1)
    count = len(CELLS)
    show(
        f"NASWOT, NAS-Bench-201 (C = 16, N = 5), batch of {BATCH}, mean of {count} cells, processor seconds of one "
        f"thread: {ours / count:.2f}, of which the forward pass {forward / count:.2f}\n"
        f"  the way of the release (129 hooks): {release / count:.2f}, ratio {ours / release:.2f}\n"
        f"  the same with hooks on ReLUs only: {strict / count:.2f}, ratio {ours / strict:.2f}\n"
        f"  scores equal to the last bit"
    )


def passed(scored: nn.Module, batch: Tensor) -> None:
    with torch.no_grad():
        scored.train()(batch)


PEAK = """
import pathlib, sys
import torch
from ogive.networks.build import build, default_skeleton
from ogive.scores.naswot import naswot
from ogive.spaces.nasbench201 import nasbench201


def peak():
    # Of this program alone: getrusage would give the larger peak of the process that started it.
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


torch.set_num_threads(1)
network = build(nasbench201().parse(sys.argv[2]), default_skeleton("nasbench201"), seed=0).train()
batch = torch.randn(128, 3, 32, 32)
with torch.no_grad():
    network(batch[:2])
before = peak()
if sys.argv[1] == "forward":
    with torch.no_grad():
        network(batch)
else:
    naswot(network, batch)
print(peak(), before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is measured as Linux counts it, in KiB")
def test_scores_naswot_memory(benchmark: Any, show: Show) -> None:
    def peak(what: str) -> tuple[int, int]:
        command = [sys.executable, "-c", PEAK, what, CELLS[1 % len(CELLS)]]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return int(said[0]), int(said[1])

    scored, _ = benchmark.pedantic(lambda: peak("score"), rounds=1)
    forward, before = peak("forward")
    show(
        f"peak memory of a process: NASWOT {scored / 1024:.0f} MiB, forward pass without gradients "
        f"{forward / 1024:.0f} MiB (ratio {scored / forward:.2f}); above the {before / 1024:.0f} MiB of torch and the "
        f"network: ratio {(scored - before) / (forward - before):.2f}"
    )


@pytest.mark.parametrize("name", list(SCORES))
def test_scores_seconds(name: str, benchmark: Any, show: Show, one_thread: None) -> None:
    function, batch = score_function(name), images()
    labels = {"labels": torch.arange(BATCH) % 10} if "labels" in inspect.signature(function).parameters else {}
    scored = network(CELLS[1 % len(CELLS)])
    started = time.process_time()
    benchmark.pedantic(lambda: function(scored, batch, **labels), rounds=1)
    show(f"{name}: {time.process_time() - started:.2f} processor seconds a cell, batch of {BATCH}")

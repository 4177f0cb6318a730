"""Generators: random networks a second, and how long one takes to be made beside its first forward pass.

``make bench ARGS="-k generators"`` prints the times. Both are processor time, of networks of about the median number
of operations.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ogive.core.architecture import Architecture
from ogive.networks.build import build, default_skeleton
from ogive.spaces.hnag import drawn_of, hnag
from ogive.spaces.hnag_graph import OPS, drawn

Show = Callable[[str], None]


def around_the_median(count: int) -> list[Architecture]:
    """Architectures of the space, of 200 random ones those whose number of operations is nearest to the median."""
    rng = np.random.default_rng(0)
    archs = [hnag().sample(rng) for _ in range(200)]
    sizes = np.array([sum(step.op in OPS for step in drawn_of(arch).steps) for arch in archs])
    nearest = np.argsort(abs(sizes - np.median(sizes)), kind="stable")[:count]
    return [archs[place] for place in nearest]


def test_generators_draw_networks(benchmark: Any, show: Show) -> None:
    archs = around_the_median(40)

    spent = []

    def draw_all() -> None:
        drawn.cache_clear()
        started = time.process_time()
        for arch in archs:
            hnag().draw(arch)
        spent.append(time.process_time() - started)

    benchmark.pedantic(draw_all, rounds=7, warmup_rounds=1)
    rate = len(archs) / np.median(spent)
    show(f"hnag: {rate:,.0f} graphs a second of processor time at the median size; at least 200 are wanted")


def test_generators_make_networks(benchmark: Any, show: Show) -> None:
    archs, image = around_the_median(15), torch.randn(1, 3, 32, 32)
    ratios = []

    def make(arch: Architecture) -> None:
        drawn.cache_clear()
        started = time.process_time()
        network = build(arch, default_skeleton("hnag"), seed=0).eval()
        built = time.process_time()
        with torch.inference_mode():
            network(image)
        ratios.append((built - started) / (time.process_time() - built))

    make(archs[0])  # the first convolution of a process finds out how it is computed
    ratios.clear()
    benchmark.pedantic(lambda: [make(arch) for arch in archs], rounds=1)
    show(f"hnag: making a network takes {np.median(ratios):.2f} of its first forward pass; at most 2 are wanted")

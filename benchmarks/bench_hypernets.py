"""Hypernetworks: prediction against a plain one, the graph of a large network, and the generator of DeepNets-1M.

``make bench ARGS="-k hypernet"`` prints processor seconds on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import plain_ghn
import pytest
import torch
from torch import nn

from ogive.hypernets.configuration import Configuration
from ogive.hypernets.ghn import GHN, predicted
from ogive.networks.build import build_genotype, default_skeleton
from ogive.networks.genotypes import DARTS_V2
from ogive.networks.predefined import ResNet50
from ogive.networks.trace import trace
from ogive.spaces.deepnets_graph import drawn
from ogive.training.threads import threads

# The aim for DARTS is 0.1, which is what is measured, give or take: the bound below leaves room for noise.
ROUNDS = 3
GRAPH_S, NETWORKS_A_SECOND = 0.3, 40


def least(work: Callable[[], object]) -> float:
    """Processor seconds of the quickest of some rounds."""
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def darts() -> nn.Module:
    return build_genotype(DARTS_V2, default_skeleton("darts"), seed=0)


@pytest.mark.parametrize(("network", "ratio"), [(ResNet50, 0.5), (darts, 0.12)], ids=["resnet50", "darts"])
def test_hypernet_predicts_what_the_plain_one_does_sooner(
    network: Callable[[], nn.Module], ratio: float, show: Callable[[str], None]
) -> None:
    with torch.random.fork_rng(), threads(1):
        torch.manual_seed(0)
        ghn, graph = GHN(Configuration()), trace(network(), (3, 32, 32))
        plain, ours = plain_ghn.predicted(ghn, graph), predicted(ghn, [graph])[0]
        assert plain.keys() == ours.keys()
        difference = max(float((plain[name] - ours[name]).abs().max()) for name in plain)
        plain_s = least(lambda: plain_ghn.predicted(ghn, graph))
        ours_s = least(lambda: predicted(ghn, [graph]))
    show(
        f"{len(graph)} nodes: {ours_s:.3f} s, plain {plain_s:.3f} s, {ours_s / plain_s:.3f} ×, within {difference:.0e}"
    )
    assert difference < 1e-5
    assert ours_s <= ratio * plain_s


def test_hypernet_graph_of_darts(show: Callable[[str], None]) -> None:
    network = darts()
    with threads(1):
        taken = least(lambda: trace(network, (3, 32, 32)).distances)
    show(f"graph of DARTS with 20 cells and its distances: {taken:.3f} s")
    assert taken <= GRAPH_S


def test_hypernet_generator(show: Callable[[str], None]) -> None:
    numbers = iter(range(10_000))
    taken = least(lambda: [drawn("train", next(numbers), 1).graph.distances for _ in range(50)])
    show(f"networks of DeepNets-1M: {50 / taken:.0f} a second")
    assert 50 / taken >= NETWORKS_A_SECOND

"""ReNAS: its training against a plain one, and how long a fit and a ranking take.

``make bench ARGS="-k renas"`` prints processor seconds on one thread.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.metrics import kendall_tau
from ogive.predictors.renas import ReNAS, ReNASRecipe
from ogive.predictors.tensors import FeatureTensors
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.threads import threads

SPACE = nasbench201()
LABELS = 156  # 1 % of the space
EPOCHS = 5
FIT_AND_RANK_S, CORES = 20, 2


def plain_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plain_renas", Path(__file__).with_name("plain_renas.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def labels(count: int) -> Observed:
    rng = np.random.default_rng(0)
    archs = tuple(dict.fromkeys(SPACE.sample(rng) for _ in range(2 * count)))[:count]
    return Observed(archs, tuple(float(sum(arch.choices) + rng.normal()) for arch in archs))


def ours(epochs: int) -> ReNAS:
    return ReNAS(space=SPACE, seed=Seed(0), recipe=ReNASRecipe(epochs=epochs))


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def test_renas_agrees_with_the_plain_one_and_trains_faster(show: Callable[[str], None]) -> None:
    known, archs = labels(LABELS), list(SPACE)[::50]
    plain, tensors = plain_module(), FeatureTensors(space=SPACE)
    told = tensors(known.archs)
    times: dict[str, list[float]] = {"plain": [], "ogive": []}
    for _ in range(3):
        network = plain.plain_network(31, 8)
        with torch.no_grad():
            for own, first in zip(network.parameters(), ours(1)._fresh().parameters(), strict=True):
                own.copy_(first)
        with threads(1):
            inputs = plain.scaled(told, told)
            times["plain"].append(
                seconds(lambda network=network, inputs=inputs: plain.train(network, inputs, known.scores, EPOCHS))  # type: ignore[misc]
            )
        predictor = ours(EPOCHS)
        times["ogive"].append(seconds(lambda predictor=predictor: predictor.fit(known)))  # type: ignore[misc]
    with threads(1), torch.no_grad():
        expected = network(plain.scaled(told, tensors(archs)))[:, 0].numpy()
    found = predictor.predict(archs)
    # Adam makes a whole step of any gradient, be it of rounding, so that weights drift apart; the order stays.
    agreement = kendall_tau(found, expected)
    assert agreement > 0.97
    least = {name: min(found) / EPOCHS * 1000 for name, found in times.items()}
    ratio = least["plain"] / least["ogive"]
    show(
        f"renas, an epoch of {LABELS} labels: {least['ogive']:.0f} ms, plain {least['plain']:.0f} ms, {ratio:.2f} x "
        f"faster; Kendall's tau of both after {EPOCHS} epochs {agreement:.3f}"
    )
    assert ratio > 1


def test_renas_fits_156_labels_and_ranks_all_of_nasbench201(show: Callable[[str], None]) -> None:
    predictor, known, archs = ours(200), labels(LABELS), list(SPACE)
    fit, rank = seconds(lambda: predictor.fit(known)), seconds(lambda: predictor.predict(archs))
    show(f"renas: fit on {LABELS} labels {fit:.1f} s, rank {len(archs):,} cells {rank:.1f} s of one processor")
    assert fit + rank < FIT_AND_RANK_S * CORES

"""ReNAS: its training against a plain one, and how long a fit and a ranking take.

``make bench ARGS="-k renas"`` prints processor seconds on one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import plain_renas
import torch
from partners import labels, seconds

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


def ours(epochs: int) -> ReNAS:
    return ReNAS(space=SPACE, seed=Seed(0), recipe=ReNASRecipe(epochs=epochs))


def test_renas_agrees_with_the_plain_one_and_trains_faster(show: Callable[[str], None]) -> None:
    known, archs = labels(SPACE, LABELS), list(SPACE)[::50]
    plain, tensors = plain_renas, FeatureTensors(space=SPACE)
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
    predictor, known, archs = ours(200), labels(SPACE, LABELS), list(SPACE)
    fit, rank = seconds(lambda: predictor.fit(known)), seconds(lambda: predictor.predict(archs))
    show(f"renas: fit on {LABELS} labels {fit:.1f} s, rank {len(archs):,} cells {rank:.1f} s of one processor")
    assert fit + rank < FIT_AND_RANK_S * CORES

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ogive.experiments.imitation import LATENCY, RANDOM, told


def blocks(distance: float, latency: float, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Twenty made-up blocks whose latency is that of their multiply-accumulates, times a factor, with noise."""
    found = []
    for macs in rng.uniform(1e6, 9e6, 20):
        accuracy, times = float(rng.uniform(20, 30)), float(macs * latency * rng.uniform(0.9, 1.1) / 1e6)
        apart = distance + float(rng.normal(0, 0.05))
        found.append({"arch": "", "distance": apart, "val_acc": accuracy, LATENCY: times, "macs": float(macs)})
    return found


def test_correlations_are_told_with_intervals_and_latency_at_equal_multiplications() -> None:
    rng = np.random.default_rng(0)
    found = {f"{weight:g}": blocks(1 - weight / 4, 1 + weight / 10, rng) for weight in (0.0, 0.5, 1.0, 2.0, 3.0)}
    result = told([{"seed": 0, "blocks": found | {RANDOM: blocks(1.0, 1.0, rng)}}], {}, resamples=20)
    assert result.ours[0] < -0.9
    assert result.baselines["λ and latency at equal multiply-accumulates"] > 0.3
    assert result.baselines["distance in random search"] == pytest.approx(1.0, abs=0.05)
    text = "\n".join(result.markdown)
    assert text.count("| 20 |") == 6
    assert text.count("seed 0, λ and") == 3
    plain = {weight: blocks(1.0, 1.0, rng) for weight in ("0", "1")}
    nothing = told([{"seed": 0, "blocks": plain | {RANDOM: blocks(1.0, 1.0, rng)}}], {}, resamples=20)
    assert abs(nothing.ours[0]) < 0.4
    assert abs(nothing.baselines["λ and latency at equal multiply-accumulates"]) < 0.4

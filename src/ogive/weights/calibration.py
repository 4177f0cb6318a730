"""One scale for the estimates of all parts of a supernet: that of the supernet which was split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.rng import Seed
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Key, Partition
from ogive.supernets.paths import drawn
from ogive.training.loop import Tell
from ogive.weights.source import Correction, Holds, Measure

__all__ = ["OnOneScale"]


class OnOneScale:
    """The parts of a supernet, whose estimates are moved to the scale of their parent by location and spread.

    These are compared over `count` random architectures of each part, the same ones of all parts but for the split
    edges.
    """

    def __init__(self, divided: Partition, parent: Supernet, count: int, seed: Seed) -> None:
        self.divided, self.parent, self.count, self.seed = divided, parent, count, seed

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture, whose weights are those of its part."""
        return self.divided.network(arch)

    def holdings(self) -> Sequence[tuple[str, Holds]]:
        """Those of the parts."""
        return self.divided.holdings()

    def calibration(self, measure: Measure, tell: Tell | None) -> Correction:
        """For each part the shift and the factor that bring its estimates to the scale of the parent."""
        scales: dict[Key, tuple[float, float]] = {}
        for number, (key, part) in enumerate(self.divided, start=1):
            if tell is not None:
                tell(f"reference architectures of part {number} of {len(self.divided)}")
            archs = [self.reference(part, place) for place in range(self.count)]
            own, whole = (np.array([measure(one.network(arch)) for arch in archs]) for one in (part, self.parent))
            factor = float(whole.std() / own.std()) if own.std() > 0 else 1.0
            scales[key] = (float(whole.mean()) - factor * float(own.mean()), factor)

        def corrected(arch: Architecture, value: float) -> float:
            shift, factor = scales[self.divided.route(arch)]
            return shift + factor * value

        return corrected

    def reference(self, part: Supernet, number: int) -> Architecture:
        """A random architecture of a part; the same one of other parts, but for the split edges."""
        draw = torch.Generator().manual_seed(self.seed.child("reference").integer(str(number)))
        plan, strengths = part.plan, []
        for kind in plan.kinds:
            rows = part.choices[part.kinds.index(kind)] if kind in part.kinds else plan.everything
            held = drawn(plan, rows, draw)
            strengths.append(torch.tensor([[float(op in row) for op in range(len(plan.operations))] for row in held]))
        return plan.derive(strengths)

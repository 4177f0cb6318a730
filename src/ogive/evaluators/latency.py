"""Measure how long a network takes on this device: warmed up, with fixed threads, median and spread."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.metric import LATENCY, LATENCY_SPREAD, Metric, names_of
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.evaluators.timing import LatencyReport, Sampler, Timing
from ogive.evaluators.timing import side_by_side as timed_side_by_side
from ogive.networks.build import Skeleton, build, fitted_skeleton
from ogive.spaces.extended import ExtendedSpace

if TYPE_CHECKING:
    from ogive.training.data import Data

__all__ = ["Latency"]

logger = logging.getLogger(__name__)


class Latency:
    """The latency of a batch on this device; the network is built with fresh weights, which do not matter here.

    The networks are those of `ogive.networks` for the space of each proposal, `channels` wide and `cells` deep (None:
    the published size). Images have the shape of `data`, or `shape` where there is none. The measurement depends on the
    machine and on what else it does: no two runs give the same numbers. `sample` makes one timed pass, as in
    `ogive.evaluators.timing.measure`.
    """

    metrics: tuple[Metric, ...] = (LATENCY, *LATENCY_SPREAD)

    def __init__(
        self,
        *,
        space: SearchSpace | None = None,
        data: Data | None = None,
        seed: Seed = Seed(0),  # noqa: B008
        device: str = "cpu",
        shape: tuple[int, ...] = (3, 32, 32),
        classes: int = 10,
        channels: int | None = None,
        cells: int | None = None,
        timing: Timing = Timing(warm_up_s=0.05, min_seconds=0.05, max_seconds=1.0),  # noqa: B008
        sample: Sampler | None = None,
    ) -> None:
        self._shape = shape if data is None else data.shape
        self._classes = classes if data is None else len(data.classes)
        self._channels, self._cells = channels, cells
        self._device, self._seed, self._timing = _available(device), seed, timing
        self._sample = sample
        self._doubted = False
        self._space = space if isinstance(space, ExtendedSpace) else None  # others need not be such as can be sent
        if space is not None:
            self._skeleton(space.name)  # refuses now what would fail at the first trial

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """One measurement for each proposal, one after the other; what speaks against it is logged."""
        return [measurement for proposal in proposals for measurement in self.side_by_side([proposal])]

    def side_by_side(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """The same, of all proposals in alternation: what slows the machine down meanwhile meets all of them alike."""
        started = time.perf_counter()
        try:
            reports = self.reports([proposal.arch for proposal in proposals])
        except (InvalidArchitecture, UnknownName):
            raise
        except Exception as reason:  # noqa: BLE001 - out of memory, a skeleton too narrow: the candidate's failure
            error = f"{type(reason).__name__}: {reason}".splitlines()[0]
            cost = Cost(wall_s=(time.perf_counter() - started) / len(proposals))
            return [Measurement(cost=cost, error=error) for _ in proposals]
        for proposal, report in zip(proposals, reports, strict=True):
            self._doubt(proposal.arch, report)
        cost = Cost(wall_s=(time.perf_counter() - started) / len(proposals))
        return [
            Measurement(dict(zip(names_of(self.metrics), _figures(report), strict=True)), cost) for report in reports
        ]

    def _doubt(self, arch: Architecture, report: LatencyReport) -> None:
        """Say what speaks against a measurement: as a warning once, for on a busy machine it is so of most of them."""
        if not report.doubts:
            return
        level, more = (logging.INFO, "") if self._doubted else (logging.WARNING, " The page counts those that follow.")
        self._doubted = True
        logger.log(level, "The latency of %s is in doubt. %s%s", arch, " ".join(report.doubts), more)

    def reports(self, archs: Sequence[Architecture]) -> list[LatencyReport]:
        """Build the networks of architectures and measure them side by side, with all that `measure` reports."""
        seed = self._seed.integer("weights")
        networks = [build(arch, self._skeleton(arch.space), seed=seed, space=self._space) for arch in archs]
        return timed_side_by_side(
            networks,
            self._shape,
            self._timing,
            device=self._device,
            seed=self._seed,
            sample=self._sample,
        )

    def _skeleton(self, space: str) -> Skeleton:
        return fitted_skeleton(space, self._shape, self._classes, channels=self._channels, cells=self._cells)


def _figures(report: LatencyReport) -> tuple[float, ...]:
    """Its numbers in the order of the metrics."""
    spread = (report.p10_ms, report.p90_ms, report.cpu_ms, report.low_ms, report.high_ms)
    return (report.median_ms, *spread)


def _available(device: str) -> torch.device:
    """The device, tried out: refuses a wrong name, or a GPU that this torch cannot use, before a search starts."""
    try:
        found = torch.device(device)
        torch.ones(1, device=found).item()  # nothing can be read from "meta", and no time is spent there
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SpecError(f"The device {device!r} cannot be used here: {reason} Known to work: cpu.") from None
    return found

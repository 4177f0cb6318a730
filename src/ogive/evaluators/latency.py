"""Measure how long a network takes on this device: warmed up, with fixed threads, median and spread."""

from __future__ import annotations

import contextlib
import gc
import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.metric import LATENCY, LATENCY_SPREAD, Metric, names_of
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.networks.build import Skeleton, build, fitted_skeleton
from ogive.spaces.extended import ExtendedSpace
from ogive.training.memory import is_out_of_memory, refuse_too_large
from ogive.training.threads import settle
from ogive.training.threads import threads as torch_threads

if TYPE_CHECKING:
    from ogive.training.data import Data

__all__ = ["Latency", "LatencyReport", "Timing", "measure"]

logger = logging.getLogger(__name__)

CHUNK = 5  # runs of the warm-up whose medians are compared
STEADY = 0.05  # by so much may two of them differ in a network that is warm
LEAST = 3  # runs that are timed however slow they are
SMALLER = "give smaller images, a smaller batch or a smaller network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What is timed, and how long.

    A module is warmed up until the times have settled, at most `warm_up_s`. After that it is run `min_runs` times and
    for `min_seconds`, but not for longer than `max_seconds`.
    """

    batch_size: int = 1
    threads: int = 1
    warm_up_s: float = 0.1
    min_runs: int = 30
    min_seconds: float = 0.1
    max_seconds: float = 2.0

    def __post_init__(self) -> None:
        for name, count in (("batch_size", self.batch_size), ("threads", self.threads), ("min_runs", self.min_runs)):
            if count < 1:
                raise SpecError(f"{name} of a latency measurement must be at least 1, but got {count}.")
        if self.warm_up_s < 0 or not (0 <= self.min_seconds <= self.max_seconds):
            raise SpecError(
                f"A latency measurement needs warm_up_s >= 0 and 0 <= min_seconds <= max_seconds, but got "
                f"warm_up_s={self.warm_up_s}, min_seconds={self.min_seconds}, max_seconds={self.max_seconds}."
            )


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Milliseconds for one batch, and how they were measured.

    `median_ms`, `p10_ms` and `p90_ms` are wall time. `cpu_ms` is the median of the time that the processor spent on
    this process, summed over its threads: more than `median_ms` where threads share the work, less where the process
    waits for a GPU, and much less than `median_ms` on one thread when something else kept the machine busy.
    `steady` says that the warm-up ended because the times had settled, not because its time was over.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    cpu_ms: float
    runs: int
    warm_up_runs: int
    steady: bool
    batch_size: int
    threads: int
    device: str


def measure(
    module: nn.Module,
    shape: Sequence[int],
    timing: Timing = Timing(),
    *,
    device: torch.device | str = "cpu",
    seed: Seed = Seed(0),  # noqa: B008
) -> LatencyReport:
    """Time forward passes of `module` on random inputs of shape (batch_size, *shape), in evaluation mode.

    It is warmed up once the busy threads of earlier work sleep. torch's number of threads, the collector of garbage and
    the mode of the module are as before afterwards; the module stays on `device`. On a GPU every run waits for its end.
    Raises SpecError where the images, or the maps that the module makes of them, are more than the memory holds;
    whatever else the module raises passes through.
    """
    batch_size = timing.batch_size
    device = torch.device(device)
    refuse_too_large("The batch of images", (batch_size, *shape), item=4, device=device, way_out=SMALLER)
    generator = torch.Generator().manual_seed(seed.integer("latency"))
    with _explained(batch_size, shape, device):
        batch = torch.randn(batch_size, *shape, generator=generator).to(device)
        module = module.to(device)
        with _prepared(module, timing.threads), torch.inference_mode():
            settle()
            warm, steady = _warm_up(module, batch, timing.warm_up_s)
            walls, cpus = _timed(module, batch, timing)
    p10, median, p90 = _deciles(walls)
    return LatencyReport(
        median_ms=1e3 * median,
        p10_ms=1e3 * p10,
        p90_ms=1e3 * p90,
        cpu_ms=1e3 * statistics.median(cpus),
        runs=len(walls),
        warm_up_runs=warm,
        steady=steady,
        batch_size=batch_size,
        threads=timing.threads,
        device=_name(device),
    )


class Latency:
    """The latency of a batch on this device; the network is built with fresh weights, which do not matter here.

    The networks are those of `ogive.networks` for the space of each proposal, `channels` wide and `cells` deep (None:
    the published size). Images have the shape of `data`, or `shape` where there is none. The measurement depends on the
    machine and on what else it does: no two runs give the same numbers.
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
        timing: Timing = Timing(warm_up_s=0.05, min_seconds=0.05),
    ) -> None:
        self._shape = shape if data is None else data.shape
        self._classes = classes if data is None else len(data.classes)
        self._channels, self._cells = channels, cells
        self._device, self._seed, self._timing = _available(device), seed, timing
        self._space = space if isinstance(space, ExtendedSpace) else None  # others need not be such as can be sent
        if space is not None:
            self._skeleton(space.name)  # refuses now what would fail at the first trial

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self._measured(proposal.arch) for proposal in proposals]

    def _measured(self, arch: Architecture) -> Measurement:
        started = time.perf_counter()
        metrics: dict[str, float] = {}
        error: str | None = None
        try:
            report = self.report(arch)
            found = (report.median_ms, report.p10_ms, report.p90_ms, report.cpu_ms)
            metrics = dict(zip(names_of(self.metrics), found, strict=True))
        except (InvalidArchitecture, UnknownName):
            raise
        except Exception as reason:  # noqa: BLE001 - out of memory, a skeleton too narrow: the candidate's failure
            error = f"{type(reason).__name__}: {reason}".splitlines()[0]
        return Measurement(metrics, Cost(wall_s=time.perf_counter() - started), error)

    def report(self, arch: Architecture) -> LatencyReport:
        """Build the network of an architecture and measure it, with all that `measure` reports."""
        network = build(arch, self._skeleton(arch.space), seed=self._seed.integer("weights"), space=self._space)
        return measure(network, self._shape, self._timing, device=self._device, seed=self._seed)

    def _skeleton(self, space: str) -> Skeleton:
        return fitted_skeleton(space, self._shape, self._classes, channels=self._channels, cells=self._cells)


# -- the measurement --------------------------------------------------------------------------------------------------


def _warm_up(module: nn.Module, batch: Tensor, seconds: float) -> tuple[int, bool]:
    """Run until the medians of two chunks in a row agree or the time is over: how many runs, and whether they did."""
    runs, before, started = 0, float("inf"), time.perf_counter()
    while True:
        chunk = []
        for _ in range(CHUNK):
            chunk.append(_run(module, batch)[0])
            runs += 1
            if time.perf_counter() - started >= seconds:
                return runs, False
        now = statistics.median(chunk)
        if abs(now - before) <= STEADY * now:
            return runs, True
        before = now


def _timed(module: nn.Module, batch: Tensor, timing: Timing) -> tuple[list[float], list[float]]:
    walls: list[float] = []
    cpus: list[float] = []
    spent = 0.0
    while len(walls) < LEAST or (
        spent < timing.max_seconds and (len(walls) < timing.min_runs or spent < timing.min_seconds)
    ):
        wall, cpu = _run(module, batch)
        walls.append(wall)
        cpus.append(cpu)
        spent += wall
    return walls, cpus


def _run(module: nn.Module, batch: Tensor) -> tuple[float, float]:
    """Wall seconds and processor seconds of one forward pass."""
    _synchronise(batch.device)
    cpu, wall = time.process_time(), time.perf_counter()
    module(batch)
    _synchronise(batch.device)
    return time.perf_counter() - wall, time.process_time() - cpu


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _deciles(seconds: list[float]) -> tuple[float, float, float]:
    p10, p50, p90 = torch.tensor(seconds, dtype=torch.float64).quantile(torch.tensor([0.1, 0.5, 0.9]).double()).tolist()
    return p10, p50, p90


@contextlib.contextmanager
def _explained(batch_size: int, shape: Sequence[int], device: torch.device) -> Iterator[None]:
    """SpecError in place of what torch raises when it cannot have the memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        images = "×".join(str(side) for side in (batch_size, *shape))
        raise SpecError(
            f"A forward pass of images {images} does not fit into the memory of {device}: {SMALLER}."
        ) from error


@contextlib.contextmanager
def _prepared(module: nn.Module, threads: int) -> Iterator[None]:
    """Evaluation mode, so many threads and no collection of garbage; all as it was afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    collecting = gc.isenabled()
    try:
        module.eval()
        gc.disable()
        with torch_threads(threads):
            yield
    finally:
        if collecting:
            gc.enable()
        for part, training in modes:
            part.training = training


def _available(device: str) -> torch.device:
    """The device, tried out: refuses a wrong name, or a GPU that this torch cannot use, before a search starts."""
    try:
        found = torch.device(device)
        torch.ones(1, device=found).item()  # nothing can be read from "meta", and no time is spent there
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SpecError(f"The device {device!r} cannot be used here: {reason} Known to work: cpu.") from None
    return found


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

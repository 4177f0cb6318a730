"""Time forward passes on this device: one measurement at a time, until its median is known well enough."""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from scipy.special import bdtrik
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.metrics import Interval
from ogive.training.lock import machine_lock
from ogive.training.memory import is_out_of_memory, refuse_too_large
from ogive.training.threads import settle
from ogive.training.threads import threads as torch_threads

__all__ = ["LatencyReport", "Sampler", "Timing", "measure", "median_interval", "one_pass", "side_by_side"]

CHUNK = 5  # passes of the warm-up whose medians are compared, and of one network's turn among several
STEADY = 0.05  # by so much may two of them differ in a network that is warm
LEAST = 6  # passes that are timed however slow they are: fewer have no 95 % interval of their median
MORE = 1.2  # so many times the passes of the last look at the interval are there at the next
DISAGREE = 0.1  # by so much of the wall time may the processor's differ from it
COARSE = 100  # ticks of the processor's clock in a pass, below which it tells nothing
SMALLER = "give smaller images, a smaller batch or a smaller network"

# One forward pass of a module on a batch: seconds of wall time and of the processor.
Sampler = Callable[[nn.Module, Tensor], tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What is timed, and how long.

    A module is warmed up until the times have settled, at most `warm_up_s`. After that it is run at least `min_runs`
    times and for `min_seconds`, and on until the 95 % interval of its median is narrower than `relative_width` of the
    median, but not for longer than `max_seconds`.
    """

    batch_size: int = 1
    threads: int = 1
    warm_up_s: float = 0.1
    min_runs: int = 30
    min_seconds: float = 0.1
    max_seconds: float = 2.0
    relative_width: float = 0.05

    def __post_init__(self) -> None:
        for name, count in (("batch_size", self.batch_size), ("threads", self.threads), ("min_runs", self.min_runs)):
            if count < 1:
                raise SpecError(f"{name} of a latency measurement must be at least 1, but got {count}.")
        if not self.relative_width > 0:
            raise SpecError(f"relative_width of a latency must be positive, but got {self.relative_width}.")
        if self.warm_up_s < 0 or not (0 <= self.min_seconds <= self.max_seconds):
            raise SpecError(
                f"A latency measurement needs warm_up_s >= 0 and 0 <= min_seconds <= max_seconds, but got "
                f"warm_up_s={self.warm_up_s}, min_seconds={self.min_seconds}, max_seconds={self.max_seconds}."
            )


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Milliseconds for one batch, and how they were measured.

    `median_ms`, `p10_ms` and `p90_ms` are wall time, `low_ms` and `high_ms` the ends of the 95 % interval of the
    median. `cpu_ms` is the median of the time that the processor spent on this process, summed over its threads: more
    than `median_ms` where threads share the work, less where the process waits for a GPU, and much less than
    `median_ms` on one thread when something else kept the machine busy. `steady` says that the warm-up ended because
    the times had settled, not because its time was over, and `narrow` that the runs did because the interval was narrow
    enough.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    p10_ms: float
    p90_ms: float
    cpu_ms: float
    runs: int
    warm_up_runs: int
    steady: bool
    narrow: bool
    batch_size: int
    threads: int
    device: str

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the median, a sentence each."""
        found = []
        # Elsewhere than on the processor its time is not that of the network.
        tells = self.device == "cpu" and self.median_ms > COARSE * 1e3 * time.get_clock_info("process_time").resolution
        clocks = f"{self.median_ms:.3g} ms passed, of which the processor worked {self.cpu_ms:.3g} ms"
        if tells and self.cpu_ms < (1 - DISAGREE) * self.median_ms:
            found.append(f"{clocks}: something else kept the machine busy, or the network waits.")
        if tells and self.cpu_ms > (1 + DISAGREE) * self.threads * self.median_ms:
            found.append(f"{clocks}: other threads of this process were at work.")
        if not self.narrow:
            width = (self.high_ms - self.low_ms) / self.median_ms
            found.append(
                f"The 95 % interval of the median is still {width:.0%} wide after {self.runs} runs, when the time for "
                "them was over."
            )
        return tuple(found)


def measure(
    module: nn.Module,
    shape: Sequence[int],
    timing: Timing = Timing(),
    *,
    device: torch.device | str = "cpu",
    seed: Seed = Seed(0),  # noqa: B008
    sample: Sampler | None = None,
    lock: Path | None = None,
) -> LatencyReport:
    """Time forward passes of `module` on random inputs of shape (batch_size, *shape), in evaluation mode.

    No other process of this machine measures at the same time: they take turns by a lock on the file `lock`, by default
    one of the system's temporary folder. The module is warmed up once the busy threads of earlier work sleep. torch's
    number of threads, the collector of garbage and the mode of the module are as before afterwards; the module stays on
    `device`. On a GPU every run waits for its end. `sample` makes one timed pass, by default `one_pass`.
    Raises SpecError where the images, or the maps that the module makes of them, are more than the memory holds;
    whatever else the module raises passes through.
    """
    return side_by_side([module], shape, timing, device=device, seed=seed, sample=sample, lock=lock)[0]


def side_by_side(
    modules: Sequence[nn.Module],
    shape: Sequence[int],
    timing: Timing = Timing(),
    *,
    device: torch.device | str = "cpu",
    seed: Seed = Seed(0),  # noqa: B008
    sample: Sampler | None = None,
    lock: Path | None = None,
) -> list[LatencyReport]:
    """As `measure`, of several modules in alternation, so that whatever slows the machine down meets all of them alike.

    Each has turns of five passes, after one more that is not timed, there and back in order. Turns end when all
    intervals are narrow enough, or all of them together took `max_seconds` times their number.
    """
    device, sample = torch.device(device), sample or one_pass
    refuse_too_large("The batch of images", (timing.batch_size, *shape), item=4, device=device, way_out=SMALLER)
    generator = torch.Generator().manual_seed(seed.integer("latency"))
    with _explained(timing.batch_size, shape, device):
        batch = torch.randn(timing.batch_size, *shape, generator=generator).to(device)
        modules = [module.to(device) for module in modules]
        with machine_lock(lock), _prepared(modules, timing.threads), torch.inference_mode():
            settle()
            warm = [_warm_up(module, batch, timing.warm_up_s, sample) for module in modules]
            series = _timed(modules, batch, timing, sample)
    return [_report(one, timing, device, *ready) for one, ready in zip(series, warm, strict=True)]


def median_interval(values: Sequence[float]) -> Interval:
    """Ends of the 95 % interval of the median of independent values, whatever their distribution.

    They are two of the values: their ranks are those that a binomial number of p = 1/2 leaves out with at most 2.5 % on
    either side. Passes that follow each other resemble each other where the load of a machine comes in waves; of such
    the interval is too narrow. NaN of fewer than six values, which have none.
    """
    if len(values) < LEAST:
        return Interval(math.nan, math.nan)
    left_out = int(bdtrik(0.025, len(values), 0.5)) + 1
    ordered = sorted(values)
    return Interval(ordered[left_out - 1], ordered[-left_out])


def one_pass(module: nn.Module, batch: Tensor) -> tuple[float, float]:
    """Wall seconds and processor seconds of one forward pass."""
    _synchronise(batch.device)
    cpu, wall = time.process_time(), time.perf_counter()
    module(batch)
    _synchronise(batch.device)
    return time.perf_counter() - wall, time.process_time() - cpu


# -- one measurement --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Series:
    """The passes of one module."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    spent: float = 0.0
    looked: int = 0
    narrow: bool = False

    def add(self, wall: float, cpu: float) -> None:
        self.walls.append(wall)
        self.cpus.append(cpu)
        self.spent += wall

    def sure(self, timing: Timing) -> bool:
        """Whether the median is known as well as was asked for; that is looked at now and then, since it takes time."""
        runs = len(self.walls)
        if runs < max(timing.min_runs, LEAST) or self.spent < timing.min_seconds:
            return False
        if not self.narrow and runs >= MORE * self.looked:
            self.look(timing)
        return self.narrow

    def look(self, timing: Timing) -> Interval:
        found, self.looked = median_interval(self.walls), len(self.walls)
        self.narrow = found.high - found.low <= timing.relative_width * statistics.median(self.walls)
        return found


def _warm_up(module: nn.Module, batch: Tensor, seconds: float, sample: Sampler) -> tuple[int, bool]:
    """Run until the medians of two chunks in a row agree or the time is over: how many runs, and whether they did."""
    runs, before, started = 0, float("inf"), time.perf_counter()
    while True:
        chunk = []
        for _ in range(CHUNK):
            chunk.append(sample(module, batch)[0])
            runs += 1
            if time.perf_counter() - started >= seconds:
                return runs, False
        now = statistics.median(chunk)
        if abs(now - before) <= STEADY * now:
            return runs, True
        before = now


def _timed(modules: Sequence[nn.Module], batch: Tensor, timing: Timing, sample: Sampler) -> list[_Series]:
    series = [_Series() for _ in modules]
    turns, passes = list(zip(modules, series, strict=True)), 1 if len(modules) == 1 else CHUNK
    while not all(one.sure(timing) for one in series):
        if len(series[0].walls) >= LEAST and sum(one.spent for one in series) >= timing.max_seconds * len(series):
            break
        for module, one in turns:
            if len(modules) > 1:
                sample(module, batch)  # finds in the caches what the module before it left there
            for _ in range(passes):
                one.add(*sample(module, batch))
        turns.reverse()
    return series


def _report(series: _Series, timing: Timing, device: torch.device, warm_up_runs: int, steady: bool) -> LatencyReport:
    low, high = series.look(timing)
    p10, median, p90 = _deciles(series.walls)
    return LatencyReport(
        median_ms=1e3 * median,
        low_ms=1e3 * low,
        high_ms=1e3 * high,
        p10_ms=1e3 * p10,
        p90_ms=1e3 * p90,
        cpu_ms=1e3 * statistics.median(series.cpus),
        runs=len(series.walls),
        warm_up_runs=warm_up_runs,
        steady=steady,
        narrow=series.narrow,
        batch_size=timing.batch_size,
        threads=timing.threads,
        device=_name(device),
    )


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
def _prepared(modules: Sequence[nn.Module], threads: int) -> Iterator[None]:
    """Evaluation mode, so many threads and no collection of garbage; all as it was afterwards."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    collecting = gc.isenabled()
    try:
        for module in modules:
            module.eval()
        gc.disable()
        with torch_threads(threads):
            yield
    finally:
        if collecting:
            gc.enable()
        for part, training in modes:
            part.training = training


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

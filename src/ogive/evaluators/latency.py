"""Measure how long a network takes on this device: warmed up, with fixed threads, median and spread."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.metric import FILE_MB, LATENCY, LATENCY_SPREAD, PEAK_MB, Metric, names_of
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import FREE, Cost, Measurement, Proposal
from ogive.evaluators.runtimes import (
    MB,
    Runtime,
    check_runtime,
    in_runtime,
    onnx_peak_mb,
    printed_ms,
    tensors_mb,
    weights_mb,
)
from ogive.evaluators.timing import LatencyReport, Sampler, Timing
from ogive.evaluators.timing import side_by_side as timed_side_by_side
from ogive.networks.build import Skeleton, build, fitted_skeleton
from ogive.networks.export import write_onnx
from ogive.spaces.extended import ExtendedSpace
from ogive.training.task import Size, Task

if TYPE_CHECKING:
    from ogive.training.data import Data

__all__ = ["Latency"]

logger = logging.getLogger(__name__)


class Latency:
    """The latency of a batch on this device; the network is built with fresh weights, which do not matter here.

    The networks are those of the `task`, or without one the classifiers of `ogive.networks` for the space of each
    proposal, `channels` wide and `cells` deep (None: the published size). Images have the shape of `data`, or `shape`
    where there is none. The measurement depends on the machine and on what else it does: no two runs give the same
    numbers. `sample` makes one timed pass, as in `ogive.evaluators.timing.measure`.

    `runtime` is what runs them: "torch", "onnx" (ONNX Runtime) or "onnx_int8", the same with weights and activations in
    8 bits, whose ranges are found on `calibration` images of the data, or random ones without data. `command`, which
    holds ``{onnx}``, is any program that prints the milliseconds of a file instead: of a phone, of a board. With
    `sizes`, ``peak_mb`` and ``file_mb`` stand beside: for torch the tensors that are alive at one time and the weights,
    for ONNX Runtime what a process of its own holds at most, and the file; of a command, the file alone.
    """

    def __init__(
        self,
        *,
        space: SearchSpace | None = None,
        data: Data | None = None,
        task: Task[Any] | None = None,
        seed: Seed = Seed(0),  # noqa: B008
        device: str = "cpu",
        shape: tuple[int, ...] = (3, 32, 32),
        classes: int = 10,
        channels: int | None = None,
        cells: int | None = None,
        runtime: Runtime = "torch",
        command: str = "",
        sizes: bool = False,
        calibration: int = 64,
        timing: Timing = Timing(warm_up_s=0.05, min_seconds=0.05, max_seconds=1.0),  # noqa: B008
        sample: Sampler | None = None,
    ) -> None:
        self._shape = shape if data is None else data.shape
        self._classes = classes if data is None else len(data.classes)
        self._channels, self._cells = channels, cells
        self._task, self._size = task, Size(channels=channels, cells=cells)
        self._device, self._seed, self._timing = _available(device), seed, timing
        self._sample = sample
        self._doubted = False
        check_runtime(runtime, command, self._device.type)
        if calibration < 1:
            raise SpecError(f"An integer network is calibrated on at least one image, but got {calibration}.")
        self._runtime, self._command, self._sizes = runtime, command, sizes
        self._images = _calibration(data, self._shape, calibration if runtime == "onnx_int8" else 1, seed)
        told = (LATENCY,) if command else (LATENCY, *LATENCY_SPREAD)
        self.metrics: tuple[Metric, ...] = (*told, *(((FILE_MB,) if command else (PEAK_MB, FILE_MB)) if sizes else ()))
        self._space = space if isinstance(space, ExtendedSpace) else None  # others need not be such as can be sent
        if space is not None:
            self._skeleton(space.name)  # refuses now what would fail at the first trial

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """One measurement for each proposal, one after the other; what speaks against it is logged."""
        return [measurement for proposal in proposals for measurement in self.side_by_side([proposal])]

    def side_by_side(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """The same, of all proposals in alternation: what slows the machine down meanwhile meets all of them alike."""
        started = time.perf_counter()
        if self._command or self._sizes or self._runtime != "torch":
            return self._in_runtime(proposals)
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
        return self._timed([self._built(arch) for arch in archs])

    def _built(self, arch: Architecture) -> nn.Module:
        seed = self._seed.integer("weights")
        if self._task is not None:
            return self._task.network(arch, self._size, self._task.recipe(), seed=seed)
        return build(arch, self._skeleton(arch.space), seed=seed, space=self._space)

    def _timed(self, networks: Sequence[nn.Module]) -> list[LatencyReport]:
        return timed_side_by_side(
            networks,
            self._shape,
            self._timing,
            device=self._device,
            seed=self._seed,
            sample=self._sample,
        )

    def _in_runtime(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """One measurement for each proposal; a network that the runtime refuses is a failure of its own."""
        with tempfile.TemporaryDirectory(prefix="ogive-latency-") as folder:
            made = [self._prepared(proposal.arch, Path(folder) / str(n)) for n, proposal in enumerate(proposals)]
            ready = [one.network for one in made if one.network is not None and not self._command]
            started = time.perf_counter()
            reports = iter(self._timed(ready)) if ready else iter(())
            timing = Cost(wall_s=(time.perf_counter() - started) / max(1, len(ready)))
            found = []
            for proposal, one in zip(proposals, made, strict=True):
                if one.error is not None:
                    found.append(Measurement(cost=one.cost, error=one.error))
                    continue
                if self._command:
                    values = one.values
                else:
                    report = next(reports)
                    self._doubt(proposal.arch, report)
                    values = (*_figures(report), *one.values)
                metrics = dict(zip(names_of(self.metrics), values, strict=True))
                found.append(Measurement(metrics, one.cost + (FREE if self._command else timing)))
        return found

    def _prepared(self, arch: Architecture, folder: Path) -> _Prepared:
        """A network in its runtime, with its sizes, or what its command says; the reason where that fails."""
        started, network, error = time.perf_counter(), None, None
        values: tuple[float, ...] = ()
        folder.mkdir()
        try:
            built = self._built(arch)
            if self._command:
                path = folder / "network.onnx"
                write_onnx(built, self._shape, path)
                values = (printed_ms(self._command, path), *((path.stat().st_size / MB,) if self._sizes else ()))
            else:
                network, file = in_runtime(built, self._runtime, folder, self._images, threads=self._timing.threads)
                values = self._sized(built, file) if self._sizes else ()
        except (InvalidArchitecture, UnknownName):
            raise
        except Exception as reason:  # noqa: BLE001 - whatever exporters and runtimes say: the candidate's failure
            error = f"{type(reason).__name__}: {reason}".splitlines()[0]
        return _Prepared(network, values, Cost(wall_s=time.perf_counter() - started), error)

    def _sized(self, built: nn.Module, file: Path | None) -> tuple[float, ...]:
        shape = (self._timing.batch_size, *self._shape)
        if file is None:
            return tensors_mb(built, torch.zeros(shape)), weights_mb(built)
        return onnx_peak_mb(file, shape, self._timing.threads), file.stat().st_size / MB

    def _skeleton(self, space: str) -> Skeleton:
        return fitted_skeleton(space, self._shape, self._classes, channels=self._channels, cells=self._cells)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A network that is ready to be timed, or what was found of it otherwise."""

    network: nn.Module | None
    values: tuple[float, ...]
    cost: Cost
    error: str | None


def _calibration(data: Data | None, shape: tuple[int, ...], count: int, seed: Seed) -> Tensor:
    """So many training images as a network takes them; without data, random ones."""
    if data is not None:
        return data.normalised(data.train.images[:count]).contiguous()
    drawn = torch.Generator().manual_seed(seed.integer("calibration"))
    return torch.randn(count, *shape, generator=drawn)


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

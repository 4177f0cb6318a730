"""Look architectures up in a benchmark table instead of training them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.metric import metric_named
from ogive.core.rng import Seed
from ogive.core.trial import FREE, Cost, Fidelity, Measurement, Proposal
from ogive.tables.store import Table

__all__ = ["Tabular"]

# Stands for "what the table itself says", where None stands for "nothing".
DEFAULT = "default"
# ndarray.item is the fast way from one element to a Python number.
Reader = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is read at one fidelity: a column for each metric, and the seconds, which are scaled where need be.

    `trainings` are the single ones of metrics of which one is drawn.
    """

    columns: dict[str, str]
    readers: dict[str, Reader]
    trainings: dict[str, list[Reader]]
    seconds: Reader | None
    scale: float = 1.0


class Tabular:
    """Reads what published trainings found: one column to search on, one to report, and more beside them.

    The default of `metric` and `report` is what the table says. An accuracy of a published benchmark becomes
    ``val_acc`` as `metric` and ``test_acc`` as `report`; everything else, and all of a table of one's own, keeps its
    name. So do columns named in `also`, but with ``test_`` before them if they were measured on a test set, so that no
    strategy sees them either. A table with a clock gives its training seconds as benchmark seconds. What is not in the
    table is a failed measurement.

    A proposal's fidelity is a number of epochs: every column is then read at that fidelity, if it is there at several.
    A fidelity without seconds of its own is charged its share of those of `metric`.

    With ``seeds="random"`` a query answers with one training, as a real search would see it, and not with the mean over
    all: of what is searched on and of `also`, where the table has the single trainings; what is reported stays a mean,
    by default that of `metric` where the table has nothing else to report.
    Which one depends on `seed`, the architecture and the fidelity alone, so that an architecture that is proposed again
    is answered alike.

    Raises UnknownName for a column that the table does not have, SpecError for a `metric` measured on a test set, or
    without single trainings where one is to be drawn.
    """

    def __init__(
        self,
        table: Table,
        *,
        metric: str = DEFAULT,
        report: str | None = DEFAULT,
        also: tuple[str, ...] = (),
        seeds: Literal["mean", "random"] = "mean",
        seed: Seed = Seed(0),  # noqa: B008 - frozen
    ) -> None:
        self.table, self.also, self.seeds, self.seed = table, tuple(also), seeds, seed
        self.metric = _default_metric(table) if metric == DEFAULT else metric
        means = self.metric if seeds == "random" else None
        self.report = (table.report or means) if report == DEFAULT else report
        columns = [(table.metric_of(self.metric, "searched"), self.metric)]
        columns += [] if self.report is None else [(table.metric_of(self.report, "reported"), self.report)]
        columns += [(table.metric_of(column), column) for column in self.also]
        self.metrics = tuple(metric for metric, _ in columns)
        wanted = {metric.name: column for metric, column in columns}
        twice = next((name for name in wanted if sum(metric.name == name for metric in self.metrics) > 1), None)
        if twice is not None:
            raise SpecError(f"Each metric of tabular(...) may be given once, but {twice} is given twice.")
        self._full = self._reading(wanted, table.clock_of(self.metric), 1.0)
        self.metrics = tuple(
            replace(one, words=f"{one.words or one.name} of one training") if one.name in self._full.trainings else one
            for one in self.metrics
        )
        self._lower: dict[int, _Reading] = {}
        if seeds == "random" and not self._full.trainings:
            raise SpecError(
                f"The table {table.name} has no single trainings of {self.metric}: leave out seeds=random, or take a "
                "table that has them (ogive tables get nasbench201)."
            )
        if table.about(self.metric).test:
            raise SpecError(
                f"The search never sees the test set, but {self.metric} was measured on it: give it as report."
            )

    @property
    def fidelity(self) -> Fidelity | None:
        """Epochs, where the table has the metric at several; trainings of their own unless they are one curve."""
        full, rungs = self.table.about(self.metric).fidelity, self.table.fidelities(self.metric)
        lower = [column for epochs, column in rungs.items() if epochs != full]
        if full is None or not lower:
            return None
        continued = all(self.table.columns[column].curve for column in lower)
        return Fidelity("epochs", full, continued, tuple(rungs))

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """One row of the table for each proposal."""
        return [self._measured(proposal) for proposal in proposals]

    def optimum(self, metric: str) -> float | None:
        """The best value of a metric in the whole table, from which regret is measured.

        None for predictions, and for drawn trainings, of which the best is luck.
        """
        if self.table.predicted or metric in self._full.trainings:
            return None
        smaller = metric_named(self.metrics, metric).better == "smaller"
        return self.table.best(self._full.columns[metric], smallest=smaller)[1]

    def _measured(self, proposal: Proposal) -> Measurement:
        try:
            reading = self._full if proposal.fidelity is None else self._at(proposal.fidelity)
            row = self.table.row(proposal.arch)
        except InvalidArchitecture as error:
            return Measurement(error=str(error))
        if reading is None:
            known = ", ".join(map(str, self.table.fidelities(self.metric))) or "no fidelities"
            return Measurement(
                error=f"the table {self.table.name} has {known} for {self.metric}, but {proposal.fidelity} was asked"
            )
        metrics = {name: float(read(row)) for name, read in reading.readers.items()}
        if reading.trainings:
            metrics |= self._drawn(reading, row, proposal)
        for name, value in metrics.items():
            if math.isnan(value):
                return Measurement(error=f"{self.table.name} has no {reading.columns[name]} for {proposal.arch}")
        return Measurement(metrics, self._cost(reading, row))

    def _at(self, fidelity: int) -> _Reading | None:
        """What is read at a fidelity; None if the metric is not there at it."""
        if fidelity not in self._lower:
            table, metric = self.table, self.table.fidelities(self.metric).get(fidelity)
            if metric is None:
                return None
            columns = {name: table.fidelities(c).get(fidelity, c) for name, c in self._full.columns.items()}
            own, full = table.about(metric).clock, table.about(self.metric).fidelity
            scale = 1.0 if own is not None or full is None else fidelity / full
            self._lower[fidelity] = self._reading(columns, own or table.clock_of(self.metric), scale)
        return self._lower[fidelity]

    def _reading(self, columns: dict[str, str], clock: str | None, scale: float) -> _Reading:
        readers: dict[str, Reader] = {name: self.table.column(column).item for name, column in columns.items()}
        drawn = {metric.name for metric in self.metrics if not metric.reported} if self.seeds == "random" else set()
        trainings: dict[str, list[Reader]] = {
            name: [self.table.column(one).item for one in self.table.trainings(column).values()]
            for name, column in columns.items()
            if name in drawn and self.table.trainings(column)
        }
        return _Reading(columns, readers, trainings, None if clock is None else self.table.column(clock).item, scale)

    def _drawn(self, reading: _Reading, row: int, proposal: Proposal) -> dict[str, float]:
        """One training for each metric that has several; of one set of images, the same one."""
        share = self.seed.child("training").numpy(f"{proposal.arch} {proposal.fidelity}").random()
        drawn = {}
        for name, readers in reading.trainings.items():
            known = [value for read in readers if not math.isnan(value := float(read(row)))]
            drawn[name] = known[int(share * len(known))] if known else math.nan
        return drawn

    @staticmethod
    def _cost(reading: _Reading, row: int) -> Cost:
        if reading.seconds is None:
            return FREE
        seconds = float(reading.seconds(row)) * reading.scale
        return FREE if math.isnan(seconds) else Cost(benchmark_s=seconds)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process opens the table itself; the columns need not be sent.
        again = functools.partial(Tabular, metric=self.metric, report=self.report, also=self.also)
        return functools.partial(again, seeds=self.seeds, seed=self.seed), (self.table,)


def _default_metric(table: Table) -> str:
    if table.metric is not None:
        return table.metric
    raise SpecError(
        f"The table {table.name} does not say what to search on: write tabular(metric=COLUMN) with one of "
        f"{', '.join(name for name, column in table.columns.items() if not column.test)}."
    )

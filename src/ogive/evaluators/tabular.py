"""Look architectures up in a benchmark table instead of training them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.trial import FREE, Cost, Measurement, Proposal
from ogive.tables.store import Table

__all__ = ["Tabular"]


class Tabular:
    """Reads what published trainings found: one column to search on, one to report, and more beside them.

    `metric` becomes ``val_acc`` and `report`, if any, ``test_acc``. Columns named in `also` keep their names, with
    ``test_`` before them if they were measured on a test set, so that no strategy sees them either. A table with a
    clock gives its training seconds as benchmark seconds. What is not in the table is a failed measurement.

    Raises UnknownName for a column that the table does not have, SpecError for a `metric` measured on a test set.
    """

    # The defaults are for NAS-Bench-201: search on validation accuracy after training on half of the images, report
    # test accuracy after training on all of them (two different trainings).
    def __init__(
        self,
        table: Table,
        *,
        metric: str = "c10v_val_200",
        report: str | None = "c10_test_200",
        also: tuple[str, ...] = (),
    ) -> None:
        self.table = table
        self.metric, self.report, self.also = metric, report, tuple(also)
        wanted = {"val_acc": metric} | ({"test_acc": report} if report is not None else {})
        for column in self.also:
            table.column(column)
            name = f"test_{column}" if table.columns[column].test else column
            if name in wanted:
                raise SpecError(f"Each metric of tabular(...) may be given once, but {name} is given twice.")
            wanted[name] = column
        # ndarray.item is the fast way from one element to a Python number.
        self._readers: dict[str, Callable[[int], Any]] = {n: table.column(c).item for n, c in wanted.items()}
        self._columns = wanted
        if table.columns[metric].test:
            raise SpecError(f"The search never sees the test set, but {metric} was measured on it: give it as report.")
        self._seconds = None if table.clock is None else table.column(table.clock).item
        self.metrics = tuple(wanted)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """One row of the table for each proposal."""
        return [self._measured(proposal) for proposal in proposals]

    def optimum(self, metric: str) -> float:
        """The largest value of a metric in the whole table, from which regret is measured."""
        return self.table.best(self._columns[metric])[1]

    def _measured(self, proposal: Proposal) -> Measurement:
        if proposal.fidelity is not None:
            return Measurement(
                error=f"the table {self.table.name} has no fidelities, but {proposal.fidelity} was asked"
            )
        try:
            row = self.table.row(proposal.arch)
        except InvalidArchitecture as error:
            return Measurement(error=str(error))
        metrics = {name: float(read(row)) for name, read in self._readers.items()}
        for name, value in metrics.items():
            if math.isnan(value):
                return Measurement(error=f"{self.table.name} has no {self._columns[name]} for {proposal.arch}")
        return Measurement(metrics, self._cost(row))

    def _cost(self, row: int) -> Cost:
        if self._seconds is None:
            return FREE
        seconds = float(self._seconds(row))
        return FREE if math.isnan(seconds) else Cost(benchmark_s=seconds)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process opens the table itself; the columns need not be sent.
        return functools.partial(Tabular, metric=self.metric, report=self.report, also=self.also), (self.table,)

"""How well training-free scores rank architectures by a column of a benchmark: correlations with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.metrics import FEW, Interval, kendall_tau, spearman
from ogive.tables.scores import Row

__all__ = ["Correlation", "correlations"]


@dataclass(frozen=True, slots=True)
class Correlation:
    """How a score ranks architectures, compared with a column: τ and ρ with bootstrap intervals of 95 %.

    `lead` is by how much τ exceeds that of the number of parameters, where that is among the scores, with the interval
    of the difference over the same resamples. Of fewer than ten architectures a bootstrap says too little to be told:
    the intervals are NaN. `draws` are τ and ρ of every resample, of which the intervals are made.
    """

    proxy: str
    tau: float
    tau_interval: Interval
    rho: float
    rho_interval: Interval
    lead: float | None = None
    lead_interval: Interval | None = None
    draws: tuple[tuple[float, ...], tuple[float, ...]] = field(default=((), ()), repr=False)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON; null where a score is constant, which has no ranks to correlate."""
        known = not math.isnan(self.tau)
        plain = {
            "tau": self.tau,
            "tau_interval": list(self.tau_interval),
            "rho": self.rho,
            "rho_interval": list(self.rho_interval),
        }
        ranged = known and not math.isnan(self.tau_interval.low)
        told = {name: known and (ranged or not name.endswith("interval")) for name in plain}
        body = {"proxy": self.proxy, **{name: value if told[name] else None for name, value in plain.items()}}
        if self.lead is None or self.lead_interval is None or math.isnan(self.lead):
            return body
        ends = {"lead_interval": list(self.lead_interval)} if ranged else {}
        return {**body, "lead_over_params": self.lead, **ends}


def correlations(
    proxies: Sequence[str],
    rows: Sequence[Row],
    truth: Mapping[Architecture, float],
    *,
    resamples: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Correlation], int]:
    """One for each score over the rows that have all of them and a truth, and the number of those rows.

    -inf ranks last, as in a search. The intervals draw architectures again, for all scores the same ones. `progress` is
    called with the number of resamples that are done and that of all.
    """
    both = [(row.scores, truth[row.arch]) for row in rows if row.scores is not None and row.arch in truth]
    if len(both) < 3:
        raise SpecError(f"A rank correlation needs at least 3 scored architectures of the table, but got {len(both)}.")
    values = np.array([[*scores, known] for scores, known in both])
    found = _agreements(values)
    rng = Seed(0).numpy("correlations")
    resamples = 0 if len(both) < FEW else resamples
    drawn = np.empty((resamples, *found.shape))
    for step in range(resamples):
        drawn[step] = _agreements(values[rng.integers(0, len(values), len(values))])
        if progress is not None:
            progress(step + 1, resamples)
    baseline = list(proxies).index("params") if "params" in proxies else None
    return [_correlation(proxies, place, found, drawn, baseline) for place in range(len(proxies))], len(both)


def _agreements(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """τ and ρ of every column with the last one, shape (columns - 1, 2)."""
    truth = values[:, -1]
    return np.array([[measure(column, truth) for measure in (kendall_tau, spearman)] for column in values.T[:-1]])


def _correlation(
    proxies: Sequence[str],
    place: int,
    found: npt.NDArray[np.float64],
    drawn: npt.NDArray[np.float64],
    baseline: int | None,
) -> Correlation:
    (tau, rho), samples = found[place].tolist(), drawn[:, place]
    draws = tuple(samples[:, 0].tolist()), tuple(samples[:, 1].tolist())
    plain = Correlation(proxies[place], tau, _interval(samples[:, 0]), rho, _interval(samples[:, 1]), draws=draws)
    if baseline is None or baseline == place:
        return plain
    lead = tau - float(found[baseline, 0])
    return replace(plain, lead=lead, lead_interval=_interval(samples[:, 0] - drawn[:, baseline, 0]))


def _interval(samples: npt.NDArray[np.float64]) -> Interval:
    low, high = np.nanpercentile(samples, [2.5, 97.5]) if np.isfinite(samples).any() else (math.nan, math.nan)
    return Interval(float(low), float(high))

"""Predictions instead of measurements, after a sample of architectures was measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, ProtocolError, SpecError
from ogive.core.evaluator import Evaluator
from ogive.core.metric import metric_named
from ogive.core.predictor import Observed, Predictor
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Budget, Cost, Measurement, Proposal, Trial
from ogive.predictors.rehearsal import rehearsed_fit
from ogive.tables.world import closing

__all__ = ["Predicted"]

# So many draws for each architecture of a sample, before its space counts as too small.
DRAWS = 100


class Predicted:
    """Measures a random sample with a teacher, fits a predictor on it, and predicts everything after that.

    The sample becomes the first trials of the search, which its budget counts and its strategy is told. `of` is the
    metric of the teacher that is predicted, by default its first. What is predicted is named ``predicted_`` and that
    metric; of the sample, which keeps all that the teacher found, it is the measured value itself. Predictions are
    brought to the unit of the labels by the straight line that fits the labels best, so that predictors of ranks serve
    too. Where the teacher reads a table that has part of the space only, the sample is of its rows.
    """

    def __init__(
        self,
        predictor: Predictor,
        teacher: Evaluator,
        *,
        space: SearchSpace,
        seed: Seed,
        budget: Budget | None = None,
        sample: int = 100,
        of: str | None = None,
    ) -> None:
        if sample < 2:
            raise SpecError(f"A predictor is fitted on two labels at least, but got sample={sample}.")
        if budget is not None and budget.trials is not None and budget.trials <= sample:
            raise SpecError(
                f"The {sample} labels of predicted(...) are trials too, so that a budget of {budget} leaves none to "
                "predict: give a larger budget, or a smaller sample=."
            )
        self.parts, self._seed = (predictor, teacher), seed
        wanted = teacher.metrics[0].name if of is None else of
        metric = metric_named(teacher.metrics, wanted, "metric of the teacher")
        if metric.reported:
            raise SpecError(f"{wanted} is for the record: a search by its predictions would have seen the test set.")
        self.space, self.of, self.name = space, wanted, f"predicted_{wanted}"
        self.metrics = (replace(metric, name=self.name, words=f"predicted {metric.title}"),)
        self.sample = _drawn(closing(space, teacher) or space, sample, seed)
        self._line: tuple[float, float] | None = None

    def rehearse(self) -> float:
        """Seconds of the fit on the sample, measured on a little of it, with scores out of the air."""
        archs = tuple(proposal.arch for proposal in self.sample)
        scores = tuple(self._seed.numpy("rehearsal").random(len(archs)).tolist())
        return rehearsed_fit(self.parts[0], Observed(archs, scores))[0]

    def learn(self, trials: Sequence[Trial]) -> None:
        """Fit the predictor on the trials of the sample; SpecError if fewer than two of them worked."""
        predictor, _ = self.parts
        sign = self.metrics[0].sign
        labels = [(trial.arch, sign * trial.metrics[self.of]) for trial in trials if trial.measured]
        if len(labels) < 2:
            reason = next((trial.measurement.error for trial in reversed(trials) if trial.status == "failed"), "none")
            raise SpecError(
                f"A predictor is fitted on two labels at least, but of the {len(trials)} of the sample {len(labels)} "
                f"worked; the last reason: {reason}."
            )
        observed = Observed(*map(tuple, zip(*labels, strict=True)))
        predictor.fit(observed)
        self._line = _line(predictor.predict(observed.archs), np.array(observed.scores), type(predictor).__name__)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """A measurement by the teacher before `learn`, a prediction after it."""
        if self._line is None:
            return [self._label(found) for found in self.parts[1].evaluate(proposals)]
        started = time.perf_counter()
        reasons = [self._foreign(proposal) for proposal in proposals]
        known = [proposal.arch for proposal, reason in zip(proposals, reasons, strict=True) if reason is None]
        base, slope = self._line
        values = iter((self.metrics[0].sign * (base + slope * self.parts[0].predict(known))).tolist())
        cost = Cost(wall_s=(time.perf_counter() - started) / max(1, len(known)))
        return [
            Measurement({self.name: next(values)}, cost) if reason is None else Measurement(error=reason)
            for reason in reasons
        ]

    def _label(self, found: Measurement) -> Measurement:
        if found.error is not None:
            return found
        return Measurement({**found.metrics, self.name: found.metrics[self.of]}, found.cost)

    def _foreign(self, proposal: Proposal) -> str | None:
        try:
            self.space.admit(proposal.arch)
        except InvalidArchitecture as error:
            return str(error)
        return None


def _drawn(space: SearchSpace, count: int, seed: Seed) -> tuple[Proposal, ...]:
    """Random architectures, each once; SpecError if a hundred draws for each do not give so many."""
    rng = seed.numpy("sample")
    drawn: dict[Architecture, None] = {}
    for _ in range(DRAWS * count):
        drawn[space.sample(rng)] = None
        if len(drawn) == count:
            return tuple(map(Proposal, drawn))
    raise SpecError(
        f"A sample has no architecture twice, but {DRAWS * count} draws gave {len(drawn)} of sample={count}."
    )


def _line(predicted: np.ndarray, measured: np.ndarray, name: str) -> tuple[float, float]:
    """Intercept and slope of the line from predictions of the labels to the labels; flat if all are equal."""
    spread = float(predicted.var())
    slope = float(np.mean((predicted - predicted.mean()) * (measured - measured.mean()))) / spread if spread else 0.0
    if slope < 0:
        raise ProtocolError(f"{name} must predict more for what is better, but puts its own labels upside down.")
    return float(measured.mean() - slope * predicted.mean()), slope

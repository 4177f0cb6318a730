"""The promises of a predictor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import OgiveError, ProtocolError, SpecError
from ogive.core.predictor import Observed, Predictor, Uncertain
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.metrics import kendall_tau
from ogive.testing.parts import global_state, imported, made, require, require_picklable, require_same_elsewhere, target

__all__ = ["PredictorFactory", "check_predictor", "trace_of_predictor"]

PredictorFactory = Callable[[SearchSpace, Seed], Predictor]


def check_predictor(
    factory: PredictorFactory | str, space: SearchSpace | str, *, labels: int = 40, subprocess: bool = False
) -> None:
    """Shapes, equal predictions from equal labels, larger is better, few and equal labels, deviations, picklability.

    `factory` makes a predictor of a space and a seed. It is fitted on made-up scores of `labels` random architectures.
    """
    check = _Check(imported(factory), made(space, SearchSpace), labels)
    check.shapes()
    check.determinism()
    check.direction()
    check.too_little()
    check.equal_scores()
    check.foreign()
    check.deviation()
    require_picklable(check.fitted, check.name)
    if subprocess:
        arguments = [target(factory), target(space), str(labels)]
        here = trace_of_predictor(factory, space, labels)
        require_same_elsewhere("ogive.testing.predictors:trace_of_predictor", arguments, here, check.name)


def trace_of_predictor(factory: PredictorFactory | str, space: SearchSpace | str, labels: int | str) -> list[str]:
    """What a fitted predictor says of architectures it has not seen, as lines that must be the same everywhere."""
    check = _Check(imported(factory), made(space, SearchSpace), int(labels))
    return [repr(value) for value in check.fitted.predict(check.others).tolist()]


class _Check:
    """The checks of one predictor; `others` are architectures of which it is told nothing."""

    def __init__(self, factory: PredictorFactory, space: SearchSpace, labels: int) -> None:
        self.factory, self.space = factory, space
        rng = Seed(0).numpy("architectures")
        drawn = tuple(dict.fromkeys(space.sample(rng) for _ in range(2 * labels)))
        known = max(2, len(drawn) // 2)
        self.others: Sequence[Architecture] = drawn[known:] or drawn
        self.observed = Observed(drawn[:known], tuple(map(_made_up, drawn[:known])))
        self.name = type(self.new()).__name__

    def new(self) -> Predictor:
        predictor = self.factory(self.space, Seed(0))
        require(isinstance(predictor, Predictor), f"{type(predictor).__name__} lacks fit or predict.")
        return predictor

    @cached_property
    def fitted(self) -> Predictor:
        """One for all checks that only ask it: a fit is what takes long."""
        predictor = self.new()
        predictor.fit(self.observed)
        return predictor

    def shapes(self) -> None:
        together = self._predicted(self.fitted, self.others)
        apart = np.concatenate([self._predicted(self.fitted, [arch]) for arch in reversed(self.others)])[::-1]
        require(
            np.allclose(together, apart, rtol=1e-5, atol=1e-8),
            f"{self.name}: a prediction depends on its architecture alone, but differs between a batch and one by one.",
        )
        self._predicted(self.fitted, [])

    def determinism(self) -> None:
        before = global_state()
        second = self.new()
        other = Observed(self.observed.archs[::-1], tuple(-score for score in self.observed.scores))
        second.fit(other)
        second.fit(self.observed)
        require(
            np.array_equal(self.fitted.predict(self.others), second.predict(self.others)),
            f"{self.name}: equal labels must give equal predictions, whatever it was fitted on before.",
        )
        require(global_state() == before, f"{self.name}: draw from the seed, not from numpy's global generator.")

    def direction(self) -> None:
        predicted = self.fitted.predict(self.observed.archs)
        agreement = kendall_tau(predicted, np.array(self.observed.scores))
        require(
            agreement > 0,
            f"{self.name}: larger is better, but of the labels it was fitted on the order comes back with Kendall's "
            f"tau {agreement:.2f}.",
        )

    def too_little(self) -> None:
        self._refused("a prediction before the first fit", lambda: self.new().predict(self.others))
        for count in (0, 1):
            few = Observed(self.observed.archs[:count], self.observed.scores[:count])
            self._refused(f"a fit on {count} labels", partial(self.new().fit, few))

    def equal_scores(self) -> None:
        predictor = self.new()
        predictor.fit(Observed(self.observed.archs, (1.0,) * len(self.observed)))
        self._predicted(predictor, self.others)

    def foreign(self) -> None:
        stranger = [Architecture("nowhere", self.others[0].choices)]
        try:
            self.fitted.predict(stranger)
        except OgiveError:
            return
        except Exception as error:
            raise ProtocolError(
                f"{self.name}: an architecture of another space is a SpecError, not {error!r}."
            ) from error
        raise ProtocolError(f"{self.name}: predicted {stranger[0]}, which belongs to no space of its own.")

    def deviation(self) -> None:
        if not isinstance(self.fitted, Uncertain):
            return
        mean, deviation = self.fitted.predicted(self.others)
        same = np.array_equal(mean, self.fitted.predict(self.others))
        require(same, f"{self.name}: the mean of predicted must be what predict returns.")
        proper = deviation.shape == mean.shape and np.isfinite(deviation).all() and (deviation >= 0).all()
        require(bool(proper), f"{self.name}: deviations are finite, not negative and of the shape of the means.")

    def _predicted(self, predictor: Predictor, archs: Sequence[Architecture]) -> np.ndarray:
        found: Any = predictor.predict(archs)
        proper = isinstance(found, np.ndarray) and found.shape == (len(archs),) and np.isfinite(found).all()
        require(bool(proper), f"{self.name}: predict of {len(archs)} must be as many finite numbers, not {found!r}.")
        return np.asarray(found)

    def _refused(self, what: str, call: Callable[[], object]) -> None:
        try:
            call()
        except SpecError:
            return
        except Exception as error:
            raise ProtocolError(f"{self.name}: {what} must be a SpecError, not {error!r}.") from error
        raise ProtocolError(f"{self.name}: {what} must be a SpecError.")


def _made_up(arch: Architecture) -> float:
    """A score that is easily learnt: later options are better, and the first variables count most."""
    return float(sum(choice / (1 + place) for place, choice in enumerate(arch.choices)))

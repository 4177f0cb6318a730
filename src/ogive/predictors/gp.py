"""Gaussian processes: a mean and a deviation for every architecture, from a kernel and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Encoder, Observed
from ogive.core.space import SearchSpace
from ogive.predictors.kernels import Kernel, Matern
from ogive.predictors.labels import DuplicateNotice, fitted
from ogive.predictors.targets import InTargets, Targets

__all__ = ["GaussianProcess"]

Floats = npt.NDArray[np.float64]

# Where there are scales, they and the noise are decided on so many labels at most, evenly taken; all are fitted.
DECIDING = 250
ITERATIONS = 30
# What is thought of noise before the labels: the logarithm of its variance in those of the process, and its deviation.
LOG_NOISE, LOG_NOISE_DEVIATION = np.log(0.1), 2.0
# And of the variance of the process, where targets have variance 1: an inverse gamma distribution.
SHAPE, RATE = 1.0, 0.3


@dataclass(frozen=True, eq=False)
class _Fit:
    described: Any
    prior: Floats
    scales: Floats
    noise: float
    variance: float
    inverse: Floats  # of the covariance matrix over the variance
    weights: Floats


class GaussianProcess(InTargets):
    """A Gaussian process on any kernel between architectures. Rasmussen and Williams, 2006, sections 2.2 and 5.4.

    `kernel` defaults to ``matern``, on one_hot rows of real variables and choices. `prior` is what is known of an
    architecture before any label, in deviations of the labels, such as ``live_weight``: the mean is the prior times
    `trust`, and how much of it is true is learnt, with the deviation `doubt`. Of a prior of several numbers the mean is
    that of them all, and of each is learnt how true it is. Scales, noise and variance are those of
    the largest posterior probability given the labels. `targets` are the scores, "standardised", or "normal_scores":
    how many deviations a normal value of the same rank lies from the mean, so that a few failures hide nothing. What is
    predicted is in the unit of the scores either way.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        kernel: Kernel | None = None,
        prior: Encoder | None = None,
        trust: float = 0.7,
        doubt: float = 0.45,
        targets: Literal["standardised", "normal_scores"] = "standardised",
    ) -> None:
        if not (np.isfinite(trust) and 0 <= doubt < np.inf):
            raise SpecError(f"trust is a number and doubt 0 or more, but got trust={trust}, doubt={doubt}.")
        self.kernel: Kernel = Matern(space=space) if kernel is None else kernel
        self.prior, self.trust, self.doubt, self.targets = prior, trust, doubt, targets
        self._fit: _Fit | None = None
        self._notice = DuplicateNotice()

    def fit(self, observed: Observed) -> None:
        labels = observed.comparable()
        self._notice(labels)
        self.targets_fitted = Targets(labels.scores, self.targets)
        with _one_thread():
            self._fit = self._fitted(*self.described(labels.archs), self.targets_fitted.values)

    def latent(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Mean and deviation of the process itself, without the noise of a label, in deviations of the labels."""
        return self.latent_of(*self.described(archs)) if len(archs) else (np.zeros(0), np.zeros(0))

    def described(self, archs: Sequence[Architecture]) -> tuple[Any, Floats]:
        """What the kernel and the prior say of architectures, whatever the labels."""
        return self.kernel.described(archs), self._prior(archs)

    def latent_of(self, described: Any, prior: Floats) -> tuple[Floats, Floats]:
        """The same as `latent` of what was described."""
        fit = fitted(self._fit)
        with _one_thread():
            shared = self.kernel.between(described, fit.described, fit.scales) + self._doubted(prior, fit.prior)
            explained = np.einsum("ij,ij->i", shared @ fit.inverse, shared)
            mean = self.trust * prior.mean(axis=1) + shared @ fit.weights
        own = 1 + self.doubt**2 * ((prior**2).sum(axis=1) + 1)
        return mean, np.sqrt(np.maximum(fit.variance * (own - explained), 0))

    @property
    def noise(self) -> float:
        """The deviation of a label from what the process says, in deviations of the labels."""
        assert self._fit is not None
        return float(np.sqrt(self._fit.variance * self._fit.noise))

    def _prior(self, archs: Sequence[Architecture]) -> Floats:
        """What is known of each before the labels, (n, numbers)."""
        return np.zeros((len(archs), 1)) if self.prior is None else self.prior(archs).astype(np.float64)

    def _doubted(self, prior: Floats, other: Floats) -> Floats:
        """What covariance the doubt about the prior adds, and about the level of the scores."""
        return self.doubt**2 * (prior @ other.T + 1)

    def _fitted(self, described: Any, prior: Floats, targets: Floats) -> _Fit:
        residual = targets - self.trust * prior.mean(axis=1)
        most = min(DECIDING, len(targets)) if self.kernel.scales else len(targets)
        few = np.unique(np.linspace(0, len(targets) - 1, most).astype(int))
        evidence = _Evidence(self.kernel, described[few], self._doubted(prior[few], prior[few]), residual[few])
        scales, noise = evidence.best()
        covariance = self.kernel.within(described, scales)[0] + self._doubted(prior, prior)
        inverse = np.asarray(np.linalg.inv(covariance + noise * np.eye(len(targets))), np.float64)
        weights = inverse @ residual
        variance = (float(residual @ weights) + 2 * RATE) / (len(targets) + 2 * SHAPE)
        return _Fit(described, prior, scales, noise, variance, inverse, weights)


class _Evidence:
    """How probable labels make scales and noise; the variance is always the most probable one given these."""

    def __init__(self, kernel: Kernel, described: Any, doubted: Floats, residual: Floats) -> None:
        self.kernel, self.described, self.doubted, self.residual = kernel, described, doubted, residual

    def best(self) -> tuple[Floats, float]:
        from scipy.optimize import minimize

        start = np.append(np.zeros(self.kernel.scales), LOG_NOISE)
        bounds = [(-3.0, 3.0)] * self.kernel.scales + [(np.log(1e-4), np.log(10.0))]
        found = minimize(
            self.against, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": ITERATIONS}
        )
        return found.x[:-1], float(np.exp(found.x[-1]))

    def against(self, at: Floats) -> tuple[float, Floats]:
        """Minus the logarithm of the probability, up to a constant, and its derivatives."""
        scales, noise, count = at[:-1], float(np.exp(at[-1])), len(self.residual)
        kernel, slopes = self.kernel.within(self.described, scales)
        covariance = kernel + self.doubted + noise * np.eye(count)
        inverse = np.linalg.inv(covariance)
        weights = inverse @ self.residual
        variance = (float(self.residual @ weights) + 2 * RATE) / (count + 2 * SHAPE)
        value = 0.5 * (count + 2 * SHAPE) * np.log(variance) + 0.5 * float(np.linalg.slogdet(covariance)[1])
        value += 0.5 * float(scales @ scales) + 0.5 * ((at[-1] - LOG_NOISE) / LOG_NOISE_DEVIATION) ** 2
        pull = 0.5 * (inverse - np.outer(weights, weights) / variance)
        slope = np.append(np.tensordot(slopes, pull, 2), noise * np.trace(pull))
        prior = np.append(scales, (at[-1] - LOG_NOISE) / LOG_NOISE_DEVIATION**2)
        return float(value), slope + prior


def _one_thread() -> Any:
    """A while in which numpy's linear algebra has one thread: sums in one order, and no core kept busy with waiting."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # a look at all libraries takes milliseconds

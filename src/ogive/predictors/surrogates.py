"""Surrogates of several metrics: a Gaussian process of BoTorch for each, on rows or on graphs of architectures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData
from ogive.core.predictor import Encoder
from ogive.predictors.kernels import WeisfeilerLehman
from ogive.predictors.labels import fitted
from ogive.training.threads import threads

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Graphs", "Outcomes", "Rows", "Surrogates", "log_improvements", "moderated"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# What measured variances of few values are worth beside their mean: as many degrees of freedom. Smyth, 2004.
PRIOR_FREEDOM = 2.0
# Of a variance, in those of the labels: what is measured without any noise still has this much, for the numbers' sake.
LEAST_VARIANCE = 1e-4
STEPS = 25  # of L-BFGS for the scales of a process
AT_ONCE = 128  # so many candidates are valued together, for the memory's sake


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What was measured of architectures: `objectives` of them, which are maximised, then excesses over limits.

    `values` and `variances` have the shape (n, outcomes); a variance is that of the value as a mean, NaN where nobody
    measured it. An excess is negative within its limit.
    """

    archs: tuple[Architecture, ...]
    values: Floats
    variances: Floats
    objectives: int

    def __len__(self) -> int:
        return len(self.archs)

    @property
    def feasible(self) -> npt.NDArray[np.bool_]:
        """Which keep all limits, shape (n,)."""
        return np.asarray((self.values[:, self.objectives :] <= 0).all(axis=1), np.bool_)


class Coordinates(Protocol):
    """Where architectures lie, for a process that compares places."""

    @property
    def name(self) -> str:
        """What they are, for a saved state."""
        ...

    def __call__(self, archs: Sequence[Architecture]) -> Floats:
        """Shape (n, columns)."""
        ...

    def kernel(self, outcomes: int) -> Any:
        """A new kernel of GPyTorch on them, with as many scales; None for BoTorch's own."""
        ...

    def distances(self, archs: Sequence[Architecture], others: Sequence[Architecture]) -> Floats:
        """How far apart they are, shape (n, others)."""
        ...


class Rows:
    """The rows of an encoder, compared by BoTorch's own kernel, which has a length for each column."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.name = encoder, type(encoder).__name__

    def __call__(self, archs: Sequence[Architecture]) -> Floats:
        return self.encoder(archs).astype(np.float64)

    def kernel(self, outcomes: int) -> None:
        return None

    def distances(self, archs: Sequence[Architecture], others: Sequence[Architecture]) -> Floats:
        from scipy.spatial.distance import cdist

        found: Floats = cdist(self(archs), self(others))
        return found


class Graphs:
    """Architectures by number, compared by what their graphs have in common (Weisfeiler and Lehman)."""

    def __init__(self, kernel: WeisfeilerLehman) -> None:
        self.inner, self.name = kernel, f"wl {kernel.depth}"
        self._numbers: dict[Architecture, int] = {}
        self._archs: list[Architecture] = []

    def __call__(self, archs: Sequence[Architecture]) -> Floats:
        for arch in archs:
            if arch not in self._numbers:
                self._numbers[arch] = len(self._archs)
                self._archs.append(arch)
        return np.array([[float(self._numbers[arch])] for arch in archs]).reshape(len(archs), 1)

    def forget(self) -> None:
        """All numbers; what was fitted on them is of no use any more."""
        self._numbers, self._archs = {}, []

    def shared(self, numbers: Integers, others: Integers) -> Floats:
        """What the architectures of some numbers have in common with those of others, shape (n, others)."""
        first, second = (self.inner.described([self._archs[number] for number in some]) for some in (numbers, others))
        return self.inner.between(first, second, np.zeros(0))

    def kernel(self, outcomes: int) -> Any:
        import gpytorch
        import torch

        shape = torch.Size([outcomes] if outcomes > 1 else [])
        return gpytorch.kernels.ScaleKernel(_looked_up()(self), batch_shape=shape)

    def distances(self, archs: Sequence[Architecture], others: Sequence[Architecture]) -> Floats:
        shared = self.inner.between(self.inner.described(archs), self.inner.described(others), np.zeros(0))
        found: Floats = np.sqrt(np.maximum(2 - 2 * shared, 0))
        return found


class Surrogates:
    """A Gaussian process for each outcome, fitted to what is standardised; needs BoTorch (extra ``bo``).

    Variances that were measured are noise of these amounts; elsewhere the noise is one number, learnt. What is said of
    an outcome is in deviations of its labels, above their mean.
    """

    def __init__(self, coordinates: Coordinates) -> None:
        require_botorch()
        self.coordinates = coordinates
        self.outcomes: Outcomes | None = None
        self.model: Any = None
        self.mean = self.deviation = np.zeros(0)

    def fit(self, outcomes: Outcomes) -> None:
        """The same labels always give the same processes."""
        if isinstance(self.coordinates, Graphs):
            self.coordinates.forget()
        self.outcomes = outcomes
        self.mean, spread = outcomes.values.mean(axis=0), outcomes.values.std(axis=0)
        constant = spread < 1e-12 * np.maximum(1, np.abs(self.mean))
        self.deviation = np.where(constant, 1.0, spread)
        values = np.where(constant, 0.0, (outcomes.values - self.mean) / self.deviation)
        variances = outcomes.variances / self.deviation**2
        with working() as (torch, models):
            x = torch.from_numpy(self.coordinates(outcomes.archs))
            known: list[bool] = [bool(np.isfinite(column).all()) for column in variances.T]
            if all(known) or not any(known):  # all at once takes little longer than one
                self.model = self._process(x, values, variances if all(known) else None)
                return
            pairs = zip(values.T[:, :, None], variances.T[:, :, None], known, strict=True)
            self.model = models.ModelListGP(*(self._process(x, y, v if told else None) for y, v, told in pairs))

    def believed(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Means and deviations of the outcomes without the noise of a label, shapes (n, outcomes)."""
        fitted(self.model)
        if not len(archs):
            return (np.zeros((0, len(self.mean))),) * 2
        with working() as (torch, _), torch.no_grad():
            said = self.model.posterior(torch.from_numpy(self.coordinates(archs)))
            return said.mean.numpy(), said.variance.clamp_min(1e-12).sqrt().numpy()

    def threshold(self, outcome: int) -> float:
        """Where an excess is 0."""
        return float(-self.mean[outcome] / self.deviation[outcome])

    def _process(self, x: Any, y: Floats, variance: Floats | None) -> Any:
        import torch
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        noise = None if variance is None else torch.from_numpy(np.maximum(variance, LEAST_VARIANCE))
        kernel = self.coordinates.kernel(y.shape[1])
        process = SingleTaskGP(x, torch.from_numpy(y), noise, covar_module=kernel, outcome_transform=None)
        options = {"options": {"maxiter": STEPS}}
        fit_gpytorch_mll(ExactMarginalLogLikelihood(process.likelihood, process), optimizer_kwargs=options)
        return process


def log_improvements(
    surrogates: Surrogates, pending: Sequence[Architecture], *, samples: int, seed: int
) -> Callable[[Sequence[Architecture]], Floats]:
    """What values architectures by the logarithm of their expected noisy improvement, of the hypervolume of the front.

    qLogNEHVI (Daulton et al., NeurIPS 2021; Ament et al., NeurIPS 2023), with one objective qLogNEI, each with the
    limits as outcome constraints; `pending` are taken for measured, at whatever they may turn out to be.
    """
    outcomes = fitted(surrogates.outcomes)
    pending = list(dict.fromkeys(pending))
    with working() as (torch, _), torch.no_grad():
        from botorch.sampling.normal import SobolQMCNormalSampler

        x = torch.from_numpy(surrogates.coordinates(list(dict.fromkeys(outcomes.archs))))
        given: dict[str, Any] = {
            "model": surrogates.model,
            "X_baseline": x,
            "sampler": SobolQMCNormalSampler(torch.Size([samples]), seed=seed),
            "prune_baseline": True,
            "X_pending": torch.from_numpy(surrogates.coordinates(pending)) if pending else None,
            "constraints": _constraints(surrogates) or None,
        }
        acquisition = _hypervolume(surrogates, given) if outcomes.objectives > 1 else _improvement(given)

    def valued(archs: Sequence[Architecture]) -> Floats:
        with working() as (torch, _), torch.no_grad():
            candidates = torch.from_numpy(surrogates.coordinates(archs))[:, None]
            found: Floats = torch.cat([acquisition(some) for some in candidates.split(AT_ONCE)]).numpy()
            return found

    return valued


def reference_point(outcomes: Outcomes, standardised: Floats) -> Floats:
    """A tenth of the range below the worst of the feasible front in each objective, shape (objectives,).

    That is the usual rule of thumb (Ishibuchi et al., 2011), but for the range, which is that of all labels: a front
    may be one point.
    """
    from ogive.metrics import non_dominated

    kept = outcomes.feasible if outcomes.feasible.any() else np.ones(len(outcomes), bool)
    front = standardised[kept][non_dominated(standardised[kept])]
    found: Floats = front.min(axis=0) - 0.1 * np.maximum(np.ptp(standardised, axis=0), 0.1)
    return found


def moderated(variances: Floats, freedom: Sequence[float]) -> Floats:
    """Variances of few values each, drawn towards their mean: one of two values is chance, and may be 0. Shape (n, k).

    Each counts as many degrees of freedom as it has, in k columns, and the mean `PRIOR_FREEDOM` (Smyth, 2004).
    """
    own = np.array(freedom, np.float64)
    found: Floats = (PRIOR_FREEDOM * variances.mean(axis=0) + own * variances) / (PRIOR_FREEDOM + own)
    return found


def require_botorch() -> None:
    """MissingData, with the command that installs it, where BoTorch or what it needs is not there."""
    try:
        _imported()
    except ModuleNotFoundError as error:
        raise MissingData(f"mobo needs the package {error.name}: pip install 'ogive[bo]'") from None


@contextmanager
def working() -> Iterator[tuple[Any, Any]]:
    """Torch and the models of BoTorch for a while, with one thread and random numbers of their own.

    So what is found depends neither on the number of threads nor on what was drawn before.
    """
    torch, botorch = _imported()
    with (
        threads(1),
        torch.random.fork_rng(devices=[]),
        botorch.settings.validate_input_scaling(False),  # numbers of graphs are no coordinates of a cube
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of BoTorch: jitter that it added, steps of a fit that ended early
        torch.default_generator.manual_seed(0)
        yield torch, botorch.models


@cache
def _imported() -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, which its dependencies use on import
        import botorch
        import torch
        from botorch.acquisition.multi_objective import logei

        # Its kernel in C++ is compiled at the first use, for minutes where cores are busy; with another compiler or
        # none a search would find something else in the end. Without it, it takes up to three times as long.
        logei._load_attempted = True
    return torch, botorch


def _hypervolume(surrogates: Surrogates, given: dict[str, Any]) -> Any:
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
    from botorch.acquisition.multi_objective.utils import get_default_partitioning_alpha

    outcomes = fitted(surrogates.outcomes)
    count = outcomes.objectives
    standardised = (outcomes.values[:, :count] - surrogates.mean[:count]) / surrogates.deviation[:count]
    return qLogNoisyExpectedHypervolumeImprovement(
        ref_point=reference_point(outcomes, standardised).tolist(),
        objective=IdentityMCMultiOutputObjective(outcomes=list(range(count)), num_outcomes=outcomes.values.shape[1]),
        alpha=get_default_partitioning_alpha(count),
        **given,
    )


def _improvement(given: dict[str, Any]) -> Any:
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.acquisition.objective import GenericMCObjective

    return qLogNoisyExpectedImprovement(objective=GenericMCObjective(_first), **given)


def _first(samples: Tensor, X: Tensor | None = None) -> Tensor:  # by that name BoTorch gives it
    return samples[..., 0]


def _constraints(surrogates: Surrogates) -> list[Callable[[Tensor], Tensor]]:
    """What is negative where a limit is kept, for each limit."""
    outcomes = fitted(surrogates.outcomes)

    def excess(place: int) -> Callable[[Tensor], Tensor]:
        return lambda samples: samples[..., place] - surrogates.threshold(place)

    return [excess(place) for place in range(outcomes.objectives, outcomes.values.shape[1])]


@cache
def _looked_up() -> type[Any]:
    """A kernel of GPyTorch whose values were computed before; made here, since GPyTorch is an extra."""
    import torch
    from gpytorch.kernels import Kernel

    class LookedUp(Kernel):  # type: ignore[misc]  # GPyTorch has no types
        has_lengthscale = False

        def __init__(self, graphs: Graphs) -> None:
            super().__init__()
            self.graphs = graphs

        def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
            # Of each number once: a batch of candidates repeats all labels with each of them.
            (numbers, first), (others, second) = (x[..., 0].long().unique(return_inverse=True) for x in (x1, x2))
            shared = torch.from_numpy(self.graphs.shared(numbers.numpy(), others.numpy()))
            return shared[first, second] if diag else shared[first[..., None], second[..., None, :]]

    return LookedUp

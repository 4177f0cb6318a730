"""Bayesian optimisation: a Gaussian process of all trials, asked for the largest expected improvement every time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed, Predictor
from ogive.core.rng import Seed
from ogive.core.space import Real, SearchSpace
from ogive.core.trial import Budget
from ogive.predictors.gp import GaussianProcess
from ogive.predictors.improvement import ExpectedImprovement
from ogive.predictors.kernels import Kernel, Matern, WeisfeilerLehman
from ogive.runs import read_run
from ogive.strategies.guided import Guided
from ogive.strategies.local import refuse_immutable
from ogive.strategies.proposers import best_of
from ogive.strategies.unseen import Unseen

__all__ = ["Everywhere", "Remembered", "bayes", "usual_kernel"]

# From so many architectures the children of a generation descend, and so many generations there are.
PARENTS, GENERATIONS = 10, 4


def bayes(
    *,
    space: SearchSpace,
    seed: Seed,
    budget: Budget | None = None,
    start: int = 10,
    kernel: Kernel | None = None,
    offered: int = 1000,
    warm: Path | None = None,
) -> Guided:
    """A guided search by the expected improvement over the best, with a Gaussian process fitted for every proposal.

    The `kernel` of cell spaces is ``wl`` on their graphs, of others ``matern`` on choices and real variables, each with
    a length of its own. After `start` random proposals the largest improvement is looked for among about `offered`
    architectures: random ones, and mutations of these and of the best measured. What is in flight is believed to
    reach its mean. `warm` is the folder of a run in the same space, on other data: the search begins with its best
    architectures, and with what they say of the others, as far as the trials of this one agree.
    """
    if not space.modelled:
        raise SpecError(f"bayes models variables, and {space.name} has none that tell architectures apart: use random.")
    kernel = usual_kernel(space) if kernel is None else kernel
    before = None if warm is None else Remembered(Path(warm), space=space, kernel=kernel)
    process = GaussianProcess(space=space, kernel=kernel, prior=before)
    improvement = ExpectedImprovement(process)
    return Guided(
        improvement,
        Everywhere(space),
        space=space,
        seed=seed,
        budget=budget,
        start=start,
        refit=1,
        offered=offered,
        opening=before,
    )


def usual_kernel(space: SearchSpace) -> Kernel:
    """What compares architectures of a space: graphs, where it has no real variable and draws graphs that differ."""
    if not any(isinstance(space.variables[place], Real) for place in space.modelled):
        rng = np.random.default_rng(0)
        if len({space.draw(space.sample(rng)) for _ in range(20)}) > 1:
            return WeisfeilerLehman(space=space)
    return Matern(space=space, relevance=len(space.modelled) <= 20)


class Everywhere:
    """Random architectures, mutations of the best of them and of the best measured, and mutations of the best of those.

    The random half finds where to look, also far from all that was measured, the other half looks there closely.
    """

    def __init__(self, space: SearchSpace) -> None:
        refuse_immutable(space)
        self.space = space

    def offered(
        self, predictor: Predictor, told: Observed, count: int, rng: np.random.Generator
    ) -> Sequence[Architecture]:
        """About `count`, each once."""
        found = dict.fromkeys(self.space.sample(rng) for _ in range(max(1, count // 2)))
        parents = best_of(told.archs, np.array(told.scores), PARENTS)
        for _ in range(GENERATIONS):
            parents += best_of(list(found), predictor.predict(list(found)), PARENTS)
            for _ in range(max(1, count // (2 * GENERATIONS))):
                found[self.space.mutate(parents[int(rng.integers(len(parents)))], rng)] = None
            parents = []
        return list(found)


class Remembered:
    """What a search on other data found: its best architectures come first, and a process of it is known beforehand."""

    width = 1

    def __init__(self, folder: Path, *, space: SearchSpace, kernel: Kernel) -> None:
        run = read_run(folder)
        theirs = run.config.get("space")
        if theirs != space.name:
            raise SpecError(
                f"The search begins with a run in the same space, but {folder} is one in {theirs}, not in {space.name}."
            )
        scored = [trial for trial in run.trials if trial.scores is not None]
        if len(scored) < 2:
            raise SpecError(f"The search begins with two trials at least, but {folder} has {len(scored)} that worked.")
        self.digest = hashlib.sha256((folder / "trials.jsonl").read_bytes()).hexdigest()
        archs = tuple(space.admit(trial.arch) for trial in scored)
        scores = tuple(trial.scores[0] for trial in scored if trial.scores is not None)
        labels = Observed(archs, scores, tuple(trial.proposal.fidelity for trial in scored)).comparable()
        self._process = GaussianProcess(space=space, kernel=kernel)
        self._process.fit(labels)
        order = np.argsort(-np.array(labels.scores), kind="stable")
        self._best: list[Architecture] = [labels.archs[place] for place in order.tolist()]

    def __call__(self, archs: Sequence[Architecture]) -> npt.NDArray[np.float32]:
        """How good the other search thinks they are, in deviations of its labels, shape (n, 1)."""
        return self._process.latent(archs)[0].astype(np.float32)[:, None]

    def draw(self, unseen: Unseen, rng: np.random.Generator) -> Architecture | None:
        """The best of its architectures that was not proposed; a random one where all were."""
        for arch in self._best:
            if arch in unseen:
                unseen.remove(arch)
                return arch
        return unseen.draw(rng)

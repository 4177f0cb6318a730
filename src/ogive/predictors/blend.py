"""The predictor of this project: what is known before labels, a Gaussian process and trees, weighed by their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Encoder, Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.features import OneHot
from ogive.predictors.gp import GaussianProcess
from ogive.predictors.kernels import Matern
from ogive.predictors.targets import InTargets, Targets
from ogive.predictors.trees import BoostedTrees, ExtraTrees
from ogive.structure import live_weight, structure

__all__ = ["Blend"]

Floats = npt.NDArray[np.float64]

# The trees' share of the mean grows with the number of labels, to this; half of it is reached at so many labels.
TREES_MOST = 0.7
TREES_HALF = 40
# Of other fidelities and data so many labels of each kind at most, evenly taken: the process takes the cube of their
# number, and an order is known long before.
OTHERS_MOST = 1000
# A mean of several errs less than the process alone, by this part of the trees' share: with it, eight of ten labels
# lie within 1.28 deviations.
LESS = 1 / 3


@dataclass(frozen=True, eq=False)
class _Kinds:
    """Many architectures are one to the encoder: of the 15,625 cells of NAS-Bench-201, 5,341 are different."""

    archs: Sequence[Architecture]
    different: tuple[Architecture, ...]
    place: npt.NDArray[np.intp]  # of each architecture, which of the different ones it is
    described: Any
    prior: Floats


class Estimates:
    """The encoder whose columns are what predictors say of an architecture, in deviations of their labels."""

    def __init__(self, predictors: Sequence[Blend]) -> None:
        self.predictors = tuple(predictors)
        self.width = len(self.predictors)

    def __call__(self, archs: Sequence[Architecture]) -> npt.NDArray[np.float32]:
        columns = [one.latent(archs)[0] for one in self.predictors]
        return np.stack(columns, axis=1).astype(np.float32)


class Beside:
    """The columns of two encoders side by side; of the architectures that were asked for last they are kept."""

    def __init__(self, left: Encoder, right: Encoder) -> None:
        self.left, self.right = left, right
        self.width = left.width + right.width
        self._last: tuple[Sequence[Architecture], npt.NDArray[np.float32]] | None = None

    def __call__(self, archs: Sequence[Architecture]) -> npt.NDArray[np.float32]:
        if self._last is None or self._last[0] is not archs:
            rows = np.concatenate([self.left(archs), self.right(archs)], axis=1)
            if not isinstance(archs, tuple):  # what may change is not kept
                return rows
            self._last = (archs, rows)
        return self._last[1]


class Blend(InTargets):
    """The mean of a Gaussian process, extremely randomised trees and boosted trees on the structure of architectures.

    The process begins with the number of weights that reach the output; with few labels nearly all of the mean is its,
    with many the trees have most. All learn normal scores, so that a few failures do not hide what tells the good ones
    apart. The deviation is that of a label. Spaces that draw no graphs are told by one_hot.
    `trees` and `boosts` are the numbers of trees; 0 of both leaves the process alone.

    Labels of other fidelities and of other data are of use, too: each kind of them is fitted by itself, and what these
    predict is one more column, with which the process begins in the place of the weights. So an order that training for
    a few epochs or another data set gave is corrected, and not learnt again (as in Kennedy and O'Hagan, 2000).
    """

    def __init__(self, *, space: SearchSpace, seed: Seed, trees: int = 150, boosts: int = 200) -> None:
        if min(trees, boosts) < 0:
            raise SpecError(f"The numbers of trees are 0 or more, but got trees={trees}, boosts={boosts}.")
        self.space, self.seed, self.numbers = space, seed, (trees, boosts)
        self._encoder = described_by(space)
        self._build(self._encoder, live_weight(space=space))
        self._helped = False
        self._kinds: _Kinds | None = None
        self._share = 0.0

    def _build(self, encoder: Encoder, prior: Encoder) -> None:
        space, (trees, boosts) = self.space, self.numbers
        kernel = Matern(space=space, encoder=encoder)
        self.process = GaussianProcess(space=space, kernel=kernel, prior=prior, targets="normal_scores")
        self.trees: list[ExtraTrees | BoostedTrees] = []
        if trees:
            self.trees.append(ExtraTrees(space=space, seed=self.seed, encoder=encoder, trees=trees, share=0.5))
        if boosts:
            self.trees.append(
                BoostedTrees(
                    space=space,
                    seed=self.seed,
                    encoder=encoder,
                    trees=boosts,
                    learning_rate=0.06,
                    subsample=0.7,
                    share=0.3,
                )
            )

    def fit(self, observed: Observed) -> None:
        labels, others = observed.comparable(), observed.others()
        if others or self._helped:
            self._help(others)
        self.process.fit(labels)
        self.targets_fitted = Targets(labels.scores, "normal_scores")
        self._share = TREES_MOST * len(labels) / (len(labels) + TREES_HALF) if self.trees else 0.0
        for member in self.trees:
            member.fit(Observed(labels.archs, tuple(self.targets_fitted.values.tolist())))

    def _help(self, others: Sequence[Observed]) -> None:
        """Fit what other labels say, and begin with it; without any, as if there never had been."""
        trees, boosts = self.numbers
        helpers = []
        for number, labels in enumerate(others):
            seed = self.seed.child(f"others {number}")
            helpers.append(Blend(space=self.space, seed=seed, trees=trees, boosts=boosts))
            helpers[-1].fit(_thinned(labels, OTHERS_MOST))
        estimates = Estimates(helpers)
        if helpers:
            self._build(Beside(self._encoder, estimates), estimates)
        else:
            self._build(self._encoder, live_weight(space=self.space))
        self._helped, self._kinds = bool(helpers), None

    def spread(self, deviation: Floats) -> Floats:
        """That of a label."""
        spread: Floats = (1 - LESS * self._share) * np.hypot(deviation, self.process.noise)
        return spread

    def latent(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Mean, and deviation of the process without the noise of a label, in deviations of the labels."""
        if not len(archs):
            return np.zeros(0), np.zeros(0)
        kinds = self._kinds_of(archs)
        mean, deviation = self.process.latent_of(kinds.described, kinds.prior)
        if self.trees:
            votes = np.mean([member.predict(kinds.different) for member in self.trees], axis=0)
            mean = (1 - self._share) * mean + self._share * votes
        return mean[kinds.place], deviation[kinds.place]

    def _kinds_of(self, archs: Sequence[Architecture]) -> _Kinds:
        """Architectures told apart; a tuple never changes, and a search asks for the same one after every fit."""
        if self._kinds is not None and archs is self._kinds.archs:
            return self._kinds
        first, place = _distinct(self._encoder(archs))
        different = tuple(archs[one] for one in first)
        kinds = _Kinds(archs, different, place, *self.process.described(different))
        if isinstance(archs, tuple):
            self._kinds = kinds
        return kinds


def _thinned(labels: Observed, most: int) -> Observed:
    places = np.unique(np.linspace(0, len(labels) - 1, min(most, len(labels))).astype(int)).tolist()
    return Observed(tuple(labels.archs[place] for place in places), tuple(labels.scores[place] for place in places))


def _distinct(rows: npt.NDArray[np.float32]) -> tuple[list[int], npt.NDArray[np.intp]]:
    """Where each different row stands first, and which of these each row is."""
    texts = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    _, first, place = np.unique(texts, return_index=True, return_inverse=True)
    return first.tolist(), place


def described_by(space: SearchSpace) -> Encoder:
    """The structure of a space's graphs, or the choices themselves where it draws none that differ."""
    try:
        return structure(space=space)
    except SpecError:
        return OneHot(space=space)

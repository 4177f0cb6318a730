"""A latency model that adapts to a new device from about ten measurements, by what is known of other devices.

The idea is HELP's (Lee et al., NeurIPS 2021): devices resemble each other, and a few latencies tell which ones a new
device is like. The model is ours: the latencies of an architecture on the known devices, in their main directions, are
what a ridge regression on the few latencies of the new device reads. Where they are not known, trees learn them from
the architectures for which they are.
Shapes: n architectures, D devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Encoder, Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.features import OneHot

__all__ = ["DeviceTransfer"]

Floats = npt.NDArray[np.float64]

PENALTIES = np.logspace(-4, 2, 25)


class DeviceTransfer:
    """Predicts latencies of a device from few of them, and from many of the devices in `known`.

    `known` holds latencies in any unit, of each device by its name: of the same architectures, at least a few hundred,
    or all of a table. Multiply-accumulates may be one of the devices.
    `fit` takes latencies of the new device, of any architectures, as the labels of a search that minimises them
    (negative) or as they are; `predict` answers in the same sign and unit. `directions` is how many main directions of
    the known devices are read; how far the answer may leave their mean is found by leaving each measurement out once.
    """

    def __init__(
        self,
        known: Mapping[str, Observed],
        *,
        space: SearchSpace,
        seed: Seed = Seed(0),  # noqa: B008
        encoder: Encoder | None = None,
        directions: int = 5,
        trees: int = 100,
    ) -> None:
        archs, latencies_nD = _together(known)
        self.encoder = OneHot(space=space) if encoder is None else encoder
        logs_nD = np.log(latencies_nD)
        self._standard_nD = (logs_nD - logs_nD.mean(axis=0)) / np.maximum(logs_nD.std(axis=0), 1e-12)
        self._place_of = {arch: place for place, arch in enumerate(archs)}
        self._trees, self._seed = trees, seed.integer("devices") % 2**32
        self._forest: Any = None
        _, _, axes = np.linalg.svd(self._standard_nD, full_matrices=False)
        self._axes_DK = axes[: min(directions, len(known))].T / np.sqrt(len(known))
        self._weights: Floats | None = None
        self._sign = 1.0

    def fit(self, observed: Observed) -> None:
        """Adapt to the latencies of a new device; SpecError for fewer than two, or for zeros and two signs."""
        labels = observed.comparable()
        latencies = np.array(labels.scores)
        self._sign = 1.0 if latencies[0] > 0 else -1.0
        if not (self._sign * latencies > 0).all():
            raise SpecError("Latencies are all positive, or as labels of a search all negative; these are neither.")
        self._weights = _ridge(self._read(labels.archs), np.log(self._sign * latencies))

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        """A latency of the new device for each architecture, (n,), in the sign of the labels."""
        if self._weights is None:
            raise SpecError("A latency model of a device predicts after its first fit.")
        found: Floats = self._sign * np.exp(self._read(archs) @ self._weights[1:] + self._weights[0])
        return found

    def _read(self, archs: Sequence[Architecture]) -> Floats:
        """What the known devices say, in their main directions, (n, K)."""
        found_nD = np.empty((len(archs), self._standard_nD.shape[1]))
        places = np.array([self._place_of.get(arch, -1) for arch in archs], np.int64)
        found_nD[places >= 0] = self._standard_nD[places[places >= 0]]
        if (places < 0).any():
            new = [arch for arch, place in zip(archs, places.tolist(), strict=True) if place < 0]
            found_nD[places < 0] = self._grown().predict(self.encoder(new)).reshape(len(new), -1)
        directions: Floats = found_nD @ self._axes_DK
        return directions

    def _grown(self) -> Any:
        """The trees that tell what known devices would say of other architectures; grown once, where one is asked."""
        from sklearn.ensemble import ExtraTreesRegressor

        if self._forest is None:
            grower = ExtraTreesRegressor(self._trees, random_state=self._seed, n_jobs=1)
            self._forest = grower.fit(self.encoder(list(self._place_of)), self._standard_nD)
        return self._forest


def _together(known: Mapping[str, Observed]) -> tuple[tuple[Architecture, ...], Floats]:
    """The architectures of all devices, and their latencies, (n, D); SpecError where they differ."""
    if not known:
        raise SpecError("A latency model needs latencies of one known device at least.")
    archs = next(iter(known.values())).archs
    for name, observed in known.items():
        if observed.archs != archs:
            raise SpecError(f"Known devices have latencies of the same architectures, but those of {name} are not.")
        if min(observed.scores) <= 0:
            raise SpecError(f"A latency is positive, but {name} has {min(observed.scores)}.")
    return archs, np.array([observed.scores for observed in known.values()]).T


def _ridge(inputs_nK: Floats, wanted_n: Floats) -> Floats:
    """Offset and weights (1 + K,), with the penalty whose predictions of what is left out are best."""
    middle, mean = inputs_nK.mean(axis=0), wanted_n.mean()
    left, values, right = np.linalg.svd(inputs_nK - middle, full_matrices=False)
    projected = left.T @ (wanted_n - mean)
    best: tuple[float, Floats] | None = None
    for penalty in PENALTIES * max(float(values[0]) ** 2, 1e-12) / len(wanted_n):
        shrunk = values**2 / (values**2 + penalty)
        fitted = left @ (shrunk * projected)
        # The error of each label had it been left out, offset included, without fitting anew.
        leverage = (left**2 * shrunk).sum(axis=1) + 1 / len(wanted_n)
        missed = float(np.mean(((wanted_n - mean - fitted) / np.maximum(1 - leverage, 1e-9)) ** 2))
        if best is None or missed < best[0]:
            best = (missed, right.T @ (values / (values**2 + penalty) * projected))
    assert best is not None
    return np.array([mean - middle @ best[1], *best[1]])

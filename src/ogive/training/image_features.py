"""How good made images are, in the eyes of a classifier that is trained here, on the images of the user.

The formulas are those of the Fréchet Inception distance (Heusel et al., NeurIPS 2017) and of the Inception score
(Salimans et al., NeurIPS 2016), but the features are not Inception's: values are comparable with each other, for the
same data and the same classifier, and with no published number. Shapes: N images, D features, K classes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.home import home
from ogive.networks.build import drawing_from
from ogive.networks.residual import ResidualNetwork
from ogive.training.batches import LAYOUT
from ogive.training.data import Data
from ogive.training.lock import lock
from ogive.training.recipe import Recipe
from ogive.training.supervised import Progress, train
from ogive.training.task import Part

__all__ = [
    "FeatureRecipe",
    "Gaussian",
    "ImageFeatures",
    "class_score",
    "frechet_distance",
    "gaussian",
    "image_features",
    "place_of",
]

logger = logging.getLogger(__name__)

Numbers = npt.NDArray[np.float64]
BATCH = 250
# The same classifier for every search on the same images, so that their values can be compared.
SEED = Seed(0).child("yardstick")


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution: mean (D,) and covariance (D, D)."""

    mean: Numbers
    covariance: Numbers


def gaussian(features_ND: Numbers) -> Gaussian:
    """The normal distribution with the mean and the unbiased covariance of some features; SpecError for less than 2."""
    if len(features_ND) < 2:
        raise SpecError(f"A covariance needs two images at least, but got {len(features_ND)}.")
    values = np.asarray(features_ND, np.float64)
    return Gaussian(values.mean(0), np.atleast_2d(np.cov(values, rowvar=False)))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """The squared Fréchet distance |m - n|² + tr(S + T - 2 (S T)^½) of two normal distributions, in float64.

    The trace of (S T)^½ is that of (S^½ T S^½)^½, whose eigenvalues are real and not negative, so that singular
    covariances, those of fewer images than features, do no harm.
    """
    root = _root(one.covariance)
    shared = np.linalg.eigvalsh(_symmetric(root @ other.covariance @ root)).clip(min=0)
    apart = one.mean - other.mean
    traces = float(np.trace(one.covariance) + np.trace(other.covariance))
    return max(0.0, float(apart @ apart) + traces - 2 * float(np.sqrt(shared).sum()))


def _root(covariance: Numbers) -> Numbers:
    values, vectors = np.linalg.eigh(_symmetric(covariance))
    root: Numbers = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def _symmetric(matrix: Numbers) -> Numbers:
    return (matrix + matrix.T) / 2


def class_score(probabilities_NK: Numbers, *, splits: int = 10) -> float:
    """The mean over splits of exp(mean over images of KL(p(class | image) || p(class))), between 1 and K.

    Consecutive images make a split, 10 of them as in the published code.
    """
    if not 1 <= splits <= len(probabilities_NK):
        raise SpecError(f"{len(probabilities_NK)} images cannot be divided into {splits} splits.")
    scores = []
    for part in np.array_split(np.asarray(probabilities_NK, np.float64), splits):
        mean = part.mean(0)
        # Where a probability is 0, so is its term.
        ratio = np.divide(part, mean, out=np.ones_like(part), where=part > 0)
        scores.append(math.exp(float((part * np.log(ratio)).sum(1).mean())))
    return float(np.mean(scores))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRecipe:
    """The classifier whose features measure: a residual network of three stages, and how long it is trained."""

    channels: int = 16
    blocks: int = 1
    epochs: int = 20

    def __post_init__(self) -> None:
        for name in ("channels", "blocks", "epochs"):
            if getattr(self, name) < 1:
                raise SpecError(f"The {name} of the feature network must be at least 1, but got {getattr(self, name)}.")


class ImageFeatures:
    """A trained classifier as a measure of made images, in comparison with real ones that it has not learnt from."""

    def __init__(self, network: ResidualNetwork, data: Data, device: torch.device | str = "cpu") -> None:
        self.network, self.data, self.device = network.to(device).eval(), data, torch.device(device)
        self._real: dict[Part, Gaussian] = {}

    def seen(self, images: Tensor) -> tuple[Numbers, Numbers]:
        """Features (N, D) and class probabilities (N, K) of images of the type that the data set has."""
        features, probabilities = [], []
        with torch.no_grad():
            for batch in images.split(BATCH):
                x_NCHW = self.data.normalised(batch.to(self.device).contiguous(memory_format=LAYOUT))
                pooled_ND = self.network.stages(self.network.stem(x_NCHW)).mean((2, 3))
                features.append(pooled_ND.double().cpu())
                probabilities.append(self.network.classifier(pooled_ND).double().softmax(1).cpu())
        return torch.cat(features).numpy(), torch.cat(probabilities).numpy()

    def real(self, part: Part = "val") -> Gaussian:
        """What made images are compared with: those of the validation or of the test part."""
        if part not in self._real:
            split = self.data.val if part == "val" else self.data.test
            self._real[part] = gaussian(self.seen(split.images)[0])
        return self._real[part]

    def measured(self, images: Tensor, part: Part = "val") -> tuple[float, float]:
        """The distance of images from the real ones, and the class score; NaN where features are no finite numbers."""
        features_ND, probabilities_NK = self.seen(images)
        if not np.isfinite(features_ND).all():
            return math.nan, math.nan
        splits = min(10, len(images))
        return frechet_distance(gaussian(features_ND), self.real(part)), class_score(probabilities_NK, splits=splits)


def image_features(
    data: Data,
    recipe: FeatureRecipe,
    *,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> ImageFeatures:
    """Train the classifier on ``data.train``, or read back the one that was trained for the same images and recipe.

    It stands in `folder`, by default ``features`` in ogive's home. An interrupted training goes on where it was;
    another process that wants the same one waits. Raises StoreError and Diverged.
    """
    place = place_of(data, recipe, folder)
    with drawing_from(SEED.integer("weights")):
        network = ResidualNetwork(**_shape(recipe, data))
    with lock(place, "feature network", progress):
        outcome = train(
            network,
            data,
            Recipe(epochs=recipe.epochs),
            seed=SEED,
            device=device,
            folder=place,
            validate_every=0,
            progress=None if progress is None else lambda at: progress(_told(at)),
        )
    logger.info("The feature network in %s has a validation accuracy of %.1f %%.", place, outcome.val_acc)
    return ImageFeatures(network, data, device)


def place_of(data: Data, recipe: FeatureRecipe, folder: Path | None = None) -> Path:
    """The folder of the classifier for some images and a recipe, under a name that says what decides its weights."""
    training = asdict(Recipe(epochs=recipe.epochs))
    decided = {"recipe": asdict(recipe), "training": training, "data": data.digest}
    digest = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]
    return (home() / "features" if folder is None else folder) / f"classifier-{digest}"


def _shape(recipe: FeatureRecipe, data: Data) -> dict[str, Any]:
    width = recipe.channels
    return {
        "depths": (recipe.blocks,) * 3,
        "widths": (width, 2 * width, 4 * width),
        "strides": (1, 2, 2),
        "middles": (0, 0, 0),
        "groups": (1, 1, 1),
        "stem": width,
        "classes": len(data.classes),
        "inputs": data.shape[0],
    }


def _told(at: Progress) -> str:
    known = "" if at.val_score is None else f", validation accuracy {at.val_score:.1f} %"
    return f"feature network: epoch {at.epoch} of {at.epochs}{known}, about {at.seconds_left:.0f} s left"

"""What evaluators of generators share: made images are compared with real ones by the classifier trained here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.autogan import Generator
from ogive.training.adversarial import Pixels, noise, sampled
from ogive.training.data import Data
from ogive.training.image_features import FeatureRecipe, ImageFeatures, image_features, place_of
from ogive.training.loop import Diverged
from ogive.training.samples import write_samples
from ogive.training.statistics import recalibrated

__all__ = ["Judge"]


class Judge:
    """Measures generators by `images` that they make from the same noise, with batch statistics of their own.

    The classifier is trained, or read back, when the first generator comes. `samples` images of every generator are
    written into `folder` as a picture, if there is one.
    """

    def __init__(
        self,
        data: Data,
        seed: Seed,
        device: torch.device,
        recipe: FeatureRecipe,
        *,
        images: int,
        statistics_images: int,
        samples: int,
        folder: Path | None,
    ) -> None:
        for word, value, least in (
            ("images", images, 2),
            ("statistics_images", statistics_images, 2),
            ("samples", samples, 0),
        ):
            if value < least:
                raise SpecError(f"{word} must be at least {least}, but got {value}.")
        if len(data.val) < 2:
            raise SpecError(f"Made images are compared with two real ones at least, but {data.name} has 1 to validate.")
        self.data, self.seed, self.device, self.recipe = data, seed, device, recipe
        self.images, self.statistics_images, self.samples, self.folder = images, statistics_images, samples, folder
        self.pixels = Pixels.of(data)
        self._image_features: ImageFeatures | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads the classifier from where it stands.
        return {**self.__dict__, "_image_features": None}

    def prepare(self, progress: Callable[[str], None] | None) -> ImageFeatures:
        """The classifier, trained when first asked for."""
        if self._image_features is None:
            self._image_features = image_features(self.data, self.recipe, device=self.device, progress=progress)
        return self._image_features

    def rehearse(self) -> float:
        """About how many seconds the classifier takes to train; a hardly trained one stands for it from now on."""
        if self._image_features is not None or place_of(self.data, self.recipe).exists():
            return 0.0
        started = time.perf_counter()
        with TemporaryDirectory() as place:
            short = replace(self.recipe, epochs=1)
            self._image_features = image_features(self.data, short, device=self.device, folder=Path(place))
        return (time.perf_counter() - started) * self.recipe.epochs

    def measured(self, generator: Generator) -> tuple[float, float]:
        """``own_fid`` and ``own_is`` of a generator of one path; it is left with the statistics of its own noise.

        Diverged if it makes what is no image.
        """
        latent = generator.size.latent
        statistics = noise(self.statistics_images, latent, self.seed.integer("statistics"))
        recalibrated(generator, [z_NL.to(self.device) for z_NL in statistics.split(250)])
        made = sampled(generator, noise(self.images, latent, self.seed.integer("images")))
        if not made.isfinite().all():
            raise Diverged("the generator makes images that are no finite numbers")
        distance, score = self.prepare(None).measured(self.pixels.stored(made))
        if not math.isfinite(distance + score):
            raise Diverged("the features of the images are no finite numbers")
        if self.samples and self.folder is not None:
            name = "-".join(str(choice) for (choice,) in generator.choices)
            write_samples(self.folder / "samples" / f"{name}.png", made[: self.samples])
        return distance, score

"""How generators are measured: made images are compared with real ones by the classifier trained here."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.autogan import Generator
from ogive.training.adversarial import Pixels, noise, sampled
from ogive.training.data import Data
from ogive.training.image_features import FeatureRecipe, ImageFeatures, image_features, place_of
from ogive.training.loop import Diverged, Tell
from ogive.training.samples import write_samples
from ogive.training.statistics import recalibrated
from ogive.training.task import Part

__all__ = ["GeneratorJudge", "Judging"]


@dataclass(frozen=True, kw_only=True)
class Judging:
    """With what the images of a generator are compared.

    `images` that are made to be measured; `statistics_images` made to estimate batch statistics; `samples` of them are
    written as a picture. `feature_channels` and `feature_epochs`: the classifier whose features are compared, which
    stands in ogive's home and is the same for all searches on the same images.
    """

    images: int = 5000  # VITA-Group/AutoGAN, cfg.py, rl_num_eval_img; 50,000 for its final figures
    statistics_images: int = 2000
    samples: int = 64
    feature_channels: int = 16
    feature_epochs: int = 20


class GeneratorJudge:
    """Measures generators by images that they make from the same noise, with batch statistics of their own.

    The classifier is trained, or read back, when the first generator comes. Samples of every generator are written into
    `folder` as a picture, if there is one.
    """

    def __init__(self, data: Data, judging: Judging, *, seed: Seed, device: torch.device, folder: Path | None) -> None:
        for word, least in (("images", 2), ("statistics_images", 2), ("samples", 0)):
            if getattr(judging, word) < least:
                raise SpecError(f"{word} must be at least {least}, but got {getattr(judging, word)}.")
        if len(data.val) < 2:
            raise SpecError(f"Made images are compared with two real ones at least, but {data.name} has 1 to validate.")
        self.data, self.judging, self.seed, self.device, self.folder = data, judging, seed, device, folder
        self.recipe = FeatureRecipe(channels=judging.feature_channels, epochs=judging.feature_epochs)
        self.pixels = Pixels.of(data)
        self._image_features: ImageFeatures | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads the classifier from where it stands.
        return {**self.__dict__, "_image_features": None}

    def prepare(self, tell: Tell | None) -> None:
        """Train the classifier, unless it is there."""
        if self._image_features is None:
            self._image_features = image_features(self.data, self.recipe, device=self.device, progress=tell)

    def rehearse(self) -> float:
        """About how many seconds the classifier takes to train; a hardly trained one stands for it from now on."""
        if self._image_features is not None or place_of(self.data, self.recipe).exists():
            return 0.0
        started = time.perf_counter()
        with TemporaryDirectory() as place:
            short = replace(self.recipe, epochs=1)
            self._image_features = image_features(self.data, short, device=self.device, folder=Path(place))
        return (time.perf_counter() - started) * self.recipe.epochs

    def recalibrated(self, network: nn.Module) -> nn.Module:
        """Give a generator of one path the batch statistics of its own noise, the same noise for all."""
        statistics = noise(self.judging.statistics_images, _latent(network), self.seed.integer("statistics"))
        return recalibrated(network, [z_NL.to(self.device) for z_NL in statistics.split(250)])

    def measured(self, network: nn.Module, part: Part = "val") -> dict[str, float]:
        """``own_fid``, from the real images of a part, and ``own_is``; Diverged if it makes what is no image."""
        generator = cast(Generator, network)
        made = sampled(generator, noise(self.judging.images, _latent(network), self.seed.integer("images")))
        if not made.isfinite().all():
            raise Diverged("the generator makes images that are no finite numbers")
        self.prepare(None)
        assert self._image_features is not None
        distance, score = self._image_features.measured(self.pixels.stored(made), part)
        if not math.isfinite(distance + score):
            raise Diverged("the features of the images are no finite numbers")
        if self.judging.samples and self.folder is not None:
            name = "-".join(str(choice) for (choice,) in generator.choices)
            write_samples(self.folder / "samples" / f"{name}.png", made[: self.judging.samples])
        prefix = "" if part == "val" else f"{part}_"
        return {f"{prefix}own_fid": distance, f"{prefix}own_is": score}


def _latent(network: nn.Module) -> int:
    return cast(Generator, network).latent

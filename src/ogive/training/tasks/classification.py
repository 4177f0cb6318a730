"""Classification: networks that tell which of several classes an image belongs to."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import VAL_ACC, Metric
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks import count
from ogive.networks.build import Skeleton, build, fitted_skeleton
from ogive.networks.export import Exported, export
from ogive.training.checkpoint import save_tensors
from ogive.training.data import Data
from ogive.training.memory import training_bytes
from ogive.training.recipe import Recipe
from ogive.training.statistics import ImageJudge, Measuring
from ogive.training.supervised import Supervised, accuracy
from ogive.training.task import Builder, Part, Size

__all__ = ["Classification"]

logger = logging.getLogger(__name__)


class Classification:
    """Images of which each has one class; measures ``val_acc`` and ``test_acc`` in per cent.

    `builder` makes networks in place of ogive's own, for a space of one's own: a function of an architecture and of a
    number that seeds its weights. A loss of one's own is a subclass that overrides `loss`.
    """

    name = "classification"
    metrics: tuple[Metric, ...] = (VAL_ACC,)
    recipe = Recipe
    measuring = Measuring

    def __init__(self, data: Data, *, builder: Builder | None = None) -> None:
        self.data, self.builder = data, builder

    @property
    def digest(self) -> str:
        """SHA-256 of the images and labels."""
        return self.data.digest

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of every image."""
        return self.data.shape

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        """Cross-entropy of logits (N, classes) and labels (N,), with the label smoothing of the recipe."""
        return F.cross_entropy(outputs, targets, label_smoothing=recipe.label_smoothing)

    def fitted(self, recipe: Recipe, size: Size, space: SearchSpace | None) -> Recipe:
        """The recipe as it is; a size of which nothing can be built is refused now."""
        if self.builder is None and space is not None:
            with torch.device("meta"):
                build(space.sample(Seed(0).numpy("check")), self.skeleton(space.name, size))
        return recipe

    def network(self, arch: Architecture, size: Size, recipe: Recipe, *, seed: int | None) -> nn.Module:
        """The network; one of a builder always has weights. SpecError if it has another number of outputs."""
        if self.builder is not None:
            return self._checked(self.builder(arch, 0 if seed is None else seed), arch)
        if seed is not None:
            return build(arch, self.skeleton(arch.space, size), seed=seed)
        with torch.device("meta"):
            return build(arch, self.skeleton(arch.space, size))

    def skeleton(self, space: str, size: Size) -> Skeleton:
        """The size of networks for these images."""
        auxiliary = {"auxiliary": True} if size.auxiliary else {}
        shape, classes = self.data.shape, len(self.data.classes)
        return fitted_skeleton(space, shape, classes, channels=size.channels, cells=size.cells, **auxiliary)

    def counted(self, network: nn.Module) -> dict[str, float]:
        """Parameters, and multiply-accumulates of an image."""
        return {"params": float(count.parameters(network)), "macs": float(count.macs(network, self.data.shape))}

    def memory(self, outline: nn.Module, recipe: Recipe) -> float:
        """As `training_bytes`; 0 for a network of a builder that needs values, of which an outline has none."""
        if self.builder is None:
            return training_bytes(outline, self.data.shape, recipe)
        try:
            return training_bytes(copy.deepcopy(outline).to("meta"), self.data.shape, recipe)
        except (RuntimeError, NotImplementedError) as error:
            logger.debug("The memory of %s cannot be estimated: %s", type(outline).__name__, error)
            return 0.0

    def training(
        self, network: nn.Module, recipe: Recipe, *, seed: Seed, device: torch.device, validate_every: int = 0
    ) -> Supervised:
        """A training on ``data.train``, measured on ``data.val`` after its last epoch."""
        return Supervised(
            network, self.data, recipe, seed=seed, device=device, validate_every=validate_every, loss=self
        )

    def measured(self, network: nn.Module, part: Part, recipe: Recipe, *, seed: Seed) -> dict[str, float]:
        """Accuracy on a part, in per cent."""
        device = next(network.parameters()).device
        split = self.data.test if part == "test" else self.data.val
        return {f"{part}_acc": accuracy(network, split, self.data, device)}

    def judge(self, measuring: Measuring, *, seed: Seed, device: torch.device) -> ImageJudge:
        """What measures the accuracy of networks with weights of others."""
        return ImageJudge(self.data, measuring, seed=seed, device=device)

    def joined(self) -> Classification:
        """The validation images are trained on as well."""
        whole = copy.copy(self)
        whole.data = self.data.joined()
        return whole

    def described(self, network: nn.Module, recipe: Recipe, measured: Mapping[str, float]) -> dict[str, Any]:
        """The number of test images and of right answers, parameters and multiply-accumulates."""
        return {
            "test_correct": round(measured["test_acc"] * len(self.data.test) / 100),
            "test_images": len(self.data.test),
            "reached": f"{measured['test_acc']:.2f} % of {len(self.data.test)} test images",
            "params": count.parameters(network),
            "macs": count.macs(network, self.data.shape),
        }

    def exported(
        self,
        network: nn.Module,
        folder: Path,
        *,
        formats: Sequence[str],
        name: str,
        headline: str,
        progress: Callable[[str], None] | None = None,
    ) -> list[Exported]:
        """As `networks.export.export`, with the test images as they were read, since the file normalises them."""
        data = self.data
        exported = export(
            network,
            folder,
            formats=formats,
            progress=progress,
            name=name,
            shape=data.shape,
            classes=data.classes,
            normalise=(data.mean, data.std),
            headline=headline,
            images=data.normalised(data.test.images[:256]),
        )
        images, labels = data.test.images.contiguous(), data.test.labels.contiguous()
        save_tensors({"images": images, "labels": labels}, folder / "test.safetensors")
        return exported

    def _checked(self, network: nn.Module, arch: Architecture) -> nn.Module:
        """SpecError unless the network of a builder gives one logit a class."""
        wanted = len(self.data.classes)
        mode = network.training
        with torch.no_grad():
            found = network.eval()(self.data.normalised(self.data.val.images[:2]))
        network.train(mode)
        if not isinstance(found, Tensor) or found.shape[1:] != (wanted,):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise SpecError(
                f"The builder's network for {arch} must give {wanted} numbers for each image, one a class, but for 2 "
                f"images it gave {shape}."
            )
        return network

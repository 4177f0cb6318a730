"""Detection: networks that tell what is in an image and where, as SSDLite with any trunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import Better, Guess, Metric
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks import count
from ogive.networks.build import drawing_from
from ogive.networks.detection import Detector, SSDLite, Trunk
from ogive.networks.plain import Plain
from ogive.networks.plain_boxes import of_boxes
from ogive.training.average_precision import Found, Present, average_precision
from ogive.training.batches import Batches
from ogive.training.boxes import AREA, CLASS, CROWD, IGNORED, KIND, BoxBatches, Boxed
from ogive.training.data import Split
from ogive.training.matching import detection_loss, recall
from ogive.training.recipe import Recipe
from ogive.training.supervised import PIXELS, summed
from ogive.training.task import Builder, Part, Size, refuse_other_space
from ogive.training.tasks.prediction import Prediction

__all__ = ["BoxEpoch", "Detection", "DetectionRecipe", "Recall"]

LARGE = 256  # pixels a side, from which on maps of 16 pixels are fine enough
CANDIDATES = 400  # boxes that are compared with each other
SHOWN = 32  # test images on which exported files are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRecipe(Recipe):
    """How a detector is trained and what it tells, with defaults of our own for some hundred small images.

    `finest`: of how many pixels a side the finest map with anchors is, by default 16 as in MobileNetV2's SSDLite, and 8
    for images below 256 pixels. `matched`: the overlap at which an anchor stands for an object. `negatives`: how many
    anchors of the background are learnt from for each such. Of boxes of one class that overlap by more than `overlap`
    the best is told, of those with a score of at least `least_score`, and at most `detections` of an image.
    SpecError for what changes images and would leave their boxes behind.
    """

    epochs: int = 40
    batch_size: int = 16
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    decay_all: bool = False
    finest: int | None = None
    matched: float = 0.5  # SSD (Liu et al. 2016), section 2.2, as the next
    negatives: float = 3.0
    overlap: float = 0.45  # section 3, as the next
    least_score: float = 0.01
    detections: int = 100  # COCO's evaluation

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        for name in ("resized_crop", "mixup", "autoaugment"):
            if getattr(self, name):
                raise SpecError(f"{name} would leave the boxes of images behind: leave it out.")
        for name in ("matched", "overlap"):
            if not 0 < getattr(self, name) < 1:
                raise SpecError(f"{name} is a share of overlap, between 0 and 1, but got {getattr(self, name)}.")
        if not 0 <= self.least_score < 1:
            raise SpecError(f"least_score must be in [0, 1), but got {self.least_score}.")
        if not self.negatives > 0 or self.detections < 1:
            raise SpecError(
                f"negatives and detections must be above 0, but got {self.negatives} and {self.detections}."
            )
        if self.finest is not None and self.finest < 2:
            raise SpecError(f"finest must be at least 2 pixels, but got {self.finest}.")


@dataclass(frozen=True, slots=True)
class BoxEpoch:
    """One finished epoch, counted from 1; the share of objects found, `val_recall` None where not measured."""

    number: int
    learning_rate: float
    train_loss: float
    train_recall: float
    val_recall: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of an image's objects that are found, the mean over images; as `matching.recall`."""

    name: ClassVar[str] = "recall"
    better: ClassVar[Better] = "larger"
    epoch: ClassVar[type[Any]] = BoxEpoch

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The share of each image (N,)."""
        return recall(outputs, targets)

    def told(self, total: float, count: int = 1) -> float:
        """The mean share, 0 to 1."""
        return total / count

    def words(self, told: float) -> str:
        """In words."""
        return f"recall {told:.2f}"

    def guessed(self, targets_N: Tensor) -> tuple[float, int | None]:
        """Nothing is found by guessing."""
        return 0.0, None


class Detection(Prediction):
    """Images of which each has any number of objects of several classes; measures ``val_map``, ``val_map50`` and more.

    ``map`` is COCO's mean average precision over overlaps from .5 to .95, ``map50`` at .5, both from 0 to 1, and
    ``recall`` the share of objects that are found, watched while a network trains. Networks are SSDLite around what a
    network of the space computes before its classifier; `builder` makes networks with a `chain` of modules in place of
    ogive's own. A loss of one's own is a subclass that overrides `loss`.
    """

    name = "detection"
    metrics: tuple[Metric, ...] = (
        Metric("val_map", "", "larger", "validation mAP at overlaps .5 to .95"),
        Metric("val_map50", "", "larger", "validation mAP at overlap .5"),
        Metric("val_recall", "", "larger", "share of validation objects found"),
    )
    recipe: type[DetectionRecipe] = DetectionRecipe
    batching: ClassVar[type[Batches]] = BoxBatches

    def __init__(self, data: Boxed, *, builder: Builder | None = None, space: SearchSpace | None = None) -> None:
        super().__init__(data, builder=builder, space=space)

    @property
    def score(self) -> Recall:
        """The share of objects that are found."""
        return Recall()

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """None: no box is found by guessing."""
        return ()

    def fitted(self, recipe: Recipe, size: Size, space: SearchSpace | None) -> Recipe:
        """The recipe as it is; SpecError for a space whose networks have no maps, or a size of which none is built."""
        if self.builder is None:
            refuse_other_space(self, space)
        if size.auxiliary:
            raise SpecError("A detector has heads for boxes, and no auxiliary classifier: leave out auxiliary.")
        return super().fitted(recipe, size, space)

    def network(self, arch: Architecture, size: Size, recipe: Recipe, *, seed: int | None) -> nn.Module:
        """The detector, which says something of every anchor; `networks.detection.Detector` makes boxes of that."""
        trunk = super().network(arch, size, recipe, seed=seed)
        if not isinstance(trunk, Trunk):
            raise SpecError(f"A detector is built around a chain of modules, which {type(trunk).__name__} has not.")
        own, device = cast(DetectionRecipe, recipe), next(trunk.parameters()).device
        with drawing_from(None if seed is None else Seed(seed).integer("heads")), torch.device(device):
            return SSDLite(
                trunk,
                self.data.shape,
                len(self.data.classes),
                finest=own.finest or (16 if min(self.data.shape[1:]) >= LARGE else 8),
                candidates=max(CANDIDATES, own.detections),
                detections=own.detections,
                overlap=own.overlap,
                least_score=own.least_score,
            )

    def _checked(self, network: nn.Module, arch: Architecture) -> nn.Module:
        """What a builder made, of which no more is asked than a chain."""
        return network

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        """The loss of boxes and of classes, as `matching.detection_loss`."""
        own = cast(DetectionRecipe, recipe)
        return detection_loss(
            outputs, targets, negatives=own.negatives, least=own.matched, smoothing=own.label_smoothing
        )

    def measured(self, network: nn.Module, part: Part, recipe: Recipe, *, seed: Seed) -> dict[str, float]:
        """All three metrics on a part."""
        device = next(network.parameters()).device
        split = self.data.test if part == "test" else self.data.val
        truth = [self._present(one) for one in split.labels.cpu()]
        exact = average_precision(self._found(network, split), truth, len(self.data.classes))
        told = self.score.told(summed(network, split, self.data, device, self.score), len(split))
        return {f"{part}_map": exact.mean, f"{part}_map50": exact.at_50, f"{part}_recall": told}

    def _present(self, objects_MF: Tensor) -> Present:
        """What is in an image, in its pixels."""
        own = objects_MF[objects_MF[:, CLASS] >= 0].double().numpy()
        _, height, width = self.data.shape
        boxes = own[:, :4] * (width, height, width, height)
        boxes[:, 2:] -= boxes[:, :2]
        kinds = own[:, KIND]
        return Present(boxes, own[:, CLASS].astype(np.int64), own[:, AREA], kinds == CROWD, kinds == IGNORED)

    def _found(self, network: nn.Module, split: Split) -> list[Found]:
        """What is found in each image; the network is left in the mode it had."""
        mode, device = network.training, next(network.parameters()).device
        detector = Detector(cast(SSDLite, network)).eval()
        size = max(1, PIXELS // int(np.prod(self.data.shape)))
        found = []
        with torch.inference_mode():
            for images in split.images.split(size):
                boxes, scores, labels = (one.cpu() for one in detector(self.data.normalised(images.to(device))))
                found += [_told(*one) for one in zip(boxes, scores, labels, strict=True)]
        network.train(mode)
        return found

    def described(self, network: nn.Module, recipe: Recipe, measured: Mapping[str, float]) -> dict[str, Any]:
        """The number of test images, parameters and multiply-accumulates."""
        test, (mean, at_50) = len(self.data.test), (measured[name] for name in ("test_map", "test_map50"))
        return {
            "test_images": test,
            "reached": f"mAP {mean:.3f} ({at_50:.3f} at overlap .5) on {test} test images",
            "params": count.parameters(network),
            "macs": count.macs(network, self.data.shape),
        }

    def plain(self, network: nn.Module) -> Plain:
        """With what makes boxes of a picture."""
        return of_boxes(
            self.data.shape,
            classes=self.data.classes,
            normalise=(self.data.mean, self.data.std),
            images=self.data.normalised(self.data.test.images[:SHOWN]),
            detections=cast(SSDLite, network).detections,
        )


def _told(boxes_D4: Tensor, scores_D: Tensor, labels_D: Tensor) -> Found:
    """What was found in an image, without the rows that are left over."""
    own = labels_D >= 0
    boxes = boxes_D4[own].double().numpy()
    boxes[:, 2:] -= boxes[:, :2]
    return Found(boxes, scores_D[own].double().numpy(), labels_D[own].numpy())

"""Prediction: what tasks have in common whose networks read inputs of one shape, with known targets."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import Guess
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks import count
from ogive.networks.build import Skeleton, build, fitted_skeleton, refuse_unbuildable
from ogive.networks.plain import Plain
from ogive.spaces.extended import ExtendedSpace
from ogive.training.batches import Batch, Batches, placed
from ogive.training.data import Data, Split
from ogive.training.distributed import Ranks
from ogive.training.lossy import Lost, Run
from ogive.training.memory import training_bytes
from ogive.training.recipe import Recipe
from ogive.training.statistics import Measuring, SampleJudge
from ogive.training.supervised import Score, Supervised, lost_on
from ogive.training.task import Builder, Size

__all__ = ["Prediction"]

logger = logging.getLogger(__name__)


class Prediction(ABC):
    """Inputs of which each has one target: networks for them, their size, their training and how they are taken away.

    `builder` makes networks in place of ogive's own, for a space of one's own: a function of an architecture and of a
    number that seeds its weights. A `space` is needed where that has operations of one's own. A loss of one's own is a
    subclass that overrides `loss`.
    """

    recipe: type[Recipe] = Recipe
    measuring = Measuring
    shared: ClassVar[Literal[True]] = True
    batching: ClassVar[type[Batches]] = Batches
    answers: ClassVar[str] = "one a target"  # what the outputs of a network are, for messages

    def __init__(self, data: Data, *, builder: Builder | None = None, space: SearchSpace | None = None) -> None:
        self.data, self.builder = data, builder
        self.space = space if isinstance(space, ExtendedSpace) else None  # others need not be such as can be sent
        if type(self).recipe is Recipe:  # no other of a subclass: the one whose defaults are for such data
            self.recipe = data.recipe

    @property
    @abstractmethod
    def score(self) -> Score:
        """What is watched while a network trains."""

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """What one answer for all validation samples reaches in the score."""
        return (Guess(f"val_{self.score.name}", *self.score.guessed(self.data.val.labels)),)

    @property
    def digest(self) -> str:
        """SHA-256 of the inputs and targets."""
        return self.data.digest

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, rows and columns of every image, or the length of every row."""
        return self.data.shape

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        """What is made small."""

    def fitted(self, recipe: Recipe, size: Size, space: SearchSpace | None) -> Recipe:
        """The recipe as it is; a size of which nothing can be built is refused now."""
        if self.builder is None and space is not None:
            refuse_unbuildable(space, self.skeleton(space.name, size), Seed(0).numpy("check"))
        return recipe

    def network(self, arch: Architecture, size: Size, recipe: Recipe, *, seed: int | None) -> nn.Module:
        """The network; one of a builder always has weights. SpecError if it has another number of outputs."""
        if self.builder is not None:
            return self._checked(self.builder(arch, 0 if seed is None else seed), arch)
        if seed is not None:
            return build(arch, self.skeleton(arch.space, size), seed=seed, space=self.space)
        with torch.device("meta"):
            return build(arch, self.skeleton(arch.space, size), space=self.space)

    def skeleton(self, space: str, size: Size) -> Skeleton:
        """The size of networks for these inputs."""
        auxiliary = {"auxiliary": True} if size.auxiliary else {}
        shape, classes = self.data.shape, len(self.data.classes)
        sizes = {**self.data.sizes, **auxiliary}
        return fitted_skeleton(space, shape, classes, channels=size.channels, cells=size.cells, **sizes)

    def counted(self, network: nn.Module) -> dict[str, float]:
        """Parameters, and multiply-accumulates of an input."""
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

    def training(self, network: nn.Module, recipe: Recipe, *, seed: Seed, device: torch.device) -> Supervised:
        """A training on ``data.train``, measured on ``data.val`` after its last epoch."""
        how: dict[str, Any] = {"loss": self, "score": self.score, "batching": self.batching}
        return Supervised(network, self.data, recipe, seed=seed, device=device, **how)

    def judge(self, measuring: Measuring, *, seed: Seed, device: torch.device) -> SampleJudge:
        """What measures networks with weights of others."""
        return SampleJudge(self.data, self.score, measuring, seed=seed, device=device)

    def joined(self) -> Self:
        """The validation inputs are trained on as well."""
        return self._of(self.data.joined())

    # -- for supernets -----------------------------------------------------------------------------------------------

    def halved(self, seed: Seed) -> tuple[Self, Self]:
        """The training inputs in two halves that share none, by chance."""
        train, count = self.data.train, len(self.data.train)
        if count < 2:
            raise SpecError(f"A search divides its training images in two halves, but {self.data.name} has {count}.")
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed.integer("halves")))
        rows = (order[: count // 2].sort().values, order[count // 2 :].sort().values)
        first, second = (replace(self.data, train=Split(train.images[one], train.labels[one])) for one in rows)
        return self._of(first), self._of(second)

    def few(self, steps: int, recipe: Recipe) -> Self:
        """The first training inputs."""
        train, count = self.data.train, 2 * steps * recipe.batch_size
        return self._of(replace(self.data, train=Split(train.images[:count], train.labels[:count])))

    def batches(self, recipe: Recipe, device: torch.device, dtype: torch.dtype, ranks: Ranks) -> Batches:
        """The training inputs as in a training of a single network."""
        return self.batching(placed(self.data, device), recipe, device, dtype, ranks)

    def lost(self, run: Run, batch: Batch, recipe: Recipe, *, state: Tensor | None, number: int) -> Lost:
        """The loss of a batch, and its mean score; nothing goes on from one batch to the next."""
        outputs = run(batch.images)
        score = self.score.each(outputs.detach(), batch.labels).mean()
        return Lost(self.lost_on(batch, outputs, recipe), score)

    def lost_on(self, batch: Batch, outputs: Tensor, recipe: Recipe) -> Tensor:
        """The loss of a batch, in at least float32; SpecError if it is not one number."""
        return lost_on(self, batch, outputs, recipe)

    def _of(self, data: Data) -> Self:
        """The same task of other data."""
        other = copy.copy(self)
        other.data = data
        return other

    def plain(self, network: nn.Module) -> Plain:
        """With what prepares inputs as they were read, and the test inputs to try it on."""
        return self.data.plain()

    def _checked(self, network: nn.Module, arch: Architecture) -> nn.Module:
        """SpecError unless the network of a builder gives one number for each output."""
        wanted = len(self.data.classes)
        mode = network.training
        with torch.no_grad():
            found = network.eval()(self.data.normalised(self.data.val.images[:2]))
        network.train(mode)
        if not isinstance(found, Tensor) or found.shape[1:] != (wanted,):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise SpecError(
                f"The builder's network for {arch} must give {wanted} numbers for each {self.data.kind.rstrip('s')}, "
                f"{self.answers}, but for 2 {self.data.kind} it gave {shape}."
            )
        return network

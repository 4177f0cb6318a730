"""Trained: build the network of a candidate, train it for some epochs and measure it on the validation images."""

from __future__ import annotations

import copy
import gc
import hashlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import OgiveError, SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Fidelity, Measurement, Proposal
from ogive.networks.build import Skeleton, build, fitted_skeleton
from ogive.networks.count import macs, parameters
from ogive.training.data import Data
from ogive.training.distributed import current
from ogive.training.loop import Diverged, Progress, train
from ogive.training.memory import capacity, is_out_of_memory, training_bytes
from ogive.training.recipe import Recipe
from ogive.training.threads import threads as torch_threads

__all__ = ["Trained", "own_folder", "reason_of"]

logger = logging.getLogger(__name__)

Maker = Callable[[Architecture, int], nn.Module]
MEGABYTE = 1 << 20


class Trained:
    """Trains every candidate from scratch; the fidelity of a proposal is a number of epochs.

    Measures ``val_acc`` (per cent, after the last epoch; the mean over `repeats` trainings with different weights and
    batches), ``params`` and ``macs``. What comes out depends on the seed, the architecture and the fidelity alone; the
    test images are never looked at. A candidate that diverges or runs out of memory is a failed measurement.

    `channels`, `cells`: size of the networks, None for that of the space's paper; `auxiliary`: train with the second
    head, where networks have one. `epochs` to `precision`: as in ``Recipe``; with another fidelity the warm-up takes
    the same share of the epochs. `threads`: of torch, while this evaluator works. `memory_limit_mb`: candidates that
    would need more are failed before they are trained; None for what the device has. `folder`: where unfinished
    trainings leave checkpoints, so that a killed run goes on in the middle of one. `maker` replaces
    ``networks.build``: a function of an architecture and a number to seed its weights.
    """

    def __init__(
        self,
        *,
        data: Data,
        seed: Seed,
        space: SearchSpace | None = None,
        device: str = "cpu",
        threads: int | None = None,
        channels: int | None = None,
        cells: int | None = None,
        folder: Path | None = None,
        auxiliary: bool = False,
        repeats: int = 1,
        memory_limit_mb: int | None = None,
        epochs: int = 12,  # NAS-Bench-201, table 1, as are the next defaults but batch_size
        batch_size: int = 64,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = True,
        weight_decay: float = 5e-4,
        warmup_epochs: float = 0.0,
        label_smoothing: float = 0.0,
        gradient_clip: float = 0.0,
        average: float = 0.0,
        drop_path: float | None = None,
        autoaugment: bool = False,
        cutout: int = 0,
        mixup: float = 0.0,
        precision: Literal["float32", "bf16"] = "float32",
        maker: Maker | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        for word, value in (("repeats", repeats), ("threads", threads), ("memory_limit_mb", memory_limit_mb)):
            if value is not None and value < 1:
                raise SpecError(f"{word} must be at least 1, but got {value}.")
        self.metrics = ("val_acc", "params", "macs")
        self.epochs, self.repeats, self.threads = epochs, repeats, threads
        self._recipe = Recipe(
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            warmup_epochs=warmup_epochs,
            label_smoothing=label_smoothing,
            gradient_clip=gradient_clip,
            average=average,
            drop_path=drop_path,
            autoaugment=autoaugment,
            cutout=cutout,
            mixup=mixup,
            precision=precision,
        )
        self._data, self._seed, self._device, self._folder = data, seed, torch.device(device), folder
        self._overrides: dict[str, Any] = {"auxiliary": True} if auxiliary else {}
        self._overrides |= {k: v for k, v in (("channels", channels), ("cells", cells)) if v is not None}
        self._maker, self._progress = maker, progress
        limit = capacity(self._device) if memory_limit_mb is None else memory_limit_mb * MEGABYTE
        self._limit: float = math.inf if limit is None else limit
        if space is not None and maker is None:
            with torch.device("meta"):  # a size that cannot be built is refused now
                build(space.sample(seed.numpy("check")), self._skeleton(space.name))

    def __getstate__(self) -> dict[str, Any]:
        # Who watches stays in the process that watches: a callback cannot be sent to a worker.
        return {**self.__dict__, "_progress": None}

    @property
    def fidelity(self) -> Fidelity:
        """Its epochs; each number of them is a training with a schedule of its own."""
        return Fidelity("epochs", self.epochs)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        with torch_threads(self.threads):
            return [self._measured(proposal) for proposal in proposals]

    def _measured(self, proposal: Proposal) -> Measurement:
        started = time.perf_counter()
        arch, recipe = proposal.arch, self._recipe_for(proposal)
        metrics: dict[str, float] = {}
        error = None
        try:
            outline = self._outline(arch)
            metrics |= {"params": float(parameters(outline)), "macs": float(macs(outline, self._data.shape))}
            self._refuse_too_large(outline, recipe)
            metrics["val_acc"] = self._accuracy(arch, recipe)
        except Diverged as diverged:
            error = f"diverged: {diverged}"
        except OgiveError:
            raise
        except Exception as mishap:  # noqa: BLE001 - whatever one candidate runs into must not cost the others
            error = reason_of(mishap)
        self._clear(arch, recipe)
        if error is not None:
            logger.info("%s failed: %s", arch, error)
            self._give_memory_back()
        return Measurement(metrics, Cost(time.perf_counter() - started), error)

    def _outline(self, arch: Architecture) -> nn.Module:
        """The network to be counted: without weights, where possible, so that it may be of any size."""
        if self._maker is not None:
            return self._maker(arch, 0)
        with torch.device("meta"):
            return build(arch, self._skeleton(arch.space))

    def _refuse_too_large(self, network: nn.Module, recipe: Recipe) -> None:
        needed = self._needed(network, recipe)
        if needed > self._limit:
            raise MemoryError(
                f"training would take about {needed / MEGABYTE:,.0f} MiB, "
                f"and the limit is {self._limit / MEGABYTE:,.0f} MiB"
            )

    def _needed(self, network: nn.Module, recipe: Recipe) -> float:
        if self._maker is None:
            return training_bytes(network, self._data.shape, recipe)
        try:
            return training_bytes(copy.deepcopy(network).to("meta"), self._data.shape, recipe)
        except (RuntimeError, NotImplementedError) as error:
            # A network of the user's own may look at values, of which there are none on the meta device.
            logger.debug("The memory of %s cannot be estimated: %s", type(network).__name__, error)
            return 0.0

    def _give_memory_back(self) -> None:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _accuracy(self, arch: Architecture, recipe: Recipe) -> float:
        accuracies = []
        for repeat in range(self.repeats):
            seed = self._seed.child(str(arch)).child(f"repeat {repeat}")
            network = self._built(arch, seed.integer("weights"))
            outcome = train(
                network,
                self._data,
                recipe,
                seed=seed,
                device=self._device,
                folder=self._place(arch, recipe, repeat),
                validate_every=0,
                progress=self._progress,
            )
            accuracies.append(outcome.val_acc)
        return sum(accuracies) / len(accuracies)

    # -- the network -------------------------------------------------------------------------------------------------

    def _skeleton(self, space: str) -> Skeleton:
        return fitted_skeleton(space, self._data.shape, len(self._data.classes), **self._overrides)

    def _built(self, arch: Architecture, weights: int) -> nn.Module:
        if self._maker is not None:
            return self._maker(arch, weights)
        return build(arch, self._skeleton(arch.space), seed=weights)

    # -- the recipe and the folder of a proposal ---------------------------------------------------------------------

    def _recipe_for(self, proposal: Proposal) -> Recipe:
        if proposal.fidelity is None or proposal.fidelity == self.epochs:
            return self._recipe
        share = self._recipe.warmup_epochs / self.epochs
        return replace(self._recipe, epochs=proposal.fidelity, warmup_epochs=share * proposal.fidelity)

    def _top(self, arch: Architecture, recipe: Recipe) -> Path | None:
        return own_folder(self._folder, arch, recipe.epochs)

    def _place(self, arch: Architecture, recipe: Recipe, repeat: int) -> Path | None:
        top = self._top(arch, recipe)
        return None if top is None else top / f"repeat-{repeat}"

    def _clear(self, arch: Architecture, recipe: Recipe) -> None:
        top = self._top(arch, recipe)
        if top is not None and current().writes:
            shutil.rmtree(top, ignore_errors=True)


def own_folder(folder: Path | None, arch: Architecture, epochs: int) -> Path | None:
    """A folder of a proposal's own inside `folder`: another process may be training another one."""
    return None if folder is None else folder / hashlib.sha256(f"{arch} {epochs}".encode()).hexdigest()[:16]


def reason_of(mishap: Exception) -> str:
    """Why a candidate failed, in one line."""
    kind = "out of memory" if is_out_of_memory(mishap) else type(mishap).__name__
    return f"{kind}: {mishap}".splitlines()[0]

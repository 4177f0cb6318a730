"""The training of a hypernetwork: in each step several networks get its parameters and read the same images.

Knyazev et al., NeurIPS 2021, section 4.4 and equation 2. Parameters that were predicted are given to a network for one
call, and gradients flow through them into the hypernetwork; no module is changed.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.hypernets.batch import Batch as Graphs
from ogive.hypernets.ghn import GHN
from ogive.hypernets.measuring import accuracies, looked_at, with_weights
from ogive.hypernets.population import Member, Population, of_split
from ogive.hypernets.recipe import GHNRecipe, optimiser_for, rate_at
from ogive.training import checkpoint
from ogive.training.batches import Batch, Batches, placed
from ogive.training.data import Data
from ogive.training.distributed import ALONE, current
from ogive.training.loop import Diverged, Tell
from ogive.training.recipe import Recipe
from ogive.training.statistics import without_statistics
from ogive.training.supervised import REPORT_S, Accuracy, CrossEntropy, Progress, lost_on

__all__ = ["GHNEpoch", "GHNTraining"]

# After so many steps in a row without one finite gradient, nothing is left to be learnt from.
IN_A_ROW = 20


@dataclass(frozen=True, slots=True)
class GHNEpoch:
    """One finished epoch, from 1: means over networks; `left_out` of them had no finite loss or gradient."""

    number: int
    learning_rate: float
    train_loss: float
    train_acc: float
    val_acc: float | None
    left_out: int
    seconds: float = field(compare=False)


class GHNTraining:
    """A training under way. Where several processes train together, each takes a part of the networks of a step."""

    def __init__(
        self,
        ghn: GHN,
        data: Data,
        recipe: GHNRecipe,
        images: Recipe,
        population: Population,
        *,
        seed: Seed,
        device: torch.device,
    ) -> None:
        self.ghn, self.recipe, self.images, self.population = ghn.to(device), recipe, images, population
        self.seed, self.device, self.ranks = seed, device, current()
        if recipe.meta_batch % self.ranks.count:
            raise SpecError(
                f"{self.ranks.count} processes share the networks of a step, so that meta_batch must be a multiple of "
                f"that, but it is {recipe.meta_batch}."
            )
        self.source, self.data = data, placed(data, device)
        self.optimizer = optimiser_for(self.ghn, recipe)
        # Every process reads all images of a step: it is the networks that are shared.
        self.batches = Batches(self.data, images, device, torch.float32, ALONE)
        self.steps = self.batches.steps if recipe.steps is None else min(recipe.steps, self.batches.steps)
        self.history: list[GHNEpoch] = []
        self._in_a_row = 0

    @property
    def done(self) -> int:
        """How many epochs are over."""
        return len(self.history)

    @property
    def over(self) -> bool:
        """Whether all are."""
        return len(self.history) >= self.recipe.epochs

    def begin(self) -> None:
        """Every process starts with the weights of the first."""
        self.ranks.start_equal(self.ghn)

    def round(self, tell: Tell | None) -> None:
        """Run one epoch."""
        started, number = time.perf_counter(), len(self.history)
        reported = started
        streams = self.seed.child(f"epoch {number}")
        torch.manual_seed(streams.integer(f"network {self.ranks.rank}"))  # noqa: TID251 - forked in drive()
        networks, totals = streams.numpy("networks"), torch.zeros(3, dtype=torch.float64)
        self.ghn.train()
        for step, batch in enumerate(itertools.islice(self.batches.epoch(streams), self.steps)):
            for group in self.optimizer.param_groups:
                group["lr"] = rate_at(self.recipe, number + step / self.steps)
            totals += self._step(self.population.drawn(networks), batch).cpu()
            if tell is not None and step + 1 < self.steps and time.perf_counter() - reported > REPORT_S:
                reported = time.perf_counter()
                tell(self._progress(number, step + 1, totals, None, reported - started))
        last, every = number + 1 == self.recipe.epochs, self.recipe.validate_every
        val = self._validate() if last or (every and (number + 1) % every == 0) else None
        seconds, (loss, score, kept) = time.perf_counter() - started, totals.tolist()
        left_out = round(self.steps * self.recipe.meta_batch - kept)
        mean, acc = (loss / kept, Accuracy().told(score, 1) / kept) if kept else (0.0, 0.0)
        rate = rate_at(self.recipe, number)
        self.history.append(GHNEpoch(number + 1, rate, mean, acc, val, left_out, seconds))
        if tell is not None:
            tell(self._progress(number, self.steps, totals, val, seconds))

    def _step(self, members: Sequence[Member], batch: Batch) -> Tensor:
        """One step of the optimiser; the summed losses and shares of right answers, and of how many networks."""
        mine = members[self.ranks.rank :: self.ranks.count]
        graphs = Graphs.of([member.graph for member in mine], self.ghn.configuration).to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        reached: list[Tensor] = []
        gradients: list[Tensor] = []
        seen = torch.zeros(3, dtype=torch.float64, device=self.device)
        for member, weights in zip(mine, self.ghn.parameters_of(graphs), strict=True):
            found = self._lost(member, weights, batch)
            if found is None:
                continue
            reached += weights.values()
            gradients += found[1]
            seen += found[0]
        if reached:
            torch.autograd.backward(reached, gradients)
        for parameter in self.ghn.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        seen = self.ranks.average_gradients(self.ghn, seen) * self.ranks.count
        return seen if self._moved() else torch.zeros_like(seen)

    def _lost(self, member: Member, weights: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, list[Tensor]] | None:
        """What a network lost, and the gradients of its parameters; None where one of them is no finite number.

        Each network is gone through alone, so that the activations of one are in memory at a time.
        """
        module = member.module().train()
        without_statistics(module)
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in weights.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            outputs = with_weights(module, leaves, batch.images)
        loss = lost_on(CrossEntropy(), batch, outputs, self.images)
        whole = loss
        if self.recipe.penalty:
            whole = whole + self.recipe.penalty * sum(leaf.norm() for leaf in leaves.values())
        own = self.recipe.meta_batch / self.ranks.count
        gradients = torch.autograd.grad(whole / own, list(leaves.values()))
        if not math.isfinite(sum(torch.stack(torch._foreach_norm(gradients)).tolist()) + float(whole.detach())):
            return None
        score = Accuracy().each(outputs.detach(), batch.labels).mean()
        return torch.stack((loss.detach().double(), score, torch.ones_like(score))), list(gradients)

    def _moved(self) -> bool:
        """Whether the optimiser took a step: the gradient is clipped, and one that is no number is passed over."""
        clip = self.recipe.gradient_clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.ghn.parameters(), clip)
        moved = bool(torch.isfinite(norm)) and float(norm) > 0
        self._in_a_row = 0 if moved else self._in_a_row + 1
        if moved:
            self.optimizer.step()
        elif self._in_a_row == IN_A_ROW:
            raise Diverged(
                f"No network of {IN_A_ROW} steps in a row had a finite gradient, in epoch {len(self.history) + 1} of "
                f"{self.recipe.epochs} at a learning rate of {self.optimizer.param_groups[0]['lr']:.3g}: lower it, "
                "warm up longer or clip the gradient."
            )
        return moved

    def _validate(self) -> float:
        """The mean accuracy of unseen networks with unseen images."""
        recipe = self.recipe
        members = of_split(
            "val", range(recipe.validation_networks), recipe.channels[0], self.population.size, recipe.hidden[0]
        )
        found = accuracies(self.ghn, members, self.data, looked_at(self.data.val, recipe.validation_images))
        return sum(found) / len(found)

    def _progress(self, number: int, step: int, totals: Tensor, val: float | None, seconds: float) -> Progress:
        loss, score, kept = totals.tolist()
        mean, acc = (loss / kept, Accuracy().told(score, 1) / kept) if kept else (0.0, 0.0)
        an_epoch = self.history[-1].seconds if self.history else seconds * self.steps / step
        left = max(0.0, an_epoch * (self.recipe.epochs - number - step / self.steps))
        words = Accuracy().words(acc)
        return Progress(number + 1, self.recipe.epochs, step, self.steps, mean, acc, val, left, words)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights, and what the optimiser remembers."""
        tensors = {f"network.{name}": tensor for name, tensor in self.ghn.state_dict().items()}
        remembered = checkpoint.optimizer_tensors(self.optimizer)
        tensors |= {f"optimizer.{name}": tensor for name, tensor in remembered.items()}
        return tensors, {"in_a_row": self._in_a_row}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Take over a state and its history."""
        checkpoint.restore_module(self.ghn, tensors, "network.")
        own = {name.removeprefix("optimizer."): t for name, t in tensors.items() if name.startswith("optimizer.")}
        checkpoint.restore_optimizer(self.optimizer, own)
        self.history = [GHNEpoch(**epoch) for epoch in record["history"]]
        self._in_a_row = record["in_a_row"]

    def finish(self) -> dict[str, float]:
        """The weights stay as they are; what unseen networks reach with them."""
        last = self.history[-1].val_acc if self.history else None
        self.ghn.eval()
        return {"val_acc": self._validate() if last is None else last}

    def fingerprint(self) -> dict[str, Any]:
        """Recipes, seed, data, networks, sizes of the hypernetwork, and the number of processes."""
        told = checkpoint.decided(self.recipe, self.seed, self.source.digest, self.ghn.state_dict())
        return {
            **told,
            "recipe": {name: list(v) if isinstance(v, tuple) else v for name, v in told["recipe"].items()},
            "images": asdict(self.images),
            "configuration": self.ghn.configuration.written(),
            "networks": self.population.name,
            "processes": self.ranks.count,
        }

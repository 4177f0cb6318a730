"""Train a supernet epoch after epoch: its weights on one half of the samples, its architecture on the other.

Every random number of an epoch comes from streams named after that epoch and its steps, as in ``training.loop``, so
that a checkpoint holds no generator and an epoch that was interrupted is repeated exactly. Processes that ``torchrun``
started search one supernet together: each takes a part of every batch, and every gradient is averaged over them before
anything is done with it, so that all of them take the same steps and undo the same ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.supernets.alphas import Alphas
from ogive.supernets.bilevel import Unrolling, first_order, kept_buffers, momentum_of, second_order
from ogive.supernets.curvature import largest_eigenvalue
from ogive.supernets.gates import Gate, Mix, Softmax, mixing
from ogive.supernets.history import REPORT_S, Before, Resumable, SearchEpoch, all_finite
from ogive.supernets.networks import Supernet
from ogive.training import checkpoint
from ogive.training.batches import laid_out
from ogive.training.distributed import ALONE, current
from ogive.training.lossy import Lossy, Lost, Predicting, predicting
from ogive.training.optimisers import SGD, Adam, Optimiser
from ogive.training.recipe import Recipe, learning_rate

__all__ = [
    "ArchitectureRecipe",
    "Regulariser",
    "Search",
    "WeightsRecipe",
    "ZeroOne",
    "shared_loss",
    "shared_score",
]

Mixed = Callable[[Any, Sequence[Mix]], Any]


class Regulariser(Protocol):
    """What is added to the validation loss, such as a loss by which gates decide."""

    def __call__(self, alphas: Alphas) -> Tensor:
        """The loss, a number; zero where nothing is to be said."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroOne:
    """FairDARTS's loss, -mean((sigmoid(alpha) - 1/2)²) times a weight: least where every gate is open or shut."""

    weight: float = 10.0  # xiaomi-automl/FairDARTS

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise SpecError(f"zero_one must be 0 or a positive number, but got {self.weight}.")

    def __call__(self, alphas: Alphas) -> Tensor:
        gates = torch.cat([torch.sigmoid(group).flatten() for group in alphas.groups])
        return -self.weight * (gates - 0.5).square().mean()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsRecipe:
    """How the weights of a supernet are trained; the defaults are those of DARTS.

    `precision` "bf16" computes forward passes so, but for the differences of the second order; `compiled` captures them
    as graphs of a CUDA device. `optimiser` takes the place of SGD, whose options are then not read.
    """

    epochs: int = 50  # quark0/darts, cnn/train_search.py, as are all that follow
    batch_size: int = 64
    learning_rate: float = 0.025
    final_learning_rate: float = 0.001
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 3e-4
    gradient_clip: float = 5.0
    precision: Literal["float32", "bf16"] = "float32"
    compiled: bool = False
    optimiser: Optimiser | None = None

    def __post_init__(self) -> None:
        _ = self.recipe

    @property
    def eager(self) -> WeightsRecipe:
        """The same without captured graphs."""
        return replace(self, compiled=False)

    @property
    def recipe(self) -> Recipe:
        """The same as that of any training, which says what an epoch is; SpecError for numbers that cannot be."""
        own = {name: getattr(self, name) for name in self.__slots__ if name not in ("compiled", "optimiser")}
        return Recipe(**own)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureRecipe:
    """How the architecture parameters are trained.

    `order`: 1 holds the weights fixed in a step of the architecture, 2 looks one step ahead, 0 takes no such step. In
    the first `warm_epochs` only the weights are trained. `momentum` is the first beta of Adam, which an `optimiser`
    takes the place of; its options are then not read. `edge_normalisation` weighs edges (PC-DARTS). `zero_one` weighs
    FairDARTS's loss that pushes sigmoid gates to 0 or 1; a `regulariser` is added to the validation loss, too.
    """

    order: Literal[0, 1, 2] = 1
    learning_rate: float = 3e-4  # DARTS, appendix A.1.1, as are the next two
    momentum: float = 0.5
    weight_decay: float = 1e-3
    warm_epochs: int = 0
    edge_normalisation: bool = False
    zero_one: float = 0.0
    regulariser: Regulariser | None = None
    optimiser: Optimiser | None = None

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise SpecError(f"alpha_learning_rate must be a positive number, but got {self.learning_rate}.")
        if not 0 <= self.weight_decay < math.inf:
            raise SpecError(f"alpha_weight_decay must be 0 or a positive number, but got {self.weight_decay}.")
        if not 0 <= self.momentum < 1:
            raise SpecError(f"alpha_momentum must be at least 0 and below 1, but got {self.momentum}.")
        if self.warm_epochs < 0:
            raise SpecError(f"warm_epochs must be at least 0, but got {self.warm_epochs}.")
        ZeroOne(weight=self.zero_one)

    @property
    def made(self) -> Optimiser:
        """What makes the optimiser."""
        return self.optimiser or Adam(momentum=self.momentum, weight_decay=self.weight_decay)

    def penalty(self, alphas: Alphas) -> Tensor | None:
        """What is added to the validation loss; None for nothing."""
        wanted = [ZeroOne(weight=self.zero_one)] if self.zero_one else []
        losses = [one(alphas) for one in (*wanted, self.regulariser) if one is not None]
        return sum(losses[1:], losses[0]) if losses else None


def shared_score(supernet: Supernet, mixture: Sequence[Mix], task: Lossy, size: int = 250) -> float:
    """The score on the training samples of a task, with the weights as they are and the statistics of each batch.

    Larger is better: an error is told as less than zero. Batches are equal parts of about `size` samples in their
    order, so that two mixtures are compared on equal terms. Processes that search together take them in turns.
    """
    known = predicting(task)
    score, count = known.score, len(known.data.train)
    told = score.told(_summed(supernet, mixture, known, size, lambda *seen: score.each(*seen).sum()), count)
    return told if score.better == "larger" else -told


def shared_loss(supernet: Supernet, mixture: Sequence[Mix], task: Lossy, recipe: Recipe, size: int = 250) -> float:
    """The mean loss on the training samples of a task, with weights and statistics as in `shared_score`; may be NaN."""
    known = predicting(task)

    def lost(outputs: Tensor, targets: Tensor) -> Tensor:
        return known.loss(outputs.double(), targets, recipe) * len(targets)

    return _summed(supernet, mixture, known, size, lost) / len(known.data.train)


def _summed(
    supernet: Supernet,
    mixture: Sequence[Mix],
    task: Predicting,
    size: int,
    measure: Callable[[Tensor, Tensor], Tensor],
) -> float:
    """The sum over all batches of a measure of outputs and targets; the supernet is left as it was."""
    data, ranks, like = task.data, current(), next(supernet.parameters())
    split, mode = data.train, supernet.training
    total = torch.zeros((), dtype=torch.float64, device=like.device)
    supernet.train()
    with torch.no_grad(), kept_buffers(supernet):
        for rows in torch.arange(len(split)).tensor_split(math.ceil(len(split) / size))[ranks.rank :: ranks.count]:
            inputs = laid_out(split.images[rows].to(like.device))
            outputs = supernet(data.normalised(inputs, like.dtype), mixture)
            total += measure(outputs, split.labels[rows].to(like.device))
    supernet.train(mode)
    return ranks.total(total.item(), like.device)


class Search(Resumable):
    """A supernet under search: `epoch` trains it for one epoch; `tensors` and `record` are its whole state.

    Samples of `weights_task` teach the weights, those of `alphas_task` the architecture. `run` computes what a supernet
    does in steps of training, such as a compiled form of it with the same weights; by default it is the supernet
    itself. With a recipe in bf16, forward passes have that precision but for those whose small differences are the
    second order. `optimiser` makes that of the weights, by default SGD as the recipe says.
    """

    def __init__(
        self,
        supernet: Supernet,
        alphas: Alphas,
        weights_task: Lossy,
        alphas_task: Lossy,
        recipe: Recipe,
        architecture: ArchitectureRecipe,
        *,
        seed: Seed,
        gate: Gate | None = None,
        device: torch.device | str = "cpu",
        run: Mixed | None = None,
        optimiser: Optimiser | None = None,
    ) -> None:
        super().__init__()
        self.device = torch.device(device)
        self._run: Mixed = supernet if run is None else run
        self._compiled = run is not None
        self.supernet, self.alphas = supernet, alphas
        self.recipe, self.architecture, self.seed = recipe, architecture, seed
        self.gate: Gate = Softmax() if gate is None else gate
        self.weights = list(supernet.parameters())
        self.buffers = list(supernet.buffers())
        plain = SGD(momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay)
        self.optimiser = plain if optimiser is None else optimiser
        self.optimizer = self.optimiser(self.weights, recipe.learning_rate)
        self.architect = architecture.made(alphas.tensors, architecture.learning_rate)
        dtype = self.weights[0].dtype
        self.weights_task, self.alphas_task, self.ranks = weights_task, alphas_task, current()
        self.train_batches, self.valid_batches = (
            half.batches(recipe, self.device, dtype, self.ranks) for half in (weights_task, alphas_task)
        )
        # What the next batches go on from: of the weights, and of the architecture.
        self._states: dict[str, Tensor | None] = {}
        self._after: dict[str, Tensor | None] = {}

    # -- one epoch ---------------------------------------------------------------------------------------------------

    @property
    def current_gate(self) -> Gate:
        """The gate of the epoch that comes next, or came last."""
        last = max(1, self.recipe.epochs - 1)
        return self.gate.at(min(1.0, len(self.history) / last))

    def rate(self, epoch: int) -> float:
        """The learning rate of the weights in an epoch, counted from 0."""
        return learning_rate(self.recipe, epoch)

    def epoch(self, progress: Callable[[str], None] | None = None) -> SearchEpoch:
        """Train for one epoch, or until the search is over; the supernet is then in training mode."""
        started, number = time.perf_counter(), len(self.history)
        streams, steps = self.seed.child(f"epoch {number}"), self.train_batches.steps
        gate = self.current_gate
        self.ranks.check_same_epoch(number, self.device)
        if number == 0:
            self.ranks.start_equal(self.supernet, self.alphas.tensors)
        rate = self.rate(number)
        self.supernet.train()
        totals, good, before = torch.zeros(3, dtype=torch.float64, device=self.device), 0, self.undone
        reported, self._states = started, {}
        pairs = zip(self.train_batches.epoch(streams), self.valid_batches.beside(streams))  # noqa: B905 - endless
        for step, (batch, other) in enumerate(pairs):
            for group in self.optimizer.param_groups:
                group["lr"] = batch.rate(rate)
            seen = self._step(batch, other, gate, streams.child(f"step {step}"), number)
            self.count(seen is not None, f"Step {step + 1} of epoch {number + 1}")
            if seen is not None:
                totals, good = totals + seen, good + 1
            elif self.over:
                break
            now = time.perf_counter()
            if progress is not None and now - reported > REPORT_S:
                reported = now
                left = (now - started) / (step + 1) * (steps - step - 1)
                progress(f"epoch {number + 1}, step {step + 1} of {steps}, {left:.0f} s left in it")
        self.ranks.average_buffers(self.supernet)
        loss, score, val_loss = (totals / max(good, 1)).tolist() if good else (math.nan,) * 3
        val_loss, score = val_loss if self._learns(number) else math.nan, self.weights_task.score.told(score)
        seconds = time.perf_counter() - started
        self.history.append(SearchEpoch(number + 1, loss, score, val_loss, self.undone - before, seconds))
        return self.history[-1]

    def _learns(self, epoch: int) -> bool:
        return self.architecture.order > 0 and epoch >= self.architecture.warm_epochs

    def _step(self, batch: Any, other: Any, gate: Gate, streams: Seed, epoch: int) -> Tensor | None:
        """One step of the architecture and one of the weights; None if it was undone, because a loss was not finite."""
        before = Before(self.buffers, self.alphas.tensors, self.architect)
        val_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        if self._learns(epoch):
            loss, gradients = self._architecture_gradients(batch, other, gate, streams)
            before.put_back_statistics()
            if not all_finite(loss, *gradients):
                return None
            for alpha, gradient in zip(self.alphas.tensors, gradients, strict=True):
                alpha.grad = gradient
            self.architect.step()
            val_loss = loss.double()
        lost = self._weight_gradients(batch, gate, streams)
        seen = self.ranks.average_gradients(self.supernet, torch.stack((lost.loss.detach().double(), lost.score)))
        norm = nn.utils.clip_grad_norm_(self.weights, self.recipe.gradient_clip or math.inf)
        if not all_finite(seen, norm):
            before.put_back()
            return None
        self.optimizer.step()
        self._states = dict(self._after)
        return torch.cat((seen, val_loss[None]))

    def _weight_gradients(self, batch: Any, gate: Gate, streams: Seed) -> Lost:
        """What is lost in training; the gradients are left in the weights."""
        lost = self._lost(batch, gate, streams, "weights")
        self.optimizer.zero_grad(set_to_none=True)
        (lost.loss if lost.extra is None else lost.loss + lost.extra).backward(inputs=self.weights)
        return lost

    def _architecture_gradients(self, batch: Any, other: Any, gate: Gate, streams: Seed) -> tuple[Tensor, list[Tensor]]:
        """The validation loss, and its gradients in the architecture."""

        def validation() -> Tensor:
            loss = self._lost(other, gate, streams, "validation", exact=self.architecture.order == 2).loss
            penalty = self.architecture.penalty(self.alphas)
            return loss if penalty is None else loss + penalty

        if self.architecture.order == 1:
            return first_order(self.alphas.tensors, validation, self._mean)
        # The same draw of the gate at every call, or the differences would be those of draws.
        now = self.optimizer.param_groups[0]
        ahead = Unrolling(
            now["lr"],
            now["momentum"],
            now["weight_decay"],
            momentum_of(self.optimizer, self.weights),
            clip=now.get("clip", math.inf),
            uncapped=now.get("uncapped", False),
            nesterov=now["nesterov"],
        )
        return second_order(
            self.weights,
            self.alphas.tensors,
            lambda: self._lost(batch, gate, streams, "training", exact=True).loss,
            validation,
            ahead,
            mean=self._mean,
        )

    def curvature(self) -> float:
        """The largest eigenvalue of the Hessian of the validation loss in the architecture, on one batch.

        Where operations are drawn, that of the mixture which they are drawn from: a draw alone does not bend.
        """
        streams = self.seed.child(f"curvature {len(self.history)}")
        gate = mixing(self.current_gate)
        # All of the batch in every process: its parts would have other eigenvalues.
        whole = self.alphas_task.batches(self.recipe, self.device, self.weights[0].dtype, ALONE)
        batch = next(iter(whole.epoch(streams)))
        draw, self._states = torch.Generator().manual_seed(streams.integer("direction")), {}
        with kept_buffers(self.supernet):
            return largest_eigenvalue(
                # What is compiled cannot be differentiated twice.
                self.alphas.tensors,
                lambda: self._lost(batch, gate, streams, "gate", exact=True, run=self.supernet).loss,
                draw,
            )

    def _mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The means over all processes; copies where a captured graph will write into the tensors again."""
        return self.ranks.mean([tensor.clone() for tensor in tensors] if self._compiled else tensors)

    def _lost(
        self,
        batch: Any,
        gate: Gate,
        streams: Seed,
        purpose: Literal["weights", "training", "validation", "gate"],
        *,
        exact: bool = False,
        run: Mixed | None = None,
    ) -> Lost:
        """What is lost on a batch by what `run` computes; `exact` where differences or second derivatives are taken."""
        number, run = streams.integer(purpose), self._run if run is None else run
        mixture = self.alphas.mixture(gate, torch.Generator().manual_seed(number))
        if self._compiled and run is self._run:
            for mix in mixture:
                _ = mix.factors  # made here: a tracer cannot look into a property that remembers
            torch.compiler.cudagraph_mark_step_begin()
        short = self.recipe.precision == "bf16" and not exact

        def computed(inputs: Any) -> Any:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=short):
                return run(inputs, mixture)

        half = "validation" if purpose == "validation" else "weights"
        state = self._states.get(half)
        found = self.weights_task.lost(computed, batch, self.recipe, state=state, number=number)
        self._after[half] = found.state
        return found

    # -- the state ---------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Weights, running statistics, architecture, and what both optimisers remember."""
        found = {f"supernet.{name}": tensor for name, tensor in self.supernet.state_dict().items()}
        found |= {f"alphas.{place}": alpha for place, alpha in enumerate(self.alphas.tensors)}
        for name, optimizer in (("optimizer", self.optimizer), ("architect", self.architect)):
            found |= {f"{name}.{key}": value for key, value in checkpoint.optimizer_tensors(optimizer).items()}
        return found

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Take over a state: `tensors` as above, and a `record`."""
        checkpoint.restore_module(self.supernet, tensors, "supernet.")
        with torch.no_grad():
            for place, alpha in enumerate(self.alphas.tensors):
                alpha.copy_(tensors[f"alphas.{place}"])
        for name, optimizer in (("optimizer", self.optimizer), ("architect", self.architect)):
            own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            checkpoint.restore_optimizer(optimizer, own)
        self.remember(record)

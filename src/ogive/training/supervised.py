"""The training of a network from inputs with known targets: every option of a Recipe, one process or several.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.metric import Better
from ogive.core.rng import Seed
from ogive.training import checkpoint
from ogive.training.batches import Batch, Batches, laid_out, layout_for, placed
from ogive.training.data import Data, Split
from ogive.training.distributed import Ranks, current
from ogive.training.loop import Diverged, Tell, drive
from ogive.training.recipe import Recipe, decay_of_average, learning_rate, optimizer_for

__all__ = [
    "Accuracy",
    "CrossEntropy",
    "Epoch",
    "Loss",
    "Outcome",
    "Progress",
    "Score",
    "Supervised",
    "accuracy",
    "lost_on",
    "outputs_of",
    "summed",
    "train",
]

CHECK_EVERY = 20  # steps between looks at the loss: a look makes a GPU wait
REPORT_S = 0.1  # seconds between two reports of progress within an epoch
PIXELS = 1 << 21  # numbers in a batch of evaluation, at most


class Loss(Protocol):
    """What a network is trained to make small."""

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        """One number, the mean over a batch, of outputs of a network in float32 or float64."""
        ...


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """The loss of classification, with the label smoothing of the recipe."""

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        """Cross-entropy of logits (N, classes) and labels (N,)."""
        return F.cross_entropy(outputs, targets, label_smoothing=recipe.label_smoothing)


def lost_on(loss: Loss, batch: Batch, outputs: Tensor, recipe: Recipe) -> Tensor:
    """The loss of a batch, in at least float32; SpecError if it is not one number."""
    found = batch.measured(outputs, lambda exact, targets: loss.loss(exact, targets, recipe))
    if found.ndim:
        raise SpecError(
            f"A loss is one number for a batch, but {type(loss).__name__}.loss returned a tensor of the shape "
            f"{tuple(found.shape)}: return its mean."
        )
    return found


class Score(Protocol):
    """What is watched of a network beside its loss: the mean of something over samples, told on a scale of its own.

    `name`: as it ends in ``train_acc`` and ``val_acc``; `better`: what is wanted of it; `epoch`: the record of an
    epoch, which has these two fields.
    """

    name: ClassVar[str]
    better: ClassVar[Better]
    epoch: ClassVar[type[Any]]

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of every sample of a batch, a number in float64, shape (N,)."""
        ...

    def told(self, total: float, count: int = 1) -> float:
        """The mean of numbers with this sum on the scale on which it is reported."""
        ...

    def words(self, told: float) -> str:
        """The same in words."""
        ...

    def guessed(self, targets_N: Tensor) -> tuple[float, int | None]:
        """What one answer for all of these targets reaches, and how many right answers that is a share of, if it is."""
        ...


@dataclass(frozen=True, slots=True)
class Epoch:
    """One finished epoch, counted from 1; accuracies in per cent; `val_acc` is None where it was not measured."""

    number: int
    learning_rate: float
    train_loss: float
    train_acc: float
    val_acc: float | None
    seconds: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Right answers, in per cent."""

    name: ClassVar[str] = "acc"
    better: ClassVar[Better] = "larger"
    epoch: ClassVar[type[Any]] = Epoch

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 for a right answer; logits (N, classes), labels (N,)."""
        return (outputs.argmax(1) == targets).double()

    def told(self, total: float, count: int = 1) -> float:
        """Per cent."""
        return 100 * total / count

    def words(self, told: float) -> str:
        """Per cent in words."""
        return f"accuracy {told:.1f} %"

    def guessed(self, targets_N: Tensor) -> tuple[float, int | None]:
        """The share of the most frequent class."""
        return self.told(float(targets_N.bincount().max()), len(targets_N)), len(targets_N)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training came to; the weights are in the network that was trained."""

    history: tuple[Epoch, ...]

    @property
    def val_acc(self) -> float:
        """Validation accuracy of the final weights, in per cent."""
        last = self.history[-1].val_acc
        assert last is not None
        return last

    @property
    def seconds(self) -> float:
        """Time of all epochs, those before an interruption included."""
        return sum(epoch.seconds for epoch in self.history)


@runtime_checkable
class DropsPaths(Protocol):
    """A network whose paths are dropped with a probability that rises to `drop_path` in the course of its training."""

    drop_path: float
    drop_path_prob: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands: `epoch` and `step` from 1, `loss` and `train_score` since the epoch began.

    The scores are accuracies in per cent, or what else the task watches; `score` says the first one in words.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    train_score: float
    val_score: float | None
    seconds_left: float
    score: str

    @property
    def words(self) -> str:
        """How well it goes."""
        return f"loss {self.loss:.3f}, {self.score}"

    @property
    def share(self) -> float:
        """How much of the epoch is over, 0 to 1."""
        return self.step / self.steps

    @property
    def over(self) -> float:
        """How much of the training is over, 0 to 1."""
        return (self.epoch - 1 + self.share) / self.epochs

    def __str__(self) -> str:
        return f"epoch {self.epoch} of {self.epochs}: {self.words}"


def train(
    network: nn.Module,
    data: Data,
    recipe: Recipe,
    *,
    seed: Seed,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    validate_every: int = 1,
    tensorboard: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Train `network` in place on ``data.train``; the weights after the last epoch are the result, whatever was best.

    With a `folder`, every epoch ends with a checkpoint and a line in ``metrics.jsonl``, and a call with the same
    arguments goes on from there: to the bit, on the same machine with as many threads. `validate_every` epochs (0: only
    after the last) the network is measured on ``data.val``; ``data.test`` is never touched. Raises Diverged, SpecError,
    and StoreError where the folder holds another training or cannot be written.
    """
    training = Supervised(network, data, recipe, seed=seed, device=torch.device(device), validate_every=validate_every)
    drive(training, folder=folder, tensorboard=tensorboard, tell=progress)
    return Outcome(tuple(training.history))


def accuracy(network: nn.Module, split: Split, data: Data, device: torch.device | str = "cpu") -> float:
    """Correct answers on a split, in per cent; the network is measured in eval mode and left in the mode it had."""
    if not len(split):
        raise SpecError("An accuracy needs at least one image.")
    score = Accuracy()
    return score.told(summed(network, split, data, torch.device(device), score), len(split))


def summed(network: nn.Module, split: Split, data: Data, device: torch.device, score: Score) -> float:
    """The sum of a score over a split; the network is measured in eval mode and left in the mode it had."""
    total = torch.zeros((), dtype=torch.float64, device=device)
    for outputs, labels in outputs_of(network, split, data, device):
        total += score.each(outputs, labels).sum()
    return float(total.item())


def outputs_of(network: nn.Module, split: Split, data: Data, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs of a network and targets, a batch at a time; it is measured in eval mode and left in the mode it had."""
    mode = network.training
    dtype = next(network.parameters()).dtype
    size = max(1, min(len(split), PIXELS // math.prod(data.shape)))
    network.eval()
    with torch.inference_mode():
        for images, labels in zip(split.images.split(size), split.labels.split(size), strict=True):
            yield network(data.normalised(laid_out(images.to(device)), dtype)), labels.to(device)
    network.train(mode)


class Supervised:
    """A training under way: the network, what the optimiser remembers, and the epochs so far."""

    def __init__(
        self,
        network: nn.Module,
        data: Data,
        recipe: Recipe,
        *,
        seed: Seed,
        device: torch.device,
        validate_every: int = 0,
        loss: Loss | None = None,
        score: Score | None = None,
        batching: type[Batches] = Batches,
    ) -> None:
        self.device, self.recipe, self.seed, self.validate_every = device, recipe, seed, validate_every
        self.loss: Loss = CrossEntropy() if loss is None else loss
        self.score: Score = Accuracy() if score is None else score
        self.ranks: Ranks = current()
        layout = layout_for(network, device)
        self.network = network.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        self.source = data  # its digest is computed once, however many trainings use it
        self.data = placed(data, device)
        self.optimizer = optimizer_for(network, recipe)
        self.average = copy.deepcopy(network).requires_grad_(False) if recipe.average else None
        dtype = next(network.parameters()).dtype
        self.batches = batching(self.data, recipe, device, dtype, self.ranks, layout)
        self.steps = self.batches.steps
        self.history: list[Any] = []

    # -- one epoch ---------------------------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        """How many epochs are over."""
        return len(self.history)

    @property
    def over(self) -> bool:
        """Whether all epochs are."""
        return len(self.history) >= self.recipe.epochs

    def round(self, tell: Tell | None) -> None:
        """Run one epoch and add it to the history."""
        progress, validate_every = tell, self.validate_every
        started, number, recipe = time.perf_counter(), len(self.history), self.recipe
        streams = self.seed.child(f"epoch {number}")
        torch.manual_seed(streams.integer(f"network {self.ranks.rank}"))  # noqa: TID251 - forked in drive()
        if isinstance(self.network, DropsPaths):
            final = self.network.drop_path if recipe.drop_path is None else recipe.drop_path
            self.network.drop_path_prob = final * number / recipe.epochs
        self.network.train()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)  # loss and score, summed
        reported = started
        for step, batch in enumerate(self.batches.epoch(streams)):
            passed = number + (step / self.steps if recipe.anneal == "step" else 0)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(recipe, passed)
            totals += self._step(batch)
            self._follow(number * self.steps + step)
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == self.steps:
                self._check(totals, number)
            if progress is not None and step + 1 < self.steps and time.perf_counter() - reported > REPORT_S:
                reported = time.perf_counter()
                progress(self._progress(number, step + 1, totals, None, reported - started))
        for module in (self.network, self.average):
            if module is not None:
                self.ranks.average_buffers(module)
        last = number + 1 == recipe.epochs
        due = last or (validate_every > 0 and (number + 1) % validate_every == 0)
        val = self._validate() if due else None
        loss, score = (totals / self.steps).tolist()
        seconds, rate = time.perf_counter() - started, learning_rate(recipe, number)
        self.history.append(self.score.epoch(number + 1, rate, loss, self.score.told(score), val, seconds))
        if progress is not None:
            progress(self._progress(number, self.steps, totals, val, seconds))

    def _step(self, batch: Batch) -> Tensor:
        """One step of the optimiser; returns the loss and the mean score."""
        recipe = self.recipe
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            output = self.network(batch.images)
        logits, *auxiliary = output if isinstance(output, tuple) else (output,)
        loss = lost_on(self.loss, batch, logits, recipe)
        for extra in auxiliary:
            loss = loss + recipe.auxiliary_weight * lost_on(self.loss, batch, extra, recipe)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        score = self.score.each(logits.detach(), batch.labels).mean()
        seen = torch.stack((loss.detach().double(), score))
        seen = self.ranks.average_gradients(self.network, seen)
        if recipe.gradient_clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.gradient_clip)
        self.optimizer.step()
        return seen

    def _follow(self, step: int) -> None:
        """Move the average of the weights towards the weights."""
        if self.average is None:
            return
        decay = decay_of_average(self.recipe, step)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)
            for kept, now in zip(self.average.buffers(), self.network.buffers(), strict=True):
                if kept.is_floating_point():
                    kept.lerp_(now, 1 - decay)
                else:
                    kept.copy_(now)

    def _check(self, totals: Tensor, number: int) -> None:
        if not math.isfinite(totals[0].item()):
            raise Diverged(
                f"The loss became {totals[0].item()} in epoch {number + 1} of {self.recipe.epochs} at a learning rate "
                f"of {self.optimizer.param_groups[0]['lr']:.3g}: lower it, warm up longer or clip the gradient."
            )

    def _validate(self) -> float:
        """Score of the weights that count; every process measures its part."""
        network = self.network if self.average is None else self.average
        split, ranks = self.data.val, self.ranks
        own = Split(split.images[ranks.rank :: ranks.count], split.labels[ranks.rank :: ranks.count])
        total = summed(network, own, self.data, self.device, self.score) if len(own) else 0.0
        return self.score.told(ranks.total(total, self.device), len(split))

    def _progress(self, number: int, step: int, totals: Tensor, val: float | None, seconds: float) -> Progress:
        loss, mean = (totals / step).tolist()
        score = self.score.told(mean)
        an_epoch = self.history[-1].seconds if self.history else seconds * self.steps / step
        left = an_epoch * (self.recipe.epochs - number - step / self.steps)
        words = self.score.words(score)
        return Progress(number + 1, self.recipe.epochs, step, self.steps, loss, score, val, max(0.0, left), words)

    # -- the state, in and out ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Every process starts with the weights of the first."""
        self.ranks.start_equal(self.network)
        if self.average is not None:
            self.average.load_state_dict(self.network.state_dict())

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Take over a state and its history."""
        checkpoint.restore_module(self.network, tensors, "network.")
        if self.average is not None:
            checkpoint.restore_module(self.average, tensors, "average.")
        own = {name.removeprefix("optimizer."): t for name, t in tensors.items() if name.startswith("optimizer.")}
        checkpoint.restore_optimizer(self.optimizer, own)
        self.history = [self.score.epoch(**epoch) for epoch in record["history"]]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights, their average, and what the optimiser remembers."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        remembered = checkpoint.optimizer_tensors(self.optimizer)
        return tensors | {f"optimizer.{name}": tensor for name, tensor in remembered.items()}, {}

    def finish(self) -> dict[str, float]:
        """Leave the averaged weights, if they were kept, in the network, and its tensors in their usual layout."""
        name = f"val_{self.score.name}"
        last = asdict(self.history[-1])[name]
        found = self._validate() if last is None else last  # where it pauses, nobody may have measured it
        if self.average is not None:
            self.network.load_state_dict(self.average.state_dict())
        self.network.to(memory_format=torch.contiguous_format)
        return {name: found}

    def fingerprint(self) -> dict[str, Any]:
        """Recipe, seed, data, the shapes of the network, and the number of processes."""
        told = checkpoint.decided(self.recipe, self.seed, self.source.digest, self.network.state_dict())
        return {**told, "processes": self.ranks.count}

"""The training of a language model: truncated backpropagation over random lengths, SGD and then averaged SGD.

Liu, Simonyan and Yang, "DARTS", ICLR 2019, appendix A.2.2, after Merity, Keskar and Socher, "Regularizing and
Optimizing LSTM Language Models", ICLR 2018; the code is quark0/darts, rnn/train.py. Every random number of an epoch
comes from streams that are named after that epoch, as in `ogive.training.loop`. Shapes: T moments, B texts side by
side, H numbers of a state, V words.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.training import checkpoint
from ogive.training.language_recipe import LanguageRecipe
from ogive.training.loop import Diverged, Tell
from ogive.training.text import Text, columns

__all__ = [
    "LanguageEpoch",
    "LanguageProgress",
    "LanguageTraining",
    "Predicts",
    "lengths",
    "perplexity",
]

ATTEMPTS = 3  # how often an epoch is begun, with other random numbers, before the training ends
CHECK_EVERY = 20  # steps between looks at the loss: a look makes a GPU wait
REPORT_S = 0.1  # seconds between two reports of progress within an epoch
LARGEST_EXPONENT = 700.0  # exp of more is no float


class Predicts(Protocol):
    """What the loop asks of a network, beside being a module."""

    def start(self, batch: int) -> Tensor:
        """The state before the first word, of any shape."""
        ...

    def followed(self, words_TB: Tensor, hidden: Tensor, /) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the next words (T, B, V), and the states at all moments (T, B, H)."""
        ...


@dataclass(frozen=True, slots=True)
class LanguageEpoch:
    """One finished epoch, counted from 1.

    `train_loss` is in nats a word, with dropout; `val_ppl` that of the averaged weights once they are `averaged`;
    `rollbacks` says how often the epoch was begun anew because the loss was not finite.
    """

    number: int
    train_loss: float
    val_ppl: float
    averaged: bool
    rollbacks: int
    seconds: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class LanguageProgress:
    """Where a training stands: `epoch` from 1, the share of its words that were read, `loss` in nats since it began."""

    epoch: int
    epochs: int
    share: float
    loss: float
    val_ppl: float | None
    seconds_left: float

    @property
    def words(self) -> str:
        """How well it goes."""
        return f"loss {self.loss:.3f}"

    @property
    def over(self) -> float:
        """How much of the training is over, 0 to 1."""
        return (self.epoch - 1 + self.share) / self.epochs

    def __str__(self) -> str:
        return f"epoch {self.epoch} of {self.epochs}: {self.words}"


class _NotFinite(Exception):
    """The loss of a step or of the validation text is not a finite number."""


def lengths(recipe: LanguageRecipe, generator: np.random.Generator) -> int:
    """How many words the next step reads: about `bptt`, one time in twenty about half of it, never less than 5."""
    centre = recipe.bptt if generator.random() < 0.95 else recipe.bptt / 2
    drawn = int(generator.normal(centre, recipe.spread))
    return min(max(min(5, recipe.bptt), drawn), recipe.bptt + recipe.longest_more)


@torch.inference_mode()
def perplexity(network: nn.Module, words: Tensor, *, batch: int, bptt: int = 35) -> float:
    """Exp of the mean loss a word of a text (N,), read as `batch` texts side by side, the state carried all along.

    The network is measured in eval mode and left in the mode it had; every word but the first of each text counts.
    """
    mode = network.training
    network.eval()
    model, device = cast(Predicts, network), next(network.parameters()).device
    text_TB = columns(words, batch).to(device)
    total = torch.zeros((), dtype=torch.float64, device=device)
    hidden = model.start(batch)
    for start in range(0, len(text_TB) - 1, bptt):
        target = text_TB[start + 1 : start + 1 + bptt]
        log_probabilities, outputs = model.followed(text_TB[start : start + len(target)], hidden)
        hidden = outputs[-1:]
        total += F.nll_loss(log_probabilities.flatten(0, 1), target.flatten(), reduction="sum").double()
    network.train(mode)
    mean = total.item() / ((len(text_TB) - 1) * batch)
    return math.exp(mean) if mean < LARGEST_EXPONENT else math.inf if mean > 0 else math.nan


class LanguageTraining:
    """A training of a network (see `Predicts`) in place: its weights now, their average since the switch, the best.

    It ends with the weights that were best on the validation text. An epoch whose loss is not finite is taken back and
    begun anew from the last finished one with other random numbers; after three attempts the training is `halted`.
    """

    def __init__(
        self, network: nn.Module, text: Text, recipe: LanguageRecipe, *, seed: Seed, device: torch.device
    ) -> None:
        self.text, self.recipe, self.seed, self.device = text, recipe, seed, device
        self.network = network.to(device)
        self.parameters: list[Tensor] = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.words_TB = columns(text.train, recipe.batch_size).to(device)
        self.average: list[Tensor] | None = None
        self.averaged_steps = 0
        self.best = self._copied()
        self.history: list[LanguageEpoch] = []
        self.halted = False
        columns(text.val, recipe.eval_batch)  # a text that is too short is refused now

    # -- one epoch ---------------------------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        """How many epochs are over."""
        return len(self.history)

    @property
    def over(self) -> bool:
        """Whether all epochs are, or the next one cannot be finished."""
        return self.halted or len(self.history) >= self.recipe.epochs

    def round(self, tell: Tell | None) -> None:
        """Run one epoch, anew if need be, and add it to the history; if it cannot be finished, the training is over."""
        progress = tell
        started = time.perf_counter()
        before = (self._copied(), self.average and [tensor.clone() for tensor in self.average], self.averaged_steps)
        for attempt in range(ATTEMPTS):
            try:
                loss = self._trained(attempt, started, progress)
                val_ppl = self._validated()
            except _NotFinite:
                self._restore(before[0])
                self.average = before[1] and [tensor.clone() for tensor in before[1]]
                self.averaged_steps = before[2]
                continue
            self._close(loss, val_ppl, attempt, time.perf_counter() - started)
            if progress is not None:
                progress(self._progress(len(self.words_TB), len(self.history) - 1, loss, val_ppl, 0.0))
            return
        self.halted = True
        if not self.history:
            raise Diverged(
                f"The loss was not finite {ATTEMPTS} times in the first epoch at a learning rate of "
                f"{self.recipe.learning_rate:g}: lower it, or clip the gradient more."
            )

    def _trained(self, attempt: int, started: float, progress: Callable[[LanguageProgress], None] | None) -> float:
        """Read the whole training text once; the mean loss a step, in nats a word."""
        number, recipe, model = len(self.history), self.recipe, cast(Predicts, self.network)
        streams = self.seed.child(f"epoch {number}")
        streams = streams.child(f"attempt {attempt}") if attempt else streams
        torch.manual_seed(streams.integer("dropout"))  # noqa: TID251 - forked in drive()
        drawn = streams.numpy("lengths")
        self.network.train()
        hidden, position, steps, reported = model.start(recipe.batch_size), 0, 0, started
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        # A last word alone has no next one to be predicted.
        while position < max(len(self.words_TB) - 2, 1):
            length = lengths(recipe, drawn)
            loss, hidden = self._step(position, length, hidden)
            total += loss
            position, steps = position + length, steps + 1
            if steps % CHECK_EVERY == 0 and not math.isfinite(total.item()):
                raise _NotFinite
            if progress is not None and time.perf_counter() - reported > REPORT_S:
                reported = time.perf_counter()
                progress(self._progress(position, number, total.item() / steps, None, reported - started))
        if not math.isfinite(total.item()):
            raise _NotFinite
        return total.item() / steps

    def _step(self, position: int, length: int, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One step of SGD on the next `length` words; the loss of the words alone, and the state to go on from."""
        recipe, model = self.recipe, cast(Predicts, self.network)
        target = self.words_TB[position + 1 : position + 1 + length]
        log_probabilities, outputs = model.followed(self.words_TB[position : position + len(target)], hidden.detach())
        loss = F.nll_loss(log_probabilities.flatten(0, 1), target.flatten())
        objective = loss
        if recipe.slowness and len(outputs) > 1:
            objective = loss + recipe.slowness * (outputs[1:] - outputs[:-1]).pow(2).mean()
        gradients = list(torch.autograd.grad(objective, self.parameters))
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        scale = (
            torch.clamp(recipe.gradient_clip / (norm + 1e-6), max=1.0) if recipe.gradient_clip else norm.new_ones(())
        )
        # The longer the piece of text, the more its mean gradient can be trusted.
        rate = recipe.learning_rate * length / recipe.bptt
        with torch.no_grad():
            torch._foreach_mul_(self.parameters, 1 - rate * recipe.weight_decay)
            torch._foreach_mul_(gradients, -rate * scale)
            torch._foreach_add_(self.parameters, gradients)
        self._follow()
        return loss.detach().double(), outputs[-1:].detach()

    def _follow(self) -> None:
        """Once averaging has begun, keep the mean of the weights after each step since then."""
        if self.average is None:
            return
        self.averaged_steps += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 / self.averaged_steps)

    def _validated(self) -> float:
        """Perplexity of the weights that count."""
        kept = self._copied()
        self._show_average()
        found = perplexity(self.network, self.text.val, batch=self.recipe.eval_batch, bptt=self.recipe.bptt)
        self._restore(kept)
        if not math.isfinite(found):
            raise _NotFinite
        return found

    def _close(self, loss: float, val_ppl: float, attempt: int, seconds: float) -> None:
        """Add the epoch to the history, keep its weights if they are the best, switch to averaging if it is time."""
        past = [epoch.val_ppl for epoch in self.history]
        averaged = self.average is not None
        if val_ppl < min(past, default=math.inf):
            kept = self._copied()
            self._show_average()
            self.best = self._copied()
            self._restore(kept)
        if not averaged and stalls(past, val_ppl, self.recipe.patience):
            self.average, self.averaged_steps = [p.detach().clone() for p in self.parameters], 0
        self.history.append(LanguageEpoch(len(self.history) + 1, loss, val_ppl, averaged, attempt, seconds))

    def _progress(
        self, position: int, number: int, loss: float, val_ppl: float | None, seconds: float
    ) -> LanguageProgress:
        share, epochs = min(1.0, position / len(self.words_TB)), self.recipe.epochs
        an_epoch = self.history[-1].seconds if self.history else seconds / share
        return LanguageProgress(number + 1, epochs, share, loss, val_ppl, an_epoch * (epochs - number - share))

    # -- the state, in and out ---------------------------------------------------------------------------------------

    def _copied(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.parameters]

    def _restore(self, tensors: Sequence[Tensor]) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, list(tensors))

    def _show_average(self) -> None:
        if self.average is not None:
            self._restore(self.average)

    def begin(self) -> None:
        """Nothing is left to be done."""

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Take over a state and its history."""
        places = range(len(self.parameters))
        self._restore([tensors[f"now.{place}"] for place in places])
        self.best = [tensors[f"best.{place}"].to(self.device) for place in places]
        if record["averaging"]:
            self.average = [tensors[f"average.{place}"].to(self.device) for place in places]
        self.averaged_steps = record["averaged_steps"]
        self.history = [LanguageEpoch(**epoch) for epoch in record["history"]]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights now, the best, and their average."""
        groups: dict[str, list[Tensor]] = {"now": self.parameters, "best": self.best, "average": self.average or []}
        tensors = {f"{name}.{place}": tensor for name, group in groups.items() for place, tensor in enumerate(group)}
        return tensors, {"averaging": self.average is not None, "averaged_steps": self.averaged_steps}

    def finish(self) -> dict[str, float]:
        """Leave the best weights in the network; their perplexity on the validation text."""
        self._restore(self.best)
        return {"val_ppl": min(epoch.val_ppl for epoch in self.history)}

    def fingerprint(self) -> dict[str, Any]:
        """Recipe, seed, text and the shapes of the network."""
        return checkpoint.decided(self.recipe, self.seed, self.text.digest, self.network.state_dict())


def stalls(past: Sequence[float], now: float, patience: int) -> bool:
    """Whether a perplexity is worse than the best of those that are more than `patience` epochs old."""
    if patience < 1:
        raise SpecError(f"patience must be at least 1, but got {patience}.")
    return len(past) > patience and now > min(past[:-patience])

"""The training of a language model: truncated backpropagation over random lengths, SGD and then averaged SGD.

Liu, Simonyan and Yang, "DARTS", ICLR 2019, appendix A.2.2, after Merity, Keskar and Socher, "Regularizing and
Optimizing LSTM Language Models", ICLR 2018; the code is quark0/darts, rnn/train.py. Every random number of an epoch
comes from streams that are named after that epoch, as in `ogive.training.loop`. Shapes: T moments, B texts side by
side, H numbers of a state, V words.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.training import checkpoint
from ogive.training.journal import Journal
from ogive.training.language_recipe import LanguageRecipe
from ogive.training.loop import Diverged
from ogive.training.text import Text, columns

__all__ = [
    "LanguageEpoch",
    "LanguageOutcome",
    "LanguageProgress",
    "Predicts",
    "lengths",
    "perplexity",
    "train_language",
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
class LanguageOutcome:
    """What a training came to; the network holds the weights of the epoch with the lowest perplexity.

    `halted` says that it ended early because the loss was not finite three times in a row.
    """

    history: tuple[LanguageEpoch, ...]
    halted: bool = False

    @property
    def val_ppl(self) -> float:
        """The lowest perplexity on the validation text, which is that of the weights kept."""
        return min(epoch.val_ppl for epoch in self.history)

    @property
    def seconds(self) -> float:
        """Time of all epochs, those before an interruption included."""
        return sum(epoch.seconds for epoch in self.history)


@dataclass(frozen=True, slots=True)
class LanguageProgress:
    """Where a training stands: `epoch` from 1, the share of its words that were read, `loss` in nats since it began."""

    epoch: int
    epochs: int
    share: float
    loss: float
    val_ppl: float | None
    seconds_left: float


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


def train_language(
    network: nn.Module,
    text: Text,
    recipe: LanguageRecipe,
    *,
    seed: Seed,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    progress: Callable[[LanguageProgress], None] | None = None,
) -> LanguageOutcome:
    """Train `network` (see `Predicts`) in place; it ends with the weights that were best on the validation text.

    With a `folder`, every epoch ends with a checkpoint and a line in ``metrics.jsonl``, and a call with the same
    arguments goes on from there, to the bit on the same machine. An epoch whose loss is not finite is taken back and
    begun anew from the last finished one with other random numbers; after three attempts the training ends. Raises
    Diverged if no epoch was finished, SpecError, and StoreError where the folder holds another training.
    """
    session = _Session(network, text, recipe, seed, torch.device(device), folder)
    cuda = [session.device] if session.device.type == "cuda" else []
    # Dropout draws from torch's global streams: those are forked here and seeded for each epoch.
    with torch.random.fork_rng(devices=cuda):
        session.resume()
        journal = None if folder is None else Journal(folder, [asdict(epoch) for epoch in session.history])
        while len(session.history) < recipe.epochs and not session.halted:
            if session.epoch(progress):
                session.save()
                if journal is not None:
                    journal.write(asdict(session.history[-1]))
    return session.finish()


class _Session:
    """A training under way: the weights now, their average since the switch, the best so far, and the epochs."""

    def __init__(
        self,
        network: nn.Module,
        text: Text,
        recipe: LanguageRecipe,
        seed: Seed,
        device: torch.device,
        folder: Path | None,
    ) -> None:
        self.text, self.recipe, self.seed, self.device, self.folder = text, recipe, seed, device, folder
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

    def epoch(self, progress: Callable[[LanguageProgress], None] | None) -> bool:
        """Run one epoch, anew if need be, and add it to the history; False if it cannot be finished."""
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
            return True
        self.halted = True
        if not self.history:
            raise Diverged(
                f"The loss was not finite {ATTEMPTS} times in the first epoch at a learning rate of "
                f"{self.recipe.learning_rate:g}: lower it, or clip the gradient more."
            )
        return False

    def _trained(self, attempt: int, started: float, progress: Callable[[LanguageProgress], None] | None) -> float:
        """Read the whole training text once; the mean loss a step, in nats a word."""
        number, recipe, model = len(self.history), self.recipe, cast(Predicts, self.network)
        streams = self.seed.child(f"epoch {number}")
        streams = streams.child(f"attempt {attempt}") if attempt else streams
        torch.manual_seed(streams.integer("dropout"))  # noqa: TID251 - forked in train_language()
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

    def resume(self) -> None:
        """Go back to the last checkpoint in the folder, if there is one."""
        found = checkpoint.latest(self.folder, self._fingerprint()) if self.folder is not None else None
        if found is None:
            return
        tensors, record = found
        places = range(len(self.parameters))
        self._restore([tensors[f"now.{place}"] for place in places])
        self.best = [tensors[f"best.{place}"].to(self.device) for place in places]
        if record["averaging"]:
            self.average = [tensors[f"average.{place}"].to(self.device) for place in places]
        self.averaged_steps = record["averaged_steps"]
        self.history = [LanguageEpoch(**epoch) for epoch in record["history"]]

    def save(self) -> None:
        """Write a checkpoint of the epochs so far, if there is a folder."""
        if self.folder is None:
            return
        groups: dict[str, list[Tensor]] = {"now": self.parameters, "best": self.best, "average": self.average or []}
        tensors = {f"{name}.{place}": tensor for name, group in groups.items() for place, tensor in enumerate(group)}
        record = {
            "fingerprint": self._fingerprint(),
            "history": [asdict(epoch) for epoch in self.history],
            "averaging": self.average is not None,
            "averaged_steps": self.averaged_steps,
        }
        checkpoint.save(self.folder, len(self.history), tensors, record)

    def finish(self) -> LanguageOutcome:
        """Leave the best weights in the network."""
        self._restore(self.best)
        return LanguageOutcome(tuple(self.history), self.halted)

    def _fingerprint(self) -> dict[str, object]:
        shapes = {name: list(tensor.shape) for name, tensor in self.network.state_dict().items()}
        return {
            "recipe": asdict(self.recipe),
            "seed": [self.seed.root, *self.seed.path],
            "data": self.text.digest,
            "network": hashlib.sha256(json.dumps(shapes).encode()).hexdigest(),
        }


def stalls(past: Sequence[float], now: float, patience: int) -> bool:
    """Whether a perplexity is worse than the best of those that are more than `patience` epochs old."""
    if patience < 1:
        raise SpecError(f"patience must be at least 1, but got {patience}.")
    return len(past) > patience and now > min(past[:-patience])

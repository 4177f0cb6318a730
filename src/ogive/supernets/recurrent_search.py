"""Train a recurrent supernet on text: its weights on the training text, its architecture on the validation text.

Liu, Simonyan and Yang, "DARTS", ICLR 2019, section 3.1.2 and appendix A.1.2; the code is quark0/darts,
rnn/train_search.py. Every random number of an epoch comes from streams named after it and its steps. Shapes: T moments,
B texts side by side.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, optim

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.supernets.bilevel import Unrolling, first_order, kept_buffers, second_order
from ogive.supernets.history import REPORT_S, Before, Resumable, all_finite
from ogive.supernets.recurrent import RecurrentSupernet
from ogive.training import checkpoint
from ogive.training.text import Text, columns

__all__ = ["RecurrentEpoch", "RecurrentRecipe", "RecurrentSearch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentRecipe:
    """How weights and architecture are trained; the defaults are those of DARTS on the Penn Treebank.

    `order`: 1 holds the weights fixed in a step of the architecture, 2 looks one training step ahead; `uncapped` is the
    switch of ``bilevel.Unrolling``. Steps read `bptt` words, one time in twenty half of them. `slowness` weighs the
    squared change of the output between two words.
    """

    order: Literal[1, 2] = 1
    uncapped: bool = False
    epochs: int = 50  # quark0/darts, rnn/train_search.py, as is all below
    batch_size: int = 256
    bptt: int = 35
    learning_rate: float = 20.0
    weight_decay: float = 5e-7
    gradient_clip: float = 0.25
    slowness: float = 1e-3
    alpha_learning_rate: float = 3e-3
    alpha_weight_decay: float = 1e-3

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise SpecError(f"The order of a search is 1 or 2, but got {self.order}.")
        for name in ("epochs", "batch_size", "bptt"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        for name in ("weight_decay", "slowness", "alpha_weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"{name} must be 0 or a positive number, but got {getattr(self, name)}.")
        for name in ("learning_rate", "gradient_clip", "alpha_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecError(f"{name} must be a positive number, but got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True)
class RecurrentEpoch:
    """One finished epoch, counted from 1: mean losses in nats a word, NaN if no step gave any."""

    number: int
    train_loss: float
    val_loss: float
    rolled_back: int
    seconds: float = field(compare=False)


@dataclass(slots=True)
class _Piece:
    """A piece of text (T, B), the words that follow each of its words, and the state before it."""

    words: Tensor
    following: Tensor
    hidden: Tensor


class RecurrentSearch(Resumable[RecurrentEpoch]):
    """A recurrent supernet under search: `epoch` trains it once; `tensors` and `record` are its whole state."""

    def __init__(
        self,
        supernet: RecurrentSupernet,
        alphas: Tensor,
        text: Text,
        recipe: RecurrentRecipe,
        *,
        seed: Seed,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(RecurrentEpoch)
        self.device = torch.device(device)
        self.supernet, self.alphas, self.recipe, self.seed = supernet.to(self.device), alphas, recipe, seed
        self.weights: list[Tensor] = list(supernet.parameters())
        self.train_TB = columns(text.train, recipe.batch_size).to(self.device)
        self.val_TB = columns(text.val, recipe.batch_size).to(self.device)
        self.architect = optim.Adam([alphas], lr=recipe.alpha_learning_rate, weight_decay=recipe.alpha_weight_decay)

    # -- one epoch ---------------------------------------------------------------------------------------------------

    def epoch(self, progress: Callable[[str], None] | None = None) -> RecurrentEpoch:
        """Train for one epoch, or until the search is over; the supernet is then in training mode."""
        # Dropout draws from torch's global streams: those are forked here and seeded for each step.
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            return self._epoch(progress)

    def _epoch(self, progress: Callable[[str], None] | None) -> RecurrentEpoch:
        started = reported = time.perf_counter()
        number = len(self.history)
        streams = self.seed.child(f"epoch {number}")
        drawn = streams.numpy("lengths")
        self.supernet.train()
        totals, step, good, before = torch.zeros(2, dtype=torch.float64, device=self.device), 0, 0, self.undone
        hidden = other = self.supernet.start(self.recipe.batch_size)
        position = 0
        while position < max(len(self.train_TB) - 2, 1) and not self.over:
            length = max(1, self.recipe.bptt if drawn.random() < 0.95 else self.recipe.bptt // 2)
            piece = _piece(self.train_TB, position, length, hidden)
            # The validation text is shorter: it is read again and again, from a place that moves with the training.
            val_piece = _piece(self.val_TB, position % (len(self.val_TB) - 1), self.recipe.bptt, other)
            seen = self._step(piece, val_piece, length, streams.child(f"step {step}"))
            position, step = position + length, step + 1
            self.count(seen is not None, f"Step {step} of epoch {number + 1}")
            if seen is not None:
                totals, good = totals + seen[0], good + 1
                hidden, other = seen[1], seen[2]
            now = time.perf_counter()
            if progress is not None and now - reported > REPORT_S:
                reported, share = now, min(1.0, position / len(self.train_TB))
                progress(
                    f"epoch {number + 1}, {100 * share:.0f} % read, {(now - started) * (1 / share - 1):.0f} s left"
                )
        train_loss, val_loss = (totals / good).tolist() if good else (math.nan, math.nan)
        undone, seconds = self.undone - before, time.perf_counter() - started
        self.history.append(RecurrentEpoch(number + 1, train_loss, val_loss, undone, seconds))
        return self.history[-1]

    def _step(
        self, piece: _Piece, val_piece: _Piece, length: int, streams: Seed
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """A step of the architecture and one of the weights: both losses, and the states after the two pieces.

        None if it was undone, because a loss or gradient was not finite.
        """
        recipe = self.recipe
        # Rates of pieces of other lengths are in proportion, here and in the step ahead.
        rate = recipe.learning_rate * length / recipe.bptt
        before = Before(list(self.supernet.buffers()), [self.alphas], self.architect)
        with kept_buffers(self.supernet):
            val_loss, gradient, other = self._architecture_gradient(piece, val_piece, rate, streams)
        if not all_finite(val_loss, gradient):
            return None
        self.alphas.grad = gradient
        self.architect.step()
        loss, outputs = self._loss(piece, streams.integer("weights"))
        objective = loss
        if recipe.slowness and len(outputs) > 1:
            objective = loss + recipe.slowness * (outputs[1:] - outputs[:-1]).pow(2).mean()
        gradients = list(torch.autograd.grad(objective, self.weights))
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if not all_finite(loss, norm):
            before.put_back()
            return None
        scale = torch.clamp(recipe.gradient_clip / (norm + 1e-6), max=1.0)
        with torch.no_grad():
            torch._foreach_mul_(self.weights, 1 - rate * recipe.weight_decay)
            torch._foreach_mul_(gradients, -rate * scale)
            torch._foreach_add_(self.weights, gradients)
        return torch.stack((loss.detach(), val_loss)).double(), outputs[-1:].detach(), other

    def _architecture_gradient(
        self, piece: _Piece, val_piece: _Piece, rate: float, streams: Seed
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The validation loss, its gradient in the architecture, and the state after the validation piece."""
        states: list[Tensor] = []

        def validation() -> Tensor:
            loss, outputs = self._loss(val_piece, streams.integer("validation"))
            states.append(outputs[-1:].detach())
            return loss

        if self.recipe.order == 1:
            loss, (gradient,) = first_order([self.alphas], validation)
            return loss, gradient, states[-1]
        ahead = Unrolling(
            rate,
            weight_decay=self.recipe.weight_decay,
            clip=self.recipe.gradient_clip,
            uncapped=self.recipe.uncapped,
        )
        # The same dropout at every call, or the differences would be those of masks.
        loss, (gradient,) = second_order(
            self.weights,
            [self.alphas],
            lambda: self._loss(piece, streams.integer("training"))[0],
            validation,
            ahead,
        )
        return loss, gradient, states[-1]

    def _loss(self, piece: _Piece, number: int) -> tuple[Tensor, Tensor]:
        """The mean loss a word, and the outputs of the cell; dropout is drawn from a number."""
        torch.manual_seed(number)  # noqa: TID251 - forked in epoch()
        weights_EO = torch.softmax(self.alphas, dim=-1)
        log_probabilities, outputs = self.supernet.mixed(piece.words, piece.hidden, weights_EO)
        return F.nll_loss(log_probabilities.flatten(0, 1), piece.following.flatten()), outputs

    # -- the state ---------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Weights, running statistics, architecture, and what its optimiser remembers."""
        found = {f"supernet.{name}": tensor for name, tensor in self.supernet.state_dict().items()}
        remembered = checkpoint.optimizer_tensors(self.architect)
        return found | {"alphas": self.alphas} | {f"architect.{name}": value for name, value in remembered.items()}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Take over a state: `tensors` as above, and a `record`."""
        checkpoint.restore_module(self.supernet, tensors, "supernet.")
        with torch.no_grad():
            self.alphas.copy_(tensors["alphas"])
        own = {name.removeprefix("architect."): t for name, t in tensors.items() if name.startswith("architect.")}
        checkpoint.restore_optimizer(self.architect, own)
        self.remember(record)


def _piece(text_TB: Tensor, position: int, length: int, hidden: Tensor) -> _Piece:
    """At most `length` words from a position, if so many have a next one."""
    target = text_TB[position + 1 : position + 1 + length]
    return _Piece(text_TB[position : position + len(target)], target, hidden)

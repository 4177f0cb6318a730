"""The loop that trains a generator against a discriminator with the hinge loss: exact resume, one path or many.

Gong et al., "AutoGAN", ICCV 2019, section 4.1; VITA-Group/AutoGAN, functions.py and exps/derive.sh. Every random number
of a step comes from streams that are named after that step, as in ``training.loop``. Shapes: N images, L numbers of
noise, C channels, H x W pixels.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.autogan import Discriminator, Generator
from ogive.training import checkpoint
from ogive.training.batches import placed
from ogive.training.data import Data
from ogive.training.loop import Diverged, Tell, drive

__all__ = ["AdversarialRecipe", "Duel", "Pixels", "Round", "Route", "noise", "sampled", "train_adversarial"]

ROUND = 100  # steps between two looks at the losses, and two checkpoints
REPORT_S = 0.5  # seconds between two reports of progress
BATCH = 250  # images that are made at a time where nothing is learnt

# Draws the path of a generator that holds several.
Route = Callable[[torch.Generator], Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialRecipe:
    """How a generator and its discriminator are trained; the defaults are the published ones.

    A step moves the generator once and the discriminator `critic_steps` times, on `generator_batch` made images and on
    `batch_size` real and as many made ones. `average` is the decay of a moving average of the generator's weights,
    which is then what is kept, 0 for none; it is lower at first, so that short trainings forget where they began.
    `decay`: the learning rate falls linearly to 0.
    """

    steps: int = 50_000
    batch_size: int = 64
    generator_batch: int = 128
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.9)
    critic_steps: int = 5
    average: float = 0.999  # functions.py; in the search with shared weights there is none
    decay: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "generator_batch", "critic_steps"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise SpecError(f"learning_rate must be a positive number, but got {self.learning_rate}.")
        for name, value in (("betas", max(self.betas)), ("betas", min(self.betas)), ("average", self.average)):
            if not 0 <= value < 1:
                raise SpecError(f"{name} must be in [0, 1), but got {value}.")

    @property
    def unit(self) -> str:
        """What the length of a training counts."""
        return "steps"

    @property
    def length(self) -> int:
        """The steps of the whole training."""
        return self.steps


@dataclass(frozen=True, slots=True)
class Round:
    """Some finished steps: their last one, counted from 1, and the mean losses over them."""

    step: int
    critic_loss: float
    generator_loss: float
    seconds: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a training stands: its `step`, counted from 1, and the mean losses since the round began."""

    step: int
    steps: int
    critic_loss: float
    generator_loss: float
    seconds_left: float

    # A step is what an epoch is to a training on labelled images: what its length is counted in.
    share: ClassVar[float] = 1.0

    @property
    def epoch(self) -> int:
        """The step."""
        return self.step

    @property
    def epochs(self) -> int:
        """All steps."""
        return self.steps

    @property
    def words(self) -> str:
        """How well it goes."""
        return f"losses {self.critic_loss:.2f} and {self.generator_loss:.2f}"

    @property
    def over(self) -> float:
        """How much of the training is over, 0 to 1."""
        return self.step / self.steps

    def __str__(self) -> str:
        return f"step {self.step} of {self.steps}, {self.words}, about {self.seconds_left:.0f} s left"


@dataclass(frozen=True, slots=True)
class Pixels:
    """The range of the pixels of a data set, which a generator sees as [-1, 1]."""

    low: float
    high: float
    whole: bool

    @classmethod
    def of(cls, data: Data) -> Pixels:
        """0 to 255 for uint8, else the least and the largest value of the training images."""
        images = data.train.images
        if images.dtype == torch.uint8:
            return cls(0.0, 255.0, True)
        low, high = float(images.min()), float(images.max())
        if not low < high:
            raise SpecError(f"A generator needs images with some contrast, but all pixels of {data.name} are {low}.")
        return cls(low, high, False)

    def shown(self, images: Tensor) -> Tensor:
        """Images of the data set as a generator makes them, float32 in [-1, 1]."""
        return (images.float() - self.low) * (2 / (self.high - self.low)) - 1

    def stored(self, images: Tensor) -> Tensor:
        """Made images as the data set holds its own, of the same type."""
        values = (images + 1) * ((self.high - self.low) / 2) + self.low
        return values.round().clamp(self.low, self.high).byte() if self.whole else values


def train_adversarial(
    generator: Generator,
    critic: Discriminator,
    data: Data,
    recipe: AdversarialRecipe,
    *,
    seed: Seed,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    origin: Mapping[str, Any] | None = None,
    path: Route | None = None,
    progress: Tell | None = None,
) -> tuple[Round, ...]:
    """Train both in place on the images of ``data.train``, and return what each round of steps came to.

    `path` draws what a generator of several architectures runs, anew for each step of the discriminator. With a
    `folder` every round ends with a checkpoint, and a call with the same arguments goes on from there: to the bit, on
    the same machine with as many threads. `origin` is what decided the first weights, where `seed` did not. Labels are
    not looked at, nor are ``data.val`` and ``data.test``. Raises Diverged where a loss is no finite number, SpecError,
    and StoreError where the folder holds another training or cannot be written.
    """
    duel = Duel(generator, critic, data, recipe, seed=seed, device=torch.device(device), path=path, origin=origin or {})
    drive(duel, folder=folder, tell=progress)
    return tuple(duel.history)


def noise(count: int, latent: int, number: int) -> Tensor:
    """What images are made of: (count, latent) normal numbers that depend on `number` alone, on the CPU."""
    return torch.randn(count, latent, generator=torch.Generator().manual_seed(number))


def sampled(generator: Generator, z_NL: Tensor) -> Tensor:
    """Images (N, C, H, W) with values in [-1, 1] that the generator makes as it is now, on the CPU."""
    device = next(generator.parameters()).device
    with torch.no_grad():
        return torch.cat([generator(batch.to(device)).cpu() for batch in z_NL.split(BATCH)])


class Duel:
    """A training under way: both networks, what their optimisers remember, and the rounds so far."""

    def __init__(
        self,
        generator: Generator,
        critic: Discriminator,
        data: Data,
        recipe: AdversarialRecipe,
        *,
        seed: Seed,
        device: torch.device,
        path: Route | None = None,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        self.generator, self.critic = generator.to(device).train(), critic.to(device).train()
        self.source, self.recipe, self.seed, self.device, self.path = data, recipe, seed, device, path
        self.origin = dict(origin or {})
        self.images, self.pixels = placed(data, device).train.images, Pixels.of(data)
        self.average = copy.deepcopy(generator).requires_grad_(False) if recipe.average else None
        rates: dict[str, Any] = {"lr": recipe.learning_rate, "betas": recipe.betas}
        # Not fused: that form fails where a weight gets its first gradient later than others, as single paths give it.
        self.optimizers = {
            "generator": optim.Adam(self.generator.parameters(), foreach=True, **rates),
            "critic": optim.Adam(self.critic.parameters(), fused=True, **rates),
        }
        self.batches = math.ceil(len(self.images) / recipe.batch_size)
        self.until = recipe.steps
        self.order: tuple[int, Sequence[Tensor]] = (-1, ())
        self.history: list[Round] = []

    @property
    def done(self) -> int:
        """How many steps are over."""
        return self.history[-1].step if self.history else 0

    # -- some steps --------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether all steps are."""
        return self.done >= self.recipe.steps

    def begin(self) -> None:
        """Nothing is left to be done."""

    def round(self, tell: Tell | None) -> None:
        """Run the next steps and add them to the history; Diverged if a loss was no finite number."""
        started = reported = time.perf_counter()
        first, steps = self.done, self.recipe.steps
        last = min(self.until, first + min(ROUND, math.ceil(steps / 10)))
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number in range(first, last):
            totals += self._step(number)
            now = time.perf_counter()
            if tell is not None and (number + 1 == last or now - reported > REPORT_S):
                reported = now
                critic, made = (totals / (number + 1 - first)).tolist()
                left = (now - started) / (number + 1 - first) * (steps - number - 1)
                tell(Stand(number + 1, steps, critic, made, left))
        critic, made = (totals / (last - first)).tolist()
        if not math.isfinite(critic + made):
            raise Diverged(
                f"The losses became {critic} and {made} before step {last} of {steps}: lower the learning rate."
            )
        self.history.append(Round(last, critic, made, time.perf_counter() - started))

    def _step(self, number: int) -> Tensor:
        """One step of the generator among those of the discriminator; the mean loss of each."""
        streams, recipe = self.seed.child(f"step {number}"), self.recipe
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * (1 - number / recipe.steps if recipe.decay else 1)
        critic_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        generator_loss = critic_loss
        for turn in range(recipe.critic_steps):
            route = None
            if self.path is not None:
                route = self.path(torch.Generator().manual_seed(streams.integer(f"path {turn}")))
            real = self._real(number * recipe.critic_steps + turn)
            critic_loss = critic_loss + self._critic_step(real, route, streams.integer(f"noise {turn}"))
            if turn == 0:  # as published: the first of every five
                generator_loss = self._generator_step(route, streams.integer("noise"))
        self._follow(number)
        return torch.stack((critic_loss / recipe.critic_steps, generator_loss))

    def _critic_step(self, real: Tensor, route: Sequence[int] | None, number: int) -> Tensor:
        with torch.no_grad():
            made = self.generator(self._noise(len(real), number), route)
        # In one pass, which estimates the spectral norms once; nothing else in it depends on what is in a batch.
        real_N, made_N = self.critic(torch.cat((real, made))).split(len(real))
        loss = F.relu(1 - real_N).mean() + F.relu(1 + made_N).mean()
        self._moved("critic", self.critic, loss)
        return loss.detach().double()

    def _generator_step(self, route: Sequence[int] | None, number: int) -> Tensor:
        made = self.generator(self._noise(self.recipe.generator_batch, number), route)
        loss: Tensor = -self.critic(made).mean()
        self._moved("generator", self.generator, loss)
        return loss.detach().double()

    def _moved(self, name: str, network: nn.Module, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(network.parameters()))
        optimizer.step()

    def _noise(self, count: int, number: int) -> Tensor:
        return noise(count, self.generator.latent, number).to(self.device)

    def _real(self, number: int) -> Tensor:
        """The real images of a step of the discriminator: all of them once, in an order that each epoch draws anew."""
        epoch, batch = divmod(number, self.batches)
        if self.order[0] != epoch:
            draw = torch.Generator().manual_seed(self.seed.child(f"epoch {epoch}").integer("order"))
            self.order = epoch, torch.randperm(len(self.images), generator=draw).tensor_split(self.batches)
        rows = self.order[1][batch]
        images: Tensor = self.images[rows.to(self.images.device)].to(self.device)
        return self.pixels.shown(images)

    def _follow(self, step: int) -> None:
        """Move the average of the generator's weights towards its weights."""
        if self.average is not None:
            decay = min(self.recipe.average, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - decay)

    # -- the state, in and out ---------------------------------------------------------------------------------------

    @property
    def _networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"generator": self.generator, "critic": self.critic}
        return networks if self.average is None else {**networks, "average": self.average}

    def _tensors(self) -> dict[str, Tensor]:
        return {f"{k}.{name}": t for k, network in self._networks.items() for name, t in network.state_dict().items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights, statistics, and what both optimisers remember."""
        found = self._tensors()
        for kind, optimizer in self.optimizers.items():
            found |= {f"adam {kind}.{name}": t for name, t in checkpoint.optimizer_tensors(optimizer).items()}
        return found, {}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Take over a state, and the rounds so far."""
        for kind, network in self._networks.items():
            checkpoint.restore_module(network, tensors, f"{kind}.")
        for kind, optimizer in self.optimizers.items():
            prefix = f"adam {kind}."
            own = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            checkpoint.restore_optimizer(optimizer, own)
        self.history = [Round(**entry) for entry in record["history"]]

    def finish(self) -> dict[str, float]:
        """Leave the averaged weights, if they were kept, in the generator; its statistics are the last ones."""
        if self.average is not None:
            with torch.no_grad():
                for weight, kept in zip(self.generator.parameters(), self.average.parameters(), strict=True):
                    weight.copy_(kept)
        return {}

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides the weights."""
        told = checkpoint.decided(self.recipe, self.seed, self.source.digest, self._tensors())
        record = {"networks": told.pop("network"), **told, "origin": self.origin}
        plain: dict[str, Any] = json.loads(json.dumps(record))
        return plain

"""DARTS on text as a strategy: one `ask` trains the recurrent supernet for an epoch and proposes its cell.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, section 3.1.2.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Answer
from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Proposal, Trial
from ogive.spaces.darts_rnn import NAME
from ogive.supernets.recurrent import RecurrentSupernet, derived, fresh_alphas
from ogive.supernets.recurrent_search import RecurrentEpoch, RecurrentRecipe, RecurrentSearch
from ogive.training import checkpoint
from ogive.training.text import Text
from ogive.training.threads import threads as torch_threads

__all__ = ["DartsLanguage"]

logger = logging.getLogger(__name__)

FEW = 8  # steps of an epoch, of which a rehearsal takes the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropouts:
    """The dropouts of ``networks.recurrent.LanguageModel`` while it is a supernet."""

    dropout: float = 0.75  # quark0/darts, rnn/train_search.py, as are all that follow
    dropout_hidden: float = 0.25
    dropout_input: float = 0.75
    dropout_embedding: float = 0.2
    dropout_word: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < 1:
                raise SpecError(f"{name} must be in [0, 1), but got {value}.")


class DartsLanguage:
    """Differentiable search of a recurrent cell; this is what ``darts`` means where the data are a text.

    The training text teaches the weights, the validation text the architecture, as published; it ends after `epochs`
    proposals. Each proposal costs the seconds of its epoch. It learns nothing from what its proposals are measured
    with.

    `channels`: width of all states. `progress` is told what an epoch is doing. The other options are those of
    `RecurrentRecipe` and `Dropouts`.
    """

    answer: Answer = "last"
    divisible = True
    save_every = 1  # an epoch is expensive

    def __init__(
        self,
        *,
        space: SearchSpace,
        data: Text,
        seed: Seed,
        device: str = "cpu",
        threads: int | None = None,
        channels: int | None = None,  # DARTS, appendix A.1.2: 300
        recipe: RecurrentRecipe = RecurrentRecipe(),  # noqa: B008 - frozen
        dropouts: Dropouts = Dropouts(),
        progress: Callable[[str], None] | None = None,
    ) -> None:
        if "language" not in data.tasks:
            raise SpecError(f"A recurrent cell is searched on a text: give --data text:FOLDER, not {data.name}.")
        if space.name != NAME:
            raise SpecError(
                f"On a text, cells of {NAME} are searched: give --space {NAME}, not {space.name}, or images."
            )
        if channels is not None and channels < 1:
            raise SpecError(f"channels must be at least 1, but got {channels}.")
        self.space, self.data, self.seed, self.progress = space, data, seed, progress
        self.epochs, self.device, self.threads = recipe.epochs, device, threads
        self._recipe = recipe
        self._network: dict[str, Any] = {"width": 300 if channels is None else channels, **asdict(dropouts)}
        self._made: RecurrentSearch | None = None

    @property
    def search(self) -> RecurrentSearch:
        """The supernet under search, made when it is first needed."""
        if self._made is None:
            network = RecurrentSupernet(len(self.data.vocabulary), **self._network)
            network.reset(torch.Generator().manual_seed(self.seed.integer("weights")))
            alphas = fresh_alphas(torch.Generator().manual_seed(self.seed.integer("alphas")), device=self.device)
            self._made = RecurrentSearch(network, alphas, self.data, self._recipe, seed=self.seed, device=self.device)
        return self._made

    @property
    def rolled_back(self) -> int:
        """How many steps were undone because their loss was not finite."""
        return self.search.undone

    def ask(self, n: int = 1) -> list[Proposal]:
        """Train for n epochs and propose what would be derived after each of them."""
        proposals: list[Proposal] = []
        while len(proposals) < n and not self.search.over and len(self.search.history) < self.epochs:
            with torch_threads(self.threads):
                epoch = self.search.epoch(self.progress)
            proposals.append(Proposal(self.derived(), cost=Cost(epoch.seconds)))
            self._report(epoch, proposals[-1].arch)
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        """Nothing is learnt from measurements: the supernet reads the validation text itself."""

    @property
    def proposals(self) -> int:
        """One for each epoch."""
        return self.epochs

    def rehearse(self) -> float:
        """About how many seconds all the epochs take, by those of two that read a little of the training text."""
        self._read_s(1)  # the first work of a process takes longer than the rest
        steps = math.ceil(len(self.data.train) / self._recipe.batch_size / self._recipe.bptt)
        few = min(FEW, steps)
        one_s, few_s = self._read_s(1), self._read_s(few)
        step_s = (few_s - one_s) / (few - 1) if few > 1 and few_s > one_s else few_s / few
        return self.epochs * (few_s + (steps - few) * step_s)

    def _read_s(self, steps: int) -> float:
        """Seconds of an epoch on so much of the training text as takes about so many steps."""
        short, words = copy.copy(self), self._recipe.batch_size * (steps * self._recipe.bptt + 2)
        short.data, short.progress, short._made = replace(self.data, train=self.data.train[:words]), None, None
        (proposal,) = short.ask()
        return proposal.cost.wall_s

    def derived(self) -> Architecture:
        """The architecture that would be derived now."""
        return derived(self.search.alphas)

    def _report(self, epoch: RecurrentEpoch, arch: Architecture) -> None:
        told = f"epoch {epoch.number} of {self.epochs}: loss {epoch.train_loss:.3f}, {epoch.val_loss:.3f} in validation"
        logger.info("%s: %s", told, self.space.format(arch))
        if self.progress is not None:
            self.progress(told)

    # -- the state, in and out ---------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write weights, architecture, optimiser and history as one safetensors file; random streams have no state."""
        search = self.search
        record = {"fingerprint": self._fingerprint(), **search.record()}
        checkpoint.save(Path(folder), len(search.history), search.tensors(), record)

    def load(self, folder: Path) -> None:
        """Go on from a saved state; StoreError if it is damaged, or of another search."""
        found = checkpoint.latest(Path(folder), self._fingerprint())
        if found is None:
            raise StoreError(f"{folder} holds no readable state of a supernet.")
        tensors, record = found
        try:
            self.search.restore(tensors, record)
        except (KeyError, TypeError, RuntimeError) as error:
            raise StoreError(f"The state in {folder} was written by another version of ogive: {error!r}.") from error

    def _fingerprint(self) -> dict[str, Any]:
        return {
            "recipe": asdict(self._recipe),
            "network": self._network,
            "seed": [self.seed.root, *self.seed.path],
            "data": self.data.digest,
        }

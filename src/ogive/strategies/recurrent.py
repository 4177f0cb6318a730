"""DARTS on text as a strategy: one `ask` trains the recurrent supernet for an epoch and proposes its cell.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, section 3.1.2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

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


class DartsLanguage:
    """Differentiable search of a recurrent cell; this is what ``darts`` means where the data are a text.

    The training text teaches the weights, the validation text the architecture, as published; it ends after `epochs`
    proposals. Each proposal costs the seconds of its epoch. It learns nothing from what its proposals are measured
    with.

    `channels`: width of all states. `order`: 1 holds the weights fixed in a step of the architecture, 2 looks one
    training step ahead; with `uncapped` its correction grows where the gradient is short, as in the published code.
    The dropouts are those of ``networks.recurrent.LanguageModel``. `progress` is told what an epoch is doing.
    """

    answer: Answer = "last"
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
        order: Literal[1, 2] = 1,
        uncapped: bool = False,
        epochs: int = 50,  # quark0/darts, rnn/train_search.py, as are all that follow
        batch_size: int = 256,
        bptt: int = 35,
        learning_rate: float = 20.0,
        weight_decay: float = 5e-7,
        gradient_clip: float = 0.25,
        slowness: float = 1e-3,
        alpha_learning_rate: float = 3e-3,
        alpha_weight_decay: float = 1e-3,
        dropout: float = 0.75,
        dropout_hidden: float = 0.25,
        dropout_input: float = 0.75,
        dropout_embedding: float = 0.2,
        dropout_word: float = 0.0,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        if not isinstance(data, Text):
            raise SpecError(f"A recurrent cell is searched on a text: give --data text:FOLDER, not {data.name}.")
        if space.name != NAME:
            raise SpecError(
                f"On a text, cells of {NAME} are searched: give --space {NAME}, not {space.name}, or images."
            )
        if channels is not None and channels < 1:
            raise SpecError(f"channels must be at least 1, but got {channels}.")
        self.space, self.data, self.seed, self.progress = space, data, seed, progress
        self.epochs, self.device, self.threads = epochs, device, threads
        self._recipe = RecurrentRecipe(
            order=order,
            uncapped=uncapped,
            epochs=epochs,
            batch_size=batch_size,
            bptt=bptt,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            gradient_clip=gradient_clip,
            slowness=slowness,
            alpha_learning_rate=alpha_learning_rate,
            alpha_weight_decay=alpha_weight_decay,
        )
        self._network: dict[str, Any] = {
            "width": 300 if channels is None else channels,
            "dropout": dropout,
            "dropout_hidden": dropout_hidden,
            "dropout_input": dropout_input,
            "dropout_embedding": dropout_embedding,
            "dropout_word": dropout_word,
        }
        for name, value in self._network.items():
            if name != "width" and not 0 <= value < 1:
                raise SpecError(f"{name} must be in [0, 1), but got {value}.")
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

"""Neural Architecture Optimization: performance predicted at a point between an encoder and a decoder of sequences."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.features import Tokens
from ogive.networks.build import drawing_from
from ogive.predictors.autoencoder import Autoencoder, Head
from ogive.predictors.labels import DuplicateNotice, fitted

__all__ = ["Nao", "NaoSettings", "train_autoencoder"]

Floats = npt.NDArray[np.float64]

# So many sequences are encoded at once where nothing is trained.
AT_ONCE = 2_000
# Of the published variants, what each changes: NAO-WS on recurrent cells, NAO-V2, and Semi-Supervised NAS.
PRESETS: dict[str, dict[str, Any]] = {
    "nao": {},
    "recurrent": {"layers": 4, "head_dropout": 0.0},
    "v2": {"width": 64, "layers": 0, "weight_decay": 0.0},
    "semi_nas": {
        "width": 64,
        "units": 16,
        "head": "residual",
        "bidirectional": True,
        "encoder_dropout": 0.1,
        "unlabelled": 10_000,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NaoSettings:
    """The network and its training; the defaults are those of NAO with weight sharing on images.

    The loss is `trade_off` parts squared error of the performance and the rest negative log-likelihood of the sequence.
    With `symmetric`, sequences are mirrored at random where the space has a symmetry. After the training on labels,
    `unlabelled` random architectures get the predictions as labels, and it goes on for `unlabelled_epochs` with these
    and `copies` of the true ones (Luo et al., "Semi-Supervised NAS", NeurIPS 2020).
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    PRESET: ClassVar[str] = "nao"

    width: int = 96  # of LSTM, embedding of a step and decoder; Luo et al., NeurIPS 2018, as is all to `gradient_clip`
    layers: int = 3
    units: int = 200
    head: Head = "sigmoid"
    bidirectional: bool = False
    encoder_dropout: float = 0.0
    head_dropout: float = 0.1
    trade_off: float = 0.8
    epochs: int = 1000
    batch_size: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    gradient_clip: float = 5.0
    symmetric: bool = True
    unlabelled: int = 0  # 10,000 in Semi-Supervised NAS
    unlabelled_epochs: int = 500
    copies: int = 10

    def __post_init__(self) -> None:
        for name in ("width", "units", "epochs", "batch_size", "unlabelled_epochs", "copies"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, but got {getattr(self, name)}.")
        for name in ("layers", "unlabelled", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"{name} must be 0 or a positive number, but got {getattr(self, name)}.")
        for name in ("encoder_dropout", "head_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise SpecError(f"{name} must be in [0, 1), but got {getattr(self, name)}.")
        if not 0 <= self.trade_off <= 1:
            raise SpecError(f"trade_off lies in [0, 1], but got {self.trade_off}.")
        for name in ("learning_rate", "gradient_clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecError(f"{name} must be a positive number, but got {getattr(self, name)}.")

    def network(self, space: SearchSpace) -> Autoencoder:
        """A network of this size for the sequences of a space, drawn from torch's global state."""
        return Autoencoder(
            Tokens(space=space).form,
            width=self.width,
            layers=self.layers,
            units=self.units,
            head=self.head,
            bidirectional=self.bidirectional,
            encoder_dropout=self.encoder_dropout,
            head_dropout=self.head_dropout,
        )


class Nao:
    """Predicts at a point between an encoder and a decoder of sequences, and climbs there: NAO.

    Luo et al., "Neural Architecture Optimization", NeurIPS 2018. Labels are brought to 0 … 1, or, for the head
    "residual", to mean 0 and deviation 1. An architecture with several labels is learnt with all of them, which is said
    once in the log. For spaces with a form as sequences. A fit on 156 labels takes about 20 s on one core.
    """

    def __init__(self, *, space: SearchSpace, seed: Seed, settings: NaoSettings = NaoSettings()) -> None:
        self.space, self.seed, self.settings = space, seed, settings
        self.encoder = Tokens(space=space)
        self._network: Autoencoder | None = None
        self._unit = (0.0, 1.0)
        self._labelled: dict[Architecture, float] = {}
        self._notice = DuplicateNotice()

    def fit(self, observed: Observed) -> None:
        labels = observed.comparable()
        self._notice(labels)
        scores = np.array(labels.scores)
        low, span = (scores.min(), np.ptp(scores)) if self.settings.head == "sigmoid" else (scores.mean(), scores.std())
        self._unit = (float(low), float(span) or 1.0)
        # All alike, they are in the middle.
        targets = (
            (scores - low) / span if span else np.full(len(scores), 0.5 if self.settings.head == "sigmoid" else 0.0)
        )
        tokens = self.encoder(labels.archs).astype(np.int64)
        rng = self.seed.numpy("nao training")
        with drawing_from(self.seed.integer("nao")):
            network = self.settings.network(self.space)
            train_autoencoder(network, tokens, targets, self.settings, rng)
            self._network, self._labelled = network.eval(), {}
            if self.settings.unlabelled:
                self._train_on_own_labels(network, tokens, targets, rng)

    @property
    def rounds(self) -> int:
        """The epochs; of both trainings, where there are two, as many as the shorter one has."""
        settings = self.settings
        return min(settings.epochs, settings.unlabelled_epochs) if settings.unlabelled else settings.epochs

    def lasting(self, rounds: int) -> Self:
        """The same with trainings that are shorter in proportion."""
        other, settings = copy.copy(self), self.settings
        epochs, more = (
            max(1, round(count * rounds / self.rounds)) for count in (settings.epochs, settings.unlabelled_epochs)
        )
        other.settings = replace(settings, epochs=epochs, unlabelled_epochs=more)
        return other

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        low, span = self._unit
        return low + span * self._performance(archs)

    def starts(self, told: Observed, count: int) -> list[Architecture]:
        """The best `count` of those told and, by prediction, of the unlabelled ones it has given labels."""
        known = dict(zip(told.archs, told.scores, strict=True))
        known = {**self._labelled, **known}
        return sorted(known, key=known.__getitem__, reverse=True)[:count]

    def ascended(self, archs: Sequence[Architecture], step_size: float) -> list[Architecture]:
        """What stands where each architecture gets to by a step up the gradient of the predicted performance.

        A step of 0 gives back what was learnt by heart. The same architecture may come several times.
        """
        network, tokens = fitted(self._network), torch.from_numpy(self.encoder(archs).astype(np.int64))
        points = network.ascended(tokens, step_size)
        return [network.form.read(row) for row in network.decoded(points).tolist()]

    def _performance(self, archs: Sequence[Architecture]) -> Floats:
        """The outputs of the head, shape (n,)."""
        network = fitted(self._network)
        tokens = torch.from_numpy(self.encoder(archs).astype(np.int64))
        with torch.no_grad():
            parts = [network.head(network.encoder(part).mean) for part in tokens.split(AT_ONCE) if len(part)]
        return torch.cat(parts).double().numpy() if parts else np.zeros(0)

    def _train_on_own_labels(
        self, network: Autoencoder, tokens_NT: np.ndarray, targets_N: np.ndarray, rng: np.random.Generator
    ) -> None:
        """Go on with random architectures whose labels are its own predictions."""
        known = set(map(tuple, tokens_NT.tolist()))
        draws = dict.fromkeys(self.space.sample(rng) for _ in range(self.settings.unlabelled))
        others = [arch for arch in draws if self.encoder.form.written(arch) not in known]
        guesses = self._performance(others)
        more_NT = self.encoder(others).astype(np.int64)
        tokens = np.concatenate([np.repeat(tokens_NT, self.settings.copies, axis=0), more_NT])
        targets = np.concatenate([np.repeat(targets_N, self.settings.copies), guesses])
        train_autoencoder(network.train(), tokens, targets, self.settings, rng, epochs=self.settings.unlabelled_epochs)
        network.eval()
        self._labelled = dict(zip(others, self.predict(others).tolist(), strict=True))


def train_autoencoder(
    network: Autoencoder,
    tokens_NT: np.ndarray,
    targets_N: np.ndarray,
    settings: NaoSettings,
    rng: np.random.Generator,
    *,
    epochs: int | None = None,
) -> None:
    """Train by Adam on the joint loss, in batches of shuffled sequences; `epochs` are those of the settings."""
    tokens, targets = torch.from_numpy(tokens_NT), torch.from_numpy(targets_N).float()
    optimizer = torch.optim.Adam(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    for _ in range(epochs or settings.epochs):
        read = tokens
        if settings.symmetric:
            read = torch.from_numpy(network.form.mirrored(tokens_NT, rng))
        for rows in torch.from_numpy(rng.permutation(len(tokens))).split(settings.batch_size):
            error, surprise = network.losses(read[rows], targets[rows])
            loss: Tensor = settings.trade_off * error + (1 - settings.trade_off) * surprise
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
            optimizer.step()

"""The predictor of BANANAS: several small networks on the paths of an architecture, whose spread is the deviation.

White et al., "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search", AAAI 2021, in
the sizes of its public code (naszilla/naszilla, params.py and meta_neural_net.py). Shapes: M networks, B labels of a
batch, N architectures.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Encoder, Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.features import Paths
from ogive.networks.build import drawing_from
from ogive.predictors.labels import DuplicateNotice, fitted
from ogive.predictors.rounds import RoundsOfRecipe
from ogive.predictors.targets import Targets
from ogive.training.threads import threads

__all__ = ["Bananas", "BananasRecipe", "Perceptrons"]

Floats = npt.NDArray[np.float64]

BETAS = (0.9, 0.99)  # of Adam: meta_neural_net.py
# How far above the best label the bound lies that percentage errors are told from, in deviations of the labels: the
# public code has 4.5 % where the best error of NAS-Bench-101 is about 5 % and their deviation is 5 to 6.
HEADROOM = 0.1
# So many architectures are ranked at once, which keeps the memory small.
CHUNK = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BananasRecipe:
    """How the networks are made and trained, all of them alike but for their first weights and orders of labels.

    `loss` is the mean absolute error of standardised labels ("mae"), or that in shares of how far each label lies below
    a bound a little above the best ("mape"), in which the best labels weigh most.
    """

    networks: int = 5  # White et al., section 4
    layers: int = 10  # params.py, as are the others, for tables of cells
    width: int = 20
    epochs: int = 150
    batch_size: int = 32
    learning_rate: float = 0.01
    loss: Literal["mae", "mape"] = "mae"

    def __post_init__(self) -> None:
        for name in ("networks", "layers", "width", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} of BANANAS must be at least 1, but got {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise SpecError(f"BANANAS needs learning_rate > 0, but got {self.learning_rate}.")


class Perceptrons(nn.Module):
    """Several perceptrons side by side, with ReLU between their layers; each has the weights it would have alone."""

    def __init__(self, networks: int, numbers: int, layers: int, width: int) -> None:
        super().__init__()
        sizes = [numbers, *[width] * layers, 1]
        self.weights = nn.ParameterList(
            torch.stack([nn.init.xavier_uniform_(torch.empty(one, other)) for _ in range(networks)])
            for one, other in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(networks, 1, size) for size in sizes[1:])

    def forward(self, rows_MBF: Tensor) -> Tensor:
        """A number of each network for each of its rows, (M, B)."""
        h = rows_MBF
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(bias, torch.relu(h) if place else h, weight)
        return h[..., 0]


class Bananas(RoundsOfRecipe):
    """An ensemble of perceptrons on the path encoding, its mean the prediction and its spread the deviation.

    `encoder` defaults to ``paths``, the 500 most frequent ones where a space has more; it takes part in any other
    encoding too. An architecture with several labels stays in with each; equal labels predict themselves.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        seed: Seed,
        encoder: Encoder | None = None,
        recipe: BananasRecipe = BananasRecipe(),
    ) -> None:
        self.seed, self.recipe = seed, recipe
        self.encoder = Paths(space=space) if encoder is None else encoder
        self._network: Perceptrons | None = None
        self._targets: Targets | None = None
        self._notice = DuplicateNotice()

    def fit(self, observed: Observed) -> None:
        labels, recipe = observed.comparable(), self.recipe
        self._notice(labels)
        self._targets = Targets(labels.scores, "standardised")
        rows, targets = torch.from_numpy(self.encoder(labels.archs)), torch.from_numpy(self._targets.values).float()
        weights = _weights(targets, recipe.loss)
        rng = self.seed.numpy("batches")
        with threads(1), drawing_from(self.seed.integer("bananas")):
            network = Perceptrons(recipe.networks, self.encoder.width, recipe.layers, recipe.width)
            optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, betas=BETAS, fused=True)
            for _ in range(recipe.epochs):
                orders = np.stack([rng.permutation(len(labels)) for _ in range(recipe.networks)])
                for batch_MB in torch.from_numpy(orders).split(recipe.batch_size, dim=1):
                    errors_MB = (network(rows[batch_MB]) - targets[batch_MB]).abs() * weights[batch_MB]
                    # The sum over networks: each has the gradient of its own mean.
                    loss = errors_MB.mean(dim=1).sum()
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
        # In double precision a prediction does not depend on what is ranked at the same time.
        self._network = copy.deepcopy(network).double()

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        return self.predicted(archs)[0]

    def predicted(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        network, targets = fitted(self._network), fitted(self._targets)
        rows = torch.from_numpy(self.encoder(archs)).double()
        with torch.no_grad(), threads(1):
            parts = [network(part.expand(self.recipe.networks, -1, -1)) for part in rows.split(CHUNK)]
        votes_MN = torch.cat(parts, dim=1).numpy()
        mean = votes_MN.mean(axis=0)
        return targets.scores(mean), targets.deviations(mean, votes_MN.std(axis=0))


def _weights(targets: Tensor, loss: str) -> Tensor:
    """What the error of each label counts; 1 on average."""
    if loss == "mae":
        return torch.ones_like(targets)
    weights = 1 / (targets.max() + HEADROOM - targets)
    return weights / weights.mean()

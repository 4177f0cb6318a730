"""The predictor of ReNAS: a small convolutional network on feature tensors, taught which of two is better.

Xu et al., "ReNAS: Relativistic Evaluation of Neural Architecture Search", CVPR 2021, in the form of its public code
(huawei-noah/Efficient-Computing at 1a4e5b9, Efficient-NAS/ReNAS/renas.py), which has the logistic loss and no
continuity term; the others are the paper's. Shapes: B architectures, C channels, D different ones, N nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks.build import drawing_from
from ogive.predictors.labels import DuplicateNotice, fitted
from ogive.predictors.rounds import RoundsOfRecipe
from ogive.predictors.tensors import FeatureTensors
from ogive.training.threads import threads

__all__ = ["LeNet", "ReNAS", "ReNASRecipe", "Scaler", "continuity_loss", "pairwise_loss"]

Floats = npt.NDArray[np.float64]

Loss = Literal["logistic", "hinge", "exponential", "mse"]

# So many architectures are ranked at once, and fewer are filled up: what is predicted of one must not depend on others.
CHUNK = 16
# Triplets of an epoch for the continuity term, whose number grows with the cube of the labels.
TRIPLETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReNASRecipe:
    """How the network is trained: an epoch is one step on all labels, or on batches of them where there are more.

    `loss` is that of pairs, or the squared error of labels that are scaled to 0 … 1; `margin` is the hinge's, and
    `continuity` the weight of the continuity term. `features` is "full", or "types" for the ablation without work and
    parameters.
    """

    epochs: int = 200  # renas.py, as are the rate and the batch
    learning_rate: float = 1e-3
    batch_size: int = 1024
    loss: Loss = "logistic"
    margin: float = 0.1
    continuity: float = 0.0  # renas.py has none, and the paper's weight is not known to us
    features: Literal["full", "types"] = "full"

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise SpecError(f"{name} of ReNAS must be at least {least}, but got {getattr(self, name)}.")
        if not (0 < self.learning_rate < math.inf and 0 <= self.margin < math.inf and 0 <= self.continuity < math.inf):
            raise SpecError(
                "ReNAS needs learning_rate > 0, margin >= 0 and continuity >= 0, but got "
                f"{self.learning_rate}, {self.margin}, {self.continuity}."
            )


# -- the network ------------------------------------------------------------------------------------------------------


class LeNet(nn.Module):
    """LeNet-5 without pooling: two convolutions with normalisation, three linear layers; 813,615 weights on 19 x 7 x 7.

    `channels` (C,) says which of the D different channels of a tensor each of the published ones is: those that are
    equal are convolved once, by the sum of their weights.
    """

    def __init__(self, channels: Tensor, nodes: int) -> None:
        super().__init__()
        count = len(channels)
        self.register_buffer("channels", channels, persistent=False)
        self.channels: Tensor
        self.different = int(channels.max()) + 1
        self.first = nn.Conv2d(count, 2 * count, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(2 * count)
        self.second = nn.Conv2d(2 * count, 128, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(128)
        self.wide = nn.Linear(128 * nodes * nodes, 120)
        self.narrow = nn.Linear(120, 84)
        self.last = nn.Linear(84, 1)

    def features(self, x: Tensor) -> Tensor:
        """Of the different channels of tensors, (B, D, N, N), what the last layer reads, (B, 84)."""
        weight = self.first.weight
        summed = weight.new_zeros(weight.shape[0], self.different, *weight.shape[2:]).index_add(
            1, self.channels, weight
        )
        x = torch.relu_(self.first_norm(F.conv2d(x, summed, padding=1)))
        x = torch.relu_(self.second_norm(self.second(x)))
        return torch.relu(self.narrow(torch.relu(self.wide(x.flatten(1)))))

    def forward(self, x: Tensor) -> Tensor:
        """A score for each, (B,)."""
        found: Tensor = self.last(self.features(x))[:, 0]
        return found


class Scaler:
    """Every number of a tensor with mean 0 and deviation 1 over the labelled architectures; constants stay apart."""

    def __init__(self, rows: npt.NDArray[np.float32]) -> None:
        wide = rows.astype(np.float64)
        self._mean, deviation = wide.mean(axis=0), wide.std(axis=0)
        # As scikit-learn's StandardScaler, which sees no deviation in what rounding leaves of one.
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(self._mean)
        self._scale = np.where(constant, 1.0, deviation)

    def __call__(self, rows: npt.NDArray[np.float32]) -> Tensor:
        """The scaled tensors, for convolutions channels last."""
        scaled = torch.from_numpy(((rows - self._mean) / self._scale).astype(np.float32))
        return scaled.contiguous(memory_format=torch.channels_last)


# -- losses -----------------------------------------------------------------------------------------------------------

_PENALTIES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "logistic": lambda z, margin: F.softplus(-z),
    "hinge": lambda z, margin: F.relu(margin - z),
    "exponential": lambda z, margin: torch.exp(-z),
}


def pairwise_loss(scores: Tensor, labels: Tensor, loss: Loss = "logistic", margin: float = 0.1) -> Tensor:
    """The mean penalty of (E_i − E_j) sgn(y_i − y_j) over all pairs; of equal labels it is constant."""
    i, j = torch.triu_indices(len(scores), len(scores), 1).unbind()
    found: Tensor = _PENALTIES[loss]((scores[i] - scores[j]) * torch.sign(labels[i] - labels[j]), margin).mean()
    return found


def continuity_loss(
    features: Tensor, labels: Tensor, triplets: Tensor, loss: Loss = "logistic", margin: float = 0.1
) -> Tensor:
    """The mean penalty of triplets (3, T) in which the nearer of two by features is the farther one by its label.

    The public code has no such term and the paper's form is not at hand: this is ours, with the penalty of the pairs.
    """
    i, j, k = triplets
    distances = [(features[i] - features[other]).pow(2).sum(dim=1).clamp_min(1e-12).sqrt() for other in (j, k)]
    gaps = [(labels[i] - labels[other]).abs() for other in (j, k)]
    signs = torch.sign(gaps[0] - gaps[1])
    found: Tensor = _PENALTIES[loss]((distances[0] - distances[1]) * signs, margin).mean()
    return found


# -- the predictor ----------------------------------------------------------------------------------------------------


class ReNAS(RoundsOfRecipe):
    """A network on feature tensors (`ogive.predictors.tensors`), trained on which of two labels is larger.

    The network of the last epoch stays. An architecture with several labels stays in with each. Equal labels teach
    nothing: of labels that are all equal, predictions are those of the untrained network. Two labels are one pair.
    """

    def __init__(self, *, space: SearchSpace, seed: Seed, recipe: ReNASRecipe = ReNASRecipe()) -> None:
        self.space, self.seed, self.recipe = space, seed, recipe
        self.tensors = FeatureTensors(space=space)
        self._of = _kept(self.tensors.channels, recipe.features)
        self._scaler: Scaler | None = None
        self._network: LeNet | None = None
        self._tell_duplicates = DuplicateNotice()

    def fit(self, observed: Observed) -> None:
        labels = observed.comparable()
        self._tell_duplicates(labels)
        rows = self._rows(labels.archs)
        self._scaler = Scaler(rows)
        inputs, scores = self._scaler(rows), _unit(labels.scores)
        with threads(1):
            self._network = self._fresh()
            optimizer = torch.optim.Adam(self._network.parameters(), lr=self.recipe.learning_rate, fused=True)
            rng = self.seed.numpy("batches")
            for _ in range(self.recipe.epochs):
                for batch in _batches(len(labels), self.recipe.batch_size, rng):
                    whole = len(batch) == len(labels)
                    loss = self._loss(inputs if whole else inputs[batch], scores if whole else scores[batch], rng)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
        self._network.eval()

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        network, scaler = fitted(self._network), fitted(self._scaler)
        found = np.zeros(len(archs))
        with torch.no_grad(), threads(1):
            for start in range(0, len(archs), CHUNK):
                part = list(archs[start : start + CHUNK])
                inputs = scaler(self._rows(part + part[-1:] * (CHUNK - len(part))))
                found[start : start + CHUNK] = network(inputs)[: len(part)].numpy()
        return found

    def _fresh(self) -> LeNet:
        with drawing_from(self.seed.integer("renas")):
            network = LeNet(torch.from_numpy(self._of), self.tensors.nodes)
        return network.train()

    def _rows(self, archs: Sequence[Architecture]) -> npt.NDArray[np.float32]:
        """The different channels that the network reads, (B, D, N, N)."""
        return self.tensors.distinct(archs)[:, : int(self._of.max()) + 1]

    def _loss(self, inputs: Tensor, labels: Tensor, rng: np.random.Generator) -> Tensor:
        assert self._network is not None
        recipe = self.recipe
        features = self._network.features(inputs)
        scores = self._network.last(features)[:, 0]
        if recipe.loss == "mse":
            found = F.mse_loss(scores, labels)
        else:
            found = pairwise_loss(scores, labels, recipe.loss, recipe.margin)
        if recipe.continuity:
            triplets = torch.from_numpy(rng.integers(len(labels), size=(3, TRIPLETS)))
            penalty: Loss = "logistic" if recipe.loss == "mse" else recipe.loss
            found = found + recipe.continuity * continuity_loss(features, labels, triplets, penalty, recipe.margin)
        return found


def _kept(channels: npt.NDArray[np.int64], features: str) -> npt.NDArray[np.int64]:
    """The channels that are read; for the ablation only the first, which holds the types."""
    return channels[:1] if features == "types" else channels


def _unit(scores: Sequence[float]) -> Tensor:
    """Labels from 0 to 1; all 0 where they are equal."""
    values = torch.tensor(scores, dtype=torch.float64)
    return ((values - values.min()) / (values.max() - values.min() or 1)).float()


def _batches(count: int, size: int, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """All rows in batches of about one size; in their own order if they are one batch."""
    parts = math.ceil(count / size)
    order = np.arange(count) if parts == 1 else rng.permutation(count)
    return np.array_split(order, parts)

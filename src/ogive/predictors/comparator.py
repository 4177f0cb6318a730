"""The comparator of CTNAS: which of two architectures is better, learnt from pairs of those that were measured.

Chen et al., "Contrastive Neural Architecture Search with Neural Architecture Comparators", CVPR 2021, in the form of
its public code (chenyaofo/CTNAS, ctnas/core/model). Shapes: B architectures, G graphs of each, N places, F features, W
width, K distinct nodes, P pairs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Encoder, Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.features import Layers
from ogive.networks.build import drawing_from
from ogive.predictors.graphs import Folded, GraphEncoder, folded
from ogive.predictors.labels import DuplicateNotice, fitted
from ogive.predictors.rounds import RoundsOfRecipe
from ogive.spaces import ofa_mobilenetv3
from ogive.training.threads import threads

__all__ = ["Comparator", "ComparatorNetwork", "ComparatorRecipe", "GraphBody", "GraphLayer", "Graphs", "VectorBody"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BETAS = (0.5, 0.999)  # of Adam: chenyaofo/CTNAS, train.py
GRAPH_LAYERS, GRAPH_WIDTH = 4, 128  # the same
VECTOR_LAYERS, VECTOR_WIDTH = 3, 512  # the same, train_mb.py
# So many architectures are ranked at once, which keeps the memory small.
CHUNK = 20_000
# Spaces whose architectures the public code writes as rows of numbers and not as graphs.
_VECTORS: dict[str, type[Layers]] = {ofa_mobilenetv3.NAME: Layers}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparatorRecipe:
    """How a comparator is trained. An epoch shows every labelled architecture once on each side of a pair.

    `layers` and `width` default to 4 and 128 on graphs, to 3 and 512 on rows of numbers.
    """

    epochs: int = 1000  # chenyaofo/CTNAS, train.py, as are the others
    batch_size: int = 256
    learning_rate: float = 2e-4
    weight_decay: float = 5e-4
    layers: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("layers", 1), ("width", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise SpecError(f"{name} of a comparator must be at least {least}, but got {value}.")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.weight_decay < math.inf:
            raise SpecError(
                "A comparator needs learning_rate > 0 and weight_decay >= 0, but got "
                f"{self.learning_rate}, {self.weight_decay}."
            )


# -- networks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Graphs:
    """A batch of graphs as tensors: see `ogive.predictors.graphs.Folded`."""

    folded: Folded
    operations: Tensor
    senders: Tensor
    receivers: Tensor
    places: Tensor
    shares: Tensor

    @classmethod
    def made(cls, part: Folded, dtype: torch.dtype = torch.float32) -> Graphs:
        """The tensors of a folded batch."""
        wholes = (part.operations, part.senders, part.receivers, part.places)
        operations, senders, receivers, places = map(torch.from_numpy, wholes)
        return cls(part, operations, senders, receivers, places, torch.from_numpy(part.shares).to(dtype))

    def __len__(self) -> int:
        return len(self.folded)

    def of(self, rows: Integers) -> Graphs:
        """Some of the architectures."""
        return Graphs.made(self.folded.of(rows), self.shares.dtype)


class GraphLayer(nn.Module):
    """ReLU((A + I) H W + H + b), where A sums what the senders of a node hold; weights of one row for each input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # Kipf's: uniform within ± 1 / sqrt(width), the bias too.
        bound = 1 / math.sqrt(width)
        self.weight = nn.Parameter(torch.empty(width, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))

    def forward(self, h_KW: Tensor, senders: Tensor, receivers: Tensor) -> Tensor:
        """From nodes to nodes, (K, W)."""
        heard_KW = h_KW.index_add(0, receivers, h_KW.index_select(0, senders))
        return torch.relu(torch.addmm(h_KW + self.bias, heard_KW, self.weight))


class GraphBody(nn.Module):
    """A graph convolutional network; the features of an architecture are the means over the nodes of its graphs.

    The mean is over all places, the padding included, whose embedding is trained too, as in the public code.
    """

    def __init__(self, operations: int, graphs: int, layers: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(operations, width)
        self.layers = nn.ModuleList(GraphLayer(width) for _ in range(layers))
        self.features = graphs * width

    def forward(self, inputs: Graphs) -> Tensor:
        """From a batch of graphs to features, (B, F)."""
        h_KW = self.embedding(inputs.operations)
        for layer in self.layers:
            h_KW = layer(h_KW, inputs.senders, inputs.receivers)
        count, graphs, nodes = inputs.places.shape
        h_BGNW = h_KW.index_select(0, inputs.places.reshape(-1)).reshape(count, graphs, nodes, -1)
        means_BGW: Tensor = (h_BGNW * inputs.shares[..., None]).sum(dim=2)
        return means_BGW.flatten(1)


class VectorBody(nn.Module):
    """A perceptron on rows of numbers: no activation after its last layer."""

    def __init__(self, numbers: int, layers: int, width: int) -> None:
        super().__init__()
        inputs = [numbers, *[width] * (layers - 1)]
        self.layers = nn.ModuleList(nn.Linear(one, width) for one in inputs)
        self.features = width

    def forward(self, rows: Tensor) -> Tensor:
        """From rows to features, (B, F)."""
        for layer in self.layers[:-1]:
            rows = torch.relu(layer(rows))
        found: Tensor = self.layers[-1](rows)
        return found


class ComparatorNetwork(nn.Module):
    """p(a better than b) = sigmoid(w · [z_a; z_b] + bias), with features z of a body.

    That is sigmoid(u · z_a + v · z_b + bias) with the halves of w: each side brings a number of its own.
    """

    def __init__(self, body: GraphBody | VectorBody) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(2 * body.features, 1)

    def forward(self, inputs: Graphs | Tensor) -> tuple[Tensor, Tensor]:
        """What each architecture brings as the first and as the second of a pair, (B,) each, the bias in the last."""
        z_BF = self.body(inputs)
        first, second = self.head.weight[0].chunk(2)
        return z_BF @ first, z_BF @ second + self.head.bias


class _Fitted:
    """A network with the labels and the optimiser that it was trained with."""

    def __init__(self, labels: Observed, network: ComparatorNetwork, optimizer: torch.optim.Optimizer) -> None:
        self.labels, self.network, self.optimizer = labels, network, optimizer
        self._exact: ComparatorNetwork | None = None

    def exact(self) -> ComparatorNetwork:
        """It in double precision, in which a prediction does not depend on what is ranked at the same time."""
        if self._exact is None:
            self._exact = copy.deepcopy(self.network).double()
        return self._exact

    def step(self, inputs: Graphs | Tensor, first: Integers, second: Integers, better: Tensor) -> None:
        """One step on the pairs of these rows, of which the first is the better one or not."""
        self._exact = None
        needed, places = np.unique(np.concatenate((first, second)), return_inverse=True)
        if len(needed) < len(inputs):
            inputs = inputs.of(needed) if isinstance(inputs, Graphs) else inputs[needed]
            first, second = places[: len(first)], places[len(first) :]
        wins, losses = self.network(inputs)
        logits = wins[first] + losses[second]
        loss = F.binary_cross_entropy_with_logits(logits, better.to(logits.dtype))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def _optimizer(network: ComparatorNetwork, recipe: ComparatorRecipe) -> torch.optim.Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    return torch.optim.Adam(network.parameters(), lr=rate, betas=BETAS, weight_decay=decay, foreach=True)


# -- the predictor ----------------------------------------------------------------------------------------------------


class Comparator(RoundsOfRecipe):
    """A neural architecture comparator (NAC): ranks by the probability of being better than others.

    Trained by binary cross-entropy on pairs of labels, in which the first is better if its score is larger or equal.
    The batches of an epoch are put in random cycles, and each architecture is compared with the next. A logit is a sum
    of a part of each architecture, so that all of them are ranked by what they bring themselves, in the order in which
    they win against all. Without an `encoder` architectures are graphs (`ogive.predictors.graphs`); with one, rows of
    numbers of a perceptron of three layers of 512, as CTNAS has it for networks of mobile blocks, which are rows of
    `Layers` where no encoder is given.

    Equal scores teach nothing but that neither is worse. An architecture with several labels stays in with each.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        seed: Seed,
        encoder: Encoder | None = None,
        recipe: ComparatorRecipe = ComparatorRecipe(),
    ) -> None:
        self.space, self.seed, self.recipe = space, seed, recipe
        self.encoder = _VECTORS[space.name](space=space) if encoder is None and space.name in _VECTORS else encoder
        self._graphs = GraphEncoder(space=space) if self.encoder is None else None
        self._fitted: _Fitted | None = None
        self._notice = DuplicateNotice()

    def fit(self, observed: Observed) -> None:
        labels = observed.comparable()
        self._notice(labels)
        with threads(1):
            network = self._fresh()
            self._fitted = _Fitted(labels, network, _optimizer(network, self.recipe))
            inputs, scores = self._inputs(labels.archs), torch.tensor(labels.scores, dtype=torch.float64)
            rng = self.seed.numpy("pairs")
            for _ in range(self.recipe.epochs):
                for batch in _batches(len(labels), self.recipe.batch_size, rng):
                    other = np.roll(batch, -1)
                    self._fitted.step(inputs, batch, other, scores[batch] >= scores[other])

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        return self.sides(archs)[0]

    def sides(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """What each brings as the first and as the second of a pair, (n,) each: logits are sums of the two."""
        network = fitted(self._fitted).exact()
        found = np.zeros((2, len(archs)))
        with torch.no_grad(), threads(1):
            for start in range(0, len(archs), CHUNK):
                inputs = self._inputs(archs[start : start + CHUNK], torch.float64)
                found[:, start : start + CHUNK] = torch.stack(network(inputs)).numpy()
        return found[0], found[1]

    def twin(self) -> Comparator:
        """Another one that was fitted on the same, which may `learn` on."""
        other = copy.copy(self)
        other._fitted = copy.deepcopy(fitted(self._fitted))
        return other

    def learn(self, pairs: Sequence[tuple[Architecture, Architecture, bool]], rng: np.random.Generator) -> None:
        """Go on for an epoch in which as many of these pairs as of the labels' own are in every batch.

        The last of a pair says whether its first is the better one.
        """
        known = fitted(self._fitted)
        labels, scores = known.labels, np.array(known.labels.scores)
        chosen = [pairs[place] for place in rng.integers(len(pairs), size=len(labels)).tolist()]
        archs = [*labels.archs, *(pair[0] for pair in chosen), *(pair[1] for pair in chosen)]
        won = np.array([pair[2] for pair in chosen])
        with threads(1):
            inputs, done = self._inputs(archs), 0
            for batch in _batches(len(labels), self.recipe.batch_size, rng):
                other, extra = np.roll(batch, -1), np.arange(done, done + len(batch))
                first = np.concatenate((batch, len(labels) + extra))
                second = np.concatenate((other, 2 * len(labels) + extra))
                better = np.concatenate((scores[batch] >= scores[other], won[extra]))
                known.step(inputs, first, second, torch.from_numpy(better))
                done += len(batch)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _fresh(self) -> ComparatorNetwork:
        with drawing_from(self.seed.integer("comparator")):
            return ComparatorNetwork(self._body(self.recipe.layers, self.recipe.width))

    def _body(self, layers: int | None, width: int | None) -> GraphBody | VectorBody:
        if self._graphs is None:
            assert self.encoder is not None
            return VectorBody(self.encoder.width, layers or VECTOR_LAYERS, width or VECTOR_WIDTH)
        graphs = self._graphs
        return GraphBody(len(graphs.vocabulary), graphs.graphs, layers or GRAPH_LAYERS, width or GRAPH_WIDTH)

    def _inputs(self, archs: Sequence[Architecture], dtype: torch.dtype = torch.float32) -> Graphs | Tensor:
        if self._graphs is not None:
            return Graphs.made(folded(self._graphs(archs)), dtype)
        assert self.encoder is not None
        return torch.from_numpy(self.encoder(archs)).to(dtype)


def _batches(count: int, size: int, rng: np.random.Generator) -> list[Integers]:
    """All rows in a random order, in batches; a last one of a single row is no pair and joins the one before."""
    order = rng.permutation(count)
    starts = list(range(0, count, size))
    if count % size == 1 and len(starts) > 1:
        starts.pop()
    return np.split(order, starts[1:])

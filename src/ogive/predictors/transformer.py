"""A small transformer on the graphs of architectures: every node hears every other, biased by how far apart they are.

The encodings are those of Graphormer (Ying et al., "Do Transformers Really Perform Badly for Graph Representation?",
NeurIPS 2021, section 3): degrees at the input, distances as biases of the attention, here along the arcs and against
them. Its size and training are ours. Shapes: B architectures, G graphs of each, N nodes, H heads, W width.
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
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks.build import drawing_from
from ogive.predictors.graphs import GraphBatch, GraphEncoder
from ogive.predictors.labels import DuplicateNotice, fitted
from ogive.predictors.rounds import RoundsOfRecipe
from ogive.predictors.targets import Targets
from ogive.training.threads import threads

__all__ = ["GraphTransformer", "TransformerNetwork", "TransformerRecipe", "relations"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Distances and degrees from this one on are one.
FAR = 8
# What two nodes may be to each other: the same, so many arcs ahead, so many behind, and neither.
RELATIONS = 2 * FAR + 2
# So many nodes are ranked at once, which keeps the memory small.
CHUNK_NODES = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerRecipe:
    """The network and its training by AdamW, whose rate falls to 0 along a cosine.

    Twice the width and a third layer rank NAS-Bench-201 no better (validation accuracy of CIFAR-10, seed 1000).
    """

    layers: int = 2
    width: int = 32
    heads: int = 4
    dropout: float = 0.1
    epochs: int = 150
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} of a graph transformer must be at least 1, but got {getattr(self, name)}.")
        if self.width % self.heads:
            raise SpecError(f"A width of {self.width} is not shared by {self.heads} heads: take a multiple of them.")
        if not (0 <= self.dropout < 1 and 0 < self.learning_rate < math.inf and 0 <= self.weight_decay < math.inf):
            raise SpecError(
                "A graph transformer needs 0 <= dropout < 1, learning_rate > 0 and weight_decay >= 0, but got "
                f"{self.dropout}, {self.learning_rate}, {self.weight_decay}."
            )


def relations(adjacency: npt.NDArray[np.bool_]) -> Integers:
    """What node i is to node j, (..., N, N): 0 itself, d or FAR + d if the shortest way along or against arcs has d."""
    nodes = adjacency.shape[-1]
    found = np.full(adjacency.shape, RELATIONS - 1)
    found[..., np.arange(nodes), np.arange(nodes)] = 0
    arcs, reached = adjacency.astype(np.float32), adjacency.astype(np.float32)
    for distance in range(1, nodes):
        new = (reached > 0) & (found == RELATIONS - 1)
        if not new.any():
            break
        found[new] = min(distance, FAR)
        found[np.swapaxes(new, -1, -2)] = FAR + min(distance, FAR)
        reached = new.astype(np.float32) @ arcs
    return found


# -- the network ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Inputs:
    """Graphs as tensors: rows of the vocabulary and degrees (B, G, N), relations (B, G, N, N)."""

    operations: Tensor
    heard: Tensor
    hearing: Tensor
    relations: Tensor

    @classmethod
    def made(cls, batch: GraphBatch) -> _Inputs:
        """The tensors of a batch."""
        heard, hearing = (np.minimum(batch.adjacency.sum(axis=axis), FAR) for axis in (-2, -1))
        arrays = (batch.operations, heard, hearing, relations(batch.adjacency))
        return cls(*(torch.from_numpy(np.ascontiguousarray(one)) for one in arrays))

    def __len__(self) -> int:
        return len(self.operations)

    def of(self, rows: Tensor | slice) -> _Inputs:
        """Some of the architectures."""
        return _Inputs(self.operations[rows], self.heard[rows], self.hearing[rows], self.relations[rows])


class _Block(nn.Module):
    """Attention, then a perceptron of twice the width, each normalised before and added to what came in."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.attention_norm, self.wide_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked = nn.Linear(width, 3 * width)
        self.answered = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, h_BNW: Tensor, bias_BHNN: Tensor) -> Tensor:
        count, nodes, width = h_BNW.shape
        asked = self.asked(self.attention_norm(h_BNW)).reshape(count, nodes, 3, self.heads, width // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4).unbind()
        heard = F.scaled_dot_product_attention(query, key, value, attn_mask=bias_BHNN)
        h_BNW = h_BNW + self.dropout(self.answered(heard.transpose(1, 2).reshape(count, nodes, width)))
        found: Tensor = h_BNW + self.dropout(self.narrow(F.gelu(self.wide(self.wide_norm(h_BNW)))))
        return found


class TransformerNetwork(nn.Module):
    """From graphs to one number each: the mean of the nodes after the last block, of all graphs of an architecture."""

    def __init__(self, operations: int, graphs: int, recipe: TransformerRecipe) -> None:
        super().__init__()
        width = recipe.width
        self.operation = nn.Embedding(operations, width)
        self.heard, self.hearing = nn.Embedding(FAR + 1, width), nn.Embedding(FAR + 1, width)
        self.relation = nn.Embedding(RELATIONS, recipe.heads)
        nn.init.zeros_(self.relation.weight)
        self.blocks = nn.ModuleList(_Block(width, recipe.heads, recipe.dropout) for _ in range(recipe.layers))
        self.norm = nn.LayerNorm(graphs * width)
        self.last = nn.Linear(graphs * width, 1)

    def forward(self, inputs: _Inputs) -> Tensor:
        """A number for each architecture, (B,)."""
        count, _, nodes = inputs.operations.shape
        operations = inputs.operations.reshape(-1, nodes)
        h = self.operation(operations)
        h = h + self.heard(inputs.heard.reshape(-1, nodes)) + self.hearing(inputs.hearing.reshape(-1, nodes))
        there = operations > 0
        bias = self.relation(inputs.relations.reshape(-1, nodes, nodes)).permute(0, 3, 1, 2)
        bias = bias.masked_fill(~there[:, None, None, :], -math.inf)
        for block in self.blocks:
            h = block(h, bias)
        mean = (h * there[..., None]).sum(dim=1) / there.sum(dim=1, keepdim=True)
        found: Tensor = self.last(self.norm(mean.reshape(count, -1)))[:, 0]
        return found


# -- the predictor ----------------------------------------------------------------------------------------------------


class GraphTransformer(RoundsOfRecipe):
    """A transformer on the pruned graphs of architectures, taught the normal scores of the labels by squared errors.

    For any space that draws graphs. What is predicted is in the unit of the scores. An architecture with several labels
    stays in with each; equal labels predict themselves.
    """

    def __init__(self, *, space: SearchSpace, seed: Seed, recipe: TransformerRecipe = TransformerRecipe()) -> None:
        self.seed, self.recipe = seed, recipe
        self.graphs = GraphEncoder(space=space, pruned=True)
        self._network: TransformerNetwork | None = None
        self._targets: Targets | None = None
        self._notice = DuplicateNotice()

    def fit(self, observed: Observed) -> None:
        labels, recipe = observed.comparable(), self.recipe
        self._notice(labels)
        self._targets = Targets(labels.scores, "normal_scores")
        inputs, targets = _Inputs.made(self.graphs(labels.archs)), torch.from_numpy(self._targets.values).float()
        rng = self.seed.numpy("batches")
        with threads(1), drawing_from(self.seed.integer("graph transformer")):
            network = TransformerNetwork(len(self.graphs.vocabulary), self.graphs.graphs, recipe)
            optimizer = torch.optim.AdamW(
                network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
            )
            for epoch in range(recipe.epochs):
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2
                for rows in torch.from_numpy(rng.permutation(len(labels))).split(recipe.batch_size):
                    loss = F.mse_loss(network(inputs.of(rows)), targets[rows])
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
        # In double precision a prediction does not depend on what is ranked at the same time.
        self._network = copy.deepcopy(network).double().eval()

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        network, targets = fitted(self._network), fitted(self._targets)
        inputs = _Inputs.made(self.graphs(archs))
        size = max(1, CHUNK_NODES // max(1, self.graphs.graphs * inputs.operations.shape[-1]))
        found = np.zeros(len(archs))
        with torch.no_grad(), threads(1):
            for start in range(0, len(archs), size):
                part = slice(start, start + size)
                found[part] = network(inputs.of(part)).numpy()
        return targets.scores(found)

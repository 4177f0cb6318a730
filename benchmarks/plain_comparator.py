"""The comparator of CTNAS trained plainly: dense padded matrices, pairs put together one by one for every batch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.predictors.comparator import ComparatorNetwork
from ogive.predictors.graphs import GraphBatch


class PlainNetwork(nn.Module):
    """Both sides of every pair go through the layers, with all their nodes."""

    def __init__(self, operations: int, layers: int = 4, width: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(operations, width)
        self.weights = nn.ParameterList(torch.empty(width, width) for _ in range(layers))
        self.biases = nn.ParameterList(torch.empty(width) for _ in range(layers))
        self.head = nn.Linear(2 * width, 1)

    def take(self, network: ComparatorNetwork) -> PlainNetwork:
        """The weights of ogive's network."""
        body = network.body
        with torch.no_grad():
            self.embedding.weight.copy_(body.embedding.weight)
            for weight, bias, layer in zip(self.weights, self.biases, body.layers, strict=True):
                weight.copy_(layer.weight)
                bias.copy_(layer.bias)
            self.head.load_state_dict(network.head.state_dict())
        return self

    def features(self, operations: Tensor, receives: Tensor) -> Tensor:
        h = self.embedding(operations)
        identity = torch.eye(receives.shape[-1])
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h = F.relu((receives + identity) @ h @ weight + h + bias)
        return h.mean(dim=1)

    def forward(self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
        logits: Tensor = self.head(torch.cat((self.features(*first), self.features(*second)), dim=1))[:, 0]
        return logits


def train(
    network: PlainNetwork,
    batch: GraphBatch,
    scores: tuple[float, ...],
    epochs: int,
    size: int,
    rng: np.random.Generator,
) -> None:
    """Adam on the pairs of random cycles, as ogive trains."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), weight_decay=5e-4)
    operations = [torch.from_numpy(one) for one in batch.operations[:, 0]]
    receives = [torch.from_numpy(one.T.astype(np.float32)) for one in batch.adjacency[:, 0]]
    for _ in range(epochs):
        order = rng.permutation(len(scores)).tolist()
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            pairs = [(rows[place], rows[(place + 1) % len(rows)]) for place in range(len(rows))]
            first, second = (
                (
                    torch.stack([operations[pair[side]] for pair in pairs]),
                    torch.stack([receives[pair[side]] for pair in pairs]),
                )
                for side in (0, 1)
            )
            won = torch.tensor([float(scores[one] >= scores[other]) for one, other in pairs])
            loss = F.binary_cross_entropy_with_logits(network(first, second), won)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def ranked(network: PlainNetwork, batch: GraphBatch) -> np.ndarray:
    """What each architecture brings as the first of a pair."""
    with torch.no_grad():
        features = network.features(
            torch.from_numpy(batch.operations[:, 0]),
            torch.from_numpy(batch.adjacency[:, 0].swapaxes(1, 2).astype(np.float32)),
        )
        return (features @ network.head.weight[0, : features.shape[1]]).numpy()

"""ReNAS as its public code has it: all channels convolved, pairs of all architectures in matrices, a step at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


def plain_network(channels: int, nodes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.ReLU(),
        nn.Conv2d(2 * channels, 128, 3, padding=1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128 * nodes * nodes, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 1),
    )


def scaled(told: np.ndarray, rows: np.ndarray) -> Tensor:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(told.reshape(len(told), -1).astype(np.float64))
    flat = scaler.transform(rows.reshape(len(rows), -1).astype(np.float64))
    return torch.tensor(flat.reshape(rows.shape), dtype=torch.float32)


def train(network: nn.Sequential, inputs: Tensor, scores: Sequence[float], epochs: int) -> None:
    labels = torch.tensor(scores)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    count = len(labels)
    network.train()
    for _ in range(epochs):
        found = network(inputs)[:, 0]
        difference = (found[:, None] - found) * torch.sign(labels[:, None] - labels)
        losses = torch.log(1 + torch.exp(-difference))
        loss = (losses.sum() - losses.diagonal().sum()) / (count * (count - 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()

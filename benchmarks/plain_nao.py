"""NAO trained plainly: every sequence of a batch by itself, token by token, and its gradient added to those before."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.tokens import START
from ogive.predictors.autoencoder import Autoencoder, Points
from ogive.predictors.nao import NaoSettings


def losses(network: Autoencoder, tokens_T: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error and mean negative log-likelihood of one sequence; the LSTMs are run moment by moment."""
    encoder, decoder = network.encoder, network.decoder
    state: tuple[Tensor, Tensor] | None = None
    outputs = []
    for step in tokens_T.view(-1, encoder.step):
        out, state = encoder.lstm(encoder.embedding(step).view(1, 1, -1), state)
        outputs.append(out[:, 0])
    points = Points.of(torch.stack(outputs, dim=1))
    before, after, surprise = torch.tensor([[START]]), decoder.start(points), torch.zeros(())
    for token in tokens_T:
        logits, after = decoder(points, before, after)
        surprise = surprise + F.cross_entropy(logits[0], token[None])
        before = token.view(1, 1)
    return (network.head(points.mean)[0] - target) ** 2, surprise / len(tokens_T)


def train(
    network: Autoencoder, tokens_NT: np.ndarray, targets_N: np.ndarray, settings: NaoSettings, rng: np.random.Generator
) -> None:
    """The same steps as ``ogive.predictors.nao.train_autoencoder`` without mirrored sequences."""
    tokens, targets = torch.from_numpy(tokens_NT), torch.from_numpy(targets_N).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    for _ in range(settings.epochs):
        order = rng.permutation(len(tokens)).tolist()
        for start in range(0, len(order), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            optimizer.zero_grad()
            for row in rows:
                error, surprise = losses(network, tokens[row], targets[row])
                loss = settings.trade_off * error + (1 - settings.trade_off) * surprise
                (loss / len(rows)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
            optimizer.step()

"""The network of Neural Architecture Optimization: sequences to a point, its performance, and the sequence back.

Luo et al., NeurIPS 2018, section 3; the variant of "Semi-Supervised NAS" (Luo et al., NeurIPS 2020). Shapes: N
sequences, T tokens of each, S = T / step steps of the encoder, D the width of all states, V the vocabulary.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.tokens import START, TokenForm

__all__ = ["Autoencoder", "Head", "Points"]

Head = Literal["sigmoid", "residual"]
_HALF = math.sqrt(0.5)


class Points(NamedTuple):
    """What the encoder makes of sequences: its outputs (N, S, D), each of length 1, and their mean (N, D), likewise."""

    outputs: Tensor
    mean: Tensor

    @classmethod
    def of(cls, outputs_NSD: Tensor) -> Points:
        """Both brought to length 1."""
        outputs_NSD = F.normalize(outputs_NSD, dim=-1)
        return cls(outputs_NSD, F.normalize(outputs_NSD.mean(1), dim=-1))


class Encoder(nn.Module):
    """An LSTM over the embeddings of the tokens, those of a step side by side."""

    def __init__(self, vocabulary: int, width: int, step: int, dropout: float, bidirectional: bool) -> None:
        super().__init__()
        if width % step:
            raise SpecError(f"{step} tokens are read at once, so that the width is a multiple of it, but got {width}.")
        self.embedding = nn.Embedding(vocabulary, width // step)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=bidirectional)
        self.projection = nn.Linear(2 * width, width) if bidirectional else None
        self.step, self.dropout = step, dropout

    def forward(self, tokens_NT: Tensor) -> Points:
        """Where the sequences are."""
        count, length = tokens_NT.shape
        read_NSD = self.embedding(tokens_NT).view(count, length // self.step, -1)
        read_NSD = F.dropout(read_NSD, self.dropout, self.training)
        outputs = self.lstm(read_NSD)[0]
        if self.projection is not None:
            outputs = (read_NSD + self.projection(outputs)) * _HALF
        return Points.of(F.dropout(outputs, self.dropout, self.training))


class SigmoidHead(nn.Module):
    """Performance between 0 and 1 by some hidden layers, or none."""

    def __init__(self, width: int, layers: int, units: int, dropout: float) -> None:
        super().__init__()
        widths = [width, *[units] * layers]
        hidden = [
            nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout))
            for before, after in itertools.pairwise(widths)
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], 1))

    def forward(self, points_ND: Tensor) -> Tensor:
        """Shape (N,)."""
        return torch.sigmoid(self.layers(points_ND))[:, 0]


class ResidualHead(nn.Module):
    """Performance in any unit, by a narrow layer beside which the point is passed on."""

    def __init__(self, width: int, units: int, dropout: float) -> None:
        super().__init__()
        self.narrow, self.wide, self.last = nn.Linear(width, units), nn.Linear(units, width), nn.Linear(width, 1)
        self.dropout = dropout

    def forward(self, points_ND: Tensor) -> Tensor:
        """Shape (N,)."""
        inner = F.dropout(F.relu(self.narrow(points_ND)), self.dropout, self.training)
        performance: Tensor = self.last((points_ND + self.wide(inner)) * _HALF)[:, 0]
        return performance


class Decoder(nn.Module):
    """An LSTM that begins at the mean point and looks back at the outputs of the encoder for every token."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.attention = nn.Linear(width, width, bias=False)
        self.mixed = nn.Linear(2 * width, width, bias=False)
        self.words = nn.Linear(width, vocabulary)

    def forward(
        self, points: Points, before_NT: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits (N, T, V) of the tokens that follow `before_NT`, and the state of the LSTM after them."""
        asked_NTD, state = self.lstm(self.embedding(before_NT), state)
        weights_NTS = torch.softmax(self.attention(asked_NTD) @ points.outputs.mT, dim=-1)
        found = torch.tanh(self.mixed(torch.cat([weights_NTS @ points.outputs, asked_NTD], dim=-1)))
        return self.words(found), state

    def start(self, points: Points) -> tuple[Tensor, Tensor]:
        """The state before the first token: the mean point, twice."""
        return points.mean[None].contiguous(), points.mean[None].contiguous()


class Autoencoder(nn.Module):
    """Encoder, performance and decoder, trained together; `form` gives the sequences."""

    def __init__(
        self,
        form: TokenForm,
        *,
        width: int,
        layers: int,
        units: int,
        encoder_dropout: float = 0.0,
        head_dropout: float = 0.0,
        bidirectional: bool = False,
        head: Head = "sigmoid",
    ) -> None:
        super().__init__()
        self.form = form
        self.encoder = Encoder(form.vocabulary, width, form.step, encoder_dropout, bidirectional)
        self.head = (
            SigmoidHead(width, layers, units, head_dropout)
            if head == "sigmoid"
            else ResidualHead(width, units, head_dropout)
        )
        self.decoder = Decoder(form.vocabulary, width)

    def forward(self, tokens_NT: Tensor, wanted_NT: Tensor) -> tuple[Tensor, Tensor]:
        """Performance (N,) of sequences, and logits (N, T, V) of those that are wanted back, each told those before."""
        points = self.encoder(tokens_NT)
        before_NT = F.pad(wanted_NT[:, :-1], (1, 0), value=START)
        logits_NTV, _ = self.decoder(points, before_NT, self.decoder.start(points))
        return self.head(points.mean), logits_NTV

    def losses(self, tokens_NT: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """The mean squared error of the performance, and the mean negative log-likelihood of a token."""
        performance_N, logits_NTV = self(tokens_NT, tokens_NT)
        return F.mse_loss(performance_N, targets_N), F.cross_entropy(logits_NTV.flatten(0, 1), tokens_NT.flatten())

    def ascended(self, tokens_NT: Tensor, step_size: float) -> Points:
        """Where sequences get to by one step up the gradient of performance, taken by every output of the encoder."""
        outputs_NSD = self.encoder(tokens_NT).outputs.detach().requires_grad_()
        performance_N = self.head(F.normalize(outputs_NSD.mean(1), dim=-1))
        (gradient_NSD,) = torch.autograd.grad(performance_N.sum(), outputs_NSD)
        return Points.of(outputs_NSD.detach() + step_size * gradient_NSD)

    @torch.no_grad()
    def decoded(self, points: Points) -> Tensor:
        """The most likely legal sequences (N, T) at some points, token by token."""
        count = len(points.mean)
        tokens_NT = torch.zeros((count, 0), dtype=torch.int64)
        last_N1, state = torch.full((count, 1), START), self.decoder.start(points)
        for _ in range(self.form.length):
            logits_N1V, state = self.decoder(points, last_N1, state)
            legal_NV = torch.from_numpy(self.form.legal(tokens_NT.numpy()))
            last_N1 = logits_N1V[:, 0].masked_fill(~legal_NV, -math.inf).argmax(dim=1, keepdim=True)
            tokens_NT = torch.cat([tokens_NT, last_N1], dim=1)
        return tokens_NT

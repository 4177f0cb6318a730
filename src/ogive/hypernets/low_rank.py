"""LoGAH's decoder: tensors as products of two thin matrices, so that wide ones are predicted whole and not tiled.

Zhou et al., "LoGAH: Predicting 774-Million-Parameter Transformers using Graph HyperNetworks with 1/100 Parameters",
arXiv:2405.16287, section 3.1, appendix B and figure 5, which names the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LowRankDecoder", "counted"]


class Perceptron(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(sizes[0], sizes[1])]
        for inputs, outputs in pairwise(sizes[1:]):
            layers += [nn.ReLU(), nn.Linear(inputs, outputs)]
        self.fc = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, the last size)."""
        found: Tensor = self.fc(x)
        return found


class LowRankDecoder(nn.Module):
    """W = A B with A of `longest` rows and B of as many columns, of which a tensor takes the first.

    A tensor (outputs, inputs, rows, columns) is the matrix of outputs × rows by inputs × columns. All tensors, vectors
    and last layers too, are of one kind here.
    """

    def __init__(self, width: int, rank: int, longest: int, classes: int, most: int) -> None:
        super().__init__()
        self.rank, self.longest, self.count, self.most = rank, longest, classes, most
        self.mlp = Perceptron((width, 4 * width, 8 * width, 2 * rank * rank))
        self.l2 = nn.Linear(rank, longest)

    def forward(self, h_NC: Tensor, outputs: int, inputs: int, rows: int, columns: int) -> Tensor:
        """Shape (N, outputs, inputs, rows, columns)."""
        x_NRR = F.relu(self.mlp(h_NC)).view(len(h_NC), 2, self.rank, self.rank)
        a_NKR, b_NKR = self._first(x_NRR[:, 0], outputs * rows), self._first(x_NRR[:, 1], inputs * columns)
        return (a_NKR @ b_NKR.mT).view(len(h_NC), outputs, rows, inputs, columns).transpose(2, 3)

    def classes(self, h_NC: Tensor) -> Tensor:
        """Weights of last layers, (N, classes, inputs)."""
        found: Tensor = self(h_NC, self.count, self.most, 1, 1)[..., 0, 0]
        return found

    def vectors(self, h_NC: Tensor, length: int) -> Tensor:
        """Both halves of vectors, weights or scales and biases, (N, 2, length)."""
        found: Tensor = self(h_NC, 2 * length, 1, 1, 1).reshape(len(h_NC), 2, length)
        return found

    def _first(self, x_NRR: Tensor, count: int) -> Tensor:
        """The first rows of one matrix, (N, count, rank); what is not wanted is not computed.

        The last layer makes `longest` numbers of each row of x, and the matrix is all of them in one line, cut into
        rows of its own.
        """
        wanted = count * self.rank
        lines = -(-wanted // self.longest)
        columns = slice(0, wanted if lines == 1 else self.longest)
        made = F.linear(x_NRR[:, :lines], self.l2.weight[columns], self.l2.bias[columns])
        return made.reshape(len(x_NRR), -1)[:, :wanted].view(len(x_NRR), count, self.rank)


def counted(length: int, most: int) -> int:
    """The length at which a vector is decoded, which decides where its second half begins; ghn3/nn.py, min_sz."""
    length = min(length, most)
    length = length // 3 * 4 if length % 3 == 0 else length
    return most if length >= most / 2 else length

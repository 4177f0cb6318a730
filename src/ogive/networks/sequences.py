"""Networks of the spaces textcnn, transformer and conv1d: what reads numbered words, and what reads signals.

Shapes: N inputs, L words or points in time, C channels of a signal, D numbers that stand for a word.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Attention", "SentenceTransformer", "SignalConvolutions", "TextConvolutions"]


def pooled(x_NDL: Tensor, known_NL: Tensor, pooling: str) -> Tensor:
    """The mean or the largest of each number (N, D) over the words that are there."""
    known = known_NL[:, None].to(x_NDL.dtype)
    if pooling == "mean":
        return (x_NDL * known).sum(2) / known.sum(2).clamp(min=1)
    return (x_NDL - 1e4 * (1 - known)).amax(2)


def numbered(x_NL: Tensor, words: int) -> tuple[Tensor, Tensor]:
    """The numbers of words, which are floats like all inputs, and which are there: 0 fills up, but never the first."""
    ids = x_NL.long().clamp(0, words - 1)
    return ids, (ids != 0) | (torch.arange(ids.shape[1], device=ids.device) == 0)


class TextConvolutions(nn.Module):
    """A vector for each of `words` words, convolutions with each of `kernels` side by side, and the pooled of all."""

    def __init__(
        self, words: int, classes: int, width: int, kernels: Sequence[int], channels: int, pooling: str, dropout: float
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "words": words,
            "classes": classes,
            "width": width,
            "kernels": tuple(kernels),
            "channels": channels,
            "pooling": pooling,
            "dropout": dropout,
        }
        self.words, self.pooling = words, pooling
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, channels, size, padding=size // 2) for size in kernels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels * len(kernels), classes)

    def forward(self, x_NL: Tensor) -> Tensor:
        """Logits (N, classes) of numbered words (N, L)."""
        ids, known = numbered(x_NL, self.words)
        x_NDL = self.embedding(ids).transpose(1, 2)
        length = x_NDL.shape[2]  # an even kernel gives one more
        read = [pooled(F.relu(layer(x_NDL)[:, :, :length]), known, self.pooling) for layer in self.convolutions]
        outputs: Tensor = self.head(self.dropout(torch.cat(read, 1)))
        return outputs


class Attention(nn.Module):
    """Each word sees all that are there (Vaswani et al., NeurIPS 2017), then an inner layer; norms come first."""

    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked = nn.Linear(width, 3 * width)
        self.answered = nn.Linear(width, width)
        self.inner = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width), nn.Dropout(dropout)
        )

    def forward(self, x_NLD: Tensor, known_NL: Tensor) -> Tensor:
        """Words (N, L, D) to words (N, L, D)."""
        N, L, D = x_NLD.shape
        asked = self.asked(self.before(x_NLD)).view(N, L, 3, self.heads, D // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=known_NL[:, None, None, :])
        x_NLD = x_NLD + self.answered(seen.transpose(1, 2).reshape(N, L, D))
        added: Tensor = self.inner(self.between(x_NLD))
        return x_NLD + added


class SentenceTransformer(nn.Module):
    """A vector for each of `words` words and each of `length` places, layers of attention, and the pooled of all."""

    def __init__(
        self,
        words: int,
        length: int,
        classes: int,
        width: int,
        layers: int,
        heads: int,
        expansion: int,
        pooling: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "words": words,
            "length": length,
            "classes": classes,
            "width": width,
            "layers": layers,
            "heads": heads,
            "expansion": expansion,
            "pooling": pooling,
            "dropout": dropout,
        }
        self.words, self.pooling = words, pooling
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.layers = nn.ModuleList(Attention(width, heads, expansion, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, x_NL: Tensor) -> Tensor:
        """Logits (N, classes) of numbered words (N, L)."""
        ids, known = numbered(x_NL, self.words)
        x_NLD = self.dropout(self.embedding(ids) + self.places)
        for layer in self.layers:
            x_NLD = layer(x_NLD, known)
        outputs: Tensor = self.head(pooled(self.norm(x_NLD).transpose(1, 2), known, self.pooling))
        return outputs


class SignalLayer(nn.Module):
    """A convolution, a norm and half the length; a shortcut leads around the convolution, or none."""

    def __init__(self, width: int, kernel: int, separable: bool, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        whole = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width if separable else 1, bias=False)
        self.convolution = nn.Sequential(whole, nn.Conv1d(width, width, 1, bias=False)) if separable else whole
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x_NCL: Tensor) -> Tensor:
        """Signals (N, C, L) to signals (N, C, L / 2), rounded up."""
        y = self.norm(self.convolution(x_NCL))
        return F.max_pool1d(F.relu(x_NCL + y if self.residual else y), 2, ceil_mode=True)


class SignalConvolutions(nn.Module):
    """Signals of `inputs` channels through `depth` layers of `width` channels, of which the last is pooled."""

    def __init__(
        self,
        inputs: int,
        classes: int,
        width: int,
        depth: int,
        kernel: int,
        separable: bool,
        residual: bool,
        pooling: str,
    ) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {
            "inputs": inputs,
            "classes": classes,
            "width": width,
            "depth": depth,
            "kernel": kernel,
            "separable": separable,
            "residual": residual,
            "pooling": pooling,
        }
        self.pooling = pooling
        self.stem = nn.Conv1d(inputs, width, 1)
        self.layers = nn.Sequential(*(SignalLayer(width, kernel, separable, residual) for _ in range(depth)))
        self.head = nn.Linear(width, classes)

    def forward(self, x_NCL: Tensor) -> Tensor:
        """Logits (N, classes) of signals (N, C, L)."""
        x = self.layers(self.stem(x_NCL))
        outputs: Tensor = self.head(x.mean(2) if self.pooling == "mean" else x.amax(2))
        return outputs

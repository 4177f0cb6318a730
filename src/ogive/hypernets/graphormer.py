"""Layers of GHN-3: attention among all nodes of a graph, with a bias of each head for how far two nodes lie apart.

Knyazev, Hwang and Lacoste-Julien, "Can We Scale Transformers to Predict Parameters of Diverse ImageNet Models?",
ICML 2023, section 3; names and sizes of weights are those of SamsungSAILMontreal/ghn3, ghn3/nn.py. Nodes of a graph are
computed at once, and graphs one after the other, so that nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DEGREES", "FROM_INPUT", "layers_of", "passed"]

# As large as the published tables are: degrees, distances from the input, distances of two nodes and two values more.
DEGREES, FROM_INPUT, APART = 100, 1000, 257
SHIFT = 2  # rows of the last table before that of no path
RATIO = 4  # of the width between the two layers of a perceptron


class Apart(nn.Module):
    """The table of distances."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(APART, width)


class Attention(nn.Module):
    """Attention of several heads; the first layer also holds what makes the bias of all layers."""

    def __init__(self, width: int, heads: int, *, first: bool) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))
        if first:
            self.edge_embed = Apart(width)
            self.proj_e = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, heads))

    def bias(self, distances_NN: Tensor) -> Tensor:
        """What each head adds to the product of two nodes, (heads, N, N), of distances along the data, 0 for no path.

        Of two nodes, one at most leads to the other, so that there are few different pairs of distances to compute.
        """
        farthest = int(distances_NN.max())
        steps = torch.arange(farthest + 1, device=distances_NN.device)
        none = torch.zeros_like(steps)
        pairs = torch.stack((torch.cat((steps, none)), torch.cat((none, steps))), 1)
        table: Tensor = self.proj_e(self.edge_embed.embed(pairs + SHIFT).flatten(1))
        back = distances_NN.T
        which = torch.where(back > 0, back + farthest + 1, distances_NN)
        return table[which].permute(2, 0, 1)

    def forward(self, x_NC: Tensor, bias_HNN: Tensor) -> Tensor:
        """Shape (N, width)."""
        count, width = x_NC.shape
        q, k, v = self.to_qkv(x_NC).view(count, 3, self.heads, width // self.heads).permute(1, 2, 0, 3)
        mixed = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=bias_HNN[None])[0]
        found: Tensor = self.to_out(mixed.transpose(0, 1).reshape(count, width))
        return found


class Perceptron(nn.Module):
    """Two linear layers, GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = RATIO * width
        # Where the published one has dropout that drops nothing, there is an identity, so that names agree.
        self.net = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Identity(), nn.Linear(inner, width))

    def forward(self, x_NC: Tensor) -> Tensor:
        """Shape (N, width)."""
        found: Tensor = self.net(x_NC)
        return found


class GraphormerLayer(nn.Module):
    """Attention and a perceptron, each of normalised nodes and added to them."""

    def __init__(self, width: int, heads: int, *, first: bool) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, first=first)
        self.ff = Perceptron(width)

    def forward(self, x_NC: Tensor, bias_HNN: Tensor) -> Tensor:
        """Shape (N, width)."""
        x_NC = x_NC + self.attn(self.ln1(x_NC), bias_HNN)
        found: Tensor = x_NC + self.ff(self.ln2(x_NC))
        return found


def layers_of(width: int, heads: int, count: int) -> nn.Sequential:
    """The layers of a hypernetwork, the first of which makes the bias of all."""
    return nn.Sequential(*(GraphormerLayer(width, heads, first=number == 0) for number in range(count)))


def passed(
    layers: nn.Sequential, places: nn.Module, h_NC: Tensor, rows: Sequence[Tensor], apart: Sequence[Tensor]
) -> Tensor:
    """What the nodes become, (N, width): of each graph its `rows`, in the order of its nodes, and its distances.

    `places` has embeddings of how many nodes a node reads, how many read it, and how far from the input it is.
    """
    assert isinstance(layers[0], GraphormerLayer)
    found = []
    for own, distances_NN in zip(rows, apart, strict=True):
        x_NC, near = h_NC[own], distances_NN == 1
        for name, number, most in (
            ("centrality_embed_in", near.sum(0), DEGREES),
            ("centrality_embed_out", near.sum(1), DEGREES),
            ("input_dist_embed", distances_NN[0], FROM_INPUT),
        ):
            x_NC = x_NC + places.get_submodule(name)(number.clamp(max=most))
        bias_HNN = layers[0].attn.bias(distances_NN)
        for layer in layers:
            x_NC = layer(x_NC, bias_HNN)
        found.append(x_NC)
    return torch.zeros_like(h_NC).index_copy(0, torch.cat(list(rows)), torch.cat(found))

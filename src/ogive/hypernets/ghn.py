"""Graph hypernetworks: from the graphs of networks to all of their parameters, in one forward pass.

Knyazev et al., "Parameter Prediction for Unseen Deep Architectures", NeurIPS 2021, sections 2.2 and 4; GHN-1 is Zhang,
Ren and Urtasun, ICLR 2019. Names of weights are those of facebookresearch/ppuda, ghn/, so that its files can be loaded.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.network_graph import PRIMITIVES, NetworkGraph
from ogive.hypernets.batch import Batch, Target
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.graphormer import DEGREES, FROM_INPUT, layers_of, passed
from ogive.hypernets.low_rank import LowRankDecoder, counted

__all__ = ["GHN"]


class MLP(nn.Module):
    """Two linear layers; after the last, too, there is a ReLU unless it is left out."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, last: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs)]
        self.fc = nn.Sequential(*layers, *([nn.ReLU()] if last else []))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, outputs)."""
        found: Tensor = self.fc(x)
        return found


class ShapeEncoder(nn.Module):
    """Embeddings of the four sides of a tensor, a quarter of the width each."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        quarter = configuration.width // 4
        # The last row of each stands for what has no shape.
        self.embed_spatial = nn.Embedding(len(configuration.sides) + 1, quarter)
        self.embed_channel = nn.Embedding(len(configuration.channels) + 1, quarter)

    def forward(self, places_N4: Tensor) -> Tensor:
        """Shape (N, width)."""
        return torch.cat((self.embed_channel(places_N4[:, :2]), self.embed_spatial(places_N4[:, 2:])), 1).flatten(1)


class GatedGNN(nn.Module):
    """Messages along the edges, then against them, each node with what the nodes before it have become.

    m_v = Σ MLP(h_u) over edges + Σ MLP_sp(h_u) / s_uv over virtual edges, and h_v = GRU(m_v, h_v); equations 3 and 4.
    Both perceptrons are computed once for each node and not for each edge.
    """

    def __init__(self, width: int, virtual: bool) -> None:
        super().__init__()
        hidden = width // 2 if virtual else width
        self.mlp = MLP(width, hidden, width)
        self.mlp_ve = MLP(width, hidden, width) if virtual else None
        self.gru = nn.GRUCell(width, width)

    def forward(self, h_NC: Tensor, batch: Batch) -> Tensor:
        """Shape (N, width)."""
        h_NC = self._passed(h_NC, batch, forward=True)
        return self._passed(h_NC, batch, forward=False)

    def _passed(self, h_NC: Tensor, batch: Batch, *, forward: bool) -> Tensor:
        near = batch.near if forward else batch.near.T
        far = batch.far if forward else batch.far.T
        width = h_NC.shape[1]
        layers, gru = self._joined(), self.gru
        gates = (gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh)
        sent = h_NC.new_zeros(len(h_NC), len(layers[3]))
        levels: list[Tensor] = []
        for start, end in batch.spans if forward else reversed(batch.spans):
            earlier = slice(0, start) if forward else slice(end, len(h_NC))
            message = near[start:end, earlier] @ sent[earlier, :width]
            if self.mlp_ve is not None:
                message = torch.addmm(message, far[start:end, earlier], sent[earlier, width:])
            updated = torch.gru_cell(message, h_NC[start:end], *gates)
            levels.append(updated)
            sent[start:end] = F.relu(F.linear(F.relu(F.linear(updated, *layers[:2])), *layers[2:]))
        return torch.cat(levels if forward else levels[::-1])

    def _joined(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights and biases of both perceptrons as of one: there are hundreds of levels, and few nodes in each."""
        both: list[MLP] = [self.mlp] if self.mlp_ve is None else [self.mlp, self.mlp_ve]
        weights, biases = (
            [[_learnt(mlp, f"{place}.{name}") for mlp in both] for place in (0, 2)] for name in ("weight", "bias")
        )
        last: Tensor = torch.block_diag(*weights[1])
        return torch.cat(weights[0]), torch.cat(biases[0]), last, torch.cat(biases[1])


def _learnt(mlp: MLP, name: str) -> Tensor:
    return mlp.fc.get_parameter(name)


class ConvDecoder(nn.Module):
    """From an embedding to a tensor of the largest shape or, at the same numbers, to the part of it that is wanted."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        self.largest, width, self.centred = configuration.largest, configuration.width, configuration.centred
        outputs, inputs, rows, columns = self.largest
        self.fc = nn.Sequential(nn.Linear(width, 4 * width * rows * columns), nn.ReLU())
        self.conv = nn.Sequential(
            nn.Conv2d(4 * width, 8 * width, 1), nn.ReLU(), nn.Conv2d(8 * width, outputs * inputs, 1), nn.Identity()
        )
        self.class_layer_predictor = nn.Sequential(nn.ReLU(), nn.Conv2d(outputs, configuration.classes, 1))

    def forward(self, h_NC: Tensor, outputs: int, inputs: int, rows: int, columns: int) -> Tensor:
        """The upper left part or, of windows, the middle if it is `centred`: (N, outputs, inputs, rows, columns)."""
        first, second, third = self.fc[0], self.conv[0], self.conv[2]
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Conv2d)
        assert isinstance(third, nn.Conv2d)
        assert third.bias is not None
        hidden = second.in_channels
        # What is not wanted is left out of the matrices, so that it is not computed; positions come before channels.
        window = (
            slice(None),
            *(self._part(side, whole) for side, whole in zip((rows, columns), self.largest[2:], strict=True)),
        )
        spatial = first.weight.view(hidden, *self.largest[2:], -1)[window].permute(1, 2, 0, 3)
        offset = first.bias.view(hidden, *self.largest[2:])[window].permute(1, 2, 0)
        x = F.relu(F.linear(h_NC, spatial.reshape(-1, h_NC.shape[1]), offset.reshape(-1))).view(-1, hidden)
        x = F.relu(F.linear(x, second.weight.flatten(1), second.bias))
        channels = third.weight.view(*self.largest[:2], -1)[:outputs, :inputs].reshape(outputs * inputs, -1)
        x = F.linear(x, channels, third.bias.view(self.largest[:2])[:outputs, :inputs].reshape(-1))
        return x.view(len(h_NC), rows, columns, outputs, inputs).permute(0, 3, 4, 1, 2)

    def _part(self, side: int, whole: int) -> slice:
        """So many of all rows or columns."""
        start = whole // 2 - side // 2 if self.centred else 0
        return slice(start, start + side)

    def classes(self, h_NC: Tensor) -> Tensor:
        """Weights of last layers, (N, classes, inputs)."""
        whole = self(h_NC, *self.largest[:2], 1, 1)[..., 0]
        found: Tensor = self.class_layer_predictor(whole)[..., 0]
        return found


class GHN(nn.Module):
    """A graph hypernetwork: `forward` gives the embeddings of nodes, `parameters_of` the tensors that they become."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        self.configuration = configuration
        width = configuration.width
        self.ln = nn.LayerNorm(width) if configuration.layer_norm else None
        self.embed = nn.Embedding(len(PRIMITIVES), width)
        self.shape_enc = ShapeEncoder(configuration)
        self.gnn: GatedGNN | MLP | nn.Sequential
        if configuration.messages == "gnn":
            self.gnn = GatedGNN(width, configuration.virtual)
        elif configuration.messages == "graphormer":
            self.gnn = layers_of(width, configuration.heads, configuration.layers)
            self.centrality_embed_in = nn.Embedding(DEGREES + 1, width)
            self.centrality_embed_out = nn.Embedding(DEGREES + 1, width)
            self.input_dist_embed = nn.Embedding(FROM_INPUT + 1, width)
        else:
            self.gnn = MLP(width, width, width)
        channels = max(configuration.largest[:2])
        self.decoder: ConvDecoder | LowRankDecoder
        if configuration.rank:
            longest = channels * configuration.largest[2]
            self.decoder = LowRankDecoder(width, configuration.rank, longest, configuration.classes, channels)
        else:
            self.decoder = ConvDecoder(configuration)
            self.decoder_1d = MLP(width, 2 * width, 2 * channels, last=False)
            self.bias_class = nn.Sequential(nn.ReLU(), nn.Linear(channels, configuration.classes))
        if configuration.messages == "graphormer":
            _begin_small(self)

    def forward(self, batch: Batch) -> Tensor:
        """The embeddings of all nodes of a batch, (N, width), in its order."""
        h_NC = self.embed(batch.types) + self.shape_enc(batch.places)
        if isinstance(self.gnn, nn.Sequential):
            h_NC = passed(self.gnn, self, h_NC, batch.rows, batch.apart)
        else:
            h_NC = self.gnn(h_NC, batch) if isinstance(self.gnn, GatedGNN) else self.gnn(h_NC)
        return h_NC if self.ln is None else self.ln(h_NC)  # type: ignore[no-any-return]

    def embedded(self, batch: Batch) -> Tensor:
        """One embedding of each graph, the mean over its nodes, (B, width)."""
        h_NC = self(batch)
        return torch.stack([h_NC[rows].mean(dim=0) for rows in batch.rows])

    def parameters_of(self, batch: Batch, *, tiled: bool = True) -> list[dict[str, Tensor]]:
        """For each graph its tensors by their names; gradients flow through them into this network."""
        h_NC = self(batch)
        groups: dict[tuple[object, ...], list[Target]] = defaultdict(list)
        for target in batch.targets:
            groups[self._group(target)].append(target)
        found: list[dict[str, Tensor]] = [{} for _ in batch.rows]
        for (kind, *four), targets in groups.items():
            h = h_NC[torch.tensor([target.node for target in targets], device=h_NC.device)]
            for target, tensor in zip(targets, self._decoded(str(kind), four, h, targets).unbind(), strict=True):
                found[target.graph][target.name] = self._finished(target, tensor)
        # In the order of the network: the groups follow each other by shape.
        names: list[list[str]] = [[] for _ in batch.rows]
        for target in batch.targets:
            names[target.graph].append(target.name)
        return [{name: made[name] for name in order} for made, order in zip(found, names, strict=True)]

    def _group(self, target: Target) -> tuple[object, ...]:
        """What is decoded together: tensors of one kind and shape, before tiling."""
        outputs, inputs = self.configuration.largest[:2]
        o, i, rows, columns = target.four
        kind = "vector" if target.kind in ("scale", "bias") else target.kind
        if self.configuration.rank and kind in ("vector", "class_bias"):
            o = counted(max(target.shape, default=1), outputs)
        return kind, min(o, outputs), min(i, inputs), rows, columns

    def _decoded(self, kind: str, four: Sequence[object], h_NC: Tensor, targets: Sequence[Target]) -> Tensor:
        """What the decoders make of the embeddings of tensors of one kind and shape, before tiling."""
        if kind == "weight":
            return self.decoder(h_NC, *four)  # type: ignore[no-any-return]
        if kind == "classes":
            return self.decoder.classes(h_NC)
        if isinstance(self.decoder, LowRankDecoder):
            halves = self.decoder.vectors(h_NC, int(str(four[0])))
            if kind == "class_bias":
                return halves[:, 1]
        else:
            halves = self.decoder_1d(h_NC).view(len(h_NC), 2, -1)
        if kind == "class_bias":
            return self.bias_class(halves[:, 1])  # type: ignore[no-any-return]
        if self.configuration.normalised:  # of all at once, since tiling changes no number
            halves = torch.stack((bounded(halves[:, 0], "scale"), bounded(halves[:, 1], "bias")), dim=1)
        which = torch.tensor([int(target.kind == "bias") for target in targets], device=h_NC.device)
        return halves[torch.arange(len(targets), device=h_NC.device), which]

    def _finished(self, target: Target, tensor: Tensor) -> Tensor:
        """A tensor of its shape, normalised."""
        if target.kind == "weight":
            tensor = _repeated(tensor, target.four[:2])
            tensor = _of_tokens(tensor, target) if target.encoding else tensor.reshape(target.shape)
        elif target.kind == "classes":
            tensor = _repeated(tensor, target.shape)
        else:
            tensor = _repeated(tensor, (max(target.shape, default=1),)).reshape(target.shape)
            if target.kind != "class_bias":
                return tensor
        return normalised(tensor, target) if self.configuration.normalised else tensor


def _begin_small(ghn: GHN) -> None:
    """Last layers of a fifth, and embeddings of the size of attention's: larger ones diverge; ghn3/nn.py."""
    with torch.no_grad():
        decoder = ghn.decoder
        lasts = [] if isinstance(decoder, LowRankDecoder) else [decoder.conv[2], decoder.class_layer_predictor[-1]]
        for last in (*lasts, *([ghn.decoder_1d.fc[-1]] if lasts else [])):
            last.get_parameter("weight").div_(5.0)
            last.get_parameter("bias").zero_()
    for part in ghn.modules():
        if isinstance(part, nn.Embedding):
            nn.init.trunc_normal_(part.weight, std=part.embedding_dim**-0.5)


def normalised(tensor: Tensor, target: Target) -> Tensor:
    """A predicted tensor on the scale that a forward pass keeps; section 4.3, and ghn/nn.py.

    Weights by the square root of 2 or, where no ReLU follows, of 1, over what an output is a sum of; encodings of
    positions stay. Scales lie between 0 and 2, biases between -1 and 1.
    """
    if target.encoding:
        return tensor
    if target.kind in ("weight", "classes"):
        shape = tensor.shape
        alone = len(shape) > 2 and (shape[1] == 1 or (len(shape) > 3 and shape[2] < shape[3]))
        return tensor * math.sqrt((1.0 if alone else 2.0) / tensor[0].numel())
    return bounded(tensor, target.kind)


def bounded(tensor: Tensor, kind: str) -> Tensor:
    """Predicted scales between 0 and 2, or biases between -1 and 1."""
    return 2 * torch.sigmoid(0.5 * tensor) if kind == "scale" else torch.tanh(0.2 * tensor)


def predicted(ghn: GHN, graphs: Sequence[NetworkGraph], *, classifier: bool = True) -> list[dict[str, Tensor]]:
    """The tensors of some graphs, without gradients."""
    device = ghn.embed.weight.device
    with torch.no_grad():
        return ghn.parameters_of(Batch.of(graphs, ghn.configuration, classifier=classifier).to(device))


def _repeated(tensor: Tensor, sides: Sequence[int]) -> Tensor:
    """Tiled along the first sides, w[i, j] = w[i mod n, j mod m], and cut."""
    for dimension, side in enumerate(sides):
        there = tensor.shape[dimension]
        if side > there:
            times = [1] * tensor.dim()
            times[dimension] = -(-side // there)
            tensor = tensor.repeat(times)
        if side != tensor.shape[dimension]:
            tensor = tensor.narrow(dimension, 0, side)
    return tensor


def _of_tokens(tensor: Tensor, target: Target) -> Tensor:
    """An encoding of places as its network has it: of places on a map as it is, of tokens in a row."""
    if len(target.shape) == 4:
        return tensor.reshape(target.shape)
    return tensor[0].flatten(1).T[: math.prod(target.shape[:-1])].reshape(target.shape)

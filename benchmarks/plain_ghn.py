"""Parameter prediction as its equations read: node after node, a perceptron for each edge, whole tensors cut to size.

Knyazev et al., "Parameter Prediction for Unseen Deep Architectures", NeurIPS 2021, equations 3 and 4 and section 4. It
takes the weights of a hypernetwork of ogive, and shares with it no more than these and the tables of shapes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ogive.core.network_graph import NetworkGraph
from ogive.hypernets.batch import Batch
from ogive.hypernets.ghn import GHN, normalised


def embeddings(ghn: GHN, graph: NetworkGraph) -> Tensor:
    """The nodes of a graph in its own order, (N, width)."""
    options = ghn.configuration
    places = torch.from_numpy(options.places([node.shape for node in graph.nodes]))
    h = ghn.embed(torch.from_numpy(graph.types)) + ghn.shape_enc(places)
    distances = torch.from_numpy(graph.distances)
    for forward in (True, False):
        between = distances if forward else distances.T
        for node in range(len(graph)) if forward else reversed(range(len(graph))):
            near = torch.nonzero(between[:, node] == 1).flatten()
            message = ghn.gnn.mlp(h[near]).sum(dim=0)
            if options.virtual:
                far = torch.nonzero((between[:, node] > 0) & (between[:, node] <= options.farthest)).flatten()
                message = message + (ghn.gnn.mlp_ve(h[far]) / between[far, node, None]).sum(dim=0)
            h[node] = ghn.gnn.gru(message[None], h[node][None])[0]
    return h if ghn.ln is None else ghn.ln(h)


def predicted(ghn: GHN, graph: NetworkGraph) -> dict[str, Tensor]:
    """All tensors of a network, each decoded by itself."""
    with torch.no_grad():
        h = embeddings(ghn, graph)
        batch = Batch.of([graph], ghn.configuration)
        node_of = {int(place): node for node, place in enumerate(batch.rows[0])}
        return {target.name: _tensor(ghn, h[node_of[target.node]][None], target) for target in batch.targets}


def _tensor(ghn: GHN, h: Tensor, target) -> Tensor:
    largest, decoder = ghn.configuration.largest, ghn.decoder
    if target.kind in ("weight", "classes"):
        rows, columns = target.four[2:]
        x = decoder.fc(h).view(1, -1, *largest[2:])[:, :, :rows, :columns]
        whole = decoder.conv(x).view(1, *largest[:2], rows, columns)
        found = whole[0] if target.kind == "weight" else decoder.class_layer_predictor(whole[..., 0])[0, :, :, 0]
        sides = target.shape[:2] if target.kind == "classes" else target.four[:2]
        for dimension, side in enumerate(sides):
            found = found.index_select(dimension, torch.arange(side) % found.shape[dimension])
        return normalised(found.reshape(target.shape), target)
    vector = ghn.decoder_1d(h).view(2, -1)
    found = ghn.bias_class(vector[1]) if target.kind == "class_bias" else vector[int(target.kind == "bias")]
    return normalised(found[torch.arange(target.shape[0]) % len(found)], target)

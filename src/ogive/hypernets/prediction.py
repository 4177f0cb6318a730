"""Use of a hypernetwork: the parameters of any module, and modules that begin with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.network_graph import NetworkGraph
from ogive.hypernets.batch import Batch
from ogive.hypernets.ghn import GHN, predicted
from ogive.networks.trace import trace

__all__ = ["embedding", "graph_of", "initialise", "orthogonalised", "predict"]


def graph_of(module: nn.Module, shape: Sequence[int]) -> NetworkGraph:
    """The graph of a module that reads inputs of a shape (C, H, W).

    SpecError for one without parameters, and for one of which a parameter is used twice, whichever layers share it.
    """
    if not any(True for _ in module.parameters()):
        raise SpecError(f"A {type(module).__name__} has no parameters: there is nothing to predict.")
    graph = trace(module, shape)
    used = Counter(name for node in graph.nodes for name in node.parameters)
    for name, times in used.items():
        others = [
            other
            for other, parameter in module.named_parameters(remove_duplicate=False)
            if other != name and parameter is module.get_parameter(name)
        ]
        if times > 1 or others:
            also = f" and is {others[0]}" if others else ""
            raise SpecError(
                f"The parameter {name} is used {max(times, 1 + len(others))} times{also}: a hypernetwork predicts a "
                "tensor for each place, so that tied weights must be untied first."
            )
    return graph


def predict(ghn: GHN, module: nn.Module, shape: Sequence[int], *, classifier: bool = True) -> dict[str, Tensor]:
    """The parameters that a hypernetwork predicts for a module with inputs of a shape, by their names.

    The module itself is left as it is. Without `classifier`, those of the last layer are left out. Parameters that do
    nothing in evaluation mode have no node, and are not among them.
    """
    return predicted(ghn, [graph_of(module, shape)], classifier=classifier)[0]


def initialise(
    ghn: GHN,
    module: nn.Module,
    shape: Sequence[int],
    *,
    classifier: bool = True,
    noise: float = 0.0,
    orthogonal: bool = False,
    generator: torch.Generator | None = None,
) -> list[str]:
    """Give a module the predicted parameters; the names of those that keep their own.

    Wide tensors are tiled, so that channels are equal and would stay so; `noise`, a share of a tensor's deviation, is
    added to begin a training with (GHN-3, section 4, has 1e-5 of absolute noise). With `orthogonal`, all matrices but
    the last are then made orthogonal (Knyazev, "Pretraining a Neural Network before Knowing Its Architecture", ICML
    2022 workshop), see `orthogonalised`.
    """
    found = predict(ghn, module, shape, classifier=classifier)
    matrices = [name for name, tensor in found.items() if tensor.dim() > 1]
    with torch.no_grad():
        for name, tensor in found.items():
            if noise and tensor.dim() > 1:
                drawn = torch.empty(tensor.shape).normal_(generator=generator)
                tensor = tensor + noise * tensor.std() * drawn.to(tensor.device)
            if orthogonal and name in matrices[:-1]:
                tensor = orthogonalised(tensor)
            module.get_parameter(name).copy_(tensor)
    return [name for name, _ in module.named_parameters() if name not in found]


def orthogonalised(tensor: Tensor) -> Tensor:
    """A tensor of the same shape whose rows, as a matrix of its first side by the others, are orthonormal.

    Of a matrix with more rows than columns, it is the columns. They are those of a QR decomposition, with the signs
    that the diagonal of R has; facebookresearch/ppuda, utils/init.py.
    """
    matrix = tensor.flatten(1)
    tall = len(matrix) >= matrix.shape[1]
    q, r = torch.linalg.qr(matrix if tall else matrix.T)
    signs = torch.where(r.diagonal() < 0, -1.0, 1.0)
    q = q * signs
    found: Tensor = (q if tall else q.T).reshape(tensor.shape)
    return found


def embedding(ghn: GHN, graphs: Sequence[NetworkGraph]) -> Tensor:
    """What a hypernetwork knows of each graph, the mean of its nodes' embeddings, (B, width)."""
    with torch.no_grad():
        return ghn.embedded(Batch.of(graphs, ghn.configuration, classifier=False).to(ghn.embed.weight.device))

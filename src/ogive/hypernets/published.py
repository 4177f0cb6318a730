"""Published checkpoints of hypernetworks: their names and shapes of weights as ours, and what they say of themselves.

GHN-1 and GHN-2 are files of facebookresearch/ppuda (ghn/nn.py), GHN-3 of SamsungSAILMontreal/ghn3 (ghn3/nn.py,
from_pretrained): that layout has linear layers where GHN-2 has 1×1 convolutions, may keep the embeddings of places in
the first layer, and may be weights without a configuration, which their shapes then tell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ogive.core.errors import SpecError, quoted
from ogive.core.network_graph import FARTHEST

__all__ = ["configured", "renamed"]

_MOVED = re.compile(r"^gnn\.0\.(centrality_embed_in|centrality_embed_out|input_dist_embed)\.")
_CONVOLUTIONS = frozenset({"decoder.conv.0.weight", "decoder.conv.2.weight", "decoder.class_layer_predictor.1.weight"})
# LoGAH registers its last layer twice, and has layers of one number where GHN-3 decodes vectors.
_DOUBLE, _UNUSED = "decoder.seq.1.", ("decoder_1d.0.", "bias_class.1.")


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published weights under our names and in our shapes; what is there twice or unused is left out."""
    found = {}
    low_rank = "decoder.l2.weight" in _plain(tensors)
    for name, tensor in _plain(tensors).items():
        if name.startswith(_DOUBLE) or (low_rank and name.startswith(_UNUSED)):
            continue
        name = _MOVED.sub(r"\1.", name)
        found[name] = tensor[..., None, None] if name in _CONVOLUTIONS and tensor.dim() == 2 else tensor
    return found


def configured(written: Mapping[str, Any] | None, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a file says of itself, completed by the names and shapes of its weights, which are `renamed`.

    SpecError for weights that are those of no hypernetwork.
    """
    if written is not None:
        return {**written, **_kind(tensors)}
    embed, spatial = tensors.get("embed.weight"), tensors.get("shape_enc.embed_spatial.weight")
    if embed is None or spatial is None:
        raise SpecError(
            "It lacks the entries config and state_dict of a published file, and its tensors alone are those of no "
            "hypernetwork: there must be embed.weight and shape_enc.embed_spatial.weight."
        )
    return {**_told_by(tensors, embed, spatial), **_kind(tensors)}


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix that training on several GPUs gives."""
    return {str(name).removeprefix("module."): tensor for name, tensor in tensors.items()}


def _kind(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What configurations leave at the values of GHN-2, and the names and shapes of the weights tell."""
    if "gnn.0.attn.to_qkv.weight" not in tensors:
        return {}
    thin, spatial = tensors.get("decoder.l2.weight"), tensors.get("shape_enc.embed_spatial.weight")
    bias = tensors.get("gnn.0.attn.proj_e.2.weight")
    layers = sum(name.startswith("gnn.") and name.endswith(".ln1.weight") for name in tensors)
    found: dict[str, Any] = {"hypernet": "graphormer", "layers": layers}
    if thin is not None and spatial is not None:
        longest, rank = thin.shape
        window = _window(spatial)
        found |= {"decoder": "low_rank", "rank": rank, "max_shape": [longest // window] * 2 + [window] * 2}
    return found if bias is None else {**found, "heads": len(bias)}


def _told_by(tensors: Mapping[str, Tensor], embed: Tensor, spatial: Tensor) -> dict[str, Any]:
    """The configuration as the shapes have it, with the switches of the published hypernetworks."""
    found: dict[str, Any] = {
        "hid": embed.shape[1],
        "ve": "gnn.mlp_ve.fc.0.weight" in tensors or "gnn.gru.weight_ih" not in tensors,
        "layernorm": "ln.weight" in tensors,
        "weight_norm": "ln.weight" in tensors,  # GHN-1 alone has neither
        "farthest": FARTHEST,
        "hypernet": "gatedgnn" if "gnn.gru.weight_ih" in tensors else "mlp",
    }
    classes, last = tensors.get("decoder.class_layer_predictor.1.weight"), tensors.get("decoder.conv.2.weight")
    if "decoder.l2.weight" in tensors:
        raise SpecError("LoGAH's weights do not tell the number of classes: it must stand in the entry config.")
    if classes is None or last is None:
        raise SpecError("Its weights have no convolutional decoder that could be read.")
    side, window = math.isqrt(len(last)), _window(spatial)
    if side * side != len(last):
        raise SpecError(f"The last layer of its decoder has {quoted(len(last))} outputs, which are no square.")
    return {**found, "num_classes": len(classes), "max_shape": [side, side, window, window]}


def _window(spatial: Tensor) -> int:
    """The side of the largest window, by how many sides have embeddings."""
    return 11 if len(spatial) == 9 else 16

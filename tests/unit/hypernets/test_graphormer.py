"""GHN-3: its published sizes, attention with biases against plain arithmetic, windows in the middle, and files."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ogive.core.errors import SpecError
from ogive.hypernets import files
from ogive.hypernets.batch import Batch
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.ghn import GHN, predicted
from ogive.spaces.deepnets import Design
from ogive.spaces.deepnets_graph import network_graph

SMALL = Configuration(width=8, largest=(8, 8, 12, 12), messages="graphormer", layers=2, heads=2)
PLAIN = Design(4, (("conv_3x3", 0), ("skip_connect", 1)), (("max_pool_3x3", 0), ("dil_conv_3x3", 1)), (2,))
OTHER = Design(5, (("msa", 1), ("none", 0)), (("avg_pool_3x3", 1), ("cse", 0)), (2,), projected=False)


def made(configuration=SMALL):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GHN(configuration)


# Knyazev, Hwang and Lacoste-Julien, ICML 2023; parameters of the models that SamsungSAILMontreal/ghn3, nn.py, makes.
@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("ghn3-t", 6_906_632), ("ghn3-s", 35_810_368), ("ghn3-l", 214_668_960), ("ghn3-xl", 654_365_184)],
)
def test_published_sizes(kind, parameters):
    with torch.device("meta"):
        ghn = GHN(Configuration.of(kind, classes=1000, images="imagenet"))

    assert sum(parameter.numel() for parameter in ghn.parameters()) == parameters


def node_after_node(ghn, graph, h):
    """Attention as it is written in section 3 of the paper, one pair of nodes after the other."""
    count, first = len(graph), ghn.gnn[0].attn
    distances = torch.from_numpy(graph.distances).long()
    near = distances == 1
    h = h + ghn.centrality_embed_in(near.sum(0)) + ghn.centrality_embed_out(near.sum(1))
    h = h + ghn.input_dist_embed(distances[0])
    for layer in ghn.gnn:
        x, attn = layer.ln1(h), layer.attn
        q, k, v = (attn.to_qkv(x).view(count, 3, 2, 4)[:, n] for n in range(3))
        rows = []
        for i in range(count):
            heads = []
            for head in range(2):
                scores = torch.stack([q[i, head] @ k[j, head] / 2 for j in range(count)])
                for j in range(count):
                    both = torch.stack((distances[i, j], distances[j, i])) + 2
                    scores[j] = scores[j] + first.proj_e(first.edge_embed.embed(both).flatten())[head]
                heads.append(scores.softmax(0) @ v[:, head])
            rows.append(torch.cat(heads))
        h = h + attn.to_out(torch.stack(rows))
        h = h + layer.ff(layer.ln2(h))
    return h


def test_all_nodes_at_once_are_pair_after_pair():
    ghn, graphs = made(), [network_graph(design, channels=8) for design in (PLAIN, OTHER)]
    graphs = sorted(graphs, key=len)
    batch = Batch.of(graphs, SMALL)
    with torch.no_grad():
        start = ghn.embed(batch.types) + ghn.shape_enc(batch.places)
        together = ghn(batch)
        alone = ghn.ln(node_after_node(ghn, graphs[0], start[batch.rows[0]]))
        single = ghn(Batch.of(graphs[1:], SMALL))[Batch.of(graphs[1:], SMALL).rows[0]]

    torch.testing.assert_close(together[batch.rows[0]], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together[batch.rows[1]], single, atol=1e-5, rtol=0)


def test_small_windows_are_the_middle_of_the_largest():
    decoder, h = made().decoder, torch.randn(2, 8)
    with torch.no_grad():
        whole = decoder(h, 8, 8, 12, 12)
        for side, start in ((1, 6), (3, 5), (4, 4)):
            part = decoder(h, 8, 8, side, side)
            torch.testing.assert_close(part, whole[..., start : start + side, start : start + side])


def test_gradients_reach_every_parameter_and_files_keep_them(tmp_path):
    ghn, graphs = made(), [network_graph(design, channels=8) for design in (PLAIN, OTHER)]
    tensors = ghn.parameters_of(Batch.of(graphs, SMALL))
    sum(tensor.square().sum() for own in tensors for tensor in own.values()).backward()
    assert all(parameter.grad is not None for parameter in ghn.parameters())
    assert all(part.weight.abs().sum() > 0 for part in ghn.modules() if isinstance(part, nn.Linear))

    files.save(ghn, tmp_path / "ghn3.safetensors")
    loaded = files.load(tmp_path / "ghn3.safetensors")
    assert loaded.configuration == SMALL
    for name, tensor in predicted(loaded, graphs)[0].items():
        assert torch.equal(tensor, predicted(ghn, graphs)[0][name])


def test_heads_must_divide_the_width():
    with pytest.raises(SpecError, match="heads=3"):
        Configuration(width=8, messages="graphormer", heads=3)


def published_layout(ghn, *, moved):
    """Weights as SamsungSAILMontreal/ghn3 keeps them: linear layers in the decoder, and where embeddings are moved."""
    found = {}
    for name, tensor in ghn.state_dict().items():
        if name in ("decoder.conv.0.weight", "decoder.conv.2.weight", "decoder.class_layer_predictor.1.weight"):
            tensor = tensor[..., 0, 0]
        place = name.startswith(("centrality_embed", "input_dist"))
        found[f"gnn.0.{name}" if place and moved else name] = tensor
    return found


# As train_ghn_ddp.py writes it: the value of `hypernet` is still that of GHN-2, and heads may be left at a default.
CONFIG = {"max_shape": (8, 8, 11, 11), "num_classes": 10, "hypernet": "gatedgnn", "decoder": "conv", "hid": 8}
CONFIG |= {"weight_norm": True, "ve": True, "layernorm": True, "layers": 2, "is_ghn2": False, "debug_level": 0}


@pytest.mark.parametrize("layout", ["config", "moved", "several GPUs", "alone", "alone, safetensors"])
def test_published_files_give_the_same_parameters(tmp_path, layout):
    small = Configuration(width=8, messages="graphormer", heads=2, layers=2, largest=(8, 8, 11, 11))
    ghn, (graph,) = made(small), [network_graph(PLAIN, channels=8)]
    weights = published_layout(ghn, moved=layout != "config")
    if layout == "several GPUs":
        weights = {f"module.{name}": tensor for name, tensor in weights.items()}
    path = tmp_path / "ghn3.pt"
    if layout == "alone, safetensors":
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    else:
        torch.save(weights if layout == "alone" else {"config": CONFIG, "state_dict": weights, "step": 3}, path)

    loaded = files.load(path)
    assert loaded.configuration == small
    (expected,), (found,) = predicted(ghn, [graph]), predicted(loaded, [graph])
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5)


def test_released_pickles_of_joblib_are_never_read(tmp_path):
    for first in (b"\x78\x01", b"\x80\x04"):
        (tmp_path / "ghn3tm8.pt").write_bytes(first + b"anything")
        with pytest.raises(SpecError, match=r"ghn3tm8\.pt is a pickle of joblib, .* torch\.save\(joblib"):
            files.load(tmp_path / "ghn3tm8.pt")


def test_weights_alone_that_are_no_hypernetwork_are_named(tmp_path):
    weights = made().state_dict()
    torch.save({**weights, "decoder.conv.2.weight": torch.zeros(7, 64)}, tmp_path / "seven.pt")
    torch.save({n: t for n, t in weights.items() if "conv.2" not in n}, tmp_path / "less.pt")
    for name, words in {"seven.pt": "which are no square", "less.pt": "no convolutional decoder"}.items():
        with pytest.raises(SpecError, match=words) as caught:
            files.load(tmp_path / name)
        assert name in str(caught.value)

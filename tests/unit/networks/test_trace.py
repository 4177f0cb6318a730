"""The tracer on networks that are written as libraries of others write them, and on what it must refuse."""

import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ogive.core.errors import SpecError
from ogive.networks.build import build_genotype, default_skeleton
from ogive.networks.genotypes import DARTS_V2
from ogive.networks.predefined import ResNet50
from ogive.networks.trace import multiplications, trace


def ops(graph):
    return Counter(node.op for node in graph.nodes)


def arrows(graph):
    return {(graph.nodes[source].op, graph.nodes[target].op) for source, target in graph.edges}


# Knyazev et al., NeurIPS 2021: the graphs that facebookresearch/ppuda makes of these networks, 4673a42,
# examples/graph_properties.ipynb; virtual edges up to a distance of 50.
def test_resnet50_for_cifar_has_the_published_graph():
    graph = trace(ResNet50(), (3, 32, 32))

    assert (len(graph), len(graph.edges), int((graph.distances > 0).sum())) == (126, 141, 7827)
    assert graph.average_degree == pytest.approx(2.238095, abs=5e-7)
    assert graph.average_path() == pytest.approx(11.193270, abs=5e-7)
    assert graph.distances.max() == 32
    assert ops(graph) == {"conv": 54, "bn": 53, "sum": 16, "input": 1, "glob_avg": 1, "bias": 1}


def test_darts_of_20_cells_has_the_published_graph():
    graph = trace(build_genotype(DARTS_V2, default_skeleton("darts"), seed=0), (3, 32, 32))
    virtual = (graph.distances > 0) & (graph.distances <= 50)

    assert (len(graph), len(graph.edges), int(virtual.sum())) == (794, 935, 293_941)
    assert graph.average_degree == pytest.approx(2.355164, abs=5e-7)
    assert graph.average_path() == pytest.approx(20.419502, abs=5e-7)


def test_every_parameter_has_its_node_and_its_shape():
    network = ResNet50()
    graph = trace(network, (3, 32, 32))
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}

    named = [name for node in graph.nodes for name in node.parameters]
    assert sorted(named) == sorted(shapes)
    assert all(node.shape == shapes[node.parameters[0]] for node in graph.nodes if node.parameters)


def test_resnet50_for_imagenet_pools_once_more():
    graph = trace(ResNet50(1000, "imagenet"), (3, 64, 64))

    assert (len(graph), len(graph.edges)) == (127, 142)
    assert [node.shape for node in graph.nodes if node.op == "max_pool"] == [(1, 1, 3, 3)]


class HuggingAttention(nn.Module):
    """Three projections, the product of two of them, softmax, and the product with the third."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def split(self, x):
        return x.view(*x.shape[:-1], self.heads, -1).permute(0, 2, 1, 3)

    def forward(self, hidden_states):
        scores = torch.matmul(
            self.split(self.query(hidden_states)), self.split(self.key(hidden_states)).transpose(-1, -2)
        )
        probabilities = nn.functional.softmax(scores / math.sqrt(8), dim=-1)
        context = torch.matmul(F.dropout(probabilities, 0.1, self.training), self.split(self.value(hidden_states)))
        return self.output(context.permute(0, 2, 1, 3).flatten(2))


class HuggingViT(nn.Module):
    """A class token, a table of positions, one layer, and outputs that are a dictionary."""

    def __init__(self, width=16):
        super().__init__()
        self.projection = nn.Conv2d(3, width, 8, 8)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 17, width))
        self.layernorm_before, self.layernorm_after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = HuggingAttention(width, 2)
        self.intermediate, self.output = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.classifier = nn.Linear(width, 5)

    def forward(self, pixel_values):
        x = self.projection(pixel_values).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.position_embeddings
        x = self.attention(self.layernorm_before(x)) + x
        x = self.output(F.gelu(self.intermediate(self.layernorm_after(x)))) + x
        return {"logits": self.classifier(x[:, 0])}


def test_a_transformer_with_three_projections_has_one_attention():
    network = HuggingViT()
    graph = trace(network, (3, 32, 32))

    expected = {"input": 1, "conv": 8, "bias": 8, "pos_enc": 2, "concat": 1, "sum": 3, "ln": 2, "msa": 1}
    assert ops(graph) == expected
    attention = [node.op for node in graph.nodes].index("msa")
    assert sorted(graph.nodes[source].parameters[0] for source in graph.sources[attention]) == [
        "attention.key.bias",
        "attention.query.bias",
        "attention.value.bias",
    ]
    assert sorted(name for node in graph.nodes for name in node.parameters) == sorted(
        name for name, _ in network.named_parameters()
    )


def test_torchs_own_attention_is_followed_into_its_projections():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
    graph = trace(layer, (5, 32))

    in_order = "input ln conv bias msa conv bias sum ln conv bias conv bias sum"
    assert [node.op for node in graph.nodes] == in_order.split()
    assert multiplications(layer, (5, 32)) == 5 * (4 * 32 * 32 + 2 * 32 * 64)


class RelativeAttention(nn.Module):
    """As in Swin: learnt numbers of each pair of places are added to the scores."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24, bias=False)
        self.pairs = nn.Parameter(torch.zeros(1, 5, 5))

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return (q @ k.transpose(-2, -1) + self.pairs).softmax(dim=-1) @ v


def test_positions_that_scores_are_changed_by_lead_into_the_attention():
    graph = trace(RelativeAttention(), (5, 8))

    assert [node.op for node in graph.nodes] == ["input", "conv", "pos_enc", "msa"]
    assert graph.edges == ((0, 1), (1, 3), (2, 3))


class ConvNeXtBlock(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.layer_scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm(self.dwconv(x).permute(0, 2, 3, 1)))))
        return x + (self.layer_scale * y).permute(0, 3, 1, 2)


def test_a_learnt_scale_is_a_normalisation_without_statistics():
    graph = trace(ConvNeXtBlock(), (8, 6, 6))

    assert [node.op for node in graph.nodes] == [
        "input",
        "sep_conv",
        "bias",
        "ln",
        "conv",
        "bias",
        "conv",
        "bias",
        "ln",
        "sum",
    ]
    assert graph.nodes[8].parameters == ("layer_scale",)


class SqueezeExcite(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)

    def forward(self, x):
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))
        return (x * gate).mean((2, 3))


def test_the_mean_of_a_gate_belongs_to_the_gate():
    graph = trace(SqueezeExcite(), (8, 6, 6))

    assert [node.op for node in graph.nodes] == ["input", "conv", "bias", "conv", "bias", "cse", "glob_avg"]
    assert ("input", "cse") in arrows(graph)


class HandMadeSwish(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, dilation=2, groups=1)

    def forward(self, x):
        y = self.conv(x)
        return torch.cat([y * torch.sigmoid(y)], dim=1) + 0


def test_activations_and_sums_of_one_are_no_nodes():
    assert [node.op for node in trace(HandMadeSwish(), (3, 9, 9)).nodes] == ["input", "conv", "bias"]


def test_a_dilated_convolution_in_groups_has_a_type_of_its_own():
    graph = trace(nn.Conv2d(4, 4, 3, dilation=2, groups=4, bias=False), (4, 9, 9))

    assert [node.op for node in graph.nodes] == ["input", "dil_conv"]


def test_a_network_without_weights_in_memory_is_followed_too():
    with torch.device("meta"):
        network = SqueezeExcite()

    assert len(trace(network, (8, 6, 6))) == 7


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    network[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trace(network, (3, 4, 4))

    assert [layer.training for layer in network.modules()] == [True, True, False]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        x = self.inner(x)
        return x if x.mean() > 0 else -x


@pytest.mark.parametrize(
    ("network", "shape", "words"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4)), (4,), "The layer 1 calls lstm"),
        (nn.Sequential(nn.Linear(4, 4), nn.PReLU()), (4,), "The layer 1 calls prelu"),
        (nn.Sequential(Branching()), (4,), r"The layer 0 asks for the value of what it computes \(bool\)"),
        (nn.Linear(4, 4), (5,), "cannot be run on such an input, 5: mat1"),
        (nn.Linear(4, 4), (0,), "positive sides"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_what_cannot_be_followed_is_named(network, shape, words):
    with pytest.raises(SpecError, match=words):
        trace(network, shape)


def test_a_compiled_network_is_refused():
    with pytest.warns(DeprecationWarning, match="torch.jit.trace"):
        compiled = torch.jit.trace(nn.Linear(4, 4), torch.zeros(1, 4))

    with pytest.raises(SpecError, match="ScriptModule cannot be followed"):
        trace(compiled, (4,))


class Bilinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(3, 3)

    def forward(self, x):
        return self.last(self.left(x) @ self.right(x).transpose(1, 2))


def test_a_product_of_activations_that_is_no_attention_is_refused():
    with pytest.raises(SpecError, match="last calls a product of two activations"):
        trace(Bilinear(), (3, 4))


def test_what_has_no_type_is_counted_all_the_same():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.last = nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            return SimpleNamespace(logits=self.last(self.lstm(x)[0])).logits

    assert multiplications(Recurrent(), (3, 4)) == 3 * 4 * 2

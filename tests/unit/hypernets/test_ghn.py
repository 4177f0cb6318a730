"""GHN-1, GHN-2 and MLP: sizes, messages, decoding and normalisation, against plain arithmetic on single nodes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ogive.core.errors import SpecError, UnknownName
from ogive.core.network_graph import NetworkGraph, Node
from ogive.hypernets import files
from ogive.hypernets.batch import Batch, Target
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.ghn import GHN, normalised, predicted
from ogive.hypernets.prediction import embedding, graph_of, initialise, orthogonalised, predict
from ogive.networks.deepnets import DeepNet
from ogive.networks.predefined import ResNet50
from ogive.spaces.deepnets import Design, design_of
from ogive.spaces.deepnets_graph import drawn, network_graph

SMALL = Configuration(width=8, largest=(8, 8, 11, 11))


def made(configuration=SMALL, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GHN(configuration)


# Knyazev et al., NeurIPS 2021: parameters of the published hypernetworks; facebookresearch/ppuda 4673a42, ghn/nn.py.
@pytest.mark.parametrize(
    ("kind", "classes", "images", "parameters"),
    [
        ("GHN1", 10, "cifar", 1_620_668),
        ("MLP", 10, "cifar", 1_614_396),
        ("GHN2", 10, "cifar", 1_620_764),
        ("GHN1", 1000, "imagenet", 2_319_624),
        ("GHN2", 1000, "imagenet", 2_319_720),
    ],
)
def test_published_hypernetworks_have_their_published_sizes(kind, classes, images, parameters):
    with torch.device("meta"):
        ghn = GHN(Configuration.of(kind, classes=classes, images=images))

    assert sum(parameter.numel() for parameter in ghn.parameters()) == parameters


def test_parts_of_ghn2_have_their_published_sizes():
    with torch.device("meta"):
        ghn = GHN(Configuration())
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in ghn.named_children()}

    expected = {"embed": 480, "shape_enc": 3208, "gnn": 8480, "decoder": 1_597_450, "decoder_1d": 10_432}
    assert sizes == expected | {"bias_class": 650, "ln": 64}


PLAIN = Design(
    4, (("conv_3x3", 0), ("skip_connect", 1)), (("max_pool_3x3", 0), ("dil_conv_3x3", 1)), (2,), stem="imagenet"
)
ATTENTIVE = Design(5, (("msa", 1), ("none", 0)), (("avg_pool_3x3", 1), ("cse", 0)), (2,), projected=False)


def node_after_node(ghn, graph, embeddings):
    """Equations 3 and 4 as they are written: one node after the other, one perceptron for each edge."""
    h = list(embeddings)
    distances, options = graph.distances, ghn.configuration
    for forward in (True, False):
        for v in range(len(graph)) if forward else reversed(range(len(graph))):
            message = torch.zeros(1, options.width)
            for u in range(len(graph)):
                distance = int(distances[u, v] if forward else distances[v, u])
                if distance == 1:
                    message = message + ghn.gnn.mlp(h[u][None])
                if options.virtual and (1 if options.doubled else 2) <= distance <= options.farthest:
                    message = message + ghn.gnn.mlp_ve(h[u][None]) / distance
            h[v] = ghn.gnn.gru(message, h[v][None])[0]
    return torch.stack(h)


@pytest.mark.parametrize("changes", [{}, {"farthest": 1}, {"doubled": False}, {"farthest": 3}], ids=str)
def test_levels_at_once_are_node_after_node(changes):
    ghn = made(Configuration(width=8, largest=(8, 8, 11, 11), layer_norm=False, **changes))
    graphs = [network_graph(design) for design in (PLAIN, ATTENTIVE)]
    batch = Batch.of(graphs, ghn.configuration)
    with torch.no_grad():
        start = ghn.embed(batch.types) + ghn.shape_enc(batch.places)
        together = ghn(batch)
        alone = [node_after_node(ghn, graph, start[rows]) for graph, rows in zip(graphs, batch.rows, strict=True)]

    for rows, expected in zip(batch.rows, alone, strict=True):
        torch.testing.assert_close(together[rows], expected, atol=1e-5, rtol=0)


def test_the_switch_of_the_nearest_matters():
    graph = network_graph(PLAIN)
    outputs = []
    for doubled in (True, False):
        ghn = made(Configuration(width=8, largest=(8, 8, 11, 11), doubled=doubled))
        outputs.append(embedding(ghn, [graph]))

    assert not torch.allclose(*outputs, atol=1e-4)


def test_an_operation_changes_what_is_before_it_only_against_the_data():
    nodes = [Node("input"), Node("conv", ("a",), (8, 3, 1, 1)), Node("max_pool", (), (1, 1, 3, 3))]
    graphs = [NetworkGraph.of([*nodes, Node(op)], [(0, 1), (1, 2), (2, 3)]) for op in ("glob_avg", "avg_pool")]
    ghn = made(Configuration(width=8, largest=(8, 8, 11, 11), layer_norm=False))
    batches = [Batch.of([graph], ghn.configuration) for graph in graphs]
    with torch.no_grad():
        starts = [ghn.embed(batch.types) + ghn.shape_enc(batch.places) for batch in batches]
        forward = [ghn.gnn._passed(start, batch, forward=True) for start, batch in zip(starts, batches, strict=True)]
        both = [ghn(batch) for batch in batches]

    torch.testing.assert_close(forward[0][:3], forward[1][:3])
    assert not torch.allclose(both[0][0], both[1][0], atol=1e-6)


def test_a_part_of_a_tensor_is_decoded_as_the_whole_would_be():
    decoder, h = made().decoder, torch.randn(2, 8)
    with torch.no_grad():
        x = F.relu(decoder.fc[0](h)).view(2, 32, 11, 11)
        whole = decoder.conv(x).view(2, 8, 8, 11, 11)

        torch.testing.assert_close(decoder(h, 5, 3, 3, 7), whole[:, :5, :3, :3, :7])
        classes = decoder.class_layer_predictor(whole[:, :, :, :1, 0])[..., 0]
        torch.testing.assert_close(decoder.classes(h), classes)


def test_wide_tensors_repeat_the_decoded_one():
    graph = NetworkGraph.of([Node("input"), Node("conv", ("w",), (20, 19, 3, 3)), Node("sum")], [(0, 1), (1, 2)])
    (found,) = predicted(made(Configuration(width=8, largest=(8, 8, 11, 11), normalised=False)), [graph])
    i, j = torch.arange(20), torch.arange(19)

    torch.testing.assert_close(found["w"], found["w"][i % 8][:, j % 8])
    assert len(found["w"].unique()) == 8 * 8 * 9


# facebookresearch/ppuda 4673a42, ghn/nn.py, `_normalize` of tensors of ones.
@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((64, 64, 3, 3), "weight", 0.0589256),
        ((64, 1, 3, 3), "weight", 0.3333333),
        ((64, 64, 1, 7), "weight", 0.0472456),
        ((64, 64, 7, 1), "weight", 0.0668153),
        ((10, 64), "classes", 0.1767767),
        ((64,), "scale", 1.2449187),
        ((64,), "bias", 0.1973753),
    ],
)
def test_normalisation_is_the_published_one(shape, kind, expected):
    found = normalised(torch.ones(shape), Target(0, 0, "w", shape, kind))

    assert found.flatten()[0].item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("kind", ["ghn2", "ghn1", "mlp"])
def test_every_parameter_of_several_networks_is_predicted_and_teaches(kind):
    options = {"width": 8, "largest": (8, 8, 11, 11)}
    base = Configuration.of(kind)
    ghn = made(Configuration(**{name: getattr(base, name) for name in base.__slots__} | options))
    designs = [PLAIN, ATTENTIVE, design_of(drawn("val", 2, 0).arch)]
    networks = [DeepNet(design, 8, side=16).train() for design in designs]
    graphs = [network_graph(design, channels=8, side=16) for design in designs]
    tensors = ghn.parameters_of(Batch.of(graphs, ghn.configuration))
    images, labels = torch.randn(4, 3, 16, 16), torch.arange(4)
    loss = torch.zeros(())
    for network, found in zip(networks, tensors, strict=True):
        assert {name: p.shape for name, p in network.named_parameters()} == {n: t.shape for n, t in found.items()}
        loss = loss + F.cross_entropy(torch.func.functional_call(network, found, (images,)), labels)
    loss.backward()

    missing = [name for name, parameter in ghn.named_parameters() if parameter.grad is None]
    assert not missing
    assert all(parameter.grad is None for network in networks for parameter in network.parameters())


def test_graphs_in_a_batch_do_not_see_each_other():
    ghn, graphs = made(), [network_graph(design) for design in (PLAIN, ATTENTIVE)]
    together = predicted(ghn, graphs)

    for graph, expected in zip(graphs, together, strict=True):
        (alone,) = predicted(ghn, [graph])
        for name, tensor in alone.items():
            torch.testing.assert_close(tensor, expected[name], atol=1e-5, rtol=1e-4)


def test_any_module_begins_with_what_is_predicted():
    module = nn.Sequential(
        nn.Conv2d(3, 20, 3), nn.BatchNorm2d(20), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 10)
    )
    ghn = made()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = predict(ghn, module, (3, 8, 8))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())

    assert initialise(ghn, module, (3, 8, 8), classifier=False) == ["4.weight", "4.bias"]
    assert torch.equal(module[0].weight, found["0.weight"])
    assert torch.equal(module[4].weight, before["4.weight"])
    assert initialise(ghn, module, (3, 8, 8), noise=0.1, generator=torch.Generator().manual_seed(0)) == []
    difference = module[0].weight - found["0.weight"]
    assert 0.05 < (difference.std() / found["0.weight"].std()).item() < 0.2


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (8, 2, 3, 3), (40, 2, 3, 3)])
def test_orthogonalised_tensors_are_those_of_a_decomposition_with_positive_diagonal(shape):
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    matrix, found = tensor.flatten(1), orthogonalised(tensor).flatten(1)
    assert orthogonalised(tensor).shape == shape
    if matrix.shape[0] < matrix.shape[1]:
        matrix, found = matrix.T, found.T
    torch.testing.assert_close(found.T @ found, torch.eye(found.shape[1]), atol=1e-5, rtol=0)
    upper = found.T @ matrix  # the matrix is found times this
    torch.testing.assert_close(found @ upper, matrix, atol=1e-5, rtol=1e-5)
    assert upper.tril(-1).abs().max() < 1e-5
    assert (upper.diagonal() > 0).all()


def test_all_matrices_but_the_last_are_made_orthogonal():
    module = nn.Sequential(nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), nn.Flatten(), nn.Linear(12, 10))
    ghn, plain = made(), predict(made(), module, (3, 3, 3))
    initialise(ghn, module, (3, 3, 3), orthogonal=True)
    rows = module[0].weight.detach().flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(12), atol=1e-5, rtol=0)
    for name in ("1.weight", "1.bias", "3.weight"):
        torch.testing.assert_close(module.get_parameter(name).detach(), plain[name])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(F.relu(self.first(x)))


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (Tied(), (4,), "first.weight is used 2 times and is second.weight"),
        (nn.Sequential(nn.ReLU()), (4,), "has no parameters"),
        (nn.Sequential(nn.Conv2d(3, 4, 13), nn.Flatten(), nn.Linear(4, 10)), (3, 13, 13), "0.weight has the shape"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 7)), (4,), "1.weight has 7 outputs"),
        (nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4)), (4,), "The layer 1 calls lstm"),
        (nn.Sequential(nn.Linear(4, 4), Branching()), (4,), "The layer 1 asks for the value of what it computes"),
        (nn.Sequential(nn.Conv3d(1, 4, 2), nn.Flatten(), nn.Linear(4, 10)), (1, 2, 2, 2), "0.weight has the shape"),
    ],
    ids=["tied", "nothing", "large", "classes", "unknown", "branching", "five sides"],
)
def test_what_cannot_be_predicted_is_named(module, shape, words):
    with pytest.raises(SpecError, match=words):
        predict(made(), module, shape)


def test_tokens_have_encodings_that_differ_from_place_to_place():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.positions, self.last = nn.Parameter(torch.zeros(1, 17, 12)), nn.Linear(12, 10)

        def forward(self, x):
            return self.last((x + self.positions).mean(1))

    found = predict(made(), Tokens(), (17, 12))["positions"]
    assert found.shape == (1, 17, 12)
    assert len({tuple(row) for row in found[0].tolist()}) == 17


def published_file(path, configuration=SMALL, **changes):
    ghn = made(configuration, seed=3)
    config = {**configuration.written(), "max_shape": configuration.largest, "debug_level": 0}
    torch.save({"config": config, "state_dict": ghn.state_dict(), "epoch": 3, **changes}, path)
    return ghn


@pytest.mark.parametrize("kind", ["ghn2", "ghn1", "mlp"])
def test_published_and_own_files_give_the_same_parameters(tmp_path, kind):
    base = Configuration.of(kind)
    small = {name: getattr(base, name) for name in base.__slots__} | {"width": 8, "largest": (8, 8, 11, 11)}
    ghn = published_file(tmp_path / "ghn.pt", Configuration(**small))
    files.save(ghn, tmp_path / "ghn.safetensors")
    graph = network_graph(ATTENTIVE)
    (expected,) = predicted(ghn, [graph])

    for name in ("ghn.pt", "ghn.safetensors"):
        loaded = files.load(tmp_path / name)
        assert loaded.configuration == ghn.configuration
        (found,) = predicted(loaded, [graph])
        # A file that is mapped lies otherwise in memory, so that sums are taken in another order.
        for parameter, tensor in expected.items():
            torch.testing.assert_close(found[parameter], tensor, atol=1e-6, rtol=1e-5)


def test_files_that_are_no_hypernetwork_are_named(tmp_path):
    ghn = published_file(tmp_path / "good.pt")
    whole = (tmp_path / "good.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    published_file(tmp_path / "wide.pt", config={**SMALL.written(), "hid": 16})
    published_file(tmp_path / "mlp.pt", config={**SMALL.written(), "decoder": "mlp"})
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    torch.save({"config": SMALL, "state_dict": {}}, tmp_path / "objects.pt")
    files.save(ghn, tmp_path / "own.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "own.safetensors").read_bytes()[:-9])

    for name, words in {
        "nothing.pt": "does not exist",
        "cut.pt": "is damaged",
        "wide.pt": "are not those of its configuration",
        "mlp.pt": "Only convolutional decoders",
        "other.pt": "lacks the entries config and state_dict",
        "objects.pt": "holds more than tensors and numbers",
        "cut.safetensors": "is damaged",
    }.items():
        with pytest.raises(SpecError, match=words) as caught:
            files.load(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UnknownName, match="kind of hypernetwork named 'ghn3'"):
        Configuration.of("ghn3")
    with pytest.raises(SpecError, match="multiple of 4"):
        Configuration(width=10)


def test_resnet50_is_predicted_whole():
    network = ResNet50()
    found = predicted(made(), [graph_of(network, (3, 32, 32))])[0]

    assert {name: tensor.shape for name, tensor in found.items()} == {n: p.shape for n, p in network.named_parameters()}


def test_own_files_keep_the_switches_that_published_ones_have_not(tmp_path):
    changed = Configuration(width=8, largest=(8, 8, 11, 11), farthest=5, doubled=False)
    files.save(made(changed), tmp_path / "ghn.safetensors")

    assert files.load(tmp_path / "ghn.safetensors").configuration == changed


def test_scales_are_the_first_half_of_a_vector_and_biases_the_second():
    ghn = made(Configuration(width=8, largest=(8, 8, 11, 11), normalised=False))
    nodes = [Node("input"), Node("bn", ("g", "b"), (5,)), Node("conv", ("w",), (10, 5)), Node("bias", ("c",), (10,))]
    batch = Batch.of([NetworkGraph.of(nodes, [(0, 1), (1, 2), (2, 3)])], ghn.configuration)
    with torch.no_grad():
        h = ghn(batch)[batch.rows[0]]
        (found,) = ghn.parameters_of(batch)
        halves = ghn.decoder_1d(h)

        torch.testing.assert_close(found["g"], halves[1, :5])
        torch.testing.assert_close(found["b"], halves[1, 8:13])
        torch.testing.assert_close(found["c"], ghn.bias_class(halves[3:, 8:])[0])

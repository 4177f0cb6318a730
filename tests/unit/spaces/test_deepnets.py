"""The generator of DeepNets-1M against the statistics of the published one, and its files."""

from collections import Counter

import numpy as np
import pytest

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.spaces.deepnets import OPS, SPLITS, Design, deepnets, design_of, drawn_design, of_design
from ogive.spaces.deepnets_graph import drawn, network_graph, parameters_of


def kept_designs(split, count):
    """Designs that the generator accepts before it looks at their size, and how many draws they took."""
    rng, designs, tried = Seed(0).numpy(split), [], 0
    while len(designs) < count:
        tried += 1
        design = drawn_design(split, rng)
        if design is not None:
            designs.append(design)
    return designs, tried


def holds(design, op):
    return any(name == op for name, _ in (*design.normal, *design.reduce))


# Expected: 1,500 networks that the published sampler drew (facebookresearch/ppuda 4673a42,
# experiments/net_generator.py), without the rejection of large ones. Each share is told within 4.5 standard errors of
# the difference between two such samples.
PUBLISHED = {
    "train": {"kept": 1500 / 1828, "cells": 11.26, "msa": 0.281, "cse": 0.273, "bn_free": 0.034, "pooled": 0.986}
    | {"projected": 0.965, "nodes": (0.468, 0.417, 0.059, 0.055)},
    "deep": {"kept": 1500 / 1848, "cells": 23.50, "msa": 0.282, "cse": 0.263, "bn_free": 0.018, "pooled": 0.981}
    | {"projected": 0.961, "nodes": (0.487, 0.395, 0.073, 0.046)},
    "dense": {"kept": 1500 / 3185, "cells": 11.59, "msa": 0.501, "cse": 0.430, "bn_free": 0.036, "pooled": 0.986}
    | {"projected": 1.0, "nodes": (0.0, 0.319, 0.225, 0.189, 0.129, 0.095)},
}


@pytest.mark.parametrize("split", list(PUBLISHED))
def test_the_sampler_has_the_published_shares(split):
    designs, tried = kept_designs(split, 1500)
    expected = PUBLISHED[split]
    found = {
        "kept": len(designs) / tried,
        "msa": np.mean([holds(d, "msa") for d in designs]),
        "cse": np.mean([holds(d, "cse") for d in designs]),
        "bn_free": np.mean([not d.normalised for d in designs]),
        "pooled": np.mean([d.pooled for d in designs]),
        "projected": np.mean([d.projected for d in designs]),
    }
    found |= {f"nodes {n}": np.mean([d.nodes == n for d in designs]) for n in range(1, len(expected["nodes"]) + 1)}
    wanted = expected | {f"nodes {n}": share for n, share in enumerate(expected["nodes"], 1)}
    for name, share in found.items():
        error = np.sqrt(2 * max(share * (1 - share), 1e-4) / 1500)
        assert abs(share - wanted[name]) < 4.5 * error, name
    cells = [d.cells for d in designs]
    assert np.mean(cells) == pytest.approx(expected["cells"], abs=4.5 * np.std(cells) * np.sqrt(2 / 1500))


def test_operations_of_normal_cells_are_nearly_uniform():
    counts = Counter(op for design in kept_designs("train", 1500)[0] for op, _ in design.normal)
    shares = {op: count / sum(counts.values()) for op, count in counts.items()}

    assert set(shares) == set(OPS)
    assert min(shares, key=shares.get) == "none" or 0.04 < shares["conv_7x7"] < 0.06
    assert all(0.03 < share < 0.1 for share in shares.values())


@pytest.fixture(scope="module")
def validation():
    return [drawn("val", number, 0) for number in range(300)]


# The published generator on its split val, 300 networks: 180.2 ± 101.8 nodes, average degree 2.309, 10.84 cells, 1.09
# million parameters (ppuda 4673a42 on torch 2.13, which loses the attention nodes of some networks; with them the
# published notebook has 190.5 ± 94.4 over 500).
def test_networks_of_the_validation_split_are_of_the_published_size(validation):
    nodes = np.array([len(network.graph) for network in validation])
    degrees = [network.graph.average_degree for network in validation]

    assert 160 < nodes.mean() < 210
    assert 80 < nodes.std() < 115
    assert np.mean(degrees) == pytest.approx(2.309, abs=0.03)
    assert np.mean([network.parameters for network in validation]) / 1e6 == pytest.approx(1.09, abs=0.35)
    assert max(network.parameters for network in validation) <= SPLITS["val"].parameters
    bn_free = np.mean([all(node.op != "bn" for node in network.graph.nodes) for network in validation])
    assert 0.0 < bn_free < 0.1


# facebookresearch/ppuda, examples/graph_properties.ipynb: networks, nodes (mean, deviation, most) and average degree.
@pytest.mark.parametrize(
    ("split", "count", "mean", "deviation", "most", "degree"),
    [
        ("test", 500, 185.5, 91.2, 579, 2.3),
        ("wide", 100, 178.6, 75.1, 381, 2.3),
        ("deep", 100, 391.2, 176.7, 1017, 2.3),
        ("dense", 100, 355.1, 182.3, 993, 2.4),
        ("bnfree", 100, 135.1, 78.1, 503, 2.4),
    ],
)
def test_networks_of_the_other_splits_are_of_the_published_sizes(split, count, mean, deviation, most, degree):
    graphs = [drawn(split, number, 1).graph for number in range(100)]
    nodes = np.array([len(graph) for graph in graphs])

    # Three standard errors of the difference of two means.
    assert abs(nodes.mean() - mean) < 3 * np.sqrt(deviation**2 / count + nodes.var() / 100)
    assert 0.7 * deviation < nodes.std() < 1.3 * deviation
    assert nodes.max() < 1.3 * most
    assert np.mean([graph.average_degree for graph in graphs]) == pytest.approx(degree, abs=0.05)


def test_the_mix_of_nodes_is_the_published_one(validation):
    counts = Counter(
        "conv_1x1" if node.op == "conv" and (len(node.shape) == 2 or node.shape[2:] == (1, 1)) else node.op
        for network in validation
        for node in network.graph.nodes
    )
    shares = {op: count / sum(counts.values()) for op, count in counts.items()}

    published = {"conv_1x1": 0.30, "bn": 0.26, "sum": 0.114, "conv": 0.065, "bias": 0.063, "sep_conv": 0.055}
    assert {op: shares[op] for op in published} == pytest.approx(published, abs=0.03)
    assert all(shares[op] > 0 for op in ("msa", "cse", "ln", "pos_enc", "dil_conv", "max_pool", "avg_pool"))


def test_a_network_is_a_function_of_its_number(validation):
    assert drawn("val", 7, 0).arch == validation[7].arch
    assert drawn("val", 7, 1).arch != validation[7].arch
    assert drawn("test", 7, 0).arch != validation[7].arch


def test_designs_survive_their_architecture(validation):
    space = deepnets()
    for network in validation[:50]:
        design = design_of(network.arch)
        assert space.admit(network.arch) == of_design(design)
        assert network_graph(design) == network.graph


def test_pruned_architectures_have_the_same_graph(validation):
    space, rng = deepnets(), Seed(0).numpy("pruned")
    archs = [space.sample(rng) for _ in range(30)]
    pruned = [space.prune(arch) for arch in archs]

    assert pruned != archs
    assert all(network_graph(design_of(a)) == network_graph(design_of(b)) for a, b in zip(archs, pruned, strict=True))


def test_a_wider_network_has_more_parameters_and_the_same_nodes(validation):
    design = design_of(validation[0].arch)
    wide = network_graph(design, channels=128)

    assert wide.types.tolist() == validation[0].graph.types.tolist()
    assert parameters_of(wide) > 4 * validation[0].parameters


def test_networks_that_nothing_reaches_are_no_members():
    nothing = Design(4, (("none", 0), ("conv_3x3", 1)), (("none", 0), ("none", 1)), (2,))

    with pytest.raises(SpecError, match="not a legal architecture"):
        deepnets().admit(of_design(nothing))


def test_another_split_is_refused():
    with pytest.raises(UnknownName, match="split of DeepNets-1M named 'tests'"):
        drawn("tests", 0, 0)

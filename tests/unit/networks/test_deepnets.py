"""Networks of DeepNets-1M: what is drawn of them is what is built, and what is built trains."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from ogive.core.errors import SpecError
from ogive.networks.build import build, default_skeleton, fitted_skeleton
from ogive.networks.deepnets import DeepNet, vit
from ogive.networks.trace import trace
from ogive.spaces.deepnets import Design, design_of, of_design
from ogive.spaces.deepnets_graph import drawn, network_graph, parameters_of


# Knyazev et al., NeurIPS 2021: the vision transformer of the predefined split; ppuda 4673a42,
# examples/graph_properties.ipynb.
def test_the_predefined_transformer_has_the_published_graph():
    network = DeepNet(vit(), 128)
    graph = trace(network, (3, 32, 32))

    assert (len(graph), len(graph.edges)) == (129, 148)
    assert graph.average_degree == pytest.approx(2.294573, abs=1e-6)  # cut there, not rounded
    assert graph.average_path() == pytest.approx(10.700097, abs=5e-7)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_012_234
    assert len(list(network.parameters())) == 114


@pytest.mark.parametrize("split", ["train", "deep", "dense", "bnfree", "search"])
def test_the_drawn_graph_is_the_traced_one(split):
    ops = set()
    for number in range(4):
        design = design_of(drawn(split, number, 0).arch)
        style, side = [("cifar", 32), ("imagenet", 64)][number % 2]
        network = DeepNet(design, 8, style=style, side=side)
        graph = network_graph(design, channels=8, style=style, side=side)
        assert trace(network, (3, side, side)) == graph
        assert parameters_of(graph) == sum(parameter.numel() for parameter in network.parameters())
        ops |= {node.op for node in graph.nodes}
    assert len(ops) >= 11


EVERYTHING = Design(
    cells=4,
    normal=(("msa", 0), ("cse", 1), ("dil_conv_3x3", 0), ("sep_conv_5x5", 1), ("conv_7x1_1x7", 1), ("max_pool_3x3", 2)),
    reduce=(("avg_pool_3x3", 0), ("skip_connect", 1), ("conv_3x3", 1), ("none", 2), ("conv_1x1", 0), ("conv_7x7", 2)),
    concat=(2, 3, 4),
    layers=2,
    hidden=64,
)
WITHOUT_ATTENTION = Design(
    cells=4,
    normal=(("dil_conv_5x5", 0), ("cse", 1)),
    reduce=(("skip_connect", 0), ("conv_3x3", 1)),
    concat=(2,),
    stem="imagenet",
    pooled=False,
    widening=2,
)


@pytest.mark.parametrize("design", [EVERYTHING, WITHOUT_ATTENTION], ids=["attention", "flat head"])
def test_every_weight_gets_a_gradient_and_training_lowers_the_loss(design):
    torch.manual_seed(0)
    network = build(of_design(design), default_skeleton("deepnets", channels=8, size=12), seed=0).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    images, labels = torch.randn(16, 3, 12, 12), torch.arange(16) % 10
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        losses.append(loss.item())
        assert all(parameter.grad is not None for parameter in network.parameters())
        optimizer.step()

    assert losses[-1] < 0.8 * losses[0]


def test_networks_of_no_normalisation_have_none():
    network = build(of_design(drawn_without()), default_skeleton("deepnets", channels=8), seed=0)

    assert not [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]


def drawn_without():
    return design_of(drawn("bnfree", 0, 0).arch)


def test_every_side_of_an_image_is_taken():
    for side in (8, 13, 32):
        for design in (EVERYTHING, WITHOUT_ATTENTION):
            network = build(of_design(design), fitted_skeleton("deepnets", (1, side, side + 3), 5), seed=0).eval()
            with torch.no_grad():
                assert network(torch.zeros(2, 1, side, side + 3)).shape == (2, 5)


def test_skeletons_that_make_no_sense_are_refused():
    arch = of_design(EVERYTHING)
    for words, skeleton in (
        ("leave the skeleton's cells at 0", {"cells": 3}),
        ("at least 2 channels", {"channels": 1}),
        ("have no auxiliary", {"auxiliary": True}),
    ):
        with pytest.raises(SpecError, match=words):
            build(arch, default_skeleton("deepnets", **skeleton))


def test_seeds_are_all_that_weights_depend_on():
    arch, skeleton = of_design(WITHOUT_ATTENTION), default_skeleton("deepnets", channels=4)
    weights = [build(arch, skeleton, seed=seed).state_dict() for seed in (0, 0, 1)]

    same = [all(torch.equal(a[name], b[name]) for name in a) for a, b in pairwise(weights)]
    assert same == [True, False]

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.networks.build import Skeleton
from ogive.spaces.ddarts import dartopti, ddarts
from ogive.spaces.nested import DARTOPTI_OPERATIONS, Entry
from ogive.spaces.unrestricted import Outline, dartopti_from, ddarts_dense, outline_of
from ogive.supernets.gates import Mix, Sigmoid
from ogive.supernets.nested import NestedSupernet, genotype_from, starting_alphas
from ogive.supernets.plan import searched_operation
from ogive.supernets.sharing import nested_sharing, supernet

pytestmark = pytest.mark.usefixtures("one_thread")

# Two layers that are one cell, then another.
SHARED = replace(outline_of(dartopti(cells=3)), space="made up", layers=(0, 0, 1), reductions=(1,))


def small(outline: Outline, seed: int = 0) -> NestedSupernet:
    return supernet(nested_sharing(outline), Skeleton(4, len(outline.layers)), seed=seed).double()


def images() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_gradient_of_a_shared_cell_is_the_sum_over_its_layers() -> None:
    network = small(SHARED)
    shared = network.alphas(torch.Generator().manual_seed(0))
    apart = network.alphas(torch.Generator(), per_cell=True)
    with torch.no_grad():
        for layer, own in enumerate(apart.groups):
            own.copy_(shared.groups[SHARED.layers[layer]])
    gradients = []
    for alphas in (shared, apart):
        logits = network(images(), alphas.mixture(Sigmoid(), torch.Generator()))
        gradients.append(torch.autograd.grad(logits.logsumexp(1).sum(), alphas.groups))
    together, each = gradients
    assert [tuple(own.shape) for own in together] == [(14, 12)] * 2
    assert all(gradient.abs().max() > 0 for gradient in each)
    torch.testing.assert_close(together[0], each[0] + each[1])
    torch.testing.assert_close(together[1], each[2])


def test_an_edge_is_the_sum_of_its_operations_times_their_gates() -> None:
    """The first node of the first cell, computed operation by operation from the modules of the supernet."""
    network = small(outline_of(dartopti(cells=1)))
    (cell,) = network.mixed
    inputs = [torch.randn(2, 8, 8, 8, dtype=torch.float64) for _ in range(2)]
    gates = torch.rand(14, 12, dtype=torch.float64)
    found = cell(inputs, Mix(gates))[0]
    expected = torch.zeros_like(found)
    for edge in range(2):
        for op, name in enumerate(DARTOPTI_OPERATIONS):
            own = cell.operations[edge]
            module = own[name] if name in own else searched_operation(name, 8, 2).double()  # type: ignore[operator,index]
            expected += gates[edge, op] * module(inputs[edge])
    torch.testing.assert_close(found, expected)


def test_an_architecture_alone_is_what_its_gates_at_one_compute() -> None:
    outline = outline_of(ddarts_dense(cells=3))
    network = small(outline)
    arch = ddarts_dense(cells=3).sample(np.random.default_rng(0))
    held = [torch.zeros(14, 7, dtype=torch.float64) for _ in range(3)]
    for own, rows in zip(held, network.plan.choices(arch).values(), strict=True):
        for edge, row in enumerate(rows):
            own[edge, list(row)] = 1.0
    expected = network(images(), tuple(map(Mix, held)))
    torch.testing.assert_close(network(images(), network.path(arch)), expected)


def test_the_network_of_a_sparse_architecture_shares_the_weights_and_computes_its_path() -> None:
    network = small(outline_of(ddarts(cells=3)))
    arch = ddarts(cells=3).sample(np.random.default_rng(0))
    part = network.network(arch)
    torch.testing.assert_close(part(images()), network(images(), network.path(arch)))
    assert {id(weight) for weight in part.parameters()} <= {id(weight) for weight in network.parameters()}


def test_parameters_of_a_handcrafted_network_derive_it_by_the_rule_that_admits_it() -> None:
    outline = outline_of(dartopti_from(network="resnet18"))
    alphas = starting_alphas(small(outline), outline)
    assert outline.start is not None
    for rule in ("sparse", "edge", "complete"):
        found = genotype_from(alphas.strengths(Sigmoid()), outline, rule=rule)  # type: ignore[arg-type]
        assert [set(cell) for cell in found.cells] == [set(cell) for cell in outline.start.cells]
        assert (found.layers, found.reductions) == (outline.start.layers, outline.start.reductions)


def test_a_cell_in_which_nothing_passes_has_two_operations_a_node() -> None:
    outline = outline_of(ddarts(cells=2))
    gates = torch.full((14, 7), 0.5, dtype=torch.float64)
    passing = gates.clone()
    passing[1, 3] = 0.9
    found = genotype_from([gates, passing], outline)
    assert [len(cell) for cell in found.cells] == [8, 1]
    assert found.cells[1] == (Entry("sep_conv_3x3", 2, 1),)


def test_a_supernet_of_another_size_is_refused() -> None:
    with pytest.raises(SpecError, match="has 3 layers, but got 4"):
        supernet(nested_sharing(SHARED), Skeleton(4, 4))
    outline = outline_of(dartopti_from(network="xception"))
    with pytest.raises(SpecError, match="at least 16×16"):
        supernet(nested_sharing(outline), Skeleton(4, 13, size=15))

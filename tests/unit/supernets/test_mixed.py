from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.networks.build import Skeleton, WeightSource
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.supernets.gates import GumbelOneHot, Mix, SinglePath, Softmax
from ogive.supernets.mixed import MixedCell
from ogive.supernets.networks import Supernet
from ogive.supernets.plan import DARTS, Plan
from ogive.supernets.sharing import supernet

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {"darts": Skeleton(4, 3, size=16), "nasbench201": Skeleton(4, 1)}


def images(count: int = 3, side: int = 16) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def plain_mixed(cell: MixedCell, weights_EO: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """The nodes as the papers write them: every edge runs every operation by itself, and adds the weighted outputs."""
    states = list(inputs)
    for node in sorted({target for _, target in cell.plan.edges}):
        total: Tensor | float = 0.0
        for edge, (source, target) in enumerate(cell.plan.edges):
            if target != node:
                continue
            for op, name in enumerate(cell.plan.operations):
                own, shared = cell.operations[edge], cell.shared
                if name == "none":
                    continue
                module = own[name] if name in own else shared[f"{source}_whole_{name}"]  # type: ignore[operator,index]
                total = total + weights_EO[edge, op] * module(states[source])
        assert isinstance(total, Tensor)
        states.append(total)
    return states[len(inputs) :]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("strides", ["kept", "halved"])
@pytest.mark.parametrize("side", [7, 8])
def test_a_mixed_cell_is_the_weighted_sum_of_all_its_operations(
    strides: str, layout: torch.memory_format, side: int
) -> None:
    steps = [2 if strides == "halved" and source < 2 else 1 for source, _ in DARTS.edges]
    torch.manual_seed(0)
    cell = MixedCell(DARTS, DARTS.everything, 4, steps).double()
    drawn = [torch.randn(2, 4, side, side, dtype=torch.float64) for _ in range(2)]
    inputs = [x.contiguous(memory_format=layout).requires_grad_() for x in drawn]
    weights = torch.softmax(torch.randn(14, 8, dtype=torch.float64), dim=1).requires_grad_()
    found = torch.cat(cell(inputs, Mix(weights)), dim=1)
    expected = torch.cat(plain_mixed(cell, weights, inputs), dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    wave = torch.sin(torch.arange(found.numel(), dtype=torch.float64)).view_as(found)
    leaves = [weights, *inputs, *cell.parameters()]
    mine, theirs = (torch.autograd.grad((out * wave).sum(), leaves) for out in (found, expected))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("space", SIZES)
def test_the_network_of_an_architecture_is_the_supernet_on_that_path(space: str) -> None:
    network = supernet(space, SIZES[space], seed=0)
    assert isinstance(network, WeightSource)
    arch = (darts() if space == "darts" else nasbench201()).sample(np.random.default_rng(3))
    part = network.network(arch)
    whole = network(
        images(), tuple(one_path(cell, rows) for cell, rows in zip(network.mixed, part.choices, strict=True))
    )
    assert torch.equal(part(images()), whole)


def one_path(cell: MixedCell, rows: tuple[tuple[int, ...], ...]) -> Mix:
    return Mix(None, rows)


def test_a_part_shares_weights_and_has_running_statistics_of_its_own() -> None:
    network = supernet("darts", SIZES["darts"], seed=0)
    arch = darts().sample(np.random.default_rng(0))
    part = network.network(arch)
    own = {id(weight) for weight in network.parameters()}
    assert {id(weight) for weight in part.parameters()} < own
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    part.train()(images())
    assert all(torch.equal(before[name], buffer) for name, buffer in network.named_buffers())
    assert any(not torch.equal(before[name], buffer) for name, buffer in part.named_buffers())


def test_a_part_with_two_operations_left_mixes_those() -> None:
    network = supernet("nasbench201", SIZES["nasbench201"], seed=0)
    rows = ((2, 3), *((1,) for _ in range(5)))
    part = network.restricted([rows] * 3)
    alphas = part.alphas(torch.Generator(), scale=1.0)
    assert [tuple(tensor.shape) for tensor in alphas.groups] == [(1, 5)]
    (mix, *_) = alphas.mixture(Softmax(), torch.Generator())
    assert mix.weights is not None
    assert (mix.weights[0] > 0).tolist() == [False, False, True, True, False]
    assert part(images(), alphas.mixture(Softmax(), torch.Generator())).shape == (3, 10)


def test_a_part_is_no_larger_than_the_whole() -> None:
    part = supernet("nasbench201", SIZES["nasbench201"], seed=0, choices={"cell": ((1,),) * 6})
    with pytest.raises(SpecError, match="Edge 0 of the cell has the operations \\(1,\\), but \\(3,\\)"):
        part.restricted([((3,),) * 6] * 3)


def test_a_cell_of_none_alone_is_zero() -> None:
    network = supernet("nasbench201", SIZES["nasbench201"], seed=0)
    part = network.network(Architecture("nasbench201", (0,) * 6))
    assert torch.equal(part.mixed[0]([images()[:, :1].expand(-1, 4, -1, -1)])[-1], torch.zeros(3, 4, 16, 16))


def test_a_mix_is_needed_where_there_is_a_choice() -> None:
    with pytest.raises(SpecError, match="6 edges of the cell have a choice"):
        supernet("nasbench201", SIZES["nasbench201"], seed=0)(images())


@pytest.mark.parametrize("gate", [GumbelOneHot(), SinglePath()])
def test_a_gate_of_one_operation_runs_no_other(gate: GumbelOneHot | SinglePath) -> None:
    network = supernet("darts", SIZES["darts"], seed=0)
    mixture = network.alphas(torch.Generator()).mixture(gate, torch.Generator().manual_seed(1))
    ran: list[nn.Module] = []
    for cell in network.mixed:
        for module in cell.operations.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda layer, _inputs, _output: ran.append(layer))
    with torch.no_grad():
        network.eval()(images(), mixture)
    assert all(mix.active is not None for mix in mixture)
    expected = 0
    for cell, mix in zip(network.mixed, mixture, strict=True):
        for edge, ops in zip(cell.operations, mix.active or (), strict=True):
            name = DARTS.operations[ops[0]]
            expected += sum(isinstance(m, nn.Conv2d) for m in edge[name].modules()) if name in edge else 0  # type: ignore[operator,index]
    assert len(ran) == expected


def test_partial_channels_pass_the_rest_by_and_shuffle() -> None:
    plan = Plan(
        "toy", ("cell",), 1, ((0, 1),), ("none", "skip"), lambda *_: nn.Identity(), lambda _: {}, NotImplemented
    )
    cell = MixedCell(plan, plan.everything, 4, [1], partial=2)
    x = torch.arange(4.0).view(1, 4, 1, 1)
    (node,) = cell([x], Mix(torch.tensor([[0.5, 10.0]])))
    # The first two channels go through the mix (times 10), then the halves are dealt out in turn.
    assert node.flatten().tolist() == [0.0, 2.0, 10.0, 3.0]


def test_partial_channels_halve_what_passes_by_with_a_maximum() -> None:
    network = supernet("darts", Skeleton(8, 3), seed=0, partial=4)
    alphas = network.alphas(torch.Generator().manual_seed(0), edge_logits=True)
    for side in (16, 15):
        assert network(images(side=side), alphas.mixture(Softmax(), torch.Generator())).shape == (3, 10)


def test_normalised_edges_weigh_what_a_node_adds_to_a_sum_of_one() -> None:
    alphas = supernet("darts", SIZES["darts"], seed=0).alphas(torch.Generator(), scale=1.0, edge_logits=True)
    shares = alphas.normalised_edges(0)
    for node in range(2, 6):
        incoming = [edge for edge, (_, target) in enumerate(DARTS.edges) if target == node]
        assert float(shares[incoming].sum().detach()) == pytest.approx(1.0)
        expected = torch.softmax(alphas.edges[0][incoming], dim=0)
        torch.testing.assert_close(shares[incoming], expected)


def test_cells_may_own_their_architecture_parameters() -> None:
    network = supernet("darts", SIZES["darts"], seed=0)
    alphas = network.alphas(torch.Generator(), per_cell=True)
    assert len(alphas.groups) == 3
    mixture = alphas.mixture(Softmax(), torch.Generator())
    gradients = torch.autograd.grad(network(images(), mixture).square().sum(), alphas.tensors)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_alphas_of_cells_that_share_them_sum_their_gradients() -> None:
    network = supernet("nasbench201", SIZES["nasbench201"], seed=0).double()
    shared = network.alphas(torch.Generator().manual_seed(0))
    own = network.alphas(torch.Generator(), per_cell=True)
    with torch.no_grad():
        for values in own.groups:
            values.copy_(shared.groups[0])
    x = images().double()
    (together,) = torch.autograd.grad(loss(network, x, shared), shared.tensors)
    apart = torch.autograd.grad(loss(network, x, own), own.tensors)
    torch.testing.assert_close(together, torch.stack(apart).sum(0))


def loss(network: Supernet, x: Tensor, alphas: object) -> Tensor:
    mixture = alphas.mixture(Softmax(), torch.Generator())  # type: ignore[attr-defined]
    return F.cross_entropy(network(x, mixture), torch.arange(3))


def test_a_space_without_a_supernet_names_those_that_have_one() -> None:
    with pytest.raises(UnknownName, match=r"no space with a supernet named 'natssize'\. Known: darts, nasbench201"):
        supernet("natssize", Skeleton(4, 1))


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(SpecError, match="3×3 are too small for the reductions"):
        supernet("darts", Skeleton(4, 8, size=3))
    with pytest.raises(SpecError, match="a multiple of partial=4, but got channels=6"):
        supernet("darts", Skeleton(6, 8), partial=4)
    with pytest.raises(SpecError, match="no auxiliary head"):
        supernet("darts", Skeleton(4, 8, auxiliary=True))
    with pytest.raises(SpecError, match="3 cells needs choices for each, but got 2"):
        supernet("darts", Skeleton(4, 3), choices=[DARTS.everything] * 2)


def test_weights_depend_on_the_seed_alone() -> None:
    first, second, other = (supernet("nasbench201", Skeleton(4, 1), seed=seed) for seed in (1, 1, 2))
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    assert not all(map(torch.equal, first.parameters(), other.parameters()))

"""Supernets of D-DARTS and DARTOpti: counts, owners of architecture parameters, and what the reference leaves behind.

The numbers come from executing the search networks of Heuillet et al., "D-DARTS" (aheuillet/D-DARTS at e3ad5d9, on
today's PyTorch).
"""

from __future__ import annotations

import pytest
import torch

from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks import count
from ogive.networks.build import Skeleton
from ogive.spaces.ddarts import ddarts
from ogive.spaces.unrestricted import dartopti_from, outline_of
from ogive.supernets import sharing
from ogive.supernets.ablation import CellLosses, zero_one_loss
from ogive.supernets.alphas import Alphas
from ogive.supernets.cells import CellRecipe, CellSearch
from ogive.supernets.gates import Sigmoid
from ogive.supernets.nested import NestedSupernet, starting_alphas
from ogive.training.data import Data, Split
from ogive.training.recipe import Recipe
from ogive.training.tasks.classification import Classification

pytestmark = pytest.mark.usefixtures("one_thread")


def supernet(space: SearchSpace, channels: int) -> NestedSupernet:
    outline = outline_of(space)
    with torch.device("meta"):
        return sharing.supernet(sharing.nested_sharing(outline), Skeleton(channels, len(outline.layers)))


@pytest.mark.parametrize(
    ("channels", "cells", "parameters"), [(16, 8, 1_930_618), (32, 8, 6_800_618), (4, 3, 72_854), (4, 4, 118_742)]
)
def test_supernets_of_ddarts_count_as_the_published_code(channels: int, cells: int, parameters: int) -> None:
    assert count.parameters(supernet(ddarts(distinct=cells), channels)) == parameters


def test_every_cell_of_ddarts_has_its_own_parameters_and_starts_undecided() -> None:
    network = sharing.supernet(sharing.nested_sharing(outline_of(ddarts())), Skeleton(4, 8), seed=0)
    alphas = starting_alphas(network, network.outline)
    assert [tuple(own.shape) for own in alphas.groups] == [(14, 7)] * 8
    assert sum(own.numel() for own in alphas.groups) == 784
    assert alphas.group_of_cell == tuple(range(8))
    assert all(bool((gates == 0.5).all()) for gates in alphas.strengths(Sigmoid()))
    loss = zero_one_loss(torch.cat([own.flatten() for own in alphas.groups]))
    assert loss.item() == 0.0
    assert not any(gradient.any() for gradient in torch.autograd.grad(loss, alphas.groups))
    assert network.outline.reductions == (2, 5)


# C = 16 and ten classes: parameters, layers, shape of the architecture parameters, owners, and how many are at ten.
FROM = {
    "resnet18": (17_038_394, 4, (1, 14, 12), {0: 0}, [6]),
    "resnet50": (32_718_170, 4, (3, 27, 12), {0: 0, 1: 1, 2: 2}, [6, 8, 12]),
    "xception": (93_449_274, 13, (3, 14, 12), {0: 0, 1: 3, 2: 12}, [4, 4, 2]),
}


@pytest.mark.parametrize("name", FROM)
def test_supernets_of_dartopti_count_and_share_as_the_published_code(name: str) -> None:
    parameters, layers, _, owner, _ = FROM[name]
    network = supernet(dartopti_from(network=name), 16)
    assert count.parameters(network) == parameters
    assert len(network.kinds) == layers
    layers = network.outline.layers
    assert {cell: layers.index(cell) for cell in range(network.outline.distinct)} == owner


@pytest.mark.parametrize("name", FROM)
def test_searches_of_dartopti_start_from_the_published_encoding(name: str) -> None:
    _, _, shape, _, tens = FROM[name]
    outline = outline_of(dartopti_from(network=name))
    with torch.device("meta"):
        network = sharing.supernet(sharing.nested_sharing(outline), Skeleton(2, len(outline.layers)))
    alphas = starting_alphas(network.to_empty(device="cpu"), outline)
    assert (len(alphas.groups), *alphas.groups[0].shape) == shape
    assert [int((own == 10).sum()) for own in alphas.groups] == tens
    assert [int((own == 0).sum()) for own in alphas.groups] == [shape[1] * shape[2] - ten for ten in tens]


LITERAL = CellLosses(form="literal")


def small_search() -> tuple[NestedSupernet, Alphas, Classification, Classification]:
    """Three cells, at the start of a search, and noise to search on."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (32, 3, 8, 8), generator=draw, dtype=torch.uint8)
    noise = Split(images, torch.arange(32) % 2)
    outline = outline_of(ddarts(distinct=3))
    network = sharing.supernet(sharing.nested_sharing(outline), Skeleton(4, 3, classes=2), seed=0)
    data = Data("noise", noise, noise, noise, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    return (network, starting_alphas(network, outline), *Classification(data).halved(Seed(0)))


def test_three_cells_leave_gradients_in_all_but_the_last_and_in_the_weights() -> None:
    """As measured in the published code after a step of the architecture: 3.64, 1.79 and none; ratios depend on data.

    What is left in a cell are the losses of the cells after it, of which the first has two and the second one.
    """
    recipe = Recipe(epochs=1, batch_size=8, nesterov=False)
    search = CellSearch(*small_search(), recipe, CellRecipe(reference_leaks=True), LITERAL, seed=Seed(0))
    batch, other = next(search.train_batches.epoch(Seed(1))), next(search.valid_batches.epoch(Seed(2)))
    search._architecture_gradients(batch, other, search.current_gate, Seed(3))
    plain = CellSearch(
        *small_search(), Recipe(epochs=1, batch_size=8, nesterov=False), CellRecipe(), LITERAL, seed=Seed(0)
    )
    _, own = plain._architecture_gradients(batch, other, plain.current_gate, Seed(3))
    for cell, times in enumerate((2, 1, 0)):
        torch.testing.assert_close(search.leftovers[cell], times * own[cell])
    assert [bool(leftover.any()) for leftover in search.leftovers] == [True, True, False]
    assert all(bool(leaked.any()) for leaked in search._leaked if leaked.dim() > 1)

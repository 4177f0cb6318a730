from __future__ import annotations

import pytest
import torch

from ogive.networks.natssize import NatsSizeNetwork


def test_layers_have_the_widths_of_the_architecture() -> None:
    network = NatsSizeNetwork((8, 16, 24, 32, 40)).eval()
    shapes: list[tuple[int, ...]] = []
    for layer in network.cells:
        layer.register_forward_hook(lambda _layer, _inputs, output: shapes.append(tuple(output.shape[1:])))
    network(torch.zeros(1, 3, 32, 32))
    assert shapes == [(8, 32, 32), (16, 16, 16), (24, 16, 16), (32, 8, 8), (40, 8, 8)]


def test_a_deeper_network_repeats_the_cells_of_each_stage() -> None:
    network = NatsSizeNetwork((8, 16, 24, 32, 40), cells=2)
    assert len(network.cells) == 8
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("side", [1, 9])
def test_images_of_any_size_are_taken(side: int) -> None:
    assert NatsSizeNetwork((8,) * 5, classes=4, inputs=1)(torch.randn(2, 1, side, side)).shape == (2, 4)


def test_a_recipe_builds_the_same_network_again() -> None:
    network = NatsSizeNetwork((8, 16, 8, 16, 8), classes=3).eval()
    again = NatsSizeNetwork(**network.recipe).eval()  # type: ignore[arg-type]
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(again(images), network(images))

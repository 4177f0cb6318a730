from __future__ import annotations

import pytest
import torch

from ogive.networks.nasbench101 import NasBench101Cell, NasBench101Network, vertex_channels

POOL = "maxpool3x3"
CONV = "conv3x3-bn-relu"
# Input to 1 and 2; 1 to 2 and to the output; 2 to the output; input to the output.
MATRIX = ((0, 1, 1, 1), (0, 0, 1, 1), (0, 0, 0, 1), (0, 0, 0, 0))


def test_the_output_joins_its_vertices_and_adds_the_projected_input() -> None:
    cell = NasBench101Cell(MATRIX, (POOL, POOL), 4, 6).eval()
    images = torch.randn(2, 4, 5, 5)
    pool = torch.nn.MaxPool2d(3, stride=1, padding=1)
    first = pool(cell.projections["1"](images))
    second = pool(first + cell.projections["2"](images))
    expected = torch.cat([first, second], dim=1) + cell.projections["3"](images)
    torch.testing.assert_close(cell(images), expected)


def test_a_vertex_that_is_one_channel_narrower_leaves_out_the_last_one() -> None:
    # Seven channels for two vertices: four and three.
    assert vertex_channels(MATRIX, 4, 7) == [4, 4, 3, 7]
    cell = NasBench101Cell(MATRIX, (POOL, POOL), 4, 7).eval()
    images = torch.randn(2, 4, 5, 5)
    pool = torch.nn.MaxPool2d(3, stride=1, padding=1)
    first = pool(cell.projections["1"](images))
    second = pool(first[:, :3] + cell.projections["2"](images))
    torch.testing.assert_close(cell(images), torch.cat([first, second], dim=1) + cell.projections["3"](images))


def test_a_cell_of_input_and_output_alone_is_a_projection() -> None:
    cell = NasBench101Cell(((0, 1), (0, 0)), (), 3, 5).eval()
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(cell(images), cell.projections["1"](images))


@pytest.mark.parametrize("side", [1, 8, 9])
def test_images_of_any_size_are_taken(side: int) -> None:
    network = NasBench101Network(MATRIX, (CONV, POOL), channels=4, cells=1, classes=7, inputs=1)
    assert network(torch.randn(3, 1, side, side)).shape == (3, 7)


def test_every_parameter_gets_a_gradient() -> None:
    network = NasBench101Network(MATRIX, (CONV, "conv1x1-bn-relu"), channels=4, cells=2)
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_recipe_builds_the_same_network_again() -> None:
    network = NasBench101Network([list(row) for row in MATRIX], [CONV, POOL], channels=4, cells=1).eval()
    again = NasBench101Network(**network.recipe).eval()  # type: ignore[arg-type]
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(again(images), network(images))


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="conv9x9"):
        NasBench101Cell(MATRIX, (CONV, "conv9x9"), 4, 4)

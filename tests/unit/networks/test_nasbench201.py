from __future__ import annotations

import pytest
import torch
from torch import nn

from ogive.networks.nasbench201 import NasBench201Cell, NasBench201Network, nasbench201_operation

NONE = ("none",) * 6


def test_a_cell_adds_what_its_edges_bring() -> None:
    # (0>1) skip, (0>2) none, (1>2) skip, (0>3) skip, (1>3) skip, (2>3) skip: three paths of the input itself.
    operations = ("skip_connect", "none", "skip_connect", "skip_connect", "skip_connect", "skip_connect")
    images = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(NasBench201Cell(operations, 4, 4)(images), 3 * images)


def test_a_cell_without_any_path_gives_zeros_in_training_and_in_evaluation() -> None:
    cell = NasBench201Cell(NONE, 4, 4)
    for training in (True, False):
        output = cell.train(training)(torch.randn(2, 4, 5, 5))
        assert output.shape == (2, 4, 5, 5)
        assert not output.any()


def test_leaving_out_the_zeros_in_evaluation_changes_nothing() -> None:
    operations = ("nor_conv_3x3", "none", "avg_pool_3x3", "none", "none", "nor_conv_1x1")
    cell = NasBench201Cell(operations, 4, 4)
    frozen = cell.train()
    for layer in frozen.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    images = torch.randn(2, 4, 5, 5)
    with_zeros = frozen(images)
    torch.testing.assert_close(cell.eval()(images), with_zeros)


def test_every_parameter_gets_a_gradient_in_training_even_on_dead_edges() -> None:
    network = NasBench201Network(("nor_conv_3x3", *NONE[1:]), channels=4, cells=1)
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("side", [1, 7, 8, 16])
def test_images_of_any_size_are_taken(side: int) -> None:
    network = NasBench201Network(("nor_conv_3x3", "avg_pool_3x3", *("skip_connect",) * 4), 4, 2, classes=7, inputs=1)
    assert network(torch.randn(3, 1, side, side)).shape == (3, 7)


def test_a_recipe_builds_the_same_network_again() -> None:
    network = NasBench201Network(["nor_conv_1x1"] * 6, channels=4, cells=1, classes=3, inputs=1).eval()
    again = NasBench201Network(**network.recipe).eval()  # type: ignore[arg-type]
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(again(images), network(images))


def test_an_operation_that_cannot_change_the_width_is_refused() -> None:
    with pytest.raises(ValueError, match="from 4 to 8 channels"):
        nasbench201_operation("avg_pool_3x3", 4, 8)


def test_a_skip_that_changes_the_width_is_a_convolution_with_normalisation() -> None:
    skip = nasbench201_operation("skip_connect", 4, 8)
    assert [type(layer) for layer in skip.children()] == [nn.Conv2d, nn.BatchNorm2d]
    assert isinstance(nasbench201_operation("skip_connect", 4, 4), nn.Identity)

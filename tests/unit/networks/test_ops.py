from __future__ import annotations

import pytest
import torch
from torch import nn

from ogive.networks.ops import (
    ConvBN,
    ConvBNReLU,
    DilatedConv,
    FactorizedConv,
    FactorizedReduce,
    ReLUConvBN,
    ResidualReduction,
    SampledConv2d,
    SeparableConv,
    Zero,
    average_pool_3x3,
    drop_path,
    max_pool,
)

HALVING = {
    "zero": Zero(2),
    "convolution": ConvBN(4, 4, 3, stride=2),
    "convolution then relu": ConvBNReLU(4, 4, 3, stride=2),
    "relu then convolution": ReLUConvBN(4, 4, 3, stride=2),
    "separable": SeparableConv(4, 5, stride=2),
    "dilated": DilatedConv(4, 5, stride=2),
    "factorized": FactorizedConv(4, 7, stride=2),
    "factorized reduce": FactorizedReduce(4, 4),
    "residual": ResidualReduction(4, 4),
    "max": max_pool(3, 2),
    "average": average_pool_3x3(2),
}


@pytest.mark.parametrize("name", HALVING)
@pytest.mark.parametrize("side", [1, 2, 7, 8, 9])
def test_every_halving_operation_gives_the_same_side_for_odd_sizes_too(name: str, side: int) -> None:
    assert HALVING[name](torch.ones(2, 4, side, side)).shape == (2, 4, (side + 1) // 2, (side + 1) // 2)


def test_factorized_reduce_sees_every_second_pixel_and_the_ones_after_them() -> None:
    module = FactorizedReduce(3, 4).eval()
    images = torch.randn(2, 3, 6, 8)
    rectified = images.relu()
    halves = [module.conv_1(rectified), module.conv_2(rectified[:, :, 1:, 1:])]
    torch.testing.assert_close(module(images), module.bn(torch.cat(halves, dim=1)))


@pytest.mark.parametrize("side", [7, 8])
def test_a_sampled_convolution_is_the_one_with_a_stride(side: int) -> None:
    sampled, plain = SampledConv2d(3, 4, 1, stride=2), nn.Conv2d(3, 4, 1, stride=2)
    plain.load_state_dict(sampled.state_dict())
    images = torch.randn(2, 3, side, side)
    torch.testing.assert_close(sampled(images), plain(images))


def test_an_odd_number_of_channels_is_split_into_unequal_halves() -> None:
    assert FactorizedReduce(4, 5)(torch.ones(2, 4, 4, 4)).shape == (2, 5, 2, 2)


def test_the_mean_over_a_window_counts_pixels_inside_the_image_only() -> None:
    assert torch.equal(average_pool_3x3()(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


def test_zero_gives_zeros_and_lets_gradients_of_zero_through() -> None:
    images = torch.randn(2, 3, 4, 4, requires_grad=True)
    output = Zero()(images)
    output.sum().backward()
    assert not output.any()
    assert images.grad is not None
    assert not images.grad.any()


@pytest.mark.parametrize(
    "module",
    [
        ReLUConvBN(4, 4, 1, affine=False),
        SeparableConv(4, 3, affine=False),
        DilatedConv(4, 3, affine=False),
        FactorizedConv(4, 7, affine=False),
        FactorizedReduce(4, 4, affine=False),
        ConvBN(4, 4, 1, affine=False),
        ConvBNReLU(4, 4, 1, affine=False),
    ],
    ids=lambda module: type(module).__name__,
)
def test_without_affine_no_normalisation_has_parameters(module: nn.Module) -> None:
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert layers
    assert all(layer.weight is None for layer in layers)


def test_drop_path_drops_whole_images_and_keeps_the_mean() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = drop_path(torch.ones(4000, 2, 3, 3), 0.2)
    flat = dropped.flatten(1)
    # A factor of 1/0.8 or nothing, the same for all features of an image.
    torch.testing.assert_close(flat.amax(1), flat.amin(1))
    assert set(flat.amax(1).unique().tolist()) == {0.0, 1.25}
    # Five standard errors of 4,000 draws with probability 0.2.
    assert abs((flat[:, 0] == 0).double().mean().item() - 0.2) < 5 * (0.2 * 0.8 / 4000) ** 0.5


def test_drop_path_keeps_the_memory_format_and_the_precision() -> None:
    images = torch.ones(4, 3, 5, 5, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    dropped = drop_path(images, 0.5)
    assert dropped.dtype is torch.bfloat16
    assert dropped.is_contiguous(memory_format=torch.channels_last)

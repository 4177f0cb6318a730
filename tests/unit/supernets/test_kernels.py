from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.networks.ops import FactorizedReduce
from ogive.supernets import kernels, mixed
from ogive.supernets.kernels import (
    corners,
    depthwise,
    interleaved,
    is_depthwise,
    is_fast,
    is_pointwise,
    normalised_depthwise,
    phases,
    pointwise,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    layout = torch.channels_last if shape[1] > 1 else torch.contiguous_format
    return values.contiguous(memory_format=layout).requires_grad_()


def assert_same_gradients(mine: Tensor, theirs: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(mine, theirs)
    wave = torch.sin(torch.arange(mine.numel(), dtype=mine.dtype)).view_as(mine)
    for one, other in zip(
        torch.autograd.grad((mine * wave).sum(), leaves),
        torch.autograd.grad((theirs * wave).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("side", [7, 8])
def test_depthwise_convolutions_and_their_gradients_are_those_of_torch(
    kernel: int, stride: int, dilation: int, side: int
) -> None:
    x, weight = drawn(2, 3, side, side), drawn(3, 1, kernel, kernel, seed=1)
    mine = depthwise(x, weight, stride, dilation)
    theirs = F.conv2d(x, weight, None, stride, dilation * (kernel // 2), dilation, 3)
    assert_same_gradients(mine, theirs, [x, weight])


@pytest.mark.parametrize("kernel", [5, 7])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (9, 31), (4, 4), (3, 3), (2, 2), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradient_of_a_large_kernel_is_put_together_from_few_columns_each(
    kernel: int, height: int, width: int, stride: int
) -> None:
    x, weight = drawn(3, 2, height, width), drawn(2, 1, kernel, kernel, seed=1)
    expected = F.conv2d(x, weight, None, stride, kernel // 2, 1, 2)
    assert_same_gradients(depthwise(x, weight, stride), expected, [x, weight])


def test_a_pointwise_convolution_is_a_product_of_matrices() -> None:
    x, weight = drawn(2, 3, 4, 5), drawn(6, 3, 1, 1, seed=1)
    found = pointwise(x, weight)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert_same_gradients(found, F.conv2d(x, weight), [x, weight])


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 2, 5, 7)])
def test_corners_are_the_even_pixels_and_the_odd_ones(shape: tuple[int, ...]) -> None:
    x = drawn(*shape)
    even, odd = corners(x)
    assert torch.equal(even, x[:, :, ::2, ::2])
    assert torch.equal(odd, x[:, :, 1::2, 1::2])
    joined = torch.cat([part.flatten() for part in (even, odd)])
    slices = torch.cat([part.flatten() for part in (x[:, :, ::2, ::2], x[:, :, 1::2, 1::2])])
    assert_same_gradients(joined, slices, [x])
    assert torch.autograd.gradgradcheck(lambda x: torch.stack([part.square().sum() for part in corners(x)]), (x,))


@pytest.mark.parametrize(("height", "width"), [(6, 4), (5, 4)])
def test_a_reduction_in_a_mixed_cell_is_what_it_is_by_itself(height: int, width: int) -> None:
    module, x = FactorizedReduce(4, 6, affine=False).double(), drawn(3, 4, height, width)
    total, factor = mixed.Total(), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    mixed.add_weighed(total, module, mixed.Seen(x), factor)
    found = total.value()
    assert found is not None
    assert_same_gradients(found, module(x) * factor, [x, factor, module.conv_1.weight, module.conv_2.weight])


def test_depthwise_convolutions_can_be_differentiated_twice() -> None:
    x, weight = drawn(1, 2, 3, 4), drawn(2, 1, 5, 5, seed=1)
    assert torch.autograd.gradgradcheck(depthwise, (x, weight))


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(("count", "kernel"), [(4, 3), (4, 5), (70, 5)])
def test_normalisation_relu_and_convolution_in_one_are_what_they_are_one_by_one(
    tracked: bool, count: int, kernel: int
) -> None:
    x, weight = drawn(count, 3, 8, 8), drawn(3, 1, kernel, kernel, seed=1)
    mine, theirs = (nn.BatchNorm2d(3, affine=False, track_running_stats=tracked).double() for _ in range(2))
    found = normalised_depthwise(x, mine, weight)
    expected = F.conv2d(F.relu(theirs(x)), weight, padding=kernel // 2, groups=3)
    assert_same_gradients(found, expected, [x, weight])
    assert all(map(torch.equal, mine.buffers(), theirs.buffers()))


def test_normalisation_relu_and_convolution_can_be_differentiated_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "RECOMPUTED_FROM", 0)
    x, weight = drawn(3, 2, 3, 3), drawn(2, 1, 5, 5, seed=1)
    norm = nn.BatchNorm2d(2, affine=False, track_running_stats=False).double()
    assert torch.autograd.gradgradcheck(lambda *both: normalised_depthwise(both[0], norm, both[1]), (x, weight))


def test_phases_are_every_second_pixel_and_can_be_put_together_again() -> None:
    x = torch.arange(32.0).view(1, 2, 4, 4)
    assert phases(x)[:, 0, 0, 0].tolist() == [0.0, 1.0, 4.0, 5.0]
    several = drawn(3, 2, 6, 4).detach()
    assert torch.equal(interleaved(phases(several)), several)


def test_a_dilated_convolution_is_a_plain_one_on_the_phases() -> None:
    x, weight = drawn(2, 3, 8, 6), drawn(3, 1, 5, 5, seed=1)
    mine = interleaved(depthwise(phases(x), weight))
    assert_same_gradients(mine, F.conv2d(x, weight, padding=4, dilation=2, groups=3), [x, weight])


def test_which_layers_are_depthwise_convolutions_that_keep_the_size() -> None:
    def made(**options: object) -> nn.Module:
        return nn.Conv2d(4, 4, **{"kernel_size": 3, "padding": 1, "groups": 4, "bias": False, **options})  # type: ignore[arg-type]

    assert is_depthwise(made())
    assert is_depthwise(made(padding=2, dilation=2, stride=2))
    for options in ({"groups": 1}, {"bias": True}, {"padding": 0}, {"kernel_size": 2}, {"padding_mode": "reflect"}):
        assert not is_depthwise(made(**options))
    assert not is_depthwise(nn.ReLU())


def test_which_layers_are_pointwise_convolutions() -> None:
    assert is_pointwise(nn.Conv2d(4, 6, 1, bias=False))
    for options in ({"stride": 2}, {"bias": True}, {"groups": 2}, {"padding": 1}, {"kernel_size": 3}):
        assert not is_pointwise(nn.Conv2d(4, 6, **{"kernel_size": 1, "bias": False, **options}))  # type: ignore[arg-type]


def test_the_kernels_are_for_gradients_on_a_cpu_in_channels_last() -> None:
    x = drawn(1, 2, 4, 4)
    assert is_fast(x)
    assert not is_fast(x.detach().contiguous())
    assert not is_fast(x.to(torch.bfloat16))
    with torch.no_grad():
        assert not is_fast(x)

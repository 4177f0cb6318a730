"""Convolutions of supernets where torch's own backward pass is slow on a CPU.

Measured with torch 2.13 on images in channels_last: the gradient of the input of a convolution of stride 1 is faster as
a forward convolution with the flipped kernel; that of a 5×5 kernel as those of its first three columns and its last
two; a dilated convolution as one without dilation on the four images of every second pixel; and a pointwise one as a
product of matrices. All are exact rearrangements of the same sums.

Shapes: N images, C channels, H × W pixels, kernels (C, 1, k, k).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "corners",
    "depthwise",
    "interleaved",
    "is_depthwise",
    "is_fast",
    "is_pointwise",
    "normalised_depthwise",
    "phases",
    "pointwise",
]

LAYOUT = torch.channels_last
# With more columns than these in a kernel, torch computes its gradient four to eight times as slowly.
COLUMNS = 3
# Below so many pixels in a batch, what it takes in memory is not worth the time of computing it again.
RECOMPUTED_FROM = 4096


def is_fast(x: Tensor) -> bool:
    """Whether what follows is faster than torch for this tensor, and needed: no gradients, no gain."""
    return (
        torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and x.is_contiguous(memory_format=LAYOUT)
    )


def is_pointwise(layer: nn.Module) -> bool:
    """Whether a layer mixes the channels of each pixel, and reads them all."""
    if type(layer) is not nn.Conv2d or layer.bias is not None:
        return False
    return layer.kernel_size == layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1


def is_depthwise(layer: nn.Module) -> bool:
    """Whether a layer convolves every channel by itself, with an odd kernel and zeros around that keep the size."""
    if type(layer) is not nn.Conv2d or layer.bias is not None or layer.padding_mode != "zeros":
        return False
    kernel, dilation = layer.kernel_size[0], layer.dilation[0]
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.kernel_size == (kernel, kernel)
        and layer.dilation == (dilation, dilation)
        and kernel % 2 == 1
        and layer.padding == (dilation * (kernel // 2),) * 2
    )


# -- every second pixel -----------------------------------------------------------------------------------------------


def phases(x_NCHW: Tensor) -> Tensor:
    """The four images of every second row and column, (4 N, C, H/2, W/2); H and W are even.

    A convolution of dilation 2 is one of dilation 1 on them, and pointwise layers do not notice the difference.
    """
    N, C, H, W = x_NCHW.shape
    pixels = x_NCHW.permute(0, 2, 3, 1).reshape(N, H // 2, 2, W // 2, 2, C)
    return pixels.permute(2, 4, 0, 1, 3, 5).reshape(4 * N, H // 2, W // 2, C).permute(0, 3, 1, 2)


def interleaved(x: Tensor) -> Tensor:
    """The inverse of `phases`."""
    M, C, h, w = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(2, 2, M // 4, h, w, C)
    return pixels.permute(2, 3, 0, 4, 1, 5).reshape(M // 4, 2 * h, 2 * w, C).permute(0, 3, 1, 2)


def corners(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels of even rows and columns, and those of odd ones, as images of their own."""
    found: tuple[Tensor, Tensor] = _Corners.apply(x_NCHW)  # type: ignore[no-untyped-call]
    return found


class _Corners(torch.autograd.Function):
    """Both at once, because the gradient of each slice by itself would fill an image with zeros, and a row of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.shape = x.shape
        even, odd = (x[:, :, start::2, start::2].contiguous(memory_format=LAYOUT) for start in (0, 1))
        return even, odd

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        N, C, H, W = ctx.shape
        whole = gradients[0].new_zeros(N, H, W, C).permute(0, 3, 1, 2)
        for start, gradient in enumerate(gradients):
            whole[:, :, start::2, start::2] = gradient
        return whole


# -- convolutions -----------------------------------------------------------------------------------------------------


def pointwise(x_NCHW: Tensor, kernel: Tensor) -> Tensor:
    """The 1×1 convolution of images in channels_last."""
    return F.linear(x_NCHW.permute(0, 2, 3, 1), kernel.flatten(1)).permute(0, 3, 1, 2)


def depthwise(x_NCHW: Tensor, kernel: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """The depthwise convolution that keeps the size, or divides it by the stride."""
    if dilation == 1 and kernel.shape[3] <= COLUMNS:
        return _convolved(x_NCHW, kernel, stride, dilation)  # torch's own gradient is as good
    convolved: Tensor = _Depthwise.apply(x_NCHW, kernel, stride, dilation)  # type: ignore[no-untyped-call]
    return convolved


def normalised_depthwise(x_NCHW: Tensor, norm: nn.BatchNorm2d, kernel: Tensor) -> Tensor:
    """Batch normalisation by the statistics of the batch, ReLU, and a depthwise convolution that keeps the size.

    Where the gradient of the kernel takes its time anyway, what lies between is computed again in the backward pass, so
    that it takes no memory until then.
    """
    if kernel.shape[3] <= COLUMNS or x_NCHW.numel() // x_NCHW.shape[1] < RECOMPUTED_FROM:
        return depthwise(F.relu_(norm(x_NCHW)), kernel)
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    momentum = 0.1 if norm.momentum is None else norm.momentum
    statistics = (norm.running_mean, norm.running_var, momentum, norm.eps)
    convolved: Tensor = _NormalisedDepthwise.apply(x_NCHW, kernel, *statistics)  # type: ignore[no-untyped-call]
    return convolved


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.stride, ctx.dilation = stride, dilation
        return _convolved(x, kernel, stride, dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=LAYOUT)
        wanted = ctx.needs_input_grad
        of_x = _input_gradient(gradient, x, kernel, ctx.stride, ctx.dilation) if wanted[0] else None
        of_kernel = _kernel_gradient(gradient, x, kernel, ctx.stride, ctx.dilation) if wanted[1] else None
        return of_x, of_kernel, None, None


class _NormalisedDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        kernel: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        normal, mean, inverse = torch.native_batch_norm(x, None, None, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, kernel, mean, inverse)
        ctx.eps = eps
        return _convolved(normal.relu_(), kernel, 1, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, mean, inverse = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=LAYOUT)
        if torch.is_grad_enabled():
            # Somebody will differentiate the gradient: then mean and variance are no constants.
            normal = F.batch_norm(x, None, None, None, None, True, 0.0, ctx.eps)
            again = _convolved(F.relu(normal), kernel, 1, 1)
            return *torch.autograd.grad(again, [x, kernel], gradient, create_graph=True), None, None, None, None
        shape = (1, -1, 1, 1)
        seen = torch.addcmul((-mean * inverse).view(shape), x, inverse.view(shape)).relu_()
        of_kernel = _kernel_gradient(gradient, seen, kernel, 1, 1) if ctx.needs_input_grad[1] else None
        of_x = None
        if ctx.needs_input_grad[0]:
            of_seen = torch.ops.aten.threshold_backward(_input_gradient(gradient, seen, kernel, 1, 1), seen, 0)
            of_x = torch.ops.aten.native_batch_norm_backward(
                of_seen, x, None, None, None, mean, inverse, True, ctx.eps, [True, False, False]
            )[0]
        return of_x, of_kernel, None, None, None, None


def _convolved(x: Tensor, kernel: Tensor, stride: int, dilation: int) -> Tensor:
    padding = dilation * (kernel.shape[2] // 2)
    return F.conv2d(x, kernel, None, stride, padding, dilation, kernel.shape[0])


def _input_gradient(gradient: Tensor, x: Tensor, kernel: Tensor, stride: int, dilation: int) -> Tensor:
    if stride == 1:
        return _convolved(gradient, kernel.flip(2, 3), 1, dilation)
    return _backward(gradient, x, kernel, stride, dilation, [True, False, False])


def _kernel_gradient(gradient: Tensor, x: Tensor, kernel: Tensor, stride: int, dilation: int) -> Tensor:
    side, around = kernel.shape[3], kernel.shape[3] // 2
    if side <= COLUMNS or dilation != 1 or x.shape[3] < around:
        return _backward(gradient, x, kernel, stride, dilation, [False, True, False])
    found = []
    for left in range(0, side, COLUMNS):
        columns = kernel.new_empty(*kernel.shape[:3], min(COLUMNS, side - left))  # of the kernel it reads the shape
        read = F.pad(x, (around - left, left + columns.shape[3] - 1 - around, around, around))
        found.append(_backward(gradient, read, columns, stride, 1, [False, True, False], padding=0))
    return torch.cat(found, dim=3)


def _backward(
    gradient: Tensor,
    x: Tensor,
    kernel: Tensor,
    stride: int,
    dilation: int,
    wanted: list[bool],
    padding: int | None = None,
) -> Tensor:
    """Torch's own gradient, of the input or of the kernel."""
    around = dilation * (kernel.shape[2] // 2) if padding is None else padding
    sizes = ([stride] * 2, [around] * 2, [dilation] * 2)
    found = torch.ops.aten.convolution_backward(
        gradient, x, kernel, None, *sizes, False, [0, 0], kernel.shape[0], wanted
    )
    one: Tensor = found[wanted.index(True)]
    return one

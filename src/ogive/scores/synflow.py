"""Synaptic flow: how much passes through a network whose weights are all made positive. No data, no labels.

Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020, as a
score of networks by Abdelfattah et al., ICLR 2021 (SamsungLabs/zero-cost-nas, foresight/pruners/measures/synflow.py).
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ogive.scores.probe import gradients, logits_of, probed, refuse_images, weights_of

__all__ = ["synflow", "synflow_bn"]


def synflow(network: nn.Module, images: Tensor) -> float:
    """The logarithm of the sum of abs(θ ∂R/∂θ), R the sum of the outputs for one image of ones; -inf if nothing flows.

    All parameters are replaced by their absolute values, batch normalisation is left out, and the numbers are float64:
    the raw sum of a deep network overflows float32. θ are the weights of the convolutional and linear layers; of
    `images` only the shape is used.
    """
    return _flow("synflow", network, images, normalised=False)


def synflow_bn(network: nn.Module, images: Tensor) -> float:
    """The same with batch normalisation in place, which says much less; the published code has both."""
    return _flow("synflow_bn", network, images, normalised=True)


def _flow(score: str, network: nn.Module, images: Tensor, *, normalised: bool) -> float:
    refuse_images(score, images, least=1)
    weights = weights_of(score, network)
    with probed(network), nullcontext() if normalised else _WithoutBatchNorm():
        for parameter in network.parameters():
            parameter.data = parameter.data.double().abs()
        for module in network.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_floating_point():
                    module._buffers[name] = buffer.double()
        ones = torch.ones_like(images[:1], dtype=torch.float64)
        flow = gradients(logits_of(network, ones).sum(), weights)
        total = sum(float((w.detach() * f).abs().sum()) for w, f in zip(weights, flow, strict=True))
    return math.log(total) if total > 0 else -math.inf


class _WithoutBatchNorm(TorchFunctionMode):
    """Batch normalisation hands its input on."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.batch_norm:
            return args[0] if args else (kwargs or {})["input"]
        return func(*args, **(kwargs or {}))

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from ogive.core.errors import SpecError
from ogive.scores.vkdnw import vkdnw, vkdnw_entropy


class Small(nn.Module):
    """Strides, groups, dilation, padding by reflection, a layer that is passed twice and one that changes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.grouped = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2)
        self.reflected = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.first(x)))
        x = self.grouped(self.grouped(x)) + self.reflected(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def images(count: int = 20) -> Tensor:
    return torch.zeros(count, 2, 8, 8)


def by_torch_func(network: nn.Module, seed: int, like: Tensor) -> float:
    """The same by derivatives of torch.func, of each image alone, by whole tensors of parameters."""
    torch.manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.weight.data = math.sqrt(2 / layer.weight[0].numel()) * torch.randn(layer.weight.shape)
            if layer.bias is not None:
                layer.bias.data.zero_()
    drawn, network = torch.randn(like.shape).double(), network.double().eval()
    parameters = {name: value.detach() for name, value in network.named_parameters()}

    def answer(values: dict[str, Tensor], image: Tensor) -> Tensor:
        answered: Tensor = functional_call(network, values, (image[None],))[0]
        return answered

    slopes = vmap(jacrev(answer), in_dims=(None, 0))(parameters, drawn)
    jacobian = torch.stack([slope.flatten(2)[:, :, 0] for slope in slopes.values()], 2)
    p = 0.95 * network(drawn).detach().softmax(1) + 0.05 / 3
    covariance = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    information = (jacobian.mT @ covariance @ jacobian).mean(0)
    quantiles = torch.quantile(torch.linalg.svdvals(information), torch.linspace(0, 1, 11, dtype=torch.float64))
    quantiles = quantiles / quantiles.sum()
    return -float((quantiles * (quantiles + 1e-10).log()).sum())


def test_the_entropy_is_that_of_derivatives_image_by_image() -> None:
    assert vkdnw_entropy(Small(), images(), seed=5) == pytest.approx(by_torch_func(Small(), 5, images()), rel=1e-4)


def test_layers_with_parameters_are_added() -> None:
    network = Small()
    assert vkdnw(network, images()) == 5 + vkdnw_entropy(network, images())
    assert vkdnw_entropy(network, images()) < math.log(11)


def test_weights_images_and_statistics_of_the_network_do_not_matter() -> None:
    network = Small()
    before = vkdnw(network, images())
    network.bn.running_mean.add_(3)  # type: ignore[union-attr]
    network.head.weight.data.mul_(7)
    assert vkdnw(network, images() + 2) == before != vkdnw(network, images(), seed=1)


def test_a_network_without_weights_or_without_statistics_is_refused() -> None:
    with pytest.raises(SpecError, match="Sequential has none"):
        vkdnw(nn.Sequential(nn.Flatten(), nn.ReLU()), images())
    with pytest.raises(SpecError, match="keeps no running statistics"):
        vkdnw(nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten()), images())

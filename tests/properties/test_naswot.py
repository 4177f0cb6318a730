from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ogive.scores.naswot import activation_kernel, naswot


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Net(nn.Module):
    """Random layers; the second ReLU sees its input times `factor`."""

    def __init__(self, seed: int, factor: float = 1.0) -> None:
        super().__init__()
        draw = generator(seed)
        self.conv = nn.Conv2d(2, 5, 3, padding=1, bias=False)
        self.linear = nn.Linear(5 * 16, 30)
        self.factor = factor
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        hidden: Tensor = self.relu(self.linear(x.flatten(1)) * self.factor)
        return hidden


def images(seed: int, count: int) -> Tensor:
    return torch.randn(count, 2, 4, 4, generator=generator(seed))


seeds = st.integers(0, 10_000)
counts = st.integers(2, 12)


@settings(max_examples=40)
@given(seeds, counts)
def test_the_kernel_is_symmetric_positive_and_has_the_units_on_its_diagonal(seed: int, count: int) -> None:
    kernel, units = activation_kernel(Net(seed), images(seed, count))
    np.testing.assert_array_equal(kernel, kernel.T)
    assert (np.diag(kernel) == units).all()
    assert units == 5 * 16 + 30
    assert np.linalg.eigvalsh(kernel)[0] > -1e-9 * units


@settings(max_examples=40)
@given(seeds, counts)
def test_the_kernel_is_the_count_of_equal_codes(seed: int, count: int) -> None:
    network, batch = Net(seed), images(seed, count)
    codes: list[Tensor] = []
    handle = network.relu.register_forward_pre_hook(lambda _, inputs: codes.append((inputs[0] > 0).flatten(1)))
    with torch.no_grad():
        network(batch)
    handle.remove()
    joined = torch.cat(codes, dim=1)
    kernel, _ = activation_kernel(network, batch)
    np.testing.assert_array_equal(kernel, (joined[:, None] == joined[None]).sum(-1).numpy())


@settings(max_examples=40)
@given(seeds, counts)
def test_the_order_of_the_images_does_not_matter(seed: int, count: int) -> None:
    batch = images(seed, count)
    order = torch.randperm(count, generator=generator(seed))
    np.testing.assert_allclose(naswot(Net(seed), batch[order]), naswot(Net(seed), batch), rtol=1e-9)


@settings(max_examples=40)
@given(seeds, counts, st.sampled_from([0.25, 0.5, 2.0, 64.0]))
def test_a_positive_factor_before_a_relu_does_not_matter(seed: int, count: int, factor: float) -> None:
    assert naswot(Net(seed, factor), images(seed, count)) == naswot(Net(seed), images(seed, count))

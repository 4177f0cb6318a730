from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.networks import count


def test_parameters_leave_out_running_statistics_and_frozen_weights() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    assert count.parameters(module) == (3 * 4 * 9 + 4) + (4 + 4) + (8 + 2)
    module[0].weight.requires_grad_(False)
    assert count.parameters(module) == 4 + 8 + 10


def test_macs_are_those_of_convolutions_and_linear_layers() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )
    # Outputs times what each of them sees: 8·6·6 × 3·9, 8·3·3 × 1·25 (depthwise), 10 × 8.
    assert count.macs(module, (3, 6, 6)) == 8 * 36 * 27 + 8 * 9 * 25 + 80


def test_a_layer_that_runs_twice_counts_twice_and_one_that_does_not_run_counts_nothing() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(4, 4)
            self.unused = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            once: Tensor = self.used(x)
            return self.used(once) if not self.training else self.unused(once)

    assert count.macs(Twice(), (4,)) == 32


def test_counting_leaves_a_module_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    count.macs(module, (3, 8, 8))
    assert [layer.training for layer in module] == [True, False, True]
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert not module[0]._forward_hooks


def test_counting_restores_the_modes_when_the_shape_does_not_fit() -> None:
    module = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(RuntimeError):
        count.macs(module, (5,))
    assert module.training
    assert not module[0]._forward_hooks


def test_any_precision_is_counted() -> None:
    assert count.macs(nn.Linear(4, 3).double(), (4,)) == 12
    assert count.macs(nn.Identity(), (4,)) == 0


@pytest.mark.parametrize("shape", [(), (3, 0, 8)])
def test_a_shape_without_pixels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match="positive sides"):
        count.macs(nn.Identity(), shape)

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.scores.naswot import activation_kernel, naswot, naswot_reference, naswot_smooth
from ogive.scores.units import _counted, _multiplies_bytes


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 5, 5, generator=torch.Generator().manual_seed(0))


class Wrapped(nn.Module):
    def __init__(self, step: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x * 1.0)  # a copy, for steps that work in place


RECTIFIERS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "nn.ReLU6": nn.ReLU6(),
    "nn.LeakyReLU": nn.LeakyReLU(),
    "nn.PReLU": nn.PReLU(),
    "nn.RReLU": nn.RReLU(),
    "F.relu": F.relu,
    "F.relu with a keyword": lambda x: F.relu(input=x, inplace=True),
    "F.relu6": F.relu6,
    "F.leaky_relu": F.leaky_relu,
    "torch.relu": torch.relu,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
}


@pytest.mark.parametrize("name", list(RECTIFIERS))
def test_every_way_to_write_a_relu_is_seen_once(name: str) -> None:
    kernel, units = activation_kernel(Wrapped(RECTIFIERS[name]), images())
    expected, _ = activation_kernel(Wrapped(nn.ReLU()), images())
    assert units == 75
    np.testing.assert_array_equal(kernel, expected)


@pytest.mark.parametrize(
    "step",
    [nn.Identity(), nn.GELU(), nn.SiLU(), nn.Hardtanh(), nn.Sigmoid()],
    ids=lambda step: type(step).__name__,
)
def test_a_network_without_relu_is_refused(step: nn.Module) -> None:
    with pytest.raises(SpecError, match="Wrapped ran no ReLU"):
        naswot(Wrapped(step), images())


def test_the_reference_sees_modules_by_their_name_and_not_functions() -> None:
    with pytest.raises(SpecError, match="class name contains ReLU"):
        naswot(Wrapped(F.relu), images(), reference_compat=True)
    assert naswot(Wrapped(nn.ReLU()), images(), reference_compat=True) == naswot(Wrapped(nn.ReLU()), images())


def test_a_container_named_after_its_relu_counts_twice_for_the_reference() -> None:
    class ReLUThenLinear(nn.Sequential):
        pass

    network = nn.Sequential(nn.Flatten(), ReLUThenLinear(nn.ReLU(), nn.Linear(75, 4)))
    _, strict = activation_kernel(network, images())
    _, reference = activation_kernel(network, images(), reference_compat=True)
    assert (strict, reference) == (75, 150)
    rise = naswot(network, images(), reference_compat=True) - naswot(network, images())
    assert rise == pytest.approx(6 * math.log(2))


def test_a_module_that_runs_twice_counts_twice() -> None:
    relu = nn.ReLU()
    assert activation_kernel(nn.Sequential(relu, nn.BatchNorm2d(3), relu), images())[1] == 150


def test_the_batch_must_be_of_two_floating_images_or_more() -> None:
    with pytest.raises(SpecError, match="at least two"):
        naswot(Wrapped(nn.ReLU()), images(1))
    with pytest.raises(SpecError, match=r"torch\.uint8"):
        naswot(Wrapped(nn.ReLU()), torch.zeros(4, 3, 5, 5, dtype=torch.uint8))
    with pytest.raises(SpecError, match="floating"):
        naswot(Wrapped(nn.ReLU()), torch.zeros(4, 3, 5, 5, dtype=torch.int64))


def test_a_relu_that_mixes_the_images_is_refused() -> None:
    with pytest.raises(SpecError, match="one row for each of the 6 images"):
        naswot(Wrapped(lambda x: F.relu(x.sum(0))), images())


def test_a_network_cut_off_from_its_input_scores_minus_infinity() -> None:
    assert naswot(Wrapped(lambda x: F.relu(x * 0.0)), images()) == -math.inf


def test_fewer_units_than_images_score_minus_infinity() -> None:
    narrow = Wrapped(lambda x: F.relu(x.flatten(1)[:, :3]))
    assert naswot(narrow, images(40)) == -math.inf


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
    network.eval()
    network[2].train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    naswot(network, images())
    assert [module.training for module in network] == [False, False, True, False]
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network[2]._forward_pre_hooks


def test_the_batch_is_normalised_by_itself_even_if_the_network_is_in_evaluation_mode() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    shifted = images() + 100.0  # all on, unless the batch's own mean is taken off
    assert math.isfinite(naswot(network.eval(), shifted))


def test_the_network_is_left_as_it_was_after_an_error_too() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Linear(7, 2)).eval()
    with pytest.raises(RuntimeError):
        naswot(network, images())
    assert not network.training
    assert network[0].num_batches_tracked == 0


def test_layers_wider_than_one_exact_sum_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = naswot(Wrapped(nn.ReLU()), images())
    monkeypatch.setattr("ogive.scores.units.EXACT", 16)
    assert naswot(Wrapped(nn.ReLU()), images()) == whole


def test_half_precision_networks_are_counted_exactly_too() -> None:
    batch = images().to(torch.bfloat16)
    kernel, units = activation_kernel(Wrapped(nn.ReLU()), batch)
    expected, _ = activation_kernel(Wrapped(nn.ReLU()), batch.float())
    assert units == 75
    np.testing.assert_array_equal(kernel, expected)


@pytest.mark.parametrize(
    "step",
    [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.ELU(), nn.SELU(), nn.CELU(), nn.Mish(), nn.Hardswish(), F.silu, F.gelu],
    ids=lambda step: str(step) if isinstance(step, nn.Module) else step.__name__,
)
def test_the_extension_takes_smooth_units_by_the_sign_of_what_goes_in(step: Callable[[Tensor], Tensor]) -> None:
    kernel, units = activation_kernel(Wrapped(step), images(), smooth=True)
    expected, _ = activation_kernel(Wrapped(nn.ReLU()), images())
    assert units == 75
    np.testing.assert_array_equal(kernel, expected)
    assert naswot_smooth(Wrapped(step), images()) == naswot(Wrapped(nn.ReLU()), images())


def test_the_extension_counts_relus_too_and_has_no_published_form() -> None:
    both = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.SiLU())
    assert activation_kernel(both, images())[1] == 75
    assert activation_kernel(both, images(), smooth=True)[1] == 150
    with pytest.raises(SpecError, match="release knows no smooth units"):
        naswot(both, images(), reference_compat=True, smooth=True)
    with pytest.raises(SpecError, match="naswot_smooth, an extension of ours"):
        naswot(Wrapped(nn.SiLU()), images())


def test_the_names_for_the_options_are_the_options() -> None:
    class ReLUThenNorm(nn.Sequential):
        pass

    network = ReLUThenNorm(nn.ReLU(), nn.BatchNorm2d(3))
    assert naswot_reference(network, images()) == naswot(network, images(), reference_compat=True)
    assert naswot_reference(network, images()) != naswot(network, images())


def test_units_on_a_dead_branch_do_not_save_a_network_cut_off_from_its_input() -> None:
    class Dead(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) * 0.0

    assert activation_kernel(Dead(), images())[1] == 75
    assert naswot(Dead(), images()) == -math.inf


def test_of_two_heads_the_first_is_the_answer() -> None:
    class TwoHeads(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return F.relu(x), x * 0.0

    assert naswot(TwoHeads(), images()) == naswot(Wrapped(nn.ReLU()), images())


@pytest.mark.parametrize("shape", [(2, 1), (3, 5), (7, 64), (128, 1000), (33, 4097)])
def test_products_of_bytes_and_of_floats_are_the_same(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    on = torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.4
    counts = (on[:, None] & on[None]).sum(-1)
    assert torch.equal(_counted(on).long(), counts)
    assert torch.equal(_counted(on.T.contiguous().T).long(), counts)
    _multiplies_bytes.cache_clear()
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)  # as on an older processor
    assert not _multiplies_bytes()
    assert torch.equal(_counted(on).long(), counts)
    _multiplies_bytes.cache_clear()

from __future__ import annotations

import inspect
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError, UnknownName
from ogive.networks.build import Skeleton, build
from ogive.scores import SCORES, score_function
from ogive.spaces.nasbench201 import nasbench201

COUNTS = ("params", "macs", "l2_norm")  # of a network, whatever it does
OF_ONE = ("synflow", "synflow_bn", "zen")  # look at the shape of the images only, and are content with one
OF_SHAPE = (*OF_ONE, "az_expressivity", "az_progressivity", "az_trainability", "vkdnw", "vkdnw_entropy")
OF_UNITS = ("naswot", "naswot_reference", "naswot_smooth", "linear_regions", "swap")
OF_IMAGES = [name for name in SCORES if name not in (*COUNTS, *OF_SHAPE)]
OF_WEIGHTS = [name for name in SCORES if name not in ("params", "macs", *OF_UNITS, "jacob_cov", "epe_nas")]


def noise(count: int = 8, side: int = 6) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def scored(name: str, network: nn.Module, images: Tensor, labels: Tensor | None = None, **options: Any) -> float:
    function = score_function(name)
    if "labels" in inspect.signature(function).parameters:
        options["labels"] = torch.arange(len(images)) % 2 if labels is None else labels
    value = function(network, images, **options)
    assert isinstance(value, float)
    return value


class Net(nn.Module):
    """Everything that a careless score could disturb: normalisation, dropout, a frozen weight, a branch of its own."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 5, 3, padding=1)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(5, 4)
        self.factor = factor
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in (self.conv.weight, self.second.weight, self.head.weight):
                weight.copy_(torch.randn(weight.shape, generator=draw))
        self.second.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x * self.factor)))
        x = F.relu(self.second(x)) * self.factor
        logits: Tensor = self.head(self.dropout(x).mean((2, 3)))
        return logits


@pytest.mark.parametrize("name", list(SCORES))
def test_every_score_scores_an_ordinary_network(name: str) -> None:
    assert math.isfinite(scored(name, Net(), noise()))


@pytest.mark.parametrize("name", list(SCORES))
def test_the_network_and_the_random_state_are_left_as_they_were(name: str) -> None:
    network = Net().eval()
    network.bn.train()
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    before = {key: (value, value.clone()) for key, value in network.state_dict(keep_vars=True).items()}
    flags = [parameter.requires_grad for parameter in network.parameters()]
    state, images = torch.random.get_rng_state(), noise()
    with torch.no_grad():
        scored(name, network, images)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(images, noise())
    assert not images.requires_grad
    assert [module.training for module in network.children()] == [False, True, False, False, False, False]
    for key, value in network.state_dict(keep_vars=True).items():
        held, copy = before[key]
        assert value is held, key
        assert value.dtype == copy.dtype
        assert torch.equal(value, copy), key
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert all((parameter.grad == 7.0).all() for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("name", list(SCORES))
def test_the_network_is_left_as_it_was_after_an_error_too(name: str) -> None:
    class Broken(Net):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise RuntimeError("broken")

    network = Broken().eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    if name not in ("params", "l2_norm"):  # which run no network
        with pytest.raises(RuntimeError, match="broken"):
            scored(name, network, noise())
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("name", list(SCORES))
def test_the_same_network_has_the_same_score_whatever_was_drawn_before(name: str) -> None:
    network = Net()
    first = scored(name, network, noise())
    torch.rand(3)
    assert scored(name, network, noise()) == first


@pytest.mark.parametrize("name", [name for name in SCORES if name not in COUNTS])
def test_a_network_cut_off_from_its_input_ranks_last(name: str) -> None:
    assert scored(name, Net(factor=0.0), noise()) == -math.inf


# The first has nothing but none; the second has units, but on edges that lead nowhere.
@pytest.mark.parametrize("cell", ["nasbench201:0,0,0,0,0,0", "nasbench201:3,3,0,0,0,0"])
@pytest.mark.parametrize("name", [name for name in SCORES if name not in COUNTS])
def test_a_disconnected_cell_ranks_last(name: str, cell: str) -> None:
    network = build(nasbench201().parse(cell), Skeleton(channels=4, cells=1, classes=4), seed=0)
    assert scored(name, network, noise()) == -math.inf


@pytest.mark.parametrize("name", OF_UNITS)
def test_a_network_without_relu_is_refused(name: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(SpecError, match="ran no"):
        scored(name, network, noise())


@pytest.mark.parametrize("name", [name for name in SCORES if name not in OF_UNITS])
def test_scores_that_look_at_no_units_score_a_network_without_relu(name: str) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Sigmoid(), nn.Conv2d(4, 4, 3, padding=1), nn.Flatten(), nn.Linear(144, 2)
    )
    assert math.isfinite(scored(name, network, noise()))


@pytest.mark.parametrize("name", [name for name in SCORES if name not in OF_WEIGHTS])
def test_scores_that_look_at_no_weights_score_a_network_without_any(name: str) -> None:
    value = scored(name, nn.Sequential(nn.ReLU(), nn.Flatten()), noise())
    assert value == 0 if name in COUNTS else math.isfinite(value)


@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_a_network_without_weights_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="has none"):
        scored(name, nn.Sequential(nn.ReLU(), nn.Flatten()), noise())


@pytest.mark.parametrize("name", [name for name in SCORES if name not in (*COUNTS, *OF_ONE)])
def test_one_image_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="needs at least"):
        scored(name, Net(), noise(1))


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_images_that_are_all_the_same_rank_every_network_last(name: str, value: float) -> None:
    images = torch.full((8, 3, 6, 6), value)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    assert scored(name, network, images) == -math.inf
    assert scored(name, Net(), images) == -math.inf  # whose dropout answers equal images differently


@pytest.mark.parametrize("name", OF_ONE)
def test_one_image_is_enough_for_a_score_of_its_shape(name: str) -> None:
    assert math.isfinite(scored(name, Net(), noise(1)))


@pytest.mark.parametrize("name", [*COUNTS, *OF_SHAPE])
def test_what_images_show_is_nothing_to_a_score_of_their_shape(name: str) -> None:
    network = Net()
    assert scored(name, network, torch.ones(8, 3, 6, 6)) == scored(name, network, noise())


@pytest.mark.parametrize("name", [name for name in SCORES if name not in COUNTS])
@pytest.mark.parametrize("kind", [torch.uint8, torch.int64])
def test_images_of_whole_numbers_are_refused(name: str, kind: torch.dtype) -> None:
    with pytest.raises(SpecError, match=f"floating numbers, but got {kind}"):
        scored(name, Net(), torch.zeros(8, 3, 6, 6, dtype=kind))


@pytest.mark.parametrize("name", [name for name in SCORES if name not in COUNTS])
def test_no_images_are_refused(name: str) -> None:
    with pytest.raises(SpecError, match=r"needs at least \w+ images?, but got the shape \(0, 3, 6, 6\)"):
        scored(name, Net(), noise(0))


@pytest.mark.parametrize("name", OF_IMAGES)
def test_images_that_are_no_numbers_rank_every_network_last(name: str) -> None:
    assert scored(name, Net(), torch.full((8, 3, 6, 6), math.nan)) == -math.inf


@pytest.mark.parametrize(
    "name", [name for name in SCORES if "labels" in inspect.signature(score_function(name)).parameters]
)
def test_labels_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(SpecError, match="one whole number as the label"):
        scored(name, Net(), noise(), labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(SpecError, match="one whole number as the label"):
        scored(name, Net(), noise(), labels=torch.zeros(8))
    if name != "epe_nas":
        with pytest.raises(SpecError, match="tells 4 classes apart, but the labels go from 0 to 9"):
            scored(name, Net(), noise(), labels=torch.tensor([0, 1, 2, 3, 0, 1, 2, 9]))


@pytest.mark.parametrize("name", [name for name in SCORES if name not in COUNTS])
def test_numbers_that_overflow_never_win(name: str) -> None:
    network = Net()
    with torch.no_grad():
        network.head.weight.fill_(math.nan)
    value = scored(name, network, noise())
    assert not math.isnan(value)
    assert value < math.inf


def test_the_baselines_are_counts() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(4 * 36, 10))
    images = torch.zeros(2, 3, 6, 6)
    assert score_function("params")(network, images) == 3 * 4 * 9 + 144 * 10 + 10
    assert score_function("macs")(network, images) == 3 * 4 * 9 * 36 + 144 * 10


def test_an_unknown_score_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'naswot'"):
        score_function("naswott")


def test_naming_the_scores_does_not_import_torch() -> None:
    code = "import sys, ogive.scores; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

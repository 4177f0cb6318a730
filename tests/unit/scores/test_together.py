from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.build import build, fitted_skeleton
from ogive.scores import SCORES, score_function
from ogive.scores.passes import Read
from ogive.scores.together import score_all
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201

READERS = [name for name in SCORES if "seen" in inspect.signature(score_function(name)).parameters]


def batch(count: int = 8, side: int = 8) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(count) % 2


def alone(name: str, network: nn.Module, images: Tensor, labels: Tensor) -> float:
    offers: dict[str, Any] = {"labels": labels, "seed": Seed(0).integer("az_nas" if name.startswith("az_") else name)}
    function = score_function(name)
    asked = inspect.signature(function).parameters.keys() & offers.keys()
    return float(function(network, images, **{key: offers[key] for key in asked}))


class Awkward(nn.Module):
    """Activations in place after a convolution, dropout, a layer that runs twice, and one that never runs."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.conv, self.again = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.unused, self.head = nn.Linear(3, 3), nn.Linear(6, 4)
        self.factor, self.passes = factor, 0
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw))

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        x = F.relu_(self.conv(x * self.factor))
        x = F.dropout(F.relu(self.again(F.relu(self.again(x)))), 0.3, self.training)
        logits: Tensor = self.head(x.mean((2, 3))) * self.factor
        return logits


def networks() -> dict[str, nn.Module]:
    cells = {"cell": "3,1,2,3,0,4", "dead branch": "3,1,0,3,0,4", "cut off": "0,0,0,0,0,0"}
    spaces = {"nasbench201": nasbench201(), "darts": darts()}
    made: dict[str, nn.Module] = {"awkward": Awkward(), "silent": Awkward(0.0)}
    for name, choices in cells.items():
        arch = spaces["nasbench201"].parse(f"nasbench201:{choices}")
        made[name] = build(arch, fitted_skeleton("nasbench201", (3, 8, 8), 4, channels=4, cells=1), seed=0)
    arch = spaces["darts"].sample(Seed(0).numpy("arch"))
    made["darts"] = build(arch, fitted_skeleton("darts", (3, 8, 8), 4, channels=4, cells=3), seed=0)
    return made


@pytest.mark.parametrize("network", networks().values(), ids=networks())
def test_scores_found_together_are_those_found_alone_to_the_last_bit(network: nn.Module) -> None:
    images, labels = batch()
    names = list(SCORES) if not isinstance(network, Awkward) else READERS
    together = score_all(network, images, labels, names=names, seed=Seed(0))
    assert list(together) == names
    assert together == {name: alone(name, network, images, labels) for name in names}


def test_scores_of_one_pass_make_one_pass() -> None:
    names = [name for name in READERS if name != "fisher"]
    network, (images, labels) = Awkward(), batch()
    score_all(network, images, labels, names=names, seed=Seed(0))
    assert network.passes == 2  # one with the weights as they are, one with those of AZ-NAS
    for name in names:
        alone(name, network, images, labels)
    assert network.passes == 2 + len(names) > 10


def test_outputs_are_copied_only_where_an_activation_overwrites_them() -> None:
    images, labels = batch()
    overwriting, ordinary = Awkward(), nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 2))
    Read.EFFECTS.look("test", overwriting, images, labels)
    assert overwriting.passes == 2
    seen = Read.EFFECTS.look("test", ordinary, images, labels)
    assert [(weights, tuple(effect.shape)) for weights, effect in seen.effects] == [(192, (8, 4)), (4, (8, 2))]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("jacob_cov", "snip", "grad_norm"), "snip: the network tells 4 classes apart, but the labels go from 0 to 9"),
        (("grad_norm", "fisher"), "grad_norm: the network tells 4 classes apart, but the labels go from 0 to 9"),
    ],
)
def test_what_fails_together_fails_as_it_does_alone(names: tuple[str, ...], message: str) -> None:
    images, _ = batch()
    with pytest.raises(SpecError, match=message):
        score_all(Awkward(), images, torch.arange(8) + torch.arange(8) // 7 * 2, names=names, seed=Seed(0))


def test_a_network_without_weights_still_has_the_scores_that_need_none() -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x).flatten(1)

    images, labels = batch()
    found = score_all(Plain(), images, labels, names=["naswot", "swap", "jacob_cov"], seed=Seed(0))
    assert all(math.isfinite(value) for value in found.values())
    with pytest.raises(SpecError, match="snip looks at the weights of convolutional and linear layers"):
        score_all(Plain(), images, labels, names=["naswot", "snip", "grad_norm"], seed=Seed(0))


def test_a_pass_that_needs_too_much_memory_is_made_for_each_score_alone() -> None:
    class Small(Awkward):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad:  # only the Jacobian asks for that
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x)

    network, (images, labels) = Small(), batch()
    with pytest.raises(torch.OutOfMemoryError):
        score_all(network, images, labels, names=["naswot", "jacob_cov"], seed=Seed(0))
    found = score_all(network, images, labels, names=["naswot", "snip"], seed=Seed(0))
    assert found == {name: alone(name, network, images, labels) for name in ("naswot", "snip")}

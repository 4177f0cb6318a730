from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ogive
from ogive.networks.build import Skeleton
from ogive.supernets.networks import DartsSupernet, NasBench201Supernet, Supernet
from ogive.supernets.plan import DARTS, NASBENCH201
from ogive.supernets.twins import twin


class Odd(nn.Module):
    """What a careless copy would share: empty containers, lists of modules, one module twice, hooks, a plain tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.empty, self.nothing = nn.ModuleList(), None
        self.convolution = nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")
        self.again = self.convolution
        self.norm = nn.BatchNorm2d(2)
        self.others = [self.norm]
        self.counts: dict[str, list[int]] = {"seen": [1]}
        self.offset = torch.ones(2, 1, 1)
        self.recurrent = nn.LSTM(2, 3, batch_first=True)
        self.registered: list[nn.Module] = []
        self.norm.register_forward_hook(self.note)

    def note(self, module: nn.Module, *_: Any) -> None:
        self.registered.append(module)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.again(x)) + self.offset
        found: Tensor = self.recurrent(x.mean(2).mT)[0]
        return found


def weights_kept(network: nn.Module) -> dict[int, Any]:
    return {id(weight): weight for weight in network.parameters()}


def test_a_twin_is_what_deepcopy_makes_and_shares_weights_alone() -> None:
    network = Odd()
    made, expected = twin(network, weights_kept(network)), copy.deepcopy(network, weights_kept(network))
    assert list(vars(made)) == list(vars(expected))
    assert [name for name, _ in made.named_modules()] == [name for name, _ in expected.named_modules()]
    assert all(one is other for one, other in zip(made.parameters(), network.parameters(), strict=True))
    assert not {id(module) for module in made.modules()} & {id(module) for module in network.modules()}
    assert not {id(buffer) for buffer in made.buffers()} & {id(buffer) for buffer in network.buffers()}
    assert made.again is made.convolution
    assert made.others[0] is made.norm
    assert made.offset is not network.offset
    assert made.counts == network.counts
    assert made.counts["seen"] is not network.counts["seen"]
    made.empty.append(nn.Identity())
    assert not len(network.empty)
    x = torch.randn(2, 2, 4, 4)
    assert torch.equal(made(x), expected(x))
    assert made.registered == [made.norm]
    assert not network.registered
    assert torch.equal(network.norm.running_mean, torch.zeros(2))  # type: ignore[arg-type]


def test_what_stands_in_the_memo_takes_the_place_of_a_module() -> None:
    network, other = Odd(), nn.BatchNorm2d(2)
    made = twin(network, weights_kept(network) | {id(network.norm): other})
    assert made.norm is other is made.others[0]


def test_a_module_that_copies_itself_does() -> None:
    class Counted(nn.Linear):
        copies = 0

        def __deepcopy__(self, memo: dict[int, Any]) -> Counted:
            Counted.copies += 1
            return self

    network = nn.Sequential(Counted(2, 2), nn.ReLU())
    assert twin(network, {})[0] is network[0]
    assert Counted.copies == 1


@pytest.mark.parametrize(
    ("made", "plan", "space"), [(DartsSupernet, DARTS, "darts"), (NasBench201Supernet, NASBENCH201, "nasbench201")]
)
def test_a_part_computes_what_its_path_through_the_supernet_does(made: Any, plan: Any, space: str) -> None:
    rows = tuple(tuple(range(len(plan.operations))) for _ in plan.edges)
    supernet: Supernet = made(Skeleton(4, 3 if space == "darts" else 1), dict.fromkeys(plan.kinds, rows))
    arch = ogive.space(space).sample(np.random.default_rng(3))
    part, x = supernet.network(arch).eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(part(x), supernet.eval()(x, supernet.path(arch)), atol=1e-5)
    assert {id(weight) for weight in part.parameters()} < {id(weight) for weight in supernet.parameters()}
    assert not {id(buffer) for buffer in part.buffers()} & {id(buffer) for buffer in supernet.buffers()}

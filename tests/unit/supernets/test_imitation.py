from __future__ import annotations

import pytest
import torch

from ogive.core.errors import SpecError, UnknownName
from ogive.supernets.alphas import Alphas, alphas_for
from ogive.supernets.imitation import Imitated, relaxed_features
from ogive.supernets.plan import DARTS, NASBENCH201, Plan
from ogive.topology import WIDTH


def fresh(plan: Plan) -> Alphas:
    kinds = list(plan.kinds)
    return alphas_for(plan, kinds, [plan.everything] * len(kinds), torch.Generator().manual_seed(0))


def test_relaxed_features_of_decided_cells_are_those_of_their_layers() -> None:
    alphas = fresh(NASBENCH201)
    (logits,) = alphas.groups
    chosen = NASBENCH201.operations.index("nor_conv_3x3")
    with torch.no_grad():
        logits.fill_(-50.0)
        logits[:, chosen] = 50.0
    found = relaxed_features(alphas, 0)
    assert found.shape == (WIDTH,)
    # All six are 3×3 convolutions that read one thing: three edges go back by one, two by two, one by three.
    expected = torch.zeros(WIDTH)
    for place, share in ((0, 1), (9, 1), (11, 3 / 6), (12, 2 / 6), (13, 1 / 6), (14, 1)):
        expected[place] = share
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("plan", [DARTS, NASBENCH201])
def test_the_loss_teaches_what_the_expert_has(plan: Plan) -> None:
    alphas, loss = fresh(plan), Imitated(expert="(1,1,3,0,0)(2,1,3,1,0)", weight=2.0)
    optimiser = torch.optim.Adam(alphas.tensors, lr=0.1)
    first = float(loss(alphas).detach())
    for _ in range(60):
        optimiser.zero_grad()
        loss(alphas).backward()
        optimiser.step()
    assert 0 <= float(loss(alphas).detach()) < 0.6 * first
    likely = alphas.groups[0].detach().mean(0)
    layers = {name: float(logit) for name, logit in zip(plan.operations, likely, strict=True) if name != "none"}
    assert max(layers, key=layers.__getitem__) in ("sep_conv_3x3", "dil_conv_3x3", "nor_conv_3x3")


def test_weights_and_experts_are_checked() -> None:
    assert float(Imitated(weight=0)(fresh(NASBENCH201)).detach()) == 0
    with pytest.raises(SpecError, match="0 or a positive number"):
        Imitated(weight=-1)
    with pytest.raises(UnknownName, match="resnext"):
        Imitated(expert="vgg")

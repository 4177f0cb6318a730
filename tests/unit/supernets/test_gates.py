from __future__ import annotations

import pytest
import torch

from ogive.core.errors import SpecError
from ogive.supernets.gates import Gate, GumbelOneHot, Sigmoid, SinglePath, Softmax

GATES: list[Gate] = [Softmax(), Sigmoid(), GumbelOneHot(), SinglePath()]


def logits() -> torch.Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()


def test_softmax_and_sigmoid_weigh_as_their_names_say() -> None:
    alphas = logits()
    for gate, function in ((Softmax(), lambda x: x.softmax(1)), (Sigmoid(), torch.sigmoid)):
        weights = gate(alphas, None, torch.Generator()).weights
        assert weights is not None
        torch.testing.assert_close(weights, function(alphas))


@pytest.mark.parametrize("gate", GATES)
def test_what_is_not_allowed_has_no_strength_and_is_never_drawn(gate: Gate) -> None:
    allowed = torch.tensor([[True, False, True, True]] * 3)
    assert gate.strengths(logits().detach(), allowed)[:, 1].tolist() == [0.0] * 3
    draw = torch.Generator().manual_seed(0)
    for _ in range(50):
        mix = gate(logits(), allowed, draw)
        if mix.weights is not None:
            assert mix.weights[:, 1].tolist() == [0.0] * 3
        if mix.active is not None:
            assert all(op != 1 for ops in mix.active for op in ops)


def test_the_draw_of_gdas_has_weight_one_and_the_gradient_of_the_relaxation() -> None:
    alphas, gate = logits(), GumbelOneHot(temperature=2.0)
    mix = gate(alphas, None, torch.Generator().manual_seed(5))
    assert mix.weights is not None
    assert mix.active is not None
    assert mix.offsets is not None
    chosen = [ops[0] for ops in mix.active]
    assert mix.weights.tolist() == torch.nn.functional.one_hot(torch.tensor(chosen), 4).double().tolist()
    assert mix.offsets.tolist() == [0.0] * 3
    noise = -(-torch.rand(3, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64).log()).log()
    soft = ((alphas.log_softmax(1) + noise) / 2.0).softmax(1)
    outputs = torch.arange(12.0, dtype=torch.float64).view(3, 4)
    (found,) = torch.autograd.grad((mix.weights * outputs).sum(), alphas, retain_graph=True)
    (expected,) = torch.autograd.grad((soft * outputs).sum(), alphas)
    torch.testing.assert_close(found, expected)
    # What did not run stands for one, so that the draw alone has a gradient against the rest.
    (offset,) = torch.autograd.grad(mix.offsets.sum(), alphas)
    assert offset.abs().sum() > 0


def test_gdas_draws_in_the_proportions_of_the_softmax() -> None:
    alphas = torch.tensor([[0.0, 1.0, 2.0]])
    draw = torch.Generator().manual_seed(0)
    counts = [0, 0, 0]
    for _ in range(4000):
        mix = GumbelOneHot()(alphas, None, draw)
        assert mix.active is not None
        counts[mix.active[0][0]] += 1
    shares = torch.tensor(counts) / 4000
    torch.testing.assert_close(shares, alphas.softmax(1)[0], rtol=0.0, atol=0.03)  # four standard errors


def test_the_temperature_of_gdas_falls_linearly() -> None:
    gate = GumbelOneHot(temperature=10.0, last=0.1)
    assert [gate.at(share).temperature for share in (0.0, 0.5, 1.0)] == pytest.approx([10.0, 5.05, 0.1])
    with pytest.raises(SpecError, match="0 < last <= temperature"):
        GumbelOneHot(temperature=0.05)


def test_single_paths_are_uniform_and_ignore_the_parameters() -> None:
    draw, counts = torch.Generator().manual_seed(0), [0] * 4
    for _ in range(1000):
        mix = SinglePath()(logits() * 100, None, draw)
        assert mix.weights is None
        assert mix.active is not None
        for (op,) in mix.active:
            counts[op] += 1
    assert all(abs(count - 750) < 100 for count in counts)  # four standard errors

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ogive.networks.build import Skeleton
from ogive.supernets.curvature import bends_too_much, largest_eigenvalue
from ogive.supernets.gates import Softmax
from ogive.supernets.sharing import supernet

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_largest_eigenvalue_of_a_quadratic_is_that_of_its_matrix() -> None:
    draw = torch.Generator().manual_seed(0)
    root = torch.randn(9, 9, generator=draw, dtype=torch.float64)
    matrix = root + root.T  # of both signs, so that the largest is not the one of largest size
    parts = [torch.zeros(4, dtype=torch.float64, requires_grad=True), torch.zeros(5, dtype=torch.float64)]
    parts[1].requires_grad_()
    found = largest_eigenvalue(parts, lambda: torch.cat(parts) @ matrix @ torch.cat(parts) / 2, draw, steps=9)
    assert found == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]))


def test_the_curvature_of_a_supernet_is_that_of_its_whole_hessian() -> None:
    network = supernet("nasbench201", Skeleton(2, 1), seed=0).double().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    draw = torch.Generator().manual_seed(0)
    alphas = network.alphas(draw, scale=1.0)
    x = torch.randn(6, 3, 8, 8, generator=draw, dtype=torch.float64).contiguous(memory_format=torch.channels_last)

    def loss(values: torch.Tensor) -> torch.Tensor:
        mix = Softmax()(values, None, draw)
        return F.cross_entropy(network(x, (mix,) * 3), torch.arange(6))

    hessian = torch.autograd.functional.hessian(loss, alphas.groups[0].detach()).view(30, 30)
    found = largest_eigenvalue(alphas.groups, lambda: loss(alphas.groups[0]), draw, steps=30)
    assert found == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-6)


def test_a_search_bends_too_much_when_its_average_has_grown() -> None:
    flat = [1.0] * 12
    assert not bends_too_much(flat, 1.3, 5)
    assert not bends_too_much([*flat, 1.4], 1.3, 5)  # one of five
    assert bends_too_much([*flat, 1.4, 1.4, 1.4, 1.4], 1.3, 5)
    assert not bends_too_much([*flat, 1.4, 1.4, 1.4, 1.4], 1.3, 13)
    assert not bends_too_much([], 1.3, 0)

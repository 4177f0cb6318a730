from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from ogive.core.errors import MissingData
from ogive.core.rng import Seed
from ogive.predictors.kernels import WeisfeilerLehman
from ogive.predictors.surrogates import (
    Graphs,
    Outcomes,
    _imported,
    moderated,
    reference_point,
    require_botorch,
    working,
)
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.mobo import Mobo, _coordinates

SPACE = nasbench201()


def archs(count: int) -> list:
    rng = np.random.default_rng(0)
    return [SPACE.sample(rng) for _ in range(count)]


def test_graphs_are_compared_by_their_kernel_whatever_their_numbers() -> None:
    inner = WeisfeilerLehman(space=SPACE)
    graphs = Graphs(inner)
    some = archs(6)
    graphs(some[::-1])
    with working():
        numbers = torch.from_numpy(graphs(some))
        kernel = graphs.kernel(1).base_kernel
        found = kernel(numbers[:4], numbers).to_dense().detach().numpy()
        diagonal = kernel(numbers, diag=True).numpy()
    expected = inner.between(inner.described(some[:4]), inner.described(some), np.zeros(0))
    assert found == pytest.approx(expected)
    assert diagonal == pytest.approx(np.ones(6))
    assert graphs.distances(some[:4], some) == pytest.approx(np.sqrt(np.maximum(2 - 2 * expected, 0)), abs=1e-6)


def test_cells_are_compared_as_graphs_unless_an_encoder_is_named() -> None:
    from ogive.features import OneHot

    assert isinstance(_coordinates(SPACE, None), Graphs)
    assert _coordinates(SPACE, OneHot(space=SPACE)).name == "OneHot"


def test_a_search_of_graphs_goes_on_from_labels() -> None:
    search = Mobo(SPACE, Seed(0), start=2, offered=12, samples=4)
    from ogive.core.trial import Measurement, Proposal, Trial

    for number, arch in enumerate(archs(5)):
        search.tell([Trial(number, Proposal(arch), Measurement(), "ok", (float(sum(arch.choices)), float(number)))])
    assert len({one.arch for one in search.ask(2)}) == 2


def test_variances_of_few_values_are_drawn_towards_their_mean() -> None:
    found = moderated(np.array([[0.0], [4.0]]), [1.0])
    assert found.tolist() == [[4 / 3], [8 / 3]]
    assert moderated(np.array([[0.0], [4.0]]), [1e9]) == pytest.approx(np.array([[0.0], [4.0]]), abs=1e-6)


def test_the_reference_lies_below_the_feasible_front() -> None:
    points = np.array([[0.0, 2.0], [2.0, 0.0], [-1.0, -1.0], [9.0, 9.0]])
    values = np.column_stack([points, [-1.0, -1.0, -1.0, 1.0]])
    outcomes = Outcomes(tuple(archs(4)), values, np.full((4, 3), np.nan), 2)
    assert reference_point(outcomes, points) == pytest.approx(np.array([-1.0, -1.0]))  # 0 less a tenth of 10


def test_random_numbers_of_others_are_left_as_they_are() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with working() as (inside, _):
        inside.rand(5)
    assert torch.rand(1) == expected


def test_a_broken_installation_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _imported.cache_clear()
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(MissingData, match=r"mobo needs the package botorch: pip install 'ogive\[bo\]'"):
        require_botorch()

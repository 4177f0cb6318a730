from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ogive.core.architecture import Architecture
from ogive.core.trial import Cost, Proposal, Trial
from ogive.reporting.page import page
from ogive.reporting.tables import skip_connections, weightless_cells
from ogive.runs import Run
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201

Make = Callable[..., Run]

SKIPS = Architecture("nasbench201", (1,) * 6)
MIXED = Architecture("nasbench201", (1, 3, 1, 0, 3, 3))


def epochs(trial: Callable[..., Trial], *archs: Architecture) -> list[Trial]:
    made = [trial(place, {"val_acc": 90.0 - place}, [90.0 - place], arch=arch) for place, arch in enumerate(archs)]
    return [replace(one, proposal=Proposal(one.arch, cost=Cost(2.0))) for one in made]


def test_skip_connections_are_counted_among_the_operations_that_could_be_one() -> None:
    assert skip_connections(nasbench201(), MIXED) == (2, 6)
    text = [("skip_connect", 0), ("sep_conv_3x3", 1)] * 4
    arch = darts().parse(f"Genotype(normal={text}, normal_concat=[2,3,4,5], reduce={text}, reduce_concat=[2,3,4,5])")
    assert skip_connections(darts(), arch) == (8, 16)


def test_the_page_tells_when_a_supernet_collapsed(make: Make, trial: Callable[..., Trial]) -> None:
    run = make("darts", epochs(trial, MIXED, SKIPS, SKIPS), strategy="darts(epochs=3)")
    text = page([run])
    assert "In epoch 2" not in text
    assert "It collapsed: in epoch 2 and ever after no operation has weights" in text
    assert "in epoch 2 every operation is a skip connection." in text
    assert "2 of 6" in text
    assert "takes the last one" in text


def test_a_collapse_that_passed_is_told_as_one(make: Make, trial: Callable[..., Trial]) -> None:
    run = make("darts", epochs(trial, SKIPS, MIXED), strategy="darts(epochs=2)")
    assert "It collapsed: in epoch 1 no operation has weights" in page([run])


def test_a_search_that_did_not_collapse_says_so(make: Make, trial: Callable[..., Trial]) -> None:
    assert "It did not collapse" in page([make("darts", epochs(trial, MIXED, MIXED), strategy="darts(epochs=2)")])


@pytest.mark.parametrize("choices", [(4,) * 6, (0,) * 6, (0, 4, 1, 0, 4, 4)])
def test_pools_and_missing_operations_alone_are_a_collapse(
    make: Make, trial: Callable[..., Trial], choices: tuple[int, ...]
) -> None:
    run = make("darts", epochs(trial, MIXED, Architecture("nasbench201", choices)), strategy="darts(epochs=2)")
    text = page([run])
    assert "It did not collapse" not in text
    assert "It collapsed: in epoch 2 and ever after no operation has weights" in text
    assert "every operation is a skip connection, a pooling or none." in text


def genotype(normal: str, reduce: str) -> Architecture:
    cells = ", ".join(
        f"{kind}={[(op, 0), (op, 1)] * 4}, {kind}_concat=[2,3,4,5]"
        for kind, op in (("normal", normal), ("reduce", reduce))
    )
    return darts().parse(f"Genotype({cells})")


def test_cells_without_weights_are_counted_apart() -> None:
    assert weightless_cells(darts(), genotype("max_pool_3x3", "skip_connect")) == (2, 2)
    assert weightless_cells(darts(), genotype("max_pool_3x3", "sep_conv_3x3")) == (1, 2)
    assert weightless_cells(darts(), genotype("dil_conv_5x5", "sep_conv_3x3")) == (0, 2)
    assert weightless_cells(nasbench201(), MIXED) == (0, 1)


def test_one_cell_without_weights_is_told_but_is_no_collapse(make: Make, trial: Callable[..., Trial]) -> None:
    cells = [genotype("sep_conv_3x3", "sep_conv_3x3"), genotype("max_pool_3x3", "sep_conv_3x3")]
    text = page([make("darts", epochs(trial, *cells), strategy="darts(epochs=2)", space="darts")])
    assert "It did not collapse as a whole" in text
    assert "after 1 of 2 epochs there is a cell without any" in text


def test_strategies_whose_proposals_are_free_have_no_epochs(make: Make, trial: Callable[..., Trial]) -> None:
    run = make("evolution", [trial(0, {"val_acc": 90.0}, [90.0], arch=SKIPS)])
    assert "Epochs of the supernet" not in page([run])

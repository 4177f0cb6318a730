from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ogive.core.architecture import Architecture
from ogive.core.trial import Cost, Proposal, Trial
from ogive.report.epochs import skip_connections
from ogive.report.page import page
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
    assert "It collapsed: in epoch 2 and ever after every operation is a skip connection." in text
    assert "2 of 6" in text
    assert "takes the last one" in text


def test_a_collapse_that_passed_is_told_as_one(make: Make, trial: Callable[..., Trial]) -> None:
    run = make("darts", epochs(trial, SKIPS, MIXED), strategy="darts(epochs=2)")
    assert "It collapsed: in epoch 1 every operation" in page([run])


def test_a_search_that_did_not_collapse_says_so(make: Make, trial: Callable[..., Trial]) -> None:
    assert "It did not collapse" in page([make("darts", epochs(trial, MIXED, MIXED), strategy="darts(epochs=2)")])


def test_strategies_whose_proposals_are_free_have_no_epochs(make: Make, trial: Callable[..., Trial]) -> None:
    run = make("evolution", [trial(0, {"val_acc": 90.0}, [90.0], arch=SKIPS)])
    assert "Epochs of the supernet" not in page([run])

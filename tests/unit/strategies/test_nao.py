from __future__ import annotations

from pathlib import Path

import numpy as np

import ogive
from ogive import catalog
from ogive.core.rng import Seed
from ogive.core.strategy import Strategy
from ogive.core.trial import Measurement, Trial
from ogive.predictors.nao import NaoSettings
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.nao import nao

SPACE = nasbench201()
QUICK = "epochs=60, width=16, layers=1, units=16, learning_rate=0.02"


def run(strategy: Strategy, count: int) -> list[tuple[int | float, ...]]:
    """What is proposed where later options are better."""
    asked = []
    for number in range(count):
        (proposal,) = strategy.ask()
        asked.append(proposal.arch.choices)
        score = float(sum(proposal.arch.choices))
        strategy.tell([Trial(number, proposal, Measurement({"val_acc": score}), "ok", (score,))])
    return asked


def test_it_is_a_guided_search_that_climbs() -> None:
    short = f"nao({QUICK}, start=40, refit=20, seeds=20)"
    long = f"guided(nao({QUICK}), ascent(seeds=20), start=40, refit=20, offered=20)"
    one, other = (catalog.build("strategy", text, space=SPACE, seed=Seed(0)) for text in (short, long))
    asked = run(one, 60)
    assert run(other, 60) == asked
    sums = np.sum(asked, axis=1)
    assert sums[40:].mean() > sums[:40].mean() + 2


def test_the_numbers_are_the_paper_s() -> None:
    strategy = nao(space=SPACE, seed=Seed(0))
    assert (strategy.start, strategy.refit, strategy.offered) == (600, 300, 300)
    assert strategy.predictor.settings == NaoSettings()
    assert (strategy.proposer.seeds, strategy.proposer.largest_step) == (100, 50)


def test_a_search_that_was_saved_between_two_rounds_goes_on_alike(tmp_path: Path) -> None:
    def made() -> Strategy:
        found: Strategy = catalog.build("strategy", f"nao({QUICK}, start=6, refit=4)", space=SPACE, seed=Seed(0))
        return found

    whole, begun, resumed = made(), made(), made()
    asked = run(whole, 16)
    assert run(begun, 9) == asked[:9]
    begun.save(tmp_path)
    resumed.load(tmp_path)
    assert run(resumed, 7) == asked[9:]


def test_weights_are_shared_by_what_it_tries() -> None:
    """Labels are trials of any evaluator: here of a supernet, as in NAO with weight sharing."""
    found = ogive.search(
        space="nasbench201",
        data="digits(limit=60)",
        strategy=f"nao({QUICK}, start=4, refit=2)",
        evaluator="inherited(supernet(epochs=1, batch_size=12), metric=shared_acc)",
        budget=8,
        channels=4,
        cells=1,
    )
    assert len(found.trials) == 8
    assert all(trial.status == "ok" and "shared_acc" in trial.metrics for trial in found.trials)


def test_it_predicts_for_other_strategies() -> None:
    found = ogive.search(
        space="nasbench201",
        strategy="evolution",
        data="digits(limit=20)",
        evaluator=f"predicted(nao({QUICK}), training_free(macs), sample=10)",
        objective="maximize(predicted_macs)",
        budget=14,
        channels=4,
        cells=1,
    )
    assert all("predicted_macs" in trial.metrics for trial in found.trials)
    assert len({trial.metrics["predicted_macs"] for trial in found.trials[10:]}) > 1

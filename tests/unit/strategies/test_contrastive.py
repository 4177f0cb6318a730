from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import ogive
from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Measurement, Proposal, Trial
from ogive.predictors.comparator import Comparator, ComparatorRecipe
from ogive.spaces.nasbench201 import OPS, nasbench201
from ogive.strategies.contrastive import Contrast, ContrastiveRecipe, ContrastiveSearch, ctnas
from ogive.strategies.guided import Guided

SPACE = nasbench201()
CONV3 = OPS.index("nor_conv_3x3")
QUICK = ComparatorRecipe(epochs=80, width=16, learning_rate=0.01)
SHORT = ContrastiveRecipe(
    iterations=120, controller_learning_rate=0.01, update_every=30, candidates=4, exploration="off"
)


def worth(arch: Architecture) -> float:
    return arch.choices.count(CONV3) + 0.1 * arch.choices[0]


@pytest.fixture(scope="module")
def comparator() -> Comparator:
    rng = np.random.default_rng(0)
    archs = tuple(dict.fromkeys(SPACE.sample(rng) for _ in range(60)))
    found = Comparator(space=SPACE, seed=Seed(0), recipe=QUICK)
    found.fit(Observed(archs, tuple(map(worth, archs))))
    return found


def trained(comparator: Comparator, **options: object) -> Contrast:
    fields = {name: getattr(SHORT, name) for name in SHORT.__dataclass_fields__}
    contrast = Contrast(comparator, SPACE, ContrastiveRecipe(**{**fields, **options}), seed=Seed(1))  # type: ignore[arg-type]
    contrast.train()
    return contrast


def mean(archs: Sequence[Architecture]) -> float:
    return float(np.mean([worth(arch) for arch in archs]))


# -- the controller against the comparator ----------------------------------------------------------------------------


def test_an_updated_baseline_keeps_the_reward_low_and_the_search_going(comparator: Comparator) -> None:
    """A fixed random one is soon beaten by everything (CTNAS, section 3.4)."""
    longer = {"iterations": 300, "update_every": 60, "controller_learning_rate": 0.02}
    updated, fixed = trained(comparator, **longer), trained(comparator, baseline="fixed", **longer)
    last = slice(-24, None)
    assert mean(updated.written[last]) >= mean(fixed.written[last])
    assert np.mean(updated.rewards[last]) < 0.9 < np.mean(fixed.rewards[last])
    assert mean(updated.written[last]) > mean(updated.written[:24]) + 1
    assert (len(updated.baselines), len(fixed.baselines)) == (6, 1)
    assert updated.baselines[0] == fixed.baselines[0]
    # From random to the best of the first candidates already.
    assert worth(updated.baselines[-1]) > worth(updated.baselines[0])


def test_the_best_baseline_is_replaced_by_better_ones_only(comparator: Comparator) -> None:
    best = trained(comparator, baseline="best", update_every=5)
    strengths = comparator.predict(best.baselines)
    assert (np.diff(strengths) >= 0).all()
    assert (np.diff(comparator.predict(trained(comparator, update_every=5).baselines)) < 0).any()


def test_finalists_win_the_tournament_and_are_new(comparator: Comparator) -> None:
    contrast = trained(comparator)
    first = contrast.finalists(5, ())
    others = contrast.finalists(5, first[:2])
    assert not {*first[:2]} & {*others}
    ranks = comparator.predict(first)
    assert (np.diff(ranks) <= 0).all()
    assert max(comparator.predict([*contrast.found])) <= ranks[0]


@pytest.mark.parametrize("exploration", ["two_sided", "one_sided"])
def test_confident_pairs_teach_the_comparator_of_the_search_and_no_other(
    comparator: Comparator, exploration: str
) -> None:
    archs = list(SPACE)[::500]
    before = comparator.predict(archs)
    contrast = trained(comparator, exploration=exploration, iterations=11, explore_every=5)
    assert (comparator.predict(archs) == before).all()
    assert not np.allclose(contrast.comparator.predict(archs), before)
    assert len(contrast._pairs) == 256 + 2 * 100
    labels = [better for _, _, better in contrast._pairs]
    assert (0 < np.mean(labels) < 1) if exploration == "two_sided" else all(labels)
    assert np.mean([(worth(one) >= worth(other)) == better for one, other, better in contrast._pairs]) > 0.95


# -- the strategy -----------------------------------------------------------------------------------------------------


def strategy(seed: int = 0) -> Guided:
    recipe = ContrastiveRecipe(iterations=20, update_every=10, candidates=4, explore_every=15)
    small = Comparator(space=SPACE, seed=Seed(seed), recipe=ComparatorRecipe(epochs=20, width=8))
    return ctnas(small, space=SPACE, seed=Seed(seed), start=8, refit=4, recipe=recipe)


def told(number: int, proposal: Proposal) -> Trial:
    score = worth(proposal.arch)
    return Trial(number, proposal, Measurement({"val_acc": score}), "ok", (score,))


def test_a_search_that_was_stopped_goes_on_as_if_it_was_not(tmp_path: Path) -> None:
    whole, stopped = strategy(), strategy()
    for number in range(14):
        for one in (whole, stopped):
            one.tell([told(number, one.ask(1)[0])])
    stopped.save(tmp_path)
    later = strategy()
    later.load(tmp_path)
    for number in range(14, 20):
        asked = [one.ask(1)[0] for one in (whole, later)]
        assert asked[0].arch == asked[1].arch
        for one, proposal in zip((whole, later), asked, strict=True):
            one.tell([told(number, proposal)])


def test_half_of_a_budget_is_random_and_423_at_most() -> None:
    for trials, expected in ((90, 45), (None, 423), (2000, 423)):
        budget = None if trials is None else Budget(trials=trials)
        made = ctnas(space=SPACE, seed=Seed(0), budget=budget)
        assert (made.start, made.refit, made.offered) == (expected, 20, 20)


def test_it_is_written_ctnas_and_its_proposer_controller() -> None:
    context = Context({"space": lambda: SPACE}, Seed(0))
    text = "ctnas(nac(epochs=5), start=30, iterations=10, exploration=one_sided, baseline=best)"
    assert isinstance(catalog.build("strategy", text, context), Guided)
    assert len(catalog.options("strategy", "ctnas")) <= 12
    built = catalog.build("proposer", "controller(iterations=10)", context)
    assert isinstance(built, ContrastiveSearch)
    assert built.recipe.iterations == 10


def test_another_predictor_and_options_without_sense_are_refused() -> None:
    context = Context({"space": lambda: SPACE}, Seed(0))
    with pytest.raises(SpecError, match=r"guided by a comparator, nac or nac\(epochs=500\), but got ExtraTrees"):
        catalog.build("strategy", "ctnas(trees)", context)
    trees = catalog.build("predictor", "trees", context)
    with pytest.raises(SpecError, match=r"as in guided\(nac, controller\), but got ExtraTrees"):
        ContrastiveSearch(space=SPACE).offered(trees, Observed((), ()), 1, np.random.default_rng(0))
    with pytest.raises(SpecError, match="candidates must be at least 1, but got 0"):
        ContrastiveRecipe(candidates=0)
    with pytest.raises(SpecError, match="controller_learning_rate > 0"):
        ContrastiveRecipe(controller_learning_rate=0.0)


@pytest.mark.parametrize(("space", "channels", "cells"), [("darts", 4, 2), ("ofa_mobilenetv3", 2, None)])
def test_it_searches_by_real_trainings(space: str, channels: int, cells: int | None) -> None:
    """Two random networks are labels, two are what a controller writes; every one is trained."""
    found = ogive.search(
        space=space,
        data="digits(limit=32)",
        strategy="ctnas(nac(epochs=3, width=8), start=2, refit=2, iterations=4, explore_every=2, update_every=2)",
        evaluator="trained(epochs=1, batch_size=16)",
        channels=channels,
        cells=cells,
        budget=4,
        seed=1,
    )
    assert [trial.status for trial in found.trials] == ["ok"] * 4
    assert len({trial.arch for trial in found.trials}) == 4
    # The fit and the controller are the cost of the first proposal that came of them.
    asked = [trial.proposal.cost.wall_s for trial in found.trials]
    assert asked[2] > 0
    assert asked[:2] == [0, 0]

"""Everything in the catalog keeps its contract; that every two parts work together is in test_pairs.py."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_parts import (
    BUILT,
    DIFFERENT,
    EVALUATORS,
    FOR_TASK,
    PREDICTORS,
    PROPOSERS,
    SEARCHED,
    SEQUENCES,
    SHORT,
    SIZES,
    SMALL,
    SMALLEST,
    SPACES,
    STRATEGIES,
    VARIANTS,
)

from ogive import catalog
from ogive.context import Context
from ogive.core.evaluator import Evaluator
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.strategy import Strategy
from ogive.core.trial import Fidelity, Proposal
from ogive.networks.build import BUILDERS
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.ofa_mobilenetv3 import ofa_mobilenetv3
from ogive.strategies.closed_world import in_closed_world
from ogive.tables.keys import MixedRadix, SortedDigests
from ogive.tables.store import Column, Table, write_table
from ogive.tables.world import ClosedWorld
from ogive.testing import check_evaluator, check_predictor, check_space, check_strategy
from ogive.testing.parts import require_same_elsewhere
from ogive.testing.strategies import trace_of_strategy
from ogive.training.data import Data, Split
from ogive.training.text import Text

# Large spaces in a small size: every neighbour of many architectures is looked at.
SMALL_SPACES = """
from ogive.spaces import unrestricted


def ddarts_dense():
    return unrestricted.ddarts_dense(cells=1)
"""
# Strategies as functions that another process can import, where a part of its own is needed.
FACTORIES = """
from ogive.core.metric import Metric
from ogive.core.trial import Measurement
from ogive.strategies.scored import Area, BestEvolved, BestScored


class Sum:
    metrics = (Metric("sum"),)

    def evaluate(self, proposals):
        return [Measurement({"sum": float(sum(proposal.arch.choices))}) for proposal in proposals]


def area(space, seed):
    return Area(Sum(), space=space, seed=seed)


def guided(space, seed):
    from ogive.predictors.trees import ExtraTrees
    from ogive.strategies.guided import Guided
    from ogive.strategies.proposers import Evolved

    trees = ExtraTrees(space=space, seed=seed, trees=5)
    return Guided(trees, Evolved(space=space), space=space, seed=seed, start=4, refit=10, offered=20)


def qlearning(space, seed):
    from ogive.strategies.qlearning import QLearning

    return QLearning(space, seed, iterations=4, batch=4)


def mnasnet(space, seed):
    from ogive.strategies.mnasnet import MnasNet, ProximalRecipe

    return MnasNet(space, seed, hidden=8, recipe=ProximalRecipe(batch=3))


def irlas(space, seed):
    from ogive.strategies.qlearning import irlas

    return irlas(space, seed, iterations=4, batch=4)


def ctnas(space, seed):
    from ogive.predictors.comparator import Comparator, ComparatorRecipe
    from ogive.strategies.contrastive import ContrastiveRecipe, ctnas

    comparator = Comparator(space=space, seed=seed, recipe=ComparatorRecipe(epochs=2, width=8))
    short = ContrastiveRecipe(iterations=2, candidates=2, exploration="off")
    return ctnas(comparator, space=space, seed=seed, start=4, refit=30, recipe=short)


def ogive(space, seed):
    from ogive.strategies.ogive import ogive

    return ogive(space=space, seed=seed, refit=20, offered=20, rated=100)
def renas(space, seed):
    from ogive.predictors.renas import ReNASRecipe
    from ogive.strategies.renas import renas

    return renas(space=space, seed=seed, recipe=ReNASRecipe(epochs=1), start=4, refit=30, offered=40, generations=1)


def nao(space, seed):
    from ogive.predictors.nao import NaoSettings
    from ogive.strategies.nao import nao

    settings = NaoSettings(epochs=1, width=4, layers=0)
    return nao(space=space, seed=seed, settings=settings, start=4, refit=10, largest_step=2)


def optuna(space, seed):
    from ogive.strategies.optuna import Optuna

    return Optuna(space=space, seed=seed, start=4)


def hyperband(space, seed):
    from ogive.core.trial import Fidelity
    from ogive.strategies.hyperband import Hyperband

    return Hyperband(space, seed, fidelity=Fidelity("epochs", 9, continued=True), lowest=1)


def bayes(space, seed):
    from ogive.strategies.bayes import bayes

    return bayes(space=space, seed=seed, start=4, offered=40)


def mobo(space, seed):
    from ogive.strategies.mobo import mobo

    return mobo(space=space, seed=seed, start=58, offered=20, samples=8)


def bohb(space, seed):
    from ogive.core.trial import Fidelity
    from ogive.strategies.parzen import bohb

    return bohb(space, seed, fidelity=Fidelity("epochs", 9, continued=True), lowest=1, start=4)


def asha(space, seed):
    from ogive.core.trial import Fidelity
    from ogive.strategies.asha import ASHA

    return ASHA(space, seed, fidelity=Fidelity("epochs", 9, continued=True), lowest=1)


def one_shot(space, seed):
    return BestEvolved(Sum(), space=space, seed=seed, candidates=60, population=10, tournament=3)


def naswot(space, seed):
    return BestScored(Sum(), space=space, seed=seed)


def supernet(text, space, seed):
    from ogive import catalog
    from ogive.training.data import load

    given = {"space": space, "data": load("digits", limit=24), "seed": seed, "threads": 1, "channels": 2, "cells": 1}
    return catalog.build("strategy", text, **given)


def darts(space, seed):
    return supernet("darts(epochs=2, alpha_learning_rate=0.1)", space, seed)


def small_dartopti():
    from ogive.spaces.ddarts import dartopti

    return dartopti(cells=1)


def ddarts(space, seed):
    return supernet("ddarts(epochs=2, alpha_learning_rate=0.1)", space, seed)


def spos(space, seed):
    return supernet("spos(epochs=2, candidates=4, population=2, tournament=2)", space, seed)


def enas(space, seed):
    few = "candidates=2, final_candidates=2, controller_steps=1, controller_samples=2"
    return supernet(f"enas(epochs=2, {few}, controller_learning_rate=0.1)", space, seed)


def few_shot(space, seed):
    from ogive.strategies.few_shot import FewShot, Splitting

    searcher = darts(space, seed)
    return FewShot(searcher, space=space, seed=seed, splitting=Splitting(part_epochs=1))

"""
SCORES = catalog.names("score")
# Every one of a sampler's proposals costs models of all that it was told, ten times where a world is closed.
ROUNDS = {"optuna": 4, "bohb": 6, "bayes": 4, "mobo": 2}
# As many as exhaust the world. That its proposals go by the seed shows in an open space: few here are its own.
IN_CLOSED_WORLD = {"optuna": 5, "mobo": 2}
# Scores of feature maps, which perceptrons have none of.
OF_MAPS = ("zen", "az_expressivity", "az_progressivity", "az_trainability")


def split(seed: int, count: int, side: int = 8) -> Split:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, side, side), generator=draw, dtype=torch.uint8)
    return Split(images, torch.arange(count) % 2)


def words(seed: int, count: int) -> torch.Tensor:
    return torch.randint(0, 3, (count,), generator=torch.Generator().manual_seed(seed))


TEXT = Text("babble", ("a", "b", "<eos>"), words(0, 30), words(1, 24), words(2, 24))
DATA = Data("noise", split(0, 24), split(1, 8), split(2, 8), ("a", "b"), (0.5,) * 3, (0.25,) * 3)
LARGER = replace(DATA, train=split(0, 24, 16), val=split(1, 8, 16), test=split(2, 8, 16))


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A table of the shape of NAS-Bench-201, with made-up numbers."""
    columns = {
        "c10v_val_200": (Column("%", "", "float32"), np.random.default_rng(0).uniform(50, 95, 5**6).astype(np.float32)),
        "c10_test_200": (
            Column("%", "", "float32", test=True),
            np.random.default_rng(1).uniform(50, 95, 5**6).astype(np.float32),
        ),
        "params": (Column("1", "", "int64"), np.arange(5**6)),
    }
    about = {"space": "nasbench201", "source": "", "licence": "", "importer": ""}
    about |= {"metric": "c10v_val_200", "report": "c10_test_200"}
    folder: Path = tmp_path_factory.mktemp("tables") / "toy"
    return write_table(folder, columns, name="toy", key=MixedRadix([5] * 6), **about)


def context(space: SearchSpace, seed: Seed, table: Table | None = None) -> Context:
    channels, cells = SIZES.get(space.name, (8, 1))
    makers = {
        "fidelity": lambda: Fidelity("epochs", 9, continued=True),
        "space": lambda: space,
        "data": lambda: {"darts_rnn": TEXT, "autogan": LARGER}.get(space.name, DATA),
        "table": lambda: table,
        "device": lambda: "cpu",
        "threads": lambda: 1,
        "channels": lambda: channels,
        "cells": lambda: cells,
    }
    return Context(makers, seed)


def made_space(name: str) -> SearchSpace:
    found: SearchSpace = catalog.build("space", SMALL.get(name, name))
    return found


def made_strategy(name: str, space: SearchSpace, seed: Seed) -> Strategy:
    text = STRATEGIES[name].format(scorer="training_free(macs, batch_size=8)", epochs=2)
    text = text.replace("batch_size=12", SHORT) if space.name == "darts_rnn" else text
    found: Strategy = catalog.build("strategy", text, context(space, seed))
    return found


def made_evaluator(text: str, space: SearchSpace, table: Table) -> Evaluator:
    found: Evaluator = catalog.build("evaluator", text, context(space, Seed(0), table))
    return found


def covering() -> list[tuple[str, str]]:
    """Every strategy with one space and every space with a strategy, those without a supernet in turn."""
    anywhere = itertools.cycle(name for name in STRATEGIES if name not in SEARCHED)
    everywhere = [(next(anywhere), space) for space in DIFFERENT]
    scoring = [("area" if name == "naswot" else name, space) for name, space in everywhere]
    return [
        *(("random" if name == "area" and space not in BUILT else name, space) for name, space in scoring),
        ("naswot", "nasbench201"),
        *SMALLEST.items(),
        ("darts", "darts_rnn"),
        ("renas", "nasbench201"),
        ("irlas", "blockqnn"),
        ("reinforce", "nasbench201"),
        ("qlearning", "nasbench201"),
        ("mnasnet", "nasbench201"),
        ("ctnas", "nasbench201"),
        ("nao", "darts_rnn"),
    ]


def goals(strategy: Strategy) -> int:
    """With how many objectives to try a strategy: as many as it takes, two if it takes any number."""
    return getattr(strategy, "objectives", None) or 2


def target(maker: Any) -> str:
    return f"{maker.__module__}:{maker.__qualname__}"


# -- alone ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPACES)
def test_every_space_keeps_the_contract_in_every_process(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small_spaces.py").write_text(SMALL_SPACES)
    monkeypatch.syspath_prepend(str(tmp_path))
    small = f"def {name}(" in SMALL_SPACES
    space = f"small_spaces:{name}" if small else target(catalog.resolve("space", name))
    check_space(space, samples=20, subprocess=True)


def test_every_strategy_of_the_catalog_is_tried_here() -> None:
    assert sorted([*STRATEGIES, *VARIANTS]) == catalog.names("strategy")


@pytest.mark.parametrize(("name", "space"), covering())
def test_every_strategy_and_every_space_keep_the_contract_together(name: str, space: str) -> None:
    objectives = goals(made_strategy(name, made_space(space), Seed(0)))
    check_strategy(
        lambda within, seed: made_strategy(name, within, seed),
        made_space(space),
        objectives=objectives,
        rounds=ROUNDS.get(name, 12),
    )


@pytest.mark.parametrize("text", VARIANTS.values(), ids=list(VARIANTS))
def test_what_other_papers_made_of_darts_keeps_the_contract(text: str) -> None:
    space = made_space("nasbench201")
    check_strategy(lambda within, seed: catalog.build("strategy", text, context(within, seed)), space, rounds=4)


def test_every_strategy_is_among_them() -> None:
    assert {name for name, _ in covering()} == set(STRATEGIES)
    assert {space for _, space in covering()} == set(DIFFERENT)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_asks_the_same_in_every_process(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "factories_of_parts.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "factories_of_parts", raising=False)
    alone = STRATEGIES[name] == name  # else one with parts of its own is in FACTORIES
    maker = target(catalog.resolve("strategy", name)) if alone else f"factories_of_parts:{name}"
    objectives = getattr(catalog.resolve("strategy", name), "objectives", None) or 2
    spaces = {"ddarts": "factories_of_parts:small_dartopti", "irlas": "ogive.spaces.blockqnn:blockqnn"}
    arguments = [maker, spaces.get(name, target(nasbench201)), str(objectives), "60"]
    trace = "ogive.testing.strategies:trace_of_strategy"
    require_same_elsewhere(trace, arguments, trace_of_strategy(*arguments), name)


@pytest.mark.parametrize(
    ("name", "space"),
    [
        *((name, "nasbench201") for name in STRATEGIES if "nasbench201" in SEARCHED.get(name, SPACES)),
        *(("evolution", space) for space in ("nasbench101", "accel_nasbench")),
    ],
)
def test_every_strategy_keeps_the_contract_in_a_closed_world(name: str, space: str, tmp_path: Path) -> None:
    """Both where the world is small enough to be exhausted, and seeing every proposal inside."""
    open_space = made_space(space)
    rng = np.random.default_rng(0)
    choices = {open_space.sample(rng).choices for _ in range(20)}
    if open_space.canonical is not None:
        choices = {open_space.canonical(open_space.check(one)).choices for one in choices}
    by = "module hash" if space == "nasbench101" else "choices"
    key, _ = SortedDigests.of(space, np.array(sorted(choices)), by=by)
    columns = {"val": (Column("%", "", "float64"), rng.uniform(0, 100, key.rows))}
    about = {"space": space, "source": "", "licence": "", "importer": ""}
    some = write_table(tmp_path / "some", columns, name="some", key=key, complete=False, **about)

    def inside(_: SearchSpace, seed: Seed) -> Strategy:
        world = ClosedWorld.of(open_space, some)
        return in_closed_world(made_strategy(name, world, seed), world)

    world = ClosedWorld.of(open_space, some)
    check_strategy(
        inside, world, objectives=goals(made_strategy(name, open_space, Seed(0))), rounds=IN_CLOSED_WORLD.get(name, 10)
    )


def test_every_predictor_of_the_catalog_is_tried_here() -> None:
    assert sorted(PREDICTORS) == catalog.names("predictor")


@pytest.mark.parametrize("name", list(PREDICTORS))
@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_every_predictor_keeps_the_contract(name: str, space: str) -> None:
    check_predictor(
        lambda within, seed: catalog.build("predictor", PREDICTORS[name], context(within, seed)), made_space(space)
    )


@pytest.mark.parametrize("encoder", catalog.names("encoder"))
def test_every_encoder_serves_a_predictor(encoder: str) -> None:
    small = {"embeddings": "embeddings(channels=4, cells=1)"}
    text = f"trees(trees=20, encoder={small.get(encoder, encoder)})"
    space = ofa_mobilenetv3() if encoder == "layers" else nasbench201()
    labels = 12 if encoder in small else 40  # each of them is a network that is built and followed
    check_predictor(lambda within, seed: catalog.build("predictor", text, context(within, seed)), space, labels=labels)


@pytest.mark.parametrize("proposer", catalog.names("proposer"))
def test_every_proposer_serves_a_guided_search(proposer: str) -> None:
    inner = PROPOSERS.get(proposer, f"trees(trees=5), {proposer}")
    text = f"guided({inner}, start=4, refit=4, offered=30)"
    check_strategy(
        lambda within, seed: catalog.build("strategy", text, context(within, seed)), nasbench201(), rounds=12
    )


def test_a_predictor_predicts_the_same_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "predictors_of_tests.py").write_text(
        "from ogive.features import Paths\n"
        "from ogive.predictors.trees import ExtraTrees\n\n\n"
        "def trees(space, seed):\n"
        "    return ExtraTrees(space=space, seed=seed, encoder=Paths(space=space))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    check_predictor("predictors_of_tests:trees", target(nasbench201), subprocess=True)


def test_every_evaluator_of_the_catalog_is_tried_here() -> None:
    assert sorted(EVALUATORS) == catalog.names("evaluator")


@pytest.mark.parametrize("name", list(EVALUATORS))
def test_every_evaluator_keeps_the_contract(name: str, table: Table, invented_scores: Path, ogive_home: Path) -> None:
    text = EVALUATORS[name][0].format(scores=invented_scores)
    space = made_space("rnag_er" if name == "draws" else "nasbench201")
    check_evaluator(made_evaluator(text, space, table), space, proposals=3)


@pytest.mark.parametrize(("name", "space"), FOR_TASK)
def test_every_evaluator_keeps_the_contract_for_every_task(
    name: str, space: str, table: Table, ogive_home: Path
) -> None:
    made = made_evaluator(FOR_TASK[name, space][0], made_space(space), table)
    check_evaluator(made, made_space(space), proposals=3)


@pytest.mark.parametrize(
    ("name", "space"),
    [
        *((name, "nasbench201") for name in SCORES),
        # Each alone, since some perceptrons have no ReLU, which some scores need.
        *((name, "mlp") for name in SCORES if name not in OF_MAPS),
    ],
)
def test_every_score_keeps_the_contract_of_an_evaluator(name: str, space: str, table: Table) -> None:
    evaluator = made_evaluator(f"training_free({name}, batch_size=8)", made_space(space), table)
    check_evaluator(evaluator, made_space(space), proposals=2)


# One for each way of building networks.
@pytest.mark.parametrize(
    "space", {BUILDERS[space]: space for space in BUILT if space not in ("mlp", *SEQUENCES)}.values()
)
def test_every_score_scores_every_space(space: str, table: Table) -> None:
    evaluator = made_evaluator(f"training_free([{', '.join(SCORES)}], batch_size=8)", made_space(space), table)
    check_evaluator(evaluator, made_space(space), proposals=2)
    (found,) = evaluator.evaluate([Proposal(made_space(space).sample(np.random.default_rng(0)))])
    assert found.error is None
    assert set(found.metrics) == set(SCORES)


@pytest.mark.parametrize("name", OF_MAPS)
def test_a_score_of_feature_maps_says_that_perceptrons_have_none(name: str, table: Table) -> None:
    evaluator = made_evaluator(f"training_free({name}, batch_size=8)", made_space("mlp"), table)
    (found,) = evaluator.evaluate([Proposal(made_space("mlp").sample(np.random.default_rng(0)))])
    assert "feature maps" in str(found.error)

"""Every legal pair of parts appears in a search of two trials, written as a user writes it: a covering array.

Of a space, strategies without a supernet see the variables only: with those they are tried in test_parts.py.
"""

from __future__ import annotations

import inspect
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from small_parts import (
    DIFFERENT,
    EVALUATORS,
    FOR_TASK,
    OBJECTIVES,
    OF_RUNGS,
    SEARCHED,
    SHORT,
    SIZES,
    SMALL,
    STRATEGIES,
    VARIANTS,
    WEIGHT_SHARING,
)

from ogive import catalog
from ogive.core.trial import Budget
from ogive.session import Settings, searched
from ogive.spaces.blockqnn import CONVOLUTIONS

# What scores candidates for a strategy where the networks of a space read no images.
SCORERS = {space: text for (evaluator, space), (text, *_) in FOR_TASK.items() if evaluator == "trained"}
# Spaces of which ogive builds no networks: they are searched in their tables only.
TABLES_ONLY = {"accel_nasbench", "nasbench_graph"}
# One space for each way of building networks, and about how much longer a search in it takes than in the fastest.
COSTS = {space: 1.0 for space in DIFFERENT if space in SIZES}
COSTS |= {"darts": 4.0, "nds_darts": 4.0, "rnag_er": 8.0, "nds_resnext": 3.0, "dartopti_from": 8.0, "autogan": 3.0}
FOR_IMAGES = {"training_free", "latency", "together", "cached", "ranked", "screened", "predicted", "memory", "draws"}

Four = tuple[str, str, str, str]  # space, strategy, evaluator, objective


def legal(four: Four) -> bool:
    """Whether the parts can search together at all: one table, one task; a trade-off needs accuracy and latency."""
    space, strategy, evaluator, objective = four
    if evaluator in FOR_IMAGES and "classification" not in catalog.tasks("space", space):
        return False
    shared = space in SEARCHED.get(strategy, COSTS)
    # In the table of these tests every cell is measured once.
    in_rungs = strategy not in OF_RUNGS or evaluator in ("trained", "together", "cached", "screened")
    in_table = evaluator not in ("tabular", "score_table") or space == "nasbench201"
    drawn = evaluator != "draws" or space == "rnag_er"
    measured = objective != "latency_tradeoff" or evaluator in ("together", "cached", "screened")
    measured &= objective != "imitation" or space in CONVOLUTIONS
    inherits = evaluator != "inherited" or space in ("darts", "nasbench201", "autogan")
    return in_table and in_rungs and measured and shared and inherits and drawn


def made_by(strategy: str) -> Any:
    """The class of a strategy, of which some are made by a function."""
    maker = catalog.resolve("strategy", strategy)
    return maker if inspect.isclass(maker) else inspect.signature(maker, eval_str=True).return_annotation


def pairs_of(four: Four) -> set[tuple[str, str]]:
    space, strategy, evaluator, _ = four
    pairs = set(itertools.combinations(four[1:], 2)) | {(space, evaluator)}
    return pairs | ({(space, strategy)} if strategy in WEIGHT_SHARING else set())


def covering() -> list[Four]:
    """Few searches in which every pair appears that appears in any legal one: always that with most new ones a cost."""
    candidates = filter(legal, itertools.product(COSTS, STRATEGIES, EVALUATORS, OBJECTIVES))
    pairs = {four: pairs_of(four) for four in candidates}
    left = set().union(*pairs.values())
    chosen = []
    while left:
        best = max(pairs, key=lambda four: len(pairs[four] & left) / COSTS[four[0]])
        left -= pairs[best]
        chosen.append(best)
    return chosen


def test_every_part_of_the_catalog_takes_part() -> None:
    assert sorted({*SIZES, *TABLES_ONLY}) == catalog.names("space")
    assert sorted(EVALUATORS) == catalog.names("evaluator")
    assert sorted([*STRATEGIES, *VARIANTS]) == catalog.names("strategy")
    assert sorted(OBJECTIVES) == catalog.names("objective")


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    lines = (f"{i % 7},{'ab'[i % 3 > 0]},{'' if i % 5 else i},{'yes' if i % 7 > 3 else 'no'}" for i in range(70))
    path.write_text("\n".join(("number,letter,seldom,answer", *lines)))
    return path


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for part, lines in (("train", 4), ("valid", 3), ("test", 3)):
        (folder / f"{part}.txt").write_text("the cat saw the dog\nthe dog ran\n" * lines)
    return folder


@pytest.mark.parametrize("four", covering(), ids="-".join)
def test_every_pair_of_parts_searches_together(
    four: Four, invented_table: Path, invented_scores: Path, text_folder: Path, rows_file: Path, ogive_home: Path
) -> None:
    space, strategy, evaluator, objective = four
    text, good, bad = FOR_TASK.get((evaluator, space), EVALUATORS[evaluator])
    if space == "mlp":  # most perceptrons have no ReLU
        text, good, bad = (part.replace("naswot", "synflow") for part in (text, good, bad))
    objectives = [OBJECTIVES[objective].format(good=good, bad=bad)]
    if getattr(made_by(strategy), "objectives", None) is None:
        objectives.append(f"maximize({good})")
    channels, cells = SIZES[space]
    count = 4 if evaluator == "predicted" else 2  # two labels, and two predictions
    images = None if evaluator == "tabular" and strategy not in WEIGHT_SHARING else "digits(limit=32)"
    images = "digits(limit=32, size=16)" if space == "autogan" else images
    images = f"csv:{rows_file}(target=answer)" if space == "mlp" else images
    scorer = "tabular" if evaluator == "tabular" else SCORERS.get(space, "training_free(macs)")
    written = STRATEGIES[strategy].format(scorer=scorer, epochs=4)
    trials = searched(
        Settings(
            space=SMALL.get(space, space),
            strategy=written.replace("batch_size=12", SHORT) if space == "darts_rnn" else written,
            evaluator=text.format(scores=invented_scores),
            objectives=tuple(objectives),
            budget=Budget(trials=count),
            data=f"text:{text_folder}" if space == "darts_rnn" else images,
            table=str(invented_table) if evaluator == "tabular" else None,
            channels=channels,
            cells=cells,
            threads=1,
        )
    )[0]
    evaluated = [trial for trial in trials if trial.status != "screened"]
    assert [trial.status for trial in evaluated] == ["ok"] * count
    assert (len(trials) > count) == (evaluator == "screened")
    for trial in evaluated:
        assert trial.scores is not None
        assert len(trial.scores) == len(objectives)
        assert all(map(math.isfinite, trial.scores))
        assert trial.arch.space == space

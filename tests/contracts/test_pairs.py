"""Every legal pair of parts appears in a search of two trials, written as a user writes it: a covering array."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from ogive import catalog
from ogive.core.trial import Budget
from ogive.session import Settings, search_trials
from ogive.spaces.nds import FAMILIES
from ogive.spaces.nds_residual import BLOCKS

# One way to write each evaluator of the catalog, so that a candidate takes a fraction of a second; a metric of it to
# maximise and one to minimise.
TRAINED = "trained(epochs=1, batch_size=16)"
LATENCY = "latency(min_runs=2, min_seconds=0.001, warm_up_s=0.0)"
GENERATIVE = (
    "images=20, statistics_images=20, feature_channels=2, feature_epochs=1, critic_channels=2, steps=1, batch_size=16, "
    "generator_batch=8, critic_steps=1"
)
LANGUAGE = "trained(preset=tiny, epochs=1, batch_size=2, bptt=8)"
BOTH = f"together({TRAINED}, {LATENCY})"
EVALUATORS = {
    "tabular": ("tabular(also=[params])", "val_acc", "params"),
    "trained": (TRAINED, "val_acc", "macs"),
    "training_free": ("training_free([naswot, macs], batch_size=16)", "naswot", "macs"),
    "score_table": ("score_table('{scores}')", "naswot", "params"),
    "inherited": ("inherited(metric=shared_acc, epochs=1, batch_size=16)", "shared_acc", "shared_acc"),
    "inherited_generative": (f"inherited({GENERATIVE}, part_steps=1, split=up1)", "own_fid", "own_fid"),
    "latency": (LATENCY, "latency_ms", "latency_ms"),
    "together": (BOTH, "val_acc", "params"),
    "cached": (f"cached({BOTH})", "val_acc", "latency_ms"),
    "ranked": ("ranked(training_free([naswot, macs], batch_size=16), reference=3)", "mean_rank", "macs"),
    "predicted": ("predicted(trees(trees=5), training_free([macs, params]), sample=2)", *["predicted_macs"] * 2),
    "screened": (f"screened(training_free(naswot, batch_size=16), {BOTH}, keep=1, pool=2)", "val_acc", "params"),
}
# What `trained` takes and measures where the task is another one.
TRAINED_FOR = {"darts_rnn": (LANGUAGE, "macs", "val_ppl"), "autogan": (f"trained({GENERATIVE})", "own_is", "own_fid")}
# One way to write each strategy; a scorer needs images, or what the evaluator of a search without images has.
STRATEGIES = {
    "random": "random",
    "local_search": "local_search",
    "evolution": "evolution",
    "nsga2": "nsga2",
    "reinforce": "reinforce",
    "guided": "guided(trees(trees=5), random, start=2)",
    "naswot": "naswot({scorer}, scored=6)",
    "area": "area({scorer}, population=3, tournament=2, scored=6)",
    "darts": "darts(epochs=4)",
    "ddarts": "ddarts(epochs=4)",
    "spos": "spos(epochs=4, candidates=4, population=2, tournament=2)",
    "enas": "enas(epochs=4, candidates=2, controller_steps=2, controller_samples=2)",
    "few_shot": "few_shot(darts(epochs=1), part_epochs=1)",
    "darts_language": "darts_language(epochs=2, batch_size=2, bptt=8)",
}
# Strategies that train a supernet on images, even where candidates are looked up.
WEIGHT_SHARING = ("darts", "ddarts", "spos", "enas", "few_shot")
OBJECTIVES = {
    "maximize": "maximize({good})",
    "minimize": "minimize({bad})",
    "latency_tradeoff": "latency_tradeoff(target_ms=1)",
}
# What scores candidates for a strategy where the networks of a space read no images.
SCORERS = {space: text for space, (text, *_) in TRAINED_FOR.items()}
# The smallest networks of each space that take images of 8 by 8 pixels, or a text.
SIZES = {
    "nasbench201": (4, 1),
    "nasbench101": (8, 1),
    "natssize": (None, 1),
    "darts_rnn": (4, None),
    "autogan": (2, None),
    **dict.fromkeys(("darts", *FAMILIES), (4, 3)),
    **dict.fromkeys(BLOCKS, (None, None)),
    "ddarts": (2, 2),
    "dartopti": (2, 1),
    "ddarts_dense": (2, 1),
    "dartopti_from": (2, None),
}
# Spaces whose networks have no size but their own: those with small ones only.
SMALL = {
    "nds_resnet": "nds_resnet(widths=[16, 24], depths=[1, 2])",
    "nds_resnext": "nds_resnext(variant=a, max_params=50000)",
    "ddarts": "ddarts(cells=2)",
    "dartopti": "dartopti(cells=1)",
    "ddarts_dense": "ddarts_dense(cells=1)",
}
# Spaces of which ogive builds no networks: they are searched in their tables only.
TABLES_ONLY = {"accel_nasbench", "nasbench_graph"}

Four = tuple[str, str, str, str]  # space, strategy, evaluator, objective


def legal(four: Four) -> bool:
    """Whether the parts can search together at all: one table, one text; a trade-off needs accuracy and latency."""
    space, strategy, evaluator, objective = four
    for_images = {"training_free", "inherited", "latency", "together", "cached", "ranked", "screened", "predicted"}
    if space in TRAINED_FOR and evaluator in for_images:
        return False
    if evaluator == "inherited_generative" and space != "autogan":
        return False
    supernets = dict.fromkeys(WEIGHT_SHARING, ("darts", "nasbench201")) | {
        "ddarts": ("ddarts", "dartopti", "ddarts_dense"),
        "darts_language": ("darts_rnn",),
    }
    shared = space in supernets.get(strategy, SIZES)
    in_table = evaluator not in ("tabular", "score_table") or space == "nasbench201"
    measured = objective != "latency_tradeoff" or evaluator in ("together", "cached", "screened")
    inherits = evaluator != "inherited" or space in ("darts", "nasbench201")
    return in_table and measured and shared and inherits


def pairs_of(four: Four) -> set[tuple[int, str, int, str]]:
    return {(i, four[i], j, four[j]) for i, j in itertools.combinations(range(4), 2)}


def covering() -> list[Four]:
    """Few searches in which every pair appears that appears in any legal one: always the one with most new pairs."""
    kinds = (SIZES, STRATEGIES, EVALUATORS, OBJECTIVES)
    candidates = [four for four in itertools.product(*kinds) if legal(four)]
    left = set().union(*map(pairs_of, candidates))
    chosen = []
    while left:
        best = max(candidates, key=lambda four: len(pairs_of(four) & left))
        left -= pairs_of(best)
        chosen.append(best)
    return chosen


def test_every_part_of_the_catalog_takes_part() -> None:
    assert sorted({*SIZES, *TABLES_ONLY}) == catalog.names("space")
    assert sorted(EVALUATORS) == catalog.names("evaluator")
    assert sorted(STRATEGIES) == catalog.names("strategy")
    assert sorted(OBJECTIVES) == catalog.names("objective")


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for part, lines in (("train", 4), ("valid", 3), ("test", 3)):
        (folder / f"{part}.txt").write_text("the cat saw the dog\nthe dog ran\n" * lines)
    return folder


@pytest.mark.parametrize("four", covering(), ids="-".join)
def test_every_pair_of_parts_searches_together(
    four: Four, invented_table: Path, invented_scores: Path, text_folder: Path, ogive_home: Path
) -> None:
    space, strategy, evaluator, objective = four
    text, good, bad = TRAINED_FOR.get(space, EVALUATORS[evaluator]) if evaluator == "trained" else EVALUATORS[evaluator]
    objectives = [OBJECTIVES[objective].format(good=good, bad=bad)]
    if getattr(catalog.resolve("strategy", strategy), "objectives", None) is None:
        objectives.append(f"maximize({good})")
    channels, cells = SIZES[space]
    count = 4 if evaluator == "predicted" else 2  # two labels, and two predictions
    images = None if evaluator == "tabular" and strategy not in WEIGHT_SHARING else "digits(limit=32)"
    images = "digits(limit=32, size=16)" if space == "autogan" else images
    trials = search_trials(
        Settings(
            space=SMALL.get(space, space),
            strategy=STRATEGIES[strategy].format(
                scorer="tabular" if evaluator == "tabular" else SCORERS.get(space, "training_free(macs)")
            ),
            evaluator=text.format(scores=invented_scores),
            objectives=tuple(objectives),
            budget=Budget(trials=count),
            data=f"text:{text_folder}" if space == "darts_rnn" else images,
            table=str(invented_table) if evaluator == "tabular" else None,
            channels=channels,
            cells=cells,
            threads=1,
        )
    )
    evaluated = [trial for trial in trials if trial.status != "screened"]
    assert [trial.status for trial in evaluated] == ["ok"] * count
    assert (len(trials) > count) == (evaluator == "screened")
    for trial in evaluated:
        assert trial.scores is not None
        assert len(trial.scores) == len(objectives)
        assert all(map(math.isfinite, trial.scores))
        assert trial.arch.space == space

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ogive.comparison import compare
from ogive.core.trial import Budget, Trial
from ogive.reporting.evidence import (
    compare_command,
    comparisons,
    differing_settings,
    full_evaluator,
    random_command,
    screens,
    search_command,
)
from ogive.reporting.facts import facts_of
from ogive.reporting.member import Member, member_of
from ogive.reporting.page import page
from ogive.runs import Run, read_run
from ogive.session import Settings

DEAR = "together(trained(epochs=6, threads=1), latency)"
SCREENED = f"screened(training_free, {DEAR}, keep=2, pool=12)"


@pytest.fixture
def sides(make: Callable[..., Run]) -> Callable[..., list[Member]]:
    """Runs of these pairs of a strategy and an evaluator."""
    return lambda *pairs: [
        member_of(make(str(rank), [], strategy=strategy, evaluator=text)) for rank, (strategy, text) in enumerate(pairs)
    ]


def test_a_screen_in_front_of_the_same_evaluator_belongs_to_the_strategy(sides: Callable[..., list[Member]]) -> None:
    runs = sides(("evolution", SCREENED), ("random", DEAR))
    assert differing_settings(runs) == []
    assert screens(runs) == {"evolution": "training_free (keep=2, pool=12)", "random": ""}
    assert [full_evaluator(one) for one in runs] == [DEAR, DEAR]


@pytest.mark.parametrize("text", ["together(trained(epochs=7, threads=1), latency)", "tabular", "?!", None])
def test_evaluators_that_really_differ_are_told(sides: Callable[..., list[Member]], text: str | None) -> None:
    runs = sides(("evolution", SCREENED), ("random", text))
    assert differing_settings(runs) == ["evaluator"]
    assert screens(runs) == {}


def test_runs_of_one_strategy_with_and_without_a_screen_are_no_repetitions(
    sides: Callable[..., list[Member]],
) -> None:
    runs = sides(("random", SCREENED), ("random", DEAR))
    assert differing_settings(runs) == ["evaluator"]
    assert screens(runs) == {}


def test_how_a_screen_is_written_does_not_matter(sides: Callable[..., list[Member]]) -> None:
    runs = sides(("evolution", SCREENED), ("random", f"screened(cheap=training_free,pool=12,keep=2,expensive={DEAR})"))
    assert differing_settings(runs) == []


def test_what_a_screen_measures_of_every_candidate_belongs_to_the_evaluator(
    sides: Callable[..., list[Member]],
) -> None:
    screened = "screened(together(training_free, latency), trained(epochs=6, threads=1), keep=2, pool=12)"
    runs = sides(("evolution", screened), ("random", DEAR))
    assert differing_settings(runs) == []
    assert [full_evaluator(one) for one in runs] == [DEAR, DEAR]


def test_what_only_the_screen_measures_is_another_question(sides: Callable[..., list[Member]]) -> None:
    screened = "screened(together(training_free, latency), trained(epochs=6, threads=1), keep=2, pool=12)"
    runs = sides(("evolution", screened), ("random", "trained(epochs=6, threads=1)"))
    assert differing_settings(runs) == ["evaluator"]


Make = Callable[..., Run]
Of = Callable[..., Trial]
COMPARED = {"command": None, "role": "compare"}


def test_a_random_search_alone_is_compared_with_another_strategy(make: Make, trial: Of) -> None:
    run = make("own", [trial(0, {"val_acc": 1.0}, (1.0,))], strategy="random")
    text = page([run])
    assert "ogive compare random evolution --space nasbench201" in text
    assert "random random" not in text
    assert "This compares it with evolution over 5 seeds" in text


def test_random_search_with_several_objectives_is_compared_with_what_takes_them(make: Make, trial: Of) -> None:
    both = ["maximize(val_acc)", "minimize(params)"]
    run = make("own", [trial(0, {"val_acc": 1.0, "params": 2.0}, (1.0, -2.0))], strategy="random", objectives=both)
    assert "ogive compare random nsga2 --space" in page([run])


def test_all_strategies_of_a_page_are_compared_over_more_seeds(make: Make, trial: Of) -> None:
    runs = [
        make(name, [trial(0, {"val_acc": 1.0}, (1.0,))], strategy=name)
        for name in ("local_search", "evolution", "random")
    ]
    assert "ogive compare random local_search evolution --space" in page(runs)


def test_a_comparison_is_not_said_to_be_started_from_python_and_gets_its_command(
    tmp_path: Path, invented_table: Path
) -> None:
    settings = Settings(
        space="nasbench201",
        table=str(invented_table),
        objectives=("maximize(val_acc)",),
        budget=Budget(trials=2),
        seed=3,
    )
    compare(["random", "local_search"], settings, seeds=2, folder=tmp_path / "both")
    runs = [read_run(path.parent) for path in sorted(tmp_path.glob("both/*/run.json"))]
    text = page(runs)
    assert "started from Python" not in text
    (command,) = comparisons(facts_of(runs).runs)
    assert command == (
        "ogive compare local_search random --space nasbench201 --evaluator tabular --objective 'maximize(val_acc)' "
        f"--table {invented_table} --budget 2 --seeds 2 --seed 3 --out {tmp_path / 'both'}"
    )
    assert command.replace("'", "&#x27;") in text


def test_a_larger_budget_that_a_resume_was_given_is_the_one_that_others_are_compared_under(
    make: Make, trial: Of
) -> None:
    run = make("own", [trial(number, {"val_acc": 1.0}, (1.0,)) for number in range(4)], budget={"trials": 2})
    run.artifacts.mkdir(parents=True, exist_ok=True)
    (run.artifacts / "budget.json").write_text('{"trials": 4}', encoding="utf-8")
    text = page([run])
    assert f"ogive resume {run.folder} --budget 4" in text
    assert len(re.findall(r"ogive (?:search|compare) [^<]*--budget 4", text)) >= 2
    assert not re.search(r"ogive compare [^<]*--budget 2\b", text)


def test_searches_of_different_comparisons_have_a_command_each(make: Make, trial: Of) -> None:
    runs = [
        make(
            name,
            [trial(0, {"val_acc": 1.0}, (1.0,))],
            strategy=strategy,
            seed=seed,
            budget={"trials": budget},
            **COMPARED,
        )
        for name, strategy, seed, budget in (("a", "random", 0, 9), ("b", "spos", 0, 9), ("c", "random", 0, 8))
    ]
    commands = comparisons(facts_of(runs).runs)
    assert [re.search(r"--budget (\d)", command)[1] for command in commands] == ["9", "8"]  # type: ignore[index]
    assert commands[1].startswith("ogive compare random evolution ")


def test_a_search_from_python_is_no_part_of_a_comparison(make: Make, trial: Of) -> None:
    run = make("own", [trial(0, {"val_acc": 1.0}, (1.0,))], command=None)
    assert comparisons(facts_of([run]).runs) == []
    assert "started from Python" in page([run])


@pytest.mark.parametrize("kept", [True, False])
def test_generators_are_trained_like_others_and_their_samples_are_named(make: Make, trial: Of, kept: bool) -> None:
    from ogive.core.architecture import Architecture

    arch = Architecture("autogan", (0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 1, 0))
    run = make(
        "own",
        [trial(0, {"own_fid": 0.5, "params": 3033.0}, (-0.5,), arch=arch)],
        space="autogan",
        strategy="random",
        evaluator="trained(steps=4)",
        objectives=["minimize(own_fid)"],
    )
    samples = run.artifacts / "unfinished" / "samples"
    if kept:
        samples.mkdir(parents=True)
    text = page([run])
    assert text.count(f"ogive train {run.folder}") == 2
    assert f"ogive export {run.folder}" in text
    assert (str(samples) in text) == kept


def test_classifiers_are_still_to_be_trained(make: Make, trial: Of) -> None:
    run = make("own", [trial(0, {"val_acc": 1.0}, (1.0,))])
    assert page([run]).count(f"ogive train {run.folder}") == 2


# -- how commands are written -----------------------------------------------------------------------------------------

CONFIG = {
    "space": "nasbench201",
    "strategy": "evolution(population=6)",
    "evaluator": "tabular",
    "objectives": ["maximize(val_acc)"],
    "table": "nasbench201",
    "budget": {"trials": 200, "wall_s": None, "benchmark_s": None},
    "seed": 3,
    "workers": 2,
    "skeleton": {"channels": None, "cells": None},
}


def test_the_command_of_the_missing_random_search_keeps_all_but_the_strategy() -> None:
    assert random_command(CONFIG) == (
        "ogive search --space nasbench201 --strategy random --evaluator tabular --objective 'maximize(val_acc)' "
        "--table nasbench201 --workers 2 --budget 200 --seed 3"
    )


def test_commands_name_the_weights_of_a_search_and_spell_those_of_version_0_1_as_now() -> None:
    weights = {**CONFIG, "evaluator": "inherited", "weights": "supernet(epochs=2)"}
    assert "--evaluator inherited " in search_command(weights)
    assert " --weights 'supernet(epochs=2)' " in search_command(weights)
    before = {**CONFIG, "evaluator": "inherited(split=0)", "strategy": "naswot(inherited)"}
    assert "--evaluator 'inherited(parts(split=0))'" in search_command(before)
    assert "--strategy 'naswot(inherited(supernet))'" in search_command(before)


def test_commands_keep_what_is_preferred() -> None:
    limited = {**CONFIG, "prefer": ["params<=5", "latency_ms<3"]}
    assert "--prefer 'params<=5' --prefer 'latency_ms<3' --table" in search_command(limited)
    assert "--prefer 'params<=5' --prefer 'latency_ms<3' --table" in compare_command(limited, 5)


def test_the_command_of_a_search_in_processes_names_what_decides_its_trials() -> None:
    assert search_command({**CONFIG, "in_flight": 8}).endswith("--workers 2 --budget 200 --in-flight 8 --seed 3")
    assert "--in-flight" not in compare_command({**CONFIG, "in_flight": 8}, 5)


def test_the_command_that_compares_asks_for_more_seeds() -> None:
    command = compare_command(CONFIG, 5)
    assert command.startswith("ogive compare random 'evolution(population=6)' --space nasbench201 ")
    assert command.endswith(" --budget 200 --seeds 5")


def test_a_budget_in_units_is_written_as_it_is_read() -> None:
    units = {"trials": None, "wall_s": None, "benchmark_s": 10.0, "units": 600, "unit": "epochs"}
    assert compare_command({**CONFIG, "budget": units}, 5).endswith(" --budget 'benchmark=10,600 epochs' --seeds 5")


def test_a_random_search_is_never_compared_with_itself() -> None:
    for strategy in ("random", "random(without_replacement=true)"):
        command = compare_command({**CONFIG, "strategy": strategy}, 5)
        assert re.match(r"ogive compare random (\S+ )?evolution --space", command)
    both = {**CONFIG, "strategy": "random", "objectives": ["maximize(val_acc)", "minimize(params)"]}
    assert compare_command(both, 5).startswith("ogive compare random nsga2 --space")


def test_a_comparison_of_named_strategies_may_end_with_more_words() -> None:
    command = compare_command(CONFIG, 2, strategies=["random", "spos"], more=["--out", "a folder"])
    assert command.startswith("ogive compare random spos --space ")
    assert command.endswith("--seeds 2 --out 'a folder'")


def test_damaged_settings_do_not_break_a_command() -> None:
    assert "--space" in random_command({"skeleton": "?", "budget": [1], "objectives": None})

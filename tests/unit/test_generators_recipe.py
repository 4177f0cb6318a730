"""Generators that searches find beside random and randomly wired ones: what is told of their networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive import catalog
from ogive.core.errors import SpecError
from ogive.core.trial import Budget
from ogive.experiments.generators import RANDOM, WIRED, Size, _fitting, told
from ogive.reproduce import experiments, reproduce
from ogive.reproduce.recipe import experiment_of
from ogive.session import Settings

GROUPS = ("bohb", "random", RANDOM, WIRED)


def networks(level: float, rng: np.random.Generator, agreeing: bool) -> list[dict[str, Any]]:
    found = []
    for accuracy in rng.normal(level, 2.0, 8).tolist():
        lower = {"1": accuracy - 20 if agreeing else -accuracy, "2": accuracy - 10}
        found.append({
            "arch": "", "val_acc": accuracy, "memory_mb": 0.5, "params": 20_000, "macs": 1e6, "seconds": 3.0,
            "lower": lower,
        })  # fmt: skip
    return found


def rows(levels: dict[str, float], seeds: int, *, agreeing: bool = True) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "seed": seed,
            "generators": {name: networks(level, rng, agreeing) for name, level in levels.items()},
            "trials": {"bohb": 12, "random": 10},
        }
        for seed in range(seeds)
    ]


def test_found_generators_are_told_beside_others_with_the_spread_of_their_draws() -> None:
    beside = {"epochs": 40, "fidelities": [1, 2]}
    levels = dict(zip(GROUPS, (80.0, 75.0, 70.0, 60.0), strict=True))
    made = rows(levels, 5)
    result = told(made, beside)
    own = [np.mean([one["val_acc"] for one in seed["generators"]["bohb"]]) for seed in made]
    assert result.ours == pytest.approx(own)
    assert list(result.baselines) == ["random", RANDOM, WIRED]
    apart = np.mean([np.std([one["val_acc"] for one in seed["generators"]["bohb"]], ddof=1) for seed in made])
    (line,) = (one for one in result.markdown if one.startswith("| bohb |"))
    assert f"| {apart:.2f} |" in line
    assert line.split(" | ")[1] == "12"
    (wired,) = (one for one in result.markdown if one.startswith(f"| {WIRED} |"))
    assert wired.split(" | ")[1] == "–"
    rivals = [np.mean([one["val_acc"] for one in seed["generators"][WIRED]]) for seed in made]
    assert any(
        one.startswith(f"* bohb minus {WIRED}: {np.mean(own) - np.mean(rivals):.2f} [") for one in result.markdown
    )
    assert f"* Spearman's ρ of 1 epochs and whole trainings, 40 {RANDOM}: 1.000" in result.markdown
    turned = told(rows(levels, 5, agreeing=False), beside)
    assert f"* Spearman's ρ of 1 epochs and whole trainings, 40 {RANDOM}: -1.000" in turned.markdown


def test_a_deviation_takes_two_draws() -> None:
    given: dict[str, Any] = {"data": "digits", "parameters": 1, "strategies": {"random": "random"}, "epochs": 1}
    with pytest.raises(SpecError, match="2 draws"):
        Size(**given, training="trained", fidelities=(1,), draws=1, seeds=1)


@pytest.mark.parametrize("name", ["sport8", "mit67", "flowers102", "imagenet"])
def test_without_its_images_a_recipe_says_in_one_line_where_they_belong(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = reproduce(f"generators-{name}", preset="paper", out=tmp_path / "out")
    assert row["status"] == "data missing"
    assert "\n" not in row["because"]
    assert f"Put images into {name}/train/CLASS" in row["because"]
    assert (row["settings"]["data"], row["ours"]) == (f"images:{name}(size=224)", None)


def test_all_data_sets_of_the_paper_have_a_recipe() -> None:
    names = {one.name for one in experiments() if one.comparison == "generators"}
    sets = ("digits", "fashion-mnist", "cifar10", "cifar100", "sport8", "mit67", "flowers102", "imagenet")
    assert names == {f"generators-{one}" for one in sets}


def test_networks_beyond_the_budget_are_passed_over_and_too_small_a_budget_is_told() -> None:
    settings = Settings(
        space="hnag(parameters=5000)", strategy="random", data="digits(limit=30)", budget=Budget(trials=1), threads=1
    )
    space, rng = catalog.build("space", settings.space), np.random.default_rng(0)
    fits = space.parse("parameters=5000 N_t=3 K_t=2 P_t=0.5 N_m=1 P_m=0.6 N_b=3 K_b=2 P_b=0.5 draw=7")
    large = space.parse("parameters=5000 N_t=10 K_t=3 P_t=0.5 N_m=10 P_m=0.6 N_b=10 K_b=2 P_b=0.5 draw=7")
    assert _fitting(settings, iter([large, fits, large, fits]), 2) == [fits, fits]
    with pytest.raises(SpecError, match="give it more parameters"):
        _fitting(settings, iter([large, fits]), 2)
    assert len({*(one for one in _fitting(settings, (space.sample(rng) for _ in range(40)), 2))}) == 2


@pytest.mark.slow
def test_fresh_networks_of_found_generators_are_trained(tmp_path: Path) -> None:
    """Networks of generators have some hundred layers, which take a second each to be made and trained."""
    size = {"data": "digits(limit=30)", "parameters": 5000, "epochs": 3, "fidelities": [1], "draws": 2, "seeds": 1}
    size["training"] = "together(trained(epochs=3, batch_size=16), memory)"
    text = 'title = ""\nunit = "%"\nsource = ""\nsource_checked = "code"\ncomparison = "generators"\n\n[presets.tiny]\n'
    text += "\n".join(f"{key} = {json.dumps(value)}" for key, value in size.items())
    text += '\nstrategies = { bohb = "bohb", random = "random" }\n'
    chosen = experiment_of("invented", text)
    row = reproduce(chosen, preset="tiny", out=tmp_path)
    (seed,) = row["seeds"]
    assert list(seed["generators"]) == list(GROUPS)
    # Both searches may find one generator, but draws of one are different networks.
    assert all(len({one["arch"] for one in group}) == len(group) == 2 for group in seed["generators"].values())
    assert all(one["memory_mb"] > 0 and 0 <= one["val_acc"] <= 100 for g in seed["generators"].values() for one in g)
    assert [list(one["lower"]) for one in seed["generators"][RANDOM]] == [["1"]] * 2
    assert seed["trials"]["bohb"] > seed["trials"]["random"] == 1
    assert reproduce(chosen, preset="tiny", out=tmp_path) == row

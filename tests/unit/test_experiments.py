"""Comparisons of searches that share weights as rows: on a few images, a few words and an invented table."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.experiments.beginnings import few_of_each
from ogive.hypernets.files import SHIPPED
from ogive.reproduce import Experiment, experiments, reproduce
from ogive.reproduce.experiments import judged_experiment
from ogive.reproduce.recipe import experiment_of
from ogive.runs import read_run
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, Table, write_table
from ogive.training.data import load as load_data

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = """
title = "A small comparison"
unit = "%"
source = "nobody, table 0"
source_checked = "table"
comparison = "{comparison}"
{target}

[presets.{preset}]
{size}
"""


def made(comparison: str, size: dict[str, Any], *, preset: str = "tiny", **target: Any) -> Experiment:
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in size.items())
    told = "\n".join(f"{key} = {json.dumps(value)}" for key, value in target.items())
    return experiment_of("invented", TEXT.format(comparison=comparison, preset=preset, target=told, size=lines))


def twice(chosen: Experiment, out: Path, **given: Any) -> dict[str, Any]:
    """A row, which the same call writes again without repeating anything."""
    first = reproduce(chosen, preset="tiny", out=out, **given)
    assert json.loads((out / "invented-tiny.json").read_text()) == first
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("trials.jsonl")}
    assert reproduce(chosen, preset="tiny", out=out, **given) == first
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert first["seconds"] > 0
    return first


@pytest.fixture
def table(tmp_path: Path) -> Table:
    rng = np.random.default_rng(0)
    names = ("c10v_val_200", "c100_val_200", "in16_val_200", "c10_test_200", "c100_test_200_nats", "in16_test_200_nats")
    columns = {name: (Column("%", "invented", "float64"), rng.uniform(10, 90, 5**6)) for name in (*names, "params")}
    about = {"source": "invented", "licence": "none", "importer": "tests", "metric": "c10v_val_200"}
    about["report"] = "c10_test_200"
    return write_table(tmp_path / "toy", columns, name="toy", space="nasbench201", key=MixedRadix((5,) * 6), **about)


@pytest.mark.parametrize("chosen", experiments(), ids=lambda one: one.name)
def test_every_comparison_of_the_package_has_sizes_that_it_takes(chosen: Experiment) -> None:
    made_of = catalog.load(f"ogive.experiments.{chosen.comparison}:Size")
    sizes = [made_of(**chosen.size(preset)) for preset in chosen.presets]
    assert {"tiny", "small"} <= set(chosen.presets)
    assert [size.seeds for size in sizes] == sorted(size.seeds for size in sizes)
    with pytest.raises(UnknownName, match=r"Known: (paper, )?small, tiny"):
        chosen.size("large")


def test_few_shot_estimates_are_ranked_beside_the_parameters(table: Table, tmp_path: Path) -> None:
    size = {
        "data": "digits(limit=48)",
        "channels": 2,
        "cells": 1,
        "epochs": 1,
        "part_epochs": 1,
        "archs": 8,
        "seeds": 1,
    }
    size |= {"statistics_images": 24, "training": ", batch_size=24", "reference": 2, "resamples": 20}
    size["table"] = str(table.folder)
    row = twice(made("few_shot", size), tmp_path / "out")
    (seed,) = row["seeds"]
    assert len(seed["rows"]) == 3 * 8
    assert (
        {line["proxy"] for line in seed["rows"]} == {*seed["training_s"], "params"} == {"few-shot", *row["baselines"]}
    )
    assert all(10 <= line["best"] <= 90 for line in seed["rows"])
    assert row["ours"] == next(line["tau"] for line in seed["rows"] if line["proxy"] == "few-shot")
    # The parent of the parts is the one-shot supernet: one folder for it, one for the control, five for the parts.
    supernets = tmp_path / "out" / "runs" / "invented-tiny" / "seed-0" / "supernets"
    assert len(list(supernets.iterdir())) == 7
    assert seed["training_s"]["few-shot"] == seed["training_s"]["few-shot, calibrated"] > seed["training_s"]["one-shot"]
    assert any(line.startswith("* few-shot minus params: ") for line in row["markdown"])


def test_predicted_weights_are_ranked_beside_the_parameters(table: Table, tmp_path: Path) -> None:
    size = {"data": "digits(limit=60)", "channels": 4, "cells": 1, "archs": 8, "resamples": 20}
    size |= {"validation_images": 20, "statistics_images": 20, "table": str(table.folder)}
    row = twice(made("predicted_weights", {**size, "seeds": 1}), tmp_path / "out")
    (seed,) = row["seeds"]
    assert seed["hypernetwork"] == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    names = ["predicted weights, by batch", "predicted weights", "params"]
    assert [line["proxy"] for line in seed["rows"]] == names * 3
    assert row["baselines"].keys() == set(names[1:])
    run = read_run(tmp_path / "out" / "runs" / "invented-tiny" / "seed-0" / "0")
    reached = {trial.arch: trial.metrics["shared_acc"] for trial in run.trials}
    truth = {arch: table.value(arch, "c10v_val_200") for arch in reached}
    expected = kendalltau(list(reached.values()), list(truth.values())).statistic
    assert row["ours"] == pytest.approx(expected)
    assert seed["rows"][0]["best"] == truth[max(reached, key=reached.__getitem__)]
    assert any(line.startswith("* predicted weights, by batch minus params: ") for line in row["markdown"])
    assert any("predicted weights, by batch | " in line and "[" in line for line in row["markdown"])


def test_predicted_parameters_begin_a_training_beside_he(tmp_path: Path) -> None:
    size = {"data": "digits(limit=400)", "networks": 1, "channels": 4, "per_class": 4, "epochs": 1, "seeds": 2}
    row = twice(made("beginnings", {**size, "images": 40, "batch_size": 40}), tmp_path / "out")
    for seed in row["seeds"]:
        assert seed["test_acc"].keys() == {"He", "predicted", "predicted, orthogonal"}
        assert all(len(values) == 1 and 0 <= values[0] <= 100 for values in seed["test_acc"].values())
    assert row["ours"] == np.mean([seed["test_acc"]["predicted"][0] for seed in row["seeds"]])
    assert any(line.startswith("* predicted, orthogonal minus He: ") for line in row["markdown"])
    kept = sorted((tmp_path / "out" / "runs" / "invented-tiny").rglob("*.json"))
    assert len(kept) == 6
    kept[0].write_text(json.dumps({"test_acc": 7.0, "macs": 1.0, "seconds": 1.0}))  # what is there is not made again
    assert reproduce(made("beginnings", {**size, "images": 40, "batch_size": 40}), preset="tiny", out=tmp_path / "out")[
        "seeds"
    ][0]["test_acc"]["He"] == [7.0]


def test_few_images_are_as_many_of_each_class() -> None:
    train = load_data("digits", limit=400).train
    few = few_of_each(train, 5, Seed(0))
    assert few.labels.bincount().tolist() == [5] * 10
    assert not torch.equal(few.images, few_of_each(train, 5, Seed(1)).images)
    with pytest.raises(SpecError, match="but 400 of each are to be drawn"):
        few_of_each(train, 400, Seed(0))


def test_gradient_searches_are_compared_by_what_they_derive_last(table: Table, tmp_path: Path) -> None:
    size = {"data": "digits(limit=48)", "channels": 4, "cells": 1, "epochs": 2, "part_epochs": 1, "seeds": 2}
    row = twice(made("gradient", {**size, "table": str(table.folder)}), tmp_path / "out")
    assert row["status"] == "measured"
    names = {"DARTS, first order", "DARTS, second order", "GDAS", "PC-DARTS", "few-shot DARTS"}
    for number, seed in enumerate(row["seeds"]):
        assert names | {"DARTS, first order, as many steps"} == seed["methods"].keys()
        # Two epochs of the whole, and one of each of five parts.
        assert seed["methods"]["few-shot DARTS"]["epochs"] == 2 + 5
        for name, found in seed["methods"].items():
            slug = name.replace(",", "").replace(" ", "-").lower()
            place = tmp_path / "out" / "runs" / "invented-tiny" / f"seed-{number}" / slug
            last = json.loads((place / "trials.jsonl").read_text().splitlines()[-1])["arch"]
            assert found["arch"] == last
            assert found["c10_test_200"] == table.value(Architecture.parse(last), "c10_test_200")
    ours = [seed["methods"]["DARTS, first order"]["c10_test_200"] for seed in row["seeds"]]
    assert row["ours"] == pytest.approx(np.mean(ours))
    half = 12.706205 * abs(ours[0] - ours[1]) / 2  # Student's t at 0.975 with one degree of freedom
    assert row["interval"] == pytest.approx([row["ours"] - half, row["ours"] + half])
    assert row["baselines"]["a random cell"] == pytest.approx(table.column("c10_test_200").mean())
    spent = sum(found["seconds"] for seed in row["seeds"] for found in seed["methods"].values())
    assert row["seconds"] == pytest.approx(spent, abs=0.1)


@pytest.mark.parametrize("space", ["darts", "darts_rnn"])
def test_a_derived_cell_is_trained_beside_the_published_and_random_ones(space: str, tmp_path: Path) -> None:
    words = " ".join(["one", "two", "three", "two", "one"] * 8) + "\n"
    (tmp_path / "text").mkdir()
    for part in ("train", "valid", "test"):
        (tmp_path / "text" / f"{part}.txt").write_text(words * 8)
    images = {"data": "digits(limit=48)", "channels": 2, "cells": 3, "search": "darts(epochs=1)"}
    text = {"data": f"text:{tmp_path / 'text'}", "channels": 8, "search": "darts(epochs=1, batch_size=4, bptt=8)"}
    training = {"darts": "trained(epochs=1)", "darts_rnn": "trained(preset=tiny, epochs=1)"}[space]
    size = {**(images if space == "darts" else text), "space": space, "training": training, "seeds": 1}
    row = twice(made("micro_search", size), tmp_path / "out")
    cells, metric = row["seeds"][0]["cells"], "val_acc" if space == "darts" else "test_ppl"
    assert set(cells) == {"derived", "darts_v1", "darts_v2", "random 0", "random 1"}
    assert all(found[metric] > 0 for found in cells.values())
    assert (row["ours"], row["interval"]) == (cells["derived"][metric], None)
    assert row["baselines"]["random"] == pytest.approx((cells["random 0"][metric] + cells["random 1"][metric]) / 2)


def test_nested_cells_are_trained_at_every_depth_beside_darts_and_chance(tmp_path: Path) -> None:
    size = {"data": "digits(limit=32)", "channels": 2, "cells": 5, "nested": "ddarts(epochs=1)"}
    size |= {"shared": "darts(epochs=1)", "training": "trained(epochs=1)", "layers": [5, 6], "seeds": 3}
    row = twice(made("nested_cells", size), tmp_path / "out", seeds=1)
    assert (row["n_seeds"], row["command"]) == (1, "ogive reproduce invented --preset tiny --seeds 1")
    methods = row["seeds"][0]["methods"]
    assert set(methods) == {"D-DARTS", "DARTS", "random"}
    for method, found in methods.items():
        assert (found["search_s"] > 0) == (method != "random")
        assert {trained["arch"] for trained in found["layers"].values()} == {found["arch"]}
        assert found["layers"]["6"]["params"] > found["layers"]["5"]["params"]
    assert row["ours"] == methods["D-DARTS"]["layers"]["5"]["val_acc"]
    assert any(f"| D-DARTS | 6 | {methods['D-DARTS']['layers']['6']['val_acc']:.2f} |" in it for it in row["markdown"])


def test_forms_of_the_ablation_loss_are_compared_also_after_an_interruption(tmp_path: Path) -> None:
    size = {"data": "digits(limit=32)", "channels": 2, "cells": 1, "training": "trained(epochs=1)", "seeds": 1}
    size["search"] = "epochs=1, batch_size=16, alpha_learning_rate=0.1"
    chosen = made("ablation_forms", size)
    row = reproduce(chosen, preset="tiny", out=tmp_path)
    forms = row["seeds"][0]["forms"]
    assert list(forms) == ["none", "literal", "weighted", "differentiable"]
    assert forms["none"]["added_after"] == forms["literal"]["added_after"] == 0.0
    assert forms["none"]["arch"] == forms["literal"]["arch"]
    assert forms["none"]["supernet_val_acc"] == forms["literal"]["supernet_val_acc"]
    (tmp_path / "runs" / "invented-tiny" / "seed-0" / "weighted.json").unlink()
    assert reproduce(chosen, preset="tiny", out=tmp_path) == row


def test_only_the_published_size_can_hold_and_a_cheap_baseline_that_is_as_good_speaks_against_it() -> None:
    committed = Path(__file__).resolve().parents[2] / "reproductions" / "gradient-small.json"
    row, target = json.loads(committed.read_text()), {"published": 90.0, "error": 1.0, "margin": 3.0}
    assert row["ours"] == pytest.approx(90.387, abs=1e-3)
    for preset, changes, status, told in (
        ("small", {}, "differs", "as near as it is, it is of another experiment; the preset small is smaller than"),
        ("small", {"margin": 0.3}, "differs", "ours is +0.387 away, more than 0.300; the preset small is smaller than"),
        ("paper", {}, "holds", None),
        ("paper", {"cheap": ["a random cell"]}, "differs", "within 3.000 is a random cell (87.063) too"),
        ("paper", {"margin": 0.3}, "differs", "ours is +0.387 away, more than 0.300"),
        ("paper", {"published": 100.0, "margin": 10.0}, "differs", "does not meet the published 100.000 ± 1.000"),
    ):
        found = judged_experiment({**row, "preset": preset}, made("gradient", {"seeds": 1}, **{**target, **changes}))
        assert found["status"] == status
        assert found["because"] is None if told is None else told in found["because"]


def test_a_missing_table_is_a_row_that_says_so(tmp_path: Path) -> None:
    size = {"data": "digits(limit=24)", "channels": 4, "cells": 1, "epochs": 1, "part_epochs": 1, "seeds": 2}
    row = reproduce(made("gradient", {**size, "table": "no_such_table"}), preset="tiny", out=tmp_path)
    assert (row["status"], row["ours"]) == ("data missing", None)


@pytest.mark.parametrize(
    ("target", "error", "reason"),
    [
        ({"published": 3.0}, SpecError, "needs published, error and margin"),
        ({"publishd": 3.0}, UnknownName, "Did you mean 'published'"),
    ],
    ids=["half a target", "typo"],
)
def test_comparisons_that_make_no_sense_are_refused(target: dict[str, float], error: Any, reason: str) -> None:
    with pytest.raises(error, match=reason):
        made("gradient", {"seeds": 1}, **target)


def test_seeds_and_a_device_are_for_these_alone(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="leave seeds and device out"):
        reproduce("nasbench201-random", preset="tiny", out=tmp_path, seeds=3)
    with pytest.raises(SpecError, match="at least one seed, but got seeds=0"):
        reproduce("gradient", preset="tiny", out=tmp_path, seeds=0)

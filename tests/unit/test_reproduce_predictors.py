from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.metrics import kendall_tau
from ogive.reproduce import describe, learned, reproduce
from ogive.reproduce.cells import world_of
from ogive.reproduce.predictor_recipe import Learned, learned_of
from ogive.reproduce.predictors import judged_learned, quality, split
from ogive.spaces.nasbench201 import OPS, nasbench201
from ogive.tables.importers import import_table
from ogive.tables.store import Table

SPACE = nasbench201()

TEXT = """
title = "Trees on an invented table"
source = "nobody, figure 0"
source_checked = "figure"
table = "nasbench201"
columns = ["c10_test_200", "c10v_val_200"]
labels = {{ c10_test_200 = "c10v_val_200" }}
sizes = [30, 60]
seeds = 2
seeds_of = {{ ranks = 1 }}
sizes_of = {{ ranks = [60] }}
cheap = ["params", "live params"]

[predictors]
trees = "trees(trees=5)"
ranks = "ranks(trees(trees=5))"

[[published]]
predictor = "trees"
size = 60
tau = {tau}
margin = 0.05

[[beside]]
who = "somebody"
size = 60
tau = 0.5
source = "a talk"
source_checked = "memory"
"""


def made(tau: float = 0.5, **changes: str) -> Learned:
    text = TEXT.format(tau=tau)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return learned_of("invented", text)


def cells(out: Path) -> list[dict[str, Any]]:
    path = out / "runs" / "invented" / "cells.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- the protocol -----------------------------------------------------------------------------------------------------


def test_splits_are_those_of_the_published_protocol() -> None:
    told, others = split(15_625, 5, 0)
    assert told.tolist() == [11759, 10533, 8177, 7648, 14936]
    assert sorted([*told, *others]) == list(range(15_625))
    assert split(15_625, 78, 3)[0][:16].tolist() == split(15_625, 16, 3)[0].tolist()
    with pytest.raises(SpecError, match="some are told and some are ranked, but got a size of 5"):
        split(5, 5, 0)


def test_architectures_stand_in_the_order_of_their_keys(table_home: Path) -> None:
    """The keys of the protocol: lists of pairs of an operation and a node, in Python's notation."""
    world = world_of(Table.open(table_home / "tables" / "nasbench201"))

    def key(choices: tuple[int | float, ...]) -> str:
        a, b, c, d, e, f = (OPS[int(choice)] for choice in choices)
        return str([((a, 0),), ((b, 0), (c, 1)), ((d, 0), (e, 1), (f, 2))])

    keys = [key(arch.choices) for arch in world.archs]
    assert keys == sorted(keys)
    assert world.column("params")[7] == world.table.value(world.archs[7], "params")


def test_counts_of_parameters_rank_as_they_do_in_the_published_table(shared_data: Path, tmp_path: Path) -> None:
    """Kendall's τ-b over all 15,625 cells: 0.5777 of parameters, 0.6539 of those on a live path."""
    table = import_table(shared_data / "nb201.parquet", tmp_path / "nasbench201", name="nasbench201")
    world = world_of(table)
    true = world.column("c10_test_200")
    taus = {name: kendall_tau(count, true) for name, count in world.counts().items()}
    assert taus == {
        "params": pytest.approx(0.5777, abs=3e-4),
        "live params": pytest.approx(0.6539, abs=3e-4),
    }


def test_a_ranking_is_as_good_as_its_order_its_beginning_and_its_best() -> None:
    rng = np.random.default_rng(0)
    true = rng.permutation(500).astype(float)
    perfect = quality(true, true)
    assert perfect == pytest.approx({"tau": 1.0, "tau_100": 1.0, "ndcg": 1.0, "tau_top": 1.0, "top10": 499.0})
    half = np.where(true >= 450, rng.normal(size=500), true - 1000)
    found = quality(half, true)
    assert found["tau"] is not None
    assert found["tau"] > 0.95
    assert found["tau_top"] is not None
    assert abs(found["tau_top"]) < 0.2
    upside_down = quality(-true, true)
    assert upside_down["tau"] == pytest.approx(-1)
    assert upside_down["top10"] == 9
    assert upside_down["ndcg"] is not None
    assert upside_down["ndcg"] < 0.01
    assert quality(np.zeros(500), true)["tau"] is None


# -- a row ------------------------------------------------------------------------------------------------------------


def test_every_predictor_is_fitted_at_every_size_and_kept(table_home: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    row = reproduce(made(), out=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert json.loads((tmp_path / "invented.json").read_text()) == row
    known = {(one["predictor"], one["column"], one["size"], one["seed"]): one for one in row["cells"]}
    columns = ("c10_test_200", "c10v_val_200")
    wanted = {("trees", c, size, seed) for c in columns for size in (30, 60) for seed in (0, 1)}
    assert known.keys() == wanted | {("ranks", c, 60, 0) for c in columns}
    assert seen[-1] == (10, 10)
    assert all(0.1 < one["tau"] < 1 and one["fit_s"] >= 0 for one in row["cells"])
    assert {one["labels"] for one in cells(tmp_path)} == {"c10v_val_200"}
    assert row["ours"] == pytest.approx(np.mean([known["trees", columns[0], 60, seed]["tau"] for seed in (0, 1)]))
    assert {(one["predictor"], one["size"]) for one in row["counts"]} == {
        (name, size) for name in ("params", "live params") for size in (30, 60)
    }
    assert row["baselines"].keys() == {"params", "live params"}


def test_what_a_predictor_climbs_to_stands_beside_all_that_it_was_not_told(table_home: Path, tmp_path: Path) -> None:
    few = {"sizes = [30, 60]": "sizes = [60]", "seeds = 2": "seeds = 1", ', "c10v_val_200"]': "]"}
    chosen = made(**few, **{'trees = "trees(trees=5)"': 'trees = "nao(epochs=2, width=4, layers=0)"'})
    row = reproduce(chosen, out=tmp_path)
    world = world_of(Table.open(table_home / "tables" / "nasbench201"))
    cell = next(one for one in row["cells"] if one["predictor"] == "trees")
    _, others = split(len(world.archs), cell["size"], cell["seed"])
    assert cell["unseen"] == pytest.approx(world.column(cell["column"])[others].mean())
    assert world.column(cell["column"]).min() < cell["climbed"] < world.column(cell["column"]).max()
    assert all("climbed" not in one for one in row["cells"] if one["predictor"] == "ranks")
    table = "\n".join(row["markdown"])
    assert f"`{cell['column']}`: mean of 100 that are climbed to" in table
    assert table.count("| all others | |") == len(chosen.columns)
    again = judged_learned(json.loads((tmp_path / "invented.json").read_text()), chosen)
    assert again["markdown"] == row["markdown"]


def test_an_interrupted_row_goes_on_and_equals_an_uninterrupted_one(table_home: Path, tmp_path: Path) -> None:
    whole = reproduce(made(), out=tmp_path / "whole")
    path = tmp_path / "whole" / "runs" / "invented" / "cells.jsonl"
    before = path.read_bytes()
    reproduce(made(), out=tmp_path / "whole")
    assert path.read_bytes() == before
    lines = before.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:7]) + lines[7][:20])
    again = reproduce(made(), out=tmp_path / "whole")
    assert path.read_bytes().startswith(b"".join(lines[:7]))
    assert len(cells(tmp_path / "whole")) == 10
    assert [one["tau"] for one in again["cells"]] == [one["tau"] for one in whole["cells"]]
    fewer = reproduce(made(), out=tmp_path / "whole", seeds=1)
    assert (len(fewer["cells"]), fewer["command"]) == (6, "ogive reproduce invented --seeds 1")


def test_what_is_damaged_or_unknown_is_said_before_anything_is_fitted(table_home: Path, tmp_path: Path) -> None:
    for old, new, says in (
        ('"c10v_val_200"]', '"c10_valid"]', "no column of the table invented"),
        ("sizes = [30, 60]", "sizes = [30, 60, 20000]", "got a size of 20000"),
        ('ranks = "ranks(trees', 'ranks = "ranks(treees', "no predictor"),
    ):
        with pytest.raises((SpecError, UnknownName), match=says):
            reproduce(made(**{old: new}), out=tmp_path)
    path = tmp_path / "runs" / "invented" / "cells.jsonl"
    assert not path.exists()
    path.parent.mkdir(parents=True)
    path.write_text('{"spec": 3}\n')
    with pytest.raises(StoreError, match="is no fit"):
        reproduce(made(), out=tmp_path)


def test_another_specification_is_another_fit(table_home: Path, tmp_path: Path) -> None:
    one = {'trees(trees=5)"\nranks': 'trees(trees=5)"\nrenamed = "trees(trees=6)"\nranks'}
    reproduce(made(), out=tmp_path)
    row = reproduce(made(**one), out=tmp_path)
    assert len(cells(tmp_path)) == 10 + 8
    taus = {
        (c["predictor"], c["tau"])
        for c in row["cells"]
        if (c["column"], c["size"], c["seed"]) == ("c10_test_200", 60, 0)
    }
    assert len({tau for _, tau in taus}) == len(taus) == 3


def test_a_known_tau_is_met_within_its_margin_and_no_count_may_be_as_near(table_home: Path, tmp_path: Path) -> None:
    row = reproduce(made(), out=tmp_path)
    ours = row["ours"]
    counts = {
        one["predictor"]: one["tau"] for one in row["counts"] if (one["column"], one["size"]) == ("c10_test_200", 60)
    }
    assert counts["params"] > ours + 0.1  # the invented accuracies follow them
    assert judged_learned(row, made(round(ours + 0.04, 3)))["status"] == "holds"
    far = judged_learned(row, made(round(ours + 0.06, 3)))
    assert (far["status"], "ours is -0.060 away, more than 0.050" in far["because"]) == ("differs", True)
    # An oracle must not be met by counts that lie below it, or above.
    for known in (counts["params"] + 0.01, counts["params"] - 0.01):
        near = judged_learned(row, made(round(known, 3)))
        assert f"params ({counts['params']:.3f})" in near["because"]
    other = judged_learned(row, made(round(ours + 0.01, 3), **{'"live params"]': '"live params", "trees"]'}))
    assert "is trees" in other["because"]


def test_a_row_is_told_as_tables_and_sentences(table_home: Path, tmp_path: Path) -> None:
    row = reproduce(made(), out=tmp_path)
    said: list[str] = []
    describe(row, said.append)
    everything = "\n".join(said)
    assert "| `c10_test_200`: Kendall's τ | seeds | 30 | 60 |" in everything
    assert "| `c10v_val_200`: nDCG, first tenth | seeds | 30 | 60 |" in everything
    assert "| live params | | 0." in everything
    assert "trees at 60: τ 0.500 ± 0.05 is known, ours is " in everything
    assert "somebody, 60 labels: τ 0.500 (unverified); a talk." in everything


def test_a_missing_table_is_a_row_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "nothing"))
    row = reproduce(made(), out=tmp_path)
    assert (row["status"], row["ours"]) == ("data missing", None)


MORE = """
[more.ranks]
columns = {{ c10_test_200 = "c10v_val_200", c10v_val_200 = "c10_test_200" }}
{how}

[[published]]"""


def with_more(how: str) -> Learned:
    return made(**{"\n[[published]]": MORE.format(how=how)})


def test_labels_of_fewer_epochs_take_the_place_of_some_at_equal_cost() -> None:
    more = with_more("fidelity = 12\nfull = 200\nshare = 0.75").more["ranks"]
    assert more.numbers(60) == (45, 250)
    assert more.numbers(2) == (2, 0)
    assert with_more('source = "cifar10"\ncount = 33').more["ranks"].numbers(60) == (60, 33)


def test_a_fit_with_labels_of_another_kind_is_another_fit(table_home: Path, tmp_path: Path) -> None:
    """Two predictors of one specification, of which one has labels of another kind, each have fits of their own."""
    same = {'ranks = "ranks(trees(trees=5))"': 'ranks = "trees(trees=5)"'}
    text = MORE.format(how='source = "cifar10"\ncount = 33')
    row = reproduce(made(**same, **{"\n[[published]]": text}), out=tmp_path)
    alike = [one for one in cells(tmp_path) if (one["column"], one["size"], one["seed"]) == ("c10_test_200", 60, 0)]
    assert [one.get("more", {}).get("count") for one in alike] == [None, 33]
    assert len(cells(tmp_path)) == len(row["cells"]) == 10


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("fidelity = 200\nfull = 200\nshare = 0.75", "0 < fidelity < full"),
        ("fidelity = 12\nfull = 200\nshare = 1.0", "0 < share < 1"),
        ("fidelity = 12", "labels of another kind of invented"),
        ('source = "cifar10"', "labels of another kind of invented"),
    ],
)
def test_labels_of_another_kind_are_written_whole(how: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        with_more(how)


def test_what_has_a_label_of_any_kind_is_not_ranked(table_home: Path, tmp_path: Path) -> None:
    """Trees read labels of all of the training alone: with the same split, their ranking of the rest is another only
    because the rest is, and because they have three quarters of the labels."""
    row = reproduce(with_more("fidelity = 12\nfull = 200\nshare = 0.75"), out=tmp_path)
    found = next(one for one in row["cells"] if one["predictor"] == "ranks")
    assert found["more"]["fidelity"] == 12
    world = world_of(Table.open(table_home / "tables" / "nasbench201"))
    order = np.random.default_rng(found["seed"]).permutation(len(world.archs))
    observed = Observed(
        tuple(world.archs[place] for place in order[:45]),
        tuple(world.column("c10v_val_200")[order[:45]].tolist()),
    )
    trees = catalog.build(
        "predictor", "ranks(trees(trees=5))", Context({"space": lambda: world.space}, Seed(found["seed"]))
    )
    trees.fit(observed)
    rest = order[45 + 250 :]
    predicted = trees.predict([world.archs[place] for place in rest])
    assert found["tau"] == pytest.approx(kendall_tau(predicted, world.column(found["column"])[rest]))


# -- recipes ----------------------------------------------------------------------------------------------------------


def test_recipes_of_the_package_name_columns_of_published_tables() -> None:
    for one in learned():
        assert one.seeds >= 3
        assert all(math.isfinite(oracle.tau) for oracle in one.published)
        assert one.headline in one.predictors


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('predictor = "trees"', 'predictor = "tree"', "no predictor of invented"),
        ("size = 60\ntau = 0.5\nmargin", "size = 61\ntau = 0.5\nmargin", "published τ at 61 labels"),
        ("seeds = 2", "seeds = 0", "positive numbers"),
        ("sizes = [30, 60]", "sizes = []", "a size at least"),
        ("seeds_of = { ranks = 1 }", "seeds_of = { other = 1 }", "no predictor of invented"),
        ('"live params"]', '"live"]', "no ranking of invented"),
        ('{ c10_test_200 = "c10v_val_200" }', '{ other = "c10v_val_200" }', "no column of invented"),
        ("ranks = [60]", "ranks = [61]", "sizes .61., which must be among"),
        ("title", "titel", "key of the recipe invented"),
    ],
)
def test_what_a_recipe_must_not_say(old: str, new: str, says: str) -> None:
    with pytest.raises((SpecError, UnknownName), match=says):
        made(**{old: new})


def test_a_ranking_is_learnt_from_a_split_at_least(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="at least one split, but got seeds=0"):
        reproduce(made(), out=tmp_path, seeds=0)
    with pytest.raises(SpecError, match="runs on the CPU"):
        reproduce(made(), out=tmp_path, device="cuda")

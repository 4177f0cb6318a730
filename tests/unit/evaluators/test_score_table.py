from __future__ import annotations

import gzip
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ogive import catalog
from ogive.core.errors import MissingData, SpecError, StoreError, UnknownName
from ogive.core.metric import names_of
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Proposal
from ogive.evaluators.score_table import ScoreTable
from ogive.session import Settings, searched
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize
from ogive.tables.scores import read_scores

SPACE = nasbench201()
CELL = SPACE.parse("nasbench201:3,1,2,3,0,4")
CUT_OFF = SPACE.parse("nasbench201:0,0,0,0,0,0")


def small(folder: Path, lines: str, space: str = "nasbench201") -> Path:
    path = folder / "small.csv"
    path.write_text(f"arch,naswot,params,cpu_seconds,error\n{lines}")
    path.with_suffix(".json").write_text(json.dumps({"schema": 2, "space": space, "proxies": ["naswot", "params"]}))
    return path


def test_scores_are_those_of_the_file_and_cost_the_seconds_of_then(invented_scores: Path) -> None:
    rows = {row.arch: row for row in read_scores(invented_scores)[1]}
    found, cut_off = ScoreTable(invented_scores, space=SPACE).evaluate([Proposal(CELL), Proposal(CUT_OFF)])
    assert (found.metrics["naswot"], found.metrics["params"]) == rows[CELL].scores
    assert found.cost.benchmark_s == rows[CELL].cpu_seconds == 0.25
    assert cut_off.error is None
    assert cut_off.metrics["naswot"] == -math.inf


def test_the_scores_that_are_named_are_read_in_their_order(invented_scores: Path) -> None:
    both = ScoreTable(invented_scores, space=SPACE)
    assert names_of(both.metrics) == ("naswot", "params")
    assert names_of(ScoreTable(invented_scores, space=SPACE, score=["params", "naswot"]).metrics) == (
        "params",
        "naswot",
    )
    one = ScoreTable(invented_scores, space=SPACE, score="params")
    assert one.evaluate([Proposal(CELL)])[0].metrics == {"params": 14000.0}
    with pytest.raises(UnknownName, match="Did you mean 'naswot'"):
        ScoreTable(invented_scores, space=SPACE, score="naswott")
    with pytest.raises(SpecError, match="several different scores"):
        ScoreTable(invented_scores, space=SPACE, score=["params", "params"])


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(
        MissingData, match=r"no table of scores .*nowhere\.csv .* ogive score --space nasbench201 --all"
    ):
        ScoreTable(tmp_path / "nowhere.csv", space=SPACE)


def test_a_file_of_another_space_is_refused(invented_scores: Path) -> None:
    with pytest.raises(SpecError, match="scores of nasbench201, but the search is in natssize"):
        ScoreTable(invented_scores, space=natssize())


def test_what_the_file_lacks_ends_the_search_and_what_failed_there_fails_again(tmp_path: Path) -> None:
    path = small(tmp_path, '"nasbench201:0,0,0,0,0,0",,,0.100,no memory\n')
    evaluator = ScoreTable(path, space=SPACE)
    assert evaluator.evaluate([Proposal(CUT_OFF)])[0].error == "no memory"
    with pytest.raises(MissingData, match=r"nasbench201:3,1,2,3,0,4 is not among the 1 architectures of .*small\.csv"):
        evaluator.evaluate([Proposal(CELL)])


def test_a_packed_table_stands_for_the_table(invented_scores: Path, tmp_path: Path) -> None:
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(invented_scores.read_bytes()))
    shutil.copy(invented_scores.with_suffix(".json"), tmp_path / "t.json")
    assert read_scores(packed) == read_scores(tmp_path / "t.csv") == read_scores(invented_scores)
    assert ScoreTable(tmp_path / "t.csv", space=SPACE).evaluate([Proposal(CELL)])[0].error is None
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(StoreError, match="damaged"):
        read_scores(packed)


def test_a_table_that_grew_is_read_again(tmp_path: Path) -> None:
    path = small(tmp_path, '"nasbench201:0,0,0,0,0,0",-inf,1.0,0.100,\n')
    assert ScoreTable(path, space=SPACE).evaluate([Proposal(CUT_OFF)])[0].metrics["params"] == 1.0
    small(tmp_path, '"nasbench201:0,0,0,0,0,0",-inf,1.0,0.100,\n"nasbench201:3,1,2,3,0,4",5.0,2.0,0.100,\n')
    assert ScoreTable(path, space=SPACE).evaluate([Proposal(CELL)])[0].metrics["naswot"] == 5.0


def test_a_search_that_draws_from_the_table_takes_the_best_of_those_it_draws(
    invented_scores: Path, invented_table: Path
) -> None:
    strategy = f"naswot(score_table('{invented_scores}'), scored=100)"
    settings = Settings("nasbench201", strategy, table=str(invented_table), budget=Budget(trials=1), seed=3)
    (trial,) = searched(settings)[0]
    rng = Seed(3).child("strategy").numpy("scored")
    drawn = {SPACE.sample(rng) for _ in range(100)}
    scores = {row.arch: (row.scores or ())[0] for row in read_scores(invented_scores)[1] if row.arch in drawn}
    assert trial.arch == max(scores, key=lambda arch: scores[arch])
    assert trial.cost.benchmark_s == pytest.approx(0.25 * len(drawn) + 10 + sum(trial.arch.choices))


def test_a_search_with_a_table_of_scores_does_not_import_torch(invented_scores: Path, invented_table: Path) -> None:
    code = f"""
import sys
from ogive.core.trial import Budget
from ogive.session import Settings, searched
strategy = "area(score_table('{invented_scores}'))"
trials = searched(Settings("nasbench201", strategy, table={str(invented_table)!r}, budget=Budget(trials=20)))[0]
print(len(trials), "torch" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["20", "False"]


def test_the_options_are_listed() -> None:
    assert catalog.options("evaluator", "score_table") == {"score": None}

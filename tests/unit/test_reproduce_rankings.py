from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.errors import OgiveError, SpecError, UnknownName
from ogive.evaluators.ranked import mean_ranks
from ogive.metrics import kendall_tau, spearman
from ogive.reproduce import Ranking, describe, rankings
from ogive.reproduce.rankings import markdown, reproduce_ranking, sentences
from ogive.reproduce.recipe import Combined, ranking_of
from ogive.scores import SCORES
from ogive.spaces.nasbench201 import nasbench201
from ogive.tables.scores import read_scores
from ogive.tables.store import Table

SPACE = nasbench201()

TEXT = """
title = "A score on an invented table"
source = "nobody, figure 0"
source_checked = "figure"
cheap = ["params"]
scores = "{scores}"
made_by = "ogive score --made up"
table = "nasbench201"
proxy = "naswot"

[[columns]]
column = "c10_test_200"
above = 70
published = {published}
error = 0.01
margin = 0.05

[[columns]]
column = "c10_test_200"
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Scores of 80 cells: naswot goes up with the digits but for noise, params goes up, noise knows nothing."""
    rng = np.random.default_rng(0)
    archs = list(dict.fromkeys(SPACE.sample(rng) for _ in range(80)))
    lines = ["arch,naswot,noise,params,cpu_seconds,error"]
    for arch in archs:
        total = float(sum(arch.choices))
        naswot = total + rng.normal(0, 6) if total > 5 else -math.inf
        lines.append(f'"{arch}",{naswot!r},{rng.normal()!r},{total!r},0.100,')
    path = tmp_path / "scores.csv"
    path.write_text("\n".join([*lines, ""]))
    settings = {"schema": 2, "space": "nasbench201", "proxies": ["naswot", "noise", "params"], "data": "digits"}
    path.with_suffix(".json").write_text(json.dumps(settings))
    return path


def made(scores: Path, published: float = 0.4) -> Ranking:
    return ranking_of("invented", TEXT.format(scores=scores, published=published))


def reproduce(chosen: Ranking, out: Path) -> dict[str, Any]:
    return reproduce_ranking(chosen, out=out, resamples=50)


def test_every_score_is_compared_with_every_column(table_home: Path, sample: Path, tmp_path: Path) -> None:
    row = reproduce(made(sample), out=tmp_path / "ledger")
    assert json.loads((tmp_path / "ledger" / "invented.json").read_text()) == row
    table = Table.open(table_home / "tables" / "nasbench201")
    lines = [line.rpartition('"') for line in sample.read_text().splitlines()[1:]]
    scored = {SPACE.parse(head.strip('"')): [float(cell) for cell in tail.split(",")[1:4]] for head, _, tail in lines}
    for column, lowest in zip(row["columns"], (70, -math.inf), strict=True):
        kept = [arch for arch in scored if table.value(arch, "c10_test_200") > lowest]
        truth = [table.value(arch, "c10_test_200") for arch in kept]
        assert column["n"] == len(kept)
        for place, one in enumerate(column["scores"]):
            values = [scored[arch][place] for arch in kept]
            assert one["proxy"] == ("naswot", "noise", "params")[place]
            assert one["tau"] == pytest.approx(kendall_tau(values, truth))
            assert one["rho"] == pytest.approx(spearman(values, truth))
    assert 0 < row["columns"][0]["n"] < row["columns"][1]["n"] == len(scored)
    first = {one["proxy"]: one["tau"] for one in row["columns"][0]["scores"]}
    assert row["ours"] == first["naswot"]
    assert row["baselines"] == {"params": first["params"]}
    assert row["scored"]["data"] == "digits"


def test_whether_a_ranking_holds_is_told_by_the_published_columns(
    table_home: Path, sample: Path, tmp_path: Path
) -> None:
    ours = reproduce(made(sample), out=tmp_path)["ours"]
    assert reproduce(made(sample, round(ours + 0.04, 4)), out=tmp_path)["status"] == "holds"
    differs = reproduce(made(sample, round(ours + 0.06, 4)), out=tmp_path)
    assert (differs["status"], differs["because"]) == (
        "differs",
        "c10_test_200 above 70 %: ours is -0.060 away, more than 0.050; of an unknown reason",
    )
    level = reproduce(replace(made(sample, ours), cheap=("params", "noise", "naswot")), out=tmp_path)
    assert (level["status"], f"within 0.050 is naswot ({ours:.3f}) too" in level["because"]) == ("differs", True)
    chosen = made(sample)
    unknown = replace(chosen, columns=(chosen.columns[1],))
    row = reproduce(unknown, out=tmp_path)
    assert (row["status"], row["published"]) == ("measured", None)
    said: list[str] = []
    describe(row, said.append)
    assert said[1] == "  published  –; nobody, figure 0"


def test_it_says_plainly_where_the_number_of_parameters_wins(table_home: Path, sample: Path, tmp_path: Path) -> None:
    row = reproduce(made(sample), out=tmp_path)
    said: list[str] = []
    describe(row, said.append)
    everything = "\n".join(said)
    assert "c10_test_200: the number of parameters is ahead of naswot, noise." in everything
    assert "| Kendall's τ | architectures | published τ | naswot | noise | params (baseline) |" in everything
    assert "| Spearman's ρ | architectures | naswot | noise | params (baseline) |" in everything
    assert f"| `c10_test_200`, above 70 % | {row['columns'][0]['n']} | 0.400 | {row['ours']:.3f} [" in everything


def test_a_lead_counts_only_where_its_interval_leaves_zero_out() -> None:
    leads = {"better": [0.01, 0.2], "same": [-0.1, 0.1], "worse": [-0.2, -0.01]}
    scores = [{"proxy": name, "lead_interval": lead} for name, lead in leads.items()]
    known = {"tau": 0.5, "tau_interval": [0.4, 0.6]}
    params = {"proxy": "params", **known}
    constant = {"proxy": "constant", "tau": None, "tau_interval": None}
    column = {"column": "acc", "above": None, "n": 1234, "published": None, "scores": [*scores, params]}
    assert sentences([column]) == [
        "acc: the number of parameters is ahead of worse; level with same; behind better.",
    ]
    assert markdown([{**column, "scores": [params, constant]}], "tau")[2:] == [
        "| `acc` | 1,234 | – | 0.500 [0.400, 0.600] | – |",
    ]


def test_scores_are_combined_by_their_ranks_among_all_rows_of_the_file(
    table_home: Path, sample: Path, tmp_path: Path
) -> None:
    both = Combined("both", ("naswot", "params"), "log")
    row = reproduce(replace(made(sample), combined=(both, Combined("again", ("both", "noise"), "mean"))), out=tmp_path)
    rows = read_scores(sample)[1]
    stands = mean_ranks([[row.scores[0], row.scores[2]] for row in rows if row.scores], "log")
    table = Table.open(table_home / "tables" / "nasbench201")
    truth = np.array([table.value(row.arch, "c10_test_200") for row in rows])
    for column, kept in zip(row["columns"], (truth > 70, truth > -1), strict=True):
        assert [one["proxy"] for one in column["scores"]] == ["naswot", "noise", "params", "both", "again"]
        assert column["scores"][3]["tau"] == pytest.approx(kendall_tau(stands[kept], truth[kept]))
    assert row["settings"]["combined"]["both"] == {"scores": ["naswot", "params"], "combine": "log"}
    assert row["columns"][0]["scores"][:3] == reproduce(made(sample), out=tmp_path)["columns"][0]["scores"]


@pytest.mark.parametrize(
    ("combined", "complaint"),
    [
        (Combined("noise", ("naswot",), "mean"), "the name of one already"),
        (Combined("both", ("naswot", "parms"), "mean"), "Did you mean 'params'"),
    ],
    ids=lambda it: "",
)
def test_combinations_that_cannot_be_are_refused(
    combined: Combined, complaint: str, table_home: Path, sample: Path, tmp_path: Path
) -> None:
    with pytest.raises(OgiveError, match=complaint):
        reproduce(replace(made(sample), combined=(combined,)), out=tmp_path)


def test_a_combination_is_read_with_its_ranking() -> None:
    text = (
        TEXT.format(scores="t.csv", published=0.4)
        + """
[combined.both]
scores = ["naswot", "params"]
combine = "log"
"""
    )
    assert ranking_of("invented", text).combined == (Combined("both", ("naswot", "params"), "log"),)
    with pytest.raises(UnknownName, match="Did you mean 'log'"):
        ranking_of("invented", text.replace('"log"', '"lag"'))
    with pytest.raises(UnknownName, match="Did you mean 'scores'"):
        ranking_of("invented", text.replace("scores = [", "score = ["))


def test_what_is_missing_is_a_row_with_the_way_out(table_home: Path, tmp_path: Path) -> None:
    row = reproduce(made(tmp_path / "nowhere.csv"), out=tmp_path)
    assert row["status"] == "data missing"
    assert "This command makes it: ogive score --made up" in row["because"]


def test_scores_that_do_not_fit_are_refused(table_home: Path, sample: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'naswot'"):
        reproduce(replace(made(sample), proxy="naswott"), out=tmp_path)
    sample.write_text('arch,naswot,noise,params,cpu_seconds,error\n"natssize:0,0,0,0,0",1.0,1.0,1.0,0.100,\n')
    with pytest.raises(SpecError, match="scores of natssize"):
        reproduce(made(tmp_path / "." / "scores.csv"), out=tmp_path)


def test_the_rankings_of_the_package_name_their_scores_and_how_to_make_them() -> None:
    known = {one.name: one for one in rankings()}
    # Mellor et al., ICML 2021, figure 3.
    assert [one.published for one in known["nasbench201-ranking"].columns][:3] == [0.574, 0.611, 0.549]
    assert known["nasbench101-ranking"].columns[0].published == 0.285
    for one in known.values():
        assert one.made_by.endswith(f"--out {one.scores}")
        proxies = one.made_by.partition("--proxies ")[2].split()[0].split(",")
        assert {"params"} <= set(proxies) <= set(SCORES)
        assert one.proxy in {*proxies, *(combined.name for combined in one.combined)}
        assert all(set(combined.scores) <= set(proxies) for combined in one.combined)


def test_the_samples_are_of_the_same_cells_and_images_and_have_every_score() -> None:
    known = {one.name: asked(one.made_by) for one in rankings()}
    cheap, expensive, pruned = (known[f"nasbench201-ranking-{name}"] for name in ("3000", "400", "pruned"))
    assert [one.pop("--sample") for one in (cheap, expensive, pruned)] == ["3000", "400", "400"]
    assert len({one.pop("--out") for one in (cheap, expensive, pruned)}) == 3
    of_cheap, of_expensive, of_pruned = (set(one.pop("--proxies").split(",")) for one in (cheap, expensive, pruned))
    # Two of the others count the same units in another way, or units that these cells have not; four are younger.
    others, younger = {"naswot_reference", "naswot_smooth"}, {"l2_norm", "live_params", "vkdnw", "vkdnw_entropy"}
    assert of_cheap | of_expensive == SCORES.keys() - others - younger
    assert of_cheap & of_expensive == of_pruned == {"naswot", "params", "macs"}
    assert pruned.pop("--pruned") == ""
    assert cheap == expensive == pruned


def asked(command: str) -> dict[str, str]:
    """The options of `ogive score` with their values, empty where there is none."""
    pairs = (part.partition(" ") for part in command.removeprefix("ogive score ").split("--")[1:])
    return {f"--{name}": value.strip() for name, _, value in pairs}

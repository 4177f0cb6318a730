from __future__ import annotations

import csv
import json
import math
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.cli import main
from ogive.core.errors import RunInUse, SpecError, StoreError, UnknownName
from ogive.evaluators.ranked import mean_ranks
from ogive.metrics import kendall_tau, spearman
from ogive.scoring import Row, Scoring, correlations, planned, read_scores, score, with_standing
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.tables.keys import SortedDigests
from ogive.tables.store import Column, Table, write_table

SPACE = nasbench201()
DISCONNECTED = SPACE.parse("nasbench201:0,0,0,0,0,0")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 4 x 4 noise, so that a network takes milliseconds."""
    path = tmp_path_factory.mktemp("images") / "noise.npz"
    rng = np.random.default_rng(0)
    parts = {f"x_{part}": rng.integers(0, 256, (40, 3, 4, 4), np.uint8) for part in ("train", "test")}
    np.savez(path, **parts, **{f"y_{part}": np.arange(40) % 2 for part in ("train", "test")})
    return path


@pytest.fixture
def settings(images: Path) -> Scoring:
    return Scoring("nasbench201", f"arrays:{images}", ("naswot", "params"), batch_size=8, channels=4, cells=1)


def without_seconds(path: Path) -> list[list[str]]:
    """The lines of a table but for the processor seconds, which no two runs share."""
    with path.open(newline="") as file:
        return [[*line[:-2], line[-1]] for line in csv.reader(file)]


def test_a_sample_holds_different_architectures_and_begins_with_the_smaller_one() -> None:
    assert planned(SPACE, 300, 7)[:100] == planned(SPACE, 100, 7) != planned(SPACE, 100, 8)
    assert len(set(planned(SPACE, 300, 7))) == 300
    assert planned(SPACE, None, 0) == list(SPACE)
    with pytest.raises(SpecError, match="darts is too large"):
        planned(darts(), None, 0)
    with pytest.raises(SpecError, match="--sample 0"):
        planned(SPACE, 0, 0)
    with pytest.raises(SpecError, match=r"15,625 architectures in nasbench201, but got --sample 15626: give --all"):
        planned(SPACE, 15_626, 0)


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_images_of_other_numbers_score_as_bytes_do(
    settings: Scoring, images: Path, tmp_path: Path, kind: type[np.generic]
) -> None:
    # In one place, because the division into training and validation images goes by the name of the data.
    place, archs = tmp_path / "images.npz", planned(SPACE, 3, 0)
    settings = replace(settings, data=f"arrays:{place}")
    shutil.copy(images, place)
    first = score(settings, archs)
    with np.load(images) as found:
        np.savez(place, **{key: found[key].astype(kind if key[0] == "x" else int) for key in found})
    other = score(settings, archs)
    for one, another in zip(first, other, strict=True):
        # The scale of bytes is rounded in another place, so that a unit at zero may fall on its other side.
        assert another.scores == pytest.approx(one.scores, rel=1e-2)
    assert all(row.scores is not None and math.isfinite(row.scores[0]) for row in first)


def test_the_table_holds_every_row_in_order(settings: Scoring, tmp_path: Path) -> None:
    archs = [*planned(SPACE, 3, 0), DISCONNECTED]
    seen: list[tuple[int, int]] = []
    rows = score(settings, archs, tmp_path / "t.csv", progress=lambda done, total: seen.append((done, total)))
    assert [row.arch for row in rows] == archs
    assert seen == [(done, 4) for done in range(5)]
    with (tmp_path / "t.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["arch", "naswot", "params", "cpu_seconds", "error"]
    assert all(float(line[-2]) > 0 for line in lines[1:])
    assert [line[0] for line in lines[1:]] == [str(arch) for arch in archs]
    assert float(lines[4][1]) == -math.inf
    about, again = read_scores(tmp_path / "t.csv")
    assert again == rows == score(settings, archs)
    assert about["proxies"] == ["naswot", "params"]
    assert about["pruned"] is False
    assert len(about["data_digest"]) == 64


def test_workers_write_the_same_table(settings: Scoring, tmp_path: Path) -> None:
    archs = planned(SPACE, 12, 0)
    score(settings, archs, tmp_path / "one.csv")
    score(settings, archs, tmp_path / "two.csv", workers=2)
    assert without_seconds(tmp_path / "two.csv") == without_seconds(tmp_path / "one.csv")


def test_a_table_cut_off_at_any_byte_goes_on_to_the_same_table(settings: Scoring, tmp_path: Path) -> None:
    archs, path = planned(SPACE, 6, 0), tmp_path / "t.csv"
    score(settings, archs, path)
    whole, wanted = path.read_bytes(), without_seconds(path)
    for size in random.Random(0).sample(range(len(whole)), 25):
        path.write_bytes(whole[:size])
        score(settings, archs, path)
        assert without_seconds(path) == wanted


def test_rows_that_are_there_are_not_scored_again(settings: Scoring, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    score(settings, planned(SPACE, 4, 0), path)
    marked = path.read_text().replace("arch,naswot", "arch,naswot", 1).splitlines()
    cells = next(csv.reader([marked[2]]))
    marked[2] = f'"{cells[0]}",12345.0,1.0,0.5,'
    path.write_text("\n".join(marked) + "\n")
    rows = score(settings, planned(SPACE, 6, 0), path)
    assert len(rows) == 6
    assert rows[1].scores == (12345.0, 1.0)


def test_a_failure_is_a_row_with_its_reason_and_stays_one(settings: Scoring, tmp_path: Path) -> None:
    chosen = replace(settings, proxies=("params", "zico"), batch_size=3)  # zico wants four images
    rows = score(chosen, planned(SPACE, 2, 0), tmp_path / "t.csv")
    assert [row.scores for row in rows] == [None, None]
    assert rows[0].error == "SpecError: zico needs at least 4 images, but got the shape (3, 3, 4, 4)."
    assert read_scores(tmp_path / "t.csv")[1] == rows


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pruned": True}, "begun with pruned = False, but now it is True"),
        ({"proxies": ("naswot",)}, r"begun with proxies = \['naswot', 'params'\]"),
        ({"seed": 1}, "begun with seed = 0"),
        ({"batch_size": 9}, "begun with batch_size = 8"),
        ({"threads": 2}, "begun with threads = 1"),
    ],
    ids=lambda it: next(iter(it), "") if isinstance(it, dict) else "",
)
def test_other_settings_are_refused(settings: Scoring, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = tmp_path / "t.csv"
    score(settings, planned(SPACE, 2, 0), path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=reason):
        score(replace(settings, **change), planned(SPACE, 2, 0), path)
    assert path.read_bytes() == before


def test_other_architectures_and_other_images_are_refused(settings: Scoring, tmp_path: Path, images: Path) -> None:
    path = tmp_path / "t.csv"
    score(settings, planned(SPACE, 2, 0), path)
    with pytest.raises(StoreError, match=r"Row 1 of .* but this command would score"):
        score(settings, planned(SPACE, 2, 5), path)
    with pytest.raises(StoreError, match="2 rows already, more than the 1"):
        score(settings, planned(SPACE, 1, 0), path)
    with np.load(images) as arrays:
        changed = {name: arrays[name].copy() for name in arrays}
    changed["x_train"][0] = 0
    moved = tmp_path / "noise.npz"
    np.savez(moved, **changed)
    about = json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps({**about, "data": f"arrays:{moved}"}))
    with pytest.raises(StoreError, match="begun with data_digest"):
        score(replace(settings, data=f"arrays:{moved}"), planned(SPACE, 2, 0), path)


def test_a_file_of_somebody_else_is_left_alone(settings: Scoring, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("mine\n")
    with pytest.raises(StoreError, match=r"no table of scores, for t\.json is not"):
        score(settings, planned(SPACE, 1, 0), path)
    assert path.read_text() == "mine\n"
    with pytest.raises(SpecError, match=r"is a \.csv file"):
        score(settings, planned(SPACE, 1, 0), tmp_path / "t.parquet")
    with pytest.raises(StoreError, match=r"`ogive score` makes both"):
        read_scores(path)


def test_damage_is_named(settings: Scoring, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    archs = planned(SPACE, 3, 0)
    score(settings, archs, path)
    whole = path.read_text().splitlines()
    for damaged in ('"nasbench201:0,0,0,0,0,0",nan,1.0,', '"nasbench201:0,0,0,0,0,0",1.0,', "nasbench201,1.0,1.0,", ""):
        path.write_text("\n".join([*whole[:2], damaged, *whole[3:]]) + "\n")
        with pytest.raises(StoreError, match=r"Line 3 of .* is damaged"):
            score(settings, archs, path)
    path.write_text("arch,zen,error\n")
    with pytest.raises(StoreError, match="has the columns 'arch, zen, error'"):
        score(settings, archs, path)
    (tmp_path / "t.json").write_text("{")
    with pytest.raises(StoreError, match=r"t\.json is damaged"):
        score(settings, archs, path)


def test_two_writers_are_one_too_many(settings: Scoring, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"

    def second(done: int, total: int) -> None:
        if done == 1:
            with pytest.raises(RunInUse, match="being written by another process"):
                score(settings, planned(SPACE, 3, 0), path)

    assert len(score(settings, planned(SPACE, 3, 0), path, progress=second)) == 3


def test_what_cannot_work_is_refused_before_anything_is_written(settings: Scoring, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(UnknownName, match="Did you mean 'naswot'"):
        score(replace(settings, proxies=("naswott",)), planned(SPACE, 1, 0), path)
    with pytest.raises(SpecError, match="given twice"):
        score(settings, planned(SPACE, 1, 0) * 2, path)
    with pytest.raises(SpecError, match="workers=0"):
        score(settings, planned(SPACE, 1, 0), path, workers=0)
    assert not list(tmp_path.iterdir())


# -- the command -------------------------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


def flags(images: Path, *more: object) -> list[str]:
    return [*("--data", f"arrays:{images}", "--batch-size", "8", "--channels", "4", "--cells", "1"), *map(str, more)]


@pytest.fixture
def ogive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ogive", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def test_architectures_are_scored_on_the_terminal_in_any_text_form(ogive: Run, images: Path) -> None:
    published = SPACE.format(SPACE.parse("nasbench201:3,1,2,3,0,4"))
    code, out, _ = ogive("score", published, "nasbench201:0,0,0,0,0,0", *flags(images))
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["architecture", "naswot", "params"]
    assert lines[1].startswith("nasbench201:3,1,2,3,0,4 ")
    assert lines[2].split()[1] == "-inf"
    assert lines[3].startswith("2 architectures, 0 failed")


def test_a_sample_goes_into_a_table_that_can_grow(ogive: Run, images: Path, tmp_path: Path) -> None:
    more = ("--space", "nasbench201", "--proxies", "naswot, synflow,params", "--out", "t.csv", *flags(images))
    assert ogive("score", "--sample", 12, *more)[0] == 0
    first = (tmp_path / "t.csv").read_text()
    code, out, _ = ogive("score", "--sample", 14, *more)
    assert code == 0
    assert "14 architectures, of which 10 are shown, 0 failed" in out
    assert "table: t.csv   settings: t.json" in out
    assert (tmp_path / "t.csv").read_text().startswith(first)
    rows = read_scores(tmp_path / "t.csv")[1]
    assert [row.arch for row in rows] == planned(SPACE, 14, 0)
    assert all(row.scores is not None and len(row.scores) == 3 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--sample", "3"], "A sample needs a space"),
        ([], "Give architectures, or --space with --sample"),
        (["nasbench201:0,0,0,0,0,0", "--all", "--space", "nasbench201"], "Give architectures, or --space"),
        (["nasbench201:0,0,0,0,0,0", "natssize:0,0,0,0,0"], "belong to one space"),
        (["|what|"], "no architecture such as"),
        (["nasbench201:9,0,0,0,0,0"], "nasbench201"),
        (["nasbench201:0,0,0,0,0,0", "--proxies", "naswott"], "Did you mean 'naswot'"),
        (["nasbench201:0,0,0,0,0,0", "--proxies", ","], "one or several different scores"),
        (["nasbench201:0,0,0,0,0,0", "--batch-size", "1"], "at least two"),
        (["--space", "darts", "--all"], "too large"),
    ],
)
def test_a_wrong_command_is_one_line(ogive: Run, images: Path, arguments: list[str], reason: str) -> None:
    code, out, err = ogive(
        "score",
        *arguments,
        *([] if "--batch-size" in arguments else flags(images)),
        *(["--data", f"arrays:{images}"] if "--batch-size" in arguments else []),
    )
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert reason in err
    assert err.count("\n") == 1


def test_scores_are_compared_with_a_column_of_a_table(
    ogive: Run, images: Path, invented_table: Path, tmp_path: Path
) -> None:
    more = ("--space", "nasbench201", "--sample", 40, "--out", "t.csv", *flags(images))
    against = ("--table", invented_table, "--against", "c10_test_200")
    code, out, _ = ogive("score", *more, *against, "--above", 62)
    assert code == 0
    kept = json.loads((tmp_path / "t.c10_test_200-above-62.json").read_text())
    truth = Table.open(invented_table)
    rows = [row for row in read_scores(tmp_path / "t.csv")[1] if truth.value(row.arch, "c10_test_200") > 62]
    assert 0 < kept["n"] == len(rows) <= 40
    naswot, params = kept["scores"]
    values = [truth.value(row.arch, "c10_test_200") for row in rows]
    assert naswot["tau"] == kendall_tau([(row.scores or ())[0] for row in rows], values)
    assert params["rho"] == spearman([(row.scores or ())[1] for row in rows], values)
    assert naswot["tau_interval"][0] < naswot["tau"] < naswot["tau_interval"][1]
    assert f"rank correlation with c10_test_200 of {kept['n']} architectures, those above 62" in out
    assert f"{naswot['tau']:.3f} [{naswot['tau_interval'][0]:.3f}, " in out
    code, out, _ = ogive("score", "--proxies", "linear_regions", *more[:4], "--out", "u.csv", *flags(images), *against)
    assert code == 0
    assert "baseline to beat" in out
    for wrong, reason in ((against[2:], "need both"), ((*against[:3], "c10_test_20"), "Did you mean")):
        code, _, err = ogive("score", *more, *wrong)
        assert code == 2
        assert reason in err


def test_scores_are_shown_and_correlated_as_one_but_not_kept_as_one(
    ogive: Run, images: Path, invented_table: Path, tmp_path: Path
) -> None:
    more = ("--space", "nasbench201", "--sample", 12, "--out", "t.csv", *flags(images))
    against = ("--table", invented_table, "--against", "c10_test_200", "--combine", "log")
    code, out, _ = ogive("score", *more, *against)
    assert code == 0
    assert "mean_rank" in out
    rows = read_scores(tmp_path / "t.csv")[1]
    assert all(len(row.scores or ()) == 2 for row in rows)
    names, together = with_standing(("naswot", "params"), rows, "log")
    assert names == ("naswot", "params", "mean_rank")
    expected = mean_ranks([row.scores or () for row in rows], "log").tolist()
    assert [(row.scores or ())[2] for row in together] == expected
    kept = json.loads((tmp_path / "t.c10_test_200.json").read_text())
    truth = Table.open(invented_table)
    assert kept["combine"] == "log"
    assert kept["scores"][2]["tau"] == kendall_tau(expected, [truth.value(row.arch, "c10_test_200") for row in rows])


def test_a_row_that_could_not_be_scored_does_not_stand() -> None:
    failed = Row(DISCONNECTED, None, error="made up")
    rows = [Row(arch, (float(place),)) for place, arch in enumerate(planned(SPACE, 2, 0))]
    assert with_standing(("made up",), [rows[0], failed, rows[1]], "mean")[1] == [
        Row(rows[0].arch, (0.0, 0.5)),
        failed,
        Row(rows[1].arch, (1.0, 1.0)),
    ]
    assert with_standing(("made up",), [failed], "mean")[1] == [failed]


def test_a_constant_score_has_no_correlation_and_minus_infinity_ranks_last() -> None:
    archs = planned(SPACE, 5, 0)
    rows = [Row(arch, (1.0, -math.inf if place == 0 else float(place))) for place, arch in enumerate(archs)]
    failed = Row(DISCONNECTED, None, error="made up")
    found, count = correlations(("same", "rising"), [*rows, failed], {arch: i for i, arch in enumerate(archs)})
    assert count == 5
    assert found[0].to_json() == {"proxy": "same", **dict.fromkeys(("tau", "tau_interval", "rho", "rho_interval"))}
    assert (found[1].tau, found[1].rho) == pytest.approx((1.0, 1.0))
    with pytest.raises(SpecError, match="at least 3"):
        correlations(("same", "rising"), rows, {archs[0]: 1.0})


@pytest.mark.parametrize(("count", "told"), [(9, False), (10, True)])
def test_fewer_than_ten_architectures_have_a_correlation_without_an_interval(count: int, told: bool) -> None:
    archs = planned(SPACE, count, 0)
    rows = [Row(arch, (float(place % 4), float(place))) for place, arch in enumerate(archs)]
    (noise, params), _ = correlations(
        ("noise", "params"), rows, {arch: i for i, arch in enumerate(archs)}, resamples=20
    )
    assert params.tau == pytest.approx(1.0)
    found = noise.to_json()
    assert found["lead_over_params"] < 0
    assert ("lead_interval" in found) == told
    assert [found[name] is not None for name in ("tau_interval", "rho_interval")] == [told, told]
    json.dumps(found, allow_nan=False)


def test_images_must_be_named(ogive: Run) -> None:
    code, _, err = ogive("score", "nasbench201:0,0,0,0,0,0")
    assert code == 2
    assert "give --data digits" in err


def test_all_failures_are_a_failure_of_the_command(ogive: Run, images: Path) -> None:
    code, out, _ = ogive("score", "nasbench201:3,3,3,3,3,3", "--proxies", "zico", *flags(images), "--batch-size", 3)
    assert code == 1
    assert "zico needs at least 4 images" in out


def test_several_columns_are_compared_at_once_and_params_is_what_a_lead_is_counted_from(
    ogive: Run, images: Path, invented_table: Path, tmp_path: Path
) -> None:
    more = ("--space", "nasbench201", "--sample", 30, "--out", "t.csv", *flags(images))
    code, out, _ = ogive("score", *more, "--table", invented_table, "--against", "c10_test_200, c10v_val_200")
    assert code == 0
    assert out.count("rank correlation with") == 2
    for column in ("c10_test_200", "c10v_val_200"):
        naswot, params = json.loads((tmp_path / f"t.{column}.json").read_text())["scores"]
        assert naswot["lead_over_params"] == naswot["tau"] - params["tau"]
        assert naswot["lead_interval"][0] <= naswot["lead_over_params"] <= naswot["lead_interval"][1]
        assert "lead_over_params" not in params


def test_a_table_that_lacks_the_architectures_is_refused_before_anything_is_scored(
    ogive: Run, images: Path, invented_table: Path, tmp_path: Path
) -> None:
    more = ("--data", f"arrays:{images}", "--out", "t.csv", "--table", invented_table, "--against", "c10_test_200")
    code, out, err = ogive("score", "--space", "natssize", "--sample", 3, *more)
    assert (code, out) == (2, "")
    assert "is for the space nasbench201, but got natssize:" in err
    assert not (tmp_path / "t.csv").exists()


def test_a_table_of_a_part_of_the_space_is_what_a_sample_is_drawn_from(
    ogive: Run, images: Path, tmp_path: Path
) -> None:
    known = planned(SPACE, 9, 4)
    key, order = SortedDigests.of("nasbench201", np.array([arch.choices for arch in known]))
    columns = {"acc": (Column("%", "invented", "float64"), np.arange(9.0)[order])}
    about = {"space": "nasbench201", "source": "", "licence": "", "importer": ""}
    write_table(tmp_path / "part", columns, name="part", key=key, complete=False, **about)
    more = ("--space", "nasbench201", "--out", "t.csv", *flags(images), "--table", tmp_path / "part")
    code, out, _ = ogive("score", "--sample", 5, *more, "--against", "acc")
    assert code == 0
    assert "drawn from a closed world of 9 rows" in out
    told, rows = read_scores(tmp_path / "t.csv")
    assert told["world"] == f"part, digest {Table.open(tmp_path / 'part').digest}"
    assert len(rows) == 5
    assert {row.arch for row in rows} <= set(known)
    assert ogive("score", "--sample", 7, *more)[0] == 0
    assert read_scores(tmp_path / "t.csv")[1][:5] == rows


def test_intervals_draw_architectures_again_for_all_scores_the_same_ones() -> None:
    archs = planned(SPACE, 60, 1)
    rng = np.random.default_rng(0)
    truth = dict(zip(archs, rng.normal(size=60).tolist(), strict=True))
    rows = [
        Row(arch, (truth[arch] + noise, 2 * (truth[arch] + noise)))
        for arch, noise in zip(archs, rng.normal(size=60), strict=True)
    ]
    (double, params), _ = correlations(("double", "params"), rows, truth, resamples=50)
    assert double.tau_interval == params.tau_interval
    assert double.lead == 0
    assert double.lead_interval == (0, 0)
    shown: list[tuple[int, int]] = []
    correlations(
        ("double", "params"), rows, truth, resamples=3, progress=lambda done, total: shown.append((done, total))
    )
    assert shown == [(1, 3), (2, 3), (3, 3)]


def test_a_table_of_repeated_scores_names_its_columns_as_they_are_written(settings: Scoring, tmp_path: Path) -> None:
    path = tmp_path / "repeated.csv"
    chosen = replace(settings, proxies=("snip( repeats = 2 )", "snip"))
    assert chosen.proxies == ("snip(repeats=2)", "snip")
    rows = score(chosen, planned(SPACE, 2, 0), path)
    names = next(csv.reader(path.read_text().splitlines()))
    assert names == ["arch", "snip(repeats=2)", "snip", "cpu_seconds", "error"]
    assert all(row.scores is not None and row.scores[0] != row.scores[1] for row in rows)
    assert [row.scores for row in read_scores(path)[1]] == [row.scores for row in rows]

"""Runs whose trials are read again piece by piece are the runs whose trials are in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ogive.choice import limits_of
from ogive.core.architecture import Architecture
from ogive.core.errors import StoreError
from ogive.core.trial import Cost, Fidelity, Measurement, Proposal, Trial
from ogive.files import write_json
from ogive.run_store import RunStore
from ogive.runs import FINALISTS, Run, read_run
from ogive.trial_lines import final_entry, line_of
from ogive.trial_log import Columns, StoredRecords

TRIALS = 60


def made(number: int, goals: int, rng: random.Random) -> Trial:
    """A trial of any status; scores have few values, so that some are equal."""
    status = rng.choice(("ok", "ok", "ok", "failed", "screened"))
    values = tuple(float(rng.randrange(12)) for _ in range(goals))
    proposal = Proposal(Architecture("natssize", (rng.randrange(8),)), rng.choice((None, 1, 3)), Cost(rng.random()))
    measurement = Measurement(
        {"val_acc": values[0], "latency_ms": rng.randrange(9) + 1.0},
        Cost(rng.random(), rng.random()),
        "no luck" if status == "failed" else None,
        status == "screened",
    )
    return Trial(number, proposal, measurement, status, values if status == "ok" else None)  # type: ignore[arg-type]


def stored(folder: Path, trials: Sequence[Trial], goals: int) -> Path:
    """A run with these trials, which finished in the order in which they stand here."""
    objectives = ["maximize(val_acc)", "minimize(latency_ms)"][:goals]
    with RunStore.create(folder, {"objectives": objectives}) as store:
        for place, each in enumerate(trials):
            store.append(each, float(place))
    return folder


@pytest.fixture(params=[(1, 0), (1, 1), (2, 0), (2, 1)], ids=lambda param: f"{param[0]}-objectives-seed{param[1]}")
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    goals, seed = request.param
    rng = random.Random(seed)
    trials = [made(number, goals, rng) for number in range(TRIALS)]
    rng.shuffle(trials)  # as several workers finish
    return stored(tmp_path / "run", trials, goals)


ASKED: dict[str, Callable[[Run], Any]] = {
    "records": lambda run: list(run.records),
    "last record": lambda run: run.records[-1],
    "some records": lambda run: list(run.records[3:9]),
    "trials": lambda run: list(run.trials),
    "a trial": lambda run: run.trials[-2],
    "some trials": lambda run: list(run.trials[5:30:7]),
    "evaluated": lambda run: list(run.evaluated),
    "failed": lambda run: list(run.failed),
    "as they finished": lambda run: list(run.log.finished),
    "choice": lambda run: run.choice,
    "choice within limits": lambda run: run.chosen(limits_of(["latency_ms<=4", "val_acc<11"])),
    "choice within none": lambda run: run.chosen(limits_of(["latency_ms<=0.5"])),
    "front": lambda run: run.front,
    "spent": lambda run: run.spent(),
    "spent in epochs": lambda run: run.spent(Fidelity("epochs", 4, continued=True)),
    "elapsed": lambda run: run.elapsed_s,
    "statuses": lambda run: [run.count(status) for status in ("ok", "failed", "screened")],
    "one by number": lambda run: (run.trial(17), run.trial(TRIALS)),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_a_long_run_tells_is_what_one_in_memory_tells(folder: Path, asked: str) -> None:
    held, long = read_run(folder), read_run(folder, hold=10)
    assert isinstance(held.records, tuple)
    assert isinstance(long.records, StoredRecords)
    assert ASKED[asked](long) == ASKED[asked](held)
    assert ASKED[asked](long) == ASKED[asked](Run(folder, held.config, held.records))


def test_what_was_measured_last_decides_in_both(folder: Path) -> None:
    held = read_run(folder)
    whole = (trial for trial in held.trials if trial.scores and trial.proposal.fidelity is None)
    worst = min(whole, key=lambda trial: trial.scores or ())
    better = tuple(100.0 for _ in worst.scores or ())
    entry = {**final_entry(worst), "scores": better}
    write_json(folder / "artifacts" / FINALISTS, {"trials": TRIALS, "finalists": [entry]})
    for run in (held, read_run(folder, hold=10)):
        assert run.choice.found.number == worst.number
        assert [trial.scores for trial in run.front] == [better]


@pytest.mark.parametrize("cut", [15, TRIALS])
def test_what_is_known_is_not_read_again(folder: Path, cut: int) -> None:
    lines = (folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "trials.jsonl").write_bytes(b"".join(lines[:cut]))
    known = read_run(folder, hold=10)
    with (folder / "trials.jsonl").open("r+b") as file:
        file.write(b"!")  # nobody looks at what was read
        file.seek(0, 2)
        file.writelines(lines[cut:])
    again = read_run(folder, hold=10, known=known)
    assert again.log.whole == sum(map(len, lines))
    assert list(again.records[1:]) == list(read_columns(lines)[1:])
    expected = Columns.of(read_columns(lines))
    for name in ("numbers", "statuses", "wall_s", "benchmark_s", "measured_s", "at_s"):
        assert getattr(again.log.columns, name).tolist() == getattr(expected, name).tolist()
    with pytest.raises(StoreError, match=r"Line 1 of .* is damaged"):
        read_run(folder, hold=10)


def read_columns(lines: Sequence[bytes]) -> list[Any]:
    from ogive.trial_lines import record_of

    return [record_of(line) for line in lines]


def test_a_run_that_is_another_by_now_is_read_anew(folder: Path) -> None:
    known = read_run(folder, hold=10)
    lines = (folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "trials.jsonl").write_bytes(b"".join(reversed(lines)))
    again = read_run(folder, hold=10, known=known)
    assert [one.at_s for one in again.records] == [float(place) for place in reversed(range(TRIALS))]


def test_a_line_that_changes_under_a_reader_is_named(folder: Path) -> None:
    run = read_run(folder, hold=10)
    first = run.records[0]
    content = (folder / "trials.jsonl").read_bytes()
    (folder / "trials.jsonl").write_bytes(content.replace(b'"number":', b'"numper":', 1))
    with pytest.raises(StoreError, match=r"Line 1 of .* is damaged .its checksum"):
        list(run.trials)
    (folder / "trials.jsonl").write_bytes(content)
    assert run.records[0] == first
    (folder / "trials.jsonl").unlink()
    with pytest.raises(StoreError, match=r"trials\.jsonl cannot be read .No such file"):
        run.records[0]


def test_scores_of_several_widths_are_kept_apart(tmp_path: Path) -> None:
    trials = [made(number, 1 + number % 3, random.Random(0)) for number in range(4)]
    assert len({trial.status for trial in trials}) == 1
    with RunStore.create(tmp_path / "run", {}) as store:
        for each in trials:
            store.append(each, 0.0)
    columns = read_run(tmp_path / "run", hold=0).log.columns
    for row, each in zip(columns.scores.tolist(), trials, strict=True):
        assert row[: len(each.scores or ())] == list(each.scores or ())
        assert all(value != value for value in row[len(each.scores or ()) :])


def test_the_line_of_a_wrong_architecture_is_named_where_it_is_read(tmp_path: Path) -> None:
    folder = stored(tmp_path / "run", [made(number, 1, random.Random(1)) for number in range(3)], 1)
    proposal = Proposal(Architecture("no space", (1,)))
    odd = Trial(3, proposal, Measurement(error="none"), "failed")
    with (folder / "trials.jsonl").open("ab") as file:
        file.write(line_of(odd, 9.0))
    with pytest.raises(StoreError, match=r"Line 4 of .* is damaged .An architecture is written"):
        read_run(folder)
    with pytest.raises(StoreError, match=r"Line 4 of .* is damaged .An architecture is written"):
        list(read_run(folder, hold=2).trials)


@pytest.mark.parametrize("hold", [None, 10])
def test_trials_stand_by_number_whatever_finished_first(folder: Path, hold: int | None) -> None:
    run = read_run(folder, hold=hold)
    assert [record.trial.number for record in run.records] != list(range(TRIALS))
    assert [trial.number for trial in run.trials] == list(range(TRIALS))
    ended = [trial for trial in run.trials if trial.status == "failed"]
    assert list(run.failed) == ended
    assert run.spent().trials == len(run.evaluated) == TRIALS - run.count("screened")

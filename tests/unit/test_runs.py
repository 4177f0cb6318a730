from __future__ import annotations

import errno
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import RunInUse, StoreError, UnknownName
from ogive.core.metric import Metric
from ogive.core.objective import Maximize
from ogive.core.rng import Seed
from ogive.core.study import Study
from ogive.core.trial import Budget, Cost, Measurement, Proposal, Trial
from ogive.files import write_json
from ogive.run_store import RunStore
from ogive.runs import read_run
from ogive.spaces.natssize import natssize
from ogive.strategies.local import RegularizedEvolution


class FirstWidth:
    """Measures the first choice."""

    metrics = (Metric("val_acc"),)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({"val_acc": float(proposal.arch.choices[0])}) for proposal in proposals]


def trial(number: int, **changes: object) -> Trial:
    plain = {
        "proposal": Proposal(Architecture("natssize", (0, 1, 2, 3, number % 8))),
        "measurement": Measurement({"val_acc": 90.5 + number}, Cost(0.25)),
        "status": "ok",
        "scores": (90.5 + number,),
    }
    return Trial(number, **{**plain, **changes})  # type: ignore[arg-type]


EVERY_KIND = [
    trial(
        0,
        proposal=Proposal(Architecture("natssize", (0, 1, 2, 3, 4)), 12, Cost(1.5, 300.0)),
        measurement=Measurement({"val_acc": 91.25, "naswot": -math.inf, "test_acc": math.nan}, Cost(0.1, 7.0)),
    ),
    trial(1, measurement=Measurement({}, Cost(2.0), "out of memory: “größer”\n\r\x1f"), status="failed", scores=None),
    trial(2, measurement=Measurement({"naswot": 1e300}, screened=True), status="screened", scores=None),
    trial(3, proposal=Proposal(Architecture("mixed", (1, -0.1, 1e-300))), scores=(0.1, -5e-324)),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore.create(tmp_path / "run", {"seed": 0}) as created:
        yield created


def written(folder: Path, trials: Sequence[Trial] = ()) -> Path:
    with RunStore.create(folder, {"seed": 0}) as created:
        for each in trials:
            created.append(each, 0.5 * each.number)
    return folder


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "trials.jsonl").read_bytes().splitlines(keepends=True)


# -- what is written is read ------------------------------------------------------------------------------------------


def test_every_field_of_every_kind_of_trial_comes_back(tmp_path: Path) -> None:
    run = read_run(written(tmp_path / "run", EVERY_KIND))
    # repr, because nan is not equal to itself
    assert list(map(repr, run.trials)) == list(map(repr, EVERY_KIND))
    assert [record.at_s for record in run.records] == [0.0, 0.5, 1.0, 1.5]
    assert run.elapsed_s == 1.5
    assert run.config == {"schema": 2, "seed": 0}


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    choices = tuple(np.array([0, 1, 2, 3, 4]))
    odd = trial(
        0,
        proposal=Proposal(Architecture("natssize", choices), np.int64(12)),  # type: ignore[arg-type]
        measurement=Measurement({"val_acc": np.float32(0.5)}, Cost(np.float32(0.25))),  # type: ignore[arg-type, dict-item]
        scores=(np.float64(0.5),),
    )
    assert read_run(written(tmp_path / "run", [odd])).trials == [odd]


def test_every_line_is_strict_json(tmp_path: Path) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    for line in lines_of(written(tmp_path / "run", EVERY_KIND)):
        json.loads(line, parse_constant=refuse)


def test_a_run_without_trials_is_a_run(tmp_path: Path) -> None:
    run = read_run(written(tmp_path / "run"))
    assert run.trials == []
    assert run.elapsed_s == 0.0
    assert run.artifacts.is_dir()


def test_an_opened_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", [trial(0), trial(1)])
    with RunStore.open(folder) as opened:
        assert [each.number for each in opened.run.trials] == [0, 1]
        opened.append(trial(2), 9.0)
    assert read_run(folder).trials == [trial(0), trial(1), trial(2)]


def test_reading_does_not_touch_the_folder(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", [trial(0)])
    with (folder / "trials.jsonl").open("ab") as file:
        file.write(b'{"number":1,"ar')
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(read_run(folder).trials) == 1
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_the_best_trial_is_chosen_by_the_limits_that_were_given_last(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with RunStore.create(folder, {"objectives": ["a", "b"], "prefer": ["latency_ms<=3"]}) as store:
        for number, latency in enumerate([5.0, 3.0, 2.0, 1.0]):
            measured = Measurement({"latency_ms": latency})
            store.append(trial(number, measurement=measured, scores=(latency**2, -latency)), float(number))
    run = read_run(folder)
    assert run.choice.found.number == 1
    assert run.choice.rule == "of the Pareto front, the best in a with latency_ms<=3"
    run.prefer(["latency_ms<=2"])
    assert read_run(folder).choice.found.number == 2
    run.prefer(["knee"])
    assert read_run(folder).limits == ()
    with pytest.raises(UnknownName, match="Did you mean 'latency_ms'"):
        run.prefer(["latency<=2"])
    (folder / "artifacts" / "prefer.json").write_text("{")
    with pytest.raises(StoreError, match=r"prefer\.json is damaged .* give --prefer again"):
        _ = run.limits


# -- torn and damaged files -------------------------------------------------------------------------------------------


def test_a_line_torn_at_any_byte_is_dropped_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = written(tmp_path / "run", [trial(0), EVERY_KIND[1]])
    first, last = lines_of(folder)
    path = folder / "trials.jsonl"
    for length in range(len(last)):
        path.write_bytes(first + last[:length])
        caplog.clear()
        with caplog.at_level(logging.WARNING), RunStore.open(folder) as opened:
            assert opened.run.trials == [trial(0)]
            assert path.read_bytes() == first
            opened.append(EVERY_KIND[1], 0.5)
        assert ("torn" in caplog.text) == (length > 0)
        assert path.read_bytes() == first + last


def test_a_changed_byte_is_found_and_its_line_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", [trial(0), trial(1), trial(2)])
    first, second, third = lines_of(folder)
    for place in range(len(second) - 1):
        flipped = bytearray(second)
        flipped[place] ^= 0x04
        (folder / "trials.jsonl").write_bytes(first + bytes(flipped) + third)
        with pytest.raises(StoreError, match=r"Line 2 of .*trials\.jsonl is damaged"):
            read_run(folder)


@pytest.mark.parametrize("garbage", [b"\n", b"{}\n", b"hello\n", b"\xff\xfe\n", b"[1, 2]\n", b'{"crc32":"00000000"}\n'])
def test_a_foreign_line_is_refused_with_its_number(tmp_path: Path, garbage: bytes) -> None:
    folder = written(tmp_path / "run", [trial(0)])
    with (folder / "trials.jsonl").open("ab") as file:
        file.write(garbage)
    for reader in (read_run, RunStore.open):
        with pytest.raises(StoreError, match="Line 2 of"):
            reader(folder)  # type: ignore[operator]


def test_a_repeated_number_is_refused_with_the_line(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", [trial(0), trial(1)])
    (folder / "trials.jsonl").write_bytes(b"".join([*lines_of(folder), lines_of(folder)[0]]))
    with pytest.raises(StoreError, match=r"Line 3 of .* repeats trial 0"):
        read_run(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be read"),
        ("[]", "not written by ogive"),
        ("{}", "not written by ogive"),
        ('{"schema": "1"}', "not written by ogive"),
        ('{"schema": 3}', "newer ogive .schema 3; this one reads up to 2"),
    ],
)
def test_a_foreign_or_newer_run_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    folder = written(tmp_path / "run", [trial(0)])
    (folder / "run.json").write_text(content)
    for reader in (read_run, RunStore.open):
        with pytest.raises(StoreError, match=reason):
            reader(folder)  # type: ignore[operator]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for folder, reason in ((tmp_path, "is not a run folder"), (tmp_path / "absent", "does not exist")):
        for reader in (read_run, RunStore.open):
            with pytest.raises(StoreError, match=reason):
                reader(folder)  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_a_refused_run_is_given_free(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", [trial(0)])
    whole = (folder / "trials.jsonl").read_bytes()
    (folder / "trials.jsonl").write_bytes(b"hello\n" + whole)
    with pytest.raises(StoreError, match="Line 1"):
        RunStore.open(folder)
    (folder / "trials.jsonl").write_bytes(whole)
    with RunStore.open(folder) as opened:
        assert opened.run.trials == [trial(0)]


# -- beginning --------------------------------------------------------------------------------------------------------


def test_a_run_does_not_begin_where_another_one_is(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", [trial(0)])
    with pytest.raises(StoreError, match=r"holds run\.json; `ogive resume"):
        RunStore.create(folder, {})
    assert read_run(folder).trials == [trial(0)]


@pytest.mark.parametrize("name", ["thesis.tex", "artifacts/winner.json", "trials.jsonl"])
def test_a_run_does_not_begin_on_top_of_other_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("keep me")
    with pytest.raises(StoreError, match="choose another --out"):
        RunStore.create(tmp_path, {})
    assert (tmp_path / name).read_text() == "keep me"
    assert not (tmp_path / "run.json").exists()


def test_what_a_run_killed_in_its_first_milliseconds_leaves_is_used_again(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "trials.jsonl").touch()
    (tmp_path / "run.lock").touch()
    (tmp_path / "run.json.new").write_text('{"sche')
    with pytest.raises(StoreError, match="is not a run folder"):
        read_run(tmp_path)
    assert read_run(written(tmp_path, [trial(0)])).trials == [trial(0)]


def test_a_run_that_cannot_begin_leaves_its_folder_free(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        RunStore.create(tmp_path, {"seed": math.nan})
    with RunStore.create(tmp_path, {"seed": 0}):
        pass


def test_a_run_where_no_folder_can_be_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file is a file: choose another --out"):
        RunStore.create(tmp_path / "file" / "run", {})


# -- one writer -------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from ogive.run_store import RunStore
with RunStore.open(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_another_process_cannot_write_the_run_until_the_first_has_ended(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", [trial(0)])
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        for writer in (lambda: RunStore.open(folder), lambda: RunStore.create(folder, {})):
            with pytest.raises(RunInUse, match="is being written by another process"):
                writer()
        assert read_run(folder).trials == [trial(0)]  # whoever only reads is welcome
        process.kill()
    with RunStore.open(folder) as opened:
        opened.append(trial(1), 1.0)


def test_a_second_writer_in_the_same_process_is_refused_too(store: RunStore) -> None:
    with pytest.raises(RunInUse):
        RunStore.open(store.folder)


def test_closing_twice_is_closing_once(store: RunStore) -> None:
    store.close()
    store.close()
    with RunStore.open(store.folder):
        pass


# -- a full disk ------------------------------------------------------------------------------------------------------

# A limit on the size of files behaves like a full disk: the write that crosses it is cut short, the next one fails.
FULL = """
import resource, signal, sys
from pathlib import Path
from ogive.core.architecture import Architecture
from ogive.core.errors import StoreError
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.run_store import RunStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with RunStore.open(Path(sys.argv[1])) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    for number in range(10):
        proposal = Proposal(Architecture("natssize", (0, 1, 2, 3, number)))
        try:
            store.append(Trial(number, proposal, Measurement({"val_acc": 1.0}), "ok", (1.0,)), 1.0)
        except StoreError as error:
            print(number, error, flush=True)
            break
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.append(Trial(99, proposal, Measurement(), "failed"), 2.0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_on_a_full_disk_the_trials_before_are_kept_and_the_way_out_is_told(tmp_path: Path) -> None:
    folder = written(tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), folder, "600"], capture_output=True, text=True, check=True
    )
    number, _, reason = done.stdout.partition(" ")
    assert reason.startswith(f"Trial {number} could not be written")
    assert f"`ogive resume {folder}`" in reason
    kept = [each.number for each in read_run(folder).trials]
    assert int(number) >= 2
    assert kept == [*range(int(number)), 99]


def test_a_trial_that_could_not_be_synced_is_not_kept_by_half(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left on device"):
            store.append(trial(0), 0.0)
    assert read_run(store.folder).trials == []
    store.append(trial(0), 0.0)
    assert read_run(store.folder).trials == [trial(0)]


def test_a_file_that_could_not_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": math.inf})
    assert json.loads(path.read_text()) == {"a": 1}


# -- the state of a strategy ------------------------------------------------------------------------------------------


def study_of(evolution: RegularizedEvolution) -> Study:
    return Study(evolution, FirstWidth(), Maximize("val_acc"))


def evolution() -> RegularizedEvolution:
    return RegularizedEvolution(natssize(), Seed(0), population=4, tournament=2)


def searched(store: RunStore, trials: int, *, save_at: int) -> RegularizedEvolution:
    """A search of so many trials, whose strategy was saved while trial `save_at` was waiting to be told."""
    strategy = evolution()
    study = study_of(strategy)
    for each in study.run(Budget(trials=trials)):
        store.append(each, 0.0)
        if each.number == save_at:
            store.save_strategy(strategy, study)
    return strategy


def test_a_saved_strategy_goes_on_without_a_replay(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", {}) as store:
        searched(store, 12, save_at=9)
    whole = [each.arch for each in study_of(evolution()).run(Budget(trials=20))]
    with RunStore.open(tmp_path / "run") as store:
        strategy = evolution()
        study = study_of(strategy)
        past = store.load_strategy(strategy, study)
        assert [each.number for each in past] == [9, 10, 11]
        later = list(study.run(Budget(trials=20), past=past))
    assert [each.number for each in later] == list(range(12, 20))
    assert [each.arch for each in later] == whole[12:]


def test_without_a_saved_strategy_everything_is_replayed(store: RunStore) -> None:
    searched(store, 3, save_at=-1)
    store.close()
    with RunStore.open(store.folder) as opened:
        past = opened.load_strategy(evolution(), study_of(evolution()))
    assert [each.number for each in past] == [0, 1, 2]


def test_only_the_last_state_is_kept(store: RunStore) -> None:
    strategy = evolution()
    study = study_of(strategy)
    for each in study.run(Budget(trials=6)):
        store.append(each, 0.0)
        store.save_strategy(strategy, study)
    assert [path.name for path in store.artifacts.iterdir()] == ["strategy-000000005-000000006"]


def test_a_state_after_more_was_asked_replaces_the_one_after_as_much_was_told(store: RunStore) -> None:
    strategy = evolution()
    study = study_of(strategy)
    proposed = study.run(Budget(trials=1))
    store.save_strategy(strategy, study)
    store.append(next(proposed), 0.0)
    store.save_strategy(strategy, study)
    (saved,) = store.artifacts.iterdir()
    assert json.loads((saved / "study.json").read_text())["asked"] == 1


def test_what_was_left_of_an_unfinished_save_is_replaced(store: RunStore) -> None:
    (store.artifacts / "strategy.new").mkdir()
    (store.artifacts / "strategy.new" / "state.json").write_text("{")
    searched(store, 6, save_at=5)
    store.close()
    with RunStore.open(store.folder) as opened:
        assert [each.number for each in opened.load_strategy(evolution(), study_of(evolution()))] == [5]


@pytest.mark.parametrize("file", ["study.json", "state.json"])
@pytest.mark.parametrize("content", [None, "", "{}", '{"told": 5, "asked": 6, "open": 3}'])
def test_a_damaged_state_is_refused_and_deleting_it_is_the_way_out(
    store: RunStore, file: str, content: str | None
) -> None:
    searched(store, 6, save_at=5)
    saved = store.artifacts / "strategy-000000005-000000006"
    if content is None:
        (saved / file).unlink()
    else:
        (saved / file).write_text(content)
    store.close()
    with RunStore.open(store.folder) as opened:
        with pytest.raises(StoreError, match=r"(?i)delete (it|.*strategy-0+5-0+6) to replay all the trials instead"):
            opened.load_strategy(evolution(), study_of(evolution()))
        shutil.rmtree(saved)
        assert len(opened.load_strategy(evolution(), study_of(evolution()))) == 6


def test_a_state_that_knows_more_than_the_log_is_refused(store: RunStore) -> None:
    searched(store, 8, save_at=7)
    kept = lines_of(store.folder)[:3]
    store.close()
    (store.folder / "trials.jsonl").write_bytes(b"".join(kept))
    reason = r"knows 7 trials, but trials\.jsonl holds 3 of them: lines were removed"
    with RunStore.open(store.folder) as opened, pytest.raises(StoreError, match=reason):
        opened.load_strategy(evolution(), study_of(evolution()))

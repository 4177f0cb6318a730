"""Searches from their settings to their last trial. Over 500 lines: they share parts and one way to interrupt."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive import catalog, session
from ogive.core.capabilities import Answer
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.evaluator import Screened
from ogive.core.executor import Pool
from ogive.core.metric import Metric
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Cost, Fidelity, Measurement, Proposal, Trial
from ogive.estimate import estimate
from ogive.files import write_json
from ogive.machine import facts
from ogive.reporting.page import page
from ogive.runs import Run, read_run
from ogive.session import Parts, Settings, assemble, budget_of, isolated, resume, search, settings_of
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize


class Weighted:
    """The sum of the choices with weights, as the metric of that name; `seconds` of a clock that is not ours."""

    def __init__(self, metric: str, weight: float, *, seconds: float = 0.0, sleep_s: float = 0.0) -> None:
        self.metrics, self.weight, self.seconds, self.sleep_s = (Metric(metric),), weight, seconds, sleep_s

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        time.sleep(self.sleep_s)
        return [Measurement({self.metrics[0].name: self._sum(p)}, Cost(0.0, self.seconds)) for p in proposals]

    def _sum(self, proposal: Proposal) -> float:
        return float(sum(choice * self.weight**place for place, choice in enumerate(proposal.arch.choices)))


def settings(**changes: Any) -> Settings:
    plain = {"space": "natssize", "strategy": "evolution(population=6, tournament=3)", "evaluator": "own"}
    return Settings(**{**plain, "budget": Budget(trials=30), **changes})


def parts(chosen: Settings, evaluator: object = None) -> Parts:
    return session.assemble(chosen, given={"evaluator": evaluator or Weighted("val_acc", 1.5)})


def screened_parts(chosen: Settings) -> Parts:
    return parts(chosen, Screened(Weighted("guess", 1.0), Weighted("val_acc", 1.5), keep=2, pool=5))


def plain(trials: Sequence[Trial]) -> list[tuple[object, ...]]:
    return [(t.number, t.proposal, t.status, t.scores, dict(t.metrics), t.measurement.error) for t in trials]


def interrupted(folder: Path, count: int, chosen: Settings, made: Parts | None = None, **options: Any) -> None:
    """A search that is interrupted after so many trials."""
    seen: list[Trial] = []

    def watch(trial: Trial) -> None:
        seen.append(trial)
        if len(seen) == count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(chosen, folder, parts=made, on_trial=watch, **options)
    assert len(read_run(folder).trials) == count


# -- settings ---------------------------------------------------------------------------------------------------------


def test_settings_come_back_from_run_json() -> None:
    chosen = Settings(
        space="nasbench201",
        strategy="nsga2(population=4)",
        evaluator="trained(epochs=2)",
        objectives=("maximize(val_acc)", "minimize(params)"),
        budget=Budget(trials=7, wall_s=1.5, benchmark_s=9.0),
        seed=-3,
        data="digits(size=16)",
        table="t",
        channels=4,
        cells=1,
        device="cuda:1",
        threads=2,
        workers=3,
        in_flight=7,
        own_streams=False,
    )
    assert settings_of(json.loads(json.dumps(chosen.config()))) == chosen


def test_a_table_is_looked_up_and_without_one_networks_are_trained() -> None:
    assert Settings(space="nasbench201", table="t").evaluator == "tabular"
    assert Settings(space="nasbench201").evaluator == "trained"


def test_settings_without_a_worker_are_refused() -> None:
    with pytest.raises(SpecError, match="workers=0"):
        settings(workers=0)


@pytest.mark.parametrize("missing", ["space", "objectives", "budget", "skeleton"])
def test_a_run_json_without_settings_is_refused(missing: str) -> None:
    config = settings().config()
    del config[missing]
    with pytest.raises(StoreError, match="does not hold the settings of a search"):
        settings_of(config)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("200", Budget(trials=200)),
        ("200 trials", Budget(trials=200)),
        ("1 trial", Budget(trials=1)),
        ("1e3", Budget(trials=1000)),
        ("2e2trials, 1e1s", Budget(trials=200, wall_s=10.0)),
        ("90s", Budget(wall_s=90.0)),
        ("1.5m", Budget(wall_s=90.0)),
        ("2h", Budget(wall_s=7200.0)),
        ("benchmark=1e5", Budget(benchmark_s=1e5)),
        ("benchmark=2h", Budget(benchmark_s=7200.0)),
        ("200, 2h, benchmark=12000", Budget(200, 7200.0, 12000.0)),
        ("600 epochs", Budget(units=600, unit="epochs")),
        ("2h, 5000steps", Budget(wall_s=7200.0, units=5000, unit="steps")),
    ],
)
def test_a_budget_is_read(text: str, budget: Budget) -> None:
    assert budget_of(text) == budget


NO_BUDGETS = (
    "", "many", "1.5", "1.5e3", "1e-3", "1e999", "-3", "2d", "benchmark", "benchmark=", "200,", "2 h x", "0", "0s",
    "benchmark=1e999", "benchmark=3trials", "trials", "100,200", "1h,30m", "nan", "inf",
    "epochs", "1.5 epochs", "0 epochs", "9 epochs, 8 steps",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_BUDGETS)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        budget_of(text)


# -- data -------------------------------------------------------------------------------------------------------------


def test_data_take_options_in_brackets() -> None:
    data = catalog.build("data", "digits(size=12, limit=30)")
    assert data.shape == (1, 12, 12)
    assert len(data.test) == 30


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("digit", "no data set named 'digit'. Did you mean 'digits'"),
        ("digits(sise=12)", "no option of data named 'sise'. Did you mean 'size'"),
        ("digits(size=big)", r"data\(size=...\) takes int or none, but got big"),
        ("digits(12)", r"no data set named 'digits\(12\)'"),
        ("", "Data is written"),
    ],
)
def test_data_that_make_no_sense_are_refused(text: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        catalog.build("data", text)


def test_a_folder_of_images_may_have_brackets_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "photos (1)"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            pixels = np.full((6, 6, 3), 40 * number, np.uint8)
            (folder / name / f"{number}.ppm").write_bytes(b"P6 6 6 255\n" + pixels.tobytes())
    assert catalog.build("data", f"images:{folder}").shape == (3, 6, 6)
    assert catalog.build("data", f"images:{folder}(size=4)").shape == (3, 4, 4)


# -- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "objectives"),
    [
        ("random", ("maximize(val_acc)",)),
        ("local_search", ("maximize(val_acc)",)),
        ("evolution(population=6, tournament=3)", ("maximize(val_acc)",)),
        ("nsga2(population=6)", ("maximize(val_acc)", "minimize(val_acc)")),
    ],
)
@pytest.mark.parametrize("save_every", [4, 1000])
def test_an_interrupted_search_ends_with_the_trials_of_an_uninterrupted_one(
    tmp_path: Path, strategy: str, objectives: tuple[str, ...], save_every: int
) -> None:
    chosen = settings(strategy=strategy, objectives=objectives)
    whole = search(chosen, tmp_path / "whole", parts=parts(chosen))
    assert len(whole.trials) == 30
    for count in (1, 13, 30):
        folder = tmp_path / str(count)
        interrupted(folder, count, chosen, parts(chosen), save_every=save_every)
        resumed = resume(folder, parts=parts(chosen), save_every=save_every)
        assert plain(resumed.trials) == plain(whole.trials)


def test_a_screened_search_is_resumed_from_within_a_batch(tmp_path: Path) -> None:
    chosen = settings(budget=Budget(trials=7))
    whole = search(chosen, tmp_path / "whole", parts=screened_parts(chosen))
    assert [t.status for t in whole.trials].count("ok") == 7
    assert len(whole.trials) == 18  # three pools of 5, of which 2 are kept, and one of 3 for the seventh
    for count in (1, 7, 10, 17):
        folder = tmp_path / str(count)
        interrupted(folder, count, chosen, screened_parts(chosen), save_every=1)
        assert plain(resume(folder, parts=screened_parts(chosen)).trials) == plain(whole.trials)


def test_a_search_of_two_workers_is_resumed_to_the_same_trials(tmp_path: Path, invented_table: Path) -> None:
    # An evaluator of this file could not be sent: pytest does not import it under a name that a worker knows.
    strategy = "evolution(population=5, tournament=2)"
    two = Settings(
        space="nasbench201", strategy=strategy, table=str(invented_table), budget=Budget(trials=30), workers=2
    )
    whole = search(two, tmp_path / "whole")
    interrupted(tmp_path / "two", 17, two, save_every=3)
    assert plain(resume(tmp_path / "two").trials) == plain(whole.trials)


def test_a_run_of_version_0_1_goes_on_with_the_random_streams_that_it_had(tmp_path: Path) -> None:
    both = "screened(training_free(params, batch_size=8), training_free(naswot, batch_size=8), keep=1, pool=2)"
    chosen = Settings(
        space="nasbench201",
        data="digits(size=8, limit=40)",
        evaluator=both,
        objectives=("maximize(naswot)",),
        channels=4,
        cells=1,
        threads=1,
        budget=Budget(trials=3),
    )
    today, shared = search(chosen, tmp_path / "new"), search(replace(chosen, own_streams=False), tmp_path / "old")
    assert [trial.arch for trial in today.trials] == [trial.arch for trial in shared.trials]
    assert plain(today.trials) != plain(shared.trials)
    config = {name: value for name, value in shared.config.items() if name not in ("own_streams", "in_flight")}
    write_json(shared.folder / "run.json", config)
    lines = (shared.folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (shared.folder / "trials.jsonl").write_bytes(b"".join(lines[:2]))
    assert plain(resume(shared.folder).trials) == plain(shared.trials)


class Threads(Pool):
    """An executor of one's own."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self._inner = count, ThreadPoolExecutor(count)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._inner.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._inner.shutdown(wait, cancel_futures=cancel_futures)


class Uneven(Weighted):
    """Takes longer for some candidates than for others."""

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        time.sleep(sum(sum(proposal.arch.choices) for proposal in proposals) % 5 / 200)
        return super().evaluate(proposals)


@pytest.mark.parametrize("save_every", [4, 50])
def test_a_search_in_the_order_of_finishing_goes_on_as_it_went(tmp_path: Path, save_every: int) -> None:
    chosen = settings(order="finish", workers=3)
    assert chosen.ahead == 3
    with Threads(3) as pool:
        whole = search(chosen, tmp_path / "run", parts=parts(chosen, Uneven("val_acc", 1.5)), pool=pool)
        finished = [record.trial.number for record in whole.records]
        assert (whole.config["order"], whole.config["in_flight"]) == ("finish", 3)
        assert settings_of(whole.config).order == "finish"
        assert finished != sorted(finished)
        interrupted(
            tmp_path / "cut", 17, chosen, parts(chosen, Uneven("val_acc", 1.5)), pool=pool, save_every=save_every
        )
        before = read_run(tmp_path / "cut").records
        run = resume(tmp_path / "cut", parts=parts(chosen), pool=pool, workers=1)
    assert run.records[:17] == before
    assert [trial.number for trial in run.trials] == list(range(30))
    with pytest.raises(StoreError, match="with the order finish, but now it is number"):
        session.refuse_other_settings(run, replace(chosen, order="number", in_flight=3))


TIMED = "latency(max_seconds=0.01, min_seconds=0.0, warm_up_s=0.0)"
SCORED = "training_free(naswot, batch_size=8)"
ON_DIGITS = Settings(
    space="nasbench201",
    data="digits(size=8, limit=40)",
    evaluator=f"together({SCORED}, {TIMED})",
    channels=4,
    cells=1,
    threads=1,
    budget=Budget(trials=2),
)


@pytest.mark.parametrize(
    ("changes", "unrepeatable"),
    [
        ({"objectives": ("latency_tradeoff(target_ms=1, accuracy=naswot)",)}, ["latency_ms"]),
        ({"objectives": ("maximize(naswot)", "minimize(latency_ms)"), "strategy": "random"}, ["latency_ms"]),
        ({"objectives": ("maximize(naswot)",)}, []),
        (
            {
                "objectives": ("maximize(naswot)",),
                "evaluator": f"screened({TIMED}, {SCORED}, keep=1, pool=2)",
            },
            ["latency_ms"],
        ),
    ],
)
def test_a_run_says_whether_it_depends_on_a_clock(
    tmp_path: Path, changes: dict[str, Any], unrepeatable: list[str]
) -> None:
    run = search(replace(ON_DIGITS, **changes), tmp_path / "run")
    assert run.config["unrepeatable"] == unrepeatable
    said = "What it finds depends on latency, which no second measurement repeats."
    assert run.chances == ((said,) if unrepeatable else ())
    before = replace(run, config={name: value for name, value in run.config.items() if name != "unrepeatable"})
    if len(changes) == 1 or "strategy" in changes:  # in version 0.1 the objectives told
        assert before.chances == run.chances
    text = page([run])
    assert (said in text) == bool(unrepeatable)
    assert ("Clocks and latencies will differ, trials will not." in text) != bool(unrepeatable)


def test_a_run_in_the_order_of_finishing_says_so(tmp_path: Path) -> None:
    chosen = settings(order="finish", in_flight=3, budget=Budget(trials=4))
    run = search(chosen, tmp_path / "run", parts=parts(chosen))
    (said,) = run.chances
    assert said == "Its trials are told in the order in which they finish, which no second run repeats."
    assert said in page([run])
    assert "--in-flight 3 --order finish" in page([run])


def test_an_order_that_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownName, match="finish, number"):
        settings(order="chance")


def test_a_finished_search_has_nothing_to_resume(tmp_path: Path) -> None:
    chosen = settings(budget=Budget(trials=5))
    done = search(chosen, tmp_path / "run", parts=parts(chosen))
    seen: list[Trial] = []
    assert resume(tmp_path / "run", parts=parts(chosen), on_trial=seen.append) == done
    assert seen == []


def test_a_search_under_another_seed_is_not_resumed(tmp_path: Path) -> None:
    chosen = settings()
    interrupted(tmp_path / "run", 5, chosen, parts(chosen))
    with pytest.raises(StoreError, match="the seed, the settings or the version differ"):
        resume(tmp_path / "run", parts=parts(settings(seed=1)))


def test_the_settings_of_a_run_are_compared_one_by_one(tmp_path: Path) -> None:
    chosen = settings(budget=Budget(trials=3))
    run = search(chosen, tmp_path / "run", parts=parts(chosen))
    session.refuse_other_settings(run, replace(chosen, workers=2, device="cuda"))
    with pytest.raises(StoreError, match="with the seed 0, but now it is 1"):
        session.refuse_other_settings(run, replace(chosen, seed=1))
    more = replace(chosen, budget=Budget(trials=4))
    session.refuse_other_settings(run, more, may_differ=("budget",))
    with pytest.raises(StoreError, match="with the budget"):
        session.refuse_other_settings(run, more)


def test_times_go_on_where_the_interrupted_search_stopped(tmp_path: Path) -> None:
    chosen = settings(budget=Budget(trials=6))
    slow = parts(chosen, Weighted("val_acc", 1.5, sleep_s=0.01))
    interrupted(tmp_path / "run", 4, chosen, slow)
    before = read_run(tmp_path / "run").elapsed_s
    run = resume(tmp_path / "run", parts=parts(chosen))
    times = [record.at_s for record in run.records]
    assert times == sorted(times)
    assert times[4] > before >= 0.04


# -- budgets ----------------------------------------------------------------------------------------------------------


def test_a_search_ends_after_its_trials_and_writes_what_it_was_asked(tmp_path: Path) -> None:
    chosen = settings(budget=Budget(trials=4))
    run = search(chosen, tmp_path / "run", command="ogive search …", role="baseline", parts=parts(chosen))
    assert [trial.number for trial in run.trials] == [0, 1, 2, 3]
    assert settings_of(run.config) == replace(
        chosen, objectives=("maximize(val_acc)",), in_flight=1
    )  # what no objective stood for
    assert (run.config["command"], run.config["role"]) == ("ogive search …", "baseline")
    assert set(run.config) >= {"schema", "ogive", "created", "machine"}


def test_a_search_ends_after_its_time_on_this_machine(tmp_path: Path) -> None:
    chosen = settings(budget=Budget(wall_s=0.3))
    started = time.perf_counter()
    run = search(chosen, tmp_path / "run", parts=parts(chosen, Weighted("val_acc", 1.0, sleep_s=0.02)))
    assert time.perf_counter() - started >= 0.3
    assert 1 <= len(run.trials) <= 15  # of at least 0.02 s each


def test_what_was_under_way_when_the_time_was_up_is_told_until_it_is_finished(tmp_path: Path) -> None:
    chosen = settings(budget=Budget(wall_s=0.3))
    run = search(chosen, tmp_path / "run", parts=parts(chosen, Weighted("val_acc", 1.0, sleep_s=60.0)))
    assert run.trials == []
    assert run.stopped is not None
    assert str(run.stopped) == f"The time was up after {run.stopped.at_s:.3g} s: 1 trial not finished (0)."
    assert run.elapsed_s == run.stopped.at_s
    assert "1 trial not finished (0)." in page([run])
    # Nobody died: the same trial may be stopped so often as it likes.
    for _ in range(2):
        assert resume(run.folder, parts=parts(chosen, Weighted("val_acc", 1.0, sleep_s=60.0))).trials == []
        longer = Budget(wall_s=read_run(run.folder).elapsed_s + 0.1)
        slow = parts(chosen, Weighted("val_acc", 1.0, sleep_s=60.0))
        assert resume(run.folder, budget=longer, parts=slow).trials == []
    quick = parts(chosen, Weighted("val_acc", 1.0))
    finished = resume(run.folder, budget=Budget(trials=2), parts=quick)
    assert [trial.status for trial in finished.trials] == ["ok", "ok"]
    assert finished.stopped is None


def test_a_search_by_the_clock_measures_in_a_process_that_can_be_ended_where_that_helps(invented_table: Path) -> None:
    timed = settings(budget=Budget(wall_s=60.0))
    assert isolated(timed, parts(timed)).workers == "processes(1)"
    assert isolated(settings(), parts(settings())).workers == 1
    assert isolated(replace(timed, workers=2), parts(timed)).workers == 2
    looked_up = Settings(space="nasbench201", table=str(invented_table), budget=Budget(wall_s=60.0))
    assert isolated(looked_up, assemble(looked_up)).workers == 1


def test_a_search_ends_after_its_benchmark_seconds(tmp_path: Path, invented_table: Path) -> None:
    chosen = Settings(space="nasbench201", table=str(invented_table), budget=Budget(benchmark_s=500.0))
    run = search(chosen, tmp_path / "run")
    seconds = np.cumsum([trial.cost.benchmark_s for trial in run.trials])
    assert seconds[-2] < 500 <= seconds[-1]
    expected = [10 + sum(trial.arch.choices) for trial in run.trials]
    assert np.diff(seconds, prepend=0.0).tolist() == expected


def test_a_budget_on_a_clock_that_stands_still_is_refused(tmp_path: Path) -> None:
    chosen = settings(budget=Budget(benchmark_s=100.0))
    with pytest.raises(SpecError, match="never ends here"):
        search(chosen, tmp_path / "run", parts=parts(chosen))
    assert read_run(tmp_path / "run").trials == []
    moving = parts(chosen, Weighted("val_acc", 1.0, seconds=30.0))
    assert len(search(chosen, tmp_path / "moving", parts=moving).trials) == 4


def test_a_finished_search_goes_on_under_a_larger_budget(tmp_path: Path) -> None:
    chosen, folder = settings(budget=Budget(trials=10)), tmp_path / "run"
    search(chosen, folder, parts=parts(chosen))
    longer = resume(folder, budget=Budget(trials=25), parts=parts(chosen))
    whole = search(replace(chosen, budget=Budget(trials=25)), tmp_path / "whole", parts=parts(chosen))
    assert plain(longer.trials) == plain(whole.trials)
    # The larger budget is remembered, and run.json says what was asked for at first.
    assert len(resume(folder, parts=parts(chosen)).trials) == 25
    assert settings_of(longer.config) == replace(chosen, objectives=("maximize(val_acc)",), in_flight=1)


def test_a_screened_search_goes_on_under_a_larger_budget(tmp_path: Path) -> None:
    chosen, folder = settings(budget=Budget(trials=3)), tmp_path / "run"
    first = search(chosen, folder, parts=screened_parts(chosen))
    longer = resume(folder, budget=Budget(trials=8), parts=screened_parts(chosen))
    assert plain(longer.trials)[: len(first.trials)] == plain(first.trials)
    assert sum(trial.status == "ok" for trial in longer.trials) >= 8
    assert plain(resume(folder, parts=screened_parts(chosen)).trials) == plain(longer.trials)


def test_a_smaller_budget_is_refused_and_not_remembered(tmp_path: Path) -> None:
    chosen, folder = settings(budget=Budget(trials=10)), tmp_path / "run"
    search(chosen, folder, parts=parts(chosen))
    with pytest.raises(SpecError, match=r"has spent 10 trials .* more than a budget of 4 trials"):
        resume(folder, budget=Budget(trials=4), parts=parts(chosen))
    assert len(resume(folder, parts=parts(chosen)).trials) == 10


def test_a_damaged_budget_is_named(tmp_path: Path) -> None:
    chosen, folder = settings(budget=Budget(trials=3)), tmp_path / "run"
    search(chosen, folder, parts=parts(chosen))
    (folder / "artifacts" / "budget.json").write_text('{"trials": "many"}')
    with pytest.raises(StoreError, match=r"budget\.json is damaged"):
        resume(folder, parts=parts(chosen))


# -- inputs -----------------------------------------------------------------------------------------------------------


def test_a_changed_table_is_refused(tmp_path: Path, invented_table: Path) -> None:
    table, folder = tmp_path / "table", tmp_path / "run"
    shutil.copytree(invented_table, table)
    chosen = Settings(space="nasbench201", table=str(table), budget=Budget(trials=5))
    search(chosen, folder)
    description = json.loads((table / "table.json").read_text())
    (table / "table.json").write_text(json.dumps({**description, "digest": "0" * 64}))
    with pytest.raises(StoreError, match=f"The table of .* now it is {'0' * 64}"):
        resume(folder, budget=Budget(trials=9))
    (table / "table.json").write_text(json.dumps(description))
    assert len(resume(folder, budget=Budget(trials=9)).trials) == 9


def test_nothing_is_begun_that_cannot_run(tmp_path: Path, invented_table: Path) -> None:
    chosen = Settings(space="nasbench201", table=str(invented_table))
    wrong: list[tuple[dict[str, Any], type[SpecError], str]] = [
        ({"space": "nasbench21"}, UnknownName, "nasbench201"),
        ({"strategy": "evolution(populaton=3)"}, UnknownName, "population"),
        ({"evaluator": "tabular(metric=c10_val_200)"}, UnknownName, "c10v_val_200"),
        ({"evaluator": "tabular(metric=c10_test_200)"}, SpecError, "never sees the test set"),
        ({"objectives": ("minimize(latency_ms)",)}, SpecError, "needs the metric 'latency_ms'"),
        ({"objectives": ("maximize(test_acc)",)}, SpecError, "never sees the test set"),
        ({"objectives": ("maximize(val_acc)", "minimize(val_acc)")}, SpecError, "1 objective"),
        ({"space": "natssize"}, SpecError, "for the space nasbench201, but the search is in natssize"),
        ({"space": "natssize", "evaluator": "cached(tabular)"}, SpecError, "but the search is in natssize"),
    ]
    for changes, error, reason in wrong:
        with pytest.raises(error, match=reason):
            search(replace(chosen, **changes), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_several_workers_share_the_cores_unless_threads_are_asked_for() -> None:
    cores = facts()["cores"]
    assert isinstance(cores, int)
    assert session.threads_of(settings(), 1) is None
    assert session.threads_of(settings(), cores) == 1
    assert session.threads_of(settings(), 10 * cores) == 1
    assert session.threads_of(settings(threads=3), 10 * cores) == 3
    assert parts(settings(workers=10 * cores)).context["threads"] == 1


# -- strategies whose batches are more than their members ------------------------------------------------------------


class Jointly:
    """Draws each batch from a stream that its size, and all that happened before, decide."""

    def __init__(self) -> None:
        self.space, self.happened = natssize(), 0

    def ask(self, n: int = 1) -> list[Proposal]:
        self.happened = 31 * self.happened + n
        rng = Seed(self.happened % 2**32).numpy("batch")
        return [Proposal(self.space.sample(rng)) for _ in range(n)]

    def tell(self, trials: Sequence[Trial]) -> None:
        self.happened = 31 * self.happened + 1000 + sum(trial.number for trial in trials)


def joint_parts(chosen: Settings) -> Parts:
    evaluator = Screened(Weighted("guess", 1.0), Weighted("val_acc", 1.5), keep=2, pool=5)
    return session.assemble(chosen, given={"evaluator": evaluator, "strategy": Jointly()})


def test_a_strategy_of_joint_batches_resumes_exactly(tmp_path: Path) -> None:
    chosen = settings(strategy="own", budget=Budget(trials=9))
    whole = search(chosen, tmp_path / "whole", parts=joint_parts(chosen))
    for count in (1, 7, 14, 19):
        folder = tmp_path / str(count)
        shutil.copytree(tmp_path / "whole", folder)
        lines = (folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
        (folder / "trials.jsonl").write_bytes(b"".join(lines[:count]))
        assert plain(resume(folder, parts=joint_parts(chosen)).trials) == plain(whole.trials)


def test_a_strategy_of_joint_batches_goes_on_under_a_larger_budget(tmp_path: Path) -> None:
    """The last batch of the smaller budget was smaller than it would be under the larger one."""
    chosen = settings(strategy="own", budget=Budget(trials=5))
    first = search(chosen, tmp_path / "run", parts=joint_parts(chosen))
    longer = resume(tmp_path / "run", budget=Budget(trials=12), parts=joint_parts(chosen))
    assert plain(longer.trials)[: len(first.trials)] == plain(first.trials)
    assert sum(trial.status != "screened" for trial in longer.trials) == 12
    again = resume(tmp_path / "run", budget=Budget(trials=15), parts=joint_parts(chosen))
    assert plain(again.trials)[: len(longer.trials)] == plain(longer.trials)


# -- estimates --------------------------------------------------------------------------------------------------------


def test_an_estimate_multiplies_what_one_trial_took(monkeypatch: pytest.MonkeyPatch, invented_table: Path) -> None:
    chosen = Settings(space="nasbench201", table=str(invented_table), budget=Budget(trials=40), workers=2)
    found = estimate(chosen)
    assert found.size == 15_625
    assert found.error is None
    assert found.total_s == pytest.approx(20 * found.trial_s)
    assert estimate(replace(chosen, budget=Budget(wall_s=7.0))).total_s == 7.0
    # Between 10 and 34 benchmark seconds a trial.
    simulated = estimate(replace(chosen, budget=Budget(benchmark_s=340.0)))
    assert 5 <= simulated.total_s / simulated.trial_s <= 17


class Epochs:
    """Takes 0.3 s once, 20 ms for each training and 20 ms for each of its epochs."""

    metrics = (Metric("val_acc"),)

    def __init__(self, epochs: int) -> None:
        self.fidelity, self.cold = Fidelity("epochs", epochs), True

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        for proposal in proposals:
            time.sleep(0.3 * self.cold + 0.02 + 0.02 * (proposal.fidelity or self.fidelity.full))
            self.cold = False
        return [Measurement({"val_acc": 1.0}) for _ in proposals]


def test_an_estimate_does_not_multiply_what_happens_once() -> None:
    chosen = settings(budget=Budget(trials=10))
    found = estimate(chosen, parts=parts(chosen, Epochs(50)))
    # About 0.02 + 50 * 0.02 = 1.02 s; 50 times one cold epoch would be 17 s, however busy the machine is.
    assert 0 < found.trial_s < 10
    assert found.total_s == pytest.approx(10 * found.trial_s)


def test_an_estimate_says_why_its_trial_failed() -> None:
    starved = "trained(epochs=1, memory_limit_mb=1)"
    found = estimate(Settings(space="natssize", data="digits", evaluator=starved, budget=Budget(benchmark_s=10.0)))
    assert found.error is not None
    assert "out of memory" in found.error
    assert math.isinf(found.total_s)


def test_an_estimate_counts_what_the_strategy_trains_and_how_many_proposals_it_makes() -> None:
    chosen = Settings(
        space="nasbench201",
        data="digits(size=8, limit=64)",
        strategy="darts(epochs=3, batch_size=16)",
        evaluator="training_free(params, batch_size=8)",
        objectives=("maximize(params)",),
        channels=4,
        cells=1,
        budget=Budget(trials=100),
    )
    found = estimate(chosen)
    assert found.asking_s > 0
    assert found.total_s == pytest.approx(found.asking_s + 3 * found.trial_s)
    fewer = estimate(replace(chosen, budget=Budget(trials=1)))
    assert fewer.total_s == pytest.approx(fewer.asking_s + fewer.trial_s)
    both = estimate(chosen, ["darts(epochs=3, batch_size=16)", "random"])
    assert both.total_s == pytest.approx(both.asking_s + 103 * both.trial_s)


# -- what a search answers with ---------------------------------------------------------------------------------------


class Guided:
    """Proposes what it thinks about for some time, and reports that time; it answers with its best trial."""

    def __init__(self) -> None:
        self.space, self.rng = nasbench201(), Seed(3).numpy("guided")

    def ask(self, n: int = 1) -> list[Proposal]:
        return [Proposal(self.space.sample(self.rng), cost=Cost(wall_s=2.0)) for _ in range(n)]

    def tell(self, trials: Sequence[Trial]) -> None:
        pass


class Deriving(Guided):
    """The same, of which every proposal is better founded than those before."""

    answer: Answer = "last"


def guided_run(strategy: Guided, folder: Path) -> Run:
    chosen = settings(space="nasbench201", strategy="own", budget=Budget(trials=5))
    given = {"evaluator": Weighted("val_acc", 1.5), "strategy": strategy}
    return search(chosen, folder, parts=session.assemble(chosen, given=given))


@pytest.mark.parametrize(("strategy", "answer"), [(Guided(), "best"), (Deriving(), "last")])
def test_a_search_answers_with_what_its_strategy_says_whatever_its_proposals_cost(
    strategy: Guided, answer: str, tmp_path: Path
) -> None:
    run = guided_run(strategy, tmp_path)
    assert all(trial.proposal.cost.wall_s > 0 for trial in run.trials)
    assert json.loads((tmp_path / "run.json").read_text())["answer"] == answer
    assert run.answer == answer
    text = page([run])
    assert ("the answer of the search itself" in text) == (answer == "last")
    assert ("Epochs of the supernet" in text) == (answer == "last")


def test_a_run_of_version_0_1_answers_with_its_last_trial_where_every_proposal_cost_time(tmp_path: Path) -> None:
    run = guided_run(Guided(), tmp_path)
    old = {key: value for key, value in run.config.items() if key != "answer"}
    (tmp_path / "run.json").write_text(json.dumps(old))
    assert read_run(tmp_path).answer == "last"
    (tmp_path / "trials.jsonl").write_text("")
    assert read_run(tmp_path).answer == "best"

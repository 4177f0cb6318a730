from __future__ import annotations

import gc
import itertools
import math
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.evaluators.timing import Sampler, Timing, measure, median_interval, side_by_side
from ogive.training.lock import QUIET_S, machine_lock

QUICK = Timing(warm_up_s=0.0, min_runs=6, min_seconds=0.0, relative_width=math.inf)


class Spy(nn.Module):
    """Does what it is told to, and remembers under which conditions it was run."""

    def __init__(self, act: Callable[[int], None] = lambda run: None) -> None:
        super().__init__()
        self.act = act
        self.inner = nn.Dropout(0.5)
        self.seen: list[dict[str, object]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(
            {
                "shape": tuple(x.shape),
                "training": self.training or self.inner.training,
                "threads": torch.get_num_threads(),
                "collecting": gc.isenabled(),
                "inference": torch.is_inference_mode_enabled(),
                "first": float(x.flatten()[0]),
            }
        )
        self.act(len(self.seen))
        return x


def scripted(walls: Iterable[float]) -> Sampler:
    """Passes that take so long, one after the other, by either clock."""
    left = iter(walls)

    def sample(module: nn.Module, batch: Tensor) -> tuple[float, float]:
        wall = next(left)
        return wall, wall

    return sample


def busy(seconds: float) -> None:
    """Keep a core busy for so much processor time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_network_runs_in_evaluation_and_inference_mode_with_fixed_threads_and_no_collection() -> None:
    spy = Spy()
    before = torch.get_num_threads()
    spy.train()
    spy.inner.eval()
    report = measure(spy, (2, 5, 4), replace(QUICK, batch_size=3, threads=before + 1, warm_up_s=0.01, min_runs=7))
    expected = {
        "shape": (3, 2, 5, 4),
        "training": False,
        "threads": before + 1,
        "collecting": False,
        "inference": True,
        "first": spy.seen[0]["first"],
    }
    assert all(seen == expected for seen in spy.seen)
    assert len(spy.seen) == report.warm_up_runs + report.runs
    assert (report.runs, report.batch_size, report.threads, report.device) == (7, 3, before + 1, "cpu")
    # And afterwards everything is as it was.
    assert torch.get_num_threads() == before
    assert gc.isenabled()
    assert (spy.training, spy.inner.training) == (True, False)


def test_everything_is_as_it_was_after_a_network_that_raises() -> None:
    def fail(run: int) -> None:
        if run == 4:
            raise RuntimeError("a broken network")

    spy, before = Spy(fail).train(), torch.get_num_threads()
    with pytest.raises(RuntimeError, match="a broken network"):
        measure(spy, (3, 4, 4), replace(QUICK, threads=before + 1))
    assert torch.get_num_threads() == before
    assert gc.isenabled()
    assert spy.training
    assert spy.inner.training


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        measure(Spy(), (3, 4, 4), QUICK)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_median_of_a_sleeping_network_is_its_sleep_and_its_processor_time_is_not() -> None:
    report = measure(Spy(lambda run: time.sleep(0.02)), (3, 4, 4), QUICK)
    # time.sleep never returns early (since Python 3.5), so the lower bounds are exact.
    assert 20.0 <= report.p10_ms <= report.median_ms <= report.p90_ms
    assert report.cpu_ms < 15.0


def test_threads_that_still_look_for_work_are_waited_for() -> None:
    square = np.random.default_rng(0).random((400, 400))
    square @ square  # numpy's threads, where it has several, are busy for a tenth of a second from here
    report = measure(Spy(lambda run: time.sleep(0.02)), (3, 4, 4), QUICK)
    assert report.cpu_ms < 15.0


def test_the_processor_time_of_a_busy_network_is_counted() -> None:
    report = measure(Spy(lambda run: busy(0.01)), (3, 4, 4), QUICK)
    assert report.cpu_ms >= 10.0
    assert report.median_ms >= 10.0 * 0.99


def test_median_and_deciles_are_those_of_the_timed_runs_only() -> None:
    # Nothing is warm in no time: one pass of 200 ms, then 11 timed ones of 10, 15, ..., 60 ms in a shuffled order.
    walls = [0.2] + [0.005 * k for k in (7, 2, 12, 5, 9, 3, 11, 6, 4, 10, 8)]
    report = measure(nn.Identity(), (3, 4, 4), replace(QUICK, min_runs=11), sample=scripted(walls))
    assert (report.warm_up_runs, report.runs, report.steady) == (1, 11, False)
    found = (report.p10_ms, report.median_ms, report.p90_ms)
    assert found == pytest.approx([15.0, 1e3 * statistics.median(walls[1:]), 55.0])


def test_the_median_is_not_moved_by_one_slow_pass() -> None:
    walls = [0.01] * 3 + [0.5] + [0.01] * 3
    report = measure(nn.Identity(), (3, 4, 4), replace(QUICK, min_runs=7), sample=scripted([0.01, *walls]))
    assert (report.runs, report.median_ms, report.cpu_ms) == (7, pytest.approx(10.0), pytest.approx(10.0))


def test_the_warm_up_ends_when_the_times_have_settled() -> None:
    walls = [0.08] * 5 + [0.02] * 10 + [0.021] * 6
    report = measure(nn.Identity(), (1, 1, 1), replace(QUICK, warm_up_s=1e3), sample=scripted(walls))
    assert (report.steady, report.warm_up_runs, report.runs) == (True, 15, 6)
    assert report.median_ms == pytest.approx(21.0)


def test_a_quick_network_is_run_until_the_least_time_is_over() -> None:
    timing = replace(QUICK, min_seconds=0.05)
    assert measure(nn.Identity(), (1, 1, 1), timing, sample=scripted([0.0011] * 99)).runs == 46


def test_a_slow_network_is_run_six_times_and_then_no_longer_than_asked() -> None:
    many = Timing(warm_up_s=0.0, min_runs=100, min_seconds=0.0, max_seconds=0.01)
    report = measure(nn.Identity(), (1, 1, 1), many, sample=scripted([0.05] * 99))
    assert (report.runs, report.narrow) == (6, True)
    assert measure(nn.Identity(), (1, 1, 1), replace(many, max_seconds=1.0), sample=scripted([0.125] * 9)).runs == 8


# -- how well the median is known -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [6, 7, 11, 30, 101, 1000])
def test_the_interval_of_a_median_is_that_of_scipy(count: int) -> None:
    values = np.random.default_rng(count).lognormal(size=count).tolist()
    oracle = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    assert median_interval(values) == (oracle.low, oracle.high)


def test_fewer_than_six_values_have_no_interval() -> None:
    assert all(math.isnan(end) for end in median_interval([1.0, 2.0, 3.0, 4.0, 5.0]))


def test_the_interval_holds_the_median_in_95_of_100_samples() -> None:
    rng = np.random.default_rng(0)
    intervals = [median_interval(rng.exponential(size=12).tolist()) for _ in range(2000)]
    covered = np.mean([low <= math.log(2) <= high for low, high in intervals])
    assert 0.95 <= covered <= 0.99  # of 12 the ranks 3 and 10: 96.1 %


def test_a_measurement_goes_on_until_its_interval_is_as_narrow_as_asked() -> None:
    rng = np.random.default_rng(0)
    walls = rng.normal(0.010, 0.002, 5000).tolist()
    wide, narrow = (
        measure(
            nn.Identity(),
            (1, 1, 1),
            Timing(warm_up_s=0.0, min_runs=6, min_seconds=0.0, max_seconds=100.0, relative_width=width),
            sample=scripted(walls),
        )
        for width in (0.2, 0.02)
    )
    assert wide.narrow
    assert narrow.narrow
    assert narrow.runs > 10 * wide.runs  # a tenth of the width takes a hundred times the runs
    for report, width in ((wide, 0.2), (narrow, 0.02)):
        assert report.low_ms <= report.median_ms <= report.high_ms <= report.low_ms + width * report.median_ms
        assert not report.doubts


def test_a_measurement_that_stays_uncertain_ends_at_its_cap_and_says_so() -> None:
    walls = itertools.chain([0.01], itertools.cycle([0.125, 0.375]))
    report = measure(
        nn.Identity(), (1, 1, 1), replace(QUICK, max_seconds=10.0, relative_width=0.05), sample=scripted(walls)
    )
    assert not report.narrow
    assert report.runs == 40
    assert report.doubts == (
        "The 95 % interval of the median is still 100% wide after 40 runs, when the time for them was over.",
    )


@pytest.mark.parametrize(
    ("wall", "cpu", "threads", "doubt"),
    [
        (0.0079, 0.0040, 1, "something else kept the machine busy"),
        (0.0079, 0.0040, 4, "something else kept the machine busy"),
        (0.0040, 0.0040, 1, None),
        (0.0040, 0.0037, 1, None),
        (0.0040, 0.0120, 4, None),
        (0.0040, 0.0080, 1, "other threads of this process"),
    ],
)
def test_wall_and_processor_time_are_compared(wall: float, cpu: float, threads: int, doubt: str | None) -> None:
    report = measure(
        nn.Identity(), (1, 1, 1), replace(QUICK, threads=threads), sample=lambda module, batch: (wall, cpu)
    )
    assert [doubt in found for found in report.doubts] == ([] if doubt is None else [True])
    if doubt is not None:
        assert f"{1e3 * wall:.3g} ms passed, of which the processor worked {1e3 * cpu:.3g} ms" in report.doubts[0]
    # A processor that waits for a GPU says nothing about the network.
    assert replace(report, device="NVIDIA H100").doubts == ()


# -- several networks -------------------------------------------------------------------------------------------------


def test_networks_are_measured_in_turns_there_and_back() -> None:
    first, second, third = modules = [nn.Identity() for _ in range(3)]
    names = {id(module): name for name, module in zip("abc", modules, strict=True)}
    seen: list[str] = []

    def sample(module: nn.Module, batch: Tensor) -> tuple[float, float]:
        seen.append(names[id(module)])
        return 0.01, 0.01

    reports = side_by_side([first, second, third], (1, 1, 1), replace(QUICK, min_runs=15), sample=sample)
    # One pass warms each up; a turn is one pass for the caches and five that count.
    assert "".join(seen) == "abc" + "".join(6 * name for name in "abc" + "cba" + "abc")
    assert [report.runs for report in reports] == [15, 15, 15]


def test_a_machine_that_slows_down_slows_all_networks_alike() -> None:
    fast, slow = nn.Identity(), nn.Identity()
    passes = itertools.count()

    def sample(module: nn.Module, batch: Tensor) -> tuple[float, float]:
        wall = (0.010 if module is fast else 0.011) * (1.0 + 0.02 * next(passes))
        return wall, wall

    timing = replace(QUICK, min_runs=100)
    quick, dull = side_by_side([fast, slow], (1, 1, 1), timing, sample=sample)
    assert 1.05 < dull.median_ms / quick.median_ms < 1.15
    # One after the other, the faster of two networks is the one that was measured first.
    alone = [measure(module, (1, 1, 1), timing, sample=sample).median_ms for module in (slow, fast)]
    assert alone[0] < alone[1]


def test_turns_end_when_all_together_have_had_their_time() -> None:
    still, noisy = nn.Identity(), nn.Identity()
    uncertain = itertools.cycle([0.01, 0.03])

    def sample(module: nn.Module, batch: Tensor) -> tuple[float, float]:
        wall = 0.05 if module is still else next(uncertain)
        return wall, wall

    timing = replace(QUICK, max_seconds=1.0, relative_width=0.05)
    certain, unsure = side_by_side([still, noisy], (1, 1, 1), timing, sample=sample)
    assert certain.narrow
    assert not unsure.narrow
    assert certain.runs == unsure.runs == 30  # rounds of 0.35 s or so, until 2 s are over


# -- one at a time ----------------------------------------------------------------------------------------------------


def test_two_measurements_at_once_take_turns(tmp_path: Path) -> None:
    entered, inside, most = threading.Event(), [0], [0]

    def first(module: nn.Module, batch: Tensor) -> tuple[float, float]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        entered.set()
        other.join(0.05)  # time enough for the other to come in, if it could
        inside[0] -= 1
        return 0.01, 0.01

    def second(module: nn.Module, batch: Tensor) -> tuple[float, float]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        inside[0] -= 1
        return 0.01, 0.01

    def join_in() -> None:
        entered.wait()
        measure(nn.Identity(), (1, 1, 1), QUICK, sample=second, lock=tmp_path / "lock")

    other = threading.Thread(target=join_in)
    other.start()
    measure(nn.Identity(), (1, 1, 1), QUICK, sample=first, lock=tmp_path / "lock")
    other.join()
    assert most == [1]


HOLDING = """
import sys, time
from pathlib import Path
from ogive.training.lock import machine_lock
with machine_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
def test_a_process_that_is_killed_while_it_measures_gives_the_machine_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, str(file)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        came_in = threading.Event()

        def enter() -> None:
            with machine_lock(file):
                came_in.set()

        waiting = threading.Thread(target=enter)
        waiting.start()
        assert not came_in.wait(QUIET_S + 0.5)
        assert caplog.messages == ["Another process measures a latency; waiting for it."]  # after two seconds
        os.kill(holder.pid, signal.SIGKILL)
        waiting.join()
        assert came_in.is_set()
    finally:
        holder.kill()
        holder.communicate()


def test_a_lock_that_cannot_be_written_is_a_line(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"latencies are measured one at a time.* set TMPDIR"),
        machine_lock(tmp_path / "absent" / "lock"),
    ):
        pass


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs rights that can be withheld")
def test_the_lock_of_another_user_can_be_held(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.touch(0o444)
    with machine_lock(file):
        pass


def test_the_inputs_depend_on_the_seed_only() -> None:
    first = [
        measure_first(Seed(0)),
        measure_first(Seed(0)),
        measure_first(Seed(1)),
    ]
    assert first[0] == first[1] != first[2]


def measure_first(seed: Seed) -> object:
    spy = Spy()
    measure(spy, (3, 4, 4), QUICK, seed=seed)
    return spy.seen[0]["first"]


@pytest.mark.parametrize("shape", [(3, 1_000_000, 1_000_000), (3, 10**9, 10**9)])
def test_images_beyond_all_memory_are_refused_before_they_are_made(shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=r"batch of images \(1×3×10+×10+\) would take .* smaller images"):
        measure(nn.Identity(), shape)


def test_a_network_that_does_not_get_its_memory_is_a_line_and_no_traceback() -> None:
    def starve(run: int) -> None:
        torch.empty(1 << 60)

    with pytest.raises(SpecError, match=r"images 1×3×2×2 does not fit into the memory of cpu: give smaller images"):
        measure(Spy(starve), (3, 2, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_a_gpu_is_waited_for() -> None:
    class Multiply(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(200):
                x = x @ x * 1e-3
            return x

    report = measure(Multiply(), (2048, 2048), Timing(min_runs=5, min_seconds=0.0), device="cuda")
    # 200 products of 2048×2048: 3.4e12 operations, which no GPU does in 10 ms; launching them takes 2 or 3.
    assert report.median_ms > 10.0

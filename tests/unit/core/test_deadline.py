from __future__ import annotations

import math
import signal
import threading
import time

import pytest

from ogive.core.deadline import TimeIsUp, seconds_of, until
from ogive.core.errors import SpecError


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), (30, 30.0), ("2", 2.0), (0.5, 0.5)]
)
def test_a_time_is_written_with_a_unit_or_in_seconds(written: str | float, seconds: float) -> None:
    assert seconds_of(written, "trial_limit") == seconds


@pytest.mark.parametrize("written", ["", "m", "10d", "-1s", "0", "nan", "1e999", "inf"])
def test_what_is_no_time_is_refused_by_its_name(written: str) -> None:
    with pytest.raises(SpecError, match="trial_limit is a time such as 90s, 15m or 2h, but got"):
        seconds_of(written, "trial_limit")


def test_work_is_ended_in_its_middle_and_the_alarm_of_others_is_put_back() -> None:
    before = signal.getsignal(signal.SIGALRM)
    started = time.perf_counter()
    with pytest.raises(TimeIsUp), until(0.05):
        time.sleep(60)
    assert time.perf_counter() - started < 30
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_work_that_catches_everything_is_ended_all_the_same() -> None:
    def deaf() -> None:
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001  as code of others does
            time.sleep(60)

    started = time.perf_counter()
    with pytest.raises(TimeIsUp), until(0.05):
        deaf()
    assert time.perf_counter() - started < 30


def test_work_that_is_in_time_is_not_ended_nor_is_any_in_another_thread() -> None:
    with until(60.0):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    with until(math.inf):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    ended: list[bool] = []

    def work() -> None:
        with until(0.01):
            time.sleep(0.05)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]

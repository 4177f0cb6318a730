"""Seconds of training that NATS-Bench publishes, as far as they are at hand: of its first 1,000 cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ogive.reproduce import recipes

pq = pytest.importorskip("pyarrow.parquet")


def test_the_clock_of_the_recipes_is_the_mean_of_the_published_trainings(shared_data: Path) -> None:
    """nb201_subset1000_times.parquet: 12 epochs on 50,000 images, and 12 passes over 10,000 test images."""
    times = pq.read_table(shared_data / "nb201_subset1000_times.parquet")
    training = np.mean(times.column("c10_train_time_s_12").to_numpy()) / 2  # the search trains on 25,000 images
    validation = np.mean(times.column("c10_test_time_s_12").to_numpy()) / 12 * 2.5  # once, on 25,000 others
    clocks = {one.seconds_a_trial for one in recipes() if one.seconds_a_trial}
    assert clocks == {round(float(training + validation), 2)}

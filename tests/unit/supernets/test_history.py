from __future__ import annotations

import math

from ogive.supernets.history import Resumable, SearchEpoch


def test_epochs_are_written_without_nan_and_read_back() -> None:
    first, second = Resumable(), Resumable()
    first.history, first.undone = [SearchEpoch(1, 2.5, 40.0, math.nan, 3, 0.5)], 3
    second.remember(first.record())
    assert repr(second.history) == repr(first.history)
    assert (second.undone, second.in_a_row) == (3, 0)


def test_epochs_of_version_0_1_are_read() -> None:
    epoch = {"number": 1, "train_loss": 2.5, "train_acc": 40.0, "val_loss": 2.0, "rolled_back": 0, "seconds": 0.5}
    read = Resumable()
    read.remember({"history": [epoch], "undone": 0, "in_a_row": 0})
    assert read.history == [SearchEpoch(1, 2.5, 40.0, 2.0, 0, 0.5)]

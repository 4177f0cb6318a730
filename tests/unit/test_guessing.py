"""A search whose best candidate is no better than a guess says so, everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ogive
from ogive.core.capabilities import guesses_of
from ogive.core.metric import VAL_ACC, Guess, Metric
from ogive.core.trial import Budget
from ogive.metrics import chance
from ogive.reporting.page import page
from ogive.runs import read_run
from ogive.session import Settings, assemble

ERROR = Metric("val_rmse", "euros", "smaller", "validation root mean squared error")
NOTHING = {"space": "nasbench201", "strategy": "random", "data": "digits(limit=200)", "channels": 2, "cells": 1}


def test_the_best_of_searches_that_guess_is_flagged_in_95_percent_of_them() -> None:
    rng, guess = np.random.default_rng(0), Guess("val_acc", 10.0, 360)
    for tries in (1, 30):
        best = 100 * rng.binomial(360, 0.1, (2000, tries)).max(1) / 360
        flagged = np.mean([chance(value, guess, VAL_ACC, tries) is not None for value in best])
        assert 0.95 <= flagged <= 0.99  # one side of a two-sided interval of whole numbers


def test_a_little_more_than_luck_is_not_flagged_and_errors_count_the_other_way() -> None:
    guess = Guess("val_acc", 10.0, 360)
    assert chance(25.0, guess, VAL_ACC, 30) is None
    sentence = chance(13.0, guess, VAL_ACC, 1)
    assert sentence is not None
    assert sentence.startswith("The best validation accuracy, 13 %, is no better than guessing: one answer for all")
    assert "reaches 10 %, and by luck up to 13.33 % in 95 % of searches by 360 answers." in sentence
    assert chance(5.0, Guess("val_rmse", 5.0), ERROR, 9) is not None
    assert chance(4.9, Guess("val_rmse", 5.0), ERROR, 9) is None


def test_tasks_know_what_one_answer_for_all_reaches(tmp_path: Path) -> None:
    found = assemble(Settings(**NOTHING, evaluator="trained(epochs=1)"))
    labels = found.context["data"].val.labels
    share = 100 * float(labels.bincount().max()) / len(labels)
    assert guesses_of(found.evaluator) == [Guess("val_acc", pytest.approx(share), len(labels))]
    few = assemble(Settings(**NOTHING, evaluator="inherited(supernet(epochs=1), validation_images=7)"))
    assert [guess.count for guess in guesses_of(few.evaluator)] == [7]
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(("a,b", *(f"{n % 7},{n % 11 / 4}" for n in range(60)))))
    regression = assemble(Settings(space="mlp", evaluator="trained(epochs=1)", data=f"csv:{rows}(target=b)"))
    (guess,) = guesses_of(regression.evaluator)
    data = regression.context["data"]
    truth = data.val.labels.double() * data.target.deviation + data.target.mean
    assert guess.value == pytest.approx(float(((truth - data.target.mean) ** 2).mean().sqrt()))
    assert (guess.metric, guess.count) == ("val_rmse", None)


def test_a_search_that_trains_nothing_says_so_and_one_that_learns_does_not(tmp_path: Path) -> None:
    nothing = "trained(epochs=1, learning_rate=1e-9, warmup_epochs=0, threads=1)"
    flagged = ogive.search(**NOTHING, evaluator=nothing, budget=2, out=tmp_path / "nothing")
    (sentence,) = flagged.guessing
    assert "is no better than guessing" in sentence
    assert sentence in repr(flagged)
    assert "No better than a guess: " in page([read_run(tmp_path / "nothing")])
    learnt = ogive.search(
        **{**NOTHING, "data": "digits", "channels": 4}, evaluator="trained(epochs=3, threads=1)", budget=1
    )
    assert learnt.guessing == ()
    assert ogive.search(space="natssize", evaluator=lambda arch: 1.0, budget=Budget(trials=2)).guessing == ()

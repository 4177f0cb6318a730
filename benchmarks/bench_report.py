"""The page: how long it takes for a large run, and how long one picture takes.

``make bench ARGS="-k report"`` prints the times.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ogive.core.trial import Cost, Measurement, Proposal, Trial
from ogive.reporting.cells import picture
from ogive.reporting.page import page
from ogive.runs import Record, Run
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201


def test_report_page_of_5000_trials(benchmark: Any) -> None:
    rng, space = np.random.default_rng(0), nasbench201()
    records = []
    for number in range(5000):
        metrics = {"val_acc": rng.uniform(50, 95), "latency_ms": rng.uniform(1, 9), "params": rng.uniform(1e5, 1e6)}
        measured = Measurement({name: float(value) for name, value in metrics.items()}, Cost(1.0))
        one = Trial(number, Proposal(space.sample(rng)), measured, "ok", (float(metrics["val_acc"]),))
        records.append(Record(one, float(number)))
    config = {"space": "nasbench201", "strategy": "evolution", "objectives": ["maximize(val_acc)"], "seed": 0}
    run = Run(Path("nowhere"), config, tuple(records))
    assert len(benchmark.pedantic(page, args=([run],), rounds=5)) > 5_000_000


def test_report_picture_of_a_darts_architecture(benchmark: Any) -> None:
    space = darts()
    arch = space.sample(np.random.default_rng(0))
    assert benchmark(picture, space, arch).startswith("<svg")

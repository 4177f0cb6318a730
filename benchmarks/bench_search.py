"""Searching: what the loop and the strategies cost, a thousand runs of evolution, and one NASWOT score.

``make bench ARGS="-k search"`` prints the times; the lines with a ratio name the baseline, measured in the same run.
``OGIVE_BENCH_RUNS=1000`` runs all of the thousand runs instead of a tenth.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive.core.architecture import Architecture
from ogive.core.metric import Metric
from ogive.core.objective import Maximize
from ogive.core.rng import Seed
from ogive.core.strategy import Strategy
from ogive.core.study import Study
from ogive.core.trial import Budget, Measurement, Proposal, Trial
from ogive.evaluators.tabular import Tabular
from ogive.metrics import kendall_tau
from ogive.networks.build import build, default_skeleton
from ogive.scores.naswot import naswot
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.local import LocalSearch, RandomSearch, RegularizedEvolution
from ogive.strategies.nsga2 import NSGA2
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, Table, write_table

Show = Callable[[str], None]

SPACE = nasbench201()
QUERIES, ALL_RUNS = 500, 1000
RUNS = int(os.environ.get("OGIVE_BENCH_RUNS", "100"))

STRATEGIES: dict[str, Callable[[Seed], Strategy]] = {
    "random": lambda seed: RandomSearch(SPACE, seed),
    "random without replacement": lambda seed: RandomSearch(SPACE, seed, without_replacement=True),
    "local search": lambda seed: LocalSearch(SPACE, seed),
    "evolution": lambda seed: RegularizedEvolution(SPACE, seed),
    "nsga2": lambda seed: NSGA2(SPACE, seed),
}


class Idle:
    """Proposes and measures the same thing again and again, so that only the loop takes time."""

    metrics = (Metric("val_acc"),)
    objectives = 1

    def __init__(self) -> None:
        self.proposal = Proposal(Architecture(SPACE.name, (3,) * 6))
        self.measurement = Measurement({"val_acc": 90.0})

    def ask(self, n: int = 1) -> list[Proposal]:
        return [self.proposal] * n

    def tell(self, trials: Sequence[Trial]) -> None:
        pass

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self.measurement for _ in proposals]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A table of the shape of NAS-Bench-201, with made-up numbers."""
    rng = np.random.default_rng(0)
    columns = {
        name: (Column("%", "made up", "float32", test="test" in name), rng.uniform(0, 95, 5**6).astype(np.float32))
        for name in ("c10v_val_200", "c10_test_200")
    }
    about = {"name": "made-up", "space": SPACE.name, "source": "", "licence": "", "importer": ""}
    about |= {"metric": "c10v_val_200", "report": "c10_test_200"}
    return write_table(tmp_path_factory.mktemp("tables") / "made-up", columns, key=MixedRadix([5] * 6), **about)


def bare(strategy: Any, evaluator: Any, trials: int) -> Trial:
    """What a loop without checks, budgets, order and failures is: ask, measure, tell, keep the best."""
    best: Trial | None = None
    for number in range(trials):
        proposal = strategy.ask(1)[0]
        measurement = evaluator.evaluate([proposal])[0]
        trial = Trial(number, proposal, measurement, "ok", (measurement.metrics["val_acc"],))
        strategy.tell([trial])
        if best is None or trial.scores > best.scores:
            best = trial
    assert best is not None
    return best


def in_turn(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The least processor seconds of each, which took turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.process_time()
            way()
            times[name].append(time.process_time() - started)
    return {name: min(seconds) for name, seconds in times.items()}


@pytest.mark.parametrize(("name", "trials"), [("nothing to do", 5000), ("evolution on a table", 500)])
def test_search_loop_overhead(name: str, trials: int, table: Table, show: Show) -> None:
    """A study against the same strategy and evaluator in a loop of a few lines."""

    def parts() -> tuple[Any, Any]:
        if name == "nothing to do":
            return Idle(), Idle()
        return RegularizedEvolution(SPACE, Seed(0)), Tabular(table)

    def looped() -> Trial:
        return max(Study(*parts(), Maximize("val_acc")).run(Budget(trials=trials)), key=lambda trial: trial.scores)

    ways = {"study": looped, "bare": lambda: bare(*parts(), trials)}
    assert ways["study"]().scores == ways["bare"]().scores
    found = {way: 1e6 * seconds / trials for way, seconds in in_turn(ways, 15).items()}
    more = found["study"] - found["bare"]
    show(
        f"a trial, {name}: {found['study']:.1f} µs in a study, {found['bare']:.1f} µs in a bare loop, "
        f"{found['study'] / found['bare']:.2f} x of it, {more:.1f} µs more"
    )


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_search_ask_and_tell(name: str, benchmark: Any, show: Show) -> None:
    goals = 2 if name == "nsga2" else 1
    scores = np.random.default_rng(0).random((QUERIES, goals)).tolist()

    def search() -> None:
        strategy = STRATEGIES[name](Seed(0))
        for number in range(QUERIES):
            proposal = strategy.ask(1)[0]
            strategy.tell([Trial(number, proposal, Measurement(), "ok", tuple(scores[number]))])

    benchmark(search)
    show(f"{name}: {1e6 * benchmark.stats.stats.median / QUERIES:.1f} µs for an ask and a tell")


def test_search_a_thousand_runs_of_evolution(benchmark: Any, table: Table, show: Show) -> None:
    evaluator, objective = Tabular(table), Maximize("val_acc")

    def runs() -> int:
        found = 0
        for run in range(RUNS):
            study = Study(RegularizedEvolution(SPACE, Seed(run)), evaluator, objective)
            found += sum(1 for _ in study.run(Budget(trials=QUERIES)))
        return found

    assert benchmark.pedantic(runs, rounds=1) == RUNS * QUERIES
    took = benchmark.stats.stats.median
    started = time.perf_counter()
    for run in range(RUNS):
        bare(RegularizedEvolution(SPACE, Seed(run)), evaluator, QUERIES)
    alone = time.perf_counter() - started
    whole = took / RUNS * ALL_RUNS
    how = "measured" if RUNS >= ALL_RUNS else f"extrapolated from {RUNS} runs in {took:.1f} s"
    show(
        f"{ALL_RUNS:,} runs of evolution with {QUERIES} tabular queries each: {whole:.0f} s on one core ({how}); "
        f"{1e6 * took / RUNS / QUERIES:.0f} µs a query, {RUNS / took:.0f} runs a second; {took / alone:.2f} x bare "
        "loops"
    )


def test_search_one_naswot_score(benchmark: Any, show: Show) -> None:
    """One thread; the baseline multiplies twice for each layer, as the equation of the paper is written."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network = build(SPACE.parse("nasbench201:3,1,2,3,0,4"), default_skeleton(SPACE.name), seed=0)
    score = benchmark.pedantic(lambda: naswot(network, images), rounds=3, warmup_rounds=1)
    started = time.perf_counter()
    expected = two_products(network, images)
    slow = time.perf_counter() - started
    torch.set_num_threads(threads)
    assert score == pytest.approx(expected, rel=1e-6)
    ours = benchmark.stats.stats.median
    show(f"NASWOT, batch of 64: {ours:.2f} s; with two products a layer {slow:.2f} s (ratio {slow / ours:.1f})")


def two_products(network: nn.Module, images: Tensor) -> float:
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        on = (inputs[0] > 0).flatten(1).float()
        kernel.add_((on @ on.T + (1 - on) @ (1 - on).T).double())

    handles = [m.register_forward_pre_hook(count) for m in network.modules() if isinstance(m, nn.ReLU)]
    with torch.no_grad():
        network.train()(images)
    for handle in handles:
        handle.remove()
    return float(torch.linalg.slogdet(kernel)[1])


def test_search_rank_correlation_of_a_whole_table(benchmark: Any, show: Show) -> None:
    from scipy.stats import kendalltau

    rng = np.random.default_rng(0)
    truth = rng.normal(size=5**6).round(2)
    scores = truth + rng.normal(size=5**6)
    found = benchmark(lambda: kendall_tau(scores, truth))
    started = time.perf_counter()
    theirs = kendalltau(scores, truth).statistic
    slow, ours = time.perf_counter() - started, benchmark.stats.stats.median
    assert found == pytest.approx(theirs, abs=1e-12)
    show(f"Kendall's tau of 15,625 pairs: {1e3 * ours:.1f} ms; scipy {1e3 * slow:.1f} ms, which must be imported first")

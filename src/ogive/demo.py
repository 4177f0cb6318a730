"""The main job in two minutes: search on real images, train the winner, take it away, and write the page.

Screened evolution and random search get the same number of trainings of small NAS-Bench-201 networks on the digits of
scikit-learn, with latency measured on this machine. Wanted is the best network that is no slower than a residual block
is here. All steps can be interrupted and taken up again.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.core.errors import StoreError
from ogive.core.objective import LatencyTradeoff
from ogive.core.trial import Budget, Proposal, Trial
from ogive.metrics import Interval, binomial_interval
from ogive.runs import Run, read_run
from ogive.session import Settings, assemble, resume, search
from ogive.trained_networks import TrainedNetwork, network_of, trained_networks

__all__ = ["Demo", "Side", "demo", "left_out"]

TRAININGS = 12  # of each strategy
EPOCHS = 6  # of each training in the search
FULL_EPOCHS = 40  # of the winner
# A cell that is a residual block, two 3x3 convolutions and a shortcut: its latency here is the target. About one random
# cell in six has no more operations than that, so that who measures latencies before it trains wastes no trainings.
REFERENCE = (3, 0, 0, 1, 3, 0)
# MnasNet's hard constraint: the accuracy within the target, and beyond it the accuracy over how many times slower.
OBJECTIVE = "latency_tradeoff(target_ms={target_ms}, mode=hard)"
# The same with a cheap score standing for the accuracy. That varies by more than accuracies do, so that a soft trade
# with it chose slow networks, and lost to random search.
SCREEN = "latency_tradeoff(target_ms={target_ms}, mode=hard, accuracy=naswot)"

# How the two minutes are shared, in per cent of the bar: each search, the training, the exports.
SEARCH_SHARE, TRAIN_SHARE, EXPORT_SHARE = 35.0, 15.0, 13.0

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Side:
    """What one strategy found: the validation accuracy, latency and objective of its best candidate."""

    name: str
    trainings: int
    best_val_acc: float
    best_latency_ms: float
    best_score: float


@dataclass(frozen=True)
class Demo:
    """The outcome of the demo: both sides, the facts of the winner, an interval of its test accuracy, and the files.

    `target_ms` is the latency that was wanted, and `kept` says that all of it was there already, and nothing was run.
    """

    sides: tuple[Side, ...]
    winner: dict[str, Any]
    interval: Interval
    paths: tuple[Path, ...]
    seconds: float
    kept: bool
    target_ms: float


def demo(
    *,
    seed: int,
    out: Path,
    progress: Report,
    trainings: int = TRAININGS,
    epochs: int = EPOCHS,
    full_epochs: int = FULL_EPOCHS,
) -> Demo:
    """Run, or complete, the demo in the folder `out`.

    Each strategy gets `trainings` trainings of `epochs` epochs; the winner is trained for `full_epochs`.
    """
    started = time.perf_counter()
    target_ms = _target(seed, out, progress)
    screen = SCREEN.format(target_ms=target_ms)
    # One thread: on networks this small, two spend their time waiting for each other.
    expensive = f"trained(epochs={epochs}, threads=1)"
    screened = f"screened(together(training_free, latency), {expensive}, keep=2, pool=12, by={screen})"
    sides = (
        ("evolution", "evolution(population=4, tournament=2)", screened),
        ("random", "random", f"together({expensive}, latency)"),
    )
    before = sum(len(read_run(out / name).records) for name, *_ in sides if (out / name / "run.json").exists())
    runs = [
        _searched(
            _settings(seed, strategy, evaluator, trainings, target_ms), out / name, index * SEARCH_SHARE, progress
        )
        for index, (name, strategy, evaluator) in enumerate(sides)
    ]
    winning = max(runs, key=lambda run: _score(_final(run)))
    kept = sum(len(run.records) for run in runs) == before and _network(winning) is not None
    facts = _trained(winning, full_epochs, 2 * SEARCH_SHARE, progress)
    progress(2 * SEARCH_SHARE + TRAIN_SHARE, "exporting the winner")
    if not facts["exports"]:
        catalog.load("export_winner")(winning.folder, formats=("torch",) if left_out() else ("torch", "onnx"))
        facts = _facts(winning)
    progress(2 * SEARCH_SHARE + TRAIN_SHARE + EXPORT_SHARE, "writing the page")
    page = catalog.load("write_page")([read_run(run.folder) for run in runs], out / "report.html")
    files = [Path(path) for entry in facts["exports"] for path in entry["paths"]]
    low, high = binomial_interval(facts["test_correct"], facts["test_images"])
    return Demo(
        tuple(_side(run) for run in runs),
        facts,
        Interval(100 * low, 100 * high),
        (page, *files, *(run.folder / "trials.jsonl" for run in runs)),
        time.perf_counter() - started,
        kept,
        target_ms,
    )


def left_out() -> str:
    """What of the demo is left out here, for want of which packages, and how to get them; empty if nothing is."""
    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    return f"The winner is not exported to ONNX, for want of {' and '.join(absent)}: pip install 'ogive[onnx]'."


def _target(seed: int, out: Path, progress: Report) -> float:
    """The latency of the reference cell on this machine; what it was for a demo that goes on."""
    for run in sorted(out.glob("*/run.json")):
        for text in read_run(run.parent).objectives:
            objective = catalog.build("objective", text)
            if isinstance(objective, LatencyTradeoff):
                return objective.target_ms
    progress(0.0, "measuring a residual block, whose latency is the target")
    parts = assemble(_settings(seed, "random", "latency", 1, 1.0, objective="minimize(latency_ms)"))
    (found,) = parts.evaluator.evaluate([Proposal(parts.space.check(REFERENCE))])
    if found.error is not None:
        raise StoreError(f"The latency of the reference cell cannot be measured here: {found.error}")
    return float(f"{found.metrics['latency_ms']:.3g}")


def _settings(
    seed: int, strategy: str, evaluator: str, trainings: int, target_ms: float, *, objective: str = OBJECTIVE
) -> Settings:
    return Settings(
        space="nasbench201",
        strategy=strategy,
        evaluator=evaluator,
        objectives=(objective.format(target_ms=target_ms),),
        budget=Budget(trials=trainings),
        seed=seed,
        data="digits",
        channels=8,
        cells=1,
    )


def _searched(settings: Settings, folder: Path, start: float, progress: Report) -> Run:
    done, total = 0, settings.budget.trials or 0
    name = settings.strategy.partition("(")[0]

    def count(trial: Trial) -> None:
        nonlocal done
        done += trial.status != "screened"
        progress(start + SEARCH_SHARE * done / total, f"{name}: training {done} of {total}")

    progress(start, f"{name}: starting")
    if not (folder / "run.json").exists():
        command = f"ogive demo --seed {settings.seed} --out {folder.parent}"
        role = "baseline" if name == "random" else "search"
        return search(settings, folder, command=command, role=role, on_trial=count)
    before = read_run(folder)
    if before.config.get("seed") != settings.seed:
        raise StoreError(
            f"{folder} holds a demo with seed {before.config.get('seed')}, not {settings.seed}: choose another --out."
        )
    done = len(before.evaluated)
    return resume(folder, on_trial=count)


def _trained(run: Run, epochs: int, start: float, progress: Report) -> dict[str, Any]:
    if _network(run) is not None:
        return _facts(run)

    def show(step: Any) -> None:
        share = ((step.epoch - 1) * step.steps + step.step) / (step.epochs * step.steps)
        progress(start + TRAIN_SHARE * share, f"training the winner, loss {step.loss:.3f}")

    facts: dict[str, Any] = catalog.load("train_winner")(
        run.folder,
        recipe=f"epochs={epochs}, cutout=2, label_smoothing=0.1",
        threads=1,
        command=run.config["command"],
        progress=show,
    )
    return facts


def _network(run: Run) -> TrainedNetwork | None:
    return network_of(trained_networks(run), run.choice.trial)


def _facts(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = catalog.load("winner_facts")(run)
    return facts


def _final(run: Run) -> Trial | None:
    """The best trial, with its latency as it was measured last."""
    winner = run.choice.trial
    return None if winner is None else run.final(winner)


def _score(trial: Trial | None) -> float:
    if trial is None or trial.scores is None:
        raise StoreError("No candidate could be trained; trials.jsonl says why.")
    return trial.scores[0]


def _side(run: Run) -> Side:
    winner = run.final(run.choice.found)
    return Side(
        run.config["strategy"].partition("(")[0],
        len(run.evaluated),
        winner.metrics["val_acc"],
        winner.metrics["latency_ms"],
        _score(winner),
    )

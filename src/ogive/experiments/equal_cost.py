"""Strategies for expensive trainings on a table, at equal cost in epochs: what they would answer after every epoch.

An answer is the one that ogive gives: the best architecture of the longest trainings so far. It is told by what its
whole training reached, however short the training was by which it was chosen, so that all curves are of one kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive import catalog, session
from ogive.comparison import slug
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Fidelity, Spent, Trial
from ogive.evaluators.tabular import Tabular
from ogive.experiments.searched import Rows, Told, finished, markdown, mean, spread
from ogive.figures import Bands, draw_bands, t_band
from ogive.metrics import holm, paired_permutation_test, stepwise

__all__ = ["Size", "beside", "drawn", "one", "told"]

Floats = npt.NDArray[np.float64]

# Of a strategy and a number of epochs: its mean lead over random search, and the adjusted p.
Tests = Mapping[tuple[str, int], tuple[float, float]]

RANDOM = "random"
ALPHA = 0.05
POINTS = 60  # of a curve in the figure
RULE = (
    "The rule, written before the first search: a strategy is ahead of random search, or behind it, where the paired "
    "permutation test over equal seeds gives p < 0.05 after Holm's correction for all strategies and budgets of the "
    "table; otherwise the two are not told apart."
)


@dataclass(frozen=True)
class Size:
    """The table and what is searched on; what the answers are told by; the budget; strategies by their labels; seeds.

    `metric` is a column with several fidelities, `report` the column that tells of an answer, by default the same.
    `epochs` is the budget of a search and `after` are the epochs at which answers are printed. `seeds_of` gives
    expensive strategies fewer seeds, the first ones. The first strategy is the headline.
    """

    table: str
    metric: str
    epochs: int
    after: tuple[int, ...]
    strategies: dict[str, str]
    seeds: int
    report: str | None = None
    seeds_of: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if RANDOM not in self.strategies:
            raise SpecError("A comparison at equal cost has random search among its strategies, under that name.")
        for label in self.seeds_of:
            if label not in self.strategies:
                raise UnknownName("strategy", label, self.strategies)
        if not self.after or not all(0 < epochs <= self.epochs for epochs in self.after):
            raise SpecError(f"Answers are told after 1 to {self.epochs} epochs, but got {list(self.after)}.")


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """Of every strategy that has this seed, the epochs after which its answer changed, and what each answer reaches."""
    table = catalog.load("open_table")(size.table)
    fidelity = Tabular(table, metric=size.metric).fidelity
    found = {}
    for label, strategy in size.strategies.items():
        if seed >= size.seeds_of.get(label, size.seeds):
            continue
        settings = session.Settings(
            space=table.space,
            table=size.table,
            strategy=strategy,
            evaluator=f"tabular(metric={size.metric})",
            objectives=(f"maximize({table.metric_of(size.metric, 'searched').name})",),
            seed=seed,
            threads=1,
            budget=Budget(units=size.epochs, unit="epochs"),
        )
        trials = finished(settings, folder / slug(label)).trials
        answers = list(_answers(trials, fidelity))
        found[label] = {
            "trials": len(trials),
            "epochs": [epochs for epochs, _ in answers],
            "searched": [_value(table, size.metric, arch) for _, arch in answers],
            "reported": [_value(table, size.report or size.metric, arch) for _, arch in answers],
        }
    return {"strategies": found}


def _answers(trials: Sequence[Trial], fidelity: Fidelity | None) -> Iterator[tuple[int, Architecture]]:
    """Epochs spent and the answer from then on, whenever that is another one."""
    spent, best, answer = Spent(fidelity=fidelity), (-np.inf, -np.inf), None
    for trial in trials:
        spent.add(trial)
        if trial.scores is None or (trial.proposal.height, trial.scores[0]) <= best:
            continue
        best = (trial.proposal.height, trial.scores[0])
        if trial.arch != answer:
            answer = trial.arch
            yield spent.units, trial.arch


def _value(table: Any, column: str, arch: Architecture) -> float:
    return round(float(table.value(arch, column)), 4)


def beside(size: Size) -> dict[str, Any]:
    """The best that there is in the table, the epochs at which answers are told, and how long a whole training is."""
    table = catalog.load("open_table")(size.table)
    return {
        "optimum": round(float(table.best(size.metric)[1]), 4),
        "searched": size.metric,
        "reported": size.report or size.metric,
        "reported_optimum": round(float(table.best(size.report or size.metric)[1]), 4),
        "whole": table.about(size.metric).fidelity,
        "after": list(size.after),
        "epochs": size.epochs,
        "rows": table.rows,
    }


# -- what it came to --------------------------------------------------------------------------------------------------


def told(seeds: Rows, beside: Mapping[str, Any]) -> Told:
    """The regret of answers after some budgets, what is reported of them in the end, and who is ahead of random search.

    The headline is what is reported of the answers of the first strategy after the last budget.
    """
    labels = list(seeds[0]["strategies"])
    final = {label: _at(seeds, label, "reported", beside["after"][-1]) for label in labels}
    tests = _tests(seeds, labels, beside["after"])
    regrets = [f"regret after {epochs:,} epochs" for epochs in beside["after"]]
    titles = ("strategy", "seeds", "trials", *regrets, f"`{beside['reported']}` in the end")
    lines = [[*_line(seeds, label, beside, tests), spread(final[label].tolist())] for label in labels]
    about = (
        f"A whole training takes {beside['whole']} epochs; the table has {beside['rows']:,} rows. Regret: points of "
        f"`{beside['searched']}` after whole trainings below its best, {beside['optimum']:.2f}; ↑ ahead of random "
        f"search, ↓ behind, no mark: not told apart. The best `{beside['reported']}` is "
        f"{beside['reported_optimum']:.2f}."
    )
    headline, *others = labels
    return Told(
        tuple(final[headline].tolist()),
        {label: mean(final[label].tolist()) for label in others},
        (
            *(RULE, "", about, ""),
            *markdown(titles, lines, len(seeds)),
            "",
            *_leads(seeds, labels, beside["after"][-1], tests),
        ),
    )


def _line(seeds: Rows, label: str, beside: Mapping[str, Any], tests: Tests) -> Iterator[str]:
    """A strategy in the table, but for what is reported in the end."""
    own = [seed["strategies"][label] for seed in seeds if label in seed["strategies"]]
    yield from (label, str(len(own)), f"{mean([found['trials'] for found in own]):,.0f}")
    for epochs in beside["after"]:
        lead, p = tests.get((label, epochs), (0.0, 1.0))
        mark = "" if not p < ALPHA else " ↑" if lead > 0 else " ↓"
        yield spread((beside["optimum"] - _at(seeds, label, "searched", epochs)).tolist()) + mark


def _at(seeds: Rows, label: str, value: str, epochs: int) -> Floats:
    """What the answer of a strategy reaches after so many epochs, of every seed that it has; (n,)."""
    own = [seed["strategies"][label] for seed in seeds if label in seed["strategies"]]
    found = np.array([stepwise(one["epochs"], one[value], [epochs])[0] for one in own], np.float64)
    if np.isnan(found).any():
        raise SpecError(f"{label} has no answer after {epochs} epochs: tell answers after more of them.")
    return found


def _tests(seeds: Rows, labels: Sequence[str], after: Sequence[int]) -> Tests:
    """Of every strategy but random search, after every budget: the mean lead in `searched`, and its adjusted p."""
    keys, leads, values = [], [], []
    for label in labels:
        for epochs in after if label != RANDOM else ():
            own = _at(seeds, label, "searched", epochs)
            rivals = _at(seeds, RANDOM, "searched", epochs)[: len(own)]
            keys.append((label, epochs))
            leads.append(float((own - rivals).mean()))
            values.append(paired_permutation_test(own, rivals, Seed(0).numpy(f"{label} {epochs}")))
    adjusted = holm(values).tolist() if values else []
    return dict(zip(keys, zip(leads, adjusted, strict=True), strict=True))


def _leads(seeds: Rows, labels: Sequence[str], epochs: int, tests: Tests) -> Iterator[str]:
    """Leads over random search after so many epochs, with their intervals."""
    for label in labels:
        if (label, epochs) in tests:
            own = _at(seeds, label, "searched", epochs)
            lead = own - _at(seeds, RANDOM, "searched", epochs)[: len(own)]
            p = tests[label, epochs][1]
            yield f"* {label} minus {RANDOM} after {epochs:,} epochs: {spread(lead.tolist())}, adjusted p {p:.4f}"


# -- the figure -------------------------------------------------------------------------------------------------------


def drawn(seeds: Rows, beside: Mapping[str, Any], path: Path) -> Path:
    """Draw the mean regret of answers against epochs, with t-intervals at each point, as an SVG."""
    labels = list(seeds[0]["strategies"])
    bands = {label: _band(seeds, label, beside) for label in labels}
    counts = {label: sum(label in seed["strategies"] for seed in seeds) for label in labels}
    most = max(counts.values())
    named = {
        label if counts[label] == most else f"{label} ({counts[label]} seeds)": band for label, band in bands.items()
    }
    title = f"means of {most} seeds, bands: 95 % t-intervals at each point"
    words = ("epochs of training", f"regret of the answer, {beside['searched']} (%)")
    return draw_bands(named, path, words=words, title=title, logarithmic=(True, True))


def _band(seeds: Rows, label: str, beside: Mapping[str, Any]) -> Bands:
    own = [seed["strategies"][label] for seed in seeds if label in seed["strategies"]]
    first = max(found["epochs"][0] for found in own)
    at = np.geomspace(first, max(first, beside["epochs"]), POINTS)
    values = np.stack([stepwise(found["epochs"], found["searched"], at) for found in own])
    return t_band(at, beside["optimum"] - values)

from __future__ import annotations

from collections.abc import Callable

from ogive.core.trial import Trial
from ogive.report.findings import shown
from ogive.report.standings import standings
from ogive.runs import Run

Make = Callable[..., Run]
Of = Callable[..., Trial]


def test_standings_stop_where_the_shortest_run_does_and_want_five_seeds_for_an_interval(make: Make, trial: Of) -> None:
    def run(name: str, values: list[float], **changes: object) -> Run:
        return make(name, [trial(k, {"val_acc": v}, (v,)) for k, v in enumerate(values)], **changes)

    runs = [run(f"e{seed}", [10.0 + seed, 20.0 + seed, 99.0], seed=seed) for seed in range(5)]
    runs.append(run("r", [15.0, 16.0], strategy="random"))
    evolution, chance = standings(shown(runs))
    assert (evolution.seeds, evolution.trials, evolution.mean) == (5, 2, 22.0)
    assert evolution.interval is not None
    assert 20 <= evolution.interval.low < 22 < evolution.interval.high <= 24
    assert (chance.seeds, chance.mean, chance.interval) == (1, 16.0, None)

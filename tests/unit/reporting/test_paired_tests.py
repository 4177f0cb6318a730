"""The tests of a comparison on its page: the same numbers as `ogive compare` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ogive.comparison import compare
from ogive.core.trial import Budget, Trial
from ogive.reporting.facts import facts_of
from ogive.reporting.paired_tests import paired_tests
from ogive.runs import Run, read_run
from ogive.session import Settings

Make = Callable[..., Run]
Of = Callable[..., Trial]


def test_the_page_has_the_tests_of_the_comparison_with_holms_correction(tmp_path: Path, invented_table: Path) -> None:
    settings = Settings(space="nasbench201", table=str(invented_table), budget=Budget(trials=40), seed=3)
    found = compare(["random", "evolution(population=10)", "reinforce"], settings, seeds=5, folder=tmp_path / "all")
    runs = [read_run(path.parent) for path in sorted(tmp_path.glob("all/*/run.json"))]
    text = paired_tests(facts_of(runs))
    assert text is not None
    assert "test accuracy (%) of the candidate that is best so far" in text
    assert len(found.pairs()) == 3
    for pair in found.pairs():
        row = text.partition(f"<td>{pair.first} – {pair.second}</td>")[2].partition("</tr>")[0]
        assert row.startswith(f"<td>{pair.difference:+.3f}</td>")
        assert row.endswith(f"<td>{pair.p_value:.4f}</td><td>{pair.adjusted_p_value:.4f}</td>")


def test_searches_that_are_not_paired_are_not_tested(make: Make, trial: Of) -> None:
    def run(name: str, strategy: str, seed: int, **changes: object) -> Run:
        return make(name, [trial(0, {"val_acc": 1.0 + seed}, (1.0 + seed,))], strategy=strategy, seed=seed, **changes)

    own = [run(f"own{seed}", "evolution", seed) for seed in (0, 1)]
    chance = [run(f"chance{seed}", "random", seed) for seed in (0, 1)]
    assert paired_tests(facts_of([*own, *chance])) is not None
    assert paired_tests(facts_of([*own, chance[0]])) is None
    assert paired_tests(facts_of(own)) is None
    assert paired_tests(facts_of([own[0], chance[0]])) is None
    other = [run(f"other{seed}", "random", seed, data="cifar10") for seed in (0, 1)]
    assert paired_tests(facts_of([*own, *other])) is None

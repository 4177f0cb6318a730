from __future__ import annotations

import logging
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import ogive
from ogive.core.architecture import Architecture
from ogive.core.errors import ProtocolError, SpecError
from ogive.core.graph import Graph
from ogive.core.limit import Limit
from ogive.core.metric import Metric
from ogive.core.objective import LatencyTradeoff, Maximize, Minimize
from ogive.core.rng import Seed
from ogive.core.space import Choice, Draw, Real, SearchSpace
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.evaluators.draws import Draws
from ogive.metrics import hypervolume
from ogive.predictors.surrogates import Surrogates, log_improvements
from ogive.session import Settings
from ogive.session.assembly import assemble
from ogive.strategies.mobo import Mobo


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


WIDTHS = SearchSpace("widths", tuple(Choice(name, ("8", "16", "32", "64", "128")) for name in "abcd"), draw)
LINE = SearchSpace("line", (Real("x", 0.0, 1.0),), draw)
DRAWN = SearchSpace("drawn", (Real("x", 0.0, 1.0), Draw("which", 1000)), draw)
NOTHING = SearchSpace("nothing", (Draw("which", 1000),), draw)


class Sizes:
    """An accuracy that grows with four widths, of which two matter most, and a size that grows with them otherwise."""

    metrics = (Metric("acc"), Metric("size", better="smaller"))

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement(self.of(proposal.arch)) for proposal in proposals]

    def of(self, arch: Architecture) -> dict[str, float]:
        width = np.array(arch.choices, float)
        acc = 1 - np.exp(-(width @ np.array([0.5, 0.1, 0.3, 0.1]))) - 0.02 * abs(width[0] - width[3])
        return {"acc": float(acc), "size": float((width * np.array([1, 2, 1, 3])).sum() / 28)}


class Noisy:
    """Two draws of a point lie further apart where x is large."""

    metrics = (Metric("acc"), Metric("size", better="smaller"))

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement(self.of(*proposal.arch.choices)) for proposal in proposals]

    def of(self, x: float, which: float) -> dict[str, float]:
        return {"acc": x + x * (-1) ** int(which), "size": x}


def small(space: SearchSpace = LINE, seed: int = 0, **options: object) -> Mobo:
    return Mobo(space, Seed(seed), **({"start": 4, "offered": 30, "samples": 8} | options))  # type: ignore[arg-type]


def told(strategy: Mobo, archs: Sequence[Architecture], *columns: Sequence[float]) -> None:
    for arch, scores in zip(archs, zip(*columns, strict=True), strict=True):
        strategy.tell([Trial(0, Proposal(arch), Measurement(), "ok", tuple(scores))])


def on_line(*places: float) -> list[Architecture]:
    return [LINE.check((x,)) for x in places]


# -- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # of the fits of 36 proposals
def test_its_front_covers_more_than_that_of_random_search() -> None:
    """By 0.02 of the largest hypervolume there is, on average over three seeds of twenty trials."""

    def volume(points: Sequence[Sequence[float]]) -> float:
        return hypervolume(points, (0, -1))

    largest = volume([(found["acc"], -found["size"]) for found in map(Sizes().of, WIDTHS)])
    shares: dict[str, list[float]] = {"random": [], "mobo(start=8, offered=60, samples=16)": []}
    for strategy, values in shares.items():
        for seed in range(3):
            found = ogive.search(
                space=WIDTHS,
                strategy=strategy,
                evaluator=Sizes(),
                objective=["acc", "size"],
                budget=20,
                seed=seed,
            )
            values.append(volume([trial.scores for trial in found.trials if trial.scores]) / largest)
    random, ours = map(np.mean, shares.values())
    assert ours > random + 0.02


@pytest.mark.parametrize("acquisition", ["qlognehvi", "usemo"])
def test_several_in_flight_lie_apart_and_a_batch_is_its_members(acquisition: str) -> None:
    places = np.linspace(0, 1, 8)
    found = []
    for batches in ((3,), (1, 1, 1)):
        search = small(acquisition=acquisition)
        told(search, on_line(*places), -((places - 0.3) ** 2), -((places - 0.7) ** 2))
        found.append([one.arch for batch in batches for one in search.ask(batch)])
    assert found[0] == found[1]
    xs = sorted(arch.choices[0] for arch in found[0])
    assert min(np.diff(xs)) > 0.01


def test_what_is_being_measured_promises_less() -> None:
    search = small()
    places = np.linspace(0, 1, 8)
    told(search, on_line(*places), -((places - 0.3) ** 2), -((places - 0.7) ** 2))
    search._fit()
    one, far = on_line(0.5, 0.05)
    alone = log_improvements(search._surrogates, [], samples=64, seed=0)([one, far])
    beside = log_improvements(search._surrogates, [one], samples=64, seed=0)([one, far])
    assert beside[0] < alone[0] - 1
    assert beside[1] == pytest.approx(alone[1], abs=0.5)


def test_it_goes_on_exactly_from_a_saved_state(tmp_path: Path) -> None:
    first, second = small(DRAWN), small(DRAWN)
    for number in range(7):
        (proposal,) = first.ask()
        x, _ = proposal.arch.choices
        if number % 3 == 2:
            first.tell([Trial(number, proposal, Measurement(error="made up"), "failed")])
        else:
            first.tell([Trial(number, proposal, Measurement(), "ok", (x, -x * x))])
    first.ask()  # is in flight
    first.save(tmp_path)
    second.load(tmp_path)
    assert [one.arch for one in second.ask(2)] == [one.arch for one in first.ask(2)]


def test_one_objective_is_searched_to_its_top() -> None:
    search = small(offered=100)
    for number in range(12):
        (proposal,) = search.ask()
        search.tell([Trial(number, proposal, Measurement(), "ok", (-((proposal.arch.choices[0] - 0.4) ** 2),))])
    best = max((values[0], arch.choices[0]) for arch, values, _ in search._labels)[1]
    assert abs(best - 0.4) < 0.02  # of a dozen random points the nearest is 0.04 away, on average


# -- constraints ------------------------------------------------------------------------------------------------------


def limited(acquisition: str) -> Mobo:
    """Told of ten points on the line of which those above 0.5 are beyond a constraint, and better."""
    search = small(
        objectives=(Maximize("acc"), Minimize("size")),
        constraints=(Limit.parse("size<=0.5"),),
        acquisition=acquisition,
        offered=60,
    )
    for number, arch in enumerate(on_line(*np.linspace(0, 1, 10))):
        x = float(arch.choices[0])
        scores = (x, -x) if x <= 0.5 else None
        status = "infeasible" if scores is None else "ok"
        search.tell([Trial(number, Proposal(arch), Measurement({"acc": x, "size": x}), status, scores)])  # type: ignore[arg-type]
    return search


@pytest.mark.parametrize("acquisition", ["qlognehvi", "usemo"])
def test_what_is_beyond_a_constraint_is_a_label_and_is_not_proposed_again(acquisition: str) -> None:
    search = limited(acquisition)
    outcomes = search._outcomes()
    assert len(outcomes) == 10
    assert outcomes.feasible.tolist() == [True] * 5 + [False] * 5
    assert outcomes.values[9].tolist() == [1.0, -1.0, 1.0]  # 1 is beyond 0.5 by all of it
    assert max(one.arch.choices[0] for one in search.ask(4)) < 0.6


def test_without_the_objectives_what_is_infeasible_is_left_out() -> None:
    search = small()
    (arch,) = on_line(0.5)
    search.tell([Trial(0, Proposal(arch), Measurement({"acc": 1.0}), "infeasible", violation=0.1)])
    assert not search._labels
    assert arch not in search._unseen


# -- noise ------------------------------------------------------------------------------------------------------------


def test_deviations_of_draws_are_the_noise_of_their_labels() -> None:
    evaluator = Draws(Noisy(), space=DRAWN, draws=2)
    settings = Settings(
        space="drawn", strategy="mobo(start=4, samples=8)", evaluator="draws", objectives=("acc", "size")
    )
    search = assemble(settings, given={"space": DRAWN, "evaluator": evaluator}).strategy
    assert isinstance(search, Mobo)
    for number, x in enumerate((0.2, 0.4, 0.6, 0.8)):
        proposal = Proposal(DRAWN.check((x, 0)))
        (measured,) = evaluator.evaluate([proposal])
        search.tell([Trial(number, proposal, measured, "ok", (measured.metrics["acc"], -x))])
    # Of two values 2 x apart the variance is 2 x²; it counts once and that of all twice, and the mean has half of it.
    each = 2 * np.array([0.2, 0.4, 0.6, 0.8]) ** 2
    outcomes = search._outcomes()
    assert outcomes.variances[:, 0] == pytest.approx((each + 2 * each.mean()) / 3 / 2)
    assert outcomes.variances[:, 1] == pytest.approx(np.zeros(4), abs=1e-15)
    search._fit()
    noise = search._surrogates.model.likelihood.noise.numpy()
    assert noise[0] == pytest.approx(outcomes.variances[:, 0] / outcomes.values[:, 0].var())
    assert noise[1] == pytest.approx(np.full(4, 1e-4))  # never none at all


def test_the_noise_of_a_trade_off_is_that_of_its_metrics_to_the_first_order() -> None:
    objective = LatencyTradeoff(target_ms=5, accuracy="acc", below=-0.5, above=-0.5)
    search = small(objectives=(objective,), spreads={"acc": ("acc_std", 4), "latency_ms": ("latency_ms_std", 4)})
    metrics = {"acc": 80.0, "acc_std": 1.0, "latency_ms": 5.0, "latency_ms_std": 0.1}
    (arch,) = on_line(0.5)
    search.tell([Trial(0, Proposal(arch), Measurement(metrics), "ok", (80.0,))])
    assert search._labels[0][2] == pytest.approx([1.0 + (80 * 0.5 * 0.1 / 5) ** 2], rel=1e-3)


def test_what_has_no_deviation_has_a_noise_that_is_learnt() -> None:
    search = small(
        objectives=(Maximize("acc"), Minimize("mb")),
        spreads={"acc": ("acc_std", 4)},
        constraints=(Limit.parse("mb<9"),),
    )
    for number, arch in enumerate(on_line(0.1, 0.5, 0.9)):
        x = float(arch.choices[0])
        metrics = {"acc": x, "acc_std": 0.1, "mb": x * x}
        search.tell([Trial(number, Proposal(arch), Measurement(metrics), "ok", (x, -x * x))])
    assert np.isnan(search._outcomes().variances).tolist() == [[False, True, True]] * 3
    assert math.isfinite(search.ask()[0].arch.choices[0])


# -- what is hard to learn from ---------------------------------------------------------------------------------------


def test_equal_values_of_an_objective_are_told_once_and_cost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    search = small(objectives=(Maximize("acc"), Minimize("size")))
    with caplog.at_level(logging.WARNING):
        for number, arch in enumerate(on_line(0.1, 0.3, 0.5, 0.7, 0.9)):
            metrics = {"acc": 5.0, "size": float(arch.choices[0])}
            search.tell([Trial(number, Proposal(arch), Measurement(metrics), "ok", (5.0, -metrics["size"]))])
            assert number < 3 or len(search.ask()) == 1
    (record,) = caplog.records
    assert record.message == ("All 4 trials so far have the same value of maximize(acc): nothing can be learnt of it.")


def test_several_observations_of_one_point_are_no_fault() -> None:
    search = small(DRAWN)
    for number in range(12):
        x = 0.25 * (number % 3)
        arch = DRAWN.check((x, number))
        search.tell([Trial(number, Proposal(arch), Measurement(), "ok", (x + 0.1 * (number % 2), -x))])
    assert len(search.ask(2)) == 2


@pytest.mark.parametrize("acquisition", ["qlognehvi", "usemo"])
def test_a_small_space_is_searched_to_its_end(acquisition: str) -> None:
    space = SearchSpace("six", (Choice("a", ("1", "2", "3")), Choice("b", ("x", "y"))), draw)
    search = small(space, acquisition=acquisition)
    asked = []
    while proposals := search.ask():
        asked += proposals
        a, b = proposals[0].arch.choices
        search.tell([Trial(len(asked), proposals[0], Measurement(), "ok", (float(a), float(b)))])
    assert len({one.arch for one in asked}) == len(asked) == 6


def test_what_it_does_not_take_is_one_line() -> None:
    with pytest.raises(SpecError, match="mobo models variables, and nothing has none that tell architectures apart"):
        small(NOTHING)
    for option in ("start", "offered", "samples"):
        with pytest.raises(SpecError, match=f"{option} of mobo must be at least"):
            small(**{option: 0})
    search = small()
    told(search, on_line(0.1), [1.0], [2.0])
    with pytest.raises(ProtocolError, match="the same objectives, but trial 0 has 1 scores and others have 2"):
        told(search, on_line(0.2), [1.0])


def test_a_rehearsal_takes_the_time_of_all_proposals_that_are_modelled() -> None:
    from ogive.core.trial import Budget

    assert small(budget=Budget(trials=4)).rehearse() == 0
    few, many = (small(budget=Budget(trials=trials)).rehearse() for trials in (5, 105))
    assert many > 10 * few > 0


WITHOUT = """
import sys

sys.modules["botorch"] = None
from ogive.cli import main

sys.argv = "ogive search --space nasbench201 --table {table} --strategy mobo --budget 3 --objective val_acc".split()
sys.argv += ["--objective", "minimize(params)", "--evaluator", "tabular(also=[params])", "--out", "{out}"]
main()
"""


def test_without_botorch_it_is_nsga_ii_which_is_said_once(invented_table: Path, tmp_path: Path) -> None:
    code = WITHOUT.format(table=invented_table, out=tmp_path / "run")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("BoTorch is not installed, so that mobo searches by NSGA-II: pip install 'ogive[bo]'") == 1
    assert "Traceback" not in said


def test_surrogates_say_what_was_learnt_without_the_noise() -> None:
    search = small()
    places = np.linspace(0, 1, 9)
    told(search, on_line(*places), places, np.zeros(9))
    search._fit()
    surrogates: Surrogates = search._surrogates
    mean, deviation = surrogates.believed(on_line(0.0, 0.5, 1.0))
    assert mean[:, 0] == pytest.approx((np.array([0.0, 0.5, 1.0]) - 0.5) / places.std(), abs=0.1)
    assert mean[:, 1] == pytest.approx(np.zeros(3), abs=1e-6)
    assert (deviation > 0).all()

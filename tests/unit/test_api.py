from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import ogive
from ogive import Measurement, Proposal, Trial
from ogive.core.metric import Metric

PUBLIC = [
    "Architecture",
    "Budget",
    "Cached",
    "Checkpointed",
    "Choice",
    "Cost",
    "Draw",
    "Evaluator",
    "ExportError",
    "Fixed",
    "Graph",
    "InvalidArchitecture",
    "LatencyTradeoff",
    "Maximize",
    "Measured",
    "Measurement",
    "Metric",
    "Minimize",
    "MissingData",
    "Objective",
    "OgiveError",
    "Pool",
    "Proposal",
    "ProtocolError",
    "Real",
    "Result",
    "RunInUse",
    "Screened",
    "SearchSpace",
    "Seed",
    "SpecError",
    "StoreError",
    "Strategy",
    "Study",
    "Together",
    "Trial",
    "UnknownName",
    "compare",
    "data",
    "export",
    "export_to_optuna",
    "open_run",
    "optuna_sampler",
    "optuna_suggested",
    "report",
    "resume",
    "score",
    "search",
    "space",
    "strategy",
    "table",
    "train",
]


class Widths:
    """Rewards wide layers, and measures two things of them."""

    metrics = (Metric("val_acc"), Metric("params"))

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({"val_acc": float(sum(p.arch.choices)), "params": p.arch.choices[0]}) for p in proposals]


class Downhill:
    """Walks from the widest architecture to narrower ones."""

    def __init__(self, space: ogive.SearchSpace) -> None:
        self.left = list(space)[:: -len(space) // 5][:4]
        self.told: list[Trial] = []

    def ask(self, n: int = 1) -> list[Proposal]:
        asked, self.left = self.left[:n], self.left[n:]
        return [Proposal(arch) for arch in asked]

    def tell(self, trials: Sequence[Trial]) -> None:
        self.told += trials


# -- names ------------------------------------------------------------------------------------------------------------


def test_the_public_names_are_these() -> None:
    assert sorted(PUBLIC) == PUBLIC
    assert ogive.__dir__() == PUBLIC
    assert all(getattr(ogive, name) is not None for name in PUBLIC)


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'serach'; it has .*, search,"):
        _ = ogive.serach
    with pytest.raises(AttributeError, match="no attribute '_private'"):
        _ = ogive._private


LOADED = """
import json, sys
{work}
names = {{name.partition(".")[0] for name in sys.modules}}
heavy = ("torch", "scipy", "sklearn", "plotly", "pandas", "onnx", "PIL", "typer", "rich", "pyarrow", "numpy")
print(json.dumps([name for name in heavy if name in names]))
"""
WORK = {
    "nothing": ("import ogive", set()),
    "a name": ("import ogive; ogive.search", {"numpy"}),
    "a tabular search": ("import ogive; ogive.search(space='nasbench201', table={table!r}, budget=60)", {"numpy"}),
    "a stored one": (
        "import ogive; ogive.search(space='nasbench201', table={table!r}, budget=60, out={out!r})",
        {"numpy"},
    ),
    "ogive list": (
        (
            "sys.argv[1:] = ['list']; from ogive.cli.application import application as put_together\n"
            "put_together('list')(standalone_mode=False)"
        ),
        {"numpy", "typer", "rich"},
    ),
}


@pytest.mark.parametrize("name", list(WORK))
def test_what_needs_no_torch_imports_none(tmp_path: Path, invented_table: Path, name: str) -> None:
    work, allowed = WORK[name]
    code = LOADED.format(work=work.format(table=str(invented_table), out=str(tmp_path / "run")))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout.splitlines()[-1])) <= allowed


FIRST = """
import importlib, sys
for module in {modules!r}:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ogive"]:
        del sys.modules[name]
    importlib.import_module(module)
"""


def test_any_module_may_be_the_first_that_is_imported() -> None:
    names = ("session", "comparison", "reproduce", "catalog", "runs", "api", "cli", "demo", "reporting.page", "testing")
    code = FIRST.format(modules=[f"ogive.{name}" for name in names])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""


# -- parts ------------------------------------------------------------------------------------------------------------


def test_a_space_is_named() -> None:
    space = ogive.space("nasbench201")
    assert len(space) == 15_625
    assert space.parse("nasbench201:0,1,2,3,4,0").choices == (0, 1, 2, 3, 4, 0)
    with pytest.raises(ogive.UnknownName, match="nasbench201"):
        ogive.space("nasbench21")


@pytest.mark.parametrize("text", ["natssize:0,1,2,3,4", "natssize:0,1,2,3,4,0", "8:16:24:32:40", "nasbench201:0,1,2"])
def test_an_architecture_of_another_space_is_refused(text: str) -> None:
    with pytest.raises(ogive.InvalidArchitecture, match="nasbench201") as refused:
        ogive.space("nasbench201").parse(text)
    assert "\n" not in str(refused.value)


def test_a_table_is_named_or_opened(invented_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ogive.table(invented_table).rows == 15_625
    monkeypatch.setenv("OGIVE_HOME", str(invented_table.parent.parent))
    with pytest.raises(ogive.MissingData, match="ogive tables import FILE --as nasbench201"):
        ogive.table("nasbench201")


def test_data_are_named() -> None:
    assert ogive.data("digits", size=16, limit=20).shape == (1, 16, 16)


def test_a_strategy_is_asked_and_told_by_hand() -> None:
    space, measure = ogive.space("natssize"), Widths()
    strategy = ogive.strategy("evolution(population=5, tournament=2)", space, seed=1)
    scores = []
    for number in range(60):
        proposal = strategy.ask()[0]
        found = measure.evaluate([proposal])[0]
        scores.append(found.metrics["val_acc"])
        strategy.tell([Trial(number, proposal, found, "ok", (scores[-1],))])
    assert np.mean(scores[-10:]) > np.mean(scores[:10])


def test_by_hand_and_by_search_are_the_same_search() -> None:
    by_search = ogive.search(space="natssize", strategy="random", evaluator=Widths(), budget=10, seed=3)
    by_hand = ogive.strategy("random", ogive.space("natssize"), seed=3).ask(10)
    assert [trial.proposal for trial in by_search.trials] == by_hand


# -- searching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda name, table: ogive.table(name),
        lambda name, table: ogive.open_run(name),
        lambda name, table: ogive.search(space="nasbench201", table=table, budget=2, out=name),
        lambda name, table: ogive.search(space="nasbench201", data=f"arrays:{name}", budget=2),
        lambda name, table: ogive.resume(name),
        lambda name, table: ogive.train(name),
        lambda name, table: ogive.export(name),
        lambda name, table: ogive.report(name),
        lambda name, table: ogive.compare(["random"], space="nasbench201", table=table, budget=2, seeds=1, out=name),
    ],
)
@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused_in_one_short_line(
    call: Callable[[str, str], object], name: str, invented_table: Path
) -> None:
    with pytest.raises(ogive.OgiveError) as refused:
        call(name, str(invented_table))
    assert len(str(refused.value)) < 500
    assert "\n" not in str(refused.value)


def test_a_search_by_names(invented_table: Path) -> None:
    found = ogive.search(space="nasbench201", table=str(invented_table), strategy="evolution", budget=120, seed=0)
    assert len(found.trials) == 120
    assert found.folder is None
    assert found.best.scores == max(trial.scores for trial in found.trials if trial.scores)
    again = ogive.search(space="nasbench201", table=ogive.table(invented_table), budget=120, seed=0)
    assert [trial.arch for trial in again.trials] == [trial.arch for trial in found.trials]
    other = ogive.search(space="nasbench201", table=str(invented_table), budget=120, seed=1)
    assert [trial.arch for trial in other.trials] != [trial.arch for trial in found.trials]


def test_a_search_with_objects_of_ones_own() -> None:
    space = ogive.space("natssize")
    strategy = Downhill(space)
    found = ogive.search(
        space=space, strategy=strategy, evaluator=Widths(), objective=ogive.Minimize("val_acc"), budget=100
    )
    # Four proposals, then the strategy has nothing more to ask.
    assert [trial.scores for trial in found.trials] == [(-sum(t.arch.choices),) for t in strategy.told]
    assert len(found.trials) == 4
    assert found.best is min(found.trials, key=lambda trial: trial.metrics["val_acc"])


def test_a_space_of_ones_own() -> None:
    def draw(arch: ogive.Architecture) -> ogive.Graph:
        return ogive.Graph(("in", "out"), frozenset({(0, 1)}))

    space = ogive.SearchSpace("mine", (ogive.Choice("a", ("x", "y")), ogive.Real("b", 0.0, 1.0)), draw)
    found = ogive.search(space=space, strategy="random", evaluator=Widths(), budget="8 trials")
    assert {trial.arch.space for trial in found.trials} == {"mine"}


def test_names_and_objects_mix_in_several_objectives() -> None:
    found = ogive.search(
        space="natssize",
        strategy="nsga2(population=8)",
        evaluator=Widths(),
        objective=["maximize(val_acc)", ogive.Minimize("params")],
        budget=ogive.Budget(trials=60),
    )
    assert all(t.scores == (t.metrics["val_acc"], -t.metrics["params"]) for t in found.trials)
    front = found.pareto()
    scores = [trial.scores for trial in front if trial.scores]
    assert scores == sorted(scores, reverse=True)
    for trial in found.trials:
        assert trial.scores is not None
        beaten = any(all(a >= b for a, b in zip(s, trial.scores, strict=True)) and s != trial.scores for s in scores)
        assert beaten != (trial.scores in scores)


def test_the_best_of_several_objectives_is_a_stated_choice_from_the_front() -> None:
    parts = {"space": "natssize", "strategy": "random", "evaluator": Widths(), "budget": 60}
    found = ogive.search(**parts, objective=["maximize(val_acc)", "minimize(params)"])
    assert found.best in found.pareto()
    assert found.choice.rule.startswith("the knee of the Pareto front")
    assert found.best.scores != max(trial.scores for trial in found.trials if trial.scores)
    limit = sorted(trial.metrics["params"] for trial in found.pareto())[1]
    within = found.preferring(f"params<={limit}")
    assert within.best is found.pareto()[-2]
    assert within.choice.rule == f"of the Pareto front, the best in maximize(val_acc) with params<={limit:g}"
    assert within.preferring("knee").best is found.best
    with pytest.raises(ogive.SpecError, match=r"No trial of the Pareto front has params<0: the nearest .* is trial"):
        _ = found.preferring("params<0").best
    with pytest.raises(ogive.UnknownName, match="Did you mean 'params'"):
        found.preferring("param<=3")


def test_what_is_preferred_is_stored_with_the_run_and_may_change(tmp_path: Path) -> None:
    parts = {"space": "natssize", "strategy": "random", "evaluator": Widths(), "out": tmp_path / "run"}
    parts["objective"] = ["maximize(val_acc)", "minimize(params)"]
    with pytest.raises(ogive.SpecError, match="never goes by the test set"):
        ogive.search(**parts, budget=5, prefer="test_acc>=1")
    found = ogive.search(**parts, budget=30, prefer="val_acc>=20")
    opened = ogive.open_run(tmp_path / "run")
    assert opened == found
    assert opened.best.metrics["val_acc"] >= 20
    again = ogive.search(**parts, budget=40, prefer=["val_acc<=12"], resume=True)
    assert again.best.metrics["val_acc"] <= 12
    assert ogive.open_run(tmp_path / "run").best == again.best


def test_the_front_of_one_objective_is_its_best() -> None:
    found = ogive.search(space="natssize", strategy="random", evaluator=Widths(), budget=40)
    assert {trial.scores for trial in found.pareto()} == {found.best.scores}


def test_a_search_without_a_success_has_no_best(invented_table: Path) -> None:
    class Broken:
        metrics = (Metric("val_acc"),)

        def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
            return [Measurement(error="always") for _ in proposals]

    found = ogive.search(space="natssize", strategy="random", evaluator=Broken(), budget=3)
    assert found.pareto() == []
    with pytest.raises(ogive.SpecError, match="None of the 3 trials succeeded"):
        _ = found.best
    with pytest.raises(ogive.ProtocolError, match=r"all failed.*always"):
        ogive.search(space="natssize", strategy="random", evaluator=Broken(), budget=100)


def test_who_watches_sees_every_trial() -> None:
    seen: list[Trial] = []
    found = ogive.search(space="natssize", evaluator=Widths(), budget=9, on_trial=seen.append)
    assert seen == list(found.trials)


def test_two_workers_find_what_one_finds(invented_table: Path) -> None:
    options = {"space": "nasbench201", "table": str(invented_table), "strategy": "random", "budget": 20}
    one, two = ogive.search(**options), ogive.search(**options, workers=2)  # type: ignore[arg-type]
    assert sorted(trial.number for trial in two.trials) == list(range(20))
    assert {trial.arch for trial in two.trials} == {trial.arch for trial in one.trials}


def test_a_budget_without_an_end_is_refused() -> None:
    with pytest.raises(ogive.SpecError, match="never ends here"):
        ogive.search(space="natssize", evaluator=Widths(), budget="benchmark=100")


# -- folders ----------------------------------------------------------------------------------------------------------


def test_a_stored_search_is_interrupted_resumed_and_opened(tmp_path: Path) -> None:
    def stop(trial: Trial) -> None:
        if trial.number == 6:
            raise KeyboardInterrupt

    def search(**more: object) -> ogive.Result:
        return ogive.search(space="natssize", evaluator=Widths(), budget=15, out=tmp_path / "run", **more)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        search(on_trial=stop)
    with pytest.raises(ogive.StoreError, match="begins in an empty folder"):
        search()
    found = search(resume=True)
    assert found.folder == tmp_path / "run"
    assert [trial.number for trial in found.trials] == list(range(15))
    assert ogive.open_run(tmp_path / "run") == found
    whole = ogive.search(space="natssize", evaluator=Widths(), budget=15)
    assert [trial.arch for trial in found.trials] == [trial.arch for trial in whole.trials]


def test_resuming_where_nothing_is_begins(tmp_path: Path) -> None:
    found = ogive.search(space="natssize", evaluator=Widths(), budget=3, out=tmp_path / "run", resume=True)
    assert len(found.trials) == 3


def test_a_search_is_not_resumed_with_other_settings(tmp_path: Path) -> None:
    ogive.search(space="natssize", evaluator=Widths(), budget=3, out=tmp_path / "run")
    changes: list[dict[str, object]] = [{"seed": 1}, {"objective": "minimize(params)"}, {"strategy": "random"}]
    for change in changes:
        with pytest.raises(ogive.StoreError, match=f"with the {next(iter(change))}"):
            ogive.search(
                space="natssize",
                evaluator=Widths(),
                budget=6,
                out=tmp_path / "run",
                resume=True,
                **change,  # type: ignore[arg-type]
            )
    longer = ogive.search(space="natssize", evaluator=Widths(), budget=6, out=tmp_path / "run", resume=True)
    assert len(longer.trials) == 6


def test_a_run_of_objects_says_what_they_were(tmp_path: Path) -> None:
    ogive.search(
        space=ogive.space("natssize"),
        strategy=Downhill(ogive.space("natssize")),
        evaluator=Widths(),
        objective=ogive.Maximize("params"),
        budget=2,
        out=tmp_path / "run",
    )
    config = json.loads((tmp_path / "run" / "run.json").read_text())
    named = {key: config[key] for key in ("space", "strategy", "evaluator", "objectives")}
    assert named == {
        "space": "natssize",
        "strategy": "Downhill",
        "evaluator": "Widths",
        "objectives": ["maximize(params)"],
    }


def test_a_keyword_that_search_does_not_know_is_named() -> None:
    with pytest.raises(TypeError, match=r"search\(\) got an unexpected keyword argument 'chanels'"):
        ogive.search(space="nasbench201", chanels=4)  # type: ignore[call-arg]

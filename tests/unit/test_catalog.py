from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from ogive import catalog, plugins
from ogive.context import Context
from ogive.core.capabilities import walk
from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.core.evaluator import Cached, Evaluator
from ogive.core.metric import names_of
from ogive.core.objective import LatencyTradeoff, Maximize
from ogive.core.rng import Seed
from ogive.core.trial import Proposal
from ogive.evaluators.training_free import TrainingFree
from ogive.registry import TOOLS
from ogive.scores.repeats import Asked
from ogive.spec import Spec
from ogive.strategies.local import RegularizedEvolution
from ogive.tables.store import Table

ALL_PARTS = [(kind, name) for kind in catalog.KINDS for name in catalog.names(kind)]


@pytest.fixture
def context() -> Context:
    return Context({"space": lambda: catalog.build("space", "natssize"), "data": lambda: None}, Seed(0))


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), ALL_PARTS)
def test_every_part_can_be_imported_and_says_what_it_is(kind: str, name: str) -> None:
    assert callable(catalog.resolve(kind, name))
    assert 0 < len(catalog.summary(kind, name)) <= 120
    assert isinstance(catalog.options(kind, name), dict)


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_every_tool_can_be_imported(tool: str) -> None:
    assert catalog.load(tool)


@pytest.mark.parametrize(
    ("kind", "name", "offered"),
    [
        ("space", "nasbench21", "'nasbench201'"),
        ("strategy", "evolutoin", "'evolution'"),
        ("evaluator", "tabula", "'tabular'"),
        ("objective", "maximise", "'maximize'"),
        ("score", "naswott", "'naswot'"),
        (
            "strategy",
            "zzz",
            "Known: area, asha, bayes, bohb, ctnas, darts, darts_pt, ddarts, enas",
        ),
    ],
)
def test_an_unknown_name_offers_the_nearest(kind: str, name: str, offered: str) -> None:
    with pytest.raises(UnknownName, match=f"no {kind} named '{name}'") as refused:
        catalog.resolve(kind, name)
    assert offered in str(refused.value)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'strategy'"):
        catalog.names("strategies")


# -- building ---------------------------------------------------------------------------------------------------------


def test_parameters_are_taken_from_the_context_by_name(context: Context) -> None:
    strategy = catalog.build("strategy", "evolution(population=7, tournament=3)", context)
    assert isinstance(strategy, RegularizedEvolution)
    assert (strategy.space.name, strategy.population, strategy.tournament) == ("natssize", 7, 3)


def test_an_option_overrides_the_context() -> None:
    def made(*, device: str = "cpu", threads: int | None = None) -> tuple[str, int | None]:
        return device, threads

    context = Context({"device": lambda: "cuda", "threads": lambda: None})
    assert catalog.make(made, Spec("made"), context) == ("cuda", None)
    assert catalog.make(made, Spec("made", options={"device": Spec("cpu"), "threads": 2}), context) == ("cpu", 2)


def test_what_the_context_lacks_is_named_with_the_way_to_give_it(context: Context) -> None:
    with pytest.raises(SpecError, match="training_free needs data: give --data digits"):
        catalog.build("evaluator", "training_free(naswot)", context)
    with pytest.raises(SpecError, match="tabular needs table: give --table nasbench201"):
        catalog.build("evaluator", "tabular", context)
    with pytest.raises(
        SpecError, match=r"latency_tradeoff needs target_ms: write latency_tradeoff\(target_ms=\.\.\.\)"
    ):
        catalog.build("objective", "latency_tradeoff", context)


def test_parts_are_built_inside_parts(invented_table: Path, context: Context) -> None:
    table = Table.open(invented_table)
    text = "screened(tabular(report=none), cached(tabular), keep=2, pool=5)"
    with pytest.raises(SpecError, match="one evaluator only, but val_acc"):
        catalog.build("evaluator", text, context.having(table=lambda: table))
    built = catalog.build("evaluator", "cached(tabular(also=[params]))", context.having(table=lambda: table))
    assert isinstance(built, Cached)
    assert names_of(built.metrics) == ("val_acc", "test_acc", "params")


def test_an_evaluator_may_open_a_table_of_its_own(invented_table: Path) -> None:
    built = catalog.build("evaluator", f'tabular(table="{invented_table}", report=none)')
    assert built.table.name == "invented"
    assert names_of(built.metrics) == ("val_acc",)


def test_objectives_take_a_word_as_the_name_of_a_metric() -> None:
    assert catalog.build("objective", "maximize(val_acc)") == Maximize("val_acc")
    assert catalog.build("objective", 'maximize("val_acc")') == Maximize("val_acc")
    assert catalog.build("objective", "latency_tradeoff(target_ms=5, mode=hard)") == LatencyTradeoff(
        target_ms=5.0, mode="hard"
    )


# -- values of the wrong type -----------------------------------------------------------------------------------------


def typed(
    *,
    count: int = 1,
    share: float = 0.5,
    word: str = "",
    flag: bool = False,
    limit: int | None = None,
    mode: Literal["soft", "hard"] = "soft",
    many: tuple[str, ...] = (),
    numbers: Sequence[int] = (),
    either: str | Sequence[str] = "",
    folder: Path | None = None,
    part: Evaluator | None = None,
    anything: Any = None,
) -> dict[str, Any]:
    return locals()


@pytest.mark.parametrize(
    ("option", "given", "made"),
    [
        ("count", 3, 3),
        ("share", 3, 3.0),
        ("share", 0.25, 0.25),
        ("word", Spec("abc"), "abc"),
        ("word", "a b", "a b"),
        ("flag", True, True),
        ("limit", None, None),
        ("limit", 4, 4),
        ("mode", Spec("hard"), "hard"),
        ("many", [Spec("a"), "b"], ("a", "b")),
        ("numbers", [1, 2], (1, 2)),
        ("either", Spec("a"), "a"),
        ("either", [Spec("a")], ("a",)),
        ("folder", Spec("runs/a"), Path("runs/a")),
        ("anything", Spec("abc"), "abc"),
    ],
)
def test_a_value_becomes_what_the_annotation_says(option: str, given: object, made: object) -> None:
    found = catalog.make(typed, Spec("typed", options={option: given}))[option]
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("option", "given", "wanted"),
    [
        ("count", 1.5, "takes int, but got 1.5"),
        ("count", True, "takes int, but got true"),
        ("count", Spec("big"), "takes int, but got big"),
        ("count", None, "takes int, but got none"),
        ("share", Spec("half"), "takes float, but got half"),
        ("word", 3, "takes str, but got 3"),
        ("word", Spec("a", (1,)), r"takes str, but got a\(1\)"),
        ("flag", 1, "takes bool, but got 1"),
        ("limit", Spec("few"), "takes int or none, but got few"),
        ("mode", Spec("medium"), "takes 'soft' or 'hard', but got medium"),
        ("many", Spec("a"), "many=..."),
        ("many", [1], "many=..."),
        ("numbers", [1, Spec("a")], "numbers=..."),
        ("folder", 3, "takes Path or none, but got 3"),
        ("part", 3, "takes Evaluator or none, but got 3"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(option: str, given: object, wanted: str) -> None:
    with pytest.raises(SpecError, match=wanted) as refused:
        catalog.make(typed, Spec("typed", options={option: given}))
    assert str(refused.value).startswith(f"typed({option}=...)")


def test_an_unknown_option_offers_the_nearest(context: Context) -> None:
    with pytest.raises(UnknownName, match=r"no option of evolution named 'populaton'. Did you mean 'population'"):
        catalog.build("strategy", "evolution(populaton=3)", context)


def test_parts_of_one_kind_inside_a_part_have_random_streams_of_their_own(context: Context) -> None:
    context = context.having(data=lambda: catalog.build("data", "digits(limit=40, size=8)"), threads=lambda: 1)
    small = "batch_size=8, cells=1"
    text = f"together(training_free(zen, {small}), cached(training_free(zico, {small})), training_free(swap, {small}))"
    built = catalog.build("evaluator", text, context)
    seeds = [part.seed for part in walk(built) if isinstance(part, TrainingFree)]
    own = Seed(0)
    assert seeds == [own, own.child("evaluator 1"), own.child("evaluator 2")]
    assert catalog.build("evaluator", f"cached(training_free(zen, {small}))", context).parts[0].seed == own


def test_an_unknown_part_inside_a_part_is_named(context: Context) -> None:
    with pytest.raises(UnknownName, match=r"no evaluator named 'traned'. Did you mean 'trained'"):
        catalog.build("evaluator", "cached(traned)", context)


def test_too_many_positions_are_refused() -> None:
    with pytest.raises(SpecError, match=r"maximize.* takes at most 1 positional arguments, but got 2"):
        catalog.build("objective", "maximize(val_acc, params)")


def test_the_options_of_a_part_are_its_keywords_with_their_defaults() -> None:
    assert catalog.options("strategy", "nsga2") == {"population": 20, "crossover": 0.9}
    assert catalog.options("objective", "latency_tradeoff")["mode"] == "soft"
    assert "space" not in catalog.options("strategy", "evolution")


@pytest.mark.parametrize("score", catalog.names("score"))
def test_the_options_of_a_score_are_what_may_be_written_of_it(score: str) -> None:
    offered = catalog.options("score", score)
    assert str(Asked.read(Spec(score, (), dict.fromkeys(offered, 2)))) == f"{score}(repeats=2)"
    assert all(default is not inspect.Parameter.empty for default in offered.values())
    assert catalog.inner_parts("score", score) == []


@pytest.mark.parametrize("evaluator", ["trained", "training_free", "latency", "tabular"])
def test_what_nobody_can_write_in_brackets_is_no_option(evaluator: str) -> None:
    offered = catalog.options("evaluator", evaluator).keys()
    assert not offered & {"maker", "progress", "folder", "space", "data", "seed", "device", "budget", "table"}
    wanted = {"trained": "drop_path", "training_free": "batch_size", "latency": "shape", "tabular": "also"}
    assert wanted[evaluator] in offered


@pytest.mark.parametrize(
    ("text", "flag"),
    [("trained(data=cifar10)", "--data digits"), ("latency(seed=3)", "--seed 1"), ("latency(space=darts)", "--space")],
)
def test_what_is_given_once_for_a_search_is_not_taken_in_brackets(text: str, flag: str) -> None:
    context = Context({"data": lambda: None, "space": lambda: None}, Seed(0))
    with pytest.raises(SpecError, match=rf"takes no \w+ in brackets.*{flag}"):
        catalog.build("evaluator", text, context)


# -- plug-ins ---------------------------------------------------------------------------------------------------------

TABU = '''
"""A package that was written elsewhere."""
from ogive.core.trial import Proposal


class TabuSearch:
    """Never looks back."""

    def __init__(self, space, seed, *, memory: int = 7) -> None:
        self.space, self.rng, self.memory = space, seed.numpy("tabu"), memory

    def ask(self, n=1):
        return [Proposal(self.space.sample(self.rng)) for _ in range(n)]

    def tell(self, trials):
        pass


class Plain:
    """Parameters as most people write them."""

    def __init__(self, space, seed, memory: int, aspiration: float = 0.5, restarts=3, *, tenure: int = 7) -> None:
        self.memory, self.aspiration, self.restarts, self.tenure = memory, aspiration, restarts, tenure

    ask, tell = TabuSearch.ask, TabuSearch.tell


def layers(network, images):
    return float(sum(1 for _ in network.modules()))


def mine(name: str, *, count: int = 20):
    """Digits of somebody's own."""
    from ogive.training.data import load

    return load("digits", limit=count)


def loose(name, count=20):
    """The same with parameters of no particular kind."""
    return mine(name, count=count)
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Install a package with these entry points, as pip would."""

    def installed(points: str) -> None:
        (tmp_path / "tabu_for_ogive.py").write_text(TABU)
        info = tmp_path / "tabu_for_ogive-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tabu-for-ogive\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ogive.plugins]\n{points}\n")
        monkeypatch.syspath_prepend(tmp_path)
        plugins._installed.cache_clear()

    yield installed
    sys.modules.pop("tabu_for_ogive", None)
    plugins._installed.cache_clear()


def test_an_installed_plug_in_is_a_part_like_any_other(install: Callable[[str], None], context: Context) -> None:
    assert "tabu" not in catalog.names("strategy")
    install("strategy.tabu = tabu_for_ogive:TabuSearch")
    assert "tabu" in catalog.names("strategy")
    assert "tabu_for_ogive" not in sys.modules  # naming it does not import it
    assert catalog.summary("strategy", "tabu") == "Never looks back."
    assert catalog.options("strategy", "tabu") == {"memory": 7}
    assert plugins.packages()["tabu-for-ogive"] == "1.0"
    assert catalog.build("strategy", "tabu(memory=3)", context).memory == 3
    with pytest.raises(UnknownName, match="Did you mean 'tabu'"):
        catalog.build("strategy", "tabo", context)


def test_parameters_are_options_whether_keyword_only_or_not(install: Callable[[str], None], context: Context) -> None:
    install("strategy.plain = tabu_for_ogive:Plain")
    assert catalog.options("strategy", "plain") == {"aspiration": 0.5, "restarts": 3, "tenure": 7}
    assert catalog.inner_parts("strategy", "plain") == ["memory"]
    made = catalog.build("strategy", "plain(memory=5, aspiration=0.25, restarts=2)", context)
    assert (made.memory, made.aspiration, made.restarts, made.tenure) == (5, 0.25, 2, 7)
    assert catalog.options("evaluator", "training_free")["score"] == "naswot"


def test_an_installed_score_can_screen(install: Callable[[str], None]) -> None:
    install("score.layers = tabu_for_ogive:layers")
    data = catalog.load("load_data")("digits", limit=10)
    context = Context({"data": lambda: data, "space": lambda: catalog.build("space", "nasbench201")}, Seed(0))
    evaluator = catalog.build("evaluator", "training_free(layers, channels=2, cells=1)", context)
    arch = context["space"].parse("nasbench201:3,3,3,3,3,3")
    assert evaluator.evaluate([Proposal(arch)])[0].metrics["layers"] > 10


def test_installed_data_are_loaded_by_their_name(install: Callable[[str], None]) -> None:
    install("data.mine = tabu_for_ogive:mine\ndata.loose = tabu_for_ogive:loose")
    assert catalog.options("data", "mine") == catalog.options("data", "loose") == {"count": 20}
    assert catalog.tasks("data", "mine") == catalog.inputs("data", "mine") == ()  # it does not say
    assert len(catalog.build("data", "mine(count=10)").train) == 10
    with pytest.raises(UnknownName, match="no data set named 'mina'"):
        catalog.build("data", "mina")


def test_a_plug_in_does_not_replace_a_part_of_ogive(install: Callable[[str], None]) -> None:
    install("strategy.random = tabu_for_ogive:TabuSearch")
    assert catalog.resolve("strategy", "random").__module__ == "ogive.strategies.local"


@pytest.mark.parametrize("name", ["tabu", "strategies.tabu", "strategy.", ".tabu"])
def test_a_plug_in_without_a_kind_is_refused_by_name(install: Callable[[str], None], name: str) -> None:
    install(f"{name} = tabu_for_ogive:TabuSearch")
    with pytest.raises(SpecError, match=r"tabu_for_ogive:TabuSearch\) must be named kind\.name"):
        catalog.names("strategy")


def test_a_plug_in_that_names_nothing_is_refused_when_it_is_used(install: Callable[[str], None]) -> None:
    install("strategy.tabu = tabu_for_ogive:TabooSearch")
    assert "tabu" in catalog.names("strategy")
    with pytest.raises(SpecError, match="tabu_for_ogive has no 'TabooSearch'"):
        catalog.resolve("strategy", "tabu")


def test_a_plug_in_whose_package_is_missing_is_missing_data(install: Callable[[str], None]) -> None:
    install("strategy.tabu = tabu_that_nobody_installed:TabuSearch")
    with pytest.raises(MissingData, match="needs the package 'tabu_that_nobody_installed': pip install"):
        catalog.resolve("strategy", "tabu")

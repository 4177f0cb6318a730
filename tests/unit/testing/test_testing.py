"""A conformance check is worth what it catches: every promise is broken once here.

Over 500 lines, since each broken part stands beside the check that must notice it.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import ProtocolError, SpecError, StoreError
from ogive.core.graph import Graph
from ogive.core.metric import Metric
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal, Trial
from ogive.predictors.trees import ExtraTrees
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.local import RandomSearch
from ogive.testing import check_evaluator, check_predictor, check_space, check_strategy
from ogive.testing.spaces import PROMISES as SPACE_PROMISES
from ogive.testing.strategies import PROMISES as STRATEGY_PROMISES

SPACE = nasbench201()


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


def space(**changes: Any) -> SearchSpace:
    plain: dict[str, Any] = {
        "name": "toy",
        "variables": (Choice("p", ("a", "b", "c")), Choice("q", ("a", "b", "c"))),
        "draw": draw,
    }
    return SearchSpace(**{**plain, **changes})


# -- spaces -----------------------------------------------------------------------------------------------------------


def read_wrongly(text: str) -> Architecture:
    return Architecture("toy", (0, 0))


def write(arch: Architecture) -> str:
    return "".join(map(str, arch.choices))


def shifted(arch: Architecture) -> Architecture:
    return Architecture("toy", ((int(arch.choices[0]) + 1) % 3, arch.choices[1]))


def listed_twice() -> Iterator[Architecture]:
    return iter([Architecture("toy", (0, 0)), Architecture("toy", (0, 0))])


def listed_in_part() -> Iterator[Architecture]:
    return iter([Architecture("toy", (0, choice)) for choice in range(3)])


calls: list[int] = []


def draw_differently(arch: Architecture) -> Graph:
    calls.append(1)
    return Graph(("input", str(len(calls))), frozenset())


def draw_nothing(arch: Architecture) -> Graph:
    return Graph((), frozenset())


def draw_text(arch: Architecture) -> Any:
    return "a graph"


def zero(arch: Architecture) -> Architecture:
    return Architecture("toy", (0, 0))


def itself(arch: Architecture) -> Architecture:
    return arch


def unequal(choices: tuple[int | float, ...]) -> bool:
    return choices[0] != choices[1]


BROKEN_SPACES = {
    "cannot stand in the text form": {"name": "my toy"},
    "variables need different names": {"variables": (Choice("p", ("a", "b")), Choice("p", ("a", "b")))},
    "options of p need different names": {"variables": (Choice("p", ("a", "a")), Choice("q", ("a", "b")))},
    "read back as": {"read": read_wrongly, "write": write},
    "different pictures": {"draw": draw_differently},
    "is empty": {"draw": draw_nothing},
    "must return a Graph, not str": {"draw": draw_text},
    "prune must leave its own result alone": {"prune": shifted},
    "canonical must leave its own result alone": {"canonical": shifted},
    "pruned form must have the same canonical form": {"prune": zero, "canonical": itself},
    "listed twice": {"listing": listed_twice, "count": 2},
    "but 3 architectures are listed": {"listing": listed_in_part, "count": 9},
    "which is not listed": {"listing": listed_in_part, "count": 3},
    "Not an architecture of toy": {"is_legal": unequal, "canonical": zero},
    "must be picklable": {"draw": lambda arch: draw(arch)},  # noqa: PLW0108  a lambda is the point
}


@pytest.mark.parametrize("message", list(BROKEN_SPACES))
def test_a_space_that_breaks_a_promise_is_told_which(message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_space(space(**BROKEN_SPACES[message]))
    assert message in str(caught.value)


class Elsewhere(SearchSpace):
    """Draws from a generator of its own."""

    def sample(self, rng: np.random.Generator) -> Architecture:
        return Architecture("toy", (int(OTHER.integers(3)), 0))


OTHER = np.random.default_rng(0)


def never(choices: tuple[int | float, ...]) -> bool:
    return False


def all_different(choices: tuple[int | float, ...]) -> bool:
    return len(set(choices)) == len(choices)


def shuffled(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(rng.permutation(12).tolist())


def zeros(rng: np.random.Generator) -> tuple[int, ...]:
    return (0,) * 12


PLACES = tuple(Choice(f"place{number}", tuple(map(str, range(12)))) for number in range(12))


def test_a_space_without_legal_draws_is_given_up_within_seconds_with_advice() -> None:
    for made in (space(is_legal=never), space(variables=PLACES, is_legal=all_different)):
        with pytest.raises(
            ProtocolError, match=r"in 0\.1 s of a processor is legal\. Promise 2 of 7, draws.*`sampler`"
        ):
            check_space(made, patience_s=0.1)


def test_a_space_may_bring_its_own_sampler() -> None:
    permutations = space(variables=PLACES, is_legal=all_different, sampler=shuffled)
    assert permutations.is_legal(permutations.sample(np.random.default_rng(0)).choices)
    with pytest.raises(ProtocolError, match=r"s of a processor is legal\. Promise 5 of 7, listing.*give `listing`"):
        check_space(permutations, patience_s=0.1)  # all that is before the listing holds
    with pytest.raises(ProtocolError, match="The sampler of toy drew what is no architecture"):
        check_space(space(variables=PLACES, is_legal=all_different, sampler=zeros), patience_s=0.1)


def test_a_check_of_a_space_tells_where_it_is() -> None:
    told: list[str] = []
    check_space(space(), tell=told.append)
    assert [line.split(":")[0] for line in told] == [
        f"toy, {number} of 7, {name}"
        for number, name in enumerate(("names", "draws", "architectures", "refusals", "listing", "sending"), 1)
    ]


def test_a_space_that_draws_from_elsewhere_is_caught() -> None:
    honest = space()
    with pytest.raises(ProtocolError, match="equal generators"):
        check_space(Elsewhere(honest.name, honest.variables, honest.draw))


# -- strategies -------------------------------------------------------------------------------------------------------


class Honest(RandomSearch):
    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)


class Forgetful(Honest):
    """Loads another stream than it saved."""

    def restore(self, state: dict[str, Any]) -> None:
        pass


class Trusting(Honest):
    """Does not look whether its file is whole."""

    def load(self, folder: Path) -> None:
        (folder / "state.json").read_text(encoding="utf-8")


class Pickling(Honest):
    def save(self, folder: Path) -> None:
        (folder / "state.bin").write_bytes(b"\x80\x04N.")


class Measured(Honest):
    """Keeps its state behind the length of it, as safetensors does; the length is 128, the first byte of a pickle."""

    def save(self, folder: Path) -> None:
        super().save(folder)
        path = folder / "state.json"
        text = path.read_bytes()
        path.write_bytes(struct.pack("<Q", 128 + 256 * len(text)) + text.ljust(len(text) + 256))

    def load(self, folder: Path) -> None:
        path = folder / "state.json"
        whole = path.read_bytes()
        if len(whole) < 8 + struct.unpack("<Q", whole[:8])[0] // 256 + 256:
            raise StoreError("The state is cut off.")
        path.write_bytes(whole[8:])
        super().load(folder)
        path.write_bytes(whole)


class Global(Honest):
    def ask(self, n: int = 1) -> list[Proposal]:
        np.random.rand()  # noqa: NPY002  what must be caught
        return super().ask(n)


class Unseeded(Honest):
    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, Seed(int.from_bytes(os.urandom(4), "little")))


class Batchwise(Honest):
    """Draws once more for every call."""

    def ask(self, n: int = 1) -> list[Proposal]:
        self.space.sample(self._rng)
        return super().ask(n)


class Joint(Batchwise):
    divisible = False


class Tellwise(Honest):
    def tell(self, trials: Sequence[Trial]) -> None:
        self.space.sample(self._rng)


class Foreign(Honest):
    def ask(self, n: int = 1) -> list[Proposal]:
        return [Proposal(Architecture("elsewhere", (0,))) for _ in range(n)]


class Talkative(Honest):
    def ask(self, n: int = 1) -> list[Proposal]:
        return super().ask(n + 1)


class Archs(Honest):
    def ask(self, n: int = 1) -> list[Any]:
        return [proposal.arch for proposal in super().ask(n)]


class Undead(Honest):
    """Says that the search is over, and goes on."""

    def __init__(self, space: SearchSpace, seed: Seed) -> None:
        super().__init__(space, seed)
        self.calls = 0

    def ask(self, n: int = 1) -> list[Proposal]:
        self.calls += 1
        return [] if self.calls == 4 else super().ask(n)


class Single(Honest):
    objectives = 1  # type: ignore[assignment]


BROKEN_STRATEGIES = {
    "saved and loaded must go on": Forgetful,
    "load took half of state.json for a whole state": Trusting,
    "must not write a pickle": Pickling,
    "numpy's global generator": Global,
    "same seed and results": Unseeded,
    "ask(5) must give the same as ask(1) 5 times": Batchwise,
    "telling all at once the same as one by one": Tellwise,
    "belongs to the space 'elsewhere'": Foreign,
    "ask(1) returned 2 proposals": Talkative,
    "must return a list of Proposals": Archs,
    "the search was over": Undead,
}


def test_an_honest_strategy_passes() -> None:
    check_strategy(Honest, SPACE)


def test_a_file_that_begins_with_its_length_is_no_pickle() -> None:
    check_strategy(Measured, SPACE)


def test_a_strategy_that_does_not_promise_that_batches_are_their_members_may_draw_them_jointly() -> None:
    check_strategy(Joint, SPACE)


@pytest.mark.parametrize("message", list(BROKEN_STRATEGIES))
def test_a_strategy_that_breaks_a_promise_is_told_which(message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_strategy(BROKEN_STRATEGIES[message], SPACE)
    assert message in str(caught.value)


def test_a_check_of_a_strategy_explains_what_it_checks_and_what_to_do() -> None:
    told: list[str] = []
    with pytest.raises(ProtocolError) as caught:
        check_strategy(Global, SPACE, tell=told.append)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("numpy's global generator", "Promise 2 of 8, determinism", "What to do: draw all", "docs/parts.md"):
        assert part in message
    assert [line.split(":")[0] for line in told] == ["Global, 1 of 8, kind", "Global, 2 of 8, determinism"]


def test_the_contract_in_the_documents_names_every_promise() -> None:
    document = (Path(__file__).resolve().parents[3] / "docs" / "parts.md").read_text("utf-8")
    for promises in (STRATEGY_PROMISES, SPACE_PROMISES):
        for promise in promises:
            assert f"| `{promise.name}` | {promise.checked} |" in document


def test_a_strategy_is_checked_with_as_many_objectives_as_it_takes() -> None:
    check_strategy(Single, SPACE, objectives=1)
    with pytest.raises(ProtocolError, match="made for 1"):
        check_strategy(Single, SPACE, objectives=2)


# -- evaluators -------------------------------------------------------------------------------------------------------


class Length:
    """Measures the sum of the choices."""

    metrics: Any = (Metric("val_acc"),)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self.measured(proposal.arch) for proposal in proposals]

    def measured(self, arch: Architecture) -> Measurement:
        if arch.space != SPACE.name:
            return Measurement(error=f"{arch} is of another space")
        return Measurement({"val_acc": float(sum(arch.choices))})


class Silent(Length):
    metrics = ()


class Twice(Length):
    metrics = (Metric("val_acc"), Metric("val_acc"))


class Promising(Length):
    metrics = (Metric("val_acc"), Metric("latency_ms"))


class Nan(Length):
    def measured(self, arch: Architecture) -> Measurement:
        return Measurement({"val_acc": float("nan")})


class Broken(Length):
    def measured(self, arch: Architecture) -> Measurement:
        return Measurement(error="no GPU")


class Cheating(Length):
    def measured(self, arch: Architecture) -> Measurement:
        return Measurement({"val_acc": 1.0}, Cost(wall_s=-1.0))


class Ordered(Length):
    """The result depends on the place in the batch."""

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({"val_acc": float(place)}) for place, _ in enumerate(proposals)]


class Welcoming(Length):
    def measured(self, arch: Architecture) -> Measurement:
        return Measurement({"val_acc": float(sum(arch.choices))})


class Exploding(Length):
    def measured(self, arch: Architecture) -> Measurement:
        return Measurement({"val_acc": {SPACE.name: 1.0}[arch.space]})


class Dropping(Length):
    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return super().evaluate(proposals)[:1]


class Unsendable(Length):
    def __init__(self) -> None:
        self.key = lambda value: value


BROKEN_EVALUATORS = {
    "must be a tuple of Metric records": Silent,
    "named twice": Twice,
    "promised ['latency_ms']": Promising,
    "val_acc is nan": Nan,
    "failed, the first with 'no GPU'": Broken,
    "costs are seconds and not negative": Cheating,
    "depends on its proposal alone": Ordered,
    "belongs to no space of its own": Welcoming,
    "must be a failed measurement, not KeyError": Exploding,
    "4 proposals gave 1 measurements": Dropping,
    "must be picklable": Unsendable,
}


def test_an_honest_evaluator_passes() -> None:
    check_evaluator(Length(), SPACE)


@pytest.mark.parametrize("message", list(BROKEN_EVALUATORS))
def test_an_evaluator_that_breaks_a_promise_is_told_which(message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_evaluator(BROKEN_EVALUATORS[message](), SPACE)
    assert message in str(caught.value)


def test_a_metric_read_from_a_clock_may_differ() -> None:
    ticks = iter(range(1000))

    class Clocked(Length):
        metrics = (Metric("latency_ms"),)

        def measured(self, arch: Architecture) -> Measurement:
            known = arch.space == SPACE.name
            return Measurement({"latency_ms": float(next(ticks))}) if known else Measurement(error="foreign")

    with pytest.raises(ProtocolError, match="picklable"):  # everything else holds
        check_evaluator(Clocked(), SPACE)
    with pytest.raises(ProtocolError, match="depends on its proposal alone"):
        check_evaluator(Clocked(), SPACE, noisy=())


class Timed(Length):
    """Measures by a clock, and side by side what it is told to."""

    metrics = (Metric("seconds"),)

    def __init__(self, found: Mapping[str, float]) -> None:
        self.found, self.ticks = found, 0

    def measured(self, arch: Architecture) -> Measurement:
        self.ticks += 1
        known = arch.space == SPACE.name
        return Measurement({"seconds": float(self.ticks)}) if known else Measurement(error="foreign")

    def side_by_side(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement(self.found) for _ in proposals]


def test_what_measures_side_by_side_may_differ_and_keeps_its_promises_there_too() -> None:
    check_evaluator(Timed({"seconds": 1.0}), SPACE)
    with pytest.raises(ProtocolError, match="promised \\['seconds'\\]"):
        check_evaluator(Timed({}), SPACE)


# -- in another process -----------------------------------------------------------------------------------------------

PLUGIN = """
from ogive.core.architecture import Architecture
from ogive.core.graph import Graph
from ogive.core.predictor import Observed
from ogive.core.space import Choice, SearchSpace
from ogive.core.metric import Metric
from ogive.core.trial import Measurement, Proposal
from ogive.strategies.local import RandomSearch

WORDS = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta"}


def draw(arch):
    return Graph(tuple(sorted(WORDS)), frozenset())


def draw_by_set(arch):
    return Graph(tuple(WORDS), frozenset())


good = SearchSpace("good", (Choice("p", tuple(sorted(WORDS))),), draw)
bad = SearchSpace("bad", (Choice("p", tuple(sorted(WORDS))),), draw_by_set)


class ByHash(RandomSearch):
    def __init__(self, space, seed):
        super().__init__(space, seed)
        self.shift = hash("word") % 6

    def ask(self, n=1):
        found = super().ask(n)
        return [Proposal(Architecture("good", ((p.arch.choices[0] + self.shift) % 6,))) for p in found]

    def save(self, folder):
        super().save(folder)


class Hashing:
    metrics = (Metric("val_acc"),)

    def evaluate(self, proposals):
        return [
            Measurement({"val_acc": float(hash("word") % 1000)}) if p.arch.space == "good" else Measurement(error="no")
            for p in proposals
        ]
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "hashing_plugin.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hashing_plugin", raising=False)
    return "hashing_plugin"


def test_what_depends_on_the_hashes_of_strings_is_caught_in_a_second_process(plugin: str) -> None:
    check_space(f"{plugin}:good", subprocess=True)
    check_strategy("ogive.strategies.local:RandomSearch", f"{plugin}:good", subprocess=True)
    with pytest.raises(ProtocolError, match="PYTHONHASHSEED"):
        check_space(f"{plugin}:bad", subprocess=True)
    with pytest.raises(ProtocolError, match="PYTHONHASHSEED"):
        check_strategy(f"{plugin}:ByHash", f"{plugin}:good", subprocess=True)
    with pytest.raises(ProtocolError, match="PYTHONHASHSEED"):
        check_evaluator(f"{plugin}:Hashing", f"{plugin}:good", subprocess=True)


def test_a_part_that_a_second_process_cannot_import_is_refused(plugin: str) -> None:
    with pytest.raises(SpecError, match="module:attribute"):
        check_space(space(), subprocess=True)
    with pytest.raises(SpecError, match="'nasbench201'"):
        check_space("nasbench201")


# -- predictors -------------------------------------------------------------------------------------------------------


class Predicting(ExtraTrees):
    """A predictor that keeps its promises; the others break one each."""

    def __init__(self, seed: Seed) -> None:
        super().__init__(space=SPACE, seed=seed, trees=10)


class Upside(Predicting):
    def predicted(self, archs: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray]:
        mean, deviation = super().predicted(archs)
        return -mean, deviation


class Columns(Predicting):
    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return super().predict(archs)[:, None]


class Undecided(Predicting):
    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return super().predict(archs) * np.nan


class Comparing(Predicting):
    """Depends on what else is predicted at the same time."""

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        found = super().predict(archs)
        return found - (found.mean() if len(found) else 0)


class Adding(Predicting):
    """Keeps the labels of earlier fits."""

    def __init__(self, seed: Seed) -> None:
        super().__init__(seed)
        self.fits = 0

    def fit(self, observed: Observed) -> None:
        super().fit(observed)
        self.fits += 1

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return super().predict(archs) * self.fits


class Content(Predicting):
    """Takes a single label."""

    def fit(self, observed: Observed) -> None:
        super().fit(Observed(observed.archs * 2, observed.scores * 2))


class Guessing(Predicting):
    """Predicts before it was fitted."""

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return super().predict(archs) if self._forest is not None else np.zeros(len(archs))


class Scaling(Predicting):
    """Divides by the range of the scores, which may be zero."""

    def fit(self, observed: Observed) -> None:
        with np.errstate(invalid="ignore"):
            scores = np.array(observed.scores)
            scores = (scores - scores.min()) / np.ptp(scores) if len(scores) > 1 else scores
        super().fit(Observed(observed.archs, tuple(scores.tolist())))


class Sure(Predicting):
    def predicted(self, archs: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray]:
        mean, deviation = super().predicted(archs)
        return mean, deviation - 1


class Shifted(Predicting):
    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return self.predicted(archs)[0] + 1


class Blind(Predicting):
    """Does not look which space an architecture belongs to."""

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return super().predict([Architecture(SPACE.name, arch.choices) for arch in archs])

    def predicted(self, archs: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray]:
        return super().predicted([Architecture(SPACE.name, arch.choices) for arch in archs])


class Unsent(Predicting):
    def __init__(self, seed: Seed) -> None:
        super().__init__(seed)
        self.hook = lambda: None


def test_a_predictor_that_keeps_its_promises_passes() -> None:
    check_predictor(lambda _, seed: Predicting(seed), SPACE)


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Upside, "larger is better"),
        (Columns, "as many finite numbers"),
        (Undecided, "as many finite numbers"),
        (Comparing, "differs between a batch and one by one"),
        (Adding, "whatever it was fitted on before"),
        (Content, "a fit on 1 labels must be a SpecError"),
        (Guessing, "before the first fit must be a SpecError"),
        (Sure, "deviations are finite, not negative"),
        (Shifted, "the mean of predicted must be what predict returns"),
        (Blind, "belongs to no space of its own"),
        (Unsent, "must be picklable"),
    ],
)
def test_a_predictor_that_breaks_a_promise_is_caught(kind: type[Predicting], broken: str) -> None:
    with pytest.raises(ProtocolError, match=broken):
        check_predictor(lambda _, seed: kind(seed), SPACE)


def test_a_predictor_that_cannot_stand_equal_scores_is_caught() -> None:
    with pytest.raises(SpecError, match="A label is a finite number"):
        check_predictor(lambda _, seed: Scaling(seed), SPACE)

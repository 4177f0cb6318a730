"""The promises of a strategy."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ogive.core.capabilities import is_divisible, objectives_of
from ogive.core.errors import ProtocolError, StoreError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.strategy import Checkpointed, Strategy
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.testing.parts import (
    Promise,
    Tell,
    checking,
    global_state,
    imported,
    made,
    require,
    require_same_elsewhere,
    target,
    teller,
)
from ogive.testing.spaces import require_member

__all__ = ["PROMISES", "StrategyFactory", "check_strategy", "trace_of_strategy"]

StrategyFactory = Callable[[SearchSpace, Seed], Strategy]

# What is promised, in the order in which it is checked; the names are those of the methods of `_Check`.
PROMISES = (
    Promise(
        "kind",
        "it has ask and tell, and takes as many objectives as it is checked with",
        "define ask(self, n=1) and tell(self, trials), or give objectives= of the check.",
    ),
    Promise(
        "determinism",
        "equal seeds and equal results give equal proposals, each a legal architecture of the space",
        "draw all randomness from the seed that it is made of, and propose what space.sample, mutate, cross or check "
        "returned.",
    ),
    Promise(
        "batching",
        "ask(n) is n times ask(1), as divisible = True says",
        "draw as often for a batch as for its members, or leave `divisible` out.",
    ),
    Promise(
        "disorder",
        "results that arrive out of order, equal ones in equal order, give equal proposals",
        "find what a trial belongs to by trial.number or trial.arch, not by counting.",
    ),
    Promise(
        "failures",
        "a search in which every trial fails goes on",
        "do not read trial.scores, which is None there, before looking at trial.status.",
    ),
    Promise(
        "strangers",
        "it is told trials that it did not propose first, and then proposes some itself",
        "take a trial from elsewhere for one more observation in tell.",
    ),
    Promise(
        "saving",
        "one that has save and load goes on from a saved state as if nothing had happened, and notices half a file",
        "save all that ask and tell change, the random generator too, as JSON or safetensors, and raise StoreError in "
        "load for a file that is cut off.",
    ),
    Promise(
        "processes",
        "it proposes the same in processes whose hashes of strings differ",
        "sort what comes from a set, or from hash(), before choosing from it.",
    ),
)
_DOCUMENTED = "docs/parts.md, The contract of a strategy"


def check_strategy(
    factory: StrategyFactory | str,
    space: SearchSpace | str,
    *,
    objectives: int = 1,
    rounds: int = 40,
    batch: int = 5,
    subprocess: bool = False,
    tell: Tell | None = None,
) -> None:
    """Legal proposals, determinism, results out of order, failures, others' trials, saving; batching where promised.

    `factory` makes a strategy of a space and a seed. It is told made-up scores, among them failed, infeasible and
    screened trials, in `rounds` rounds of `batch` proposals. `tell` takes a line about each promise before it is
    checked, by default the terminal if there is one. ProtocolError says which of the `PROMISES` is broken, how, and
    what to do.
    """
    check = _Check(imported(factory), made(space, SearchSpace), objectives, rounds, batch)
    steps: dict[str, Callable[[], None]] = {
        "kind": check.kind,
        "determinism": check.determinism,
        "batching": check.batching,
        "disorder": check.disorder,
        "failures": check.failures,
        "strangers": check.strangers,
        "saving": check.saving,
    }
    if subprocess:
        trace, arguments = "ogive.testing.strategies:trace_of_strategy", [str(objectives), str(rounds)]
        arguments = [target(factory), target(space), *arguments]
        here = partial(trace_of_strategy, factory, space, objectives, rounds)
        steps["processes"] = lambda: require_same_elsewhere(trace, arguments, here(), check.name)
    said = teller(tell)
    for number, promise in enumerate(PROMISES, 1):
        if promise.name in steps:
            with checking(promise, check.name, (number, len(PROMISES)), said, _DOCUMENTED):
                steps[promise.name]()


def trace_of_strategy(
    factory: StrategyFactory | str, space: SearchSpace | str, objectives: int | str, rounds: int | str
) -> list[str]:
    """What a strategy proposes in a serial search, as lines that must be the same in every process."""
    driven = _Driven(imported(factory), made(space, SearchSpace), int(objectives))
    for _ in range(int(rounds)):
        driven.ask(1)
        driven.tell(1)
    return driven.trace


class _Driven:
    """A strategy in a made-up search that checks every proposal; `trace` lists all that it proposed."""

    def __init__(self, factory: StrategyFactory, space: SearchSpace, objectives: int) -> None:
        self.strategy, self.space, self.objectives = factory(space, Seed(0)), space, objectives
        self.name = type(self.strategy).__name__
        self.trace: list[str] = []
        self.flying: list[tuple[int, Proposal]] = []
        self.over = False

    def ask(self, n: int, *, one_by_one: bool = False) -> None:
        """Ask for n, at once or each by itself."""
        asked = [self._asked(1) for _ in range(n)] if one_by_one else [self._asked(n)]
        proposals = [proposal for part in asked for proposal in part]
        if self.over:
            require(not proposals, f"{self.name}: the search was over, and then it proposed something again.")
        self.over = self.over or not (proposals or self.flying)
        for proposal in proposals:
            require_member(self.space, proposal.arch)
            self.flying.append((len(self.trace), proposal))
            self.trace.append(f"{proposal.arch} {proposal.fidelity}")

    def _asked(self, n: int) -> list[Proposal]:
        proposals: Any = self.strategy.ask(n)
        proper = isinstance(proposals, list) and all(isinstance(proposal, Proposal) for proposal in proposals)
        require(proper, f"{self.name}: ask must return a list of Proposals, not {proposals!r}.")
        require(len(proposals) <= n, f"{self.name}: ask({n}) returned {len(proposals)} proposals.")
        return list(proposals)

    def tell(self, n: int, *, one_by_one: bool = False, failing: bool = False) -> None:
        """Tell the first n in flight, at once or each by itself."""
        told, self.flying = self.flying[:n], self.flying[n:]
        trials = [_made_up(number, proposal, self.objectives, failing=failing) for number, proposal in told]
        for part in [[trial] for trial in trials] if one_by_one else [trials] if trials else []:
            self.strategy.tell(part)


def _made_up(number: int, proposal: Proposal, objectives: int, *, failing: bool) -> Trial:
    """A trial whose scores depend on the architecture only; some fail, some are infeasible, some are screened out."""
    if failing or number % 7 == 3:
        return Trial(number, proposal, Measurement(error="made up"), "failed")
    if number % 11 == 5:
        return Trial(number, proposal, Measurement(screened=True), "screened")
    digest = hashlib.sha256(str(proposal.arch).encode()).digest()
    if number % 13 == 8:
        return Trial(number, proposal, Measurement({}), "infeasible", violation=digest[-1] / 256 + 0.01)
    scores = tuple(digest[place] / 2.56 for place in range(objectives))
    metrics = {f"metric_{place}": score for place, score in enumerate(scores)}
    return Trial(number, proposal, Measurement(metrics), "ok", scores)


class _Check:
    """The checks of one strategy, each with searches of its own."""

    def __init__(self, factory: StrategyFactory, space: SearchSpace, objectives: int, rounds: int, batch: int) -> None:
        self.factory, self.space, self.objectives = factory, space, objectives
        self.rounds, self.batch = rounds, batch
        self.name = type(factory(space, Seed(0))).__name__

    def driven(self) -> _Driven:
        return _Driven(self.factory, self.space, self.objectives)

    def kind(self) -> None:
        strategy = self.driven().strategy
        require(isinstance(strategy, Strategy), f"{self.name} lacks ask or tell.")
        takes = objectives_of(strategy)
        require(
            takes in (None, self.objectives),
            f"{self.name} was made for {takes} objective(s), but is checked with {self.objectives}.",
        )

    def determinism(self) -> None:
        before = global_state()
        first, second = (trace_of_strategy(self.factory, self.space, self.objectives, self.rounds) for _ in range(2))
        require(first == second, f"{self.name}: the same seed and results must give the same proposals.")
        require(global_state() == before, f"{self.name}: draw from the seed, not from numpy's global generator.")

    def batching(self) -> None:
        if not is_divisible(self.driven().strategy):
            return  # which it need not be
        together, apart = self.driven(), self.driven()
        for turn in range(self.rounds):
            together.ask(self.batch)
            apart.ask(self.batch, one_by_one=True)
            require(
                together.trace == apart.trace,
                f"{self.name}: ask({self.batch}) must give the same as ask(1) {self.batch} times, and telling all at "
                f"once the same as one by one, but in round {turn} the proposals differ.",
            )
            # Some stay in flight, so that asks meet results that are still missing.
            told = len(together.flying) if turn % 3 else len(together.flying) // 2
            together.tell(told)
            apart.tell(told, one_by_one=True)

    def disorder(self) -> None:
        traces = []
        for _ in range(2):
            driven, rng = self.driven(), Seed(1).numpy("order")
            for _ in range(self.rounds * self.batch):
                driven.ask(max(0, self.batch - len(driven.flying)))
                if driven.over:
                    break
                driven.flying.insert(0, driven.flying.pop(int(rng.integers(len(driven.flying)))))
                driven.tell(1)
            traces.append(driven.trace)
        require(traces[0] == traces[1], f"{self.name}: equal results in equal order must give the same proposals.")

    def failures(self) -> None:
        driven = self.driven()
        for _ in range(self.rounds):
            driven.ask(self.batch)
            driven.tell(len(driven.flying), failing=True)

    def strangers(self) -> None:
        """Trials that it did not propose come first, as the labels of an evaluator do."""
        if self.space.size <= self.batch:
            return  # which may be all that there is to propose
        driven, rng = self.driven(), Seed(2).numpy("labels")
        driven.flying = [(number, Proposal(self.space.sample(rng))) for number in range(self.batch)]
        driven.tell(self.batch)
        for _ in range(self.rounds):
            driven.ask(self.batch)
            driven.tell(len(driven.flying))
            if driven.over:
                break
        require(bool(driven.trace), f"{self.name}: told of trials that it did not propose, it proposed nothing itself.")

    def saving(self) -> None:
        original, untouched = self.driven(), self.driven()
        if not isinstance(original.strategy, Checkpointed):
            return
        for turn in range(self.rounds):
            for driven in (original, untouched):
                driven.ask(self.batch)
                driven.tell(max(1, len(driven.flying) - turn % 3))
            if turn in (0, self.rounds // 3, self.rounds // 2):
                self._save_and_load(original)
            require(
                original.trace == untouched.trace,
                f"{self.name}: a strategy that was saved and loaded must go on as one that was not, but in round "
                f"{turn} it asks for something else.",
            )

    def _save_and_load(self, driven: _Driven) -> None:
        """Put a successor that loads the saved state in the strategy's place."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _checkpointed(driven.strategy).save(folder)
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            require(bool(files), f"{self.name}: save wrote no file.")
            for path in files:
                self._check_file(path, folder)
            driven.strategy = self.factory(self.space, Seed(0))
            _checkpointed(driven.strategy).load(folder)

    def _check_file(self, path: Path, folder: Path) -> None:
        """No pickle, and half of it must be noticed; the file is whole again afterwards."""
        whole = path.read_bytes()
        # A safetensors file may begin with that byte, too: with the length of its header, which is eight bytes long.
        pickled = (whole[:1] == b"\x80" and whole[8:9] != b"{") or (whole[:2] == b"PK" and b".pkl" in whole)
        require(not pickled, f"{self.name}: save must not write a pickle, but {path.name} is one.")
        path.write_bytes(whole[: len(whole) // 2])
        try:
            _checkpointed(self.factory(self.space, Seed(0))).load(folder)
        except StoreError:
            return
        except Exception as error:
            raise ProtocolError(f"{self.name}: half of {path.name} must be a StoreError, not {error!r}.") from error
        finally:
            path.write_bytes(whole)
        raise ProtocolError(f"{self.name}: load took half of {path.name} for a whole state; it must raise StoreError.")


def _checkpointed(strategy: Strategy) -> Checkpointed:
    assert isinstance(strategy, Checkpointed)
    return strategy

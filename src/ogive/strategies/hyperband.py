"""Hyperband: many candidates are measured shortly and the best go on, in brackets that begin at each rung in turn."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.rng import Seed
from ogive.core.space import Choices, SearchSpace
from ogive.core.trial import Fidelity, Proposal, Trial
from ogive.strategies.ladder import Source, Uniform, ladder, promoted, started
from ogive.strategies.state import Resumable
from ogive.strategies.unseen import Unseen

__all__ = ["Hyperband"]


@dataclass(slots=True, eq=False)
class _Bracket:
    """Candidates that began together: those of one rung at a time, `width` of them.

    `fresh` says that they are drawn when they are asked for; on higher rungs they stand in the `queue`. `waiting` are
    proposed and not told, `scores` those that are told, -inf where there is no score.
    """

    lowest: int
    begun: int
    rung: int
    width: int
    fresh: bool = True
    queue: deque[Architecture] = field(default_factory=deque)
    waiting: dict[Choices, None] = field(default_factory=dict)
    scores: dict[Choices, float] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        return len(self.waiting) + len(self.scores)

    def to_json(self) -> dict[str, Any]:
        return {
            "numbers": [self.lowest, self.begun, self.rung, self.width],
            "fresh": self.fresh,
            "queue": [list(arch.choices) for arch in self.queue],
            "waiting": [list(choices) for choices in self.waiting],
            "scores": [
                [list(choices), None if score == -math.inf else score] for choices, score in self.scores.items()
            ],
        }

    @classmethod
    def from_json(cls, state: dict[str, Any], space: str) -> _Bracket:
        lowest, begun, rung, width = map(int, state["numbers"])
        queue = deque(Architecture(space, tuple(choices)) for choices in state["queue"])
        waiting = dict.fromkeys(tuple(choices) for choices in state["waiting"])
        scores = {tuple(choices): -math.inf if score is None else float(score) for choices, score in state["scores"]}
        return cls(lowest, begun, rung, width, bool(state["fresh"]), queue, waiting, scores)


class Hyperband(Resumable):
    """Brackets of successive halving, which begin with many candidates at a low rung or with few at a high one.

    Li et al., JMLR 18, 2018, algorithm 1. The rungs are the whole `fidelity` of the evaluator, a part of it `eta` times
    as small, and so on down to `lowest`, by default four of them; where there are certain ones only, as in a table,
    those. All of a bracket are measured at its lowest rung; of these the best go on to the next, one in as many as that
    rung is larger, so that every rung costs about the same. The first bracket begins at the lowest rung, the next one
    rung higher, and after the one of whole measurements they begin anew. Nothing is drawn twice; what failed or was
    screened out goes no further.

    While results of a rung are missing, what is asked for belongs to the next bracket, so that several proposals may be
    in flight. `source` is where new candidates come from, by default at random.
    """

    divisible = True
    objectives = 1

    def __init__(
        self,
        space: SearchSpace,
        seed: Seed,
        *,
        fidelity: Fidelity | None = None,
        eta: float = 3.0,  # Li et al., section 2.6: 3 or 4
        lowest: int | None = None,
        source: Source | None = None,
    ) -> None:
        self.rungs = ladder(fidelity, eta, lowest, "hyperband")
        self.space, self.source = space, Uniform() if source is None else source
        self._rng = seed.numpy("proposals")
        self._unseen = Unseen(space)
        self._brackets: list[_Bracket] = []
        self._next_lowest = 0
        self._exhausted = False

    def ask(self, n: int = 1) -> list[Proposal]:
        return list(islice(iter(self._next, None), n))

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._unseen.remove(trial.arch)
            rung = self._rung_of(trial.proposal)
            score = None if trial.scores is None else trial.scores[0]
            if rung is not None:
                self.source.note(trial.arch, rung, score)
            for bracket in self._brackets:
                if bracket.rung == rung and trial.arch.choices in bracket.waiting:
                    del bracket.waiting[trial.arch.choices]
                    bracket.scores[trial.arch.choices] = -math.inf if score is None else score
                    self._go_on(bracket)
                    break

    def promotes(self, arch: Architecture) -> bool:
        """Whether it may go on: its rung is not decided yet, or it is about to be proposed at the next one."""
        return any(
            arch in bracket.queue
            or (bracket.rung + 1 < len(self.rungs) and bracket.scores.get(arch.choices, -math.inf) > -math.inf)
            for bracket in self._brackets
        )

    # -- brackets -----------------------------------------------------------------------------------------------------

    def _next(self) -> Proposal | None:
        for bracket in tuple(self._brackets):
            if (arch := self._of(bracket)) is not None:
                return self._proposed(bracket, arch)
        while not self._exhausted:
            begun = started(self.rungs, self._next_lowest)
            bracket = _Bracket(self._next_lowest, begun, self._next_lowest, begun)
            self._brackets.append(bracket)
            self._next_lowest = (self._next_lowest + 1) % len(self.rungs)
            if (arch := self._of(bracket)) is not None:
                return self._proposed(bracket, arch)
        # What an exhausted space left too small may have gone on meanwhile.
        for bracket in tuple(self._brackets):
            if (arch := self._of(bracket)) is not None:
                return self._proposed(bracket, arch)
        return None

    def _of(self, bracket: _Bracket) -> Architecture | None:
        """What a bracket proposes now; None if it waits for results."""
        if bracket.queue:
            return bracket.queue.popleft()
        if not bracket.fresh or bracket.asked >= bracket.width or self._exhausted:
            return None
        arch = self.source.draw(self._unseen, self._rng)
        if arch is None:
            self._exhausted = True
            for small in tuple(one for one in self._brackets if one.fresh):
                small.width = small.asked
                self._go_on(small)
        return arch

    def _proposed(self, bracket: _Bracket, arch: Architecture) -> Proposal:
        bracket.waiting[arch.choices] = None
        whole = bracket.rung + 1 == len(self.rungs)
        return Proposal(arch, None if whole else self.rungs[bracket.rung])

    def _go_on(self, bracket: _Bracket) -> None:
        """The best of a rung of which all is known go on to the next; a bracket of which none does is over."""
        if bracket.queue or bracket.waiting or bracket.asked < bracket.width:
            return
        above = bracket.rung + 1
        ranked = sorted(bracket.scores, key=bracket.scores.__getitem__, reverse=True)
        able = [choices for choices in ranked if bracket.scores[choices] > -math.inf]
        if above == len(self.rungs) or not able:
            self._brackets.remove(bracket)
            return
        best = able[: max(1, promoted(self.rungs, bracket.lowest, above, bracket.begun))]
        bracket.rung, bracket.width, bracket.fresh, bracket.scores = above, len(best), False, {}
        bracket.queue.extend(Architecture(self.space.name, choices) for choices in best)

    def _rung_of(self, proposal: Proposal) -> int | None:
        """The place of a proposal's rung; None for a fidelity that is none of them, of a trial of somebody else's."""
        if proposal.fidelity is None:
            return len(self.rungs) - 1
        return self.rungs.index(proposal.fidelity) if proposal.fidelity in self.rungs else None

    # -- state --------------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        source = {"source": type(self.source).__name__, **self.source.settings()}
        return {"space": self.space.name, "rungs": list(self.rungs), **source}

    def state(self) -> dict[str, Any]:
        return {
            "rng": self._rng.bit_generator.state,
            "unseen": self._unseen.state(),
            "brackets": [bracket.to_json() for bracket in self._brackets],
            "next_lowest": self._next_lowest,
            "exhausted": self._exhausted,
            "source": self.source.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._unseen.restore(state["unseen"])
        self._brackets = [_Bracket.from_json(one, self.space.name) for one in state["brackets"]]
        self._next_lowest, self._exhausted = int(state["next_lowest"]), bool(state["exhausted"])
        self.source.restore(state["source"])
        self._rng.bit_generator.state = state["rng"]

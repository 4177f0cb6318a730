"""ASHA: successive halving in which nobody waits, since the best of what is known at a rung go on at once."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import islice
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.rng import Seed
from ogive.core.space import Choices, SearchSpace
from ogive.core.trial import Fidelity, Proposal, Trial
from ogive.strategies.ladder import Source, Uniform, ladder, promoted
from ogive.strategies.state import Resumable
from ogive.strategies.unseen import Unseen

__all__ = ["ASHA"]

# A result at a rung: minus its score, how many results there had been at the rung, and whose it is.
Entry = tuple[float, int, Choices]


class ASHA(Resumable):
    """Asynchronous successive halving (Li et al., MLSys 2020, algorithm 2).

    The rungs are those of ``hyperband``. Asked for a candidate, the highest rung is looked at first: if the best one
    there that did not go on is among the best of that rung's results, one in as many as the next rung is larger, it
    goes on, and otherwise a new candidate begins at the lowest rung. So nobody ever waits for the slowest of a rung,
    however many proposals are in flight. Nothing is drawn twice; what failed or was screened out goes no further. In a
    space that is exhausted the best goes on to the whole, however few there were.
    """

    divisible = True
    objectives = 1

    def __init__(
        self,
        space: SearchSpace,
        seed: Seed,
        *,
        fidelity: Fidelity | None = None,
        eta: float = 3.0,  # Li et al., section 4: 4; 3 gives the rungs of hyperband
        lowest: int | None = None,
        source: Source | None = None,
    ) -> None:
        self.rungs = ladder(fidelity, eta, lowest, "asha")
        self.space, self.source = space, Uniform() if source is None else source
        self._rng = seed.numpy("proposals")
        self._unseen = Unseen(space)
        self._told: list[list[Entry]] = [[] for _ in self.rungs]  # each ascending, so that the best comes first
        self._behind: list[list[Entry]] = [[] for _ in self.rungs]  # those of them that did not go on
        self._waiting: list[dict[Choices, None]] = [{} for _ in self.rungs]

    def ask(self, n: int = 1) -> list[Proposal]:
        return list(islice(iter(self._next, None), n))

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._unseen.remove(trial.arch)
            fidelity, choices = trial.proposal.fidelity, trial.arch.choices
            score = None if trial.scores is None else trial.scores[0]
            if fidelity is not None and fidelity not in self.rungs:
                continue  # of somebody else's
            rung = len(self.rungs) - 1 if fidelity is None else self.rungs.index(fidelity)
            self.source.note(trial.arch, rung, score)
            if choices in self._waiting[rung]:
                del self._waiting[rung][choices]
                self._note(rung, (math.inf if score is None else -score, len(self._told[rung]), choices))

    def promotes(self, arch: Architecture) -> bool:
        """Whether it may go on: it has a score at a rung from which it did not yet."""
        return any(entry[2] == arch.choices for behind in self._behind for entry in behind)

    # -- rungs --------------------------------------------------------------------------------------------------------

    def _note(self, rung: int, entry: Entry) -> None:
        insort(self._told[rung], entry)
        if entry[0] < math.inf and rung + 1 < len(self.rungs):
            insort(self._behind[rung], entry)

    def _next(self) -> Proposal | None:
        for rung in reversed(range(len(self.rungs) - 1)):
            if self._behind[rung] and self._is_among_the_best(rung):
                return self._promoted(rung)
        arch = self.source.draw(self._unseen, self._rng)
        if arch is not None:
            return self._proposed(0, arch)
        if any(self._waiting):
            return None
        highest = max((rung for rung, told in enumerate(self._told) if told and told[0][0] < math.inf), default=None)
        return self._promoted(highest) if highest is not None and self._behind[highest] else None

    def _is_among_the_best(self, rung: int) -> bool:
        told = self._told[rung]
        return bisect_left(told, self._behind[rung][0]) < promoted(self.rungs, rung, rung + 1, len(told))

    def _promoted(self, rung: int) -> Proposal:
        return self._proposed(rung + 1, Architecture(self.space.name, self._behind[rung].pop(0)[2]))

    def _proposed(self, rung: int, arch: Architecture) -> Proposal:
        self._waiting[rung][arch.choices] = None
        return Proposal(arch, None if rung + 1 == len(self.rungs) else self.rungs[rung])

    # -- state --------------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        source = {"source": type(self.source).__name__, **self.source.settings()}
        return {"space": self.space.name, "rungs": list(self.rungs), **source}

    def state(self) -> dict[str, Any]:
        behind = [{entry[1] for entry in behind} for behind in self._behind]
        return {
            "rng": self._rng.bit_generator.state,
            "unseen": self._unseen.state(),
            "told": [
                [
                    [None if key == math.inf else -key, place, list(choices), place in left]
                    for key, place, choices in told
                ]
                for told, left in zip(self._told, behind, strict=True)
            ],
            "waiting": [[list(choices) for choices in waiting] for waiting in self._waiting],
            "source": self.source.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._unseen.restore(state["unseen"])
        for rung, told in enumerate(state["told"]):
            entries = [
                ((math.inf if score is None else -float(score), int(place), tuple(choices)), left)
                for score, place, choices, left in told
            ]
            self._told[rung] = sorted(entry for entry, _ in entries)
            self._behind[rung] = sorted(entry for entry, left in entries if left)
        self._waiting = [dict.fromkeys(tuple(choices) for choices in waiting) for waiting in state["waiting"]]
        self.source.restore(state["source"])
        self._rng.bit_generator.state = state["rng"]

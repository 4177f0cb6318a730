"""The rungs that an evaluator keeps for higher ones: they go when no trial can go on from them any more."""

from __future__ import annotations

from collections.abc import Iterable

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Promoting, Resumable, walk
from ogive.core.study import Study
from ogive.core.trial import Trial

__all__ = ["Rungs"]


class Rungs:
    """The architectures of a search that were measured at a fidelity below the whole.

    A strategy that says of an architecture that it will not promote it lets its rungs go at once. Otherwise they stay
    until the search has ended.
    """

    def __init__(self, study: Study, past: Iterable[Trial] = ()) -> None:
        self._study = study
        self._keepers = [part for part in walk(study.evaluator) if isinstance(part, Resumable)]
        self._promoting = [part for part in walk(study.strategy) if isinstance(part, Promoting)]
        self._kept: dict[Architecture, None] = {}
        for trial in past if self._keepers else ():
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Note a trial, which may have left a rung."""
        if self._keepers and trial.proposal.fidelity is not None:
            self._kept[trial.arch] = None

    def clear(self, *, over: bool) -> None:
        """Forget those that no trial can go on from: all, if the search is over."""
        if not self._kept or not (over or self._promoting):
            return
        open_now = {proposal.arch for chunk in self._study.open for proposal in chunk.proposals}
        for arch in list(self._kept):
            if over or (arch not in open_now and not any(part.promotes(arch) for part in self._promoting)):
                for keeper in self._keepers:
                    keeper.forget(arch)
                del self._kept[arch]

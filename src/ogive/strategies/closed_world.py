"""Keep any strategy inside a closed world: what it proposes from outside becomes the nearest row, and is counted."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Closed, is_divisible
from ogive.core.errors import StoreError, in_line
from ogive.core.strategy import Checkpointed, Strategy
from ogive.core.trial import Proposal, Trial
from ogive.documents import read_json

__all__ = ["InClosedWorld", "World", "in_closed_world"]

_STATE = {"visited": [int], "projections": int, "originals": [[object]]}
FILE = "world.json"
INNER = "strategy"

Key = tuple[Architecture, int | None]


class World(Closed, Protocol):
    """The part of a space in which a search stays."""

    @property
    def name(self) -> str:
        """The name of the space."""
        ...

    def visit(self, arch: Architecture) -> None:
        """Note that an architecture was proposed."""
        ...

    @property
    def visited(self) -> list[int]:
        """What was visited."""
        ...

    @property
    def projections(self) -> int:
        """How often an architecture from outside was replaced by one from inside."""
        ...

    def revisit(self, rows: list[int], projections: int) -> None:
        """Take over what `visited` and `projections` returned."""
        ...


class InClosedWorld:
    """A strategy whose proposals from outside a world are projected into it.

    The strategy is told of its own proposals, with what was measured on their projections, so that it learns from what
    it did.
    """

    def __init__(self, strategy: Strategy, world: World) -> None:
        self.strategy, self.world, self.parts = strategy, world, (strategy,)
        # The proposals behind the projections that were not told yet.
        self._originals: dict[Key, deque[Proposal]] = {}

    @property
    def projections(self) -> int:
        """How often an architecture from outside was replaced by one from inside."""
        return self.world.projections

    @property
    def divisible(self) -> bool:
        """Whether the strategy is."""
        return is_divisible(self.strategy)

    def ask(self, n: int = 1) -> list[Proposal]:
        """Where batches are no more than their members, one at a time, so that each finds the earlier ones visited."""
        if not self.divisible:
            return [self._inside(proposal) for proposal in self.strategy.ask(n)]
        proposals: list[Proposal] = []
        while len(proposals) < n and (asked := self.strategy.ask(1)):
            proposals += [self._inside(proposal) for proposal in asked]
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        """Each trial under the proposal that the strategy made."""
        self.strategy.tell([self._told(trial) for trial in trials])

    def _inside(self, proposal: Proposal) -> Proposal:
        arch = self.world.project(proposal.arch)
        self.world.visit(arch)
        if arch == proposal.arch:
            return proposal
        self._originals.setdefault((arch, proposal.fidelity), deque()).append(proposal)
        return replace(proposal, arch=arch)

    def _told(self, trial: Trial) -> Trial:
        waiting = self._originals.get((trial.arch, trial.proposal.fidelity))
        if not waiting:
            return trial
        original = waiting.popleft()
        if not waiting:
            del self._originals[trial.arch, trial.proposal.fidelity]
        return replace(trial, proposal=original)


class _CheckpointedInClosedWorld(InClosedWorld):
    """The same for a strategy that saves its state."""

    strategy: Checkpointed  # type: ignore[assignment]  # `in_closed_world` sees to it

    def save(self, folder: Path) -> None:
        """The strategy's own files in a folder of theirs, and what was visited, counted and is still open."""
        inner = Path(folder) / INNER
        inner.mkdir()
        self.strategy.save(inner)
        originals = [
            [list(arch.choices), fidelity, [list(one.arch.choices) for one in waiting]]
            for (arch, fidelity), waiting in self._originals.items()
        ]
        state = {"visited": self.world.visited, "projections": self.projections, "originals": originals}
        (Path(folder) / FILE).write_text(json.dumps(state), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Go on from there; StoreError if the file is damaged."""
        path = Path(folder) / FILE
        self.strategy.load(Path(folder) / INNER)
        try:
            state = read_json(path, _STATE)
            self.world.revisit(state["visited"], state["projections"])
            name = self.world.name
            self._originals = {
                (Architecture(name, tuple(choices)), fidelity): deque(
                    Proposal(Architecture(name, tuple(one)), fidelity) for one in waiting
                )
                for choices, fidelity, waiting in state["originals"]
            }
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise StoreError(f"{path} is damaged ({in_line(error)}). Resume without it, by replay.") from error


def in_closed_world(strategy: Strategy, world: World) -> InClosedWorld:
    """The strategy kept inside the world, able to save its state if the strategy is."""
    base = _CheckpointedInClosedWorld if isinstance(strategy, Checkpointed) else InClosedWorld
    # Messages about it name the strategy, which is what the user wrote.
    kept: InClosedWorld = type(type(strategy).__name__, (base,), {})(strategy, world)
    return kept

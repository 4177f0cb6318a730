"""Parts of a search as callers from Python hand them in: each a name, or an object of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.capabilities import Named
from ogive.core.data import DataSet, SomeData
from ogive.core.errors import SpecError, quoted
from ogive.core.evaluator import Evaluator, Measured
from ogive.core.objective import Maximize, Minimize, Objective, written
from ogive.core.trial import Budget
from ogive.session import Parts, Settings, assemble, budget_of, is_maker

__all__ = ["Measuring", "Objectives", "Understood", "budget_in", "held", "several", "told", "understood"]

# How good a candidate is: by name, an object with `evaluate`, or a function of an architecture that returns a number.
Measuring = str | Evaluator | Callable[[Architecture], float]
Objectives = str | Objective | Sequence[str | Objective]


@dataclass(frozen=True)
class Understood:
    """A search as somebody asked for it: its settings as run.json holds them, and the parts that are objects.

    `objectives` are those of the settings where one of them may be an object.
    """

    settings: Settings
    given: Mapping[str, Any]
    objectives: tuple[str | Objective, ...] = ()

    def assembled(self, folder: Path | None) -> Parts:
        """The parts, of which some are objects already; `folder` is where they may leave unfinished work."""
        if not self.objectives:
            return assemble(self.settings, folder=folder, given=self.given)
        parts = assemble(self.settings, folder=folder, given={**self.given, "objectives": self.objectives})
        pairs = zip(self.objectives, parts.written, strict=True)
        return replace(parts, written=tuple(text if isinstance(part, str) else told(part) for part, text in pairs))


def understood(
    objective: Objectives | None,
    where: str | Sequence[str],
    prefer: str | Sequence[str],
    budget: int | str | Budget,
    task: Any,
    numbers: Mapping[str, Any],
    **objects: Any,
) -> Understood:
    """The settings and the objects of a search; `objects` are its space, strategy, evaluator, data, table, weights."""
    parts = {name: part for name, part in objects.items() if part is not None}
    if "data" in parts:
        parts["data"] = held(parts["data"])
    elif task is not None:
        parts["data"] = task.data
    evaluator = parts.get("evaluator")
    if callable(evaluator) and not isinstance(evaluator, Evaluator):
        parts["evaluator"] = Measured(evaluator)
    given = {name: part for name, part in parts.items() if not isinstance(part, str)}
    objectives = several(objective)
    names: dict[str, Any] = {name: told(part) for name, part in parts.items()}
    settings = Settings(
        **names,
        **numbers,
        objectives=tuple(told(part) for part in objectives),
        where=(where,) if isinstance(where, str) else tuple(where),
        prefer=(prefer,) if isinstance(prefer, str) else tuple(prefer),
        budget=budget_in(budget),
    )
    return Understood(settings, given if task is None else {**given, "task": task}, objectives)


def held(data: SomeData) -> str | DataSet:
    """Data as the parts of a search take them; torch datasets and loaders are held in memory."""
    if isinstance(data, (str, DataSet)):
        return data
    loaded: DataSet = catalog.load("held_data")(data)
    return loaded


def several(objective: Objectives | None) -> tuple[str | Objective, ...]:
    """One objective, or several, or none."""
    if objective is None:
        return ()
    return (objective,) if isinstance(objective, str) or not isinstance(objective, Sequence) else tuple(objective)


def budget_in(budget: int | str | Budget) -> Budget:
    """A budget, from a number of trials or from its text."""
    if isinstance(budget, Budget):
        return budget
    return Budget(trials=budget) if isinstance(budget, int) else budget_of(budget)


def told(part: Any) -> str:
    """How a part is named in run.json: its own text, its name, its values if it is an objective, or its type."""
    if isinstance(part, str):
        return part
    if is_maker(part):
        name = str(getattr(part, "__name__", ""))
        if not name.isidentifier():
            raise SpecError(f"What makes a strategy needs a name to be told by, but got {quoted(part)}: write def.")
        return name
    if isinstance(part, Named):
        return part.name
    if isinstance(part, (Maximize, Minimize)):
        return written(part)
    has_values = is_dataclass(part)
    return repr(part) if has_values and isinstance(part, Objective) else type(part).__name__

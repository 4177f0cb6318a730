"""Look training-free scores up in a table that ``ogive score`` wrote, so that a search with them takes milliseconds."""

from __future__ import annotations

import functools
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.core.metric import names_of, score_named
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.tables.scores import open_scores

__all__ = ["ScoreTable"]


class ScoreTable:
    """Reads the scores of architectures from a file; the metrics carry their names.

    `score` names one or several of the file's columns, all by default, in the order in which they are wanted. The
    processor seconds that a row cost when it was made, all columns together, are its benchmark seconds. What could not
    be scored is a failed measurement with the reason; a score of -inf is a value, which ranks last.

    Raises SpecError for a file of another space, UnknownName for a score that it has not, and MissingData without the
    file and for an architecture that it lacks: a search that ranked those last would be another search.
    """

    def __init__(self, file: Path, *, space: SearchSpace, score: str | Sequence[str] | None = None) -> None:
        place = shlex.quote(str(file))
        made_by = f"ogive score --space {space.name} --all --proxies naswot,params,macs --data cifar10 --out {place}"
        table = open_scores(file, made_by)
        if table.space != space.name:
            raise SpecError(f"{file} holds scores of {table.space}, but the search is in {space.name}.")
        names = table.proxies if score is None else (score,) if isinstance(score, str) else tuple(score)
        for name in names:
            if name not in table.proxies:
                raise UnknownName(f"score in {file}", name, table.proxies)
        if not names or len(set(names)) < len(names):
            raise SpecError(f"score_table needs one or several different scores, but got {list(names)}.")
        self.file, self.space = Path(file), space
        self.metrics = tuple(map(score_named, names))
        self._places = [table.proxies.index(name) for name in names]
        self._rows = table.by_arch

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """One row of the file for each proposal."""
        return [self._measured(proposal.arch) for proposal in proposals]

    def _measured(self, arch: Architecture) -> Measurement:
        row = self._rows.get(arch)
        if row is None:
            raise MissingData(
                f"{arch} is not among the {len(self._rows):,} architectures of {self.file}: score the whole space into "
                "it (ogive score --all), or search where it has scores."
            )
        cost = Cost(benchmark_s=row.cpu_seconds)
        if row.scores is None:
            return Measurement(cost=cost, error=row.error)
        found = {name: row.scores[place] for name, place in zip(names_of(self.metrics), self._places, strict=True)}
        unusable = [name for name, value in found.items() if value == math.inf]
        if unusable:
            return Measurement(cost=cost, error=f"{', '.join(unusable)} is inf")
        return Measurement(found, cost)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process reads the file itself; its rows need not be sent.
        return functools.partial(ScoreTable, space=self.space, score=names_of(self.metrics)), (self.file,)

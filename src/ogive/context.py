"""Context: what a search holds for all of its parts, each thing made when it is first asked for, and a part's seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from ogive.core.rng import Seed

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """Space, data, table, device and so on, by the names of the parameters that take them, and the seed of one part.

    ``context["data"]`` calls the maker of that name the first time, and keeps what it made, for this context and all
    that are derived from it. `own_streams` is false for runs of version 0.1, whose nested parts share one seed.
    `around` are the names of the parts that have this seed already.
    """

    makers: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    seed: Seed | None = None
    own_streams: bool = True
    around: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "makers", {name: cache(maker) for name, maker in self.makers.items()})

    def __contains__(self, name: str) -> bool:
        return name in self.makers or (name == "seed" and self.seed is not None)

    def __getitem__(self, name: str) -> Any:
        return self.seed if name == "seed" else self.makers[name]()

    def get(self, name: str) -> Any:
        """The thing of a name; None where there is none."""
        maker = self.makers.get(name)
        return self.seed if maker is None and name == "seed" else maker and maker()

    def having(self, **makers: Callable[[], Any]) -> Context:
        """The same with other things under some names."""
        return replace(self, makers={**self.makers, **makers})

    def inside(self, kind: str, place: int) -> Context:
        """What a part inside the part of this context gets, at a place among the parts of its kind there, from 0.

        This and `drawing` are all that decides the random streams of nested parts. Parts name their streams, and parts
        of one name name them alike: so the second and every later one of a kind has a seed of its own, the child "KIND
        PLACE". The first keeps the seed of the part around it, whose streams have other names: no two parts of the
        catalog have a name in common that can stand inside one another (``tests/unit/test_context.py``). A first part
        with a seed of its own would share nothing less, and draw other numbers than the figures of
        ``inherited(supernet)``, ``few_shot(darts)`` and ``guided(trees, exhaustive)`` in ``reproductions/``.
        """
        if not place or not kind or self.seed is None or not self.own_streams:
            return self
        return replace(self, seed=self.seed.child(f"{kind} {place}"), around=frozenset())

    def drawing(self, name: str) -> Context:
        """What a part of a name that takes a seed gets: the child "NAME" of it where that of another such part is."""
        if self.seed is None or not self.own_streams:
            return self
        seed = self.seed.child(name) if name in self.around else self.seed
        return replace(self, seed=seed, around=self.around | {name})

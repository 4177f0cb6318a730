"""What parts are given: things that are made once, and seeds of which no two draw the same numbers."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import numpy as np
import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.evaluator import Evaluator, Screened
from ogive.core.rng import Seed
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.spec import parse

SPACE, DATA = catalog.build("space", "nasbench201"), catalog.build("data", "digits(limit=60)")


def test_things_are_made_when_they_are_asked_for_and_once() -> None:
    made: list[str] = []
    context = Context({"space": lambda: made.append("space") or len(made)}, Seed(3))  # type: ignore[func-returns-value]
    derived = context.having(data=lambda: "data").inside("evaluator", 2)
    assert made == []
    assert (derived["space"], context["space"], derived.get("space")) == (1, 1, 1)
    assert derived["data"] == "data"
    assert context.get("data") is None
    assert "data" not in context
    with pytest.raises(FrozenInstanceError):
        context.seed = Seed(4)  # type: ignore[misc]


def test_later_parts_of_a_kind_have_seeds_of_their_own() -> None:
    context = Context({}, Seed(3))
    assert context.inside("evaluator", 0).seed == context["seed"] == Seed(3)
    assert context.inside("evaluator", 1).seed == Seed(3).child("evaluator 1")
    assert context.inside("evaluator", 1).inside("evaluator", 1).seed == Seed(3, ("evaluator 1", "evaluator 1"))
    assert Context({}, Seed(3), own_streams=False).inside("evaluator", 1).seed == Seed(3)
    assert "seed" not in Context().inside("evaluator", 1)


def test_parts_in_keywords_and_lists_count_too() -> None:
    def ensemble(first: Evaluator, *, other: Evaluator, more: list[Evaluator]) -> list[Any]:
        return [first, other, *more]

    spec = parse("ensemble({0}, other={0}, more=[{0}, {0}])".format("training_free(zen, batch_size=8, cells=1)"))
    makers = {"space": lambda: SPACE, "data": lambda: DATA, "threads": lambda: 1}
    found = catalog.make(ensemble, spec, Context(makers, Seed(0)))
    own = [("evaluator 1",), ("evaluator 2",), ("evaluator 2", "evaluator 1")]
    assert [part.seed.path for part in found] == [(), *own]


# -- the streams that are drawn from ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Watched(Seed):
    """A seed that notes which module draws from which stream."""

    drawn: dict[tuple[str, ...], set[str]] = field(default_factory=lambda: defaultdict(set), compare=False)

    def child(self, name: str) -> Seed:
        return Watched(self.root, (*self.path, name), self.drawn)

    def numpy(self, name: str) -> np.random.Generator:
        self._note(name)
        return Seed(self.root, self.path).numpy(name)

    def integer(self, name: str) -> int:
        self._note(name)
        return Seed(self.root, self.path).integer(name)

    def _note(self, name: str) -> None:
        self.drawn[(*self.path, name)].add(sys._getframe(2).f_globals["__name__"])


FEW, BRIEF = "batch_size=16, cells=1, channels=4", "epochs=1, batch_size=16"


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("evaluator", f"screened(training_free(naswot, {FEW}), trained(epochs=1, {FEW}), keep=1, pool=2)"),
        ("evaluator", f"together(training_free(zen, {FEW}), ranked(training_free([macs, zico], {FEW}), reference=4))"),
        ("evaluator", f"inherited(supernet({BRIEF}))"),
        ("evaluator", f"inherited(parts(split=0, part_epochs=1, {BRIEF}))"),
        ("evaluator", f"predicted(trees(trees=5), training_free(zen, {FEW}), sample=3)"),
        ("strategy", f"naswot(training_free(naswot, {FEW}), scored=3)"),
        ("strategy", f"area(training_free(naswot, {FEW}), scored=3, population=3, tournament=2)"),
        ("strategy", f"one_shot(inherited(supernet({BRIEF})), candidates=4, population=2, tournament=2)"),
        ("strategy", "guided(trees(trees=5), evolution, start=2, refit=1, offered=6)"),
        ("strategy", f"few_shot(darts(epochs=1, {FEW}), splits=1)"),
    ],
)
def test_nested_parts_never_draw_from_one_stream(kind: str, text: str) -> None:
    """Where the first part inside keeps the seed of the part around it, they draw from streams of other names."""
    seed = Watched(0)
    sizes = {"channels": lambda: 4, "cells": lambda: 1, "threads": lambda: 1}
    built: Any = catalog.build(kind, text, Context({"space": lambda: SPACE, "data": lambda: DATA, **sizes}, seed))
    archs = [SPACE.sample(np.random.default_rng(n)) for n in range(4)]
    if kind == "evaluator":
        built.evaluate([Proposal(arch) for arch in archs[: 2 if isinstance(built, Screened) else 1]])
    else:
        for number in range(4):
            built.tell([Trial(number, one, Measurement(), "ok", (float(number),)) for one in built.ask(1)])
    assert len(set().union(*seed.drawn.values())) > 1
    assert {stream: names for stream, names in seed.drawn.items() if len(names) > 1} == {}

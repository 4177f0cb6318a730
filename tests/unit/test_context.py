"""What parts are given: things that are made once, and seeds of which no two draw the same numbers."""

from __future__ import annotations

import typing
from collections import defaultdict
from dataclasses import FrozenInstanceError, dataclass, field, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_parts import LATENCY, PREDICTORS, STRATEGIES, VARIANTS

from ogive import catalog
from ogive.context import Context
from ogive.core.evaluator import Evaluator, Screened
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.trial import Fidelity, Measurement, Proposal, Trial
from ogive.hypernets import files
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.ghn import GHN
from ogive.parameters import alternatives, kind_of, parameters_of
from ogive.spec import parse
from ogive.tables.store import open_table
from ogive.weights.source import Calibrated

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


def test_a_part_inside_another_of_its_name_has_a_seed_of_its_own() -> None:
    outer = Context({}, Seed(3)).drawing("ranked")
    assert outer.seed == Seed(3)
    assert outer.inside("evaluator", 0).drawing("inherited").seed == Seed(3)
    assert outer.inside("evaluator", 0).drawing("ranked").seed == Seed(3).child("ranked")
    later = outer.inside("evaluator", 1)
    assert later.drawing("ranked").seed == later.seed == Seed(3).child("evaluator 1")
    assert Context({}, Seed(3), own_streams=False).drawing("ranked").drawing("ranked").seed == Seed(3)


def test_parts_in_keywords_and_lists_count_too() -> None:
    def ensemble(first: Evaluator, *, other: Evaluator, more: list[Evaluator]) -> list[Any]:
        return [first, other, *more]

    spec = parse("ensemble({0}, other={0}, more=[{0}, {0}])".format("training_free(zen, batch_size=8, cells=1)"))
    makers = {"space": lambda: SPACE, "data": lambda: DATA, "threads": lambda: 1}
    found = catalog.make(ensemble, spec, Context(makers, Seed(0)))
    own = [("evaluator 1",), ("evaluator 2",), ("evaluator 2", "evaluator 1")]
    assert [part.seed.path for part in found] == [(), *own]


# -- the streams that are drawn from ----------------------------------------------------------------------------------

Owner = tuple[tuple[str, int], ...]  # where a part stands: its kind and its place, of each part around it
Stream = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Watched(Seed):
    """A seed that notes which part draws from which stream."""

    owner: Owner = field(default=(), compare=False)
    drawn: dict[Owner, set[Stream]] = field(default_factory=lambda: defaultdict(set), compare=False)

    def child(self, name: str) -> Seed:
        return Watched(self.root, (*self.path, name), self.owner, self.drawn)

    def numpy(self, name: str) -> np.random.Generator:
        self.drawn[self.owner].add((*self.path, name))
        return Seed(self.root, self.path).numpy(name)

    def integer(self, name: str) -> int:
        self.drawn[self.owner].add((*self.path, name))
        return Seed(self.root, self.path).integer(name)


class Watching(Context):
    """A context that tells seeds for whom they are."""

    def inside(self, kind: str, place: int) -> Context:
        inner = super().inside(kind, place)
        assert isinstance(inner.seed, Watched)
        return replace(inner, seed=replace(inner.seed, owner=(*inner.seed.owner, (kind, place))))


FEW = "batch_size=16, cells=1, channels=4"
SCORER = f"training_free(naswot, {FEW})"
# What has a seed, each as small as it can be; `small_parts` has one of every strategy and predictor.
DRAWING = {
    "strategy": {name: text.format(scorer=SCORER, epochs=1) for name, text in (STRATEGIES | VARIANTS).items()},
    "predictor": PREDICTORS,
    "evaluator": {
        "tabular": "tabular(also=[params])",
        "trained": f"trained(epochs=1, {FEW})",
        "training_free": SCORER,
        "inherited": "inherited(supernet(epochs=1, batch_size=16))",
        "latency": LATENCY,
        "memory": "memory",
        "ranked": f"ranked({SCORER}, reference=3)",
        "predicted": f"predicted(trees(trees=5), {SCORER}, sample=3)",
        "screened": f"screened({SCORER}, training_free(zen, {FEW}), keep=1, pool=2)",
    },
    "weights": {
        "supernet": "supernet(epochs=1, batch_size=16)",
        "parts": "parts(split=random, splits=1, epochs=1, part_epochs=1, batch_size=16, calibration=parent)",
        "ghn": "ghn('GHN_FILE')",
    },
}


def holding(kind: str, name: str) -> set[str]:
    """The kinds of parts that may be written first inside a part."""
    found = set()
    for parameter in parameters_of(catalog.resolve(kind, name)).values():
        choices = alternatives(parameter.annotation)
        kinds = {kind_of(one) for choice in choices for one in (choice, *typing.get_args(choice))}
        # What is written otherwise, as `weights` of spos, is given to the whole search and has a seed of its own.
        found |= set() if any(is_dataclass(choice) for choice in choices) else kinds
    return found & DRAWING.keys()


def draws(kind: str, text: str, table: str) -> dict[Owner, set[Stream]]:
    """From which streams a part and all that is inside it draw, in a little work."""
    seed = Watched(0)
    things: dict[str, Any] = {
        "fidelity": Fidelity("epochs", 9),
        "channels": 4,
        "cells": 1,
        "threads": 1,
        "space": SPACE,
        "data": DATA,
        "table": open_table(table),
    }
    spaces = {"ddarts": "ddarts_dense(cells=1)", "irlas": "blockqnn"}  # what searches no cells of SPACE
    if kind == "strategy" and (name := text.partition("(")[0]) in spaces:
        things["space"] = catalog.build("space", spaces[name])
    makers = {name: partial(things.get, name) for name in things}
    built: Any = catalog.build(kind, text, Watching(makers, seed))
    archs = [things["space"].sample(np.random.default_rng(n)) for n in range(4)]
    if kind == "evaluator":
        built.evaluate([Proposal(arch) for arch in archs[: 2 if isinstance(built, Screened) else 1]])
    elif kind == "weights":
        built.network(archs[0])
        if isinstance(built, Calibrated):
            built.calibration(lambda network: 0.0, None)
    elif kind == "predictor":
        built.fit(Observed(tuple(archs), (0.0, 1.0, 2.0, 3.0)))
        built.predict(archs)
    else:
        for number in range(4):
            built.tell([Trial(number, one, Measurement(), "ok", (float(number),)) for one in built.ask(1)])
    return dict(seed.drawn)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "text",
    [
        f"predicted(trees(trees=5), predicted(trees(trees=5), {SCORER}, sample=3), sample=2)",
        f"predicted(trees(trees=5), cached(predicted(trees(trees=5), {SCORER}, sample=3)), sample=2)",
    ],
)
def test_parts_of_one_name_inside_one_another_draw_from_streams_of_their_own(invented_table: Path, text: str) -> None:
    found = draws("evaluator", text, str(invented_table))
    streams = [stream for one in found.values() for stream in one]
    assert len(found) > 1
    assert len(streams) == len(set(streams)), found


@pytest.mark.usefixtures("one_thread")
def test_no_two_parts_of_any_composition_draw_from_one_stream(invented_table: Path, tmp_path: Path) -> None:
    """A first part inside keeps the seed of the part around it, so that names of streams alone keep them apart."""
    files.save(GHN(Configuration(width=8, largest=(8, 8, 11, 11))), tmp_path / "ghn.safetensors")
    own: dict[tuple[str, str], set[Stream]] = {}
    for kind, parts in DRAWING.items():
        seeded = {n for n in catalog.names(kind) if "seed" in parameters_of(catalog.resolve(kind, n))}
        assert seeded <= parts.keys()
        for name, text in parts.items():
            found = draws(kind, text.replace("GHN_FILE", str(tmp_path / "ghn.safetensors")), str(invented_table))
            streams = [stream for one in found.values() for stream in one]
            assert len(streams) == len(set(streams)), (text, found)
            own[kind, name] = found.get((), set())
    assert sum(map(bool, own.values())) > 20  # most draw
    # Whatever stands first inside, at any depth.
    below: dict[str, set[str]] = {kind: {kind} for kind in DRAWING}
    for _ in DRAWING:
        for kind, name in own:
            below[kind] |= {deeper for inner in holding(kind, name) for deeper in below[inner]}
    shared = {
        (outer, inner): own[outer] & own[inner]
        for outer in own
        for inner in own
        if outer != inner  # of those each has a seed of its own
        and any(inner[0] in below[kind] for kind in holding(*outer))
        and own[outer] & own[inner]
    }
    assert shared == {}

"""The promises of a search space."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, ProtocolError, SpecError
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Choice, Choices, Draw, Real, SearchSpace, Variable
from ogive.testing.parts import (
    Promise,
    Tell,
    checking,
    made,
    require,
    require_picklable,
    require_same_elsewhere,
    target,
    teller,
)

__all__ = ["PROMISES", "check_space", "require_member", "trace_of_space"]

# A space of at most so many architectures is listed in full.
LISTED = 20_000


PROMISES = (
    Promise(
        "names",
        "the name can stand in a text form, and variables and options differ in theirs",
        "name the space with small letters, digits and underscores, and every variable and option once.",
    ),
    Promise(
        "draws",
        "equal generators draw equal legal architectures, within seconds",
        "draw from the generator that is given; where few combinations are legal, give the space a `sampler`, a "
        "function of a generator that builds the choices of a legal one.",
    ),
    Promise(
        "architectures",
        "text forms are read back, mutants, children and neighbours are legal, pictures are graphs",
        "see which architecture the message names, and what space.draw, write, prune or canonical do with it.",
    ),
    Promise(
        "refusals",
        "choices out of range, too few and too many are refused",
        "do not override check.",
    ),
    Promise(
        "listing",
        "the listing has every architecture once, as many as the size says, and begins within seconds",
        "give `listing` and `count` where few combinations are legal: trying all of them takes too long.",
    ),
    Promise(
        "sending",
        "a worker process can be sent it",
        "use functions at the top level of a module for draw, is_legal and the rest, not lambdas.",
    ),
    Promise(
        "processes",
        "it does the same in processes whose hashes of strings differ",
        "sort what comes from a set before anything depends on its order.",
    ),
)
_DOCUMENTED = "docs/parts.md, The contract of a space"


def check_space(
    space: SearchSpace | str,
    *,
    samples: int = 50,
    subprocess: bool = False,
    tell: Tell | None = None,
    patience_s: float = 5.0,
) -> None:
    """Names, text forms, random draws, neighbours, listing, picture, and that a worker process can be sent it.

    `tell` takes a line about each promise before it is checked, and about how many of the samples are through, by
    default the terminal if there is one. ProtocolError says which of the `PROMISES` is broken, how, and what to do; a
    space that shows nothing legal for `patience_s` of a processor is given up.
    """
    whole: SearchSpace = made(space, SearchSpace)
    checked, said, archs = _patient(whole, patience_s), teller(tell), list[Architecture]()
    steps: dict[str, Callable[[], None]] = {
        "names": lambda: _check_names(checked),
        "draws": lambda: archs.extend(_drawn(checked, samples)),
        "architectures": lambda: _check_architectures(checked, archs, said),
        "refusals": lambda: _check_refusals(checked, archs[0]),
        "listing": lambda: _check_listing(checked, archs),
        "sending": lambda: require_picklable(whole, whole.name),
    }
    if subprocess:
        trace = "ogive.testing.spaces:trace_of_space"
        steps["processes"] = lambda: require_same_elsewhere(
            trace, [target(space)], trace_of_space(checked), checked.name
        )
    for number, promise in enumerate(PROMISES, 1):
        if promise.name in steps:
            with checking(promise, checked.name, (number, len(PROMISES)), said, _DOCUMENTED):
                steps[promise.name]()


def trace_of_space(space: SearchSpace | str) -> list[str]:
    """What a space does with some architectures, as lines that must be the same in every process."""
    checked: SearchSpace = made(space, SearchSpace)
    rng, trace = Seed(0).numpy("trace"), []
    for _ in range(20):
        arch = checked.sample(rng)
        graph = checked.draw(arch)
        trace += [checked.format(arch), f"{graph.ops} {sorted(graph.edges)}"]
        trace += [str(neighbour) for neighbour in checked.neighbours(arch)]
        trace += [str(step(arch)) for step in (checked.prune, checked.canonical) if step is not None]
    return trace


def require_member(space: SearchSpace, arch: Architecture) -> None:
    """The architecture must be a legal one of the space, made of plain numbers."""
    try:
        same = space.admit(arch)
    except InvalidArchitecture as error:
        raise ProtocolError(f"Not an architecture of {space.name}: {error}") from error
    require(same == arch, f"{space.name}: admit must return the architecture itself, but gave {same} for {arch}.")
    plain = all(type(value) in (int, float) for value in arch.choices)
    require(plain, f"{space.name}: choices are Python's int or float, but {arch.choices!r} holds others.")


def _check_names(space: SearchSpace) -> None:
    try:
        Architecture.parse(f"{space.name}:0")
    except InvalidArchitecture:
        raise ProtocolError(f"The name {space.name!r} cannot stand in the text form of an architecture.") from None
    names = [variable.name for variable in space.variables]
    require(len(set(names)) == len(names), f"{space.name}: the variables need different names, but got {names}.")
    for variable in space.variables:
        unique = not isinstance(variable, Choice) or len(set(variable.options)) == len(variable.options)
        require(unique, f"{space.name}: the options of {variable.name} need different names: {variable}.")


def _drawn(space: SearchSpace, samples: int) -> list[Architecture]:
    """Samples that come again from an equal generator; given up where none of many draws is legal."""
    rng, again = Seed(0).numpy("samples"), Seed(0).numpy("samples")
    try:
        archs = [space.sample(rng) for _ in range(samples)]
    except SpecError as error:
        raise ProtocolError(str(error)) from error
    require(archs == [space.sample(again) for _ in archs], f"{space.name}: equal generators give equal samples.")
    return archs


class _Patient:
    """Legality that gives up when it has refused everything for some seconds, whoever asks it again and again."""

    def __init__(self, space: SearchSpace, seconds: float) -> None:
        self.name, self.inner, self.seconds = space.name, space.is_legal, seconds
        self.refused, self.last_s = 0, time.process_time()

    def __call__(self, choices: Choices) -> bool:
        legal = self.inner(choices)
        now_s = time.process_time()
        if legal or self.refused == 0:
            self.refused, self.last_s = 0, now_s
        self.refused += not legal
        require(
            now_s - self.last_s < self.seconds,
            f"{self.name}: none of {self.refused:,} combinations in {self.seconds:g} s of a processor is legal.",
        )
        return legal


def _patient(space: SearchSpace, seconds: float) -> SearchSpace:
    """The same space, which gives up; one in which everything is legal has no need to."""
    patient = dataclasses.replace(space, is_legal=_Patient(space, seconds))
    return space if math.isnan(patient.size) and not math.isnan(space.size) else patient


def _check_architectures(space: SearchSpace, archs: Sequence[Architecture], tell: Tell) -> None:
    rng, told = Seed(0).numpy("variation"), time.monotonic()
    for place, (arch, other) in enumerate(itertools.pairwise(archs), 1):
        require_member(space, arch)
        _check_text(space, arch)
        _check_variation(space, arch, other, rng)
        _check_picture(space, arch)
        _check_reduction(space, arch)
        if time.monotonic() - told >= 1:
            told = time.monotonic()
            tell(f"{space.name}: {place} of {len(archs) - 1} architectures")


def _check_text(space: SearchSpace, arch: Architecture) -> None:
    for text in (str(arch), space.format(arch)):
        found = space.parse(text)
        require(found == arch, f"{space.name}: {arch} was written {text!r} and read back as {found}.")
    name, choices = json.loads(json.dumps([arch.space, arch.choices]))
    same = Architecture(name, tuple(choices)) == arch
    require(same, f"{space.name}: {arch} must survive a round trip through JSON.")


def _check_variation(space: SearchSpace, arch: Architecture, other: Architecture, rng: np.random.Generator) -> None:
    child = space.cross(arch, other, rng)
    require_member(space, child)
    taken = zip(child.choices, arch.choices, other.choices, strict=True)
    inherited = all(value in (mine, yours) for value, mine, yours in taken)
    require(inherited, f"{space.name}: a child takes each variable from a parent, but {arch} x {other} gave {child}.")
    neighbours = space.neighbours(arch)
    require(len(set(neighbours)) == len(neighbours), f"{space.name}: {arch} has the same neighbour twice.")
    for neighbour in neighbours:
        require_member(space, neighbour)
        require(_differences(arch, neighbour) == 1, f"{space.name}: {neighbour} is no neighbour of {arch}.")
    if not neighbours:
        return
    mutant = space.mutate(arch, rng)
    require_member(space, mutant)
    require(_differences(arch, mutant) <= 1, f"{space.name}: a mutation changes one variable: {arch} to {mutant}.")
    if not _has_reals(space):
        near = mutant in neighbours or _is_redrawn(space, arch, mutant)
        require(near, f"{space.name}: {arch} mutated to {mutant}, which is no neighbour.")
        back = arch in space.neighbours(neighbours[0])
        require(back, f"{space.name}: {arch} must be a neighbour of its neighbour {neighbours[0]}.")


def _check_picture(space: SearchSpace, arch: Architecture) -> None:
    # That the graph has no cycle need not be asked: Graph itself refuses an edge (i, j) without i < j.
    graph = space.draw(arch)
    require(isinstance(graph, Graph), f"{space.name}: draw must return a Graph, not {type(graph).__name__}.")
    require(len(graph) > 0, f"{space.name}: the picture of {arch} is empty.")
    require(graph == space.draw(arch), f"{space.name}: drawing {arch} twice gave different pictures.")


def _check_reduction(space: SearchSpace, arch: Architecture) -> None:
    for name in ("prune", "canonical"):
        step = getattr(space, name)
        if step is None:
            continue
        once = step(arch)
        require_member(space, once)
        require(step(once) == once, f"{space.name}: {name} must leave its own result alone, but changed {once}.")
    if space.prune is not None and space.canonical is not None:
        same = space.canonical(space.prune(arch)) == space.canonical(arch)
        require(same, f"{space.name}: {arch} and its pruned form must have the same canonical form.")


def _check_refusals(space: SearchSpace, arch: Architecture) -> None:
    wrong: list[tuple[int | float, ...]] = [arch.choices[:-1], (*arch.choices, 0)]
    for place, variable in enumerate(space.variables):
        outside = _beyond(variable)
        wrong.append((*arch.choices[:place], outside, *arch.choices[place + 1 :]))
    for choices in wrong:
        try:
            space.check(choices)
        except InvalidArchitecture:
            continue
        raise ProtocolError(f"{space.name}: check must refuse {choices} with InvalidArchitecture.")


def _check_listing(space: SearchSpace, archs: Sequence[Architecture]) -> None:
    if _has_reals(space):
        return
    small = math.isfinite(space.size) and space.size <= LISTED
    listed = list(itertools.islice(space, None if small else 200))
    require(len(set(listed)) == len(listed), f"{space.name}: an architecture is listed twice.")
    for arch in listed[:: max(1, len(listed) // 200)]:
        require_member(space, arch)
    if small:
        whole = len(listed) == space.size
        require(whole, f"{space.name}: the size is {space.size:g}, but {len(listed)} architectures are listed.")
        unlisted = sorted(set(archs) - set(listed))
        require(not unlisted, f"{space.name}: sample drew {unlisted[:1]}, which is not listed.")


def _has_reals(space: SearchSpace) -> bool:
    return any(isinstance(variable, Real) for variable in space.variables)


def _beyond(variable: Variable) -> float:
    """A value that is too large for a variable."""
    if isinstance(variable, Choice):
        return len(variable.options)
    return variable.count if isinstance(variable, Draw) else variable.high + 1


def _is_redrawn(space: SearchSpace, arch: Architecture, other: Architecture) -> bool:
    """Whether two differ in nothing but which draw they are."""
    return all(arch.choices[place] == other.choices[place] for place in space.modelled)


def _differences(a: Architecture, b: Architecture) -> int:
    return sum(x != y for x, y in zip(a.choices, b.choices, strict=True))

"""The promises of a search space."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, ProtocolError
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Choice, Draw, Real, SearchSpace, Variable
from ogive.testing.parts import made, require, require_picklable, require_same_elsewhere, target

__all__ = ["check_space", "require_member", "trace_of_space"]

# A space of at most so many architectures is listed in full.
LISTED = 20_000


def check_space(space: SearchSpace | str, *, samples: int = 50, subprocess: bool = False) -> None:
    """Names, text forms, random draws, neighbours, listing, picture, and that a worker process can be sent it."""
    checked: SearchSpace = made(space, SearchSpace)
    _check_names(checked)
    rng, again = Seed(0).numpy("samples"), Seed(0).numpy("samples")
    archs = [checked.sample(rng) for _ in range(samples)]
    require(archs == [checked.sample(again) for _ in archs], f"{checked.name}: equal generators give equal samples.")
    for arch, other in itertools.pairwise(archs):
        require_member(checked, arch)
        _check_text(checked, arch)
        _check_variation(checked, arch, other, rng)
        _check_picture(checked, arch)
        _check_reduction(checked, arch)
    _check_refusals(checked, archs[0])
    _check_listing(checked, archs)
    require_picklable(checked, checked.name)
    if subprocess:
        trace = "ogive.testing.spaces:trace_of_space"
        require_same_elsewhere(trace, [target(space)], trace_of_space(checked), checked.name)


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

"""Two forms of architectures as sequences of tokens: choices at fixed places, and the columns of a matrix.

Luo et al., "Neural Architecture Optimization", NeurIPS 2018, section 3.1, and "Semi-Supervised NAS", NeurIPS 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.core.tokens import START, TokenForm

__all__ = ["MatrixForm", "PlaceForm", "pair_form", "refuse_illegal"]

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
Nodes = tuple[tuple[int, int], ...]

ABSENT, PRESENT = 1, 2  # tokens of an edge that there could be


def refuse_illegal(form: TokenForm, tokens: Sequence[int]) -> None:
    """InvalidArchitecture for tokens that could not be written one after the other."""
    if len(tokens) != form.length:
        raise InvalidArchitecture(f"A sequence has {form.length} tokens, but got {len(tokens)}.")
    written = np.array([tokens], np.int64)
    for place, token in enumerate(written[0].tolist()):
        allowed = np.flatnonzero(form.legal(written[:, :place])[0]).tolist()
        if token not in allowed:
            raise InvalidArchitecture(f"Token {place} of the sequence is one of {allowed}, but got {token}.")


@dataclass(frozen=True, slots=True)
class PlaceForm:
    """Sequences of which each place has tokens of its own: `counts[p]` of them, from `starts[p]` on.

    `values` and `architecture` go from an architecture to the number of the token at each place, from 0, and back.
    Places in `apart` must hold different tokens. `cells` are the nodes of each cell that add two branches, as the
    places where these begin; a branch has `step` tokens.
    """

    starts: tuple[int, ...]
    counts: tuple[int, ...]
    values: Callable[[Architecture], Sequence[int | float]]
    architecture: Callable[[Sequence[int]], Architecture]
    step: int = 2
    apart: tuple[tuple[int, int], ...] = ()
    cells: tuple[Nodes, ...] = ()

    @property
    def length(self) -> int:
        """The number of places."""
        return len(self.starts)

    @property
    def vocabulary(self) -> int:
        """One more than the last token."""
        return max(start + count for start, count in zip(self.starts, self.counts, strict=True))

    def written(self, arch: Architecture) -> tuple[int, ...]:
        """The tokens."""
        return tuple(start + int(value) for start, value in zip(self.starts, self.values(arch), strict=True))

    def read(self, tokens: Sequence[int]) -> Architecture:
        """The architecture."""
        refuse_illegal(self, tokens)
        return self.architecture([int(token) - start for start, token in zip(self.starts, tokens, strict=True)])

    def legal(self, tokens_NP: Integers) -> Booleans:
        """The tokens of the place, without those from which it must differ."""
        count, place = tokens_NP.shape
        mask_NV = np.zeros((count, self.vocabulary), bool)
        mask_NV[:, self.starts[place] : self.starts[place] + self.counts[place]] = True
        for earlier, later in self.apart:
            if later == place:
                mask_NV[np.arange(count), tokens_NP[:, earlier]] = False
        return mask_NV

    def mirrored(self, tokens_NT: Integers, rng: np.random.Generator) -> Integers:
        """One random node of each cell, or none, has its branches exchanged (section 3.1)."""
        swapped = tokens_NT.copy()
        for nodes in self.cells:
            picked_N = rng.integers(len(nodes) + 1, size=len(swapped))
            for number, (first, second) in enumerate(nodes):
                rows = np.flatnonzero(picked_N == number)
                for offset in range(self.step):
                    swapped[rows, first + offset] = tokens_NT[rows, second + offset]
                    swapped[rows, second + offset] = tokens_NT[rows, first + offset]
        return swapped


def pair_form(states: Sequence[Sequence[int]], operations: int, **others: object) -> PlaceForm:
    """A form of (state, operation) pairs: `states` are those that each pair may read, consecutive numbers.

    Tokens of states come first, and 1 is state 0; then come those of operations. `others` are fields of `PlaceForm`.
    """
    most = 1 + max(max(known) for known in states)
    starts = tuple(place for known in states for place in (1 + known[0], 1 + most))
    counts = tuple(count for known in states for count in (len(known), operations))
    return PlaceForm(starts, counts, **others)  # type: ignore[arg-type]  # as the caller has them


class _Written(NamedTuple):
    """What the first tokens of a sequence say: the vertex being written, its predecessors so far, the edges of all."""

    vertex: int
    chosen: tuple[int, ...]
    asked: int
    loose: frozenset[int]
    edges: int
    over: bool


@dataclass(frozen=True, slots=True)
class MatrixForm:
    """Sequences of the columns of an adjacency matrix above its diagonal, each with the operation of its vertex.

    Of each vertex after the input: 1 or 2 for every earlier one, whether there is no edge or one, then 3 and more for
    its operation, the last being the output. Smaller cells are filled up with 0. Every vertex is on a path from the
    input to the output, and there are at most `most_edges`: other cells are not written. `cell` gives matrix and inner
    operations of an architecture without what is on no path, `architecture` takes them.
    """

    vertices: int
    operations: int
    most_edges: int
    cell: Callable[[Architecture], tuple[Sequence[Sequence[int]], Sequence[int]]]
    architecture: Callable[[Sequence[Sequence[int]], Sequence[int]], Architecture]
    step: int = 1

    @property
    def length(self) -> int:
        """27 for 7 vertices."""
        return (self.vertices + 2) * (self.vertices - 1) // 2

    @property
    def vocabulary(self) -> int:
        """Nothing, no edge, an edge, the operations and the output."""
        return PRESENT + 1 + self.operations + 1

    @property
    def _output(self) -> int:
        return self.vocabulary - 1

    def written(self, arch: Architecture) -> tuple[int, ...]:
        """The tokens."""
        matrix, operations = self.cell(arch)
        tokens: list[int] = []
        for vertex in range(1, len(matrix)):
            tokens += [PRESENT if matrix[source][vertex] else ABSENT for source in range(vertex)]
            tokens.append(PRESENT + 1 + operations[vertex - 1] if vertex <= len(operations) else self._output)
        return (*tokens, *[START] * (self.length - len(tokens)))

    def read(self, tokens: Sequence[int]) -> Architecture:
        """The architecture."""
        refuse_illegal(self, tokens)
        columns = [column for column in self._columns(tokens) if column]
        matrix = [[0] * (len(columns) + 1) for _ in range(len(columns) + 1)]
        for vertex, column in enumerate(columns, start=1):
            for source in range(vertex):
                matrix[source][vertex] = int(column[source] == PRESENT)
        return self.architecture(matrix, [column[-1] - PRESENT - 1 for column in columns[:-1]])

    def _columns(self, tokens: Sequence[int]) -> Iterator[list[int]]:
        place = 0
        for vertex in range(1, self.vertices):
            yield [int(token) for token in tokens[place : place + vertex + 1] if token != START]
            place += vertex + 1

    def legal(self, tokens_NP: Integers) -> Booleans:
        """What leaves a way to a cell without loose ends and with few enough edges."""
        mask_NV = np.zeros((len(tokens_NP), self.vocabulary), bool)
        for row, tokens in zip(mask_NV, tokens_NP.tolist(), strict=True):
            row[self._next(self._state(tokens))] = True
        return mask_NV

    def mirrored(self, tokens_NT: Integers, rng: np.random.Generator) -> Integers:
        """The sequences themselves: no order of branches is written."""
        return tokens_NT

    def _state(self, tokens: Sequence[int]) -> _Written:
        loose, edges = frozenset([0]), 0
        for vertex, column in enumerate(self._columns(tokens), start=1):
            chosen = tuple(source for source, token in enumerate(column[:vertex]) if token == PRESENT)
            if len(column) <= vertex:
                over = self._output in tokens
                return _Written(vertex, chosen, len(column), loose, edges + len(chosen), over)
            loose, edges = (loose - set(chosen)) | {vertex}, edges + len(chosen)
        return _Written(self.vertices, (), 0, loose, edges, True)

    def _next(self, state: _Written) -> list[int]:
        if state.over:
            return [START]
        if state.asked < state.vertex:
            return [token for token in (ABSENT, PRESENT) if self._goes_on(state, token)]
        left = len(state.loose.difference(state.chosen))
        # A vertex without successor costs an edge yet, to the output at the latest.
        is_inner = state.vertex < self.vertices - 1 and state.edges + left + 1 <= self.most_edges
        inner = list(range(PRESENT + 1, self._output)) if is_inner else []
        return inner if left else [*inner, self._output]

    def _goes_on(self, state: _Written, token: int) -> bool:
        """Whether a vertex may have this edge, or not have it: as an inner one, or as the output."""
        chosen = {*state.chosen, state.asked} if token == PRESENT else set(state.chosen)
        asked, edges = state.asked + 1, state.edges + int(token == PRESENT)
        loose = state.loose - chosen
        if not chosen and asked == state.vertex:
            return False
        # It needs a predecessor, which may be one that needs a successor, and as an inner vertex a successor itself.
        closable = any(end >= asked for end in loose)
        first = 0 if chosen or closable else 1
        if state.vertex < self.vertices - 1 and edges + first + len(loose) + 1 <= self.most_edges:
            return True
        return all(end >= asked for end in loose) and edges + max(first, len(loose)) <= self.most_edges

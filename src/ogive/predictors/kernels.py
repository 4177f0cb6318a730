"""Kernels of Gaussian processes: how alike two architectures are, as numbers or as graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.predictor import Encoder
from ogive.core.space import SearchSpace
from ogive.features import OneHot, choice_rows

__all__ = ["Kernel", "Matern", "WeisfeilerLehman"]

Floats = npt.NDArray[np.float64]


@runtime_checkable
class Kernel(Protocol):
    """What two architectures have in common: a positive semi-definite function that is 1 of an architecture and itself.

    `scales` are the logarithms of what the evidence of the labels decides, each with a standard normal prior; shape
    (s,), s 0 where there is nothing to decide. `described` turns architectures into whatever the other two methods
    read. Equal rows may be told once: `distinct` of them are enough for a prediction.
    """

    @property
    def scales(self) -> int: ...

    def described(self, archs: Sequence[Architecture]) -> Any: ...

    def between(self, a: Any, b: Any, scales: Floats) -> Floats:
        """Shape (len(a), len(b))."""
        ...

    def within(self, a: Any, scales: Floats) -> tuple[Floats, Floats]:
        """The kernel of `a` with itself, (n, n), and its derivatives by the scales, (s, n, n)."""
        ...


class Matern:
    """The Matérn kernel of smoothness 3/2 or 5/2 on the rows of an encoder; `encoder` defaults to ``one_hot``.

    Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equation 4.17. Rows of one_hot hold real
    variables beside choices, so that mixed spaces need nothing else. With `relevance` each column has a length scale of
    its own (automatic relevance determination), else all share one. Lengths are in root mean square distances of random
    architectures, so that a column's unit does not matter to what is thought of it before the labels.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        encoder: Encoder | None = None,
        smoothness: float = 1.5,
        relevance: bool = False,
        length: float = 1.5,
    ) -> None:
        if smoothness not in (1.5, 2.5):
            raise SpecError(f"A Matérn kernel has the smoothness 1.5 or 2.5 here, but got smoothness={smoothness}.")
        if not 0 < length < np.inf:
            raise SpecError(f"The length of a kernel is positive, but got length={length}.")
        self.encoder = OneHot(space=space) if encoder is None else encoder
        self.smoothness, self.relevance, self.length = smoothness, relevance, length
        self.scales = self.encoder.width if relevance else 1
        rng = np.random.default_rng(0)
        rows = self.encoder([space.sample(rng) for _ in range(200)]).astype(np.float64)
        self._unit = float(np.sqrt(2 * rows.var(axis=0).sum())) or 1.0

    def described(self, archs: Sequence[Architecture]) -> Floats:
        """Shape (n, width)."""
        return self.encoder(archs).astype(np.float64) / self._unit

    def between(self, a: Floats, b: Floats, scales: Floats) -> Floats:
        lengths = self.length * np.exp(scales)
        return self._of(np.sqrt(_squares(a / lengths, b / lengths)))

    def within(self, a: Floats, scales: Floats) -> tuple[Floats, Floats]:
        lengths = self.length * np.exp(scales)
        scaled = a / lengths
        squares = _squares(scaled, scaled)
        distance = np.sqrt(squares)
        # The derivative by the logarithm of a length: that of the kernel by the distance, times the column's share.
        root = np.sqrt(2 * self.smoothness)
        slope = root**2 * np.exp(-root * distance)
        if self.smoothness == 2.5:
            slope = slope * (1 + root * distance) / 3
        parts = ((c[:, None] - c) ** 2 for c in scaled.T) if self.relevance else iter((squares,))
        return self._of(distance), np.stack([slope * part for part in parts])

    def _of(self, distance: Floats) -> Floats:
        scaled = distance * np.sqrt(2 * self.smoothness)
        polynomial = 1 + scaled if self.smoothness == 1.5 else 1 + scaled + scaled * scaled / 3
        found: Floats = polynomial * np.exp(-scaled)
        return found


class WeisfeilerLehman:
    """The Weisfeiler-Lehman subtree kernel: what two graphs have in common of their nodes and what these read.

    Shervashidze et al., JMLR 12, 2011; for architectures Ru et al., "Interpretable NAS via Bayesian optimisation with
    Weisfeiler-Lehman kernels", ICLR 2021. A node's label is its operation, then in each of `depth` rounds the pair of
    its label and those of the nodes that it reads; the kernel is the cosine of how often each label occurs. Graphs are
    pruned first. SpecError for a space that draws no graphs.
    """

    scales = 0

    def __init__(self, *, space: SearchSpace, depth: int = 2) -> None:
        if depth < 0:
            raise SpecError(f"A Weisfeiler-Lehman kernel has a depth of 0 or more, but got depth={depth}.")
        if not len(space.draw(space.sample(np.random.default_rng(0)))):
            raise SpecError(f"The architectures of {space.name} are not drawn as graphs: use the kernel matern.")
        self.space, self.depth = space, depth
        self._numbers: dict[object, int] = {}
        self._known: dict[Architecture, dict[int, int]] = {}

    def described(self, archs: Sequence[Architecture]) -> Any:
        """How often each architecture has each label, divided by the norm, as a sparse matrix (n, labels)."""
        from scipy.sparse import csr_array

        held = [self._labels(arch) for arch in archs]
        norms = [sum(count**2 for count in one.values()) ** 0.5 for one in held]
        data = [count / norm for one, norm in zip(held, norms, strict=True) for count in one.values()]
        columns = [label for one in held for label in one]
        starts = np.cumsum([0, *map(len, held)])
        return csr_array((data, columns, starts), shape=(len(held), max(columns, default=0) + 1), dtype=np.float64)

    def between(self, a: Any, b: Any, scales: Floats) -> Floats:
        # Labels that only one side has are products with nothing.
        shared = min(a.shape[1], b.shape[1])
        found: Floats = (a[:, :shared] @ b[:, :shared].T).toarray()
        return found

    def within(self, a: Any, scales: Floats) -> tuple[Floats, Floats]:
        return self.between(a, a, scales), np.zeros((0, a.shape[0], a.shape[0]))

    def _labels(self, arch: Architecture) -> dict[int, int]:
        found = self._known.get(arch)
        if found is None:
            choice_rows((arch,), self.space)  # refuses what is of another space
            found = self._known[arch] = self._counted(self.space.draw(arch).pruned())
        return found

    def _counted(self, graph: Graph) -> dict[int, int]:
        reads: list[list[int]] = [[] for _ in graph.ops]
        for source, target in graph.edges:
            reads[target].append(source)
        labels = [self._number(op) for op in graph.ops]
        counted = Counter(labels)
        for _ in range(self.depth):
            labels = [
                self._number((label, *sorted(labels[source] for source in sources)))
                for label, sources in zip(labels, reads, strict=True)
            ]
            counted.update(labels)
        return dict(counted)

    def _number(self, label: object) -> int:
        return self._numbers.setdefault(label, len(self._numbers))


def _squares(a: Floats, b: Floats) -> Floats:
    found: Floats = np.maximum((a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T, 0)
    return found

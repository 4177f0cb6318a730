"""SearchSpace: the set of candidate architectures, told as data: variables, what is legal, and how to draw one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, quoted, shortened
from ogive.core.graph import Graph
from ogive.core.tokens import TokenForm

__all__ = ["Choice", "Choices", "Draw", "Fixed", "Real", "SearchSpace", "Variable"]

Choices = tuple[int | float, ...]

# A rejection sampler that needs more draws than this for one legal candidate is a bug of the space, not bad luck.
ATTEMPTS = 100_000
# Of what is said of a text that is no architecture; the longest of these sentences has half of it without the text.
LONGEST = 600


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable with finitely many options; the choice is the option's index."""

    name: str
    options: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise SpecError(f"The variable {self.name!r} needs at least one option.")


@dataclass(frozen=True, slots=True)
class Real:
    """A variable that takes any value in [low, high]."""

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise SpecError(f"low < high must hold, but {self.name!r} has low={self.low}, high={self.high}.")


@dataclass(frozen=True, slots=True)
class Draw:
    """Which of `count` draws of something random an architecture is: a number that says nothing of how good it is.

    What models a space leaves it out, so that several draws are several observations of one point; strategies draw it.
    """

    name: str
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise SpecError(f"At least one draw is needed, but {self.name!r} has count={self.count}.")


@dataclass(frozen=True, slots=True)
class Fixed:
    """A whole number that a search leaves as it is, such as a budget of parameters, and that architectures carry.

    All that a space draws have `value`; with any other in [low, high] an architecture is legal, too.
    """

    name: str
    value: int
    low: int
    high: int

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise SpecError(f"{self.name} lies in [{self.low:,}, {self.high:,}], but got {quoted(self.value)}.")


Variable = Choice | Real | Draw | Fixed


def _always(choices: Choices) -> bool:
    return True


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """Variables, legality and drawing; sampling, mutation and the rest follow from these.

    All arguments are module-level functions or plain data, so a space can be sent to another process.

    * `draw` makes the picture of a legal architecture;
    * `is_legal` says which combinations of in-range choices exist (default: all);
    * `listing` enumerates the space when that is better done than by trying every combination; `count` is its length
      when that is not the product of the options (required to know the size when `is_legal` or `listing` is given);
    * `read` and `write` are the published text form of the field (``|nor_conv_3x3~0|+|...|``);
    * `prune` replaces what cannot influence the output by nothing, `canonical` also picks one of all isomorphic
      architectures. Keys of tables use neither;
    * `tokens` is its form as sequences, for models that read and write these;
    * `sampler` draws the choices of a legal architecture of a generator, where drawing each variable by itself and
      leaving out what is not legal would rarely give one;
    * `tasks` names what networks of the space are for; none where there are networks in tables only;
    * `inputs` names what they read: "images", "rows" of numbers, "signals", "sentences", or "words".
    """

    name: str
    variables: tuple[Variable, ...]
    draw: Callable[[Architecture], Graph]
    is_legal: Callable[[Choices], bool] = _always
    listing: Callable[[], Iterator[Architecture]] | None = None
    count: int | None = None
    read: Callable[[str], Architecture] | None = None
    write: Callable[[Architecture], str] | None = None
    prune: Callable[[Architecture], Architecture] | None = None
    canonical: Callable[[Architecture], Architecture] | None = None
    tokens: TokenForm | None = None
    tasks: tuple[str, ...] = ("classification",)
    inputs: tuple[str, ...] = ("images",)
    sampler: Callable[[np.random.Generator], Choices] | None = None

    # -- membership -------------------------------------------------------------------------------------------------

    def check(self, choices: Sequence[int | float]) -> Architecture:
        """The architecture with these choices; raises InvalidArchitecture if there is none."""
        if len(choices) != len(self.variables):
            raise InvalidArchitecture(
                f"{self.name} has {len(self.variables)} variables, got {len(choices)} choices: "
                f"{shortened(str(tuple(choices)), 200)}."
            )
        checked = tuple(
            self._in_range(variable, value) for variable, value in zip(self.variables, choices, strict=True)
        )
        if not self.is_legal(checked):
            raise InvalidArchitecture(
                f"{shortened(str(Architecture(self.name, checked)), 200)} is not a legal architecture of {self.name}."
            )
        return Architecture(self.name, checked)

    def admit(self, arch: Architecture) -> Architecture:
        """The same architecture if it is one of this space; raises InvalidArchitecture otherwise."""
        if arch.space != self.name:
            raise InvalidArchitecture(
                f"{shortened(str(arch), 200)} belongs to the space {quoted(arch.space)}, not to {self.name!r}."
            )
        return self.check(arch.choices)

    def parse(self, text: str) -> Architecture:
        """Read either ogive's text form or the published one; InvalidArchitecture says why it is neither."""
        own = text.strip().startswith(f"{self.name}:") or Architecture.writes(text)
        try:
            return self.admit(Architecture.parse(text) if own or self.read is None else self.read(text))
        except InvalidArchitecture as error:
            raise InvalidArchitecture(shortened(str(error), LONGEST)) from None

    def format(self, arch: Architecture) -> str:
        """The published text form, or ogive's own where the field has none."""
        return str(arch) if self.write is None else self.write(arch)

    # -- drawing at random ------------------------------------------------------------------------------------------

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random architecture: every variable uniform, given that the whole is legal, or what its `sampler` draws."""
        if self.sampler is not None:
            return self._sampled(self.sampler, rng)
        for _ in range(ATTEMPTS):
            choices = tuple(_uniform(variable, rng) for variable in self.variables)
            if self.is_legal(choices):
                return Architecture(self.name, choices)
        raise SpecError(
            f"{ATTEMPTS:,} random draws from {self.name} gave no legal architecture: give the space a `sampler`, a "
            "function of a generator that draws the choices of a legal one."
        )

    def _sampled(self, sampler: Callable[[np.random.Generator], Choices], rng: np.random.Generator) -> Architecture:
        try:
            return self.check(sampler(rng))
        except InvalidArchitecture as error:
            raise SpecError(f"The sampler of {self.name} drew what is no architecture: {error}") from None

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """Another legal architecture that differs in one variable, drawn uniformly."""
        movable = [i for i, variable in enumerate(self.variables) if _width(variable) > 1]
        if not movable:
            raise SpecError(f"{self.name} has a single architecture; there is nothing to mutate.")
        for _ in range(ATTEMPTS):
            place = movable[int(rng.integers(len(movable)))]
            value = _moved(self.variables[place], arch.choices[place], rng)
            choices = (*arch.choices[:place], value, *arch.choices[place + 1 :])
            if self.is_legal(choices):
                return Architecture(self.name, choices)
        raise SpecError(f"{ATTEMPTS} mutations of {arch} gave no legal architecture.")

    def cross(self, a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
        """A legal child that takes each variable from one of its parents; a parent itself if there is no other."""
        # Parents that differ in d variables have 2**d children; a hundred draws find a legal one or it is not worth it.
        for _ in range(100):
            mask = rng.random(len(self.variables)) < 0.5
            choices = tuple(x if first else y for x, y, first in zip(a.choices, b.choices, mask.tolist(), strict=True))
            if self.is_legal(choices):
                return Architecture(self.name, choices)
        return a

    # -- listing ----------------------------------------------------------------------------------------------------

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """Every legal architecture that differs in one `Choice`, or by a tenth of the range in one `Real`.

        Other draws of the same are no neighbours: there is nothing to climb.
        """
        found = []
        for place, variable in enumerate(self.variables):
            for value in _alternatives(variable, arch.choices[place]):
                choices = (*arch.choices[:place], value, *arch.choices[place + 1 :])
                if self.is_legal(choices):
                    found.append(Architecture(self.name, choices))
        return found

    @property
    def modelled(self) -> tuple[int, ...]:
        """The places of the variables that tell architectures of a search apart, but for draws."""
        return tuple(p for p, variable in enumerate(self.variables) if not isinstance(variable, (Draw, Fixed)))

    def redrawn(self, arch: Architecture, count: int) -> list[Architecture]:
        """The same architecture in so many draws, its own the first; SpecError where there are not so many."""
        arch = self.admit(arch)
        draws = [(place, variable) for place, variable in enumerate(self.variables) if isinstance(variable, Draw)]
        counts = [variable.count for _, variable in draws]
        if not 1 <= count <= math.prod(counts):
            raise SpecError(
                f"An architecture of {self.name} has {math.prod(counts)} draws, but {count} were asked for."
            )
        found = []
        for shift in range(count):
            choices = list(arch.choices)
            for place, variable in draws:
                shift, step = divmod(shift, variable.count)
                choices[place] = (int(choices[place]) + step) % variable.count
            found.append(self.check(choices))
        return found

    @property
    def is_free(self) -> bool:
        """Whether every combination of choices is an architecture."""
        return self.is_legal is _always

    @property
    def size(self) -> float:
        """How many architectures there are; infinite with a `Real` variable, nan where nobody has counted."""
        if self.count is not None:
            return self.count
        if any(isinstance(variable, Real) for variable in self.variables):
            return math.inf
        if self.is_legal is not _always or self.listing is not None:
            return math.nan
        return math.prod(_width(variable) for variable in self.variables)

    def __len__(self) -> int:
        if not math.isfinite(self.size):
            raise TypeError(f"The size of {self.name} is {self.size}, which is no length.")
        return int(self.size)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Architecture]:
        if self.listing is not None:
            return self.listing()
        if any(isinstance(variable, Real) for variable in self.variables):
            raise SpecError(f"{self.name} has a continuous variable, so that it cannot be listed.")
        ranges = (_values(variable) for variable in self.variables)
        legal = (choices for choices in itertools.product(*ranges) if self.is_legal(choices))
        return (Architecture(self.name, choices) for choices in legal)

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {len(self.variables)} variables, size {self.size:g})"

    # -- parts ------------------------------------------------------------------------------------------------------

    def _in_range(self, variable: Variable, value: Any) -> int | float:
        if isinstance(variable, Choice):
            if isinstance(value, (int, np.integer)) and 0 <= value < len(variable.options):
                return int(value)
            raise InvalidArchitecture(
                f"{self.name}: {variable.name} is one of 0..{len(variable.options) - 1} "
                f"({', '.join(variable.options)}), but got {quoted(value)}."
            )
        if not isinstance(variable, Real):
            low, high = (0, variable.count - 1) if isinstance(variable, Draw) else (variable.low, variable.high)
            if isinstance(value, (int, np.integer)) and low <= value <= high:
                return int(value)
            raise InvalidArchitecture(f"{self.name}: {variable.name} is one of {low}..{high}, but got {quoted(value)}.")
        if isinstance(value, (int, float, np.number)) and variable.low <= value <= variable.high:
            return float(value)
        raise InvalidArchitecture(
            f"{self.name}: {variable.name} lies in [{variable.low}, {variable.high}], not {quoted(value)}."
        )


def _width(variable: Variable) -> float:
    """How many values there are."""
    if isinstance(variable, Real):
        return math.inf
    if isinstance(variable, Choice):
        return len(variable.options)
    return variable.count if isinstance(variable, Draw) else 1


def _values(variable: Variable) -> range:
    """The finitely many values of a variable, of a fixed one its own."""
    if isinstance(variable, Fixed):
        return range(variable.value, variable.value + 1)
    return range(int(_width(variable)))


def _uniform(variable: Variable, rng: np.random.Generator) -> int | float:
    if isinstance(variable, Real):
        return float(rng.uniform(variable.low, variable.high))
    if isinstance(variable, Fixed):
        return variable.value
    return int(rng.integers(int(_width(variable))))


def _moved(variable: Variable, value: int | float, rng: np.random.Generator) -> int | float:
    if not isinstance(variable, Real):
        drawn = int(rng.integers(int(_width(variable)) - 1))
        return drawn + (drawn >= value)
    # A tenth of the range as standard deviation is the usual Gaussian mutation; the border clips it.
    step = rng.normal(0.0, 0.1 * (variable.high - variable.low))
    return float(min(max(value + step, variable.low), variable.high))


def _alternatives(variable: Variable, value: int | float) -> list[int | float]:
    if isinstance(variable, (Draw, Fixed)):
        return []
    if isinstance(variable, Choice):
        return [option for option in range(len(variable.options)) if option != value]
    step = 0.1 * (variable.high - variable.low)
    return [moved for moved in (value - step, value + step) if variable.low <= moved <= variable.high]

"""A score as it is written: ``grasp``, or ``grasp(repeats=5)`` for its mean over five networks and batches."""

from __future__ import annotations

from dataclasses import dataclass

from ogive.core.errors import SpecError, UnknownName, shortened
from ogive.spec import Spec, parse

__all__ = ["Asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The name of a score, and over how many draws of weights and batch its mean is taken; ``str`` gives the text."""

    name: str
    repeats: int = 1

    def __post_init__(self) -> None:
        if type(self.repeats) is not int or self.repeats < 1:  # true is no number
            raise SpecError(f"{self.name} is repeated a whole number of times, but got repeats={self.repeats}.")

    @classmethod
    def read(cls, written: str | Spec) -> Asked:
        """From a text, or what was parsed; SpecError for anything but a name and repeats."""
        spec = parse(written) if isinstance(written, str) else written
        if spec.args:
            raise SpecError(f"A score takes nothing but repeats, as in {spec.name}(repeats=3), but got {spec}.")
        for option in spec.options:
            if option != "repeats":
                raise UnknownName(f"option of the score {shortened(spec.name)}", option, ["repeats"])
        return cls(spec.name, spec.options.get("repeats", 1))

    def __str__(self) -> str:
        return self.name if self.repeats == 1 else f"{self.name}(repeats={self.repeats})"

"""Architecture: the identity of a candidate network, a small value that hashes, compares and prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ogive.core.errors import InvalidArchitecture, quoted

__all__ = ["Architecture"]

_TEXT = re.compile(r"(?P<space>[A-Za-z][A-Za-z0-9_.-]*):(?P<choices>[^:\s]*)")
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?")


@dataclass(frozen=True, slots=True, order=True)
class Architecture:
    """One candidate: the name of its space and one choice for each of the space's variables.

    An architecture has no behaviour. Its picture is ``space.draw(arch)``, its body ``networks.build(...)``.
    ``str(arch)`` is its one text form, used in files, messages and on the command line: ``nasbench201:3,1,2,0,0,4``.
    """

    space: str
    choices: tuple[int | float, ...]

    def __str__(self) -> str:
        return f"{self.space}:{','.join(map(_written, self.choices))}"

    @staticmethod
    def writes(text: str) -> bool:
        """Whether the text has the one form, of whichever space: a name, a colon and numbers with commas."""
        match = _TEXT.fullmatch(text.strip())
        return match is not None and all(_NUMBER.fullmatch(token) for token in match["choices"].split(","))

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """Read the text form; raises InvalidArchitecture. Whether the choices are legal is the space's to say."""
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise InvalidArchitecture(
                f"An architecture is written space:choice,choice,... such as nasbench201:3,1,2,0,0,4; "
                f"got {quoted(text)}."
            )
        tokens = match["choices"].split(",") if match["choices"] else []
        try:
            choices = tuple(int(token) if _INTEGER.fullmatch(token) else float(token) for token in tokens)
        except ValueError:
            raise InvalidArchitecture(f"The choices of an architecture are numbers; got {quoted(text)}.") from None
        return cls(match["space"], choices)


def _written(choice: Any) -> str:
    """A number as Python writes its own; those of numpy, which strategies may well draw, print as ``np.int64(3)``."""
    if type(choice) is int or type(choice) is float:
        return repr(choice)
    return repr(int(choice) if isinstance(choice, Integral) else float(choice))

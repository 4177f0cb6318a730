"""Spaces of published cells with one candidate operation more, of one's own.

Such a space is another one: its architectures are named ``nasbench201.OPERATION:...``, so that no table of the
published space is taken for one of it. The operation is the last choice of every edge.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.core.tokens import TokenForm

__all__ = ["ExtendedSpace", "Operation", "base_of", "extended", "own_operations"]

EXTENDED = ("nasbench201", "darts")
_NAME = re.compile("[a-z][a-z0-9_]*")


class Operation(Protocol):
    """A candidate operation: a value, which other processes can be sent, that makes modules."""

    @property
    def name(self) -> str:
        """Small letters, digits and underscores."""
        ...

    def __call__(self, channels: int, stride: int) -> Any:
        """A ``torch.nn.Module`` that keeps the channels of an image, and divides its sides by the stride, 1 or 2."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class ExtendedSpace(SearchSpace):
    """The cells of a published space, `base`, in which every edge may hold one operation more."""

    base: str
    operation: Operation


def own_operations(space: SearchSpace | None) -> tuple[Operation, ...]:
    """What a space has beside published operations."""
    return (space.operation,) if isinstance(space, ExtendedSpace) else ()


def base_of(space: str) -> str:
    """The name of the space that one of this name extends, or the name itself."""
    base, _, operation = space.partition(".")
    return base if operation and base in EXTENDED else space


def extended(
    base: SearchSpace,
    operation: Operation,
    ops: Sequence[str],
    *,
    variables: Callable[[Sequence[str]], tuple[Choice, ...]],
    draw: Callable[..., Graph],
    read: Callable[..., Architecture],
    write: Callable[..., str],
    tokens: Callable[..., TokenForm],
) -> ExtendedSpace:
    """`base`, whose edges hold one of `ops`, with one operation more: its functions take the longer `ops`.

    SpecError for a name that the operation cannot have.
    """
    taken = tuple(dict.fromkeys(("none", *ops)))
    if not _NAME.fullmatch(operation.name) or operation.name in taken:
        raise SpecError(
            f"An operation is named in small letters, digits and underscores, and as none of {', '.join(taken)}, but "
            f"got {operation.name!r}."
        )
    name, more = f"{base.name}.{operation.name}", (*ops, operation.name)
    return ExtendedSpace(
        name=name,
        variables=variables(more),
        draw=functools.partial(draw, ops=more),
        read=functools.partial(read, space=name, ops=more),
        write=functools.partial(write, ops=more),
        tokens=tokens(space=name, ops=more),
        base=base.name,
        operation=operation,
    )

"""Which devices torch can compute on here."""

from __future__ import annotations

import torch

from ogive.core.errors import SpecError

__all__ = ["usable_device"]


def usable_device(name: str) -> str:
    """The same name, if torch can hold a tensor on that device; raises SpecError otherwise."""
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise SpecError(f"The device {name!r} cannot be used here ({reason}): give --device cpu.") from error
    return name

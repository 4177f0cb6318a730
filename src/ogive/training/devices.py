"""Which devices torch can compute on here."""

from __future__ import annotations

import torch

from ogive.core.errors import SpecError, quoted, shortened

__all__ = ["usable_device"]


def usable_device(name: str) -> str:
    """The same name, if torch can hold a tensor on that device; raises SpecError otherwise."""
    try:
        torch.ones(1, device=name).item()  # what cannot be read, as on "meta", is no result
    except (RuntimeError, AssertionError) as error:
        reason = shortened(str(error).partition("\n")[0].partition(". ")[0].rstrip("."), 200)
        raise SpecError(f"The device {quoted(name)} cannot be used here ({reason}): give --device cpu.") from error
    return name

"""ogive: neural architecture search for PyTorch, with any space, strategy, evaluator and objective in one loop.

Everything public is listed in ``ogive.api`` and imported when it is first used, so ``import ogive`` is instant.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ogive.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("ogive.catalog").version()
    # A module of the package is none of the public names: ``from ogive import catalog`` asks here first, and answering
    # it through ogive.api, which imports that very module, would be a circle.
    if name.startswith("_") or importlib.util.find_spec(f"ogive.{name}") is not None:
        raise AttributeError(f"module 'ogive' has no attribute {name!r}")
    api = importlib.import_module("ogive.api")
    if name not in api.__all__:
        raise AttributeError(f"module 'ogive' has no attribute {name!r}; it has {', '.join(api.__all__)}")
    value = getattr(api, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(importlib.import_module("ogive.api").__all__)

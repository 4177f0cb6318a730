"""Tables for people who go on in Python: pandas where it is installed, arrays by name otherwise."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

__all__ = ["frame_of"]


def frame_of(columns: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Arrays (N,) by name as a pandas DataFrame; as they are without pandas."""
    if importlib.util.find_spec("pandas") is None:
        return dict(columns)
    return importlib.import_module("pandas").DataFrame(columns)

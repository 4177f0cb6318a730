"""HW-NAS-Bench as its authors published it: one pickle of lists, by space, data set and device."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ogive.core.errors import SpecError, shortened
from ogive.tables import pickles
from ogive.tables.nasbench201 import HARDWARE
from ogive.tables.rows import Values

__all__ = ["columns_of_pickle"]

logger = logging.getLogger(__name__)

_SETS = {"cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "in16"}
LARGEST = 64 * pickles.MIB


def columns_of_pickle(path: Path) -> dict[str, Values]:
    """The columns of HW-NAS-Bench-v1_0.pickle about NAS-Bench-201, named as in the extract of it.

    Its lists are in the benchmark's own order of cells, and its configurations, where they name the cells, are checked
    against that by the reader of the columns. Raises SpecError if it is another, a damaged or a hostile pickle.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise SpecError(f"{path} has {size // pickles.MIB} MiB, but HW-NAS-Bench has about 30: it was not read.")
        raw = path.read_bytes()
    except OSError as error:
        raise SpecError(f"Cannot read {path}: {error.strerror}.") from None
    content = pickles.load(raw, path)
    cells = content.get("nasbench201") if isinstance(content, dict) else None
    if not isinstance(cells, dict) or not set(_SETS) & set(cells):
        raise SpecError(f"{path} is not HW-NAS-Bench: it has no entry nasbench201 with {', '.join(_SETS)}.")
    columns: dict[str, Values] = {}
    for data, short in _SETS.items():
        lists = cells.get(data, {})
        if not isinstance(lists, dict):
            raise SpecError(f"The entry {data} of {path} is no dictionary of lists.")
        for kind, values in lists.items():
            if kind == "config":
                _add_cells(columns, values, path)
            elif f"{short}_{kind}" in HARDWARE:
                columns[f"hwnas_{short}_{kind}"] = _numbers(values, path)
            else:
                logger.warning("The entry %s of %s was left out.", shortened(str(kind)), data)
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise SpecError(f"The lists of {path} have different lengths: {', '.join(map(str, sorted(lengths)))}.")
    return {"index": np.arange(lengths.pop(), dtype=np.int64), **columns}


def _add_cells(columns: dict[str, Values], configurations: Any, path: Path) -> None:
    try:
        entries = _listed(configurations)
    except TypeError:
        raise SpecError(f"The configurations of {path} are no list.") from None
    listed = [entry.get("arch_str") for entry in entries if isinstance(entry, Mapping)]
    if listed and all(isinstance(text, str) for text in listed):
        known = columns.setdefault("arch_str", np.array(listed, object))
        if known.tolist() != listed:
            raise SpecError(f"The data sets of {path} list different cells.")


def _numbers(values: Any, path: Path) -> Values:
    try:
        return np.array([float(value) for value in _listed(values)])
    except (TypeError, ValueError, OverflowError):
        raise SpecError(f"A list of {path} holds something else than numbers.") from None


def _listed(values: Any) -> list[Any]:
    """A list as it is, a dictionary of numbers by their order, an array as a list."""
    if isinstance(values, Mapping):
        return [values[key] for key in sorted(values)]
    return list(values.tolist() if hasattr(values, "tolist") else values)

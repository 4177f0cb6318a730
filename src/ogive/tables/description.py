"""What table.json says of a table beside its columns, also where an earlier version did not say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ogive.core.metric import Metric
from ogive.tables.column import PUBLISHED_ROLES, Column, usable
from ogive.tables.keys import Key

__all__ = ["SHAPE", "check_description", "records_of", "roles_of", "searched_on"]

# What is read of table.json.
_TEXT, _WHOLE = (str, None), (int, None)
_FILE = {"bytes": int, "sha256": str}
_COLUMN = {
    **_FILE,
    **dict.fromkeys(("unit", "meaning", "dtype"), str),
    **dict.fromkeys(("family?", "clock?", "better?", "words?", "seeds?", "mean?", "cell?"), _TEXT),
    **dict.fromkeys(("fidelity?", "seed?"), _WHOLE),
    **dict.fromkeys(("test?", "curve?"), bool),
}
_ROLE = {"name": str, "unit?": str, "better?": str, "words?": str, "reported?": (bool, None)}
SHAPE = {
    **dict.fromkeys(("name", "space", "digest", "source", "licence", "importer"), str),
    **dict.fromkeys(("clock", "metric?", "report?", "kind?"), _TEXT),
    "rows": int,
    "complete?": bool,
    "roles?": ({...: _ROLE}, None),
    "columns": {...: _COLUMN},
    "key": {"kind": str, "sizes?": [int], "space?": str, "by?": str, "rows?": int, "files?": {...: _FILE}},
}
# Tables of version 0.1 did not always say what is searched on and reported: two different trainings of NAS-Bench-201,
# on half of the images and on all of them.
_METRIC_1, _REPORT_1 = "c10v_val_200", "c10_test_200"


def searched_on(description: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The columns that a search goes by and reports; decided here for tables of version 0.1, which need not say."""
    metric, report = description.get("metric"), description.get("report")
    if "roles" in description or metric is not None:
        return metric, report
    columns = description["columns"]
    usual = _REPORT_1 if report is None and _REPORT_1 in columns else report
    return _METRIC_1 if _METRIC_1 in columns else None, usual


def records_of(roles: Mapping[str, Metric]) -> dict[str, dict[str, Any]]:
    """What accuracies are called in their roles, as table.json holds it."""
    return {role: metric.to_json() for role, metric in roles.items()}


def roles_of(description: Mapping[str, Any]) -> Mapping[str, Metric]:
    """What is searched on and reported is called; version 0.1 called all of it as published accuracies are."""
    stored = description.get("roles")
    return PUBLISHED_ROLES if stored is None else {role: Metric(**record) for role, record in stored.items()}


def check_description(
    columns: Mapping[str, Column], key: Key, rows: int, named: tuple[str | None, str | None, str | None]
) -> None:
    """ValueError where table.json contradicts itself; `named` are the clock, and what is searched on and reported."""
    if key.rows != rows:
        raise ValueError(f"{rows} rows, but keys for {key.rows}")
    for what, column in zip(("clock", "metric", "report"), named, strict=True):
        if column is not None and column not in columns:
            raise ValueError(f"its {what} {column!r} is no column")
    for name, about in columns.items():
        for what, column in (("clock", about.clock), ("mean", about.mean)):
            if column is not None and column not in columns:
                raise ValueError(f"the {what} {column!r} of {name} is no column")
        if not usable(name) or np.dtype(about.dtype).kind not in "iuf":
            raise ValueError(f"no column can be named {name!r} and hold {about.dtype!r}")

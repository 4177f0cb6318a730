"""What the JSON files of a run folder hold: their shapes, as `ogive.documents` checks them before anything is read."""

from __future__ import annotations

from typing import get_args

from ogive.core.trial import Status

__all__ = ["CONFIG", "FINAL", "FOUND", "LIMITS", "METRIC", "PROPOSAL", "STOPPED", "STUDY", "TRIAL"]

# A cost, and a call of ask.
_COST = {"wall_s?": float, "benchmark_s?": float}
_NUMBER = (float, str)  # a text for what JSON has no number for
_ASKED = {"asked?": {"wanted": int, "told": int}}
PROPOSAL = {"arch": str, "fidelity": (int, None), "ask_cost?": _COST}
_STATUS = frozenset(get_args(Status))
FINAL = {
    "arch": str,
    "status": _STATUS,
    "scores": ([_NUMBER], None),
    "metrics": {...: _NUMBER},
    "error": (str, None),
    "violation?": float,
}
TRIAL = {**PROPOSAL, **_ASKED, **FINAL, "number": int, "cost": _COST, "at_s": float}
# What was measured side by side after the search.
FOUND = {"finalists": [{"trial": int, **FINAL}]}
# What was being done when the time of the search was up.
STOPPED = {"at_s": float, "asking": bool, "trials": [{"trial": int, "arch": str}]}

# What is read of run.json, by whom it may be. What is not there was not known to version 0.1, or not asked for.
METRIC = {"name": str, "unit?": str, "better?": str, "words?": str, "reported?": (bool, None)}
LIMITS = {
    "trials?": (int, None),
    "wall_s?": (float, None),
    "benchmark_s?": (float, None),
    "units?": (int, None),
    "unit?": str,
}
CONFIG = {
    **dict.fromkeys(("space?", "strategy?", "device?", "role?", "order?", "ogive?", "created?", "answer?"), str),
    **dict.fromkeys(("evaluator?", "data?", "table?", "weights?", "world?", "command?"), (str, None)),
    **dict.fromkeys(("data_digest?", "table_digest?", "weights_digest?"), (str, None)),
    **dict.fromkeys(("objectives?", "where?", "prefer?", "unrepeatable?", "data_summary?"), ([str], None)),
    **dict.fromkeys(("threads?", "in_flight?"), (int, None)),
    "seed?": int,
    "workers?": (int, str),
    "own_streams?": bool,
    "budget?": LIMITS,
    "optima?": {...: float},
    "skeleton?": {...: (int, None)},
    "metrics?": ([METRIC], None),
    "guesses?": ([{"metric": str, "value": float, "count": (int, None)}], None),
    "machine?": {...: object},
}
STUDY = {"told": int, "asked": int, "open": [{"first": int, "proposals": [PROPOSAL], **_ASKED}]}

"""A trial as JSON: a line of trials.jsonl with its checksum, and the parts of one that other records hold."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.errors import shortened
from ogive.core.trial import Call, Cost, Measurement, Proposal, Trial
from ogive.documents import checker, parsed
from ogive.run_records import TRIAL

__all__ = [
    "Record",
    "call_entry",
    "entry_of",
    "final_entry",
    "line_of",
    "proposal_entry",
    "read_call",
    "read_final",
    "read_proposal",
    "record_from",
    "record_of",
]

_whole = checker(TRIAL)


@dataclass(frozen=True, slots=True)
class Record:
    """A trial and when it was finished, in seconds of searching since the run began (pauses not counted)."""

    trial: Trial
    at_s: float


def line_of(trial: Trial, at_s: float) -> bytes:
    """The line of a trial, finished after so many seconds of searching."""
    measurement = trial.measurement
    body = {
        "number": trial.number,
        **proposal_entry(trial.proposal),
        "status": trial.status,
        "scores": trial.scores,
        "metrics": {name: _finite(float(value)) for name, value in measurement.metrics.items()},
        "cost": _cost(measurement.cost),
        "error": measurement.error,
        "at_s": round(at_s, 6),
        **_violation(trial),
        **call_entry(trial.call),
    }
    text = _encoder().encode(body)
    return f'{text[:-1]},"crc32":"{_checksum(text)}"}}\n'.encode()


def record_of(line: bytes) -> Record:
    """What `line_of` wrote; ValueError for a damaged line."""
    return record_from(entry_of(line))


def entry_of(line: bytes) -> dict[str, Any]:
    """The JSON object that `line_of` wrote, of the shape `TRIAL`; ValueError for a damaged line."""
    text, _, tail = line.decode("utf-8").rpartition(',"crc32":"')
    body = text + "}"
    if tail.rstrip("\n") != f'{_checksum(body)}"}}':
        raise ValueError("its checksum does not match")
    entry: dict[str, Any] = _whole(parsed(body))
    if (entry["status"] == "ok") != (entry["scores"] is not None):
        raise ValueError(f"its status is {entry['status']}, but its scores are {entry['scores']}")
    return entry


def record_from(entry: Mapping[str, Any]) -> Record:
    """The record that an entry stands for; ValueError where its architecture is none."""
    scores = None if entry["scores"] is None else tuple(float(score) for score in entry["scores"])
    metrics = {str(name): float(value) for name, value in entry["metrics"].items()}
    measurement = Measurement(metrics, _read_cost(entry["cost"]), entry["error"], entry["status"] == "screened")
    status, beyond = entry["status"], float(entry.get("violation", 0.0))
    trial = Trial(int(entry["number"]), read_proposal(entry), measurement, status, scores, read_call(entry), beyond)
    return Record(trial, float(entry["at_s"]))


def final_entry(trial: Trial) -> dict[str, object]:
    """What was found of a trial after the search, for a record beside the trials."""
    return {
        "trial": trial.number,
        "arch": str(trial.arch),
        "status": trial.status,
        "scores": trial.scores,
        "metrics": {name: _finite(float(value)) for name, value in trial.metrics.items()},
        "error": trial.measurement.error,
        **_violation(trial),
    }


def read_final(trial: Trial, entry: Mapping[str, Any]) -> Trial:
    """The trial with what was found of it later, of the shape `FINAL`; ValueError where it is another one."""
    if entry["arch"] != str(trial.arch):
        raise ValueError(f"trial {trial.number} is not {shortened(entry['arch'])}")
    metrics = {str(name): float(value) for name, value in entry["metrics"].items()}
    scores = None if entry["scores"] is None else tuple(float(score) for score in entry["scores"])
    if scores is not None and trial.scores is not None and len(scores) != len(trial.scores):
        raise ValueError(f"trial {trial.number} had {len(trial.scores)} scores, and has {len(scores)}")
    measurement = replace(trial.measurement, metrics=metrics, error=entry["error"])
    beyond = float(entry.get("violation", 0.0))
    return replace(trial, measurement=measurement, status=entry["status"], scores=scores, violation=beyond)


def _violation(trial: Trial) -> dict[str, float]:
    """The key of what a trial is beyond the constraints; none where it keeps them, as most do."""
    return {"violation": trial.violation} if trial.violation else {}


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def proposal_entry(proposal: Proposal) -> dict[str, object]:
    """The keys of a proposal."""
    entry: dict[str, object] = {"arch": str(proposal.arch), "fidelity": proposal.fidelity}
    if proposal.cost != Cost():
        entry["ask_cost"] = _cost(proposal.cost)
    return entry


def read_proposal(entry: Mapping[str, Any]) -> Proposal:
    """What `proposal_entry` wrote."""
    return Proposal(Architecture.parse(entry["arch"]), entry["fidelity"], _read_cost(entry.get("ask_cost", {})))


def call_entry(call: Call | None) -> dict[str, object]:
    """The keys of a call of ask; none where it was for one proposal."""
    return {} if call is None else {"asked": {"wanted": call.wanted, "told": call.told}}


def read_call(entry: Mapping[str, Any]) -> Call | None:
    """The call of ask; None where it was for one proposal, and in runs of version 0.1."""
    return Call(entry["asked"]["wanted"], entry["asked"]["told"]) if "asked" in entry else None


def _cost(cost: Cost) -> dict[str, float]:
    return {"wall_s": cost.wall_s, "benchmark_s": cost.benchmark_s}


def _read_cost(entry: Mapping[str, float]) -> Cost:
    return Cost(float(entry.get("wall_s", 0.0)), float(entry.get("benchmark_s", 0.0)))


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python; json asks for nothing else."""
    return value.item()


@cache  # json.dumps with options of its own makes one for every line
def _encoder() -> json.JSONEncoder:
    return json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)


def _finite(value: float) -> float | str:
    """The value, or its name where JSON has no number for it: NASWOT of a disconnected network is -inf."""
    return value if math.isfinite(value) else str(value)

"""The rows of the ledger: one JSON file for each published figure, and the plain lines that tell what it holds."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ogive.core.errors import StoreError, in_line
from ogive.core.trial import counted
from ogive.documents import read_json
from ogive.files import write_whole
from ogive.machine import facts
from ogive.metrics import interval_name

__all__ = ["SCHEMA", "Sittings", "describe", "empty_row", "ours_text", "read_rows", "table_of", "write_row"]

# A list of numbers, which stands in one line.
NUMBERS = re.compile(r"\[[-\s\d.,e+]+\]")
SCHEMA = 2  # since 2 with error, margin and doubts in place of a tolerance


def empty_row(**about: Any) -> dict[str, Any]:
    """A row before anything was measured, with what `about` says of it."""
    machine = facts()
    return {
        "schema": SCHEMA,
        **about,
        "ours": None,
        "interval": None,
        "error": None,
        "margin": None,
        "baselines": {},
        "hardware": machine,
        "commit": machine.get("commit"),
        "date": datetime.now(UTC).date().isoformat(),
        "status": "data missing",
        "because": None,
    }


def write_row(row: dict[str, Any], path: Path) -> None:
    """Write the row; missing folders are made. One that measured nothing does not take the place of one that did."""
    if row["ours"] is None and _holds_a_measurement(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(row, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, NUMBERS.sub(lambda found: re.sub(r"\s+", " ", found[0]), text) + "\n")


class Sittings:
    """The seconds that a row took, in whichever sittings.

    Where no runs are kept, what an interrupted sitting took stands in a file beside the row until that is written.
    """

    def __init__(self, row: Path) -> None:
        self._path, self._started, self._noted = row.with_suffix(".seconds"), time.perf_counter(), 0.0
        self._before = float(self._path.read_text(encoding="utf-8")) if self._path.exists() else 0.0

    @property
    def seconds(self) -> float:
        """Those so far."""
        return self._before + time.perf_counter() - self._started

    def note(self) -> None:
        """Keep them, at most once a second."""
        if time.perf_counter() - self._noted > 1:
            self._noted = time.perf_counter()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, f"{self.seconds:.3f}\n")

    def over(self) -> float:
        """The same at the end; nothing is kept from now on."""
        self._path.unlink(missing_ok=True)
        return self.seconds


def _holds_a_measurement(path: Path) -> bool:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(before, dict) and before.get("ours") is not None


def read_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of a folder by the stem of their file; other JSON is left out."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            row = read_json(path, object)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read as JSON ({in_line(error)}): restore it, or remove it.") from error
        if isinstance(row, dict) and {"name", "preset", "status"} <= row.keys():
            found[path.stem] = row
    return found


def ours_text(row: dict[str, Any]) -> str:
    """Our figure with its interval, and what the interval is of."""
    if row["ours"] is None:
        return "–"
    digits = 3 if row["unit"] == "τ" else 2
    told = f"{row['ours']:.{digits}f}"
    if row["interval"] is None:
        return told
    kind = "cells" if row["n_seeds"] == 1 else f"{row['n_seeds']} seeds, {interval_name(row['n_seeds'])[5:]}"
    return f"{told} [{row['interval'][0]:.{digits}f}, {row['interval'][1]:.{digits}f}] ({kind})"


def table_of(rows: dict[str, dict[str, Any]]) -> list[str]:
    """The ledger as a table for a README: what was published, ours with its interval, and the status."""
    lines = ["| row | published | ours | status |", "|---|---|---|---|"]
    for name, row in rows.items():
        spread = "" if row["published_spread"] is None else f" ± {row['published_spread']:g}"
        published = "–" if row["published"] is None else f"{row['published']:g}{spread} {row['unit']}"
        lines.append(f"| `{name}` | {published} | {ours_text(row)} | {row['status']} |")
    return lines


def describe(row: dict[str, Any], say: Callable[[str], None]) -> None:
    """Say what a row of the ledger holds, in plain lines."""
    mark = " (unverified: from memory, no target)" if row["source_checked"] == "memory" else ""
    published = "–" if row["published"] is None else f"{row['published']} {row['unit']}{mark}"
    say(f"{row['name']} ({row['preset']}): {row['title']}")
    say(f"  published  {published}; {row['source']}")
    if row["margin"] is not None:
        say(f"  to hold    within {row['margin']:.3f} of it, as no cheap baseline; its error is {row['error']:.3f}")
    if row["ours"] is not None:
        interval = "" if row["interval"] is None else " [{:.3f}, {:.3f}]".format(*row["interval"])
        kind = "" if row["interval"] is None or row["n_seeds"] == 1 else f", {interval_name(row['n_seeds'])}"
        say(f"  ours       {row['ours']:.3f}{interval} {row['unit']}, {counted(row['n_seeds'], 'seed')}{kind}")
    for baseline, value in row["baselines"].items():
        say(f"  {baseline:10} {value:.3f} {row['unit']}")
    for other, pair in row.get("pairs", {}).items():
        interval = "" if pair["interval"] is None else " [{:+.3f}, {:+.3f}]".format(*pair["interval"])
        say(f"  ahead of {other}: {pair['ahead']:+.3f}{interval}, p {pair['p']:.4f}")
    for line in row.get("markdown", []):
        say(f"  {line}")
    if row["deviation"]:
        say(f"  deviation  {row['deviation']}")
    because = f", because {row['because']}" if row["because"] else ""
    say(f"  status     {row['status']}{because}; {row['seconds']} s")

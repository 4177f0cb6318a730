"""The state of a strategy as one JSON file: checked by a digest, and refused by a strategy of other settings."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from ogive.core.errors import StoreError, in_line, quoted
from ogive.documents import read_json

__all__ = ["Resumable"]

SCHEMA = 1
FILE = "state.json"


class Resumable(ABC):
    """``save`` and ``load`` of the protocol Checkpointed, for a strategy whose whole state is plain JSON."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What must be equal for a state to fit: the space and the options, as JSON."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that decides what is asked next, random streams included, as JSON."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""

    def save(self, folder: Path) -> None:
        """Write the whole state into the folder, as the file ``state.json``."""
        content = {"strategy": type(self).__name__, "settings": self.settings(), "state": self.state()}
        record = {"schema": SCHEMA, "digest": _digest(content), **content}
        (Path(folder) / FILE).write_text(json.dumps(record), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Go on from a saved state; StoreError if it is damaged, or of another strategy, space or options."""
        path = Path(folder) / FILE
        content = _read(path)
        mine = {"strategy": type(self).__name__, "settings": self.settings()}
        theirs = {key: content[key] for key in mine}
        if theirs != json.loads(json.dumps(mine)):
            raise StoreError(f"The state in {path} is that of {quoted(theirs)}, but the strategy is {quoted(mine)}.")
        try:
            self.restore(content["state"])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            what = "was written by another version of ogive"
            raise StoreError(f"The state in {path} {what}: {in_line(error)}.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path, object)
    except FileNotFoundError:
        raise StoreError(f"A saved strategy is a folder with the file {FILE}, but there is no {path}.") from None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} is damaged, it is no JSON: {in_line(error)}. Resume without it, by replay."
        ) from error
    if not isinstance(record, dict) or not {"schema", "digest", "strategy", "settings", "state"} <= set(record):
        raise StoreError(f"{path} is no saved strategy: it lacks schema, digest, strategy, settings or state.")
    if record["schema"] != SCHEMA:
        raise StoreError(f"{path} has the schema {record['schema']}, but this version of ogive reads {SCHEMA}.")
    content: dict[str, Any] = {key: record[key] for key in ("strategy", "settings", "state")}
    if record["digest"] != _digest(content):
        raise StoreError(f"{path} is damaged, its digest does not fit its content. Resume without it, by replay.")
    return content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

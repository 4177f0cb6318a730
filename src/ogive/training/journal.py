"""The record of a training as it goes: one line of JSON an epoch and, if asked for, TensorBoard's event files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ogive.core.errors import MissingData, StoreError

__all__ = ["Journal"]

FILE = "metrics.jsonl"


class Journal:
    """Writes the epochs of one training to ``metrics.jsonl`` in a folder.

    `past` are the epochs that a resumed training starts from: the file is cut back to them, since the interrupted one
    may have written a line more, or half a line, than its last checkpoint knows of.
    """

    def __init__(self, folder: Path, past: Sequence[Mapping[str, Any]], *, tensorboard: bool = False) -> None:
        self.path, self._rounds = folder / FILE, len(past)
        self._writer: Any = None
        if tensorboard:
            self._writer = _summary_writer()(str(folder / "tensorboard"), purge_step=len(past) + 1)
        scratch = self.path.with_suffix(".tmp")
        self._text(scratch, "".join(_line(epoch) for epoch in past), "w")
        scratch.replace(self.path)

    def write(self, epoch: Mapping[str, Any]) -> None:
        """Add one epoch, or what else a training counts its rounds in."""
        self._text(self.path, _line(epoch), "a")
        self._rounds += 1
        if self._writer is None:
            return
        for name, value in epoch.items():
            if name != "number" and value is not None:
                self._writer.add_scalar(name, value, self._rounds)
        self._writer.flush()

    def close(self) -> None:
        """Close the event files."""
        if self._writer is not None:
            self._writer.close()

    def _text(self, path: Path, text: str, mode: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise StoreError(f"{path} could not be written ({error}): make room and resume.") from None


def _line(epoch: Mapping[str, Any]) -> str:
    return json.dumps(dict(epoch), allow_nan=False) + "\n"


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingData("TensorBoard files need tensorboard: pip install 'ogive[trackers]'") from None
    return SummaryWriter

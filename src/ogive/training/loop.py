"""The one loop that drives every training, round after round: checkpoints, journal, exact resume, forked streams.

A round is one epoch, or some hundred steps. Every random number of a round comes from streams that are named after it,
so a checkpoint needs to hold no state of a generator, and a round that was interrupted is repeated exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ogive.core.errors import OgiveError, StoreError, in_line
from ogive.training import checkpoint
from ogive.training.distributed import current
from ogive.training.journal import Journal

__all__ = ["Diverged", "Paced", "Tell", "Training", "drive"]

# Whoever watches is told a record that says in one line where the training stands, or the line itself.
Tell = Callable[[Any], None]


class Diverged(OgiveError):
    """The loss became infinite or NaN: this network cannot be trained with this recipe."""


class Training(Protocol):
    """A training under way, which the loop drives until it is over."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def history(self) -> list[Any]:
        """The finished rounds, each a frozen dataclass of numbers with the `seconds` that it took."""
        ...

    @property
    def done(self) -> int:
        """What the checkpoint of now is numbered with: rounds, or steps where a round is several."""
        ...

    @property
    def over(self) -> bool:
        """Whether no round is left."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides the weights, as JSON: a checkpoint with another one is refused."""
        ...

    def begin(self) -> None:
        """Prepare a training that no checkpoint was found for."""
        ...

    def round(self, tell: Tell | None) -> None:
        """Run the next round and add it to the history; without an addition it could not be finished. May Diverge."""
        ...

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next round depends on beside the history: tensors, and a record as JSON."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Take over what `state` returned; the record holds the `history` as well."""
        ...

    def finish(self) -> Mapping[str, float]:
        """Leave the weights that count in the network; what the training itself measured of them."""
        ...


@runtime_checkable
class Paced(Protocol):
    """A training whose rounds are several units of its `done`, so that it has to know where it is to pause."""

    until: int


def drive(
    training: Training,
    *,
    folder: Path | None = None,
    until: int | None = None,
    lower: Sequence[Path] = (),
    tensorboard: bool = False,
    tell: Tell | None = None,
) -> Mapping[str, float]:
    """Run a training to its end, and return what it measured of the weights that it leaves in its network.

    With `until`, it pauses when so much is done: that is a rung of the training, whose schedule is that of the whole,
    so that a training that goes on from the rung ends as one that never paused, to the bit. `lower` are the folders of
    rungs that lie below, the highest first: the first that holds a checkpoint is where a training begins whose own
    `folder` has none.

    With a `folder`, every round ends with a checkpoint and a line in ``metrics.jsonl``, and a call with an equal
    training goes on from there: to the bit, on the same machine with as many threads. Networks may draw (dropout,
    drop-path) from torch's global streams: those are forked here, so that the caller's streams are as they were.
    Raises Diverged, SpecError, and StoreError where the folder holds another training or cannot be written.
    """
    cuda = [training.device] if training.device.type == "cuda" else []
    fingerprint = {} if folder is None else training.fingerprint()  # digests read all of the data
    writes = folder is not None and current().writes
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=cuda))
        _resume(training, [] if folder is None else [folder, *lower], fingerprint)
        if until is not None and isinstance(training, Paced):
            training.until = until
        journal: Journal | None = None
        if folder is not None and writes:
            journal = Journal(folder, [asdict(one) for one in training.history], tensorboard=tensorboard)
            stack.callback(journal.close)
        while not (training.over or (until is not None and training.done >= until)):
            before = len(training.history)
            training.round(tell)
            if len(training.history) == before or folder is None or journal is None:
                continue
            tensors, record = training.state()
            history = [asdict(one) for one in training.history]
            checkpoint.save(folder, training.done, tensors, {"fingerprint": fingerprint, "history": history, **record})
            journal.write(history[-1])
    return training.finish()


def _resume(training: Training, folders: Sequence[Path], fingerprint: Mapping[str, Any]) -> None:
    """Go back to the last checkpoint in the first folder that has one; else every process starts equal."""
    found = next(filter(None, (checkpoint.latest(folder, fingerprint) for folder in folders)), None)
    current().check_same_epoch(found[1]["epoch"] if found else 0, training.device)
    if found is None:
        training.begin()
    else:
        try:
            training.restore(*found)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            place = " or ".join(map(str, folders))
            raise StoreError(
                f"The checkpoint in {place} was written by another version of ogive ({in_line(error)}): use that, or "
                "remove it to begin anew."
            ) from error

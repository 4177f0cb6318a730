"""What runs in the workers of Ray: an actor with an evaluator of its own, and what it says while it works."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ogive.core.capabilities import Preparing, walk
from ogive.core.errors import ProtocolError, in_line
from ogive.core.evaluator import Evaluator, attempt
from ogive.core.executor import Partial, listening
from ogive.core.metric import Metric
from ogive.core.trial import Measurement, Proposal

__all__ = ["Ear", "Shared", "Worker"]

logger = logging.getLogger(__name__)

# So long a worker waits for who listens to it.
START_S = 60.0

# The evaluator of this process, if it is a worker: at most one, set when it starts.
_given: list[Evaluator] = []


class Ear:
    """Keeps what workers tell until somebody asks for it."""

    def __init__(self) -> None:
        self._said: list[tuple[int, str, float | None]] = []

    def say(self, number: int, text: str, share: float | None) -> None:
        self._said = [*self._said[-999:], (number, text, share)]

    def ready(self) -> bool:
        """That it can be told something."""
        return True

    def heard(self) -> list[tuple[int, str, float | None]]:
        said, self._said = self._said, []
        return said


class Worker:
    """An actor: one process with an evaluator of its own."""

    def __init__(self, ear: Any) -> None:
        self._ear, self._doing = ear, -1

    def prepare(self, evaluator: Evaluator | None) -> None:
        """Take the evaluator and make the weights that it takes, which is no work of a trial."""
        self._await_ear()
        if evaluator is None:
            return
        _given[:] = [evaluator]
        say = None if self._ear is None else self._say
        for listener in listening(evaluator) if say is not None else ():
            listener.progress = say
        for part in walk(evaluator):
            if isinstance(part, Preparing):
                try:
                    part.prepare(say)
                except Exception:  # it comes again with a trial, whose error it is
                    logger.debug("Weights could not be made.", exc_info=True)

    def do(self, number: int, call: Callable[[], Any]) -> tuple[str, Any]:
        """What a call returns or raises; an exception of ogive is one of the task, not of Ray."""
        self._doing = number
        try:
            return "returned", call()
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            return "raised", _sendable(error)

    def _await_ear(self) -> None:
        """Until somebody listens: of short trials nothing would be heard while its process starts."""
        import ray

        if self._ear is None:
            return
        try:
            ray.get(self._ear.ready.remote(), timeout=START_S)
        except ray.exceptions.RayError:
            logger.debug("Nobody listens to this worker.", exc_info=True)

    def _say(self, said: object) -> None:
        self._ear.say.remote(self._doing, str(said), said.over if isinstance(said, Partial) else None)


class Shared:
    """Stands for the evaluator that the worker was given when it started."""

    def __init__(self, metrics: tuple[Metric, ...]) -> None:
        self.metrics = metrics

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        if not _given:
            raise ProtocolError("This process is no worker of Ray: it was not given an evaluator.")
        return attempt(_given[0], proposals)  # a refusal names the real one


def _sendable(error: Exception) -> Exception:
    """The exception, or what it says where it cannot be sent."""
    from ray import cloudpickle

    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever it holds may object
        return ProtocolError(in_line(error))
    return error

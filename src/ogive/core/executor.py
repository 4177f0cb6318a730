"""What every executor is, a `Pool` of workers, and the events by which it tells what becomes of its tasks."""

from __future__ import annotations

import itertools
import logging
import threading
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from types import TracebackType
from typing import ParamSpec, Protocol, TypeVar, runtime_checkable

from ogive.core.capabilities import Listening, walk
from ogive.core.errors import shortened
from ogive.core.evaluator import Evaluator
from ogive.core.trial import duration

__all__ = [
    "OVERTIME",
    "Began",
    "Ended",
    "Event",
    "Listener",
    "Lost",
    "Overtime",
    "Partial",
    "Pool",
    "Progress",
    "Task",
    "listening",
]

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a pool: its number, counted from 0 in the order of being submitted, and the trials that it measures.

    Tasks that measure no trials of a search, such as whole searches, have an empty range.
    """

    number: int
    trials: range


@dataclass(frozen=True, slots=True)
class Began:
    """A worker was given a task."""

    task: Task


@runtime_checkable
class Partial(Protocol):
    """What knows how much of a training is over; as text, it says where the training stands."""

    @property
    def over(self) -> float:
        """0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What an evaluator tells of its work in the middle of a task; `share` is how much of a training is over, if known.

    The share is 0 to 1, and begins anew where a task is several trainings.
    """

    task: Task
    text: str
    share: float | None = None

    @classmethod
    def of(cls, task: Task, said: object) -> Progress:
        """The event of what was said: a text, or a record of where a training stands."""
        return cls(task, str(said), said.over if isinstance(said, Partial) else None)


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that began is over; `reason` says why if it returned nothing: it raised, was stopped, or its worker died.

    A candidate whose evaluation failed is a task that returned.
    """

    task: Task
    reason: str | None = None


Event = Began | Progress | Ended
Listener = Callable[[Event], None]


# How the reason of a trial begins that was ended so.
OVERTIME = "it took longer than the trial limit of"


class Overtime(BrokenExecutor):
    """A task was ended by its executor, whose limit of time it had passed; the message is the reason of its trials."""

    @classmethod
    def of(cls, limit_s: float, trials: int) -> Overtime:
        """The one for a task of so many trials, each of which might have taken so long."""
        pool = f" for each of the {trials} trials of its pool" if trials > 1 else ""
        return cls(f"{OVERTIME} {duration(limit_s)}{pool}")


class Lost(BrokenExecutor):
    """A task whose workers were lost, as often as it was done again; the message is the reason of its trials."""


class Pool(Executor):
    """An executor as a search wants it; an executor of one's own is a subclass with `count` and `submit`.

    Making a pool starts nothing: that waits for the first task. `count` tasks run at the same time. A pool serves one
    search, since its workers hold one evaluator.
    """

    count: int
    # Whether tasks run in the process of the search, which then dies of what kills a task.
    here: bool = False
    # Seconds that each trial of a task may take before its worker is ended with `Overtime`; None for any number.
    trial_limit_s: float | None = None

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._numbers = itertools.count()
        self._telling = threading.RLock()

    @property
    def ahead(self) -> int:
        """How many tasks to have submitted at a time, so that no worker waits for the slowest of them."""
        return 4 * self.count

    @property
    def direct(self) -> bool:
        """Whether to submit a task is nothing but to call it now: in this process, and with nobody listening."""
        return False

    @abstractmethod
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)``; a task whose worker dies raises BrokenExecutor."""

    def share(self, evaluator: Evaluator) -> Evaluator:
        """What to submit in the place of an evaluator, so that it need not be sent with every task."""
        return evaluator

    def interrupt(self) -> None:
        """End the tasks that are being done and take others; of a pool that cannot, they go on with nobody waiting."""

    def stop(self) -> None:
        """End at once, whatever is being done; for a search that is interrupted."""
        self.shutdown(wait=False, cancel_futures=True)

    def on_event(self, listener: Listener) -> None:
        """Tell `listener` of every task that began, what is told in the middle of it, and how it ended, in this order.

        Every task that began ends. A listener is never called twice at the same time, but from any thread; one that
        raises an exception is told nothing more, and costs the search nothing.
        """
        self._listeners.append(listener)

    def tell(self, event: Event) -> None:
        """Call the listeners."""
        with self._telling:
            for listener in tuple(self._listeners):
                try:
                    listener(event)
                except Exception:  # a listener must never cost the run its life
                    logger.exception("A listener raised an exception at %s; it is told nothing more.", event)
                    self._listeners.remove(listener)

    def task(self, fn: object) -> Task:
        """The record of a function that is submitted; one that measures trials has their numbers as `trials`."""
        return Task(next(self._numbers), getattr(fn, "trials", range(0)))

    def end(self, task: Task, error: BaseException | None) -> None:
        """Tell that a task is over, and what it raised."""
        reason = None if error is None else shortened(f"{type(error).__name__}: {error}".partition("\n")[0])
        if isinstance(error, BrokenExecutor):
            reason = str(error) if isinstance(error, Overtime | Lost) else "its worker died"
        self.tell(Ended(task, "stopped" if isinstance(error, CancelledError) else reason))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish all tasks or, after an exception, none."""
        if kind is None:
            self.shutdown(wait=True)
        else:
            self.stop()


def listening(evaluator: Evaluator) -> list[Listening]:
    """The parts of an evaluator that tell what they are doing."""
    return [part for part in walk(evaluator) if isinstance(part, Listening)]

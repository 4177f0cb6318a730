"""Serial: an executor without workers, in which every task runs where and when it is submitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from ogive.core.capabilities import Listening
from ogive.core.evaluator import Evaluator
from ogive.core.executor import Began, Pool, Progress, Task, listening

__all__ = ["Serial"]

P = ParamSpec("P")
T = TypeVar("T")


class Serial(Pool):
    """One task after another, in the process of the search."""

    count = 1
    here = True

    def __init__(self) -> None:
        super().__init__()
        self._closed = False
        self._parts: Sequence[Listening] = ()
        self._now = Task(0, range(0))

    @property
    def ahead(self) -> int:
        """One: a task that is submitted is done before the next can be."""
        return 1

    @property
    def direct(self) -> bool:
        """Unless somebody listens."""
        return not self._listeners

    def share(self, evaluator: Evaluator) -> Evaluator:
        """The evaluator itself; its parts tell the listeners of this pool what they are doing, if there are any."""
        for part in listening(evaluator) if self._listeners else ():
            part.progress = self._said
        return evaluator

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the task now; Ctrl-C passes through."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        if self._listeners:
            self._now = self.task(fn)
            self.tell(Began(self._now))
        error: BaseException | None = None
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as mishap:  # noqa: BLE001 - whoever asks for the result gets it
            error = mishap
            future.set_exception(mishap)
        except BaseException as interruption:
            error = interruption
            raise
        finally:
            if self._listeners:
                self.end(self._now, error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks."""
        self._closed = True

    def _said(self, said: object) -> None:
        self.tell(Progress.of(self._now, said))

"""Processes: worker processes of which a crashed one costs only the task that it was working on."""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from ogive.core.capabilities import Preparing, walk
from ogive.core.deadline import seconds_of
from ogive.core.errors import ProtocolError, SpecError
from ogive.core.evaluator import Evaluator, attempt
from ogive.core.executor import Began, Overtime, Pool, Progress, Task, listening
from ogive.core.metric import Metric
from ogive.core.trial import Measurement, Proposal

if sys.platform == "linux":
    import fcntl

__all__ = ["Processes"]

P = ParamSpec("P")
T = TypeVar("T")

# The pickled evaluator that this process was given if it is a worker: at most one entry, set when the process starts.
_given: list[bytes] = []
# Where it tells what it is doing, if somebody listens.
_mouth: list[Connection] = []

# Seconds between two looks at what the workers have told, and at the time that they took.
LISTEN_S = 0.2


@dataclass(slots=True)
class _Worker:
    """One place for a process: the pool of that one, what it is doing, and the ends of its pipes that are kept here.

    `since_s` is when its task began there, which it does not while the process starts; `ended` why it was ended.
    """

    pool: ProcessPoolExecutor | None = None
    task: Task | None = None
    since_s: float | None = None
    ended: Exception | None = None
    lifeline: Connection | None = None
    ear: Connection | None = None
    mouth: Connection | None = None


MOST = 4096  # processes, each with an interpreter of its own


class Processes(Pool):
    """`count` processes; one whose trial takes longer than `trial_limit` (90s, 10m, 2h) is ended and replaced.

    The time of a trial begins when its process is ready: started, with its evaluator, and with weights that are trained
    before the first trial. A task of several trials has as many times the limit.

    The standard pool breaks as a whole when one process dies. This one keeps a pool of one process for each worker and
    replaces only the dead one. Processes are spawned, not forked (a fork of a process that runs torch threads can
    hang), ignore Ctrl-C (the parent decides) and end with their parent, even if that was killed, and with all processes
    that they started themselves.
    """

    def __init__(self, count: int, *, trial_limit: str | float | None = None) -> None:
        super().__init__()
        self.trial_limit_s = None if trial_limit is None else seconds_of(trial_limit, "trial_limit")
        if count < 1:
            raise SpecError(f"A pool needs at least one worker, but got workers={count}.")
        if count > MOST:
            raise SpecError(f"A pool has at most {MOST:,} workers, but got workers={count:,}.")
        self.count = count
        self._payload: bytes | None = None
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Future[Any], Task, Callable[[], Any]]] = deque()
        self._running: set[Future[Any]] = set()
        self._workers = [_Worker() for _ in range(count)]
        self._idle = list(self._workers)
        self._listens = self._looks = False
        self._closed = False
        self._over = threading.Event()

    def share(self, evaluator: Evaluator) -> Evaluator:
        """A small stand-in for `evaluator`: each process is sent the real one once, when it starts."""
        try:
            payload = pickle.dumps(evaluator)
        except Exception as error:
            raise SpecError(
                f"{type(evaluator).__name__} cannot be sent to a worker process ({error}): it and what it holds must "
                "be defined in modules, or search without workers."
            ) from error
        with self._lock:
            if any(worker.pool is not None for worker in self._workers):
                raise ProtocolError("Share an evaluator before the first task is submitted.")
            self._payload = payload
        return _Shared(evaluator.metrics)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker; a task whose worker dies raises BrokenExecutor."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._waiting.append((future, self.task(fn), _Call(fn, args, kwargs)))
            self._dispatch()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; finish those submitted or, with `cancel_futures`, drop those that have not started."""
        with self._lock:
            self._closed = True
            while cancel_futures and self._waiting:
                dropped = self._waiting.popleft()[0]
                dropped.cancel()
                dropped.set_running_or_notify_cancel()  # whoever waits for it is told
            self._close_idle()
            unfinished = [*self._running, *(future for future, _, _ in self._waiting)]
        if wait:
            wait_for(unfinished)
            for worker in self._workers:
                if worker.pool is not None:
                    worker.pool.shutdown(wait=True)

    def interrupt(self) -> None:
        """End the tasks that are being done, with their processes; others start in new ones."""
        with self._lock:
            for worker in self._workers:
                if worker.task is not None:
                    self._end(worker, CancelledError())

    def stop(self) -> None:
        """End the workers at once, whatever they are doing; for a search that is interrupted."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for worker in self._workers:
                if worker.lifeline is not None:
                    worker.lifeline.close()

    # -- handing out ---------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while self._waiting and self._idle:
            future, task, call = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            self._look()
            worker = self._idle.pop()
            worker.task, worker.ended = task, None
            self._running.add(future)
            self.tell(Began(task))
            inner = self._submitted(worker, call)
            inner.add_done_callback(lambda done, worker=worker, future=future: self._finish(worker, future, done))  # type: ignore[misc]
        self._close_idle()

    def _submitted(self, worker: _Worker, call: Callable[[], Any]) -> Future[Any]:
        with _ctrl_c_blocked():  # a submitted task may start a process
            try:
                return self._given(worker, call)
            except BrokenExecutor:  # the process died while it waited for a task
                self._retire(worker)
                return self._given(worker, call)
            finally:
                if worker.mouth is not None:  # its end is the process's alone, so that what ends in the middle ends
                    worker.mouth.close()
                    worker.mouth = None

    def _given(self, worker: _Worker, call: Callable[[], Any]) -> Future[Any]:
        """The call in the process of the worker, whose time begins as soon as the process is ready for it."""
        pool, worker.since_s = self._started(worker), None
        if self.trial_limit_s is not None and worker.task is not None and len(worker.task.trials):
            task = worker.task

            def ready(_: object) -> None:
                with self._lock:
                    if worker.task is task:
                        worker.since_s = time.monotonic()

            pool.submit(_prepare).add_done_callback(ready)
        return pool.submit(call)

    def _started(self, worker: _Worker) -> ProcessPoolExecutor:
        if worker.pool is None:
            context = multiprocessing.get_context("spawn")
            lifeline, worker.lifeline = context.Pipe(duplex=False)
            if self._listens:
                worker.ear, worker.mouth = context.Pipe(duplex=False)
            given = (self._payload, lifeline, worker.mouth)
            worker.pool = ProcessPoolExecutor(1, mp_context=context, initializer=_start, initargs=given)
        return worker.pool

    def _end(self, worker: _Worker, why: Exception) -> None:
        """End the process of a worker, whatever it is doing."""
        worker.ended = why
        if worker.lifeline is not None:
            worker.lifeline.close()

    def _retire(self, worker: _Worker) -> None:
        broken, worker.pool = worker.pool, None
        if broken is not None:
            broken.shutdown(wait=False)

    def _close_idle(self) -> None:
        """After the last task has been handed out, let the processes end that have none."""
        if self._closed and not self._waiting:
            for worker in self._idle:
                if worker.pool is not None:
                    worker.pool.shutdown(wait=False)
            if not self._running:
                self._over.set()

    def _finish(self, worker: _Worker, future: Future[Any], inner: Future[Any]) -> None:
        error = CancelledError() if inner.cancelled() else inner.exception()
        with self._lock:
            self._hear(worker)
            assert worker.task is not None
            if worker.ended is not None:  # perhaps just when it had finished: its process is gone all the same
                error = worker.ended
            self.end(worker.task, error)
            if isinstance(error, BrokenExecutor) or worker.ended is not None:
                self._retire(worker)
            worker.task = worker.ended = worker.since_s = None
            self._idle.append(worker)
            self._running.discard(future)
        if error is None:
            future.set_result(inner.result())
        else:
            future.set_exception(error)
        with self._lock:
            self._dispatch()

    # -- listening -----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Look now and then at what the workers tell, if anybody wants to know, and at the time that they take."""
        self._listens = self._listens or bool(self._listeners)
        if not self._looks and (self._listens or self.trial_limit_s is not None):
            self._looks = True
            threading.Thread(target=self._look_at_all, daemon=True).start()

    def _look_at_all(self) -> None:
        while not self._over.wait(LISTEN_S):
            with self._lock:
                for worker in self._workers:
                    self._hear(worker)
                    self._time(worker)

    def _time(self, worker: _Worker) -> None:
        """End a worker that is past the limit of its trials."""
        if self.trial_limit_s is None or worker.task is None or worker.since_s is None or worker.ended is not None:
            return
        trials = len(worker.task.trials)
        if time.monotonic() - worker.since_s > trials * self.trial_limit_s:
            self._end(worker, Overtime.of(self.trial_limit_s, trials))

    def _hear(self, worker: _Worker) -> None:
        try:
            while worker.ear is not None and worker.ear.poll():
                said = worker.ear.recv()
                if worker.task is not None:
                    self.tell(Progress.of(worker.task, said))
        except (EOFError, OSError):  # the process is gone
            worker.ear = None


class _Call:
    """A picklable function with its arguments."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.fn, self.args, self.kwargs = fn, args, kwargs

    def __call__(self) -> Any:
        return self.fn(*self.args, **self.kwargs)


class _Shared:
    """Stands for the evaluator that the worker was given when it started."""

    def __init__(self, metrics: tuple[Metric, ...]) -> None:
        self.metrics = metrics

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return attempt(_evaluator(), proposals)  # a refusal names the real one


@functools.cache
def _evaluator() -> Evaluator:
    """The evaluator that this worker was given, made when it is first used, so that a failure can be reported."""
    if not _given:
        raise ProtocolError("This process is no worker: it was not given an evaluator.")
    try:
        evaluator: Evaluator = pickle.loads(_given[0])  # noqa: S301  our own parent wrote it
    except Exception as error:
        raise SpecError(
            f"The evaluator cannot be made in a worker process ({type(error).__name__}: {error}): it and what it holds "
            "must be defined in modules that can be imported there, or search without workers."
        ) from error
    for part in listening(evaluator) if _mouth else ():
        part.progress = _mouth[0].send
    return evaluator


def _prepare() -> None:
    """Make the evaluator and the weights that it takes, which is no work of a trial; a failure comes again with one."""
    with suppress(Exception):
        for part in walk(_evaluator()) if _given else ():
            if isinstance(part, Preparing):
                part.prepare(_mouth[0].send if _mouth else None)


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C, not even before they could ignore it themselves."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Starting the tracker, as the first process does, would let Ctrl-C through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(payload: bytes | None, lifeline: Connection, mouth: Connection | None) -> None:
    if payload is not None:
        _given.append(payload)
    if mouth is not None:
        _mouth.append(mouth)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):  # what a candidate starts ends with it
        os.setpgid(0, 0)
    # A worker that waits for its next task never learns that its parent was killed, and one that is working cannot be
    # told to stop. The parent holds the other end of this pipe: when it closes it, or dies, this process is ended.
    if sys.platform == "linux":
        _killed_with(lifeline)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _killed_with(lifeline: Connection) -> None:
    """Have the kernel kill the group of this process with the pipe: a thread would wait for C code that never returns.

    See F_SETOWN, F_SETSIG and O_ASYNC in fcntl(2).
    """
    pipe = lifeline.fileno()
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | fcntl.FASYNC)


def _end_with(lifeline: Connection) -> None:
    multiprocessing.connection.wait([lifeline])
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)

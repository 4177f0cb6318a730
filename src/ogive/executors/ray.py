"""Ray: workers on a cluster of machines, or on this one, of which a lost one costs no trial but a repetition.

The workers are actors of Ray, one a place. Ray places them, and starts and ends their processes; what is left to do
here is to hand out tasks, to repeat those of workers that were lost, and to end what takes too long.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ParamSpec, TypeVar

from ogive.core.deadline import seconds_of
from ogive.core.errors import SpecError, in_line, quoted
from ogive.core.evaluator import Evaluator
from ogive.core.executor import Began, Lost, Overtime, Pool, Progress, Task
from ogive.core.trial import counted
from ogive.executors.ray_cluster import (
    cause_of,
    culprit,
    in_words,
    largest,
    nodes_of,
    refuse_silence,
    required,
    room_for,
)
from ogive.executors.ray_worker import Ear, Shared, Worker

__all__ = ["Ray"]

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

# Seconds between two looks at what the workers tell, and at the time that they take.
LOOK_S = 0.2
# Of places that fit on the cluster, so many are taken unless somebody says how many.
MOST = 256


@dataclass(slots=True, eq=False)
class _Item:
    """A task that waits or is being done, and how many workers it has lost."""

    future: Future[Any]
    task: Task
    call: Callable[[], Any]
    lost: int = 0
    begun: bool = False


@dataclass(slots=True, eq=False)
class _Place:
    """One place for a worker: its actor, whether that is ready, what it is doing since when, and why it was ended."""

    actor: Any = None
    ready: bool = False
    item: _Item | None = None
    since_s: float = 0.0
    ended: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    """Something that an actor of a place was to do is over; `future` holds what came of it."""

    place: _Place
    actor: Any
    future: Future[Any] = field(repr=False)


class Ray(Pool):
    """`workers` actors of Ray, each with so many `cpus` and `gpus`, and so much memory if `memory_gib` is given.

    Without a number, there are as many as the cluster has room for when the search begins. `address` is that of the
    cluster: ``auto`` for the one that this machine is part of, ``local`` for a new one of this machine alone, or
    ``host:port``; by default what the variable RAY_ADDRESS says, or else a cluster that runs here, or else a new one.
    A task whose worker or node is lost (killed, out of memory, unplugged) is done again, `retries` times at most; then
    its trials have failed. One whose trial takes longer than `trial_limit` (90s, 10m, 2h) is ended, and not done again.

    SpecError, when the first worker is wanted, for one that needs more than any node has, and for an evaluator that
    cannot be sent.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        memory_gib: float = 0.0,
        retries: int = 2,
        trial_limit: str | float | None = None,
    ) -> None:
        super().__init__()
        if workers is not None and not 1 <= workers <= MOST:
            raise SpecError(f"Ray has 1 to {MOST} workers here, but got workers={workers:,}.")
        if retries < 0:
            raise SpecError(f"A lost task is done again 0 times or more, but got retries={retries}.")
        needs = {"CPU": float(cpus), "GPU": float(gpus), "memory": memory_gib * 2**30}
        wrong = next((name for name, amount in needs.items() if not 0 <= amount < float("inf")), None)
        if wrong is not None or not any(needs.values()):
            raise SpecError(f"A worker of Ray needs some of something, but got cpus={cpus}, gpus={gpus}.")
        self.trial_limit_s = None if trial_limit is None else seconds_of(trial_limit, "trial_limit")
        self._needs = {name: amount for name, amount in needs.items() if amount}
        self._workers, self._address, self._retries = workers, address, retries
        self._places: list[_Place] = []
        self._waiting: deque[_Item] = deque()
        self._unfinished: set[Future[Any]] = set()
        self._events: queue.SimpleQueue[_Done | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._evaluator: Any = None
        self._ear: Any = None
        self._thread: threading.Thread | None = None
        self._closed = self._stopped = False

    @cached_property
    def count(self) -> int:  # type: ignore[override]  # connects to the cluster when it is asked for first
        """How many workers there are."""
        ray = self._ray
        room = sum(room_for(node, self._needs) for node in nodes_of(ray))
        if not room:
            raise SpecError(f"A worker needs {in_words(self._needs)}, but {largest(nodes_of(ray))}: ask for less.")
        return min(room, MOST) if self._workers is None else self._workers

    def share(self, evaluator: Evaluator) -> Evaluator:
        """A small stand-in for `evaluator`, which is put once in the object store of the cluster."""
        self.count  # noqa: B018 - what fits nowhere is refused before anything is sent
        ray = self._ray
        try:
            self._evaluator = ray.put(evaluator)
        except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError) as error:
            raise SpecError(
                f"{type(evaluator).__name__} and its data do not fit into the object store of Ray ({in_line(error)}): "
                "start Ray with a larger --object-store-memory, or give less data."
            ) from error
        except Exception as error:
            raise SpecError(
                f"{type(evaluator).__name__} cannot be sent to a worker, because of {culprit(evaluator)} "
                f"({in_line(error)})."
            ) from error
        return Shared(evaluator.metrics)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker; a task whose workers were lost too often raises Lost."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._start()
            self._waiting.append(_Item(future, self.task(fn), partial(fn, *args, **kwargs)))
            self._unfinished.add(future)
        self._events.put(None)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; finish those submitted or, with `cancel_futures`, drop those that have not started."""
        with self._lock:
            self._closed = True
            while cancel_futures and self._waiting:
                self._drop(self._waiting.popleft())
            unfinished = list(self._unfinished)
        self._events.put(None)
        if wait:
            wait_for(unfinished)
            if self._thread is not None:
                self._thread.join()

    def interrupt(self) -> None:
        """End the tasks that are being done, with their workers; others start anew."""
        with self._lock:
            for place in self._places:
                if place.item is not None:
                    self._end(place, CancelledError())

    def stop(self) -> None:
        """End the workers at once, whatever they are doing."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._stopped = True
        self.interrupt()
        self._events.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)

    # -- one thread hands out, hears and ends --------------------------------------------------------------------------

    @cached_property
    def _ray(self) -> Any:
        """The package, connected to the cluster."""
        ray = required()
        if not ray.is_initialized():
            refuse_silence(self._address)
            try:
                ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:
                where = "" if self._address is None else f" at {quoted(self._address)}"
                raise SpecError(f"There is no cluster of Ray{where}: {in_line(error)}") from error
        return ray

    def _start(self) -> None:
        if self._thread is not None:
            return
        ray = self._ray
        if self._listeners:
            here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=True
            )
            self._ear = ray.remote(num_cpus=0, max_restarts=-1)(Ear).options(scheduling_strategy=here).remote()
        self._places = [_Place() for _ in range(self.count)]
        self._thread = threading.Thread(target=self._work, name="ogive-ray", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        heard: Any = None
        while not self._over():
            with self._lock:
                for place in self._places:
                    if place.actor is None:
                        self._staff(place)
                self._hand_out()
            self._take_note()
            with self._lock:
                for place in self._places:
                    self._time(place)
            heard = self._hear(heard)
        with self._lock:
            for place in self._places:
                self._kill(place)

    def _over(self) -> bool:
        with self._lock:
            busy = self._waiting or any(place.item is not None for place in self._places)
            return self._stopped or (self._closed and not busy)

    def _take_note(self) -> None:
        """Wait for something to happen, but not for long; then for nothing more."""
        timeout: float | None = LOOK_S
        while True:
            try:
                event = self._events.get(timeout=timeout) if timeout else self._events.get_nowait()
            except queue.Empty:
                return
            timeout = None
            if event is not None:
                with self._lock:
                    self._note(event)

    def _staff(self, place: _Place) -> None:
        """Start a worker; it is ready when its evaluator and the weights that it takes are."""
        ray, needs = self._ray, self._needs
        options = {"num_cpus": needs.get("CPU", 0.0), "num_gpus": needs.get("GPU", 0.0), "memory": needs.get("memory")}
        place.ready, place.ended = False, None
        place.actor = ray.remote(**options, max_restarts=0)(Worker).remote(self._ear)
        self._ask(place, place.actor.prepare.remote(self._evaluator))

    def _ask(self, place: _Place, reference: Any) -> None:
        actor = place.actor
        reference.future().add_done_callback(lambda done: self._events.put(_Done(place, actor, done)))

    def _hand_out(self) -> None:
        for place in self._places:
            while self._waiting and place.ready and place.item is None:
                item = self._next()
                if item is not None:
                    place.item, place.since_s = item, time.monotonic()
                    self._ask(place, place.actor.do.remote(item.task.number, item.call))

    def _next(self) -> _Item | None:
        """The oldest task, which begins unless it was cancelled."""
        item = self._waiting.popleft()
        if not item.begun:
            if not item.future.set_running_or_notify_cancel():
                self._unfinished.discard(item.future)
                return None
            item.begun = True
            self.tell(Began(item.task))
        return item

    def _note(self, done: _Done) -> None:
        place, error = done.place, done.future.exception()
        if place.actor is not done.actor:
            return  # of a worker that was ended
        if error is None and not place.ready:
            place.ready = True
            return
        item, place.item = place.item, None
        if error is None and item is not None:
            self._finish(item, done.future.result())
            return
        if item is None and self._waiting:  # it was lost while it started, which may be the fault of its evaluator
            item = self._next()
        ended, cause = place.ended, cause_of(error)
        self._kill(place)
        if item is None:
            return
        if ended is not None or cause is not None:
            self._fail(item, ended or cause or CancelledError())
            return
        item.lost += 1
        if item.lost > self._retries:
            self._fail(item, Lost(f"{counted(item.lost, 'worker')} died of it (the last: {in_line(error or Lost())})"))
            return
        logger.warning("A worker was lost (%s); what it did is done again.", in_line(error or Lost()))
        self._waiting.appendleft(item)

    def _finish(self, item: _Item, result: Any) -> None:
        kind, value = result
        if kind == "raised":
            self._fail(item, value)
            return
        self._unfinished.discard(item.future)
        self.end(item.task, None)
        item.future.set_result(value)

    def _fail(self, item: _Item, error: BaseException) -> None:
        self._unfinished.discard(item.future)
        self.end(item.task, error)
        item.future.set_exception(error)

    def _drop(self, item: _Item) -> None:
        if item.begun:
            self._fail(item, CancelledError())
            return
        self._unfinished.discard(item.future)
        item.future.cancel()
        item.future.set_running_or_notify_cancel()  # whoever waits for it is told

    def _time(self, place: _Place) -> None:
        """End a worker that is past the limit of its trials."""
        trials = 0 if place.item is None else len(place.item.task.trials)
        if self.trial_limit_s is None or not trials or place.ended is not None:
            return
        if time.monotonic() - place.since_s > trials * self.trial_limit_s:
            self._end(place, Overtime.of(self.trial_limit_s, trials))

    def _end(self, place: _Place, reason: Exception) -> None:
        item, place.item = place.item, None
        self._kill(place)
        if item is not None:
            self._fail(item, reason)

    def _kill(self, place: _Place) -> None:
        actor, place.actor = place.actor, None
        place.ready, place.ended = False, None
        if actor is not None:
            try:
                self._ray.kill(actor)
            except Exception as error:  # noqa: BLE001 - it is gone already, or the cluster is
                logger.debug("A worker could not be ended: %s", error)

    def _hear(self, heard: Any) -> Any:
        """Tell what the workers said since the last look; returns what to look at next."""
        if self._ear is None:
            return None
        ray = self._ray
        try:
            heard = heard or self._ear.heard.remote()
            if not ray.wait([heard], timeout=0)[0]:
                return heard
            said = ray.get(heard)
        except ray.exceptions.RayError:  # its node is lost; another ear is made
            return None
        with self._lock:
            doing = {place.item.task.number: place.item.task for place in self._places if place.item is not None}
        for number, text, share in said:
            if number in doing:
                self.tell(Progress(doing[number], text, share))
        return None

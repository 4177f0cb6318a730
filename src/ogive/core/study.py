"""Study: the one loop. It asks a strategy, has an evaluator measure, scores, yields each trial and tells it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, replace
from typing import Literal

from ogive.core.capabilities import fidelity_of, objectives_of, walk
from ogive.core.deadline import TimeIsUp, until
from ogive.core.errors import ProtocolError, SpecError, StoreError
from ogive.core.evaluator import Batched, Evaluator, Labelled, attempt, recall
from ogive.core.executor import Lost, Overtime, Pool
from ogive.core.limit import Limit, check_constraints, violation
from ogive.core.objective import Objective, check_objectives
from ogive.core.strategy import Strategy
from ogive.core.trial import Budget, Call, Measurement, Proposal, Spent, Trial

__all__ = ["ORDERS", "Evaluation", "OpenChunk", "Order", "Study", "judged"]

# In which order trials are told: as they were proposed, or as they finish, which no second run repeats.
Order = Literal["number", "finish"]
ORDERS: tuple[Order, ...] = ("number", "finish")

# So many failures before the first success mean that the set-up is wrong, not that candidates are unlucky.
HOPELESS = 20


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The task of an executor that measures the trials of these numbers."""

    trials: range

    def __call__(self, evaluator: Evaluator, proposals: Sequence[Proposal]) -> list[Measurement]:
        return attempt(evaluator, proposals)


@dataclass(slots=True)
class OpenChunk:
    """Proposals that were handed out together and are not told yet; `trials` once they are measured.

    `begun` says that they are being measured, or were, in this process.
    """

    first: int
    proposals: list[Proposal]
    call: Call | None = None
    future: Future[list[Measurement]] | None = None
    trials: list[Trial] | None = None
    begun: bool = False

    @property
    def numbers(self) -> range:
        """The trial numbers of the proposals."""
        return range(self.first, self.first + len(self.proposals))


class Study:
    """A strategy, an evaluator, one or more objectives and any constraints, checked against each other.

    The study keeps no history: `run` yields each trial once; the caller stores it, shows it and stops when it likes.
    """

    def __init__(
        self,
        strategy: Strategy,
        evaluator: Evaluator,
        objectives: Objective | Sequence[Objective],
        constraints: Sequence[Limit] = (),
    ) -> None:
        self.strategy = strategy
        self.evaluator = evaluator
        self._batched = evaluator if isinstance(evaluator, Batched) else None
        self.objectives = tuple(objectives) if isinstance(objectives, Sequence) else (objectives,)
        check_objectives(self.objectives, evaluator.metrics)
        self.constraints = tuple(constraints)
        check_constraints(self.constraints, evaluator.metrics)
        self._metrics = {metric.name: metric for metric in evaluator.metrics}
        wanted = objectives_of(strategy)
        if wanted is not None and wanted != len(self.objectives):
            raise SpecError(
                f"{type(strategy).__name__} was made for {wanted} objective(s), "
                f"but the search has {len(self.objectives)}."
            )
        self._learner = _learner(evaluator)
        self._sample = () if self._learner is None else tuple(self._learner.sample)
        self._labels: list[Trial] = []
        self.spent = Spent(fidelity=fidelity_of(evaluator))
        self.told = 0
        self.asked = 0
        self.open: list[OpenChunk] = []
        self._failures = 0
        # What was being done when the time was up: proposals by their numbers, and whether the strategy was asked.
        self.stopped: list[tuple[int, Proposal]] = []
        self.asking = False
        self._begin: Callable[[int], str | None] | None = None
        self._left_s: Callable[[], float] = lambda: math.inf

    def resume_from(
        self, told: Sequence[Trial], asked: int, waiting: Sequence[OpenChunk], spent: Spent | None = None
    ) -> None:
        """Take over the state of an interrupted study whose strategy was loaded from a checkpoint.

        `told` are the trials that the strategy knew, `asked` how many proposals it had made, `waiting` those of them
        that it had not been told about. `spent` is what the trials had spent; without it, it is added up.
        """
        recall(self.evaluator, told)
        for trial in told if spent is None else ():
            self.spent.add(trial)
        self.spent = self.spent if spent is None else spent
        self._learn(told)
        self.told, self.asked, self.open = len(told), asked, list(waiting)
        self._failures = -1 if any(trial.measured for trial in told) else self._failures

    def run(
        self,
        budget: Budget,
        *,
        executor: Executor | None = None,
        in_flight: int = 1,
        order: Order = "number",
        past: Sequence[Trial] = (),
        elapsed_s: float = 0.0,
        begin: Callable[[int], str | None] | None = None,
        replayed: Callable[[], None] | None = None,
    ) -> Iterator[Trial]:
        """Yield new trials until the budget is spent or the strategy has nothing more to ask.

        `in_flight` chunks of proposals are asked for before the first of them is told. They are measured by the
        `executor`, or here one after the other, and yielded as they finish. They are told in the order in which they
        were asked for, so that the trials depend on the seed and on `in_flight`, not on who was faster; in the `order`
        "finish" each is told as soon as it is measured, and no second run finds the same. `past` are trials of an
        interrupted run that this study has not been told yet, in the order in which they finished: the loop makes the
        same calls of ask and tell as it did then, whatever the budget was, checks that the strategy asks for the same
        architectures, and goes on; StoreError names the first difference. `elapsed_s` is the time that the interrupted
        run had taken. When the wall-clock budget ends, the run does, whatever is being done: proposals that are being
        measured are `stopped`, and the executor is interrupted; what is done in this process is ended by TimeIsUp
        (`ogive.core.deadline.until`), a strategy that trains in `ask` in the middle of it, and neither may be asked or
        told anything more. `begin` is told the first number
        of each chunk that is about to be measured in this process, and may say why its trials fail unmeasured.
        `replayed` is called once, when the last of the `past` was told and before the next proposal is asked for.
        """
        self._check_units(budget)
        self._begin = begin
        started = time.perf_counter() - elapsed_s
        recall(self.evaluator, past)
        recorded = {trial.number: trial for trial in past}

        def left_s() -> float:
            return math.inf if budget.wall_s is None or recorded else budget.wall_s - (time.perf_counter() - started)

        self._left_s = left_s
        try:
            yield from self._loop(budget, executor, in_flight, order, recorded, replayed if past else None)
        except TimeIsUp:
            for chunk in [chunk for chunk in self._left() if chunk.future is not None and chunk.future.done()]:
                yield from self._finish(chunk, recorded)  # done while this process was busy with something else
            self._stop(executor)
        finally:
            for chunk in self.open:
                if chunk.future is not None:
                    chunk.future.cancel()
        if recorded:
            raise StoreError(
                f"The run holds trial {min(recorded)}, but the search ends before it: the settings must have been "
                "changed."
            )

    def _loop(
        self,
        budget: Budget,
        executor: Executor | None,
        in_flight: int,
        order: Order,
        recorded: dict[int, Trial],
        replayed: Callable[[], None] | None,
    ) -> Iterator[Trial]:
        """As `run`; TimeIsUp when the time is up."""
        evaluator = executor.share(self.evaluator) if isinstance(executor, Pool) else self.evaluator
        ahead = executor.ahead if isinstance(executor, Pool) else in_flight
        executor = None if isinstance(executor, Pool) and executor.direct else executor
        if not self.open:
            self._ask(budget, in_flight, recorded)
        while self.open:
            while (measured := self._to_tell(order)) is None:
                # What has learned from labels did so in this process, and asks nothing expensive any more.
                if executor is not None and (self._learner is None or self.told < len(self._sample)):
                    self._submit(executor, evaluator, recorded, ahead)
                chunk = self._next(recorded)
                if chunk is not None:
                    yield from self._finish(chunk, recorded)
            self.open.remove(measured)
            with until(self._left_s()):
                self._tell(measured)
            if replayed is not None and not recorded:
                replayed()
                replayed = None
            self._ask(budget, in_flight, recorded)

    def _stop(self, executor: Executor | None) -> None:
        """End what is being measured, since the time is up, and remember what that was."""
        for chunk in self._left():
            if chunk.begun or (chunk.future is not None and not chunk.future.cancel()):
                self.stopped += zip(chunk.numbers, chunk.proposals, strict=True)
        if isinstance(executor, Pool):
            executor.interrupt()

    def scored(self, number: int, proposal: Proposal, measurement: Measurement) -> Trial:
        """The trial that a measurement of a proposal makes."""
        return judged(number, proposal, measurement, self.objectives, self.constraints)

    # -- the steps of the loop --------------------------------------------------------------------------------------

    def _ask(self, budget: Budget, in_flight: int, recorded: Mapping[int, Trial]) -> None:
        while len(self.open) < in_flight:
            left_s = self._left_s()
            if left_s <= 0 or self.spent.exhausts(budget, 0.0, self._running() if self.open else ()):
                break
            past = recorded.get(self.asked) if recorded else None
            call = None if past is None else past.call
            if call is not None and call.told > self.told:
                break  # then, too, it was asked only after more had been told
            wanted = self._wanted(budget) if call is None else call.wanted
            with until(left_s):
                self.asking = True
                proposals = self._asked(wanted) if wanted > 0 else []
                self.asking = False
            if len(proposals) > wanted:
                raise ProtocolError(
                    f"ask({wanted}) must return at most {wanted} proposals; {type(self.strategy).__name__} returned "
                    f"{len(proposals)}."
                )
            if not proposals:
                break
            now = None if self._batched is None else Call(wanted, self.told)
            self.open.append(OpenChunk(self.asked, proposals, now))
            self.asked += len(proposals)

    def _running(self) -> Iterator[Proposal]:
        return (proposal for chunk in self.open for proposal in chunk.proposals)

    def _asked(self, wanted: int) -> list[Proposal]:
        """Proposals of the strategy; before the first, those that the evaluator learns from."""
        if self.asked < len(self._sample):
            return list(self._sample[self.asked : self.asked + wanted])
        return self.strategy.ask(wanted) if self.told >= len(self._sample) else []

    def _wanted(self, budget: Budget) -> int:
        batched = self._batched
        size = 1 if batched is None else batched.batch
        if budget.trials is None:
            return size
        left = budget.trials - self.spent.trials
        for chunk in self.open:
            left -= self._trials_of(len(chunk.proposals))
        if left <= 0:
            return 0
        return min(size, left if batched is None else batched.proposals_for(left))

    def _trials_of(self, proposals: int) -> int:
        """How many evaluated candidates an open chunk of so many proposals will become."""
        if self._batched is None:
            return proposals
        trials = 1
        while self._batched.proposals_for(trials + 1) <= proposals:
            trials += 1
        return trials

    def _check_units(self, budget: Budget) -> None:
        """SpecError for a budget in units that the evaluator does not count, or not for every proposal."""
        if budget.units is None:
            return
        fidelity = self.spent.fidelity
        counts = "no fidelity" if fidelity is None else fidelity.unit
        if counts != budget.unit:
            raise SpecError(
                f"A budget of {budget} needs an evaluator that counts {budget.unit}, but "
                f"{type(self.evaluator).__name__} counts {counts}: give a number of trials, or a time such as 2h."
            )
        if self._learner is not None:
            raise SpecError(f"Predictions take no {budget.unit}: give predicted(...) a budget of trials or time.")

    def _submit(self, executor: Executor, evaluator: Evaluator, recorded: Mapping[int, Trial], ahead: int) -> None:
        """Hand the oldest chunks to the executor that are neither measured nor recorded."""
        for chunk in self.open:
            if chunk.trials is None and not _all_in(recorded, chunk):
                if chunk.future is None:
                    chunk.future = self._submitted(executor, evaluator, chunk)
                ahead -= 1
                if ahead == 0:
                    break

    def _submitted(self, executor: Executor, evaluator: Evaluator, chunk: OpenChunk) -> Future[list[Measurement]]:
        here = isinstance(executor, Pool) and executor.here
        failed = self._failed_unmeasured(chunk) if here else None
        if failed is None:
            chunk.begun = here
            with until(self._left_s() if here else math.inf):
                return executor.submit(Evaluation(chunk.numbers), evaluator, chunk.proposals)
        future: Future[list[Measurement]] = Future()
        future.set_result(failed)
        return future

    def _failed_unmeasured(self, chunk: OpenChunk) -> list[Measurement] | None:
        """Say that the chunk begins in this process; its failed measurements if it must not."""
        reason = None if self._begin is None else self._begin(chunk.first)
        return None if reason is None else [Measurement(error=reason) for _ in chunk.proposals]

    def _to_tell(self, order: Order) -> OpenChunk | None:
        """The chunk that the strategy is told next, if it is measured."""
        if order == "number":
            oldest = self.open[0]
            return None if oldest.trials is None else oldest
        return next((chunk for chunk in self.open if chunk.trials is not None), None)

    def _left(self) -> Iterator[OpenChunk]:
        return (chunk for chunk in self.open if chunk.trials is None)

    def _next(self, recorded: Mapping[int, Trial]) -> OpenChunk | None:
        """The chunk to finish now: the one that was recorded first, else one that is ready.

        None if none was after a while. TimeIsUp once the time is up and all that is ready was finished.
        """
        oldest, left_s = self.open[0], self._left_s()
        if oldest.future is None and not recorded and left_s > 0:
            return oldest  # nobody else measures it
        ready = [c for c in self._left() if (c.future is not None and c.future.done()) or _all_in(recorded, c)]
        if ready:
            first = next(iter(recorded), None)
            return next((chunk for chunk in ready if first in chunk.numbers), ready[0])
        if left_s <= 0:
            raise TimeIsUp
        running = [chunk.future for chunk in self._left() if chunk.future is not None]
        if not running:
            return next(self._left())
        wait(running, None if left_s == math.inf else left_s, return_when=FIRST_COMPLETED)
        return None

    def _finish(self, chunk: OpenChunk, recorded: dict[int, Trial]) -> Iterator[Trial]:
        """Note all trials of the chunk, in order, and yield those that are not recorded yet."""
        known = [recorded.get(number) for number in chunk.numbers] if recorded else [None] * len(chunk.proposals)
        measurements = self._measured(chunk, complete=all(known))
        trials = []
        for number, proposal, trial, measurement in zip(
            chunk.numbers, chunk.proposals, known, measurements, strict=True
        ):
            if trial is not None:
                self._compare(trial, proposal)
                del recorded[number]
                trials.append(trial)
                continue
            assert measurement is not None
            self._refuse_less(proposal, measurement)
            fresh = self.scored(number, proposal, measurement)
            fresh = fresh if chunk.call is None else replace(fresh, call=chunk.call)
            trials.append(fresh)
            yield fresh
        chunk.trials = trials

    def _measured(self, chunk: OpenChunk, *, complete: bool) -> Sequence[Measurement | None]:
        if complete:
            return [None] * len(chunk.proposals)
        if chunk.future is None:
            failed = self._failed_unmeasured(chunk)
            if failed is not None:
                return failed
            chunk.begun = True
            with until(self._left_s()):
                return attempt(self.evaluator, chunk.proposals)
        try:
            return chunk.future.result()
        except (Overtime, Lost) as error:
            return [Measurement(error=str(error)) for _ in chunk.proposals]
        except BrokenExecutor:
            reason = "the worker process died (killed, or out of memory)"
            return [Measurement(error=reason) for _ in chunk.proposals]

    def _refuse_less(self, proposal: Proposal, measurement: Measurement) -> None:
        """ProtocolError for a success that lacks some of what the evaluator promised to measure."""
        missing = self._metrics.keys() - measurement.metrics.keys()
        if missing and not measurement.screened and measurement.error is None:
            raise ProtocolError(
                f"{type(self.evaluator).__name__} promised the metrics {', '.join(sorted(missing))} "
                f"but measured only {', '.join(sorted(measurement.metrics)) or 'nothing'} for {proposal.arch}."
            )

    def _compare(self, trial: Trial, proposal: Proposal) -> None:
        same = trial.arch == proposal.arch and trial.proposal.fidelity == proposal.fidelity
        if not same:
            raise StoreError(
                f"Trial {trial.number} of the run is {trial.arch} (fidelity {trial.proposal.fidelity}), but the "
                f"strategy now asks for {proposal.arch} (fidelity {proposal.fidelity}): the seed, the settings or the "
                "version differ."
            )

    def _tell(self, chunk: OpenChunk) -> None:
        trials = chunk.trials or []
        for trial in trials:
            self.spent.add(trial)
            self._watch(trial)
        self._learn(trials)
        self.told += len(trials)
        self.strategy.tell([trial.blind(self._metrics) for trial in trials])

    def _learn(self, trials: Sequence[Trial]) -> None:
        """Keep the labels among the trials until the evaluator can be given all of them."""
        if self._learner is None or len(self._labels) == len(self._sample):
            return
        self._labels += [trial.blind(self._metrics) for trial in trials if trial.number < len(self._sample)]
        if len(self._labels) == len(self._sample):
            self._learner.learn(sorted(self._labels, key=lambda trial: trial.number))

    def _watch(self, trial: Trial) -> None:
        """Stop a search in which nothing has ever worked; `_failures` is -1 from the first success on."""
        if self._failures < 0 or trial.status == "screened":
            return
        if trial.measured:
            self._failures = -1
            return
        self._failures += 1
        if self._failures >= HOPELESS:
            raise ProtocolError(
                f"The first {HOPELESS} trials all failed, so the set-up must be wrong. The last reason: "
                f"{trial.measurement.error}."
            )


def _all_in(recorded: Mapping[int, Trial], chunk: OpenChunk) -> bool:
    return bool(recorded) and all(number in recorded for number in chunk.numbers)


def _learner(evaluator: Evaluator) -> Labelled | None:
    """The part of an evaluator that learns from the first trials; SpecError where they would not reach it."""
    found = [part for part in walk(evaluator) if isinstance(part, Labelled)]
    if len(found) > 1 or (found and isinstance(evaluator, Batched)):
        raise SpecError(
            "The labels of predicted(...) are measured by the whole evaluator as the first trials, so that it stands "
            f"once, and not inside of screened(...): {type(evaluator).__name__} has {len(found)} of it."
        )
    return found[0] if found else None


def judged(
    number: int,
    proposal: Proposal,
    measurement: Measurement,
    objectives: Sequence[Objective],
    constraints: Sequence[Limit] = (),
) -> Trial:
    """The trial that a measurement of a proposal makes, scored by the objectives if it keeps the constraints."""
    if measurement.screened:
        return Trial(number, proposal, measurement, "screened")
    if measurement.error is not None:
        return Trial(number, proposal, measurement, "failed")
    beyond = violation(constraints, measurement.metrics)
    if not math.isfinite(beyond):
        said = ", ".join(f"{limit.metric} is {measurement.metrics.get(limit.metric)}" for limit in constraints)
        return Trial(number, proposal, Measurement(measurement.metrics, measurement.cost, said), "failed")
    if beyond:
        return Trial(number, proposal, measurement, "infeasible", violation=beyond)
    scores = tuple(float(objective(proposal.arch, measurement.metrics)) for objective in objectives)
    for objective, score in zip(objectives, scores, strict=True):
        if not math.isfinite(score):
            failed = Measurement(measurement.metrics, measurement.cost, f"{objective!r} is {score}")
            return Trial(number, proposal, failed, "failed")
    return Trial(number, proposal, measurement, "ok", scores)

"""Searches in a supernet as one strategy: an `ask` trains it for an epoch and proposes what would be derived now.

What is learnt beside the weights, how a cell is derived, and when the search ends early are parts of it; `darts`,
`ddarts`, `spos`, `enas` and the names of the catalog that go with them are compositions.
"""

from __future__ import annotations

import copy
import inspect
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import torch

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Answer
from ogive.core.errors import SpecError, StoreError, in_line
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Proposal, Trial, counted
from ogive.supernets.gates import Drawing, Gate, is_independent, mixing
from ogive.supernets.networks import Supernet
from ogive.supernets.perturbation import Decision, Perturbation, decisions, restricted, tuned, undecided
from ogive.supernets.plan import CellChoices
from ogive.supernets.recurrent_search import TextWeights
from ogive.supernets.rules import SKIP, Returning, Rule
from ogive.supernets.search import ArchitectureRecipe, Search, WeightsRecipe, shared_loss, shared_score
from ogive.supernets.sharing import Sharing
from ogive.supernets.sized import Size, sized
from ogive.training import checkpoint
from ogive.training.batches import LAYOUT
from ogive.training.distributed import ALONE
from ogive.training.lossy import Lossy, lossy, told_apart
from ogive.training.optimisers import ClippedDescent
from ogive.training.threads import threads as torch_threads

__all__ = ["Derivation", "Learner", "Method", "Size", "SupernetStrategy", "described"]

logger = logging.getLogger(__name__)

FEW = 8  # steps of an epoch, of which a rehearsal takes the time


class Learner(Protocol):
    """What is learnt beside the weights of a supernet; a value."""

    @property
    def gate(self) -> Gate:
        """What weighs the operations."""
        ...

    @property
    def architecture(self) -> ArchitectureRecipe:
        """How it is trained."""
        ...

    def lasting(self, warm_epochs: int) -> Learner:
        """The same with so many epochs in which the architecture waits."""
        ...

    def search(self, network: Supernet, halves: tuple[Lossy, Lossy], run: SupernetStrategy) -> Search:
        """The search that trains both, not begun yet: the first half of the samples is for the weights."""
        ...


@runtime_checkable
class Teaching(Protocol):
    """A learner with work of its own after each epoch, of which a short one leaves most out."""

    def short(self) -> Learner:
        """The same with as little of it as can be."""
        ...

    def left_out_s(self, run: SupernetStrategy) -> float:
        """Seconds an epoch that it leaves out, tried on a short search."""
        ...

    def told(self, search: Search) -> str:
        """How that went in the last epoch."""
        ...


class Derivation(Protocol):
    """How an architecture is derived from a supernet under search; a value."""

    def __call__(self, run: SupernetStrategy) -> Architecture:
        """What would be derived now."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A derivation with words of its own for what it derives; skip connections are counted otherwise."""

    def told(self, run: SupernetStrategy, arch: Architecture) -> str:
        """What to say of an architecture."""
        ...


@runtime_checkable
class Comparing(Protocol):
    """A derivation that compares paths by their scores with shared weights."""

    def compared(self, epochs: int) -> int:
        """How many in a search of so many epochs, but for one an epoch."""
        ...

    def short(self) -> Derivation:
        """The same with one path."""
        ...


@dataclass(frozen=True)
class Method:
    """How a supernet is searched.

    The search ends early by any of the `rules`. With a `selection`, each ask after the epochs decides an edge.
    `sharing` is that of another space where cells of that one are derived. `options` tell its states from those of
    other searches, by default the parts themselves.
    """

    learner: Learner
    derive: Derivation
    rules: tuple[Rule, ...] = ()
    selection: Perturbation | None = None
    sharing: Sharing | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class SupernetStrategy:
    """A search in a supernet, trained through a task; it ends after as many proposals as it has epochs.

    The training samples are halved by the seed: one half teaches the weights, the other the architecture, or whatever
    takes its place. Each proposal costs the seconds of its epoch. It learns nothing from what its proposals are
    measured with. `progress` is told what is being done.
    """

    answer: Answer = "last"
    divisible = True
    save_every = 1  # an epoch is expensive

    def __init__(
        self,
        method: Method,
        space: SearchSpace,
        task: Lossy,
        seed: Seed,
        *,
        size: Size = Size(),  # noqa: B008 - frozen, as is the next
        weights: WeightsRecipe | TextWeights = WeightsRecipe(),  # noqa: B008 - frozen
        device: str = "cpu",
        threads: int | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.method, self.weights, self.epochs, self.partial = method, weights, weights.epochs, size.partial
        self.space, self.task, self.seed, self.progress = space, lossy(task), seed, progress
        self.device, self.threads = device, threads
        _check(method, weights, device)
        # Where operations do not compete, `none` has nothing to win (FairDARTS).
        without = ("none",) if is_independent(method.learner.gate) else ()
        self.sized = sized(space, self.task, size, weights, without=without, sharing=method.sharing)
        if method.selection is not None:
            self.sized.refuse_parts()
        self._halves = seed
        self.part: Supernet | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._made: Search | None = None
        self._notes: list[list[Any]] = [[] for _ in self.method.rules]
        self._found: list[Architecture] = []
        self._decisions: list[Decision] = []

    def within(self, network: Supernet, name: str, epochs: int) -> Self:
        """The same search in a part of a supernet, not begun yet; it trains the part's own weights.

        Its random numbers are those of `name`, but samples are halved as in this search, so that no part is judged
        by samples that taught its parent.
        """
        part = copy.copy(self)
        part.seed, part.part, part.epochs = self.seed.child(name), network, epochs
        part.weights = replace(self.weights, epochs=epochs)
        warm = self.method.learner.architecture.warm_epochs * epochs // max(1, self.epochs)
        part.method = replace(self.method, learner=self.method.learner.lasting(warm))
        part._begin_anew()
        return part

    def network(self, choices: Sequence[CellChoices] | None = None, name: str = "") -> Supernet:
        """A supernet of this search with fresh weights, of everything or of what the cells of a part may choose."""
        made = self.sized.made((self.seed.child(name) if name else self.seed).integer("weights"), choices)
        return made.to(self.device).to(memory_format=LAYOUT)  # type: ignore[call-overload,no-any-return]

    def validation_loss(self, arch: Architecture) -> float:
        """The loss, on the samples that teach the architecture, of what is searched; NaN where it is no number.

        Where operations are mixed, that of the mixture; where one of each edge runs, that of `arch`, a derived one.
        """
        search = self.search
        if isinstance(search.gate, Drawing):
            mixture = search.supernet.path(arch)
        else:
            mixture = search.alphas.mixture(search.gate, torch.Generator())
        with torch_threads(self.threads):
            return shared_loss(search.supernet, mixture, search.alphas_task, search.recipe)

    @property
    def search(self) -> Search:
        """The supernet under search, made when it is first needed."""
        if self._made is None:
            network = self.network() if self.part is None else self.part
            self._made = self.method.learner.search(network, self.task.halved(self._halves), self)
        return self._made

    @property
    def rolled_back(self) -> int:
        """How many steps were undone because their loss was not finite."""
        return self.search.undone

    @property
    def decides_edges(self) -> bool:
        """Whether edges are decided one by one after the epochs (DARTS-PT), so that none is left to choose from."""
        return self.method.selection is not None

    def ask(self, n: int = 1) -> list[Proposal]:
        """Train for n epochs and propose what would be derived after each of them."""
        proposals: list[Proposal] = []
        while len(proposals) < n and not self._is_over():
            started = time.perf_counter()
            with torch_threads(self.threads):
                told, arch = self._decided() if self._is_trained() else self._trained()
            proposals.append(Proposal(arch, cost=Cost(time.perf_counter() - started)))
            self._tell(told, arch)
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        """Nothing is learnt from measurements: the supernet has samples of its own to validate on."""

    def derived(self) -> Architecture:
        """The architecture that would be derived now."""
        return self.method.derive(self)

    def _tell(self, told: str, arch: Architecture) -> None:
        derive, text = self.method.derive, self.space.format(arch)
        if isinstance(derive, Telling):
            told += f", {derive.told(self, arch)}"
        elif SKIP in self.sized.plan.operations:
            told += f", {counted(text.count(SKIP), 'skip connection')} in the derived cell"
        logger.info("%s: %s", told, text)
        if self.progress is not None:
            self.progress(told)

    # -- an epoch or a decision --------------------------------------------------------------------------------------

    def _is_trained(self) -> bool:
        """Whether all epochs are over, or enough of them."""
        if self._decisions or len(self.search.history) >= self.epochs:
            return True
        return any(rule.ends(notes) for rule, notes in zip(self.method.rules, self._notes, strict=True))

    def _is_over(self) -> bool:
        decides = self.decides_edges
        return self.search.over or (self._is_trained() and not (decides and any(undecided(self.search.supernet))))

    def _trained(self) -> tuple[str, Architecture]:
        """Train for an epoch: what is told of it, and what to propose."""
        search, learner = self.search, self.method.learner
        epoch = search.epoch(self.progress)
        told = f"epoch {epoch.number} of {self.epochs}: loss {epoch.train_loss:.3f}"
        told += "" if math.isnan(epoch.val_loss) else f" ({epoch.val_loss:.3f} in validation)"
        told += f", {self.task.score.words(epoch.train_score)}"
        if isinstance(learner, Teaching):
            told += learner.told(search)
        arch = self.derived()
        self._found.append(arch)
        for rule, notes in zip(self.method.rules, self._notes, strict=True):
            notes.append(rule.noted(search, arch))
        for rule, notes in zip(self.method.rules, self._notes, strict=True):
            if isinstance(rule, Returning) and rule.ends(notes):
                return told, self._found[-1 - rule.returns]
        return told, arch

    def _decided(self) -> tuple[str, Architecture]:
        """Decide one edge, and tune the weights to it."""
        assert self.method.selection is not None
        seed = self.seed.child(f"decision {len(self._decisions)}")
        decision, self._made = self.method.selection.decided(self.search, seed, self.progress)
        self._decisions.append(decision)
        held = "nothing" if decision.operation is None else self.search.supernet.plan.operations[decision.operation]
        return f"edge {decision.edge} of the {decision.kind} cell holds {held}", self.derived()

    # -- how long it takes -------------------------------------------------------------------------------------------

    @property
    def proposals(self) -> int:
        """One for each epoch, and for each decision about an edge where edges are decided after them."""
        return self.epochs + (decisions(self.network()) if self.decides_edges else 0)

    def rehearse(self) -> float:
        """About how many seconds all the proposals take.

        Copies of this search take a few steps, and the seconds of an epoch are a number for each step and one for all.
        All epochs count alike, also warm ones, in which less is done, and as if nothing were compiled. Of paths that
        are compared, and of what a controller learns, a little is tried and the rest is counted.
        """
        self._short(1).ask()  # the first work of a process takes longer than the rest
        learner, derive = self.method.learner, self.method.derive
        total_s = self.epochs * self._whole_s(_asked_s)
        if self.decides_edges:
            total_s += (self.proposals - self.epochs) * self._whole_s(_decided_s)
        if isinstance(learner, Teaching):
            total_s += self.epochs * learner.left_out_s(self._short(1))
        if isinstance(derive, Comparing):
            total_s += derive.compared(self.epochs) * self._whole_s(_path_s)
        return total_s

    def _whole_s(self, seconds: Callable[[SupernetStrategy], float]) -> float:
        """Seconds of what is linear in the steps of an epoch, by what it takes in a short one and in a longer one."""
        half, _ = self.task.halved(self._halves)
        steps = half.batches(self.weights.recipe, torch.device("cpu"), torch.float32, ALONE).steps
        few = min(FEW, steps)
        one_s, few_s = seconds(self._short(1)), seconds(self._short(few))
        if few == 1:
            return one_s
        # Where something else kept the machine busy during the short one, the longer one is all that is known.
        step_s = (few_s - one_s) / (few - 1) if few_s > one_s else few_s / few
        return few_s + (steps - few) * step_s

    def _short(self, steps: int) -> Self:
        """A copy of this search that is not begun, with samples for so many steps an epoch."""
        short = self.within(self.network(), "rehearsal", 2)  # the second epoch never comes: it would be the last
        learner, derive = short.method.learner, short.method.derive
        short.method = replace(
            short.method,
            learner=learner.short() if isinstance(learner, Teaching) else learner,
            derive=derive.short() if isinstance(derive, Comparing) else derive,
        )
        short.task, short.progress = self.task.few(steps, self.weights.recipe), None
        short.weights = short.weights.eager
        return short

    # -- the state, in and out ---------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write weights, architecture, optimisers and history as one safetensors file; random streams have no state."""
        search = self.search
        record = {
            "fingerprint": self._fingerprint(),
            **search.record(),
            "notes": self._notes,
            "found": [list(arch.choices) for arch in self._found],
            "decisions": [asdict(decision) for decision in self._decisions],
        }
        checkpoint.save(Path(folder), len(search.history) + len(self._decisions), search.tensors(), record)

    def load(self, folder: Path) -> None:
        """Go on from a saved state; StoreError if it is damaged, or of another search."""
        found = checkpoint.latest(Path(folder), self._fingerprint())
        if found is None:
            raise StoreError(f"{folder} holds no readable state of a supernet.")
        tensors, record = found
        try:
            self._found = [Architecture(self.space.name, tuple(choices)) for choices in record["found"]]
            for entry in record["decisions"]:
                decision = Decision(**entry)
                alphas = restricted(self.search.supernet, self.search.alphas, decision)
                self._made = tuned(self.search, alphas, 0, self.seed, None)
                self._decisions.append(decision)
            self.search.restore(tensors, record)
            self._notes = record["notes"] if "notes" in record else self._noted_before(record)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            way = "was written by another version of ogive"
            raise StoreError(f"The state in {folder} {way}: {in_line(error)}.") from error

    def _noted_before(self, record: Mapping[str, Any]) -> list[list[Any]]:
        """What rules have noted according to a state of version 0.1."""
        ranking, times = record["ranking"]
        before = {"Eigenvalue": record["eigenvalues"], "Settled": [ranking] * (times + 1)}
        known = self._found or ([self.derived()] if self.search.history else [])
        return [
            before.get(type(rule).__name__, [rule.noted(self.search, arch) for arch in known])
            for rule in self.method.rules
        ]

    def _fingerprint(self) -> dict[str, Any]:
        rule = self.method.learner.architecture
        options = dict(self.method.options) or {"method": described(self.method)}
        if self.weights.optimiser is not None:
            options["optimiser"] = described(self.weights.optimiser)
        return {
            "space": self.space.name,
            "skeleton": self.sized.record,
            "recipe": asdict(self.weights.recipe),
            # In the words of version 0.1, so that its states are gone on from.
            "architecture": {
                "order": rule.order,
                "learning_rate": rule.learning_rate,
                "betas": [rule.momentum, 0.999],
                "weight_decay": rule.weight_decay,
                "warm_epochs": rule.warm_epochs,
                "penalty": None,
            },
            "options": options,
            "seed": [self.seed.root, *self.seed.path],
            "data": self.task.digest,
            **told_apart(self.task),
        }


def described(part: object) -> str:
    """A part as a text that is the same in every process: its type, and its values if it is made of them."""
    if is_dataclass(part):
        values = (f"{one.name}={described(getattr(part, one.name))}" for one in fields(part))
        return f"{type(part).__name__}({', '.join(values)})"
    if inspect.isfunction(part) or type(part).__repr__ is object.__repr__:
        kind: Any = part if inspect.isfunction(part) else type(part)
        return f"{kind.__module__}.{kind.__qualname__}"
    return repr(part)


def _check(method: Method, weights: WeightsRecipe | TextWeights, device: str) -> None:
    """SpecError for parts that do not go together."""
    rule, gate = method.learner.architecture, method.learner.gate
    if rule.warm_epochs > weights.epochs:
        raise SpecError(
            f"In the warm epochs the architecture is not trained, so that at most all {weights.epochs} epochs are, but "
            f"got warm_epochs={rule.warm_epochs}."
        )
    if weights.optimiser is not None:
        made = weights.optimiser([torch.zeros(1, requires_grad=True)], weights.learning_rate)
        if rule.order == 2 and not isinstance(made, (torch.optim.SGD, ClippedDescent)):
            raise SpecError(
                f"The second order looks one step of SGD ahead, but the weights are trained by {type(made).__name__}: "
                "write order=1, or leave the optimiser out."
            )
    if not weights.compiled:
        return
    if torch.device(device).type != "cuda":
        raise SpecError(
            f"Graphs are captured on a CUDA device, but the device is {device}: give --device cuda, or leave "
            "compiled=true out."
        )
    if mixing(gate) is not gate:
        raise SpecError(
            f"A captured graph runs the same operations at every step, but with the gate {described(gate)} they are "
            "drawn: leave compiled=true out."
        )


def _asked_s(short: SupernetStrategy) -> float:
    """Seconds of an epoch of a short search, and of the proposal after it."""
    _ = short.search
    started = time.perf_counter()
    short.ask()
    return time.perf_counter() - started


def _decided_s(short: SupernetStrategy) -> float:
    """Seconds of a decision about an edge in a short search."""
    short.epochs = 0
    return _asked_s(short)


def _path_s(short: SupernetStrategy) -> float:
    """Seconds of comparing one path of a supernet with others."""
    shared = short.search
    path = shared.supernet.path(short.space.sample(short.seed.numpy("path")))
    started = time.perf_counter()
    with torch_threads(short.threads):
        shared_score(shared.supernet, path, shared.alphas_task)
    return time.perf_counter() - started

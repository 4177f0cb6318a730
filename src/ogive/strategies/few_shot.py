"""Few-shot NAS for searches by gradient: split a supernet, search inside each part, and keep the best part's answer.

Zhao et al., "Few-shot Neural Architecture Search", ICML 2021. The strategy that searches is a part of this one:
``few_shot(darts, split=0)``, ``few_shot(darts(partial=4, edge_normalisation=true))``, ``few_shot(ddarts)``.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Answer
from ogive.core.errors import SpecError, StoreError, in_line, quoted
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.strategy import Strategy
from ogive.core.trial import Cost, Proposal, Trial
from ogive.documents import read_json
from ogive.files import write_json
from ogive.strategies.single_path import SharedPaths
from ogive.strategies.supernet import SupernetStrategy
from ogive.supernets.agreement import CHOSEN, Compared, check_split, chosen_levels
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Edge, Key, key_name, keys_of, part_of, rows_of_cells, splits_of
from ogive.supernets.plan import Plan
from ogive.training import checkpoint
from ogive.training.threads import threads

__all__ = ["FewShot", "Found", "Part", "Splitting", "few_shot"]

logger = logging.getLogger(__name__)

_PART = {"name": str, "held": [[object]], "parent": (str, None)}
_FOUND = {"name": str, "level": int, "arch": str, "loss": (float, None)}
_RECORD = {
    "settings": {...: object},
    "edges": [{"kind": str, "number": int}],
    "waiting": ([_PART], None),
    "done": [_FOUND],
    "last": (_FOUND, None),
    "undone": int,
    "now": (_PART, None),
    "parents": {...: str},
}

STATE = "few_shot.json"
AGREEMENT_IMAGES = 48  # in a batch, as in ``inherited``


@dataclass(frozen=True)
class Part:
    """What is searched at a time: what the first edges that are split hold, none in the whole supernet.

    `parent` is the name of the supernet that it is a part of; None where it begins with random weights.
    """

    name: str
    held: Key
    parent: str | None = None


@dataclass(frozen=True)
class Found:
    """What the search in a part derived last; `loss` is infinite where it is no number. `level` counts the splits."""

    name: str
    level: int
    arch: Architecture
    loss: float


WHOLE = Part("", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    """How a supernet is split, and how long its parts are searched; see `FewShot`."""

    split: int | str | list[int] | list[str] | None = None  # aoiang/few-shot-NAS: edge 0
    splits: int = 1
    part_epochs: int | None = None
    transfer: bool = True

    def __post_init__(self) -> None:
        for word, value in (("splits", self.splits), ("part_epochs", self.part_epochs)):
            if value is not None and value < 1:
                raise SpecError(f"{word} must be at least 1, but got {value}.")


class FewShot:
    """Searches a supernet, splits it and searches each part; the part with the lowest validation loss decides.

    `searcher` is how each is searched, a strategy by gradient such as ``darts(epochs=10)``. One `ask` is one epoch of
    the supernet or of a part. What is proposed is what the best part so far derives, and before there is a part what
    the whole supernet derives. Losses are those of the half of the training images that teaches the architecture, the
    same half for all.

    `split`: the edges on which the supernet is split, one level after the other, as for ``inherited``: numbers as in
    ``split=[0, 3]``, or "normal:0" where there are several kinds of cells; "random" or "agreement" choose `splits` of
    them; None is the first edge. Parts begin with the weights of their parent, and with architecture parameters of
    their own for the edges that are not split. `part_epochs`: how long each part is searched, None for as long as the
    supernet. Without `transfer`, parts begin with random weights and nothing is searched before them, as in the
    published searches by gradient.
    """

    answer: Answer = "last"
    divisible = True
    save_every = 1  # an epoch is expensive

    def __init__(
        self,
        searcher: Strategy,
        *,
        space: SearchSpace,
        seed: Seed,
        splitting: Splitting = Splitting(),
        progress: Callable[[str], None] | None = None,
    ) -> None:
        if not isinstance(searcher, SupernetStrategy):
            raise SpecError(
                "few_shot trains a supernet in each part: write few_shot(darts), few_shot(ddarts), few_shot(spos) or "
                "few_shot(enas)."
            )
        searcher.sized.refuse_parts()
        split, transfer, part_epochs = splitting.split, splitting.transfer, splitting.part_epochs
        plan = searcher.sized.plan
        self._split = (Edge(plan.kinds[0], 0),) if split is None else splits_of(plan, split, CHOSEN)
        if not self._split:
            raise SpecError("A supernet is split on one edge at least, but split names none.")
        if not transfer and self._split == "agreement":
            raise SpecError("Agreement is that of a trained supernet: leave out transfer=false, or name the edges.")
        _refuse_decisions(searcher, plan, transfer)
        self.space, self.seed, self.progress = space, seed, progress
        self._root, self._splits, self._transfer = searcher, splitting.splits, transfer
        self._part_epochs = searcher.epochs if part_epochs is None else part_epochs
        self._edges: tuple[Edge, ...] = ()
        self._waiting: list[Part] | None = None  # None before the first epoch
        self._done: list[Found] = []
        self._parents: dict[str, Supernet] = {}
        self._now: tuple[Part, SupernetStrategy] | None = None
        self._last: Found | None = None
        self._undone = 0

    # -- the search --------------------------------------------------------------------------------------------------

    @property
    def rolled_back(self) -> int:
        """How many steps were undone because their loss was not finite."""
        return self._undone + (self._now[1].rolled_back if self._now is not None else 0)

    @property
    def found(self) -> tuple[Found, ...]:
        """What every search so far derived last, the one that is going on included."""
        return (*self._done, *([] if self._last is None else [self._last]))

    def derived(self) -> Architecture:
        """The architecture that the best part so far derives; SpecError before the first epoch."""
        return self.best.arch

    @property
    def best(self) -> Found:
        """What was found in the part with the lowest validation loss so far, of those that hold the most edges."""
        if not self.found:
            raise SpecError("Nothing is derived before the first epoch.")
        deepest = max(one.level for one in self.found)
        return min((one for one in self.found if one.level == deepest), key=lambda one: one.loss)

    def ask(self, n: int = 1) -> list[Proposal]:
        """Train for n epochs, and propose after each what the best part so far derives."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            started = time.perf_counter()
            if self._now is None and not self._begin():
                break
            assert self._now is not None
            part, search = self._now
            epoch = search.ask()
            if not epoch:
                self._finish()
                continue
            loss = search.validation_loss(epoch[0].arch)
            self._last = Found(part.name, len(part.held), epoch[0].arch, loss if math.isfinite(loss) else math.inf)
            proposals.append(Proposal(self.derived(), cost=Cost(time.perf_counter() - started)))
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        """Nothing is learnt from measurements: the supernets have validation images of their own."""

    @property
    def proposals(self) -> int:
        """One for each epoch of the supernet and of its parts."""
        once = self._root.proposals
        return once * self._transfer + self._parts_in_all * (once - self._root.epochs + self._part_epochs)

    def rehearse(self) -> float:
        """About how many seconds all the proposals take, if those of a part take as long as those of the supernet."""
        return self._root.rehearse() * self.proposals / self._root.proposals

    @property
    def _parts_in_all(self) -> int:
        """How many parts are searched."""
        if isinstance(self._split, str):
            widths = [len(self._root.sized.plan.operations)] * self._splits
        else:
            widths = [len(keys_of(self._outline, [edge])) for edge in self._split]
        levels = [math.prod(widths[: level + 1]) for level in range(len(widths))]
        return sum(levels) if self._transfer else levels[-1]

    def _begin(self) -> bool:
        """Take up the next part; False if there is none."""
        if self._waiting is None:
            self._waiting = [WHOLE] if self._transfer else self._parts_from_scratch()
        if not self._waiting:
            return False
        part = self._waiting.pop(0)
        self._now = (part, self._searching(part, None if part == WHOLE else self._supernet(part)))
        if part == WHOLE:
            check_split(self._now[1].search.supernet, self._split, self._splits)
        needed = {waiting.parent for waiting in self._waiting}
        self._parents = {name: parent for name, parent in self._parents.items() if name in needed}
        return True

    def _finish(self) -> None:
        """Note what the search in a part came to, and split its supernet if there is an edge to split it on."""
        assert self._now is not None
        (part, search), self._now = self._now, None
        self._undone += search.rolled_back
        if self._last is not None:
            self._done.append(self._last)
            self._say(f"{self._last.name or 'whole supernet'}: validation loss {self._last.loss:.4f}")
            self._last = None
        if self._transfer:
            self._split_up(part, search.search.supernet)
        if not self._waiting and self._done:
            self._say(f"the part with {self.best.name} decides: {self.space.format(self.best.arch)}")

    def _split_up(self, part: Part, network: Supernet) -> None:
        """Let the parts of a supernet wait, if it is to be split."""
        assert self._waiting is not None
        if part == WHOLE:
            self._edges = self._chosen(network)
        level = len(part.held)
        if level < len(self._edges):
            self._parents[part.name] = network
            keys = keys_of(network, [self._edges[level]])
            self._waiting += [self._part((*part.held, row), part.name) for (row,) in keys]

    # -- parts and their supernets -----------------------------------------------------------------------------------

    def _part(self, held: Key, parent: str | None) -> Part:
        plan = self._root.sized.plan
        places = [f"{edge} {key_name(plan, (row,))}" for edge, row in zip(self._edges, held, strict=False)]
        return Part(", ".join(places), held, parent)

    def _parts_from_scratch(self) -> list[Part]:
        self._edges = self._chosen(self._outline)
        return [self._part(key, None) for key in keys_of(self._outline, self._edges)]

    def _searching(self, part: Part, network: Supernet | None) -> SupernetStrategy:
        # A copy of the whole's search, too: what it trained is freed when it is over.
        search = copy.copy(self._root) if network is None else self._root.within(network, part.name, self._part_epochs)
        label = self._label(part)
        search.progress = lambda text: self._tell(f"{label}, {text}")
        return search

    def _supernet(self, part: Part) -> Supernet:
        """The supernet of a part before it is searched."""
        if part.parent is None:
            return self._fresh(part)
        edge, row = self._edges[len(part.held) - 1], part.held[-1]
        # Parts of partial channels have all channels on their split edges: they are made anew.
        make = None if self._root.partial == 1 else partial(self._root.network, name=part.name)
        return part_of(self._parents[part.parent], {edge: row}, make=make)

    def _fresh(self, part: Part) -> Supernet:
        """The supernet of a part with weights of nobody."""
        held = dict(zip(self._edges, part.held, strict=False))
        return self._root.network(rows_of_cells(self._outline, held), part.name)

    @cached_property
    def _outline(self) -> Supernet:
        """The whole supernet as it begins."""
        return self._root.network()

    def _chosen(self, whole: Supernet) -> tuple[Edge, ...]:
        """The edges to split, one level after the other."""
        if self._split == "agreement":
            self._tell("comparing gradients of operations, to choose what is split")
        device = next(whole.parameters()).device
        with threads(self._root.threads):
            levels = chosen_levels(
                whole,
                self._split,
                count=self._splits,
                grouped=False,
                batches=lambda: Compared.drawn(self._root.task, AGREEMENT_IMAGES, self.seed, device),
                seed=self.seed,
            )
        return tuple(level.edge for level in levels)

    # -- what is told ------------------------------------------------------------------------------------------------

    def _label(self, part: Part) -> str:
        """Which part it is, of those with as many split edges."""
        if part == WHOLE:
            return "whole supernet"
        before = sum(one.level == len(part.held) for one in self._done)
        after = sum(len(one.held) == len(part.held) for one in self._waiting or ())
        return f"part {before + 1} of {before + 1 + after} ({part.name})"

    def _say(self, text: str) -> None:
        logger.info(text)
        self._tell(text)

    def _tell(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text)

    # -- the state, in and out ---------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the search that is going on, the supernets that are yet to be split up, and what was found."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {
            "settings": self._settings(),
            "edges": [asdict(edge) for edge in self._edges],
            "waiting": None if self._waiting is None else [asdict(part) for part in self._waiting],
            "done": [_written(found) for found in self._done],
            "last": None if self._last is None else _written(self._last),
            "undone": self._undone,
            "now": None if self._now is None else asdict(self._now[0]),
            "parents": {name: f"parent-{number}" for number, name in enumerate(self._parents)},
        }
        if self._now is not None:
            self._now[1].save(folder / "search")
        for name, place in record["parents"].items():
            tensors = {f"supernet.{key}": value for key, value in self._parents[name].state_dict().items()}
            checkpoint.save(folder / place, 0, tensors, {"fingerprint": {"name": name}})
        write_json(folder / STATE, record)

    def load(self, folder: Path) -> None:
        """Go on from a saved state; StoreError if it is damaged, or of another search."""
        folder = Path(folder)
        try:
            record = read_json(folder / STATE, _RECORD)
            if record["settings"] != self._settings():
                found, mine = quoted(record["settings"]), quoted(self._settings())
                raise StoreError(f"{folder} holds a search with {found}, but this is {mine}.")
            self._edges = tuple(Edge(**edge) for edge in record["edges"])
            self._waiting = None if record["waiting"] is None else [_read_part(entry) for entry in record["waiting"]]
            self._done = [_read_found(entry) for entry in record["done"]]
            self._last = None if record["last"] is None else _read_found(record["last"])
            self._undone = int(record["undone"])
            self._parents = {name: self._restored(folder / place, name) for name, place in record["parents"].items()}
            if record["now"] is not None:
                part = _read_part(record["now"])
                search = self._searching(part, None if part == WHOLE else self._fresh(part))
                search.load(folder / "search")
                self._now = part, search
        except StoreError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, StopIteration) as error:
            what = "is damaged or of another version of ogive"
            raise StoreError(f"The state in {folder} {what}: {in_line(error)}.") from error

    def _restored(self, place: Path, name: str) -> Supernet:
        """A supernet that is yet to be split up."""
        found = checkpoint.latest(place, {"name": name})
        if found is None:
            raise StoreError(f"{place} holds no readable supernet.")
        held = next(part.held[:-1] for part in self._waiting or () if part.parent == name)
        network = self._fresh(Part(name, held))
        checkpoint.restore_module(network, found[0], "supernet.")
        return network

    def _settings(self) -> dict[str, Any]:
        split = self._split if isinstance(self._split, str) else [str(edge) for edge in self._split]
        return {
            "seed": [self.seed.root, *self.seed.path],
            "split": split,
            "splits": self._splits,
            "part_epochs": self._part_epochs,
            "transfer": self._transfer,
            "data": self._root.task.digest,
        }


def few_shot(
    searcher: Strategy,
    *,
    space: SearchSpace,
    seed: Seed,
    splitting: Splitting = Splitting(),
    progress: Callable[[str], None] | None = None,
) -> FewShot | SharedPaths:
    """Search a supernet, split it and search each part by a strategy; the best part's answer is proposed.

    ``few_shot(darts)`` trains all of them: one proposal is one epoch of one of them. With ``few_shot(spos)`` and parts
    that are given to the whole search, ``--weights "parts(split=0)"``, nothing is trained here: one proposal is the
    evolution in one part, on its weights, and the options of the splitting are those of the parts.
    """
    if not isinstance(searcher, SharedPaths):
        return FewShot(searcher, space=space, seed=seed, splitting=splitting, progress=progress)
    if splitting != Splitting():
        raise SpecError(
            "The weights of this search say how a supernet is split: leave out split, splits, part_epochs and transfer."
        )
    return searcher.in_parts()


def _refuse_decisions(searcher: SupernetStrategy, plan: Plan, transfer: bool) -> None:
    """DARTS-PT decides edges: of the whole supernet all, and in `darts` it drops some that a part is made of."""
    if not searcher.decides_edges:
        return
    if plan.inputs_per_node is not None:
        raise SpecError(
            f"select=perturbation drops edges in {plan.space}, also those that a part is made of: leave it out."
        )
    if transfer:
        raise SpecError("select=perturbation leaves no edge to split: leave it out, or write transfer=false.")


def _written(found: Found) -> dict[str, Any]:
    loss = None if math.isinf(found.loss) else found.loss
    return {"name": found.name, "level": found.level, "arch": str(found.arch), "loss": loss}


def _read_found(entry: dict[str, Any]) -> Found:
    loss = math.inf if entry["loss"] is None else float(entry["loss"])
    return Found(entry["name"], int(entry["level"]), Architecture.parse(entry["arch"]), loss)


def _read_part(entry: dict[str, Any]) -> Part:
    return Part(entry["name"], tuple(map(tuple, entry["held"])), entry["parent"])

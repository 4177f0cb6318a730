"""DARTS as a strategy: one `ask` trains the supernet for an epoch and proposes the cell that it would derive now.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, algorithm 1.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Answer
from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Proposal, Trial, counted
from ogive.spaces.ddarts import WIDTH, genotype_of
from ogive.supernets.alphas import Alphas
from ogive.supernets.curvature import APART, bends_too_much
from ogive.supernets.derive import open_gates, ranking
from ogive.supernets.gates import Gate, GumbelOneHot, Sigmoid, Softmax
from ogive.supernets.networks import Supernet
from ogive.supernets.perturbation import Decision, decide, decisions, restricted, tuned, undecided
from ogive.supernets.plan import CellChoices
from ogive.supernets.search import ArchitectureRecipe, Search, halved, shared_accuracy, shared_loss
from ogive.supernets.sharing import SHARED, sharing_of, supernet
from ogive.training import checkpoint
from ogive.training.batches import LAYOUT
from ogive.training.data import Data, Split
from ogive.training.recipe import Recipe
from ogive.training.threads import threads as torch_threads

__all__ = ["Darts", "path_s"]

logger = logging.getLogger(__name__)

FEW = 8  # steps of an epoch, of which a rehearsal takes the time

GATES: dict[str, Callable[[], Gate]] = {"softmax": Softmax, "sigmoid": Sigmoid, "gumbel": GumbelOneHot}


class Darts:
    """Differentiable search in a supernet, trained on ``data.train`` alone; it ends after `epochs` proposals.

    The training images are halved by the seed: one half teaches the weights, the other the architecture. Each proposal
    costs the seconds of its epoch. It learns nothing from what its proposals are measured with.

    `order`: 1 holds the weights fixed in a step of the architecture, 2 looks one training step ahead, 0 takes no such
    step. `gate`: "softmax", "sigmoid" (FairDARTS) or "gumbel" (GDAS), which runs one operation of each edge. (Single
    paths without an architecture are the strategy `spos`.) `partial`: 1/partial of the channels take part, and
    `edge_normalisation` weighs edges (PC-DARTS). In the first `warm_epochs` the architecture stays as it is. `zero_one`
    weighs FairDARTS's loss that pushes sigmoid gates to 0 or 1, and `threshold` is its rule of deriving: up to two
    operations a node, with gates of at least so much, which makes cells of `ddarts` with the supernet of `darts`. The
    search ends early when the first kind of cell would be derived with more than `most_skips` skip connections, or when
    no edge has ranked its operations with weights in another order for `settled` epochs (the two rules of DARTS+). With
    `select` "perturbation", each ask after that decides one edge by what the supernet loses without its operations, and
    tunes the weights for `tune_epochs` (DARTS-PT). With `eigenvalue_ratio`, the largest eigenvalue of the Hessian of
    the validation loss is measured after each epoch, and once its average over five epochs is so many times that of
    four epochs before, the search ends by proposing the cell of that earlier epoch again, which is at least number
    `eigenvalue_from` (R-DARTS). `channels`, `cells`: size of the supernet, None for that of the space's paper.
    `precision` "bf16" computes forward passes so, but for the differences of the second order; `compiled` captures
    them as graphs of a CUDA device. `progress` is told what is being done.
    """

    answer: Answer = "last"
    divisible = True
    save_every = 1  # an epoch is expensive

    def __init__(
        self,
        *,
        space: SearchSpace,
        data: Data,
        seed: Seed,
        device: str = "cpu",
        threads: int | None = None,
        channels: int | None = None,  # quark0/darts, cnn/train_search.py: 16 and 8
        cells: int | None = None,
        order: Literal[0, 1, 2] = 1,
        gate: Literal["softmax", "sigmoid", "gumbel"] = "softmax",
        partial: int = 1,  # yuhuixu1993/PC-DARTS: 4
        edge_normalisation: bool = False,
        warm_epochs: int = 0,  # the same: 15
        zero_one: float = 0.0,  # xiaomi-automl/FairDARTS: 10
        threshold: float | None = None,  # the same: 0.85
        most_skips: int | None = None,  # DARTS+ (Liang et al., 2019): 1
        settled: int | None = None,  # the same: 10
        select: Literal["strongest", "perturbation"] = "strongest",
        tune_epochs: int = 5,  # ruocwang/darts-pt
        eigenvalue_ratio: float | None = None,  # automl/RobustDARTS: 1.3
        eigenvalue_from: int = 10,  # the same
        epochs: int = 50,  # quark0/darts, cnn/train_search.py, as are all that follow
        batch_size: int = 64,
        learning_rate: float = 0.025,
        final_learning_rate: float = 0.001,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 3e-4,
        gradient_clip: float = 5.0,
        alpha_learning_rate: float = 3e-4,
        alpha_weight_decay: float = 1e-3,
        alpha_momentum: float = 0.5,  # the first beta of Adam; xiaomi-automl/FairDARTS: 0.9
        precision: Literal["float32", "bf16"] = "float32",
        compiled: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.space, self.data, self.seed, self.progress = space, data, seed, progress
        self.epochs, self.device, self.threads = epochs, device, threads
        self._options: dict[str, Any] = {
            "gate": gate,
            "partial": partial,
            "edge_normalisation": edge_normalisation,
            "zero_one": zero_one,
            "open_from": threshold,
            "most_skips": most_skips,
            "settled": settled,
            "select": select,
            "tune_epochs": tune_epochs,
            "most_bending": eigenvalue_ratio,  # as checkpoints of version 0.1 name them
            "bending_from": eigenvalue_from,
        }
        self._compiled = compiled
        self._eigenvalues: list[float] = []
        self._found: list[Architecture] = []
        self._decisions: list[Decision] = []
        self._ranking: tuple[int, ...] = ()
        self._ranked_so = 0  # epochs
        for word, value, least in (
            ("tune_epochs", tune_epochs, 0),
            ("most_skips", most_skips, 0),
            ("settled", settled, 1),
            ("eigenvalue_from", eigenvalue_from, 1),
            ("warm_epochs", warm_epochs, 0),
        ):
            if value is not None and value < least:
                raise SpecError(f"{word} must be at least {least}, but got {value}.")
        if eigenvalue_ratio is not None and not 0 < eigenvalue_ratio < math.inf:
            raise SpecError(f"eigenvalue_ratio must be a positive number, but got {eigenvalue_ratio}.")
        if not 0 <= zero_one < math.inf:
            raise SpecError(f"zero_one must be 0 or a positive number, but got {zero_one}.")
        if zero_one and gate != "sigmoid":
            raise SpecError(f"zero_one is a loss of sigmoid gates, but the gate is {gate}: write gate=sigmoid.")
        self._check_rules(gate, select, threshold)
        if compiled:
            _check_graphs(device, gate)
        if warm_epochs > epochs:
            raise SpecError(
                f"In the warm epochs the architecture is not trained, so that at most all {epochs} epochs are, but got "
                f"warm_epochs={warm_epochs}."
            )
        self._recipe = Recipe(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            final_learning_rate=final_learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            gradient_clip=gradient_clip,
            precision=precision,
        )
        self._architecture = ArchitectureRecipe(
            order=order,
            learning_rate=alpha_learning_rate,
            betas=(alpha_momentum, 0.999),
            weight_decay=alpha_weight_decay,
            warm_epochs=warm_epochs,
            penalty=_ZeroOne(zero_one) if zero_one else None,
        )
        self.sharing = sharing_of(space)
        if threshold is not None:  # the supernet is that of `darts`, with the layers of the space
            self.sharing, cells = SHARED["darts"], len(space.variables) // WIDTH
        self._skeleton = self.sharing.sized(data.shape, len(data.classes), channels=channels, cells=cells)
        self.sharing.check(self._skeleton, partial)
        self._halves = seed
        self._given: Supernet | None = None
        self._made: Search | None = None

    def within(self, network: Supernet, name: str, epochs: int) -> Self:
        """The same search in a part of a supernet, not begun yet; it trains the part's own weights.

        Its random numbers are those of `name`, but images are halved as in this search, so that no part is judged by
        images that taught its parent.
        """
        part = copy.copy(self)
        part.seed, part.epochs, part._given, part._made = self.seed.child(name), epochs, network, None
        part._recipe = replace(self._recipe, epochs=epochs)
        warm = self._architecture.warm_epochs * epochs // max(1, self.epochs)
        part._architecture = replace(self._architecture, warm_epochs=warm)
        part._eigenvalues, part._found, part._decisions = [], [], []
        part._ranking, part._ranked_so = (), 0
        return part

    def network(self, choices: Sequence[CellChoices] | None = None, name: str = "") -> Supernet:
        """A supernet of this search with fresh weights, of everything or of what the cells of a part may choose."""
        made = supernet(
            self.sharing,
            self._skeleton,
            seed=(self.seed.child(name) if name else self.seed).integer("weights"),
            choices=choices,
            partial=self._options["partial"],
            # Where operations do not compete, `none` has nothing to win (FairDARTS).
            without=("none",) if self._options["gate"] == "sigmoid" else (),
        )
        return made.to(self.device).to(memory_format=LAYOUT)  # type: ignore[call-overload,no-any-return]

    def validation_loss(self, arch: Architecture) -> float:
        """The loss, on the images that teach the architecture, of what is searched; NaN where it is no number.

        Where operations are mixed, that of the mixture; where one of each edge runs, that of `arch`, a derived one.
        """
        search = self.search
        if isinstance(search.gate, (Softmax, Sigmoid)):
            mixture = search.alphas.mixture(search.gate, torch.Generator())
        else:
            mixture = search.supernet.path(arch)
        with torch_threads(self.threads):
            return shared_loss(search.supernet, mixture, search.alphas_data)

    @property
    def search(self) -> Search:
        """The supernet under search, made when it is first needed."""
        if self._made is None:
            self._made = self._search()
        return self._made

    @property
    def rolled_back(self) -> int:
        """How many steps were undone because their loss was not finite."""
        return self.search.undone

    def ask(self, n: int = 1) -> list[Proposal]:
        """Train for n epochs and propose what would be derived after each of them."""
        proposals: list[Proposal] = []
        while len(proposals) < n and not self._is_over():
            started = time.perf_counter()
            with torch_threads(self.threads):
                told = self._decided() if self._is_trained() else self._trained()
                arch = self._answer()
            proposals.append(Proposal(arch, cost=Cost(time.perf_counter() - started)))
            self._report(told, arch)
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        """Nothing is learnt from measurements: the supernet has validation images of its own."""

    @property
    def proposals(self) -> int:
        """One for each epoch, and for each decision about an edge where edges are decided after them."""
        return self.epochs + (decisions(self.network()) if self.decides_edges else 0)

    def rehearse(self) -> float:
        """About how many seconds all the proposals take.

        Copies of this search take a few steps, and the seconds of an epoch are a number for each step and one for all.
        All epochs count alike, also warm ones, in which less is done, and as if nothing were compiled.
        """
        self._short(1).ask()  # the first work of a process takes longer than the rest
        epochs_s = self.epochs * self._whole_s(self._asked_s)
        if not self.decides_edges:
            return epochs_s
        return epochs_s + (self.proposals - self.epochs) * self._whole_s(self._decided_s)

    def _whole_s(self, seconds: Callable[[Self], float]) -> float:
        """Seconds of what is linear in the steps of an epoch, by what it takes in a short one and in a longer one."""
        steps = math.ceil(len(self.data.train) / 2 / self._recipe.batch_size)
        few = min(FEW, steps)
        one_s, few_s = seconds(self._short(1)), seconds(self._short(few))
        if few == 1:
            return one_s
        # Where something else kept the machine busy during the short one, the longer one is all that is known.
        step_s = (few_s - one_s) / (few - 1) if few_s > one_s else few_s / few
        return few_s + (steps - few) * step_s

    def _short(self, steps: int) -> Self:
        """A copy of this search that is not begun, with images for so many steps an epoch."""
        short = self.within(self.network(), "rehearsal", 2)  # the second epoch never comes: it would be the last
        count = min(len(self.data.train), 2 * steps * self._recipe.batch_size)
        few = Split(self.data.train.images[:count], self.data.train.labels[:count])
        short.data, short.progress, short._compiled = replace(self.data, train=few), None, False
        return short

    def _asked_s(self, short: Self) -> float:
        """Seconds of an epoch of a short search, and of the proposal after it."""
        _ = short.search
        started = time.perf_counter()
        short.ask()
        return time.perf_counter() - started

    def _decided_s(self, short: Self) -> float:
        """Seconds of a decision about an edge in a short search."""
        short.epochs = 0
        return self._asked_s(short)

    def derived(self) -> Architecture:
        """The architecture that would be derived now."""
        search, threshold = self.search, self._options["open_from"]
        strengths = search.alphas.strengths(search.gate)
        if threshold is not None:
            return open_gates(strengths, search.supernet.kinds, threshold)
        return search.supernet.plan.derive(strengths)

    def _check_rules(self, gate: str, select: str, threshold: float | None) -> None:
        if threshold is None:
            return
        if not 0 < threshold < 1:
            raise SpecError(f"The threshold of gates must be between 0 and 1, but got {threshold}.")
        if self.space.name != "ddarts":
            raise SpecError(
                f"A threshold may leave a node one operation or none, which a cell of {self.space.name} cannot be: "
                'give --space "ddarts(distinct=8)", whose number of cells is that of the supernet of darts.'
            )
        if gate != "sigmoid" or select != "strongest":
            raise SpecError(
                f"A threshold is a rule of sigmoid gates, but got gate={gate} and select={select}: write gate=sigmoid."
            )

    def _is_trained(self) -> bool:
        """Whether all epochs are over, or enough of them."""
        search, limit = self.search, self._options["most_skips"]
        if self._decisions or len(search.history) >= self.epochs or self._bends() or self._is_settled():
            return True
        return limit is not None and bool(search.history) and self._skips(self.derived()) > limit

    def _is_over(self) -> bool:
        decides = self._options["select"] == "perturbation"
        return self.search.over or (self._is_trained() and not (decides and any(undecided(self.search.supernet))))

    def _trained(self) -> str:
        epoch = self.search.epoch(self.progress)
        if self._options["settled"] is not None and epoch.number > self._architecture.warm_epochs:
            now = ranking(self.search.alphas.strengths(self.search.gate), self.search.supernet.plan.operations)
            self._ranked_so = self._ranked_so + 1 if now == self._ranking else 0
            self._ranking = now
        return f"epoch {epoch.number} of {self.epochs}: loss {epoch.train_loss:.3f}, {epoch.train_acc:.1f} % right"

    def _decided(self) -> str:
        """Decide one edge, and tune the weights to it."""
        seed = self.seed.child(f"decision {len(self._decisions)}")
        decision = decide(self.search, seed, self.progress)
        alphas = restricted(self.search.supernet, self.search.alphas, decision)
        self._made = tuned(self.search, alphas, self._options["tune_epochs"], seed, self.progress)
        self._decisions.append(decision)
        held = "nothing" if decision.operation is None else self._made.supernet.plan.operations[decision.operation]
        return f"edge {decision.edge} of the {decision.kind} cell holds {held}"

    def _bends(self) -> bool:
        most = self._options["most_bending"]
        return most is not None and bends_too_much(self._eigenvalues, most, self._options["bending_from"])

    def _is_settled(self) -> bool:
        wanted = self._options["settled"]
        return wanted is not None and self._ranked_so >= wanted

    def _answer(self) -> Architecture:
        """What to propose now: what is derived, or, at the end of R-DARTS, what was before the loss began to bend."""
        if self._decisions or self._options["most_bending"] is None:
            return self.derived()
        self._eigenvalues.append(self.search.curvature())
        self._found.append(self.derived())
        return self._found[-1 - APART] if self._bends() else self._found[-1]

    def _skips(self, arch: Architecture) -> int:
        """The skip connections of the first kind of cell."""
        if self._options["open_from"] is not None:
            first = self.search.supernet.kinds.index(self.search.supernet.plan.kinds[0])
            return sum(entry.op == "skip_connect" for entry in genotype_of(arch).cells[first])
        plan = self.search.supernet.plan
        return sum((plan.operations.index("skip_connect"),) == row for row in plan.choices(arch)[plan.kinds[0]])

    def _report(self, told: str, arch: Architecture) -> None:
        text = self.space.format(arch)
        told = f"{told}, {counted(text.count('skip_connect'), 'skip connection')} in the derived cell"
        logger.info("%s: %s", told, text)
        if self.progress is not None:
            self.progress(told)

    @property
    def partial(self) -> int:
        """The share of channels that takes part is one in so many."""
        return int(self._options["partial"])

    @property
    def decides_edges(self) -> bool:
        """Whether edges are decided one by one after the epochs (DARTS-PT), so that none is left to choose from."""
        return bool(self._options["select"] == "perturbation")

    # -- what is searched --------------------------------------------------------------------------------------------

    def _gate(self) -> Gate:
        return GATES[self._options["gate"]]()

    def _network(self) -> Supernet:
        """The supernet that is searched: everything, or the part that this search is within."""
        return self.network() if self._given is None else self._given

    def _search(self) -> Search:
        network = self._network()
        draw = torch.Generator().manual_seed(self.seed.integer("alphas"))
        alphas = network.alphas(
            draw,
            # FairDARTS starts with every gate half open.
            scale=0.0 if self._options["gate"] == "sigmoid" else 1e-3,
            edge_logits=bool(self._options["edge_normalisation"]),
        )
        halves = halved(self.data, self._halves)
        return Search(
            network,
            alphas,
            *halves,
            self._recipe,
            self._architecture,
            seed=self.seed,
            gate=self._gate(),
            device=self.device,
            # "reduce-overhead" captures CUDA graphs: a supernet is thousands of kernels that take less time than calls.
            run=torch.compile(network, mode="reduce-overhead", fullgraph=True) if self._compiled else None,
        )

    # -- the state, in and out ---------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write weights, architecture, optimisers and history as one safetensors file; random streams have no state."""
        search = self.search
        record = {
            "fingerprint": self._fingerprint(),
            **search.record(),
            "eigenvalues": self._eigenvalues,
            "found": [list(arch.choices) for arch in self._found],
            "decisions": [asdict(decision) for decision in self._decisions],
            "ranking": [list(self._ranking), self._ranked_so],
        }
        checkpoint.save(Path(folder), len(search.history) + len(self._decisions), search.tensors(), record)

    def load(self, folder: Path) -> None:
        """Go on from a saved state; StoreError if it is damaged, or of another search."""
        found = checkpoint.latest(Path(folder), self._fingerprint())
        if found is None:
            raise StoreError(f"{folder} holds no readable state of a supernet.")
        tensors, record = found
        try:
            self._eigenvalues = [float(value) for value in record["eigenvalues"]]
            self._found = [Architecture(self.space.name, tuple(choices)) for choices in record["found"]]
            self._ranking, self._ranked_so = tuple(record["ranking"][0]), int(record["ranking"][1])
            for entry in record["decisions"]:
                decision = Decision(**entry)
                alphas = restricted(self.search.supernet, self.search.alphas, decision)
                self._made = tuned(self.search, alphas, 0, self.seed, None)
                self._decisions.append(decision)
            self.search.restore(tensors, record)
        except (KeyError, TypeError, RuntimeError) as error:
            raise StoreError(f"The state in {folder} was written by another version of ogive: {error!r}.") from error

    def _fingerprint(self) -> dict[str, Any]:
        architecture = asdict(replace(self._architecture, penalty=None))
        return {
            "space": self.space.name,
            "skeleton": asdict(self._skeleton),
            "recipe": asdict(self._recipe),
            "architecture": {**architecture, "betas": list(self._architecture.betas)},
            "options": self._options,
            "seed": [self.seed.root, *self.seed.path],
            "data": self.data.digest,
        }


def path_s(search: Darts) -> float:
    """Seconds of comparing one path of a supernet with others, by the accuracy with shared weights."""
    shared = search.search
    path = shared.supernet.path(search.space.sample(search.seed.numpy("path")))
    started = time.perf_counter()
    with torch_threads(search.threads):
        shared_accuracy(shared.supernet, path, shared.alphas_data)
    return time.perf_counter() - started


def _check_graphs(device: str, gate: str) -> None:
    if torch.device(device).type != "cuda":
        raise SpecError(
            f"Graphs are captured on a CUDA device, but the device is {device}: give --device cuda, or leave "
            "compiled=true out."
        )
    if gate not in ("softmax", "sigmoid"):
        raise SpecError(
            f"A captured graph runs the same operations at every step, but with gate={gate} they are drawn: leave "
            "compiled=true out."
        )


class _ZeroOne:
    """FairDARTS's loss, -mean((sigmoid(alpha) - 1/2)²), least where every gate is open or shut."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, alphas: Alphas) -> Tensor:
        gates = torch.cat([torch.sigmoid(group).flatten() for group in alphas.groups])
        return -self.weight * (gates - 0.5).square().mean()

"""Differentiable searches: DARTS, and what the literature changed of it, which are other values of the same options.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, algorithm 1.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.spaces.ddarts import WIDTH
from ogive.strategies.supernet import Method, Size, SupernetStrategy, described
from ogive.supernets.derive import open_gates
from ogive.supernets.gates import Gate, GumbelOneHot, Sigmoid, Softmax, is_independent
from ogive.supernets.networks import Supernet
from ogive.supernets.perturbation import Perturbation
from ogive.supernets.recurrent_search import TextArchitecture, TextWeights
from ogive.supernets.rules import Eigenvalue, Rule, Settled, Skips
from ogive.supernets.search import ArchitectureRecipe, Search, WeightsRecipe
from ogive.supernets.sharing import SHARED
from ogive.training.lossy import Lossy

__all__ = [
    "Deriving",
    "Differentiable",
    "Stopping",
    "Strongest",
    "darts",
    "darts_pt",
    "fair_darts",
    "gdas",
    "pc_darts",
    "r_darts",
    "recorded",
]

logger = logging.getLogger(__name__)

# What a state of a search says of its options, in the words of version 0.1; what was added since stands only where set.
RECORDED: Mapping[str, Any] = {
    "gate": "softmax",
    "partial": 1,
    "edge_normalisation": False,
    "zero_one": 0.0,
    "open_from": None,
    "most_skips": None,
    "settled": None,
    "select": "strongest",
    "tune_epochs": 5,
    "most_bending": None,
    "bending_from": 10,
}
PUBLISHED_THRESHOLD = 0.85  # xiaomi-automl/FairDARTS
GATES: Mapping[Gate, str] = {Softmax(): "softmax", Sigmoid(): "sigmoid", GumbelOneHot(): "gumbel"}


@dataclass(frozen=True)
class Differentiable:
    """Architecture parameters that a gate makes the weights of operations of, learnt by gradient."""

    gate: Gate
    architecture: ArchitectureRecipe

    def lasting(self, warm_epochs: int) -> Differentiable:
        """The same with so many epochs in which the architecture waits."""
        return replace(self, architecture=replace(self.architecture, warm_epochs=warm_epochs))

    def search(self, network: Supernet, halves: tuple[Lossy, Lossy], run: SupernetStrategy) -> Search:
        """The search of DARTS."""
        alphas = network.alphas(
            torch.Generator().manual_seed(run.seed.integer("alphas")),
            # FairDARTS starts with every gate half open.
            scale=0.0 if is_independent(self.gate) else 1e-3,
            edge_logits=self.architecture.edge_normalisation,
        )
        # "reduce-overhead" captures CUDA graphs: a supernet is thousands of kernels that take less time than calls.
        graphs = torch.compile(network, mode="reduce-overhead", fullgraph=True) if run.weights.compiled else None
        return Search(
            *(network, alphas, *halves, run.weights.recipe, self.architecture),
            seed=run.seed,
            gate=self.gate,
            device=run.device,
            run=graphs,
            optimiser=run.weights.optimiser,
        )


@dataclass(frozen=True)
class Strongest:
    """The rule of the space for the strengths of operations or, with a `threshold`, FairDARTS's (`open_gates`)."""

    threshold: float | None = None

    def __call__(self, run: SupernetStrategy) -> Architecture:
        search = run.search
        strengths = search.alphas.strengths(search.gate)
        if self.threshold is not None:
            return open_gates(strengths, search.supernet.kinds, self.threshold)
        return search.supernet.plan.derive(strengths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """When a search ends before its last epoch; see the rules of `ogive.supernets.rules`, and `rule` for others."""

    most_skips: int | None = None  # DARTS+ (Liang et al., 2019): 1
    settled: int | None = None  # the same: 10
    eigenvalue_ratio: float | None = None  # automl/RobustDARTS: 1.3
    eigenvalue_from: int = 10  # the same
    rule: Rule | tuple[Rule, ...] | None = None

    def __post_init__(self) -> None:
        _ = self.rules
        Eigenvalue(least_epoch=self.eigenvalue_from)

    @property
    def own(self) -> tuple[Rule, ...]:
        """The rules that were given as such."""
        return self.rule if isinstance(self.rule, tuple) else () if self.rule is None else (self.rule,)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All of them."""
        found: list[Rule] = []
        if self.most_skips is not None:
            found.append(Skips(most=self.most_skips))
        if self.settled is not None:
            found.append(Settled(epochs=self.settled))
        if self.eigenvalue_ratio is not None:
            found.append(Eigenvalue(ratio=self.eigenvalue_ratio, least_epoch=self.eigenvalue_from))
        return (*found, *self.own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deriving:
    """How a cell is derived in the end.

    `threshold`: up to two operations a node, with gates of at least so much (FairDARTS), which makes cells of `ddarts`
    with the supernet of `darts`; "published" is 0.85 there and none where it can derive nothing. With `select`
    "perturbation", each ask after the epochs decides one edge by what the supernet loses without its operations, and
    tunes the weights for `tune_epochs` (DARTS-PT).
    """

    select: Literal["strongest", "perturbation"] = "strongest"
    tune_epochs: int = 5  # ruocwang/darts-pt
    threshold: float | Literal["published"] | None = None

    def __post_init__(self) -> None:
        Perturbation(tune_epochs=self.tune_epochs)

    @property
    def selection(self) -> Perturbation | None:
        """The decisions after the epochs, if there are any."""
        return Perturbation(tune_epochs=self.tune_epochs) if self.select == "perturbation" else None

    def threshold_in(self, gate: Gate, space: SearchSpace) -> float | None:
        """The number that stands for the threshold; SpecError for one where it can derive nothing."""
        if self.threshold is None:
            return None
        if self.threshold == "published":
            if not is_independent(gate) or self.select != "strongest":
                return None
            if space.name == "ddarts":
                return PUBLISHED_THRESHOLD
            logger.warning(
                "A cell of %s cannot leave out a node, so that the strongest gates are derived and not, as published, "
                'those of at least %g: give --space "ddarts(distinct=8)" for that.',
                *(space.name, PUBLISHED_THRESHOLD),
            )
            return None
        if not 0 < self.threshold < 1:
            raise SpecError(f"The threshold of gates must be between 0 and 1, but got {self.threshold}.")
        if space.name != "ddarts":
            raise SpecError(
                f"A threshold may leave a node one operation or none, which a cell of {space.name} cannot be: "
                'give --space "ddarts(distinct=8)", whose number of cells is that of the supernet of darts.'
            )
        if not is_independent(gate) or self.select != "strongest":
            raise SpecError(
                f"A threshold is a rule of sigmoid gates, but got gate={_written(gate)} and select={self.select}: "
                "write gate=sigmoid."
            )
        return self.threshold


def darts(
    *,
    space: SearchSpace,
    task: Lossy,
    seed: Seed,
    device: str = "cpu",
    threads: int | None = None,
    size: Size = Size(),  # noqa: B008 - frozen, as are all records below
    weights: WeightsRecipe | TextWeights = WeightsRecipe(),  # noqa: B008
    alpha: ArchitectureRecipe | TextArchitecture = ArchitectureRecipe(),  # noqa: B008
    gate: Gate = Softmax(),  # noqa: B008
    stop: Stopping = Stopping(),
    derive: Deriving = Deriving(),
    progress: Callable[[str], None] | None = None,
) -> SupernetStrategy:
    """DARTS: differentiable search in a supernet; gates, rules, regularisers and optimisers may be one's own.

    `gate`: softmax, sigmoid (FairDARTS) or gumbel (GDAS), which runs one operation of each edge. (Single paths without
    an architecture are the strategy `spos`.) The other options are those of `Size`, `WeightsRecipe`,
    `ArchitectureRecipe`, `Stopping` and `Deriving`. On a text a recurrent cell is searched, by `TextWeights` and
    `TextArchitecture`: the training text teaches the weights, the validation text the architecture.
    """
    alpha = alpha.recipe if isinstance(alpha, TextArchitecture) else alpha
    if alpha.zero_one and not is_independent(gate):
        raise SpecError(f"zero_one is a loss of sigmoid gates, but the gate is {_written(gate)}: write gate=sigmoid.")
    threshold, sharing = derive.threshold_in(gate, space), None
    if threshold is not None:  # the supernet is that of `darts`, with the layers of the space
        sharing, size = SHARED["darts"], replace(size, cells=len(space.variables) // WIDTH)
    options = recorded(
        size,
        gate=_written(gate),
        edge_normalisation=alpha.edge_normalisation,
        zero_one=alpha.zero_one,
        open_from=threshold,
        most_skips=stop.most_skips,
        settled=stop.settled,
        select=derive.select,
        tune_epochs=derive.tune_epochs,
        most_bending=stop.eigenvalue_ratio,
        bending_from=stop.eigenvalue_from,
    )
    own = {"rule": stop.rule, "regulariser": alpha.regulariser, "alpha_optimiser": alpha.optimiser}
    options |= {name: described(part) for name, part in own.items() if part is not None}
    method = Method(Differentiable(gate, alpha), Strongest(threshold), stop.rules, derive.selection, sharing, options)
    return SupernetStrategy(
        method, space, task, seed, size=size, weights=weights, device=device, threads=threads, progress=progress
    )


def recorded(size: Size, **options: Any) -> dict[str, Any]:
    """What a state of a search says of its options."""
    return {**RECORDED, "partial": size.partial, **options}


def _written(gate: Gate) -> str:
    known = next((name for one, name in GATES.items() if one == gate), None)
    return described(gate) if known is None else known


# -- the same with the values of other papers -------------------------------------------------------------------------

gdas = partial(darts, gate=GumbelOneHot())
gdas.__doc__ = """GDAS: one operation of each edge is drawn and runs (Dong and Yang, CVPR 2019); else as `darts`."""

pc_darts = partial(
    darts,
    size=Size(partial=4),  # yuhuixu1993/PC-DARTS, train_search.py, as is all of this
    weights=WeightsRecipe(batch_size=256, learning_rate=0.1, final_learning_rate=0.0),
    alpha=ArchitectureRecipe(learning_rate=6e-4, warm_epochs=15, edge_normalisation=True),
)
pc_darts.__doc__ = """PC-DARTS: a quarter of the channels, and edges that are weighed (Xu et al., ICLR 2020)."""

fair_darts = partial(
    darts,
    gate=Sigmoid(),
    weights=WeightsRecipe(batch_size=128, learning_rate=0.005),  # xiaomi-automl/FairDARTS, train_search.py
    alpha=ArchitectureRecipe(learning_rate=3e-3, momentum=0.9, zero_one=10.0),  # the same
    derive=Deriving(threshold="published"),
)
fair_darts.__doc__ = """FairDARTS: operations do not compete, and gates are pushed to 0 or 1 (Chu et al., ECCV 2020)."""

darts_pt = partial(darts, derive=Deriving(select="perturbation"))
darts_pt.__doc__ = """DARTS-PT: operations are selected by what is lost without them (Wang et al., ICLR 2021)."""

r_darts = partial(darts, stop=Stopping(eigenvalue_ratio=1.3))  # automl/RobustDARTS
r_darts.__doc__ = """R-DARTS: DARTS that stops when its validation loss bends (Zela et al., ICLR 2020)."""

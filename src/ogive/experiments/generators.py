"""Generators of networks that searches find, beside random ones and randomly wired networks, in the same training.

Of each, fresh networks are drawn and trained; those that a search was told are not among them. Networks of random
generators are measured at every fidelity, which shows whether short trainings rank as whole ones do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ogive import catalog, session
from ogive.comparison import slug
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Proposal
from ogive.documents import read_json
from ogive.experiments.searched import Rows, Told, among, finished, markdown, mean, minus, spread, trained
from ogive.files import write_json
from ogive.metrics import spearman
from ogive.result import result_of

__all__ = ["Size", "beside", "one", "told"]

RANDOM, WIRED = "random generators", "randomly wired"
# Xie et al., ICCV 2019, table 1: WS(4, 0.75) with 32 nodes in a stage.
WIRED_TEXT = "parameters={} N=32 K=4 P=0.75 draw=0"
COLUMNS = {"memory_mb": 3, "params": 0, "macs": 0, "seconds": 1}
PATIENCE = 50  # networks that are tried for each that fits
RULE = (
    "The rule, written before the first search: a search has found better generators than those beside it where the "
    "interval over seeds of the paired difference of their mean accuracies leaves out zero; one seed shows nothing."
)


@dataclass(frozen=True)
class Size:
    """The images, the budget of a network, searches by their labels, their cost and training, draws and seeds.

    `strategies` search among generators, the first is the headline, each for as many `epochs` in all; `training` is an
    evaluator that measures memory, too. `fidelities` are epochs below the whole training, ascending, at which networks
    of random generators are measured as well.
    """

    data: str
    parameters: int
    strategies: dict[str, str]
    epochs: int
    training: str
    fidelities: tuple[int, ...]
    draws: int
    seeds: int

    def __post_init__(self) -> None:
        if not self.strategies or self.draws < 2:
            raise SpecError(
                f"Generators are compared with a strategy and 2 draws at least, but got draws={self.draws}."
            )


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """What fresh networks gave: of the generator that each search found, of random ones, and randomly wired ones."""
    settings = session.Settings(
        space=f"hnag(parameters={size.parameters})",
        evaluator=size.training,
        objectives=("maximize(val_acc)",),
        data=size.data,
        seed=seed,
        device=device,
        threads=1 if device == "cpu" else None,
        budget=Budget(units=size.epochs, unit="epochs"),
    )
    found: dict[str, Any] = {}
    trials: dict[str, int] = {}
    for label, strategy in size.strategies.items():
        run = finished(replace(settings, strategy=strategy), folder / f"search-{slug(label)}")
        best = result_of(run).best.arch
        fresh = catalog.build("space", settings.space).redrawn(best, PATIENCE * size.draws)[1:]
        archs = _fitting(settings, iter(fresh), size.draws)
        trials[label] = len(run.trials)
        found[label] = _networks(settings, size, archs, folder / f"found-{slug(label)}")
    for name, space, drawn in _others(size, seed):
        own = replace(settings, space=space)
        archs = _fitting(own, drawn, size.draws)
        found[name] = _networks(own, size, archs, folder / slug(name), climb=name == RANDOM)
    return {"generators": found, "trials": trials}


def _others(size: Size, seed: int) -> Iterator[tuple[str, str, Iterator[Architecture]]]:
    """By their names, the spaces of the other generators and networks of them."""
    rng, count = Seed(seed).numpy("random generators"), PATIENCE * size.draws
    nested, flat = (f"{name}(parameters={size.parameters})" for name in ("hnag", "rnag_ws"))
    space = catalog.build("space", nested)
    yield RANDOM, nested, (space.sample(rng) for _ in range(count))
    wired = catalog.build("space", flat)
    yield WIRED, flat, iter(wired.redrawn(wired.parse(WIRED_TEXT.format(size.parameters)), count))


def _fitting(settings: session.Settings, archs: Iterator[Architecture], count: int) -> list[Architecture]:
    """The first so many that can be built within the budget of parameters, which is checked without training."""
    sizes = replace(settings, evaluator="training_free(params)", objectives=("maximize(params)",))
    counted = session.assemble(replace(sizes, budget=Budget(trials=1))).evaluator
    found = list(islice((arch for arch in archs if counted.evaluate([Proposal(arch)])[0].error is None), count))
    if len(found) < count:
        raise SpecError(
            f"Of {PATIENCE * count} networks of {settings.space} fewer than {count} fit: give it more parameters."
        )
    return found


def _networks(
    settings: session.Settings, size: Size, archs: Sequence[Architecture], folder: Path, *, climb: bool = False
) -> list[dict[str, Any]]:
    found = []
    for place, arch in enumerate(archs):
        lower = _lower(settings, size, arch, folder / f"{place}-lower.json") if climb else {}
        found.append({**trained(settings, size.training, arch, folder / f"{place}.json"), **lower})
    return found


def _lower(settings: session.Settings, size: Size, arch: Architecture, place: Path) -> dict[str, Any]:
    """The validation accuracies of one network at every lower fidelity, by their epochs; kept in a file."""
    if place.exists():
        known: dict[str, Any] = read_json(place, {"lower": object})
        return known
    parts = session.assemble(replace(settings, evaluator=size.training), folder=place.with_suffix(""))
    proposals = [Proposal(arch, fidelity=fidelity) for fidelity in size.fidelities]
    measured = [parts.evaluator.evaluate([proposal])[0] for proposal in proposals]
    if wrong := next((one.error for one in measured if one.error), None):
        raise SpecError(f"A short training of {arch} failed: {wrong}")
    found = {
        "lower": {
            str(fidelity): one.metrics["val_acc"] for fidelity, one in zip(size.fidelities, measured, strict=True)
        }
    }
    place.parent.mkdir(parents=True, exist_ok=True)
    write_json(place, found)
    return found


def beside(size: Size) -> dict[str, Any]:
    """How much a search costs, and at which fidelities networks were measured."""
    return {"epochs": size.epochs, "fidelities": list(size.fidelities)}


# -- what it came to --------------------------------------------------------------------------------------------------


def told(seeds: Rows, beside: Mapping[str, Any]) -> Told:
    """A line for each kind of generator: the mean over its networks and seeds, and how far networks lie apart.

    The headline is the mean accuracy of networks of the generator that the first search found.
    """
    names = list(seeds[0]["generators"])
    lines, values = [], {}
    for name in names:
        groups = [seed["generators"][name] for seed in seeds]
        values[name] = [mean([row["val_acc"] for row in group]) for group in groups]
        apart = mean([float(np.std([row["val_acc"] for row in group], ddof=1)) for group in groups])
        every = [row for group in groups for row in group]
        sizes = [among([row[key] for row in every], digits) for key, digits in COLUMNS.items()]
        searched = [seed["trials"][name] for seed in seeds if name in seed["trials"]]
        lines.append([name, among(searched) if searched else "–", spread(values[name]), f"{apart:.2f}", *sizes])
    titles = ["generator", "trials", "`val_acc`", "std over draws", *(f"`{key}`" for key in COLUMNS)]
    headline, *others = names
    count = len(seeds[0]["generators"][headline])
    notes = (
        RULE,
        "",
        f"Searches of {beside['epochs']} epochs; every figure of a seed is a mean over {count} networks.",
    )
    differences = [minus(headline, values[headline], name, values[name]) for name in others]
    return Told(
        tuple(values[headline]),
        {name: mean(values[name]) for name in others},
        (*notes, "", *markdown(titles, lines, len(seeds)), "", *differences, *_fidelities(seeds, beside["fidelities"])),
    )


def _fidelities(seeds: Rows, fidelities: Sequence[int]) -> Iterator[str]:
    """How short trainings of networks of random generators rank beside whole ones, over the networks of all seeds."""
    networks = [network for seed in seeds for network in seed["generators"][RANDOM]]
    whole = [network["val_acc"] for network in networks]
    for epochs in fidelities:
        rho = spearman([network["lower"][str(epochs)] for network in networks], whole)
        yield f"* Spearman's ρ of {epochs} epochs and whole trainings, {len(networks)} random generators: {rho:.3f}"

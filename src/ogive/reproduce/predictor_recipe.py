"""What is reproduced of predictors (``ogive/recipes/predictors``): how well they rank what they were not told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any

from ogive.core.errors import SpecError, UnknownName
from ogive.reproduce.recipe import CHECKS, check_keys, entries_of, texts_in
from ogive.spec import parse

__all__ = ["COUNTS", "Beside", "Learned", "More", "Oracle", "learned", "learned_of"]

# Rankings that take no label: the table's parameters of an architecture, and of what is left of it after pruning.
COUNTS = ("params", "live params")

_REQUIRED = {"title", "source", "source_checked", "table", "columns", "sizes", "seeds", "predictors"}
_OPTIONAL = {"labels", "cheap", "deviation", "seeds_of", "sizes_of", "first_seed", "published", "beside", "more"}
_ORACLE = {"predictor", "size", "tau", "margin"}
_BESIDE = {"who", "size", "tau", "source", "source_checked"}


@dataclass(frozen=True)
class Oracle:
    """The τ that is known of a predictor at a number of labels, and how far from it the mean of ours may lie."""

    predictor: str
    size: int
    tau: float
    margin: float


@dataclass(frozen=True)
class More:
    """Labels of another kind that a predictor gets, and what they cost.

    Either those after fewer epochs: of the cost of all labels, in epochs of which the dearest has `full`, the `share`
    is spent on labels after all of the training and the rest on others after `fidelity` epochs. Or `count` labels of
    another data set, the `source`, which cost nothing because they are known from there. `columns` says where they
    stand for each column that is ranked.
    """

    columns: dict[str, str]
    fidelity: int | None = None
    full: int | None = None
    share: float = 1.0
    source: str | None = None
    count: int = 0

    def numbers(self, size: int) -> tuple[int, int]:
        """How many labels of the search's own kind, and how many of this, there are in the place of `size`."""
        if self.fidelity is None or self.full is None:
            return size, self.count
        own = max(2, round(size * self.share))
        return own, (size - own) * self.full // self.fidelity


@dataclass(frozen=True)
class Beside:
    """A published τ of somebody else's, which is printed and is nobody's target."""

    who: str
    size: int
    tau: float
    source: str
    source_checked: str = "table"


@dataclass(frozen=True)
class Learned:
    """Predictors, each fitted on some rows of a table and correlated with the others.

    Architectures stand in the order of their text forms; a split is ``default_rng(seed).permutation``, of which the
    first n are told and the others ranked. `columns` are ranked, each with labels of its own or those of the column
    that `labels` names for it. `predictors` maps what one is called to its specification; the first is the row's
    headline, `seeds_of` and `sizes_of` give some other seeds and sizes than the rest have, `first_seed` is where seeds
    begin. `more` says of which predictors some labels are of another
    kind. `published` are oracles of the first column. `cheap` rankings must not come as near to an oracle as is
    asked of ours.
    """

    name: str
    title: str
    source: str
    source_checked: str
    table: str
    columns: tuple[str, ...]
    sizes: tuple[int, ...]
    seeds: int
    predictors: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    cheap: tuple[str, ...] = COUNTS
    deviation: str | None = None
    seeds_of: dict[str, int] = field(default_factory=dict)
    sizes_of: dict[str, tuple[int, ...]] = field(default_factory=dict)
    first_seed: int = 0
    more: dict[str, More] = field(default_factory=dict)
    published: tuple[Oracle, ...] = ()
    beside: tuple[Beside, ...] = ()

    @property
    def published_text(self) -> str:
        """The oracles of the headline."""
        told = [f"{one.tau:g} ({one.size})" for one in self.published if one.predictor == self.headline]
        return f"τ of {self.headline} {', '.join(told)}" if told else "–"

    @property
    def headline(self) -> str:
        """The predictor whose τ at the most labels is the row's figure."""
        return next(iter(self.predictors))

    def seeds_for(self, predictor: str) -> range:
        """The seeds of a predictor, of which each is a split."""
        return range(self.first_seed, self.first_seed + self.seeds_of.get(predictor, self.seeds))

    def sizes_for(self, predictor: str) -> tuple[int, ...]:
        """How many labels a predictor is fitted on, ascending."""
        return self.sizes_of.get(predictor, self.sizes)

    def with_seeds(self, seeds: int | None) -> Learned:
        """The same with another number of seeds for all, unless that is None."""
        if seeds is not None and seeds < 1:
            raise SpecError(f"A ranking is learnt from at least one split, but got seeds={seeds}.")
        return self if seeds is None else replace(self, seeds=seeds, seeds_of={})


def learned() -> list[Learned]:
    """All recipes of predictors of the package, by name."""
    found = texts_in(files("ogive.recipes").joinpath("predictors"))
    return sorted((learned_of(*one) for one in found), key=lambda one: one.name)


def learned_of(name: str, text: str) -> Learned:
    """The recipe that a TOML text describes; a SpecError says what is wrong with it."""
    entries = entries_of(name, text)
    check_keys(f"the recipe {name}", entries, _REQUIRED | _OPTIONAL, _REQUIRED)
    predictors = {label: str(parse(spec)) for label, spec in entries["predictors"].items()}
    if not predictors or not entries["columns"] or not entries["sizes"]:
        raise SpecError(f"The recipe {name} needs a predictor, a column and a size at least.")
    _check_counts(name, entries)
    for label in (*entries.get("seeds_of", {}), *entries.get("sizes_of", {}), *entries.get("more", {})):
        if label not in predictors:
            raise UnknownName(f"predictor of {name}", label, predictors)
    for label in entries.get("cheap", ()):
        if label not in {*predictors, *COUNTS}:
            raise UnknownName(f"ranking of {name}", label, {*predictors, *COUNTS})
    for column in entries.get("labels", {}):
        if column not in entries["columns"]:
            raise UnknownName(f"column of {name}", column, entries["columns"])
    made = {
        "predictors": predictors,
        "columns": tuple(entries["columns"]),
        "sizes": tuple(sorted(entries["sizes"])),
        "sizes_of": {label: tuple(sorted(sizes)) for label, sizes in entries.get("sizes_of", {}).items()},
        "cheap": tuple(entries.get("cheap", COUNTS)),
        "more": {label: _more(name, one, entries) for label, one in entries.get("more", {}).items()},
        "published": tuple(_oracle(name, one, entries) for one in entries.get("published", ())),
        "beside": tuple(_beside(name, one) for one in entries.get("beside", ())),
    }
    return Learned(name=name, **{**entries, **made})


def _check_counts(name: str, entries: Mapping[str, Any]) -> None:
    counts = [entries["seeds"], *entries["sizes"], *entries.get("seeds_of", {}).values()]
    for label, sizes in entries.get("sizes_of", {}).items():
        if not set(sizes) <= set(entries["sizes"]):
            raise SpecError(f"{label} of {name} has sizes {sizes}, which must be among {entries['sizes']}.")
    if not all(isinstance(one, int) and one > 0 for one in counts):
        raise SpecError(f"Seeds and sizes of {name} are positive numbers, but got {counts}.")


def _oracle(name: str, entry: Mapping[str, Any], entries: Mapping[str, Any]) -> Oracle:
    check_keys(f"a published τ of {name}", entry, _ORACLE, _ORACLE)
    if entry["predictor"] not in entries["predictors"]:
        raise UnknownName(f"predictor of {name}", entry["predictor"], entries["predictors"])
    sizes = entries.get("sizes_of", {}).get(entry["predictor"], entries["sizes"])
    if entry["size"] not in sizes:
        raise SpecError(f"{name} has a published τ at {entry['size']} labels, but its sizes are {sizes}.")
    return Oracle(**entry)


def _more(name: str, entry: Mapping[str, Any], entries: Mapping[str, Any]) -> More:
    wanted = {"columns", "source", "count"} if "source" in entry else {"columns", "fidelity", "full", "share"}
    check_keys(f"labels of another kind of {name}", entry, wanted, wanted)
    if set(entry["columns"]) != set(entries["columns"]):
        raise SpecError(
            f"{name} ranks {entries['columns']}, but has labels of another kind for {dict(entry['columns'])}."
        )
    made = More(**entry)
    if (
        made.fidelity is not None
        and made.full is not None
        and not (0 < made.fidelity < made.full and 0 < made.share < 1)
    ):
        raise SpecError(f"{name} wants 0 < fidelity < full and 0 < share < 1, but got {dict(entry)}.")
    return made


def _beside(name: str, entry: Mapping[str, Any]) -> Beside:
    check_keys(f"a figure beside {name}", entry, _BESIDE, _BESIDE - {"source_checked"})
    if entry.get("source_checked", "table") not in CHECKS:
        raise UnknownName("way in which a source was checked", entry["source_checked"], CHECKS)
    return Beside(**entry)

"""Tables of one's own: any parquet or CSV file with one row an architecture, whose columns keep their names."""

from __future__ import annotations

import itertools
import logging
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName, long_name, quoted, shortened
from ogive.core.metric import Better, better_of, of_version_1
from ogive.core.space import Choice, SearchSpace
from ogive.core.trial import counted
from ogive.spaces import nasbench201
from ogive.tables.column import Column
from ogive.tables.joined import joined, merged, without_infinities
from ogive.tables.keys import SortedDigests
from ogive.tables.rows import Values
from ogive.tables.store import Table, write_table

__all__ = ["Mapped", "import_mapped", "is_decided", "is_doubtful"]

logger = logging.getLogger(__name__)

# Digests that find isomorphic architectures of these spaces.
_BY = {"nasbench101": "module hash", "nasbench_graph": "flow"}
# An architecture as its choices alone, which no published text form looks like.
_CHOICES = re.compile(r"\d+(,\d+)+")
# Words of what less is better of, mostly; one that is searched on is asked about.
_LESS = frozenset(
    re.findall(
        r"\w+",
        """
        loss losses err errs error errors ppl perplexity rmse mse mae mape nll bpc bpb wer cer fid regret deviation std
        latency latencies time times seconds secs ms us energy power watts joules kwh flops macs params parameters
        size memory bytes cost costs
        """,
    )
)
_LESS_AT_THE_END = ("loss", "error", "perplexity", "latency")
_MORE = frozenset(
    re.findall(
        r"\w+",
        """
        acc accs accuracy accuracies top top1 top3 top5 auc auroc auprc ap map miou iou dice f1 r2 psnr ssim bleu rouge
        precision recall sensitivity specificity kappa mcc ndcg mrr fps throughput correlation spearman kendall tau
        """,
    )
)
_MORE_AT_THE_END = ("acc", "accuracy")
# How many columns are named where one of them has to be chosen.
_NAMED = 20


@dataclass(frozen=True)
class Mapped:
    """What a file of one's own means.

    * `space` is the space of the architectures, and `arch_column` the column that names them, in the space's text form
      or in ogive's (``mlp:0,1,2``, or just ``0,1,2``; of nasbench201, its own numbers too); with `arch_column` empty,
      each variable of the space is a column of its own, which holds options, or else `on` names the architecture;
    * `columns` become columns of the table, from the name in the table to the name in the file, empty for all numbers;
    * `metric`, which has to be said, `report` and `clock` are the columns (names in the table) that a search uses;
    * `test` are the columns (names in the table) that were measured on a test set, beside `report`: by default those
      whose name has the word "test";
    * `minimize` are the columns (names in the table) of which smaller is better, such as losses, and `maximize` those
      of which larger is, which has to be said where a name sounds otherwise;
    * `on` is the column that several files are joined on, and `duplicates` what becomes of several rows about one
      architecture: ``refuse``, ``first`` or ``mean``.
    """

    space: SearchSpace
    arch_column: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    metric: str | None = None
    report: str | None = None
    test: tuple[str, ...] | None = None
    clock: str | None = None
    minimize: tuple[str, ...] = ()
    maximize: tuple[str, ...] = ()
    on: str = ""
    duplicates: str = "refuse"


def import_mapped(paths: Sequence[Path], folder: Path, name: str, mapped: Mapped) -> Table:
    """Write the table; SpecError if no `metric` is said, or which way of it is better, or a row is no architecture."""
    files = ", ".join(path.name for path in paths)
    named = (mapped.arch_column, mapped.metric or "", mapped.report or "", mapped.clock or "", mapped.on)
    lists = (*mapped.columns.items(), mapped.test or (), mapped.minimize, mapped.maximize)
    if (long := long_name((*named, *itertools.chain(*lists)))) is not None:
        raise SpecError(f"A column's name has at most 200 characters, but got {quoted(long)}.")
    columns = joined(paths, mapped.on, mapped.duplicates)
    choices = _choices(columns, files, mapped)
    wanted = _wanted(columns, files, mapped)
    _check_roles(wanted, paths, name, mapped)
    tested = _of_test_set(wanted, mapped)
    _check_directions(wanted, paths, name, mapped)
    about = {column: _about(column, source, columns[source], mapped, tested) for column, source in wanted.items()}
    numbers = {column: without_infinities(columns[source], column) for column, source in wanted.items()}
    choices, numbers = merged(mapped.space.name, choices, numbers, mapped.duplicates, files)
    key, order = SortedDigests.of(mapped.space.name, choices, by=_BY.get(mapped.space.name, "choices"))
    return write_table(
        folder,
        {
            column: (replace(about[column], dtype=str(values.dtype)), values[order])
            for column, values in numbers.items()
        },
        name=name,
        space=mapped.space.name,
        key=key,
        source=files,
        licence="your own",
        importer="own 2",
        complete=bool(mapped.space.size == len(choices)),
        metric=mapped.metric,
        report=mapped.report,
        clock=mapped.clock,
        roles={},
    )


# -- columns ----------------------------------------------------------------------------------------------------------


def _wanted(columns: Mapping[str, Values], files: str, mapped: Mapped) -> dict[str, str]:
    """The columns of the table, and those of the file that they are: the ones that were asked for, or all numbers."""
    for source in mapped.columns.values():
        if source not in columns:
            raise UnknownName(f"column of {files}", source, columns)
        if columns[source].dtype.kind not in "iuf":
            raise SpecError(f"The column {source} of {files} must hold numbers.")
    if mapped.columns:
        return dict(mapped.columns)
    naming = {mapped.arch_column, mapped.on, *(variable.name for variable in mapped.space.variables)} - {""}
    numbers = [name for name, values in columns.items() if values.dtype.kind in "iuf" and name not in naming]
    if "" in numbers:
        logger.warning("A column of %s has no name and is left out.", files)
    if not any(numbers):
        raise SpecError(
            f"{files} has no column of numbers for the table: its columns are {shortened(', '.join(columns), 200)}."
        )
    return {name: name for name in numbers if name}


def _check_roles(wanted: Mapping[str, str], paths: Sequence[Path], name: str, mapped: Mapped) -> None:
    """Refuse a file of which nobody said what is searched on, and columns that are not there."""
    if mapped.metric is None:
        more = f" and {len(wanted) - _NAMED} more" if len(wanted) > _NAMED else ""
        raise SpecError(
            f"Say which column a search goes by: {_command(paths, name, mapped)} --metric COLUMN (and --minimize "
            f"COLUMN if less of it is better); the columns of numbers are {', '.join(list(wanted)[:_NAMED])}{more}."
        )
    for column in (
        mapped.metric,
        mapped.report,
        mapped.clock,
        *mapped.minimize,
        *mapped.maximize,
        *(mapped.test or ()),
    ):
        if column is not None and column not in wanted:
            raise UnknownName("column of the table", column, wanted)


def _check_directions(wanted: Mapping[str, str], paths: Sequence[Path], name: str, mapped: Mapped) -> None:
    """Refuse a column that is searched on or reported and whose name does not decide it, where nobody says it.

    Of others that nobody mentions and that sound as if less were better, a line says what they are taken for.
    """
    both = sorted({*mapped.minimize} & {*mapped.maximize})
    if both:
        raise SpecError(f"Of {', '.join(both)} either less or more is better, but --minimize and --maximize name it.")
    said = {*mapped.minimize, *mapped.maximize, mapped.clock}
    unsaid = [column for column in wanted if column not in said and is_doubtful(column)]
    for column in (mapped.metric, mapped.report):
        if column is not None and column not in said and not any(map(is_decided, (column, wanted[column]))):
            roles = {"--metric": mapped.metric, "--report": mapped.report, "--clock": mapped.clock}
            roles |= {"--maximize": ",".join(mapped.maximize), "--minimize": ",".join([*mapped.minimize, column])}
            given = shlex.join(part for option, value in roles.items() if value for part in (option, value))
            raise SpecError(
                f"Is less or more of {column} better? Its name does not decide it: "
                f"{_command(paths, name, mapped)} {given} (or --maximize {shlex.quote(column)})."
            )
    if unsaid:
        logger.warning(
            "Of %s more counts as better, since neither --minimize nor --maximize says otherwise.",
            shortened(", ".join(unsaid), 200),
        )


def is_decided(column: str) -> bool:
    """Whether the name of a column says if less or more of it is better: ogive knows it, or one of its words does."""
    if better_of(column, of_version_1(column).unit) == "smaller":
        return True
    more = any(word in _MORE or word.endswith(_MORE_AT_THE_END) for word in _words(column))
    return more and not is_doubtful(column)


def is_doubtful(column: str) -> bool:
    """Whether the name of a column that ogive does not know sounds as if less of it were better, in one word of it."""
    words = [word.strip("0123456789") for word in _words(column)]
    sounds = any(word in _LESS or word.endswith(_LESS_AT_THE_END) for word in words)
    return sounds and better_of(column, of_version_1(column).unit) == "larger"


def _words(column: str) -> list[str]:
    """What a name is put together of: ``valLoss``, ``val-loss`` and ``val.loss`` are val and loss."""
    return re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).lower())


def _of_test_set(wanted: Mapping[str, str], mapped: Mapped) -> set[str]:
    """The columns that were measured on a test set; SpecError if a search was to go by one of them."""
    named = [column for column in wanted if "test" in re.split(r"[^a-z0-9]+", column.lower())]
    tested = {*(named if mapped.test is None else mapped.test), *filter(None, [mapped.report])}
    if mapped.metric in tested:
        said = (
            "--report says"
            if mapped.metric == mapped.report
            else "its name says"
            if mapped.test is None
            else "--test says"
        )
        way = "" if mapped.metric == mapped.report else ", or give --test none if it was not"
        raise SpecError(
            f"The search never sees the test set, but {mapped.metric} was measured on it, as {said}: go by another "
            f"column{way}."
        )
    for column in named if mapped.test is None else ():
        if column != mapped.report:
            logger.warning("%s counts as measured on a test set, as its name says: --test says otherwise.", column)
    return tested


def _command(paths: Sequence[Path], name: str, mapped: Mapped) -> str:
    """What was typed, as far as it is known here."""
    columns = ",".join(
        column if column == source else f"{column}={source}" for column, source in mapped.columns.items()
    )
    options = {
        "--as": name,
        "--space": mapped.space.name,
        "--arch-column": mapped.arch_column,
        "--on": mapped.on,
        "--columns": columns,
    }
    given = [part for option, value in options.items() if value for part in (option, value)]
    return shlex.join(["ogive", "tables", "import", *map(str, paths), *given])


def _about(column: str, source: str, values: Values, mapped: Mapped, tested: set[str]) -> Column:
    """What a column is: its own name says it, unless it is one that ogive itself gives to what it measures."""
    known = of_version_1(column)
    unit = "s" if column == mapped.clock else known.unit
    if unit == "%" and not _are_per_cent(values):
        unit = ""
    better: Better = (
        "smaller" if column in mapped.minimize else "larger" if column in mapped.maximize else better_of(column, unit)
    )
    meaning = "" if column == source else f"the column {source}"
    return Column(unit, meaning, str(values.dtype), test=column in tested, better=better, words=known.words)


def _are_per_cent(values: Values) -> bool:
    """Whether numbers can be per cent and no fractions: within 0..100, and not all of them within 0..1."""
    known = values[np.isfinite(values)]
    return bool(len(known) and known.min() >= 0 and 1 < known.max() <= 100)


# -- architectures ----------------------------------------------------------------------------------------------------


def _choices(columns: Mapping[str, Values], files: str, mapped: Mapped) -> npt.NDArray[np.int64]:
    space, named = mapped.space, mapped.arch_column or mapped.on
    spelled = not mapped.arch_column and all(variable.name in columns for variable in space.variables)
    if not named or spelled:
        texts = _spelled(columns, files, space)
    elif named not in columns:
        raise UnknownName(f"column of {files}", named, columns)
    elif space.name == nasbench201.NAME and columns[named].dtype.kind in "iu":
        return _numbered(columns[named], named, files)
    else:
        texts = _present(columns[named], named, files)
    rows = []
    for number, text in enumerate(texts):
        try:
            rows.append(_architecture(space, text))
        except InvalidArchitecture as error:
            raise SpecError(f"Row {number} of {files} is no architecture of {space.name}: {error}") from None
    if not rows:
        raise SpecError(f"{files} has no rows.")
    return np.array(rows, np.int64)


def _present(values: Values, column: str, files: str) -> list[str]:
    """The texts of a column; SpecError if some rows have none, as those that only one of several files has."""
    texts = ["" if value != value else str(value).strip() for value in values.tolist()]
    missing = [row for row, text in enumerate(texts) if not text]
    if missing:
        raise SpecError(
            f"{counted(len(missing), 'row')} of {files} {'has' if len(missing) == 1 else 'have'} no architecture: the "
            f"column {column} has nothing there, first in row {missing[0]}. Where files are joined, each must have the "
            "rows of the one that says the architectures."
        )
    return texts


def _numbered(numbers: Values, column: str, files: str) -> npt.NDArray[np.int64]:
    """The cells with some of the benchmark's own numbers."""
    if not len(numbers):
        raise SpecError(f"{files} has no rows.")
    wrong = numbers[(numbers < 0) | (numbers >= nasbench201.SIZE)]
    if len(wrong):
        raise SpecError(
            f"The numbers of cells are 0..{nasbench201.SIZE - 1}, but the column {column} of {files} has {wrong[0]}."
        )
    return np.asarray(nasbench201.choices_of(np.argsort(nasbench201.official_indices())[numbers]), np.int64)


def _architecture(space: SearchSpace, text: str) -> tuple[int | float, ...]:
    """The choices of one architecture, the canonical ones where the space has any."""
    bare = not text.strip().startswith(f"{space.name}:") and (space.read is None or _CHOICES.fullmatch(text.strip()))
    arch = space.parse(f"{space.name}:{text.strip()}" if bare else text)
    return (space.canonical(arch) if space.canonical is not None and space.name in _BY else arch).choices


def _spelled(columns: Mapping[str, Values], files: str, space: SearchSpace) -> list[str]:
    """The architectures as texts of choices, from one column of options for each variable."""
    found = []
    for variable in space.variables:
        if not isinstance(variable, Choice):
            raise SpecError(f"{variable.name} of {space.name} is no choice of options, and tables hold such only.")
        if variable.name not in columns:
            raise UnknownName(f"column of {files}", variable.name, columns)
        place = {option: str(index) for index, option in enumerate(variable.options)}
        texts = [str(value) for value in columns[variable.name].tolist()]
        unknown = next((text for text in texts if text not in place), None)
        if unknown is not None:
            raise UnknownName(f"option of {variable.name}", unknown, variable.options)
        found.append([place[text] for text in texts])
    return [f"{space.name}:{','.join(choices)}" for choices in zip(*found, strict=True)]

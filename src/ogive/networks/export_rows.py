"""Take a network of rows away: plain files that read a raw row, cell by cell, and say what the network says of it.

Beside the files of `export`, NAME_rows.py makes the numbers that the network takes out of the cells of a row, and the
answer out of what it gives; NAME.py holds the same functions. Both need nothing but Python, and NAME.py torch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ogive.core.errors import ExportError
from ogive.networks.export import LARGEST_ALLOWED, Exported, check_name, export, imported
from ogive.networks.source import Import
from ogive.networks.standalone import Plain, literal

__all__ = ["NOTHING", "Preparation", "Target", "export_rows"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """What makes numbers out of the cells of a row.

    `numbers`: of each column of numbers its name, the median that stands for a missing cell, and the mean and deviation
    that it is standardised with; `missing`: such columns with one number more, 1 where the cell is missing;
    `categories`: of each column of these its name, the categories with a number of their own, and those that share one,
    also with unknown ones.
    """

    numbers: tuple[tuple[str, float, float, float], ...]
    missing: tuple[str, ...]
    categories: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns: numbers, then categories."""
        return (*(name for name, *_ in self.numbers), *(name for name, *_ in self.categories))


@dataclass(frozen=True, slots=True)
class Target:
    """What is predicted: the name of its column and its `classes`.

    Or, without these, a quantity in some `unit`, and the `mean` and `deviation` that networks are trained with.
    """

    name: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0
    unit: str = ""


def export_rows(
    network: nn.Module,
    folder: Path,
    *,
    preparation: Preparation,
    target: Target,
    rows: Sequence[Mapping[str, str]],
    inputs: Tensor,
    formats: Sequence[str],
    name: str,
    headline: str,
    progress: Callable[[str], None] | None = None,
) -> list[Exported]:
    """Write a network of rows in each of the formats, and NAME_rows.py; errors as in `export`.

    `rows` are raw ones, and `inputs` (N, F) what the network was given of the same rows. What NAME_rows.py makes of the
    raw ones must lead to the same outputs, and each format is compared on exactly that.
    """
    check_name(name)
    text = _module(name, preparation, target)
    made = torch.tensor(_run(text).encoded_rows(rows))
    difference = _difference(network, inputs, made)
    exported = export(
        network,
        folder,
        formats=formats,
        progress=progress,
        name=name,
        shape=tuple(inputs.shape[1:]),
        classes=target.classes or None,
        headline=headline,
        images=made,
        plain=_plain(preparation, target, inputs.shape[1]),
    )
    beside = folder / f"{name}_rows.py"
    beside.write_text(text, encoding="utf-8")
    return [
        replace(one, paths=(*one.paths, beside), largest_difference=max(one.largest_difference, difference))
        for one in exported
    ]


def _difference(network: nn.Module, inputs: Tensor, made: Tensor) -> float:
    """The largest difference between what a network says of what it was given and of what the plain code made."""
    mode = network.training
    network.eval()
    with torch.inference_mode():
        ours, theirs = (network(part.to(torch.float32)) for part in (inputs, made))
    network.train(mode)
    difference = float((ours - theirs).abs().max())
    allowed = LARGEST_ALLOWED * max(1.0, float(ours.abs().max()))
    if not difference <= allowed:
        raise ExportError(
            f"Of the raw rows the exported preparation makes other numbers: outputs differ by {difference:.2g}, more "
            f"than the {allowed:.2g} allowed; nothing was written."
        )
    return difference


def _run(text: str) -> Any:
    """The text as a module that nobody else sees."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.py"
        path.write_text(text, encoding="utf-8")
        return imported(path)


# -- the texts --------------------------------------------------------------------------------------------------------


def _plain(preparation: Preparation, target: Target, width: int) -> Plain:
    """What NAME.py has beside its network."""
    name = _in_words(target.name)
    about = f"tells {len(target.classes)} classes of {name} apart" if target.classes else f"tells {name}"
    weights = 'WEIGHTS = Path(__file__).with_suffix(".safetensors")'
    return Plain(
        takes=f"It takes rows of {len(preparation.columns)} columns, {about}, ",
        usage=USAGE.replace("TARGET", name),
        constants=f"{weights}\nSHAPE = ({width},)  # numbers of a prepared row\n{_constants(preparation, target)}",
        functions=(ENCODED, _answers(target), PREDICTED, RIGHT if target.classes else ERROR, MAIN),
        names=NAMES,
        imports=frozenset({Import("csv", None, "csv"), Import("math", None, "math"), *MAPPINGS}),
        outputs="logits" if target.classes else "outputs",
    )


def _module(name: str, preparation: Preparation, target: Target) -> str:
    """NAME_rows.py."""
    docstring = (
        f'"""{name}_rows: the cells of a row as the numbers that {name} takes, and its outputs as answers.\n\n'
        'Written by ogive; it needs Python alone. Of a row, give each column as text or a number.\n"""'
    )
    imports = "from __future__ import annotations\n\nimport math\nfrom collections.abc import Mapping, Sequence"
    head = "\n\n".join((docstring, imports, _constants(preparation, target)))
    return "\n\n\n".join((head, ENCODED, _answers(target))) + "\n"


def _constants(preparation: Preparation, target: Target) -> str:
    numbers = {name: tuple(values) for name, *values in preparation.numbers}
    categories = {name: (kept, rare) for name, kept, rare in preparation.categories}
    lines = [
        f"TARGET = {literal(target.name)}",
        "# Of each column of numbers: what stands for a missing cell, the mean, and the standard deviation.",
        f"NUMBERS = {literal(numbers, used=len('NUMBERS = '))}",
        "# Columns of numbers that have one number more: whether the cell is missing.",
        f"MISSING = {literal(preparation.missing, used=len('MISSING = '))}",
        "# Of each column of categories: those with a number of their own, and those that share one with unknown ones.",
        f"CATEGORIES = {literal(categories, used=len('CATEGORIES = '))}",
        f"NOTHING = {literal(NOTHING)}  # cells without a value",
    ]
    if target.classes:
        lines.append(f"CLASSES = {literal(target.classes, used=len('CLASSES = '))}")
    else:
        unit = f", in {_in_words(target.unit)}" if target.unit else ""
        lines.append(f"MEAN, DEVIATION = {target.mean!r}, {target.deviation!r}  # of {_in_words(target.name)}{unit}")
    return "\n".join(lines)


def _in_words(name: str) -> str:
    """A name as it may stand in a docstring or in a comment."""
    return " ".join(name.replace("\\", "/").replace('"', "'").split())


def _answers(target: Target) -> str:
    return CLASSES_OF if target.classes else QUANTITIES_OF


NOTHING = ("", "na", "n/a", "nan", "null", "none", "?")
MAPPINGS = (
    Import("collections.abc", "Mapping", "Mapping"),
    Import("collections.abc", "Sequence", "Sequence"),
)
FUNCTIONS = {"network", "load", "encoded", "encoded_rows", "answers", "predicted", "score", "main"}
CONSTANTS = {
    "WEIGHTS",
    "SHAPE",
    "TARGET",
    "NUMBERS",
    "MISSING",
    "CATEGORIES",
    "NOTHING",
    "CLASSES",
    "MEAN",
    "DEVIATION",
}
NAMES = frozenset(FUNCTIONS | CONSTANTS)

USAGE = """\
    python NAME.py                   what this network is
    python NAME.py --data rows.csv   what it says of each row, or how well, where the file has a column TARGET"""

ENCODED = '''\
def encoded(row: Mapping[str, object]) -> list[float]:
    """Make the numbers that the network takes out of the cells of a row: a text or a number for each column."""
    cells = {name: str("" if row[name] is None else row[name]).strip() for name in (*NUMBERS, *CATEGORIES)}
    cells = {name: "" if cell.lower() in NOTHING else cell for name, cell in cells.items()}
    found = []
    for name, (median, mean, deviation) in NUMBERS.items():
        value = float(cells[name]) if cells[name] else median
        if not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, but got {cells[name]}")
        found.append((value - mean) / deviation)
    found += [0.0 if cells[name] else 1.0 for name in MISSING]
    for name, (kept, rare) in CATEGORIES.items():
        found += [float(cells[name] == category) for category in kept]
        found += [float(cells[name] not in kept)] if rare else []
    return found


def encoded_rows(rows: Sequence[Mapping[str, object]]) -> list[list[float]]:
    """Do so for several rows."""
    return [encoded(row) for row in rows]'''

CLASSES_OF = '''\
def answers(outputs: Sequence[Sequence[float]]) -> list[str]:
    """Tell the class of each row from the outputs of the network, one number a class."""
    return [CLASSES[max(range(len(CLASSES)), key=row.__getitem__)] for row in outputs]'''

QUANTITIES_OF = '''\
def answers(outputs: Sequence[Sequence[float]]) -> list[float]:
    """Tell the quantity of each row from the outputs of the network, one number a row."""
    return [row[0] * DEVIATION + MEAN for row in outputs]'''

PREDICTED = '''\
@torch.inference_mode()
def predicted(net: nn.Module, rows: Sequence[Mapping[str, object]]) -> list[str] | list[float]:
    """Tell what the network says of raw rows."""
    return answers(net(torch.tensor(encoded_rows(rows))).tolist())'''

RIGHT = '''\
def score(found: Sequence[str], truth: Sequence[str]) -> str:
    """Say how many answers are right."""
    right = sum(one == other for one, other in zip(found, truth, strict=True))
    return f"accuracy {100 * right / len(truth):.2f} % of {len(truth)} rows"'''

ERROR = '''\
def score(found: Sequence[float], truth: Sequence[str]) -> str:
    """Say how far the answers are from the truth."""
    values = [float(value) for value in truth]
    centre = sum(values) / len(values)
    squares = sum((one - other) ** 2 for one, other in zip(found, values, strict=True))
    around = sum((value - centre) ** 2 for value in values)
    explained = f", R2 {1 - squares / around:.3f}" if around else ""
    return f"root mean squared error {math.sqrt(squares / len(values)):.4g}{explained} of {len(values)} rows"'''

MAIN = '''\
def main() -> None:
    """Say what the network is and, given rows, what it says of them, or how well."""
    parser = argparse.ArgumentParser(description="What this network is, and what it says of rows.")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="default: %(default)s")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a .csv file whose first line names the columns")
    arguments = parser.parse_args()
    for path in (arguments.weights, arguments.data):
        if path is not None and not path.is_file():
            parser.error(f"there is no file {path}")
    net = load(arguments.weights)
    parameters = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    columns = len(NUMBERS) + len(CATEGORIES)
    print(f"{type(net).__name__}: {columns} columns -> {TARGET}, {parameters:,} trainable parameters")
    if arguments.data is None:
        return
    with arguments.data.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    absent = [name for name in (*NUMBERS, *CATEGORIES) if not rows or name not in rows[0]]
    if absent:
        parser.error(f"{arguments.data} has no rows, or lacks the column {absent[0]}")
    found = predicted(net, rows)
    print(score(found, [row[TARGET] for row in rows]) if TARGET in rows[0] else "\\n".join(map(str, found)))'''

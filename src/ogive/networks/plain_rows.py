"""How networks of rows are taken away: their files read raw rows, cell by cell, and say what the network says of each.

Beside every format, NAME_rows.py makes the numbers that the network takes out of the cells of a row, and the answer out
of what it gives; NAME.py holds the same functions. Both need nothing but Python, and NAME.py torch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ogive.networks.export import imported
from ogive.networks.plain import Plain
from ogive.networks.source import Import
from ogive.networks.standalone import literal

__all__ = ["NOTHING", "Preparation", "Target", "of_rows"]


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


def of_rows(
    preparation: Preparation,
    target: Target,
    *,
    rows: Sequence[Mapping[str, str]],
    inputs: Tensor,
    keep: Callable[[Path], None] = lambda folder: None,
) -> Plain:
    """For networks that take prepared rows (N, F).

    `rows` are raw ones, and `inputs` (N, F) what the network was given of the same: a file is compared on what
    NAME_rows.py makes of the raw ones, and must say what the network says of the others. `keep` as of `Plain`.
    """
    name, width = _in_words(target.name), inputs.shape[1]
    about = f"tells {len(target.classes)} classes of {name} apart" if target.classes else f"tells {name}"
    made = torch.tensor(_run(_module("plain", preparation, target)).encoded_rows(rows))
    return Plain(
        takes=f"It takes rows of {len(preparation.columns)} columns, {about}, ",
        usage=USAGE.replace("TARGET", name),
        constants=f"SHAPE = ({width},)  # numbers of a prepared row\n{_constants(preparation, target)}",
        functions=(ENCODED, _answers(target), PREDICTED, RIGHT if target.classes else ERROR, MAIN),
        imports=IMPORTS,
        facts={"shape": (width,)} | ({"classes": target.classes} if target.classes else {}),
        inputs=("rows",),
        outputs=("logits" if target.classes else "outputs",),
        width=len(target.classes) or None,
        drawn=lambda count, generator: (torch.randn(count, width, generator=generator),),
        real=[((made,), (inputs.to("cpu", torch.float32),))],
        beside=lambda name: {f"{name}_rows.py": _module(name, preparation, target)},
        keep=keep,
    )


def _run(text: str) -> Any:
    """The text as a module that nobody else sees."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.py"
        path.write_text(text, encoding="utf-8")
        return imported(path)


# -- the texts --------------------------------------------------------------------------------------------------------


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
IMPORTS = frozenset(
    {
        Import("csv", None, "csv"),
        Import("math", None, "math"),
        Import("collections.abc", "Mapping", "Mapping"),
        Import("collections.abc", "Sequence", "Sequence"),
    }
)

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

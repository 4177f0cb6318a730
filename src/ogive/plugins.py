"""Parts that others add, named ``kind.name``: entry points ``ogive.plugins`` of packages, or ``PARTS`` of single files.

A file is used by ``--plugin FILE``. It is imported as the module of its name, so that worker processes find it too, to
which an environment variable tells its path.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from ogive.core.errors import SpecError, in_line, quoted

__all__ = ["KINDS", "files", "from_files", "packages", "plugins", "use"]

GROUP = "ogive.plugins"
# The absolute paths of the files in use, which worker processes inherit.
FILES = "OGIVE_PLUGIN_FILES"

KINDS = (
    "space",
    "strategy",
    "evaluator",
    "weights",
    "objective",
    "task",
    "predictor",
    "encoder",
    "kernel",
    "proposer",
    "executor",
    "gate",
    "rule",
    "regulariser",
    "optimiser",
    "operation",
    "score",
    "data",
)


def plugins(kind: str) -> dict[str, str]:
    """Name and ``module:attribute`` of every part of a kind that an installed package, or a file in use, adds.

    Raises SpecError for a name that is not kind.name.
    """
    return {**_installed().get(kind, {}), **from_files(kind)}


def from_files(kind: str) -> dict[str, str]:
    """Those of the files in use alone."""
    return {name: part for path in _in_use() for name, part in _parts_of(path).get(kind, {}).items()}


def use(path: Path) -> None:
    """Use the parts of a file from now on, in this process and those that it starts; SpecError says what is wrong."""
    whole = str(path.expanduser().resolve())
    if not Path(whole).is_file():
        raise SpecError(f"There is no plug-in {path}: --plugin names a Python file with PARTS.")
    if whole not in _in_use():
        _parts_of(whole)
        os.environ[FILES] = os.pathsep.join([*_in_use(), whole])


def files() -> dict[str, str]:
    """The SHA-256 of each file in use, by its name."""
    return {Path(path).name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in _in_use()}


def _in_use() -> list[str]:
    return [path for path in os.environ.get(FILES, "").split(os.pathsep) if path]


@cache
def _parts_of(path: str) -> Mapping[str, Mapping[str, str]]:
    """The parts of a file by kind and name, as ``module:attribute``."""
    place, module = Path(path), _imported(Path(path))
    parts = getattr(module, "PARTS", None)
    if not isinstance(parts, Mapping) or not parts:
        raise SpecError(f'{place.name} must hold its parts by their names: PARTS = {{"strategy.tabu": Tabu}}.')
    found: dict[str, dict[str, str]] = {}
    for called, part in parts.items():
        kind, _, name = str(called).partition(".")
        if kind not in KINDS or not name.isidentifier():
            raise SpecError(
                f"A part in {place.name} must be named kind.name, such as strategy.tabu, but got {quoted(called)}; the "
                f"kinds are {', '.join(KINDS)}."
            )
        own = getattr(part, "__name__", "")
        if getattr(module, own, None) is not part:
            raise SpecError(f"{called} of {place.name} must be a class or function at the top level of the file.")
        found.setdefault(kind, {})[name] = f"{place.stem}:{own}"
    return found


def _imported(path: Path) -> object:
    """The module that a file is."""
    if not path.stem.isidentifier() or path.stem in sys.stdlib_module_names:
        raise SpecError(f"A plug-in is imported by its name, which {quoted(path.name)} cannot be: call it my_parts.py.")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:
        raise SpecError(f"{path.name} cannot be imported ({type(error).__name__}: {in_line(error)}).") from error
    if getattr(module, "__file__", None) != str(path):
        raise SpecError(f"There is another module {path.stem} here already: give {path.name} another name.")
    return module


def packages() -> dict[str, str]:
    """The installed packages that add parts, with their versions."""
    return dict(_packages(tuple(sys.path)))


@cache  # a comparison begins many runs, and looking through all that is installed takes a while
def _packages(_: tuple[str, ...]) -> dict[str, str]:
    found = {point.dist.name: point.dist.version for point in entry_points(group=GROUP) if point.dist is not None}
    return dict(sorted(found.items()))


@cache
def _installed() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for point in entry_points(group=GROUP):
        kind, _, name = point.name.partition(".")
        if kind not in KINDS or not name:
            raise SpecError(
                f"The plug-in {point.name!r} ({point.value}) must be named kind.name, "
                f"with one of the kinds {', '.join(KINDS)}."
            )
        found.setdefault(kind, {})[name] = point.value
    return found

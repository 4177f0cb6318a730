"""Collect the smallest set of definitions that a class needs, so that they can stand in one file without ogive.

A name leads to another definition of the same project, which is copied, or to torch or the standard library, which is
imported, or to something else, which is refused. Nothing is executed to find out.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import linecache
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

from ogive.core.errors import SpecError
from ogive.networks.source import (
    Definition,
    File,
    Import,
    Target,
    dotted,
    eager,
    file_of,
    free_names,
    hidden_names,
    of_the_project,
    paths,
)

__all__ = ["Collected", "collect"]

PYTHON = {*dir(builtins), "__name__", "__file__", "__doc__"}


@dataclass(frozen=True, slots=True)
class Collected:
    """What a class needs: imports, texts of definitions in an order in which they can run, and the class's name.

    `others` are the names of the classes beside it.
    """

    imports: frozenset[Import]
    texts: tuple[str, ...]
    name: str
    others: tuple[str, ...] = ()


def collect(root: type, reserved: frozenset[Import | str] = frozenset(), beside: Sequence[type] = ()) -> Collected:
    """Everything that `root` and classes `beside` it need; raises SpecError for what cannot be copied.

    `reserved` are names, and imports with their names, that the caller's own text uses: no definition may take them.
    """
    file_of.cache_clear()  # files may have been edited since
    of_the_project.cache_clear()
    linecache.checkcache()
    starts = [_start(one) for one in (*beside, root)]
    reached = _reached(starts)
    names = _names(reached, reserved)
    imports = frozenset(Import(t.module, t.attribute, names[t]) for t in reached if isinstance(t, Import))
    texts = tuple(_renamed(definition, names) for definition in _ordered(reached))
    *others, name = (names[start] for start in starts)
    return Collected(imports, texts, name, tuple(others))


def _start(root: type) -> Definition:
    """The definition of a class; SpecError for one that cannot be copied."""
    own = of_the_project(root.__module__) and "." not in root.__qualname__
    start = _resolve(file_of(root.__module__), root.__qualname__) if own else None
    if not isinstance(start, Definition):
        raise SpecError(
            f"Only a class of your own that stands at the top level of a module can be written as source; "
            f"{root.__module__}.{root.__qualname__} is none."
        )
    return start


# -- from names to definitions ----------------------------------------------------------------------------------------


def _reached(starts: Sequence[Definition]) -> list[Target]:
    """All that these need, each thing after what it needs itself where cycles allow, and the last of them last."""
    reached: dict[Target, None] = {}
    entered: set[Target] = set()

    def visit(target: Target) -> None:
        if target in entered:
            return
        entered.add(target)
        if isinstance(target, Definition):
            target.uses = _uses(target)
            for used in target.uses.values():
                visit(used)
        reached[target] = None

    for start in starts:
        visit(start)
    return list(reached)


def _uses(definition: Definition) -> dict[str, Target]:
    """What each global name in a definition means; `ops.Zero` stands for what the module `ops` calls Zero."""
    uses: dict[str, Target] = {}
    for statement in definition.statements:
        _refuse_hidden_imports(definition, statement)
        free = free_names(definition.file.text_of(statement))
        for path in paths(statement):
            if path.partition(".")[0] not in free:
                continue
            name, target = _meaning(definition, path)
            if target is not None and target is not definition:
                uses[name] = target
    return uses


def _meaning(definition: Definition, path: str) -> tuple[str, Target | None]:
    """How much of a dotted path names a definition or an import, and which; None for what Python itself provides."""
    file = definition.file
    name = path.partition(".")[0]
    target = _resolve(file, path)
    if target is None and name in PYTHON and name not in file.entangled:
        return name, None
    if isinstance(target, ModuleType):
        name, target = _through(definition, path)
    elif isinstance(target, Import):
        name, _ = file.imported(path)
    if target is None:
        raise SpecError(
            f"{definition} uses {name}, which cannot be copied: its module must define it by a statement of its own at "
            "the top level."
        )
    if isinstance(target, Import):
        _refuse_foreign(definition, target)
    return name, target


def _resolve(file: File, path: str) -> Target | ModuleType | None:
    """What a path begins with: a definition, something of torch or Python, or a module of the project."""
    root = path.partition(".")[0]
    if root in file.definitions:
        return file.definitions[root]
    _, found = file.imported(path)
    if found is None:
        return None
    if not of_the_project(found.module):
        return found.canonical()
    if found.attribute is None:
        return importlib.import_module(found.name if found.plain else found.module)
    return _member(importlib.import_module(found.module), found.attribute)


def _member(module: ModuleType, name: str) -> Target | ModuleType | None:
    """What a module of the project calls `name`: a definition, an import of its own, or one of its own modules."""
    found = _resolve(file_of(module.__name__), name)
    if found is not None:
        return found
    value = getattr(module, name, None)
    return value if isinstance(value, ModuleType) else None


def _through(definition: Definition, path: str) -> tuple[str, Target | None]:
    """Follow a path from module to module until it names something else, and say how far that was."""
    parts = path.split(".")
    found = _resolve(definition.file, path)
    for length in range(2, len(parts) + 1):
        assert isinstance(found, ModuleType)
        found = _member(found, parts[length - 1])
        if not isinstance(found, ModuleType):
            return ".".join(parts[:length]), found
    raise SpecError(f"{definition} uses the module {path} as a value; import what it needs from there instead.")


def _refuse_foreign(definition: Definition, target: Import) -> None:
    package = target.module.partition(".")[0]
    if package not in {"torch", *sys.stdlib_module_names}:
        raise SpecError(
            f"A stand-alone network may import torch and the standard library only, but {definition} uses {package}. "
            "Do it with torch, or export to onnx."
        )


def _refuse_hidden_imports(definition: Definition, statement: ast.stmt) -> None:
    for node in ast.walk(statement):
        if isinstance(node, ast.Import):
            origins = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origins = [node.module or "ogive"] if node.level == 0 else ["ogive"]
        else:
            continue
        for origin in origins:
            if of_the_project(origin):
                raise SpecError(
                    f"{definition} imports code of its project inside its body, where it cannot be replaced. Import it "
                    "at the top of the module."
                )
            _refuse_foreign(definition, Import(origin, None, origin))


# -- order ------------------------------------------------------------------------------------------------------------


def _ordered(reached: list[Target]) -> list[Definition]:
    """The definitions in an order in which Python can execute them, each below all that it uses where possible."""
    waiting = [target for target in reached if isinstance(target, Definition)]
    ordered: list[Definition] = []
    # From what is best to read to what is just possible.
    requirements: tuple[Callable[[Definition], set[Definition]], ...] = (_used, _runs_now, _named_now)
    while waiting:
        done = set(ordered)
        ready = (d for requirement in requirements for d in waiting if requirement(d) - {d} <= done)
        following = next(ready, None)
        if following is None:
            names = ", ".join(str(definition) for definition in waiting)
            raise SpecError(f"These definitions need each other before any of them can run: {names}.")
        waiting.remove(following)
        ordered.append(following)
    return ordered


def _used(definition: Definition) -> set[Definition]:
    return {target for target in definition.uses.values() if isinstance(target, Definition)}


def _named_now(definition: Definition) -> set[Definition]:
    """The definitions whose names are looked up when the statements are executed: bases, decorators, values."""
    now = {dotted(node) for statement in definition.statements for node in eager(statement)}
    return {target for path, target in definition.uses.items() if isinstance(target, Definition) and path in now}


def _runs_now(definition: Definition) -> set[Definition]:
    """The same, with all that the bodies of these definitions use: they may be called at once."""
    found = _named_now(definition)
    waiting = list(found)
    while waiting:
        more = _used(waiting.pop()) - found
        found |= more
        waiting.extend(more)
    return found


# -- names ------------------------------------------------------------------------------------------------------------


def _names(reached: list[Target], reserved: frozenset[Import | str]) -> dict[Target, str]:
    """A name for each thing: its own, unless things of different modules share it."""
    names: dict[Target, str] = {}
    taken: dict[str, Target | str] = {
        entry.name if isinstance(entry, Import) else entry: entry for entry in sorted(reserved, key=str)
    }
    for target in reached:
        name = target.name
        if isinstance(target, Import) and target.plain:
            names[target] = name
            continue
        if taken.get(name, target) != target:
            module = target.file.module.__name__ if isinstance(target, Definition) else target.module
            private = "_" if name.startswith("_") else ""
            name = f"{private}{module.rpartition('.')[2].strip('_')}_{name.strip('_')}"
        while taken.get(name, target) != target:
            name += "_"
        taken[name] = target
        names[target] = name
    return names


def _renamed(definition: Definition, names: dict[Target, str]) -> str:
    """The text of a definition, in which everything has the name that it has in the new file."""
    changes = {path: names[t] for path, t in definition.uses.items() if names[t] != _called(path, t)}
    if names[definition] != definition.name:
        changes[definition.name] = names[definition]
    hidden = hidden_names(definition.text) & {path.partition(".")[0] for path in changes} if changes else set()
    if hidden:
        raise SpecError(
            f"{definition} uses {', '.join(sorted(hidden))} both for a global and for a name of its own, which a copy "
            "cannot tell apart. Rename the inner one."
        )
    return "\n".join(_edited(definition, statement, changes) for statement in definition.statements)


def _called(path: str, target: Target) -> str:
    return target.name if isinstance(target, Import) and target.plain else path


def _edited(definition: Definition, statement: ast.stmt, changes: dict[str, str]) -> str:
    text = definition.file.text_of(statement)
    lines = text.encode().split(b"\n")  # the columns of a syntax tree count bytes
    for line, column, path in sorted(_spots(ast.parse(text), changes), reverse=True):
        before, after = lines[line][:column], lines[line][column:]
        if not after.startswith(path.encode()):
            raise SpecError(f"{definition} uses {path} where it cannot be renamed (inside an f-string?).")
        lines[line] = before + changes[path].encode() + after.removeprefix(path.encode())
    edited = b"\n".join(lines).decode()
    if definition.name not in changes:
        return edited
    name = re.escape(definition.name)
    return re.sub(rf"^((?:async )?def|class) {name}\b", rf"\1 {changes[definition.name]}", edited, flags=re.MULTILINE)


def _spots(tree: ast.AST, changes: dict[str, str]) -> Iterator[tuple[int, int, str]]:
    """Line, column (both from 0) and path of all that has to be renamed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (path := dotted(node)) in changes:
            assert path is not None
            yield node.lineno - 1, node.col_offset, path

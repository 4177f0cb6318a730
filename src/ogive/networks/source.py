"""Read Python modules as text: where each global name is bound, and which names a statement takes from outside."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import symtable
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from ogive.core.errors import SpecError

__all__ = [
    "Definition",
    "File",
    "Import",
    "Target",
    "bound",
    "dotted",
    "eager",
    "file_of",
    "free_names",
    "hidden_names",
    "of_the_project",
    "paths",
]


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `import module as name`, or `from module import attribute as name`."""

    module: str
    attribute: str | None
    name: str

    @property
    def plain(self) -> bool:
        """Whether this is `import a.b.c`, which binds `a`."""
        return self.attribute is None and self.name == self.module.partition(".")[0]

    def canonical(self) -> Import:
        """One form of the two that mean the same: `import a.b as b` is `from a import b`, the reverse for `as c`."""
        if self.attribute is None:
            package, _, last = self.module.rpartition(".")
            return Import(package, last, last) if package and last == self.name else self
        module = importlib.import_module(self.module)
        if self.name == self.attribute or not isinstance(getattr(module, self.attribute, None), ModuleType):
            return self
        return Import(f"{self.module}.{self.attribute}", None, self.name)


@dataclass(eq=False)
class Definition:
    """The statements of a module that together define one name."""

    file: File
    name: str
    statements: list[ast.stmt]
    uses: dict[str, Target] = field(default_factory=dict)  # name or dotted path in the text -> what it means

    @property
    def text(self) -> str:
        """The statements as they stand in their file."""
        return "\n".join(self.file.text_of(statement) for statement in self.statements)

    def __str__(self) -> str:
        return f"{self.file.module.__name__}.{self.name}"


Target = Definition | Import


class File:
    """The text of one module, and where each of its global names is bound."""

    def __init__(self, module: ModuleType) -> None:
        try:
            text = inspect.getsource(module)
        except (OSError, TypeError):
            raise SpecError(
                f"Only a network that is defined in a file can be written as source, and {module.__name__} has none."
            ) from None
        self.module = module
        self.definitions: dict[str, Definition] = {}
        self.entangled: set[str] = set()  # names that share a statement, and so cannot be copied one by one
        self.imports: dict[str, Import] = {}
        self._lines = text.splitlines()
        for statement in ast.parse(text).body:
            self._bind(statement)

    def text_of(self, statement: ast.stmt) -> str:
        """The lines of a statement, with its decorators and the comment that stands directly above."""
        decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(decorator.lineno for decorator in decorators)]) - 1
        while first > 0 and self._lines[first - 1].startswith("#"):
            first -= 1
        return "\n".join(self._lines[first : statement.end_lineno])

    def _bind(self, statement: ast.stmt) -> None:
        names = set(bound(statement))
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self._bind_import(statement)
        elif isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING"):
            for inner in statement.body:
                self._bind(inner)
        elif len(names) > 1:
            self.entangled |= names
        elif names:
            name = names.pop()
            self.definitions.setdefault(name, Definition(self, name, [])).statements.append(statement)
        elif (completed := self.definitions.get(_changed(statement) or "")) is not None:
            completed.statements.append(statement)

    def _bind_import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for alias in statement.names:
            name = alias.asname or alias.name
            if isinstance(statement, ast.ImportFrom):
                origin = "." * statement.level + (statement.module or "")
                module = importlib.util.resolve_name(origin, self.module.__package__)
                self.imports[name] = Import(module, alias.name, name)
            elif alias.asname:
                self.imports[name] = Import(alias.name, None, name)
            else:
                package = name.partition(".")[0]
                self.imports[name] = Import(name, None, package)
                self.imports.setdefault(package, Import(package, None, package))

    def imported(self, path: str) -> tuple[str, Import | None]:
        """The import that a dotted path begins with, and how much of the path it covers (the longest that is bound)."""
        parts = path.split(".")
        for length in range(len(parts), 0, -1):
            if (known := self.imports.get(".".join(parts[:length]))) is not None:
                return ".".join(parts[:length]), known
        return parts[0], None

    def of_the_project(self) -> bool:
        """Whether the module's code may be copied."""
        return of_the_project(self.module.__name__)


@functools.cache
def file_of(module: str) -> File:
    """The file of a module, read once; `file_of.cache_clear()` forgets."""
    return File(sys.modules.get(module) or importlib.import_module(module))


@functools.cache
def of_the_project(module: str) -> bool:
    """Whether code of a module may be copied: it is not torch's, not Python's, and not installed beside them."""
    package = module.partition(".")[0]
    if package in {"ogive", "__main__"}:
        return True
    if package in {"torch", *sys.stdlib_module_names}:
        return False
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # a module that was made by hand
        return False
    places = [found.origin, *(found.submodule_search_locations or ())] if found else []
    return any(place and not {"site-packages", "dist-packages"} & set(Path(place).parts) for place in places)


# -- what a top-level statement does ----------------------------------------------------------------------------------


def bound(statement: ast.stmt) -> Iterator[str]:
    """The global names that a statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        for node in (node for target in statement.targets for node in ast.walk(target)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id
    elif isinstance(statement, ast.If | ast.Try | ast.For | ast.With):
        for inner in ast.iter_child_nodes(statement):
            yield from bound(inner) if isinstance(inner, ast.stmt) else ()


def _changed(statement: ast.stmt) -> str | None:
    """The global whose value a statement completes: `OPS["zero"] = Zero`, `OPS.update(...)`, `Block.depth = 3`."""
    node: ast.expr | None = None
    if isinstance(statement, ast.Assign):
        node = statement.targets[0]
    elif isinstance(statement, ast.AugAssign):
        node = statement.target
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        node = statement.value.func if isinstance(statement.value.func, ast.Attribute) else None
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


# -- names in a text --------------------------------------------------------------------------------------------------


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` for a name with attributes, None for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (rest := dotted(node.value)) is not None:
        return f"{rest}.{node.attr}"
    return None


def paths(node: ast.AST) -> Iterator[str]:
    """Every name, with all its attributes, in the order of the text: `x`, `ops.Zero.apply`."""
    if (path := dotted(node)) is not None:
        yield path
        return
    for child in ast.iter_child_nodes(node):
        yield from paths(child)


def eager(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that run when a statement is executed, not later: no bodies of functions, no annotations."""
    for name, value in ast.iter_fields(node):
        is_body = name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if is_body or name in {"annotation", "returns"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.expr):
                yield child
            if isinstance(child, ast.AST):
                yield from eager(child)


def _scopes(text: str) -> Iterator[symtable.SymbolTable]:
    waiting = [symtable.symtable(text, "<definition>", "exec")]
    while waiting:
        scope = waiting.pop()
        yield scope
        waiting.extend(scope.get_children())


def free_names(text: str) -> set[str]:
    """The names that a text takes from its module or from Python, by the rules of scopes."""
    return {
        symbol.get_name()
        for scope in _scopes(text)
        for symbol in scope.get_symbols()
        if symbol.is_referenced() and (scope.get_type() == "module" or symbol.is_global())
    }


def hidden_names(text: str) -> set[str]:
    """The names that some function or class in a text binds for itself."""
    return {
        symbol.get_name()
        for scope in _scopes(text)
        if scope.get_type() != "module"
        for symbol in scope.get_symbols()
        if symbol.is_local() or symbol.is_parameter()
    }

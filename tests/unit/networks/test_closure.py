from __future__ import annotations

import ast
import importlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ogive.core.errors import SpecError
from ogive.networks.closure import collect
from ogive.networks.source import Import

Project = Callable[..., Any]
numbers = itertools.count()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Writes modules of somebody's project and imports the first; NAME_ in their text becomes a fresh prefix."""
    prefix = f"project{next(numbers)}_"
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**texts: str) -> Any:
        for name, text in texts.items():
            (tmp_path / f"{prefix}{name}.py").write_text(text.replace("NAME_", prefix), encoding="utf-8")
        importlib.invalidate_caches()
        for name in reversed(texts):
            monkeypatch.delitem(sys.modules, f"{prefix}{name}", raising=False)
        return importlib.import_module(prefix + next(iter(texts)))

    return write


def run(collected: Any) -> dict[str, Any]:
    """Execute what was collected, and nothing else."""
    lines = ["from __future__ import annotations"]
    for entry in collected.imports:
        origin = (
            f"import {entry.module}" if entry.attribute is None else f"from {entry.module} import {entry.attribute}"
        )
        lines.append(origin if entry.plain else f"{origin} as {entry.name}")
    namespace: dict[str, Any] = {"__name__": "copied"}
    exec("\n".join([*lines, *collected.texts]), namespace)
    return namespace


def defined(collected: Any) -> list[str]:
    """The names that the copied texts bind, from top to bottom."""
    names = []
    for statement in ast.parse("\n".join(collected.texts)).body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            names.append(statement.name)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            names.append(statement.targets[0].id)
    return names


def test_only_what_is_used_is_copied_and_each_thing_stands_before_its_use(project: Project) -> None:
    module = project(
        net="""
from NAME_parts import Part

class Net:
    def value(self):
        return Part().value() + OFFSET

OFFSET = 1

def unused():
    return OFFSET
""",
        parts="""
def helper():
    return 40

class Part:
    def value(self):
        return helper() + 1

class Other(Part):
    pass
""",
    )
    collected = collect(module.Net)
    assert defined(collected) == ["helper", "Part", "OFFSET", "Net"]
    assert run(collected)["Net"]().value() == 42


def test_names_reached_through_modules_and_aliases_are_followed(project: Project) -> None:
    module = project(
        net="""
import NAME_parts
import NAME_parts as parts
from NAME_parts import one as first
from NAME_again import two

class Net:
    def value(self):
        return first() + two() + parts.three() + NAME_parts.deeper.four()
""",
        again="from NAME_parts import two\n",
        parts="""
import NAME_deeper as deeper

def one(): return 1
def two(): return 2
def three(): return 3
""",
        deeper="def four(): return 4\n",
    )
    assert module.Net().value() == 10
    collected = collect(module.Net)
    assert collected.imports == frozenset()
    assert run(collected)["Net"]().value() == 10


def test_things_of_the_same_name_in_two_modules_are_kept_apart(project: Project) -> None:
    module = project(
        net="""
from NAME_parts import part

def _size(): return 1

class Net:
    def value(self): return (_size(), part())
""",
        parts="""
def _size(): return 2

def part():
    return _size()
""",
    )
    assert run(collect(module.Net))["Net"]().value() == (1, 2)


def test_a_class_whose_name_the_caller_needs_is_renamed_everywhere(project: Project) -> None:
    module = project(
        net="""
from __future__ import annotations

class network:
    def twin(self) -> network:
        return network()
"""
    )
    collected = collect(module.network, frozenset({"network"}))
    assert collected.name != "network"
    namespace = run(collected)
    assert "network" not in namespace
    assert type(namespace[collected.name]().twin()) is namespace[collected.name]


def test_a_local_name_that_hides_a_global_is_not_taken_for_it(project: Project) -> None:
    module = project(
        net="""
import numpy
WIDTH = 7

def unused(): return numpy.ones(3)

class Net:
    def value(self, unused, numpy=3):
        WIDTH = unused
        return WIDTH + numpy
"""
    )
    collected = collect(module.Net)
    assert defined(collected) == ["Net"]
    assert run(collected)["Net"]().value(4) == 7


def test_a_rename_that_would_reach_a_local_name_is_refused(project: Project) -> None:
    module = project(
        net="""
class Net:
    def value(self):
        def inner(load): return load
        return inner(load())

def load(): return 1
"""
    )
    with pytest.raises(SpecError, match="uses load both for a global and for a name of its own"):
        collect(module.Net, frozenset({"load"}))


def test_a_table_comes_with_the_statements_that_complete_it(project: Project) -> None:
    module = project(
        net="""
from NAME_table import TABLE

class Net:
    def value(self): return sorted(TABLE)
""",
        table="""
# What a name means.
TABLE: dict[str, object] = {"a": 1}
TABLE["b"] = 2
TABLE.update(c=3)
OTHER = {}
OTHER["d"] = 4
""",
    )
    collected = collect(module.Net)
    assert run(collected)["Net"]().value() == ["a", "b", "c"]
    assert "# What a name means." in collected.texts[0]
    assert not any("OTHER" in text for text in collected.texts)


def test_bases_decorators_defaults_and_called_functions_come_first(project: Project) -> None:
    module = project(
        net="""
import functools

class Net:
    def value(self):
        return Child().value(), SQUARES, doubled(3)

class Child:  # replaced below
    pass

def twice(function):
    @functools.wraps(function)
    def run(number): return function(number) * factor()
    return run

def factor(): return 2

@twice
def doubled(number): return number

class Base:
    def value(self, number=factor()):
        return Child, number

class Child(Base):
    def value(self): return super().value()[1]

SQUARES = [square(k) for k in range(3)] if False else [factor()]

def square(k): return k * k
"""
    )
    assert run(collect(module.Net))["Net"]().value() == (2, [2], 6)


def test_definitions_that_call_each_other_are_no_problem(project: Project) -> None:
    module = project(
        net="""
class Net:
    def value(self, n=4): return even(n)

def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
"""
    )
    assert run(collect(module.Net))["Net"]().value() is True


def test_imports_of_torch_and_python_are_kept_in_one_form(project: Project) -> None:
    module = project(
        net="""
from __future__ import annotations
import math
import torch.nn as nn
import torch.nn.functional as F
from NAME_parts import part
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from collections.abc import Sequence

class Net(nn.Module):
    def forward(self, x: Sequence[float]):
        return F.relu(part(x)) * math.pi
""",
        parts="""
from torch.nn import functional as F
from torch import nn
import torch.utils.checkpoint

def part(x):
    return nn.Identity()(F.relu(torch.utils.checkpoint.checkpoint(torch.abs, x, use_reentrant=False)))
""",
    )
    collected = collect(module.Net)
    assert collected.imports == {
        Import("collections.abc", "Sequence", "Sequence"),
        Import("math", None, "math"),
        Import("torch", None, "torch"),
        Import("torch", "nn", "nn"),
        Import("torch.nn.functional", None, "F"),
        Import("torch.utils.checkpoint", None, "torch"),
    }
    assert "Net" in run(collected)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import numpy\nclass Net:\n    def f(self): return numpy.ones(3)\n", "torch and the standard library only"),
        ("class Net:\n    def f(self):\n        import numpy\n", "torch and the standard library only"),
        ("class Net:\n    def f(self):\n        from ogive.networks import ops\n", "inside its body"),
        ("class Net:\n    def f(self): return missing\n", "uses missing, which cannot be copied"),
        ("A, B = 1, 2\nclass Net:\n    def f(self): return A\n", "uses A, which cannot be copied"),
        ("import ogive.networks.ops as ops\nclass Net:\n    def f(self): return ops\n", "as a value"),
        ("def make():\n    class Net: pass\n    return Net\nNet = make()\n", "top level of a module"),
    ],
)
def test_what_cannot_be_copied_is_refused_with_the_reason(project: Project, text: str, complaint: str) -> None:
    module = project(net=text)
    with pytest.raises(SpecError, match=complaint):
        collect(module.Net)


def test_classes_of_torch_itself_are_not_copied() -> None:
    from torch import nn

    with pytest.raises(SpecError, match=r"Only a class of your own .*Sequential is none"):
        collect(nn.Sequential)


def test_a_class_without_a_file_is_refused() -> None:
    with pytest.raises(SpecError, match="Only a class of your own"):
        collect(type("Net", (), {"__module__": "builtins"}))


def test_an_edited_file_is_read_again(project: Project) -> None:
    module = project(net="class Net:\n    value = 1\n")
    assert run(collect(module.Net))["Net"].value == 1
    Path(module.__file__).write_text("class Net:\n    value = 2  # longer than before\n", encoding="utf-8")
    assert run(collect(module.Net))["Net"].value == 2

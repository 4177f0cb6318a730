"""Write a network as one Python file that a person can read and edit, and that needs torch and nothing of ogive."""

from __future__ import annotations

import ast
import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import metadata
from typing import Any, Protocol, runtime_checkable

from torch import nn

from ogive.core.errors import SpecError
from ogive.networks.closure import collect
from ogive.networks.plain import Plain
from ogive.networks.source import Import, bound, of_the_project

__all__ = ["literal", "standalone"]

WIDTH = 120
BLOCK = re.compile(r"^(@|def |async def |class |if )", re.MULTILINE)
BRACKETS: dict[type, tuple[str, str]] = {tuple: ("(", ")"), list: ("[", "]"), dict: ("{", "}")}

# What load() and main() of every file use.
IMPORTS = frozenset(
    {
        Import("argparse", None, "argparse"),
        Import("pathlib", "Path", "Path"),
        Import("torch", None, "torch"),
        Import("torch", "Tensor", "Tensor"),
        Import("torch", "nn", "nn"),
    }
)


def standalone(network: nn.Module, plain: Plain, *, name: str, headline: str | None = None) -> str:
    """The text of NAME.py; raises SpecError for a network that cannot be written as source.

    A network can if its class stands at the top level of a file, needs only torch and Python, and its instances carry
    `recipe`: the keyword arguments that rebuild it, literals and values of classes for which the same is true, or which
    are dataclasses or without state. `headline` says what it is and what made it.
    """
    recipe = _recipe(network)
    constants, functions, needed = f"{WEIGHTS}\n{plain.constants}", [LOAD, *plain.functions], IMPORTS | plain.imports
    own = {name for statement in ast.parse("\n".join([constants, *functions])).body for name in bound(statement)}
    kinds = list(dict.fromkeys(_kinds(recipe)))
    collected = collect(type(network), needed | own | {"network"}, kinds)
    written = _spelt(recipe, dict(zip(kinds, collected.others, strict=True)))
    call = f"return {_call(collected.name, written)}"
    body = [
        *collected.texts,
        f'def network() -> nn.Module:\n    """Build the network with fresh weights."""\n    {call}',
        *functions,
        'if __name__ == "__main__":\n    main()',
    ]
    docstring = _docstring(network, plain, name, headline or "")
    return _joined([docstring, _imports(needed | collected.imports), constants], body)


@runtime_checkable
class Rebuilt(Protocol):
    """A network, or a part of it, that says what makes another one like it."""

    @property
    def recipe(self) -> dict[str, object]:
        """The arguments of its constructor."""
        ...


def _recipe(network: nn.Module) -> dict[str, object]:
    recipe: Any = network.recipe if isinstance(network, Rebuilt) else None
    if not isinstance(recipe, dict) or not all(isinstance(key, str) for key in recipe):
        name = type(network).__name__
        raise SpecError(
            f"To write {name} as source, ogive must know what rebuilds it. Set self.recipe in its constructor: a "
            f"dictionary such that {name}(**self.recipe) makes the same network, of numbers, strings, tuples, lists "
            "and dictionaries only."
        )
    return recipe


class _Expression(str):
    """Text that stands in the file as it is."""

    __slots__ = ()


def _arguments(value: object) -> dict[str, object] | None:
    """What makes an equal value, of one's own class; None for a literal, or what shall be one."""
    if isinstance(value, type) or not of_the_project(type(value).__module__):
        return None
    if isinstance(value, Rebuilt):
        return dict(value.recipe)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    if vars(value):
        name = type(value).__name__
        raise SpecError(
            f"To write {name} as source, ogive must know what makes another one: make it a dataclass, or set "
            f"self.recipe in its constructor, a dictionary such that {name}(**self.recipe) is its equal."
        )
    return {}


def _kinds(value: object) -> Iterator[type]:
    """The classes of all in a recipe that is no literal."""
    arguments = _arguments(value)
    inner = arguments if arguments is not None else value
    for one in inner.values() if isinstance(inner, dict) else inner if isinstance(inner, tuple | list) else ():
        yield from _kinds(one)
    if arguments is not None:
        yield type(value)


def _spelt(value: Any, names: Mapping[type, str]) -> Any:
    """A recipe in which what makes a value stands for each that is no literal."""
    arguments = _arguments(value)
    if arguments is not None:
        written = (f"{key}={literal(_spelt(one, names))}" for key, one in arguments.items())
        return _Expression(f"{names[type(value)]}({', '.join(written)})")
    if isinstance(value, dict):
        return {key: _spelt(one, names) for key, one in value.items()}
    return type(value)(_spelt(one, names) for one in value) if type(value) in (tuple, list) else value


# -- the parts of the file --------------------------------------------------------------------------------------------


def _docstring(network: nn.Module, plain: Plain, name: str, headline: str) -> str:
    parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    weights = f"and has {parameters:,} trainable parameters; their trained values are in {name}.safetensors. "
    weights += "The architecture itself stands in network(), below the definitions of its parts."
    paragraphs = [
        f"{name}: a network exported by ogive {_version()}. It does not need ogive; change it as you like.",
        headline.replace("\\", "/").replace('"', "'").strip("\n"),
        f"{plain.takes}{weights}",
        plain.usage.replace("NAME", name),
    ]
    text = "\n\n".join(_filled(paragraph) for paragraph in paragraphs if paragraph)
    return f'"""{text}\n"""'


def _filled(paragraph: str) -> str:
    """The same lines, with those that are too long broken."""
    lines = paragraph.splitlines()
    return "\n".join(textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in lines)


def _version() -> str:
    try:
        return metadata.version("ogive")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _imports(imports: Iterable[Import]) -> str:
    """The import statements, in the order of isort: standard library, then torch; whole modules, then names."""
    blocks = ["from __future__ import annotations"]
    for ours in (False, True):
        block = {entry for entry in imports if (entry.module.partition(".")[0] == "torch") == ours}
        block = {entry for entry in block if entry.module != "__future__"}
        whole = sorted({_import_line(entry) for entry in block if entry.attribute is None}, key=str.casefold)
        modules = sorted({entry.module for entry in block if entry.attribute is not None})
        lines = whole + [_from_line(module, block) for module in modules]
        blocks += ["\n".join(lines)] if lines else []
    return "\n\n".join(blocks)


def _import_line(entry: Import) -> str:
    return f"import {entry.module}" if entry.plain else f"import {entry.module} as {entry.name}"


def _from_line(module: str, block: set[Import]) -> str:
    def rank(entry: Import) -> tuple[int, str]:
        name = str(entry.attribute)
        return (0 if name.isupper() else 1 if name[0].isupper() else 2), name.casefold()

    entries = sorted((entry for entry in block if entry.module == module and entry.attribute), key=rank)
    same = [str(entry.attribute) for entry in entries if entry.name == entry.attribute]
    lines = [f"from {module} import {', '.join(same)}"] if same else []
    lines += [f"from {module} import {e.attribute} as {e.name}" for e in entries if e.name != e.attribute]
    if same and len(lines[0]) > WIDTH:
        lines[0] = f"from {module} import (\n" + "".join(f"    {name},\n" for name in same) + ")"
    return "\n".join(lines)


def _joined(head: Sequence[str], body: Sequence[str]) -> str:
    """Two blank lines around functions and classes, one after each part of the head, none between assignments."""
    text = "\n\n".join(head) + "\n"
    after_block, assigned = False, False
    for part in body:
        block = BLOCK.search(part) is not None
        text += ("\n\n" if block or after_block else "" if assigned else "\n") + part + "\n"
        after_block, assigned = block, True
    return text


WEIGHTS = 'WEIGHTS = Path(__file__).with_suffix(".safetensors")'

LOAD = '''\
def load(weights: str | Path = WEIGHTS) -> nn.Module:
    """Build the network, give it its trained weights, and make it ready to be used."""
    from safetensors.torch import load_file

    net = network()
    net.load_state_dict(load_file(weights))
    return net.eval()'''


# -- values as ruff would write them ----------------------------------------------------------------------------------


def _call(name: str, recipe: dict[str, object]) -> str:
    arguments = [f"{key}={literal(value, indent=8, used=len(key) + 2)}" for key, value in recipe.items()]
    line = f"{name}({', '.join(f'{key}={literal(value)}' for key, value in recipe.items())})"
    if "\n" not in line and len(line) + len("    return ") <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"        {argument},\n" for argument in arguments) + "    )"


def literal(value: object, *, indent: int = 0, used: int = 0) -> str:
    """A value as Python text; raises SpecError if it is not made of plain literals.

    A container that does not fit the line, of which `indent + used` columns are taken, has one element a line.
    """
    if type(value) not in BRACKETS:
        return _atom(value)
    assert isinstance(value, tuple | list | dict)
    opening, closing = BRACKETS[type(value)]
    keys = [f"{_atom(key)}: " for key in value] if isinstance(value, dict) else [""] * len(value)
    values = list(value.values()) if isinstance(value, dict) else list(value)
    items = [f"{key}{literal(item)}" for key, item in zip(keys, values, strict=True)]
    single = "," if isinstance(value, tuple) and len(value) == 1 else ""
    line = f"{opening}{', '.join(items)}{single}{closing}"
    # One column more for the comma or bracket that follows.
    if "\n" not in line and indent + used + len(line) + 1 <= WIDTH:
        return line
    inner = [
        f"{' ' * (indent + 4)}{key}{literal(item, indent=indent + 4, used=len(key))},\n"
        for key, item in zip(keys, values, strict=True)
    ]
    return f"{opening}\n{''.join(inner)}{' ' * indent}{closing}"


def _atom(value: object) -> str:
    if isinstance(value, _Expression):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"A recipe holds plain literals only, and {value} cannot be written as one.")
    if type(value) is str:
        text = repr(value)
        return f'"{text[1:-1]}"' if text.startswith("'") and '"' not in text else text
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    raise SpecError(
        f"A recipe holds plain literals only (numbers, strings, tuples, lists, dictionaries), but got {value!r}, "
        f"a {type(value).__module__}.{type(value).__qualname__}."
    )

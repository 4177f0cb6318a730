"""What may be written of a part: the parameters of whatever makes it, as their annotations say."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, Union

from ogive.registry import PARTS
from ogive.spec import Spec

__all__ = [
    "FLAGS",
    "GIVEN",
    "alternatives",
    "evaluated",
    "is_plain",
    "is_writable",
    "kind_of",
    "parameters_of",
    "readable",
    "spelt",
    "way",
]

# What somebody gives who is asked for it.
_WORDS = {"task": "data"}
# What is written in the brackets of a part that works with another one.
_INSIDE = {
    "scorer": "training_free(naswot)",
    "searcher": "darts",
    "predictor": "trees, ...",
    "proposer": "predictor, exhaustive",
    "teacher": "predictor, trained",
    "weights": "supernet(epochs=20)",
    "file": "epoch-000600.safetensors",
}
# What may be written inside of a part or given once.
_ONCE = {"weights": '--weights "supernet(epochs=20)"'}
# Parameters whose annotation is not the name of their kind.
_KIND_OF = {"weightsource": "weights"}
# What is given once for a whole search, and the flag for it.
FLAGS: dict[str, str] = {
    "data": "--data digits",
    "table": "--table nasbench201",
    "space": "--space nasbench201",
    "seed": "--seed 1",
    "budget": "--budget 200",
}
# Parameters that are filled from the context, so that the options of a part leave them out.
GIVEN = frozenset(FLAGS) | {"task", "device", "folder", "fidelity", "objectives", "constraints", "spreads"}


def parameters_of(maker: Any) -> dict[str, inspect.Parameter]:
    """The constructor's parameters, with their annotations evaluated; one without takes anything."""
    function = maker.__init__ if inspect.isclass(maker) else getattr(maker, "func", maker)  # of a functools.partial
    parameters = inspect.signature(maker).parameters
    scope = getattr(function, "__globals__", {})
    return {
        name: p.replace(annotation=Any if p.annotation is p.empty else evaluated(p.annotation, scope))
        for name, p in parameters.items()
    }


def evaluated(annotation: Any, scope: dict[str, Any]) -> Any:
    """The annotation as a type; Any where it names what only the type checker imports."""
    try:
        return typing.get_type_hints(types.SimpleNamespace(__annotations__={"it": annotation}), scope)["it"]
    except NameError:
        return Any


def way(name: str, spec: Spec) -> str:
    """What a part lacks, and how it is given to it."""
    name = _WORDS.get(name, name)
    return f"{name}: {_way(name, spec)}"


def _way(name: str, spec: Spec) -> str:
    if name in _INSIDE:
        once = f", or give {_ONCE[name]} to the search" if name in _ONCE else ""
        return f"write {spec.name}({_INSIDE[name]}){once}"
    return f"give {FLAGS[name]}" if name in FLAGS else f"write {spec.name}({name}=...)"


def is_writable(parameter: inspect.Parameter) -> bool:
    """Whether somebody may set the parameter in ``name(option=value)``: it is no context and made of plain values."""
    return parameter.name not in GIVEN and any(is_plain(choice) for choice in alternatives(parameter.annotation))


def is_plain(annotation: Any) -> bool:
    """Whether a value for it can be written: a number, a word, a list of these, a file or a part."""
    origin = typing.get_origin(annotation)
    if origin in (list, tuple, Sequence):
        return all(is_plain(inner) for inner in typing.get_args(annotation) if inner is not ...)
    plain = annotation in (Any, bool, int, float, str) or getattr(annotation, "__name__", "") == "Path"
    return origin is Literal or plain or annotation is Spec or kind_of(annotation) in PARTS


def kind_of(annotation: Any) -> str:
    """The kind of part that an annotation stands for, if it stands for one."""
    name = getattr(annotation, "__name__", "").lower()
    return _KIND_OF.get(name, name)


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """What an annotation of several types allows."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def spelt(value: Any) -> Any:
    """A default as somebody would write it: a part by its name in the catalog."""
    target = f"{type(value).__module__}:{type(value).__qualname__}"
    return next((name for parts in PARTS.values() for name, known in parts.items() if known == target), value)


def readable(annotation: Any) -> str:
    """An annotation in words."""
    choices = []
    for choice in alternatives(annotation):
        if typing.get_origin(choice) is Literal:
            choices += [repr(option) for option in typing.get_args(choice)]
        else:
            choices.append("none" if choice is types.NoneType else getattr(choice, "__name__", str(choice)))
    return " or ".join(choices)

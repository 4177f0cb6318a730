"""The catalog: what parts there are, what each takes, and how one is built from ``name(part, key=value)``.

A package adds parts of its own through entry points of the group ``ogive.plugins``, named ``kind.name``::

    [project.entry-points."ogive.plugins"]
    "strategy.tabu" = "my_package.search:TabuSearch"
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from typing import Any, Literal

from ogive.context import Context
from ogive.core.errors import SpecError, UnknownName, shortened
from ogive.parameters import (
    FLAGS,
    GIVEN,
    alternatives,
    evaluated,
    is_plain,
    is_writable,
    kind_of,
    parameters_of,
    readable,
    spelt,
    way,
)
from ogive.plugins import KINDS, plugins
from ogive.registry import PARTS, known, load, names, resolve, version
from ogive.spec import Spec, parse, parse_data, spelled_today, written

__all__ = [
    "KINDS",
    "build",
    "documentation",
    "filled",
    "inner_parts",
    "inputs",
    "load",
    "loader",
    "make",
    "names",
    "options",
    "resolve",
    "summary",
    "task_of",
    "tasks",
    "tasks_apart",
    "version",
]

# Data that load themselves by their whole name; all others are images, which `load_data` reads.
_LOADING = ("arrays:FILE.npz", "csv:FILE", "sentences:FILE", "text:FOLDER", "coco:FOLDER", "voc:FOLDER")
# Kinds of parameters that may be written key=value.
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
# What is given once for a whole search as an object; from Python a part may be given it alone.
_OBJECTS = frozenset({"data", "space", "task", "seed"})
# Parameters whose options are those of a dataclass that the task of the search names.
_OF_TASK = ("recipe", "measuring")
# Tasks whose networks are those of another one.
NETWORKS = {"labelling": "classification"}


def build(kind: str, text: str | Spec, context: Context | None = None, **options: Any) -> Any:
    """Make a part. Constructor parameters that the text does not set are taken from the context by their names.

    `options` are as if they stood in the text, or objects: ``build("strategy", "darts", space=..., gate=MyGate())``;
    objects that are given once for a whole search are as if they stood in the context.
    Values are checked against the annotations of the constructor. Raises UnknownName for an unknown part or option,
    SpecError for a value of the wrong type and for something that the context should hold and does not.
    """
    if kind == "data":
        name, written = parse_data(text)
        return make(loader(name), Spec("data", (name,), {**written, **options}))
    spec = parse(text) if isinstance(text, str) else text
    context = _given_once(context or Context(), options)
    spec = Spec(spec.name, spec.args, {**spec.options, **options})
    today = spelled_today(spec)
    if today != spec:
        raise SpecError(
            f"{_cut(spec)} is now written {_cut(today)}: weights are a part of their own (ogive list weights)."
        )
    context = _completed(context)
    return make(resolve(kind, spec.name), spec, context)


def make(maker: Callable[..., Any], spec: Spec, context: Context | None = None) -> Any:
    """Call a class or function with the arguments of `spec`, checked and filled up as in `build`."""
    parameters = parameters_of(maker)
    context = Context() if context is None else context
    slots = _Slots(context.drawing(spec.name) if "seed" in parameters else context)
    arguments = _positional(spec, parameters, slots)
    return maker(*arguments, **_keywords(spec, parameters, slots, taken=len(arguments)))


def filled(kind: type[Any], options: Mapping[str, Any], name: str = "training") -> Any:
    """A frozen dataclass from options as they are written, checked and filled up from its preset as in `build`."""
    record = _Record("", kind, _fields(kind), None)
    for option in options:
        if option not in record.fields:
            raise UnknownName(f"option of {name}", option, record.fields)
    return record.made(Spec(name, (), dict(options)), Context())


def tasks_apart(kind: str, name: str) -> list[str]:
    """The tasks for which a part has options of their own."""
    parameters = {} if kind == "data" else parameters_of(resolve(kind, name))
    records = (one for p in parameters.values() for one in alternatives(p.annotation) if is_dataclass(one))
    return sorted({one.task for one in records if hasattr(one, "task")})


def options(kind: str, name: str, task: str = "classification") -> dict[str, Any]:
    """Names and defaults of the options that somebody may write in ``name(option=value)``, where that is the task."""
    resolve(kind, name)  # an unknown one is refused
    if kind == "score":
        return {"repeats": 1}  # nothing else can be written of one: `ogive.scores.repeats`
    if kind == "data":
        optional = list(parameters_of(loader(name)).values())[1:]  # the first takes the name
        return {p.name: p.default for p in optional if any(map(is_plain, alternatives(p.annotation)))}
    parameters = parameters_of(resolve(kind, name))
    written = (p for p in parameters.values() if p.kind in _NAMED and is_writable(p))
    records = _records(parameters, Context({"task": lambda: load(PARTS["task"][task])}))
    apart = {record.parameter for record in records}
    own = {p.name: spelt(p.default) for p in written if p.default is not p.empty and p.name not in apart}
    return own | {option: value for record in records for option, value in record.defaults().items()}


def loader(name: str) -> Callable[..., Any]:
    """What loads data of this name, given the name and options as keywords: ``digits``, ``csv:houses.csv``."""
    kind, colon, _ = name.partition(":")
    alike = [own for own in known("data") if own == name or (colon and own.startswith(f"{kind}:"))]
    own = alike[0] if alike else ""
    found: Callable[..., Any] = resolve("data", own) if own in (*_LOADING, *plugins("data")) else load("load_data")
    return found


def inner_parts(kind: str, name: str) -> list[str]:
    """What must be written inside of ``name(…)`` before its options; "parts, …" for any number of them."""
    if kind == "score":
        return []  # the network and the images come from the search
    written = (p for p in parameters_of(resolve(kind, name)).values() if p.kind is not p.KEYWORD_ONLY)
    needed = (p for p in written if p.default is p.empty and p.name not in GIVEN)
    return [f"{p.name}, …" if p.kind is p.VAR_POSITIONAL else p.name for p in needed]


def summary(kind: str, name: str) -> str:
    """The first line of the part's documentation."""
    return documentation(kind, name).partition("\n")[0]


def documentation(kind: str, name: str) -> str:
    """All of it."""
    return inspect.getdoc(resolve(kind, name)) or ""


def tasks(kind: str, name: str) -> tuple[str, ...]:
    """What the networks of a space are for, or what may be done with data: a space and data need one in common."""
    return tuple(dict.fromkeys(task for part in _served(kind, name) for task in part.tasks))


def inputs(kind: str, name: str) -> tuple[str, ...]:
    """What networks of a space read, or what data hold: "images", "rows" or "words"."""
    parts = _served(kind, name)
    return tuple(part.kind for part in parts) if kind == "data" else tuple(parts[0].inputs)


def _served(kind: str, name: str) -> tuple[Any, ...]:
    """The space, or the classes of what a reader of data says that it may return; none where it does not say."""
    if kind != "data":
        return (build(kind, name),)
    made = resolve(kind, name)
    told = evaluated(inspect.signature(made).return_annotation, getattr(made, "__globals__", {}))
    return tuple(part for part in alternatives(told) if inspect.isclass(part) and part is not inspect.Signature.empty)


def task_of(space: Any, data: Any, context: Context | None = None) -> Any:
    """What networks of the space do with the data: the first task that both serve; None without data.

    SpecError names what either is for where they have none in common, and what networks of the space read.
    """
    if data is None:
        return None
    if data.kind not in space.inputs and {NETWORKS.get(name, name) for name in data.tasks} & set(space.tasks):
        raise SpecError(
            f"{data.name} holds {data.kind}, and networks of {space.name} read {' or '.join(space.inputs)}: give other "
            "data, or another space."
        )
    for name in data.tasks:
        if NETWORKS.get(name, name) in space.tasks:
            return build("task", name, (context or Context()).having(data=lambda: data, space=lambda: space))
    raise SpecError(
        f"{data.name} is data for {' or '.join(data.tasks)}, and networks of {space.name} are for "
        f"{' or '.join(space.tasks) or 'nothing but look-ups in tables'}: give other data, or another space."
    )


def _given_once(context: Context, options: dict[str, Any]) -> Context:
    """The context with what it is to hold, of which the options are relieved: objects, no texts."""
    objects = [name for name in _OBJECTS & options.keys() if not isinstance(options[name], (str, int, Spec))]
    once = {name: options.pop(name) for name in objects}
    seed = once.pop("seed", context.seed)
    return replace(context.having(**{name: partial(once.get, name) for name in once}), seed=seed)


def _completed(context: Context) -> Context:
    """The context with the task that follows from its space and its data, unless it holds one."""
    if "task" in context or "space" not in context or "data" not in context:
        return context
    return context.having(task=lambda: task_of(context["space"], context["data"]))


# -- arguments --------------------------------------------------------------------------------------------------------


class _Slots:
    """Gives each part that is written inside another one its context, by its place among those of its kind."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._filled: list[str] = []

    def next(self, parameter: inspect.Parameter) -> Context:
        choices = alternatives(parameter.annotation)
        kinds = (kind_of(one) for choice in choices for one in (choice, *typing.get_args(choice)))  # alone, or a list
        kind = next((one for one in kinds if one in PARTS), "")
        self._filled.append(kind)
        return self.context.inside(kind, self._filled.count(kind) - 1)


def _positional(spec: Spec, parameters: Mapping[str, inspect.Parameter], within: _Slots) -> list[Any]:
    slots = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p for p in parameters.values() if p.kind is p.VAR_POSITIONAL), None)
    if len(spec.args) > len(slots) and rest is None:
        raise SpecError(
            f"{spec.name}(...) takes at most {len(slots)} positional arguments, but got {len(spec.args)}: {_cut(spec)}."
        )
    targets = [*slots, *([rest] * len(spec.args) if rest is not None else [])]
    pairs = zip(targets, spec.args, strict=False)
    return [_value(spec, target, value, within.next(target)) for target, value in pairs]


def _keywords(spec: Spec, parameters: Mapping[str, inspect.Parameter], within: _Slots, *, taken: int) -> dict[str, Any]:
    context = within.context
    records = _records(parameters, context)
    named = {
        name: p
        for index, (name, p) in enumerate(parameters.items())
        if p.kind in _NAMED and not (index < taken and p.kind is not p.KEYWORD_ONLY)
    }
    named = {name: p for name, p in named.items() if name not in {record.parameter for record in records}}
    inside = {option for record in records for option in record.fields}
    for option in spec.options:
        if option in context and option in FLAGS and option != "table":
            raise SpecError(
                f"{spec.name}(...) takes no {option} in brackets: it is one for the whole search, "
                f"as in {FLAGS[option]}."
            )
        if option not in named and option not in inside:
            _refuse_replaced(spec, option, parameters, context)
            offered = {name for name, p in named.items() if name not in context and is_writable(p)}
            raise UnknownName(f"option of {spec.name}", option, offered | inside)
    keywords = {}
    for name, parameter in named.items():
        if name in spec.options:
            keywords[name] = _value(spec, parameter, spec.options[name], within.next(parameter))
        elif (given := context.get(name)) is not None:
            keywords[name] = given
        elif parameter.default is parameter.empty:
            raise SpecError(f"{spec.name} needs {way(name, spec)}.")
    return keywords | {record.parameter: record.made(spec, context) for record in records}


@dataclass(frozen=True)
class _Record:
    """A parameter that takes a frozen dataclass, whose fields are options of the part themselves.

    `fields` maps the options to parameters named as the fields. A dataclass with `PRESETS` has an option `preset` too,
    which names where its values begin, by default `PRESET`. `start`: the parameter's own default, where they begin
    otherwise.
    """

    parameter: str
    kind: type[Any]
    fields: Mapping[str, inspect.Parameter]
    start: Any

    def defaults(self) -> dict[str, Any]:
        """The options and their defaults."""
        preset = getattr(self.kind, "PRESET", None)
        start = self._start(preset) | {"preset": preset}
        return {option: spelt(start.get(p.name, p.default)) for option, p in self.fields.items()}

    def made(self, spec: Spec, context: Context) -> Any:
        """The dataclass with the options that were written, and with those of the whole search."""
        values: dict[str, Any] = {}
        preset = getattr(self.kind, "PRESET", None)
        for option, parameter in self.fields.items():
            name = parameter.name
            if option in spec.options:
                value = _value(spec, parameter, spec.options[option], context)
            elif name in GIVEN or (value := context.get(name)) is None:
                continue
            if option == "preset":
                preset = value
            else:
                values[name] = value
        return self.kind(**{**self._start(preset), **values})

    def _start(self, preset: str | None) -> dict[str, Any]:
        presets: Mapping[str, dict[str, Any]] = getattr(self.kind, "PRESETS", {})
        if preset is None:
            return {} if self.start is None else {p.name: getattr(self.start, p.name) for p in self.fields.values()}
        if preset not in presets:
            raise UnknownName("preset", preset, presets)
        return dict(presets[preset])


def _fields(kind: type[Any]) -> dict[str, inspect.Parameter]:
    """What may be written of a dataclass: its fields and, where it has presets, their name."""
    fields = dict(parameters_of(kind))
    if hasattr(kind, "PRESETS"):
        fields["preset"] = inspect.Parameter("preset", inspect.Parameter.KEYWORD_ONLY, default="", annotation=str)
    return fields


def _records(parameters: Mapping[str, inspect.Parameter], context: Context) -> list[_Record]:
    """The parameters that take a dataclass: as annotated, or, for what belongs to a task, as the task says."""
    taken = {name for name, p in parameters.items() if p.kind is not p.VAR_POSITIONAL}
    found: list[_Record] = []
    for name, parameter in parameters.items():
        of_task = name in _OF_TASK and "task" in parameters
        kinds = [a for a in alternatives(parameter.annotation) if inspect.isclass(a) and is_dataclass(a)]
        kinds = [a for a in kinds if a is not Spec]  # what is taken as it is written
        kind = kinds[0] if kinds else None
        if of_task or len(kinds) > 1:
            task = context.get("task")
            task = load(PARTS["task"]["classification"]) if task is None else task
            # Of several dataclasses the one for the task; the first is for all others.
            kind = next((a for a in kinds if getattr(a, "task", "") == task.name), kind)
            kind = getattr(task, name, None) if of_task else kind
        if kind is None or kind_of(kind) in PARTS or name in GIVEN or _is_replaced(parameter, context):
            continue
        fields = _fields(kind)
        options = {f"{name}_{field}" if field in taken else field: p for field, p in fields.items()}
        taken |= options.keys()
        start = parameter.default if isinstance(parameter.default, kind) else None
        found.append(_Record(name, kind, options, start))
    return found


def _is_replaced(parameter: inspect.Parameter, context: Context) -> bool:
    """Whether a part is given once for the whole search in the place of what the options of a parameter say."""
    kinds = map(kind_of, alternatives(parameter.annotation))
    return not PARTS.keys().isdisjoint(kinds) and context.get(parameter.name) is not None


def _refuse_replaced(spec: Spec, option: str, parameters: Mapping[str, inspect.Parameter], context: Context) -> None:
    """SpecError for an option of what the search gives in another way, such as `epochs` where it gives weights."""
    for record in _records(parameters, Context({"task": partial(context.get, "task")})):
        if option in record.fields and _is_replaced(parameters[record.parameter], context):
            raise SpecError(
                f"{spec.name}(...) reads no {option} here, as this search has {record.parameter} of its own: leave it "
                f"out, or leave out --{record.parameter}."
            )


def _value(spec: Spec, parameter: inspect.Parameter, value: Any, context: Context) -> Any:
    """`value` as the parameter's annotation wants it."""
    matched, converted = _as_one_of(parameter.annotation, parameter.name, value, context)
    if not matched:
        raise SpecError(
            f"{spec.name}({parameter.name}=...) takes {readable(parameter.annotation)}, but got {_cut(value)}."
        )
    return converted


def _cut(value: Any) -> str:
    """A value as it was written, with at most 200 characters of it."""
    return shortened(written(value), 200)


def _as_one_of(wanted: Any, name: str, value: Any, context: Context) -> tuple[bool, Any]:
    """Whether `value` fits one of the types that an annotation allows, and what it becomes as the first."""
    tried = (_converted(choice, name, value, context) for choice in alternatives(wanted))
    return next((found for found in tried if found[0]), (False, value))


def _converted(wanted: Any, name: str, value: Any, context: Context) -> tuple[bool, Any]:
    """Whether `value` fits one plain annotation, and what it becomes."""
    origin = typing.get_origin(wanted)
    word = value.name if isinstance(value, Spec) and not value.args and not value.options else value
    if wanted is Any:
        return True, word
    if wanted is types.NoneType:
        return value is None, None
    if origin is Literal:
        return word in typing.get_args(wanted), word
    if origin in (list, tuple, Sequence):
        return _sequence(origin, (typing.get_args(wanted) or (Any,))[0], name, value, context)
    if wanted is Spec:
        return isinstance(value, Spec), value
    if wanted is bool or isinstance(value, bool):
        return wanted is bool and isinstance(value, bool), value
    if wanted is int:
        return isinstance(value, int), value
    if wanted is float:
        return isinstance(value, (int, float)), float(value) if isinstance(value, (int, float)) else value
    if wanted is str:
        return isinstance(word, str), word
    return _built(wanted, name, value, context)


def _sequence(origin: Any, inner: Any, name: str, value: Any, context: Context) -> tuple[bool, Any]:
    if not isinstance(value, list):
        return False, value
    kind = kind_of(inner)
    items = [_as_one_of(inner, name, item, context.inside(kind, place)) for place, item in enumerate(value)]
    return all(fits for fits, _ in items), (list if origin is list else tuple)(item for _, item in items)


def _built(wanted: Any, name: str, value: Any, context: Context) -> tuple[bool, Any]:
    """A nested part: which kind is told by the annotation's name (Evaluator, Strategy, ...)."""
    kind = kind_of(wanted)
    if isinstance(value, (str, Spec)) and kind in PARTS:
        return True, build(kind, value, context)
    if name == "table" and isinstance(value, (str, Spec)):
        return True, load("open_table")(str(value))
    if getattr(wanted, "__name__", "") == "Path" and isinstance(value, (str, Spec)):
        return True, wanted(str(value))
    return not isinstance(value, (Spec, str, bool, int, float, list, types.NoneType)), value  # an object, from Python

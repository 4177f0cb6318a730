"""Metric: what a number that was measured is called, in which unit, and which way is better."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ogive.core.errors import SpecError, UnknownName, shortened

__all__ = [
    "FILE_MB",
    "LATENCY",
    "LATENCY_CPU",
    "LATENCY_HIGH",
    "LATENCY_LOW",
    "LATENCY_SPREAD",
    "MACS",
    "MEMORY",
    "PARAMS",
    "PEAK_MB",
    "TEST_ACC",
    "VAL_ACC",
    "Better",
    "Guess",
    "Metric",
    "better_of",
    "decimals",
    "is_of_test_set",
    "is_reported",
    "metric_named",
    "metrics_from",
    "names_of",
    "of_part",
    "of_version_1",
    "score_named",
    "spelt",
    "was_busy",
]

Better = Literal["larger", "smaller"]
VALIDATION, TEST = "val_", "test_"
# Names that the syntax of parts takes as they are, but for its three constants.
_BARE = re.compile(r"(?!(?:true|false|none)$)[A-Za-z_][A-Za-z0-9_.+@-]*")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its key in every record, its unit ("%", "ms"), its better direction, and its name in words.

    What is `reported` is for the record only, such as what was measured on a test set: no strategy and no objective
    ever sees it. Where nobody says so, a name that begins with ``test_`` does.
    """

    name: str
    unit: str = ""
    better: Better = "larger"
    words: str = ""
    reported: bool | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise SpecError("A metric needs a name, such as val_acc.")
        if self.better not in ("larger", "smaller"):
            raise SpecError(f"Of {self.name}, larger or smaller is better, but got {shortened(repr(self.better))}.")
        if self.reported is None:
            object.__setattr__(self, "reported", self.name.startswith(TEST))

    @property
    def validated(self) -> bool:
        """Whether it was measured on a validation set."""
        return self.name.startswith(VALIDATION)

    @property
    def sign(self) -> float:
        """What a value is multiplied with so that larger is better: 1 or -1."""
        return 1.0 if self.better == "larger" else -1.0

    @property
    def takes_time(self) -> bool:
        """Whether it is an amount of time or energy."""
        return self.unit in _SPENT

    @property
    def spent(self) -> bool:
        """Whether it says what a network costs, in time, energy or size, and not how good it is."""
        return self.takes_time or self.name in (PARAMS.name, MACS.name, MEMORY.name)

    @property
    def title(self) -> str:
        """Its name in words, or its key where it has none."""
        return self.words or self.name

    @property
    def objective(self) -> str:
        """The search for its best value, as it is written."""
        return f"{'maximize' if self.better == 'larger' else 'minimize'}({spelt(self.name)})"

    def to_json(self) -> dict[str, Any]:
        """The record, as run.json holds it; its name says whether it is reported, or else the record does."""
        record = asdict(self)
        if self.reported == is_of_test_set(self.name):
            del record["reported"]
        return record


@dataclass(frozen=True, slots=True)
class Guess:
    """What whoever always gives the same answer reaches in a metric, at best.

    A metric that is the share of right answers, in per cent, among `count` of them varies by luck as these do; without
    a count it does not.
    """

    metric: str
    value: float
    count: int | None = None


# Units of what is spent: less of it is better.
_SPENT = ("s", "ms", "us", "mJ", "kWh")
_COUNTED = ("parameters", "MACs", "operations")

VAL_ACC = Metric("val_acc", "%", "larger", "validation accuracy")
TEST_ACC = Metric("test_acc", "%", "larger", "test accuracy")
PARAMS = Metric("params", "", "smaller", "parameters")
MACS = Metric("macs", "", "smaller", "multiply-accumulates")
MEMORY = Metric("memory_mb", "MB", "smaller", "memory per sample in training")
LATENCY = Metric("latency_ms", "ms", "smaller", "latency")
LATENCY_CPU = Metric("latency_cpu_ms", "ms", "smaller", "processor time of the latency")
_WORKED = 0.9  # of a latency, the least that is processor time where nothing else is at work
LATENCY_LOW = Metric("latency_low_ms", "ms", "smaller", "latency, lower end of the median's 95 % interval")
LATENCY_HIGH = Metric("latency_high_ms", "ms", "smaller", "latency, upper end of the median's 95 % interval")
PEAK_MB = Metric("peak_mb", "MB", "smaller", "peak memory")
FILE_MB = Metric("file_mb", "MB", "smaller", "size of the file")
# How sure a latency is: its 10th and 90th percentiles, the processor's own time, and the ends of the median's interval.
LATENCY_SPREAD = (
    Metric("latency_p10_ms", "ms", "smaller", "latency, 10th percentile"),
    Metric("latency_p90_ms", "ms", "smaller", "latency, 90th percentile"),
    LATENCY_CPU,
    LATENCY_LOW,
    LATENCY_HIGH,
)


def was_busy(metrics: Mapping[str, float]) -> bool:
    """Whether the processor worked less than nine tenths of a measured latency: something else kept the machine busy.

    False where one of the two is not known.
    """
    return metrics.get(LATENCY_CPU.name, math.nan) < _WORKED * metrics.get(LATENCY.name, math.nan)


def is_of_test_set(name: str) -> bool:
    """Whether a metric of this name was measured on a test set, where no record says it."""
    return name.startswith(TEST)


def is_reported(name: str, known: Mapping[str, Metric]) -> bool:
    """Whether the metric of this name is for the record only, as its record says where there is one."""
    return bool(known[name].reported) if name in known else is_of_test_set(name)


def spelt(name: str) -> str:
    """A metric's name as it is written in an objective: in quotes where it has signs that mean something there."""
    if _BARE.fullmatch(name):
        return name
    return f"'{name}'" if '"' in name else f'"{name}"'


def names_of(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Their keys."""
    return tuple(metric.name for metric in metrics)


def metric_named(metrics: Iterable[Metric], name: str, kind: str = "metric") -> Metric:
    """The metric with this key; UnknownName if there is none."""
    known = {metric.name: metric for metric in metrics}
    if name not in known:
        raise UnknownName(kind, name, known)
    return known[name]


def metrics_from(records: Iterable[Mapping[str, Any]]) -> tuple[Metric, ...]:
    """The metrics that `Metric.to_json` wrote; TypeError or SpecError for anything else."""
    return tuple(Metric(**record) for record in records)


def of_part(name: str, metrics: Iterable[Metric]) -> Metric:
    """The metric of a name: one of these, or of a test set what one of them is on the validation set.

    Any other is what version 0.1 would have taken the name for.
    """
    known = {metric.name: metric for metric in metrics}
    bare = name.removeprefix(TEST)
    twin = known.get(f"{VALIDATION}{bare}") or known.get(bare)
    if name not in known and twin is not None and is_of_test_set(name):
        words = twin.words.replace("validation", "test").replace("real images", "test images")
        return replace(twin, name=name, words=words, reported=True)
    return known.get(name) or of_version_1(name)


# What version 0.1 measured, which stored names only.
_VERSION_1 = (
    VAL_ACC,
    TEST_ACC,
    Metric("val_ppl", "", "smaller", "validation perplexity"),
    Metric("test_ppl", "", "smaller", "test perplexity"),
    Metric("own_fid", "", "smaller", "distance to real images, by a classifier trained here"),
    Metric("own_is", "", "larger", "class score, by a classifier trained here"),
    LATENCY,
    PARAMS,
    MACS,
    Metric("naswot", "", "larger", "NASWOT score"),
    *LATENCY_SPREAD,
)


def decimals(values: Iterable[float | None], least: int = 3) -> int:
    """So many decimals show three digits of the largest of them, and so do `least` of what is no fraction."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0.0)
    return max(least, 2 - math.floor(math.log10(largest))) if 0 < largest < 1 else least


def score_named(name: str) -> Metric:
    """The metric that a training-free score is: the larger it is, the better a network is thought to be."""
    return Metric(name, words=of_version_1(name).words)


def of_version_1(name: str) -> Metric:
    """A metric of a run or table that was written before metrics were records."""
    known = {metric.name: metric for metric in _VERSION_1}
    if name in known:
        return known[name]
    unit = "%" if name.endswith("_acc") else "ms" if name.endswith("_ms") else ""
    return Metric(name, unit, better_of(name, unit))


def better_of(name: str, unit: str) -> Better:
    """Which way is better where nobody said: as of the known metric of that name; of what is spent or counted, less."""
    known = {metric.name: metric.better for metric in _VERSION_1}
    return known.get(name, "smaller" if unit in (*_SPENT, *_COUNTED) or name.endswith("_ms") else "larger")

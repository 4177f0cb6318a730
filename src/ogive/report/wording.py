"""How the page writes names and numbers: metrics with their units, architectures, durations, settings, commands."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "axis_title",
    "compare_command",
    "duration",
    "flat",
    "metric_name",
    "metric_order",
    "metric_unit",
    "number",
    "random_command",
    "search_command",
    "usual_rival",
    "value_of",
]

# Name and unit, in the order in which tables list them. Whatever is not listed is written as it is, without a unit.
METRICS: dict[str, tuple[str, str]] = {
    "val_acc": ("validation accuracy", "%"),
    "test_acc": ("test accuracy", "%"),
    "val_ppl": ("validation perplexity", ""),
    "test_ppl": ("test perplexity", ""),
    "own_fid": ("distance to real images, by a classifier trained here", ""),
    "own_is": ("class score, by a classifier trained here", ""),
    "latency_ms": ("latency", "ms"),
    "params": ("parameters", ""),
    "macs": ("multiply-accumulates", ""),
    "naswot": ("NASWOT score", ""),
    "latency_p10_ms": ("latency, 10th percentile", "ms"),
    "latency_p90_ms": ("latency, 90th percentile", "ms"),
    "latency_cpu_ms": ("processor time of the latency", "ms"),
}


def metric_name(metric: str) -> str:
    """The metric in words, such as "validation accuracy"."""
    return METRICS.get(metric, (metric, ""))[0]


def metric_order(metric: str) -> tuple[int, str]:
    """A key that sorts metrics by how much a reader cares: accuracies first, spreads of latencies last."""
    order = list(METRICS)
    return (order.index(metric) if metric in METRICS else len(order), metric)


def metric_unit(metric: str) -> str:
    """The unit of the metric, or an empty string."""
    if metric in METRICS:
        return METRICS[metric][1]
    return "%" if metric.endswith("_acc") else "ms" if metric.endswith("_ms") else ""


def axis_title(metric: str) -> str:
    """A metric in words with its unit."""
    unit = metric_unit(metric)
    name = metric_name(metric).replace("_", " ")
    return f"{name} ({unit})" if unit else name


def value_of(metric: str, value: float | None) -> str:
    """A value with its unit: "94.31 %", "1.84 ms", "1,073,466"; a dash where there is none.

    The space before a unit does not break.
    """
    if value is None:
        return "–"
    unit = metric_unit(metric)
    if unit == "%":
        return f"{value:.2f}\u00a0%"
    return f"{number(value)}\u00a0{unit}" if unit else number(value)


def number(value: float) -> str:
    """Whole numbers in full with thousands separators, others to two decimals or four significant digits."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use: "0.4 s", "92 s", "14.2 min", "3.1 h"."""
    for limit, unit, name in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (math.inf, 3600.0, "h")):
        if seconds < limit:
            amount = seconds / unit
            return f"{amount:.3g} {name}" if amount < 100 else f"{amount:,.0f} {name}"
    return f"{seconds} s"


def flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines: ``{"a": {"b": 1}}`` becomes ``[("a.b", "1")]``; empty ones are left out."""
    if isinstance(value, Mapping):
        return [line for key, inner in value.items() for line in flat(inner, f"{prefix}.{key}" if prefix else f"{key}")]
    if value is None or value == "" or value == []:
        return []
    if isinstance(value, list):
        return [(prefix, ", ".join(str(item) for item in value))]
    return [(prefix, str(value))]


def search_command(config: Mapping[str, Any]) -> str:
    """A command that does what a search from Python did."""
    strategy = str(config.get("strategy", ""))
    return shlex.join(["ogive", "search", *_settings(config, strategy), "--seed", str(config.get("seed", 0))])


def random_command(config: Mapping[str, Any]) -> str:
    """The command that runs random search in place of this search's strategy, on the same budget and seed."""
    return search_command({**config, "strategy": "random"})


def compare_command(
    config: Mapping[str, Any], seeds: int, *, strategies: Sequence[str] = (), more: Sequence[str] = ()
) -> str:
    """The command that compares `strategies` over several seeds, by default random search with this search's strategy.

    Beside a random search alone stands `usual_rival`, for a comparison of a strategy with itself shows nothing.
    `more` are words that end the command.
    """
    found = list(strategies) or ["random", str(config.get("strategy", "evolution"))]
    found = list(dict.fromkeys(found))
    if all(name.startswith("random") for name in found):
        found.append(usual_rival(config))
    return shlex.join(["ogive", "compare", *found, *_settings(config, None), "--seeds", str(seeds), *more])


def usual_rival(config: Mapping[str, Any]) -> str:
    """What a random search is compared with where nobody named anything: it suits every space."""
    objectives = config.get("objectives")
    return "nsga2" if isinstance(objectives, list) and len(objectives) > 1 else "evolution"


def _settings(config: Mapping[str, Any], strategy: str | None) -> list[str]:
    words = ["--space", str(config.get("space", ""))]
    words += ["--strategy", strategy] if strategy else []
    words += ["--evaluator", str(config["evaluator"])] if config.get("evaluator") else []
    for objective in config.get("objectives") or []:
        words += ["--objective", str(objective)]
    for name in ("table", "data"):
        words += [f"--{name}", str(config[name])] if config.get(name) else []
    usual = {"device": "cpu", "threads": None, "workers": 1}
    for name, value in usual.items():
        words += [f"--{name}", str(config[name])] if config.get(name, value) != value else []
    skeleton = config.get("skeleton")
    for name, value in skeleton.items() if isinstance(skeleton, Mapping) else ():
        words += [f"--{name}", str(value)] if value is not None else []
    budget = _budget(config.get("budget"))
    return [*words, "--budget", budget] if budget else words


def _budget(budget: object) -> str:
    limits = budget if isinstance(budget, Mapping) else {}
    patterns = (("trials", "{:g}"), ("wall_s", "{:g}s"), ("benchmark_s", "benchmark={:g}"))
    words = [p.format(limits[name]) for name, p in patterns if isinstance(limits.get(name), (int, float))]
    units = [f"{limits['units']} {limits.get('unit')}"] if limits.get("units") else []
    return ",".join([*words, *units])

"""One set of names for the columns of NAS-Bench-201 and NATS-Bench, whatever a table was made of.

Accuracies are SET_SPLIT_EPOCHS, as in ``c10v_val_200``: the set is ``c10v`` (CIFAR-10 trained on half of its images),
``c10`` (on all but the test images), ``c100`` or ``in16``. Single trainings end in their seed, as in ``_seed777``.
``params`` and ``macs`` are those of the network for ten classes, ``macs`` as the authors count; ``flops`` counts more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["KINDS", "elsewhere", "missing", "same"]

# What is the same number of the same networks. Version 0.2 called columns of NATS-Bench after their set of images.
_SAME = (
    ("params", "c10v_params"),
    ("macs", "c10v_flops"),
    ("c10_macs", "c10_flops"),
    ("c100_macs", "c100_flops"),
    ("in16_macs", "in16_flops"),
    ("c100_test_200", "c100_test_200_nats"),
    ("in16_test_200", "in16_test_200_nats"),
)
_SPACES = ("nasbench201", "natssize")

# What publications of NAS-Bench-201 hold, and which some of them lack, by what it is.
KINDS: Mapping[str, tuple[str, ...]] = {
    "validation accuracies after 200 epochs": ("c10v_val_200", "c100_val_200", "in16_val_200"),
    "test accuracies after 200 epochs": ("c10_test_200", "c10v_test_200", "c100_test_200", "in16_test_200"),
    "validation accuracies after 12 epochs": ("c10v_val_12", "c100_val_12", "in16_val_12"),
    "test accuracies after 12 epochs": ("c10_test_12", "c100_test_12", "in16_test_12"),
    "single trainings": ("c10v_val_200_seed777", "c100_val_200_seed777", "in16_val_200_seed777"),
    "seconds of training": ("c10v_train_seconds_200", "c100_train_seconds_200", "in16_train_seconds_200"),
    "latencies on the authors' GPU": ("c10v_latency_ms", "c100_latency_ms", "in16_latency_ms"),
    "parameters": ("params",),
    "multiply-accumulates": ("macs",),
}


def same(space: str, name: str, columns: Iterable[str]) -> str | None:
    """What a table of a space calls the numbers that have this name elsewhere; None if it has none of them."""
    if space not in _SPACES:
        return None
    known = set(columns)
    others = (other for names in _SAME if name in names for other in names)
    return next((other for other in others if other in known), None)


def elsewhere(space: str, name: str) -> str:
    """Which publication of the benchmark holds a column of this name, and how to import it; empty if none does."""
    folder = {"nasbench201": "NATS-tss-v1_0-3ffb9-simple", "natssize": "NATS-sss-v1_0-50262-simple"}.get(space)
    known = {*(one for names in _SAME for one in names), *(one for names in KINDS.values() for one in names)}
    if folder is None or name not in known:
        return ""
    return (
        f"Tables of the folder {folder} of https://github.com/D-X-Y/NATS-Bench have: "
        "ogive tables import FOLDER --as NAME."
    )


def missing(space: str, columns: Iterable[str]) -> list[str]:
    """What publications of the benchmark hold that these columns do not: in words, or by name where some are there."""
    if space != "nasbench201":
        return []
    known = set(columns)
    found = []
    for kind, names in KINDS.items():
        absent = [name for name in names if name not in known and same(space, name, known) is None]
        found += [kind] if len(absent) == len(names) else absent
    return found

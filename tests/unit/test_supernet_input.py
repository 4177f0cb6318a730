"""Sizes and spaces that a supernet cannot have end in one line that says what would do; odd ones that can be, work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ogive.core.errors import OgiveError
from ogive.networks.build import Skeleton, build
from ogive.session import Settings, search
from ogive.spaces.darts import darts
from ogive.spaces.ddarts import ddarts
from ogive.spaces.nasbench201 import nasbench201
from ogive.supernets.gates import Softmax
from ogive.supernets.sharing import supernet

pytestmark = pytest.mark.usefixtures("one_thread")

SPACES = {"darts": darts(), "nasbench201": nasbench201(), "ddarts": ddarts(distinct=3)}


@pytest.mark.parametrize(
    ("space", "channels", "cells", "partial", "size"),
    [
        ("nasbench201", 7, 1, 1, 9),
        ("nasbench201", 1, 1, 1, 2),
        ("nasbench201", 4, 1, 4, 7),
        ("darts", 7, 3, 1, 9),
        ("darts", 1, 3, 1, 5),
        ("darts", 4, 3, 4, 8),  # one channel takes part, which the skip connections of a reduction divide in two
    ],
)
def test_odd_widths_and_odd_images_go_through_a_supernet(
    space: str, channels: int, cells: int, partial: int, size: int
) -> None:
    skeleton = Skeleton(channels, cells, classes=3, size=size)
    network = supernet(space, skeleton, seed=0, partial=partial)
    alphas = network.alphas(torch.Generator().manual_seed(0))
    logits = network(torch.rand(3, 3, size, size), alphas.mixture(Softmax(), torch.Generator()))
    logits.square().sum().backward()
    assert logits.shape == (3, 3)
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(("space", "cells"), [("darts", 3), ("nasbench201", 1), ("ddarts", 3)])
def test_odd_widths_go_through_the_networks_that_are_derived(space: str, cells: int) -> None:
    arch = SPACES[space].sample(np.random.default_rng(0))
    network = build(arch, Skeleton(7, cells, classes=3, size=9), seed=0)
    assert network(torch.rand(2, 3, 9, 9)).shape == (2, 3)


WITH = "inherited(supernet{})"


def text_folder(folder: Path) -> str:
    words = {"train": "a b c " * 20, "valid": "a b zzz", "test": "a b c"}
    for name, content in words.items():
        (folder / f"{name}.txt").write_text(content, encoding="utf-8")
    return f"text:{folder}"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"space": "darts", "channels": 7, "cells": 3, "strategy": "darts(partial=4)"}, "a multiple of partial=4"),
        ({"space": "nasbench201", "channels": 6, "cells": 1, "strategy": "darts(partial=4)"}, "but got channels=6"),
        (
            {"space": "nasbench201", "channels": 6, "evaluator": "inherited(supernet(partial=4))"},
            "a multiple of partial=4",
        ),
        ({"space": "darts", "data": "digits(size=2)", "strategy": "darts"}, "Images of 2×2 are too small"),
        (
            {"space": "darts", "data": "digits(size=2)", "evaluator": WITH.format("")},
            "Images of 2×2 are too small",
        ),
        ({"space": "nasbench101", "strategy": "darts", "cells": 1}, "no space with a supernet named 'nasbench101'"),
        ({"space": "nasbench101", "evaluator": WITH.format("")}, "no space with a supernet named 'nasbench101'"),
        ({"space": "darts", "channels": 0, "strategy": "darts"}, "at least"),
        ({"space": "darts_rnn", "data": "TEXT", "strategy": "darts"}, "the word 'zzz' does not occur in the training"),
        (
            {"space": "darts_rnn", "data": "digits", "strategy": "darts"},
            "networks of darts_rnn are for language: give other data",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line_and_begins_nothing(tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    plain = {"data": "digits(limit=40)", "evaluator": "trained(epochs=1)", **settings}
    if plain["data"] == "TEXT":
        plain["data"] = text_folder(tmp_path)
    with pytest.raises(OgiveError, match=reason) as told:
        search(Settings(**plain), tmp_path / "run")  # type: ignore[arg-type]
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()

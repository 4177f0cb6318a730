from __future__ import annotations

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces.mlp import Layers, layers_of, mlp


def test_the_count_is_that_of_the_listing() -> None:
    archs = list(mlp())
    assert len(archs) == len(set(archs)) == len(mlp()) == 148_896
    # One layer: 6 widths; two to four: 6**depth, with a shortcut or without; 4 x 3 x 4 ways for what stands behind.
    assert len(mlp()) == 48 * (6 + 2 * (6**2 + 6**3 + 6**4))


def test_the_text_is_read_and_written() -> None:
    arch = mlp().parse("128-64 relu batch 0.1 residual")
    assert arch == Architecture("mlp", (3, 3, 0, 0, 0, 1, 1, 1))
    assert layers_of(arch) == Layers((128, 64), "relu", "batch", 0.1, True)
    assert mlp().format(arch) == "128-64 relu batch 0.1 residual"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "128",
        "100 relu batch 0.1 plain",
        "64-64-64-64-64 relu batch 0.1 plain",
        "64 relu batch 0.3 plain",
        "64 sine none 0 plain",
        "64 relu batch x plain",
    ],
)
def test_a_text_that_is_no_perceptron_is_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match=r"such as 128-64 relu batch 0\.1 residual"):
        mlp().parse(text)


def test_a_gap_between_layers_and_a_shortcut_around_a_single_one_are_not_legal() -> None:
    for choices in ((0, 0, 1, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0, 1)):
        with pytest.raises(InvalidArchitecture, match="not a legal architecture"):
            mlp().check(choices)


def test_a_layer_more_or_less_is_one_step_away() -> None:
    two = mlp().parse("128-64 relu none 0 plain")
    near = {mlp().format(arch) for arch in mlp().neighbours(two)}
    assert {"128 relu none 0 plain", "128-64-512 relu none 0 plain", "128-64 relu none 0 residual"} <= near
    rng = np.random.default_rng(0)
    assert {len(layers_of(mlp().mutate(two, rng)).widths) for _ in range(200)} == {1, 2, 3}


def test_the_drawing_shows_layers_and_sums() -> None:
    graph = mlp().draw(mlp().parse("32-32-16 gelu layer 0.25 residual"))
    assert graph.ops.count("add") == 2
    assert graph.ops.count("linear_16") == 2  # the layer, and what leads around it to another width
    assert graph.ops.count("linear_32") == 2
    assert graph == graph.pruned()

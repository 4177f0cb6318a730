from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces.mnasnet import NAME, OPTIONS, blocks_of, mnasnet
from ogive.testing import check_space

TEXT = (
    "sepk3se0nonef100n+0/mb6k3se0idf100n+0/mb3k5se25idf125n+0/mb6k3se0poolf125n+0/"
    "mb6k3se25idf125n-1/mb6k5se25idf100n+1/convk3se0idf75n-1"
)


def test_it_keeps_the_promises_of_a_space() -> None:
    check_space(mnasnet())


def test_a_block_has_432_choices_and_the_space_their_seventh_power() -> None:
    """432 = 4 · 2 · 2 · 3 · 3 · 3 (section 4.1); the paper's typical case has five blocks, and about 10^13."""
    assert math.prod(map(len, OPTIONS.values())) == 432
    assert mnasnet().size == 432**7
    assert round(432**5 / 1e13, 3) == 1.505


def test_blocks_are_read_relative_to_mobilenetv2() -> None:
    blocks = blocks_of(mnasnet().parse(TEXT))
    assert [block.layers for block in blocks] == [1, 2, 3, 4, 2, 4, 1]
    assert [block.width for block in blocks] == [16, 24, 40, 80, 120, 160, 240]
    assert [block.stride for block in blocks] == [1, 2, 2, 2, 1, 2, 1]
    assert [block.op for block in blocks] == ["sep", "mb6", "mb3", "mb6", "mb6", "mb6", "conv"]
    assert blocks[2].excitation == 0.25
    assert (blocks[3].skip, blocks[3].kernel) == ("pool", 3)


def test_text_and_graph_say_the_choices() -> None:
    space = mnasnet()
    arch = space.parse(TEXT)
    assert space.format(arch) == TEXT
    graph = space.draw(arch)
    assert len(graph) == 4 + 1 + 2 + 3 + 4 + 2 + 4 + 1
    assert graph.ops[2:6] == (
        "block0_sep_3x3_none_100",
        "block1_mb6_3x3_id_100",
        "block1_mb6_3x3_id_100",
        "block2_mb3_5x5_se_id_125",
    )


def test_a_block_of_one_layer_has_no_fewer() -> None:
    space = mnasnet()
    assert space.prune is not None
    arch = space.parse(TEXT)
    pruned = space.prune(arch)
    assert space.format(pruned) == TEXT[:-2] + "+0"
    assert space.draw(pruned) == space.draw(arch)
    # 288 networks for 432 architectures in each of the two blocks of one layer.
    first = [range(len(options)) for options in OPTIONS.values()]
    found = {
        space.prune(Architecture(NAME, (*choices, *arch.choices[len(OPTIONS) :])))
        for choices in itertools.product(*first)
    }
    assert len(found) == 288


@pytest.mark.parametrize(
    "text", ["", "mb6k3se0idf100n+0", TEXT + "/" + TEXT, TEXT.replace("k5", "k7"), TEXT.replace("mb3", "mb4")]
)
def test_other_texts_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match=r"written as 7 words"):
        mnasnet().parse(text)


def test_random_texts_round_trip() -> None:
    space, rng = mnasnet(), np.random.default_rng(0)
    for arch in (space.sample(rng) for _ in range(50)):
        assert space.parse(space.format(arch)) == arch

from __future__ import annotations

import math

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.spaces.blockqnn import (
    IRLAS_MOBILE,
    Layer,
    actions,
    architecture,
    blockqnn,
    blockqnn_separable,
    layers_of,
    read_layers,
    write_layers,
)
from ogive.testing import check_space

# By hand: 8 t operations, t (t - 1) or 2 t (t - 1) joins, and the end from index 2 on.
ORDERED = [8, 21, 37, 57, 81, 109, 141]
UNORDERED = [8, 19, 31, 45, 61, 79, 99]
LOGARITHMS = {5: (7.417, 7.064), 10: (18.588, 17.411), 12: (23.632, 22.065), 23: (55.164, 51.134)}


@pytest.mark.parametrize("space", [blockqnn(), blockqnn_separable(layers=4)])
def test_it_keeps_the_promises_of_a_space(space: object) -> None:
    check_space(space, samples=20)  # type: ignore[arg-type]


def test_actions_are_those_of_the_network_structure_code() -> None:
    for index, (ordered, unordered) in enumerate(zip(ORDERED, UNORDERED, strict=True), 1):
        end = index > 1
        assert len(actions(index, ordered=True)) + end == ordered
        assert len(set(actions(index))) + end == unordered
        assert len(blockqnn(layers=index).variables[-1].options) == unordered  # type: ignore[union-attr]


@pytest.mark.parametrize("layers", LOGARITHMS)
def test_the_size_counts_the_blocks_of_every_length(layers: int) -> None:
    ordered, unordered = LOGARITHMS[layers]
    assert math.log10(blockqnn(layers=layers).size) == pytest.approx(unordered, abs=5e-4)
    counts = [len(actions(index, ordered=True)) for index in range(1, layers + 1)]
    whole = sum(math.prod(counts[:depth]) for depth in range(1, layers + 1))
    assert math.log10(whole) == pytest.approx(ordered, abs=5e-4)


def test_the_listing_of_a_small_space_has_every_block_once() -> None:
    space = blockqnn(layers=3)
    listed = list(space)
    assert len(listed) == len(set(listed)) == len(space) == 8 + 8 * 18 + 8 * 18 * 30
    assert all(space.admit(arch) == arch for arch in listed[::97])


def test_the_published_block_is_written_and_read() -> None:
    space = blockqnn_separable(layers=8)
    text = "(1,1,1,0,0)(2,1,3,0,0)(3,5,0,0,2)(4,1,5,0,0)(5,1,1,3,0)(6,7,0,0,0)"
    arch = space.parse(text)
    assert layers_of(arch) == IRLAS_MOBILE
    assert space.parse(text.replace("(6,7,0,0,0)", "")) == arch
    assert space.format(arch) == text.replace("5,0,0,2", "5,0,2,0")
    graph = space.draw(arch)
    assert graph.ops == ("input", "sep_1x1", "sep_3x3", "add", "sep_5x5", "sep_1x1", "output")
    assert graph.predecessors(6) == [1, 4, 5]


def test_blocks_that_differ_in_numbering_are_one() -> None:
    space = blockqnn(layers=4)
    assert space.canonical is not None
    same = [
        "(1,1,3,0,0)(2,2,3,0,0)(3,5,0,2,1)(4,4,0,0,0)",
        "(1,4,0,0,0)(2,2,3,0,0)(3,1,3,0,0)(4,5,0,3,2)",
        "(1,2,1,0,0)(2,1,3,0,0)(3,2,3,0,0)(4,5,0,2,3)",
    ]
    other = "(1,1,3,0,0)(2,2,3,0,0)(3,6,0,2,1)(4,4,0,0,0)"
    assert len({space.canonical(space.parse(text)) for text in same}) == 1
    assert space.canonical(space.parse(other)) != space.canonical(space.parse(same[0]))
    # Of all blocks of two layers, those that differ: of the 144, 28 pairs of independent ones are written twice.
    two = {space.canonical(arch) for arch in space if arch.choices[2] == 0 != arch.choices[1]}
    brute = {space.draw(space.canonical(arch)).canonical() for arch in space if arch.choices[2] == 0 != arch.choices[1]}
    assert len(two) == len(brute) < 144


def test_mutation_changes_adds_and_removes_layers() -> None:
    space, rng = blockqnn(layers=6), np.random.default_rng(0)
    arch = space.parse("(1,1,3,0,0)(2,1,3,1,0)(3,4,0,0,0)")
    depths = [len(layers_of(space.mutate(arch, rng))) for _ in range(400)]
    assert [depths.count(depth) / 400 for depth in (2, 3, 4)] == pytest.approx([1 / 8, 5 / 8, 1 / 4], abs=0.08)
    single = space.parse("(1,1,3,0,0)")
    assert {len(layers_of(space.mutate(single, rng))) for _ in range(50)} == {1, 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "written as tuples"),
        ("(1,1,3,0,0)(3,1,3,0,0)", "written as tuples"),
        ("(1,8,3,0,0)", "written as tuples"),
        ("(1,1,3,0,0) and", "written as tuples"),
        ("(1,7,0,0,0)", "at least one layer"),
        ("(1,1,3,0,0)(2,7,0,0,0)(3,1,3,0,0)", "none behind its end"),
        ("(1,1,7,0,0)", "kernel of 1, 3 or 5"),
        ("(1,1,3,1,0)", r"reads indices 0\.\.0"),
        ("(1,1,3,0,0)(2,5,0,1,1)", "two different ones"),
        ("(1,1,3,0,0)(2,1,3,0,0)(3,1,3,0,0)", "1 to 2 layers"),
    ],
)
def test_other_texts_are_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidArchitecture, match=said):
        blockqnn(layers=2).parse(text)


def test_nothing_stands_behind_the_end() -> None:
    with pytest.raises(InvalidArchitecture, match="not a legal architecture"):
        blockqnn(layers=3).check((0, 0, 1))
    with pytest.raises(SpecError, match="1 to 23 layers"):
        blockqnn(layers=24)


def test_layers_and_architectures_are_the_same() -> None:
    space, rng = blockqnn(layers=10), np.random.default_rng(1)
    for arch in (space.sample(rng) for _ in range(50)):
        block = layers_of(arch)
        assert architecture(block, layers=10) == arch
        assert read_layers(write_layers(block)) == block
    assert architecture([Layer("conv", 3)]) == Architecture("blockqnn", (1,))

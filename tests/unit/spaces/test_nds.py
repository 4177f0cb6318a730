from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from ogive.catalog import build
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.spaces import nds, nds_residual
from ogive.spaces.darts import KINDS

CELLS = sorted(nds.FAMILIES)
RESIDUAL = sorted(nds_residual.BLOCKS)


def drawn(text: str, count: int = 1) -> list[Any]:
    space = build("space", text)
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(count)]


def net(text: str) -> dict[str, Any]:
    """The published object of a random network."""
    found: dict[str, Any] = json.loads(build("space", text).format(drawn(text)[0]))
    return found


# -- cells ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
def test_the_text_of_a_network_is_the_object_of_the_published_files(name: str) -> None:
    written = net(name)
    assert set(written) == {"depth", "width", "genotype"}
    assert set(written["genotype"]) == {"normal", "normal_concat", "reduce", "reduce_concat"}
    assert len(written["genotype"]["normal"]) == 2 * nds.FAMILIES[name].nodes
    space = build("space", name)
    trained = {**written, "aux": False, "drop_prob": 0.0}
    assert space.parse(json.dumps(trained)) == drawn(name)[0]


def test_a_loose_node_is_one_that_no_other_reads_and_pnas_and_darts_join_all() -> None:
    chain = (("sep_conv_3x3", 0), ("sep_conv_3x3", 1), *(("sep_conv_3x3", node) for node in (2, 2, 3, 3, 4, 4, 5, 5)))
    for name, joined in (("nds_enas", (6,)), ("nds_amoeba", (6,)), ("nds_nasnet", (6,)), ("nds_pnas", (2, 3, 4, 5, 6))):
        arch = nds.architecture(name, chain, chain, width=16, depth=4)
        assert [nds.concat_of(arch, kind) for kind in KINDS] == [joined, joined]
    arch = nds.architecture("nds_darts", chain[:8], chain[:8], width=16, depth=4)
    assert nds.concat_of(arch, "normal") == (2, 3, 4, 5)


def test_the_drawing_shows_width_depth_and_the_loose_nodes_only() -> None:
    chain = (("sep_conv_3x3", 0), ("sep_conv_3x3", 1), *(("sep_conv_3x3", node) for node in (2, 2, 3, 3, 4, 4, 5, 5)))
    graph = build("space", "nds_enas").draw(nds.architecture("nds_enas", chain, chain, width=24, depth=12))
    assert (graph.ops[1], graph.ops[-2], graph.ops[-1]) == ("stem_24", "stack_12", "output")
    joins = [node for node, op in enumerate(graph.ops) if op == "concat"]
    assert [len(graph.predecessors(node)) for node in joins] == [1, 1]


def test_a_sample_has_the_sizes_of_the_cifar_networks_unless_told_otherwise() -> None:
    sizes = {nds.size_of(arch) for arch in drawn("nds_pnas", 500)}
    assert sizes == {(width, depth) for width in (16, 24, 32) for depth in (4, 8, 12, 16, 20)}
    assert {nds.size_of(arch) for arch in drawn("nds_pnas(widths=[36], depths=[20, 22])", 50)} == {(36, 20), (36, 22)}
    with pytest.raises(SpecError, match=r"depths of nds_pnas .*4, 6, .*\[5\]"):
        build("space", "nds_pnas(depths=[5])")
    space = build("space", "nds_pnas")
    with pytest.raises(InvalidArchitecture):
        space.admit(drawn("nds_pnas(widths=[96])")[0])


def test_a_mutation_changes_the_size_as_often_as_any_other_variable() -> None:
    space, rng = build("space", "nds_enas"), np.random.default_rng(0)
    arch = space.sample(rng)
    changed = [space.mutate(arch, rng).choices for _ in range(2000)]
    places = [next(i for i, (a, b) in enumerate(zip(arch.choices, new, strict=True)) if a != b) for new in changed]
    counts = np.bincount(places, minlength=len(arch.choices))
    # 42 variables: 48 each on average, and the largest of 42 such counts rarely passes 75.
    assert 20 < counts[-1] < 80
    assert 20 < counts[-2] < 80


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 17}, "width.*16, 24.*17"),
        ({"depth": True}, "depth.*True"),
        ({"depth": None}, "depth.*None"),
        ({"normal": [["sep_conv_3x3", 0]]}, r"genotype\.normal: .*10 entries; got 1"),
        ({"reduce": "sep_conv_3x3"}, r"genotype\.reduce: a cell is a list of pairs"),
        ({"normal": [["sep_conv_3x3", 2]] * 10}, r"genotype\.normal\[0\]: node 2 reads states 0\.\.1; got 2"),
        ({"normal": [["sep_conv_3x3", -1]] * 10}, r"normal\[0\].*got -1"),
        ({"normal": [["sep_conv_9x9", 0]] * 10}, r"normal\[0\]: 'sep_conv_9x9' is no operation of nds_enas.*sep_conv"),
        ({"normal_concat": [2]}, r"genotype\.normal_concat: cells of nds_enas join the nodes that no other reads"),
    ],
)
def test_an_object_that_cannot_be_right_names_the_field(change: dict[str, Any], message: str) -> None:
    written = net("nds_enas")
    for field, value in change.items():
        (written if field in written else written["genotype"])[field] = value
    with pytest.raises(InvalidArchitecture, match=message):
        nds.read_net("nds_enas", written)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[1, 2]", "{}", "null", "9" * 5000])
@pytest.mark.parametrize("name", ["nds_enas", "nds_resnext"])
def test_a_text_that_is_no_object_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidArchitecture):
        build("space", name).parse(text)


# -- residual networks ------------------------------------------------------------------------------------------------


def test_the_two_resnext_spaces_share_a_part() -> None:
    a, b, both = (build("space", f"nds_resnext(variant={variant})").size for variant in ("a", "b", "both"))
    assert (a, b) == ((5 * 5 * 3 * 3) ** 3, (5 * 5 * 3 * 5) ** 3)
    assert both == a + b - (5 * 3 * 3 * 3) ** 3 == 61_664_625 == build("space", "nds_resnext").size
    assert build("space", "nds_resnet").size == (9 * 12) ** 3


def test_the_counts_are_those_of_the_architectures_that_are_legal() -> None:
    """On the shares that uniform draws of all options give; the standard error is 0.0013."""
    rng = np.random.default_rng(0)
    space = build("space", "nds_resnext")
    options = [len(variable.options) for variable in space.variables]
    legal = [space.is_legal(tuple(row)) for row in rng.integers(0, options, (50_000, 12)).tolist()]
    assert np.mean(legal) == pytest.approx(space.size / math.prod(options), abs=0.007)


def test_a_space_holds_every_pair_of_cells_in_every_size() -> None:
    """A node has (operations * earlier states) ** 2 ways to add two operations."""
    ways = {"nds_nasnet": 13, "nds_amoeba": 8, "nds_pnas": 8, "nds_enas": 5}
    for name, operations in ways.items():
        assert build("space", name).size == (operations**10 * (2 * 3 * 4 * 5 * 6) ** 2) ** 2 * 15
    assert build("space", "nds_darts").size == (8**8 * (2 * 3 * 4 * 5) ** 2) ** 2 * 15


def test_a_network_of_one_variant_is_none_of_the_other() -> None:
    spaces = {variant: build("space", f"nds_resnext(variant={variant})") for variant in ("a", "b", "both")}
    for variant, other in (("a", "b"), ("b", "a")):
        archs = drawn(f"nds_resnext(variant={variant})", 200)
        assert all(arch in [spaces["both"].admit(arch)] for arch in archs)
        outside = [arch for arch in archs if not spaces[other].is_legal(arch.choices)]
        # 2,460,375 are of both: at most a fifth of either.
        assert len(outside) > 120
    mixed = json.loads(spaces["a"].format(drawn("nds_resnext(variant=a)")[0]))
    mixed |= {"ws": [16, 16, 1024, 16]}
    with pytest.raises(InvalidArchitecture, match="not a legal architecture of nds_resnext"):
        spaces["both"].parse(json.dumps(mixed))


@pytest.mark.parametrize("text", ["nds_resnet(max_params=200000)", "nds_resnext(max_params=200000)"])
def test_a_limited_space_draws_and_mutates_below_the_limit(text: str) -> None:
    space, rng = build("space", text), np.random.default_rng(1)
    assert math.isnan(space.size)
    arch = space.sample(rng)
    for _ in range(50):
        arch = space.mutate(arch, rng)
        assert nds_residual.parameters_of(nds_residual.stages_of(arch)) <= 200_000
    macs = build("space", f"{text[:11].rstrip('(')}(max_macs=20000000)")
    assert all(nds_residual.macs_of(nds_residual.stages_of(macs.sample(rng))) <= 20_000_000 for _ in range(20))


def test_options_that_make_no_sense_are_refused() -> None:
    for text, message in (
        ("nds_resnext(max_params=0)", "max_params of nds_resnext must be at least 1,846, .*; got 0"),
        ("nds_resnet(max_macs=9)", "max_macs of nds_resnet must be at least"),
        ("nds_resnext(variant=c)", "takes 'a' or 'b' or 'both'"),
        ("nds_resnet(widths=[8])", r"16\.\.256; got \[8\]"),
        ("nds_resnet(depths=[])", "depths of nds_resnet"),
    ):
        with pytest.raises(SpecError, match=message):
            build("space", text)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("nds_resnext", {"block_type": "double_plain_block"}, "block_type.*res_bottleneck_block.*double_plain_block"),
        ("nds_resnext", {"ss": [1, 2, 2, 2]}, "ss: .*1, 1, 2, 2"),
        ("nds_resnext", {"ws": [32, 64, 64, 64]}, "ds, ws: .*16 channels"),
        ("nds_resnext", {"ds": [1, 3, 1, 1]}, "ds: a depth of nds_resnext is none of 1, 2, 4, 8, 16"),
        ("nds_resnext", {"bot_muls": [0.0, 0.3, 1.0, 1.0]}, "bot_muls: a ratio"),
        ("nds_resnext", {"bot_muls": [0.0, math.nan, 1.0, 1.0]}, "bot_muls: a ratio"),
        ("nds_resnext", {"num_gs": [1, 1, 1]}, "num_gs: a stem and 3 stages make 4 numbers"),
        ("nds_resnext", {"num_gs": None}, "num_gs"),
        ("nds_resnet", {"ws": [16, 300, 16, 16]}, r"ws: a width of nds_resnet is none of 16\.\.256"),
        ("nds_resnet", {"ds": [1, 1, True, 1]}, "ds"),
        ("nds_resnet", {"num_gs": [1, 2, 2, 2]}, "num_gs: blocks of nds_resnet"),
    ],
)
def test_a_residual_object_that_cannot_be_right_names_the_field(
    name: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        nds_residual.read_net(name, net(name) | change)


def test_a_record_may_have_any_whole_number_between_as_width_of_a_resnet() -> None:
    written = net("nds_resnet") | {"ws": [16, 17, 255, 100], "ds": [1, 5, 7, 23]}
    arch = nds_residual.read_net("nds_resnet", written)
    assert [(stage.depth, stage.width) for stage in nds_residual.stages_of(arch)] == [(5, 17), (7, 255), (23, 100)]


def test_the_drawing_of_a_residual_network_has_a_node_for_each_block() -> None:
    arch = build("space", "nds_resnext").parse("nds_resnext:1,2,2,1,0,3,0,0,0,1,1,2")
    assert build("space", "nds_resnext").draw(arch).ops == (
        "input", "stem_16", "bottleneck_64_r4_g2", "bottleneck_64_r4_g2", "bottleneck_128_r1_g1_s2",
        "bottleneck_32_r2_g4_s2", "output",
    )  # fmt: skip


# -- spaces that draw some of their options only ----------------------------------------------------------------------


def test_a_space_of_one_architecture_cannot_be_mutated() -> None:
    space = build("space", "nds_resnet(widths=[16], depths=[1])")
    arch = space.sample(np.random.default_rng(0))
    assert list(space) == [arch]
    with pytest.raises(SpecError, match="No mutation"):
        space.mutate(arch, np.random.default_rng(0))

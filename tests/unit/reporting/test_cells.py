from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ogive.catalog import build
from ogive.core.architecture import Architecture
from ogive.reporting.cells import picture
from ogive.reporting.drawing import label
from ogive.spaces.darts import darts
from ogive.spaces.ddarts import ddarts, genotype_of
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.nds import architecture

SVG = "{http://www.w3.org/2000/svg}"


def texts(document: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(document).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "name",
    [
        "nasbench101",
        "nasbench201",
        "natssize",
        "darts",
        "darts_rnn",
        "nds_darts",
        "nds_nasnet",
        "nds_resnet",
        "nds_resnext",
        "ofa_mobilenetv3",
        "mnasnet",
        "blockqnn_separable",
    ],
)
def test_the_picture_of_any_architecture_is_small_well_formed_and_has_a_title(name: str) -> None:
    space = build("space", name)
    for seed in range(5):
        arch = space.sample(np.random.default_rng(seed))
        document = picture(space, arch)
        assert len(document) < 10_000
        title = ET.fromstring(document).find(f"{SVG}title")
        assert title is not None
        assert str(arch) in (title.text or "")


def test_the_operations_of_a_nasbench201_cell_stand_in_its_picture_and_none_does_not() -> None:
    arch = Architecture("nasbench201", (3, 0, 1, 4, 2, 0))
    found = texts(picture(nasbench201(), arch))
    assert sorted(found) == sorted(["in", "1", "2", "out", "conv 3×3", "identity", "avg pool 3×3", "conv 1×1"])


def test_both_cells_of_darts_show_eight_operations_each() -> None:
    space = darts()
    arch = space.sample(np.random.default_rng(3))
    found = texts(picture(space, arch))
    # Four sums, two inputs and one concatenation a cell, and the two captions.
    assert len(found) == 2 * (8 + 4 + 2 + 1) + 2
    assert found.count("cell k−1") == 2
    for op in set(re.findall(r"'(\w+)', \d", space.format(arch))):
        assert label(op) in found


def test_every_distinct_cell_of_a_nested_network_shows_its_operations_and_only_sums_of_two_a_plus() -> None:
    space = ddarts()
    for seed in range(5):
        arch = space.sample(np.random.default_rng(seed))
        found = texts(picture(space, arch))
        genotype = genotype_of(arch)
        entries = [entry for cell in genotype.cells for entry in cell]
        targets = [(number, entry.node) for number, cell in enumerate(genotype.cells) for entry in cell]
        assert found.count("+") == len(targets) - len(set(targets))
        assert found.count("concat") == len(genotype.cells) == 8
        assert [text for text in found if text.endswith("reduction")] == ["cell 2, reduction", "cell 5, reduction"]
        assert len(found) == len(entries) + found.count("+") + 8 * 4
        assert len(picture(space, arch)) < 40_000


def test_a_recurrent_cell_shows_its_eight_activations_between_input_and_output() -> None:
    space = build("space", "darts_rnn")
    arch = space.sample(np.random.default_rng(3))
    found = texts(picture(space, arch))
    operations = re.findall(r"'(\w+)', \d", space.format(arch))
    assert sorted(found) == sorted(["x(t), h(t−1)", "state 0", *operations, "mean", "h(t)"])


def test_nasbench101_is_drawn_without_vertices_that_do_not_reach_the_output() -> None:
    space = build("space", "nasbench101")
    arch = space.sample(np.random.default_rng(0))
    assert len(texts(picture(space, arch))) == len(space.draw(arch).pruned())


def test_the_same_picture_in_another_process(patience_s: float) -> None:
    code = (
        "import sys, numpy; from ogive.reporting.cells import picture; from ogive.spaces.darts import darts;"
        "sys.stdout.reconfigure(encoding='utf-8');"
        "sys.stdout.write(picture(darts(), darts().sample(numpy.random.default_rng(1))))"
    )
    here = picture(darts(), darts().sample(np.random.default_rng(1)))
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-c", code]
        there = subprocess.run(
            command, env={"PYTHONHASHSEED": hash_seed}, capture_output=True, check=True, timeout=patience_s
        )
        assert there.stdout.decode() == here


def test_a_cell_of_nds_shows_its_size_its_loose_nodes_and_the_missing_operation() -> None:
    cell = (("none", 0), ("sep_conv_3x3", 0)) * 4
    arch = architecture("nds_darts", cell, cell, width=24, depth=12)
    document = picture(build("space", "nds_darts"), arch)
    found = texts(document)
    assert "normal cell, 12 cells, width 24" in found
    assert found.count("none") == 8
    white = re.findall(r'<g fill="#fff">(.*?)</g>', document)
    assert not any("none" in group for group in white)  # white letters need a box behind them


def test_the_bars_of_a_mobile_network_name_the_blocks_that_there_are() -> None:
    space = build("space", "ofa_mobilenetv3")
    found = texts(picture(space, space.parse("k57553337553773335555 e43444634434336664344 d23222")))
    assert found == [
        "2", "5×5, 4×", "7×7, 3×", "3", "3×3, 4×", "3×3, 6×", "3×3, 3×", "2", "5×5, 4×", "5×5, 3×", "2", "7×7, 3×",
        "3×3, 6×", "2", "5×5, 4×", "5×5, 3×",
    ]  # fmt: skip


def test_the_bars_of_a_residual_network_name_what_each_stage_is() -> None:
    space = build("space", "nds_resnext")
    found = texts(picture(space, space.parse("nds_resnext:4,2,2,1,0,3,2,0,2,0,2,1")))
    assert found == [
        "64", "16 blocks", "ratio 4", "2 groups", "128", "1 block", "ratio 4", "1 group", "16", "4 blocks", "ratio 4",
        "2 groups",
    ]  # fmt: skip

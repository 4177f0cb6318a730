from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, SpecError, StoreError
from ogive.core.rng import Seed
from ogive.evaluators.operators import (
    OperatorTable,
    held_out,
    measured_table,
    operators_of,
    operators_of_space,
    published_tables,
)
from ogive.evaluators.timing import Timing
from ogive.networks.build import build, fitted_skeleton
from ogive.networks.count import macs, parameters
from ogive.spaces.mnasnet import NAME, mnasnet

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = Timing(warm_up_s=0.0, min_runs=6, min_seconds=0.0, max_seconds=0.002)
SMALL = fitted_skeleton(NAME, (3, 8, 8), 10, channels=2)


@pytest.mark.parametrize(("side", "channels"), [(32, 32), (224, 32), (33, 8)])
def test_the_operators_of_a_network_are_all_of_it(side: int, channels: int) -> None:
    skeleton = fitted_skeleton(NAME, (3, side, side), 10, channels=channels)
    arch = mnasnet().sample(np.random.default_rng(side))
    operators = operators_of(arch, skeleton, side)
    with torch.device("meta"):
        network, parts = build(arch, skeleton), [one.make() for one in operators]
        assert sum(map(parameters, parts)) == parameters(network)
        multiplied = sum(macs(part, one.shape) for part, one in zip(parts, operators, strict=True))
        assert multiplied == macs(network, (3, side, side))


def test_the_space_has_the_operators_of_each_of_its_networks() -> None:
    known = operators_of_space(SMALL, 8)
    rng = np.random.default_rng(0)
    for arch in (mnasnet().sample(rng) for _ in range(200)):
        assert {one.key for one in operators_of(arch, SMALL, 8)} <= known.keys()


def test_keys_are_those_of_published_tables(shared_data: Path) -> None:
    tables = published_tables(shared_data / "latency_luts.parquet")
    table = next(table for (name, _), table in tables.items() if name == "NSGANetV2/i7-8700K")
    published = next(
        key for key in table.operators if key.startswith("MBConv-input:56x56x24-output:56x56x24-expand:6-kernel:3")
    )
    text = "/".join(["sepk3se0idf100n+0", "mb6k3se0idf100n+0"] + ["sepk3se0idf100n+0"] * 5)
    keys = [one.key for one in operators_of(mnasnet().parse(text), fitted_skeleton(NAME, (3, 224, 224), 10), 224)]
    ours = next(key for key in keys if key.startswith("MBConv-input:56x56x24"))
    assert ours.rpartition("-se:")[0] == published.rpartition("-se:")[0]
    assert table.estimate([published, published]) == pytest.approx(2 * table.operators[published])


def test_a_table_is_measured_written_read_and_adds_up(tmp_path: Path) -> None:
    arch = mnasnet().sample(np.random.default_rng(0))
    operators = {one.key: one for one in operators_of(arch, SMALL, 8)}
    table = measured_table(operators, "here", QUICK)
    assert set(table.operators) == set(operators)
    table.write(tmp_path / "table.json")
    again = OperatorTable.read(tmp_path / "table.json")
    assert again == table
    keys = [one.key for one in operators_of(arch, SMALL, 8)]
    assert again.estimate(keys) == pytest.approx(sum(table.operators[key] for key in keys))
    with pytest.raises(MissingData, match="'here' has no Conv-input:9x9x3"):
        again.estimate(["Conv-input:9x9x3-output:9x9x8"])
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(StoreError, match="ogive latency-table"):
        OperatorTable.read(tmp_path / "other.json")


def test_held_out_networks_tell_how_good_a_table_is() -> None:
    """A table of ones counts layers; the right one is off by nothing but the clock, which the error says."""
    counts = OperatorTable("ones", dict.fromkeys(operators_of_space(SMALL, 8), 1.0))
    found = held_out(counts, SMALL, 8, 4, Seed(0), QUICK)
    assert found.count == 4
    assert -1 <= found.table <= 1
    assert found.error >= abs(found.bias) > 0
    with pytest.raises(SpecError, match="three networks at least, but got 2"):
        held_out(counts, SMALL, 8, 2, Seed(0), QUICK)


def test_other_spaces_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not of 'nasbench201'"):
        operators_of(Architecture("nasbench201", (0,) * 6), replace(SMALL), 8)
    (tmp_path / "no.parquet").write_bytes(b"nothing")
    with pytest.raises(MissingData, match="holds no operator tables"):
        published_tables(tmp_path / "no.parquet")

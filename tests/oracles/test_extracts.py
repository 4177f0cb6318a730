"""The tables of parts of benchmarks hold what was published, and their architectures are read rightly."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from ogive.core.architecture import Architecture
from ogive.core.metric import names_of
from ogive.core.trial import Proposal
from ogive.evaluators.tabular import Tabular
from ogive.metrics import kendall_tau
from ogive.spaces import accel_nasbench, nasbench101, nasbench201, nasbench_graph, ofa_mobilenetv3
from ogive.tables.importers import import_table, suggested_name
from ogive.tables.store import Table
from ogive.tables.world import ClosedWorld

FILES = {
    "nasbench101_30k": ["nb101_val_30001.parquet"],
    "nasbench101_ecnas": ["nb101_upto5v_ecnas_4epochs.parquet"],
    "accel_nasbench": ["accel_nasbench.parquet"],
    "ofa_mbv3_dynast": ["ofa_mbv3_dynast.parquet"],
    "nasbench_graph": ["nasbench_graph.parquet"],
    "devices": ["nb201.parquet", "nb201_hardware.parquet"],
    "timed": ["nb201_subset1000_times.parquet", "nb201.parquet"],
}


@pytest.fixture(scope="module")
def tables(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    place = tmp_path_factory.mktemp("tables")
    return {
        name: import_table([shared_data / file for file in files], place / name, name=name)
        for name, files in FILES.items()
    }


def published(shared_data: Path, name: str) -> pyarrow.Table:
    return pyarrow.parquet.read_table(shared_data / FILES[name][0])


@pytest.mark.parametrize("name", list(FILES))
def test_the_digest_of_the_import_is_right(tables: dict[str, Table], name: str) -> None:
    tables[name].verify()


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("devices", "timed")])
def test_a_file_is_called_what_it_is(shared_data: Path, name: str) -> None:
    assert suggested_name(shared_data / FILES[name][0]) == name


# -- NAS-Bench-101 ----------------------------------------------------------------------------------------------------


def test_every_row_of_the_sample_is_found_by_the_published_cell(tables: dict[str, Table], shared_data: Path) -> None:
    table, rows = tables["nasbench101_30k"], published(shared_data, "nasbench101_30k")
    letters = {"1": 0, "2": 1, "3": 2, "-": 0}
    cells = [
        [*map(int, bits), *(letters[op] for op in ops[1:-1])]
        for bits, ops in zip(rows["adj_bits"].to_pylist(), rows["ops"].to_pylist(), strict=True)
    ]
    place = table.rows_of(cells)
    assert (table.rows, table.complete, len(np.unique(place))) == (30_001, False, 30_001)
    for epochs in (4, 12, 36, 108):
        wanted = 100 * rows[f"val_acc_{epochs}"].to_numpy()
        np.testing.assert_allclose(table.column(f"val_acc_{epochs}")[place], wanted, rtol=1e-6)
    np.testing.assert_array_equal(table.column("params")[place], rows["params"].to_numpy())
    np.testing.assert_allclose(table.column("train_seconds_108")[place], rows["train_seconds_108"].to_numpy())


def test_the_parameter_count_ranks_the_sample_as_it_was_found_to(tables: dict[str, Table]) -> None:
    # Computed from the published sample with scipy: Kendall tau 0.316.
    table = tables["nasbench101_30k"]
    some = np.random.default_rng(0).choice(table.rows, 4000, replace=False)
    tau = kendall_tau(table.column("params")[some], table.column("val_acc_108")[some])
    assert tau == pytest.approx(0.316, abs=0.02)


def test_shorter_trainings_are_fidelities_and_cost_their_share(tables: dict[str, Table]) -> None:
    table = tables["nasbench101_30k"]
    arch = table.architecture(77)
    evaluator = Tabular(table)
    assert names_of(evaluator.metrics) == ("val_acc",)
    full = evaluator.evaluate([Proposal(arch)])[0]
    assert full.cost.benchmark_s == table.value(arch, "train_seconds_108")
    short = evaluator.evaluate([Proposal(arch, fidelity=12)])[0]
    assert short.metrics["val_acc"] == table.value(arch, "val_acc_12")
    assert short.cost.benchmark_s == pytest.approx(full.cost.benchmark_s * 12 / 108)


def test_the_cells_of_ec_nas_are_all_cells_of_up_to_five_vertices(tables: dict[str, Table]) -> None:
    table = tables["nasbench101_ecnas"]
    small = [cell for cell in map(table.architecture, range(table.rows)) if len(nasbench101.pruned_cell(cell).ops) <= 3]
    every = sum(np.count_nonzero(nasbench101._distinct(size)[:, 0] >= 0) for size in range(2, 6))
    assert len(small) == table.rows == 2532
    assert every == 2532
    assert (table.metric, table.report, table.clock) == ("val_acc_4", "test_acc_4", "train_seconds_4")


def test_repeats_of_a_cell_are_averaged(tables: dict[str, Table], shared_data: Path) -> None:
    rows = published(shared_data, "nasbench101_ecnas").to_pylist()
    digest = "001a6fcc8b38cbc515be788a86bdc804"
    values = [row["val_e4"] for row in rows if row["hash"] == digest]
    table = tables["nasbench101_ecnas"]
    found = [
        table.column("val_acc_4")[row]
        for row in range(table.rows)
        if nasbench101.module_hash(table.architecture(row)) == digest
    ]
    assert len(values) == 4
    assert found == [pytest.approx(100 * np.mean(values), rel=1e-6)]


# -- other benchmarks -------------------------------------------------------------------------------------------------


def test_accel_nasbench_has_5125_networks_and_92_missing_values_of_devices(
    tables: dict[str, Table], shared_data: Path
) -> None:
    table, rows = tables["accel_nasbench"], published(shared_data, "accel_nasbench")
    assert (rows.num_rows, table.rows, table.complete) == (5138, 5125, False)
    devices = [name for name in table.columns if name.startswith(("latency_", "throughput_"))]
    missing = sum(int(np.isnan(table.column(name)).sum()) for name in devices)
    assert 85 <= missing <= 92  # of 92 missing values, those of the 13 networks that were measured twice may be known
    some = rows.slice(5137, 1).to_pylist()[0]
    text = "-".join(
        f"e{some[f'block{b}_e']}k{some[f'block{b}_k']}l{some[f'block{b}_l']}s{some[f'block{b}_se']}" for b in range(7)
    )
    assert table.value(accel_nasbench.accel_nasbench().parse(text), "val_acc") == pytest.approx(some["val_top1"])


def test_the_published_parameters_of_accel_nasbench_are_those_of_the_blocks(shared_data: Path) -> None:
    """The reading of its columns: as inverted bottlenecks of EfficientNet-B0's widths, all 5,138 agree."""
    rows = published(shared_data, "accel_nasbench").to_pylist()
    blocks = [[[row[f"block{b}_{name}"] for name in ("e", "k", "l", "se")] for b in range(7)] for row in rows]
    counted = [_parameters(network) for network in blocks]
    assert counted == [round(1e6 * row["params"]) for row in rows]


def _parameters(blocks: list[list[int]]) -> int:
    """Parameters of a network of 1,000 classes, blocks given as expansion, kernel, layers, squeeze-excitation.

    Tan and Le, "EfficientNet", ICML 2019, table 1: a stem of 32 channels, blocks of 16 to 320, a head of 1,280; every
    convolution without bias and with BatchNorm; squeeze-excitation of a quarter of the channels that a layer reads.
    """
    channels, total = 32, 27 * 32 + 2 * 32
    for (expansion, kernel, layers, excited), width in zip(blocks, (16, 24, 40, 80, 112, 192, 320), strict=True):
        for _ in range(layers):
            inner, squeezed = expansion * channels, channels // 4
            total += (channels * inner + 2 * inner) * (expansion > 1)
            total += kernel**2 * inner + 2 * inner
            total += (2 * inner * squeezed + squeezed + inner) * excited
            total += inner * width + 2 * width
            channels = width
    return total + 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000


# -- networks of Once-for-all -----------------------------------------------------------------------------------------


def test_mobile_networks_are_pruned_before_they_are_averaged(tables: dict[str, Table], shared_data: Path) -> None:
    """2,373 rows, 2,223 texts, 2,162 networks: equal ones have equal sizes, and accuracies within .1 points."""
    table, rows = tables["ofa_mbv3_dynast"], published(shared_data, "ofa_mbv3_dynast").to_pylist()
    space = ofa_mobilenetv3.ofa_mobilenetv3()
    by_text: dict[str, list[float]] = {}
    by_network: dict[Architecture, list[dict[str, float]]] = {}
    for row in rows:
        text = f"k{row['ks']} e{row['e']} d{row['d']}"
        by_text.setdefault(text, []).append(row["top1"])
        by_network.setdefault(ofa_mobilenetv3.prune(space.parse(text)), []).append(row)
    assert (len(rows), len(by_text), len(by_network), table.rows) == (2373, 2223, 2162, 2162)
    assert not table.complete
    for arch, same in by_network.items():
        assert len({(one["params"], one["macs"]) for one in same}) == 1
        assert np.ptp([one["top1"] for one in same]) < 0.1
        assert table.value(arch, "val_acc") == pytest.approx(np.mean([one["top1"] for one in same]), rel=1e-6)
        assert table.value(arch, "macs") == same[0]["macs"]


def test_a_mobile_network_is_found_whatever_its_skipped_layers_say(tables: dict[str, Table], shared_data: Path) -> None:
    table, space = tables["ofa_mbv3_dynast"], ofa_mobilenetv3.ofa_mobilenetv3()
    one = published(shared_data, "ofa_mbv3_dynast").slice(0, 1).to_pylist()[0]
    arch = space.parse(f"k{one['ks']} e{one['e']} d{one['d']}")
    assert arch != ofa_mobilenetv3.prune(arch)
    assert table.value(arch, "params") == one["params"]
    assert table.architecture(table.row(arch)) == ofa_mobilenetv3.prune(arch)
    world = ClosedWorld.of(space, table)
    assert arch in world
    world.visit(arch)
    # The nearest others are so by the layers that there are.
    assert all(world.mutate(same, np.random.default_rng(0)) in world for same in (arch, ofa_mobilenetv3.prune(arch)))
    assert world.neighbours(arch) == world.neighbours(ofa_mobilenetv3.prune(arch))


# Parameters of the operations on 128 numbers, from their definitions: weights d x d, biases d, attention 2 d; a
# Chebyshev filter of two terms, SAGE and GraphConv have two weights, ARMA has three.
_D = 128
_COSTS = {"gat": _D**2 + 3 * _D, "gcn": _D**2 + _D, "gin": _D**2 + _D, "fc": _D**2 + _D, "skip": 0} | {
    "cheb": 2 * _D**2 + _D, "sage": 2 * _D**2 + _D, "graph": 2 * _D**2 + _D, "arma": 3 * _D**2 + _D,
}  # fmt: skip


@pytest.mark.parametrize(("data", "of_an_output"), [("arxiv", _D * _D), ("cs", _D * 15)])
def test_the_published_parameters_of_nas_bench_graph_are_those_of_the_operations(
    shared_data: Path, data: str, of_an_output: int
) -> None:
    """The reading of arch_hash, by what it does not use: sizes of operations, and of what reads the outputs.

    Operations of equal size cannot be told apart by this. Read with the link last, the numbers contradict themselves.
    """
    rows = published(shared_data, "nasbench_graph")
    params = 1e6 * rows[f"{data}_params_M"].to_numpy().astype(np.float64)
    digits = [f"{number:05d}" for number in rows["arch_hash"].to_pylist()]
    counted = np.array([_size(text[0], text[1:], of_an_output) for text in digits])
    assert np.ptp(params - counted) < 1
    wrong = np.array([_size(text[-1], text[:-1], of_an_output) for text in digits])
    assert np.ptp(params - wrong) > 10_000


def _size(link: str, ops: str, of_an_output: int) -> int:
    outputs = 4 - len(set(nasbench_graph.LINKS[int(link)]) - {"0"})
    return outputs * of_an_output + sum(_COSTS[nasbench_graph.OPS[int(op)]] for op in ops)


def test_the_numbers_of_nas_bench_graph_are_one_of_each_class_of_equal_architectures(
    tables: dict[str, Table], shared_data: Path
) -> None:
    """The reading of arch_hash: with it there are as many classes as rows, and no two rows are of one class."""
    table = tables["nasbench_graph"]
    rows = published(shared_data, "nasbench_graph")
    flows = {nasbench_graph.flow(nasbench_graph.read(str(number))) for number in rows["arch_hash"].to_pylist()}
    every = {nasbench_graph.flow(arch) for arch in nasbench_graph.nasbench_graph()}
    assert flows == every
    assert (len(flows), table.rows, table.complete) == (26_206, 26_206, True)


def test_an_equal_architecture_has_the_row_of_its_class(tables: dict[str, Table], shared_data: Path) -> None:
    rows = published(shared_data, "nasbench_graph").slice(5000, 1).to_pylist()[0]
    table, arch = tables["nasbench_graph"], nasbench_graph.read(str(rows["arch_hash"]))
    assert table.value(arch, "cora_val") == pytest.approx(100 * rows["cora_valid"], rel=1e-6)
    assert table.value(nasbench_graph.canonical(arch), "cora_test") == pytest.approx(100 * rows["cora_test"], rel=1e-6)
    assert not [name for name in table.columns if name.startswith("proteins")]


# -- NAS-Bench-201 on devices and with times --------------------------------------------------------------------------


def test_accuracy_and_latency_are_metrics_of_one_evaluator(tables: dict[str, Table], shared_data: Path) -> None:
    table, rows = tables["devices"], pyarrow.parquet.read_table(shared_data / "nb201_hardware.parquet")
    evaluator = Tabular(table, also=("c10_edgegpu_latency", "c10_edgegpu_energy"))
    arch = Architecture("nasbench201", (3, 3, 3, 1, 3, 2))
    found = evaluator.evaluate([Proposal(arch)])[0].metrics
    number = int(table.value(arch, "index"))
    assert found["c10_edgegpu_latency"] == pytest.approx(rows["hwnas_c10_edgegpu_latency"][number].as_py())
    assert found["c10_edgegpu_energy"] == pytest.approx(rows["hwnas_c10_edgegpu_energy"][number].as_py())
    assert found["val_acc"] == pytest.approx(91.6067, abs=1e-4)


def test_what_the_edge_tpu_does_not_support_is_a_failed_measurement(tables: dict[str, Table]) -> None:
    table = tables["devices"]
    latency = table.column("c10_edgetpu_latency")
    assert np.isnan(latency).sum() == 4699
    assert np.nanmin(latency) > 0
    cell = table.architecture(int(np.flatnonzero(np.isnan(latency))[0]))
    found = Tabular(table, also=("c10_edgetpu_latency",)).evaluate([Proposal(cell)])[0]
    assert found.error == f"devices has no c10_edgetpu_latency for {cell}"


def test_latencies_of_microseconds_are_those_of_cells_whose_output_is_constant(tables: dict[str, Table]) -> None:
    """What looks like an outlier of the Raspberry Pi: a cell without a path from input to output is folded away."""
    latency = tables["devices"].column("c10_raspi4_latency")
    disconnected = np.array([not any(nasbench201.prune(arch).choices) for arch in nasbench201.nasbench201()])
    assert np.nanmin(latency) < 0.012
    assert latency[~disconnected].min() > 2.5
    assert np.count_nonzero(latency[disconnected] < 1) > 200


def test_the_thousand_cells_with_times_are_a_world_with_a_clock(tables: dict[str, Table], shared_data: Path) -> None:
    table = tables["timed"]
    assert (table.rows, table.complete) == (1000, False)
    assert sorted(table.column("index").tolist()) == list(range(1000))
    evaluator = Tabular(table, metric="c100_val_200", report="c100_test_200")
    times = published(shared_data, "timed")["c100_train_time_s_200"].to_numpy()
    arch = table.architecture(5)
    found = evaluator.evaluate([Proposal(arch)])[0]
    assert found.cost.benchmark_s == pytest.approx(times[int(table.value(arch, "index"))])
    short = evaluator.evaluate([Proposal(arch, fidelity=12)])[0]
    assert short.cost.benchmark_s == table.value(arch, "c100_train_seconds_12")
    # Of CIFAR-10's half no times are published here, so that its accuracies cost nothing rather than a wrong sum.
    assert table.clock_of("c10v_val_200") is None
    assert math.isclose(Tabular(table).evaluate([Proposal(arch)])[0].cost.benchmark_s, 0.0)

"""A latency model adapts to devices that it has never seen, from ten measurements of each.

The rule, written before any result: over five draws of ten measurements, the mean Spearman correlation on architectures
that were not measured is above that of trees on the same ten labels, and above that of multiply-accumulates, on average
over devices and on three quarters of them. Columns of the same product are left out together.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as parquet
import pytest
from scipy.stats import spearmanr

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.predictors.devices import DeviceTransfer
from ogive.predictors.trees import ExtraTrees
from ogive.spaces.nasbench201 import nasbench201

Floats = npt.NDArray[np.float64]

SPACE = nasbench201()
TESTED, MEASURED, DRAWS, TREES = 400, 10, 5, 30
PRODUCTS = ("edgegpu", "raspi4", "edgetpu", "pixel3", "eyeriss", "fpga")


def column(path: Path, name: str) -> npt.NDArray[np.generic]:
    found: npt.NDArray[np.generic] = parquet.read_table(path, columns=[name])[name].to_numpy()
    return found


@pytest.fixture(scope="module")
def cells(shared_data: Path) -> tuple[list[Architecture], Floats]:
    """Architectures of NAS-Bench-201 in the benchmark's order, and their multiply-accumulates in millions."""
    texts, macs = (column(shared_data / "nb201.parquet", name) for name in ("arch_str", "flops_M_c10"))
    return [SPACE.parse(str(text)) for text in texts], macs.astype(np.float64)


@pytest.fixture(scope="module")
def devices(shared_data: Path) -> dict[str, Floats]:
    """Milliseconds of all cells on each device of HW-NAS-Bench, and of HELP at batch 1 or of one size."""
    table = parquet.read_table(shared_data / "nb201_hardware.parquet")
    names = [name for name in table.column_names if name.startswith("hwnas_c10") and name.endswith("latency")]
    others = [name for name in table.column_names if name.startswith("help_")]
    names += [name for name in others if not name.endswith(("_32_ms", "_256_ms"))]
    return {name: table[name].to_numpy().astype(np.float64) for name in names}


def judged(
    known: dict[str, Observed],
    cells: tuple[list[Architecture], Floats],
    places: npt.NDArray[np.int64],
    latencies: Floats,
) -> tuple[float, float, float]:
    """Mean Spearman of the model, of trees on the same labels and of multiply-accumulates, on what was not measured."""
    archs, macs = cells
    model, found = DeviceTransfer(known, space=SPACE, trees=TREES), []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(places))
        few, rest = order[:MEASURED], order[MEASURED : MEASURED + TESTED]
        labels = Observed(tuple(archs[place] for place in places[few]), tuple(latencies[few].tolist()))
        others = [archs[place] for place in places[rest]]
        alone = ExtraTrees(space=SPACE, seed=Seed(draw), trees=TREES)
        model.fit(labels)
        alone.fit(labels)
        guesses = (model.predict(others), alone.predict(others), macs[places[rest]])
        found.append([spearmanr(guess, latencies[rest]).statistic for guess in guesses])
    mean = np.mean(found, axis=0)
    return float(mean[0]), float(mean[1]), float(mean[2])


def observed(
    cells: tuple[list[Architecture], Floats], places: npt.NDArray[np.int64], columns: dict[str, Floats]
) -> dict[str, Observed]:
    """What is known of some cells: latencies, and multiply-accumulates (and one, since some have none)."""
    chosen = tuple(cells[0][place] for place in places)
    told = {**columns, "macs": cells[1] + 1}
    return {name: Observed(chosen, tuple(values[places].tolist())) for name, values in told.items()}


def better(rows: list[tuple[float, float, float]]) -> None:
    """The rule of this file."""
    table = np.array(rows)
    assert (table[:, 0].mean() > table[:, 1:].mean(axis=0)).all(), table
    assert ((table[:, :1] > table[:, 1:]).mean(axis=0) >= 0.75).all(), table


def test_devices_of_hw_nas_bench_that_were_left_out(
    cells: tuple[list[Architecture], Floats], devices: dict[str, Floats]
) -> None:
    rows = []
    positive = np.flatnonzero(np.min(list(devices.values()), axis=0) > 0)
    for product in PRODUCTS:
        left = {name: values for name, values in devices.items() if product not in name}
        own = devices[f"hwnas_c10_{product}_latency"][positive]
        rows.append(judged(observed(cells, positive, left), cells, positive, own))
    better(rows)


def test_devices_of_nn_meter_by_those_of_hw_nas_bench(
    cells: tuple[list[Architecture], Floats], devices: dict[str, Floats], shared_data: Path
) -> None:
    path, rows = shared_data / "nb201_nnmeter_latency_2000.parquet", []
    positive = np.flatnonzero(np.min(list(devices.values()), axis=0) > 0)
    known = observed(cells, positive, devices)
    places = column(path, "index").astype(np.int64)
    for name in ("cortexA76_cpu_ms", "adreno640_gpu_ms", "adreno630_gpu_ms", "myriad_vpu_ms"):
        latencies = column(path, name).astype(np.float64)
        there = np.isin(places, positive) & (latencies > 0)
        rows.append(judged(known, cells, places[there], latencies[there]))
    better(rows)


def test_signs_and_few_or_impossible_labels() -> None:
    archs = [SPACE.sample(np.random.default_rng(seed)) for seed in range(60)]
    latency = {arch: 1.0 + sum(arch.choices) for arch in archs}
    scales = {"a": 1.0, "b": 3.0}
    known = {
        name: Observed(tuple(archs[:40]), tuple(scale * latency[arch] for arch in archs[:40]))
        for name, scale in scales.items()
    }
    model = DeviceTransfer(known, space=SPACE, trees=10)
    with pytest.raises(SpecError, match="after its first fit"):
        model.predict(archs)
    few = Observed(tuple(archs[:10]), tuple(7.0 * latency[arch] for arch in archs[:10]))
    model.fit(few)
    told = model.predict(archs[10:])
    errors = np.abs(told / [7.0 * latency[arch] for arch in archs[10:]] - 1)
    assert errors[:30].max() < 1e-3  # known on other devices, which are slower alike
    assert np.median(errors[30:]) < 0.25  # told by trees
    model.fit(Observed(few.archs, tuple(-score for score in few.scores)))
    np.testing.assert_allclose(model.predict(archs[10:]), -told)
    with pytest.raises(SpecError, match="all positive"):
        model.fit(Observed(tuple(archs[:3]), (1.0, -1.0, 2.0)))
    with pytest.raises(SpecError, match="those of b are not"):
        DeviceTransfer({**known, "b": few}, space=SPACE)
    with pytest.raises(SpecError, match="one known device"):
        DeviceTransfer({}, space=SPACE)

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.errors import SpecError
from ogive.spaces import nasbench201
from ogive.tables.importers import import_table, suggested_name

CELLS = [nasbench201.write(nasbench201._architecture(int(cell))) for cell in np.argsort(nasbench201.official_indices())]


def content(**changed: Any) -> dict[str, Any]:
    """HW-NAS-Bench in its published form, with invented numbers: lists by data set and device."""
    count = len(CELLS)
    lists: dict[str, Any] = {
        "config": [{"name": "infer.tiny", "C": 16, "N": 5, "arch_str": text} for text in CELLS],
        "edgegpu_latency": [0.5 + n / count for n in range(count)],
        "raspi4_latency": np.arange(1, count + 1) / 100,
        "edgetpu_latency": [-1 if n % 4 == 0 else np.float64(1.25) for n in range(count)],
    }
    return {"nasbench201": {"cifar10": lists | changed, "cifar100": {"fpga_energy": [2.0] * count}}, "fbnet": {}}


def saved(folder: Path, what: Any) -> Path:
    path = folder / "HW-NAS-Bench-v1_0.pickle"
    path.write_bytes(pickle.dumps(what, protocol=4))
    return path


def test_latencies_and_energies_are_columns_of_the_cells(tmp_path: Path) -> None:
    path = saved(tmp_path, content())
    table = import_table(path, tmp_path / "t", name="t")
    assert (table.rows, table.complete, suggested_name(path)) == (15_625, True, "nasbench201_hardware")
    arch = nasbench201.read(CELLS[2])
    assert table.value(arch, "c10_edgegpu_latency") == np.float32(0.5 + 2 / 15_625)
    assert table.value(arch, "c10_raspi4_latency") == np.float32(0.03)
    assert table.value(arch, "c100_fpga_energy") == 2.0
    assert table.columns["c100_fpga_energy"].unit == "mJ"
    # 4 of every 16 cells here cannot run on the edge TPU, which is published as -1.
    assert np.isnan(table.column("c10_edgetpu_latency")).sum() == 3907


def test_a_table_of_accuracies_takes_the_devices_in(tmp_path: Path) -> None:
    rows = ["index,c10v_val_200"] + [f"{n},{50 + n % 40}" for n in range(15_625)]
    (tmp_path / "accuracies.csv").write_text("\n".join(rows))
    paths = [tmp_path / "accuracies.csv", saved(tmp_path, content())]
    table = import_table(paths, tmp_path / "t", name="t")
    arch = nasbench201.read(CELLS[41])
    assert table.value(arch, "c10v_val_200") == 51
    assert table.value(arch, "c10_edgegpu_latency") == np.float32(0.5 + 41 / 15_625)
    assert table.metric == "c10v_val_200"


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("what", "complaint"),
    [
        ([], "is not HW-NAS-Bench"),
        ({"nasbench201": {}}, "is not HW-NAS-Bench"),
        (content(edgegpu_latency=[1.0]), "have different lengths"),
        (content(edgegpu_latency=["fast"] * 15_625), "something else than numbers"),
        (content(config=[{"arch_str": text} for text in CELLS[::-1]]), "name different cells"),
        ({"nasbench201": Hostile()}, r"it names posix\.system"),
    ],
)
def test_other_pickles_are_refused(what: Any, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=complaint):
        import_table(saved(tmp_path, what), tmp_path / "t", name="t")


def test_a_truncated_or_absent_pickle_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, content())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SpecError, match="damaged or hostile"):
        import_table(path, tmp_path / "t", name="t")
    path.unlink()
    with pytest.raises(SpecError, match=r"Cannot read .* No such file"):
        import_table(path, tmp_path / "t", name="t")

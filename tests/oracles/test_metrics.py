"""Figures of published fronts and rankings, recomputed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ogive.metrics import front_ranks, hypervolume, kendall_tau, non_dominated, spearman

# ImageNet top-1 in per cent and minus milliseconds on a Pixel 1: Tan et al., MnasNet, CVPR 2019, table 1.
FRONT = {"A1": (75.2, -78.0), "A2": (75.6, -84.0), "A3": (76.7, -103.0), "MobileNetV2": (72.0, -75.0)}
BEATEN = {"MobileNetV2 1.4": (74.7, -143.0), "NASNet-A": (74.0, -183.0), "MobileNetV1": (70.6, -113.0)}
REFERENCE = (70.0, -200.0)


def test_the_front_of_the_published_mobile_networks() -> None:
    points = [*FRONT.values(), *BEATEN.values()]
    assert non_dominated(points).tolist() == [True] * 4 + [False] * 3
    assert (front_ranks(points) == 0).tolist() == [True] * 4 + [False] * 3


def test_the_hypervolume_of_the_published_mobile_networks() -> None:
    # Closed form, by adding rectangles.
    assert hypervolume(list(FRONT.values())[:3], REFERENCE) == pytest.approx(787.5, abs=1e-9)
    assert hypervolume(list(FRONT.values()), REFERENCE) == pytest.approx(793.5, abs=1e-9)
    assert hypervolume([*FRONT.values(), *BEATEN.values()], REFERENCE) == pytest.approx(793.5, abs=1e-9)


def test_the_hypervolume_of_a_staircase() -> None:
    assert hypervolume([(1, 3), (2, 2), (3, 1)], (0, 0)) == 6.0  # closed form: 3 + 2 + 1


def test_how_supernets_rank_nasbench201(shared_data: Path) -> None:
    # Few-shot NAS (Zhao et al., ICML 2021), estimates released with the code against their file of true accuracies:
    # tau 0.484929 and 0.550775, rho 0.677098 and 0.741012. The table at hand holds means over seeds that differ from
    # that file in the third digit, hence the tolerance.
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'ogive[parquet]' reads the table")
    wanted = ["c10_test_200", "c10_oneshot_supernet", "c10_fewshot_supernet"]
    columns = parquet.read_table(shared_data / "nb201.parquet", columns=wanted)
    truth, one_shot, few_shot = (np.asarray(column, np.float64) for column in columns.columns)
    assert kendall_tau(one_shot, truth) == pytest.approx(0.4849, abs=1.5e-3)
    assert kendall_tau(few_shot, truth) == pytest.approx(0.5508, abs=1.5e-3)
    assert spearman(one_shot, truth) == pytest.approx(0.6771, abs=1.5e-3)
    assert spearman(few_shot, truth) == pytest.approx(0.7410, abs=1.5e-3)


def test_neither_supernet_ranks_the_best_tenth_of_nasbench201(shared_data: Path) -> None:
    # The same estimates: tau of -0.228 and -0.078 within the best 1,563, of which this table orders a few otherwise;
    # the true accuracies of what they rank first; how many stand above one of the two best; tau within each part.
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'ogive[parquet]' reads the table")
    wanted = ["c10_test_200", "c10_oneshot_supernet", "c10_fewshot_supernet"]
    columns = parquet.read_table(shared_data / "nb201.parquet", columns=[*wanted, "ops"])
    truth, *estimates = (np.asarray(columns[name], np.float64) for name in wanted)
    held = np.array([text[0] for text in columns["ops"].to_pylist()])
    top = np.argsort(-truth, kind="stable")[:1563]
    best = 13714
    assert truth[best] == truth.max()
    for estimate, tau, higher, first, ten, mean, fifty, within in (
        (estimates[0], -0.228, 8462, 91.01, 91.42, 91.15, 92.89, (0.526, 0.541, 0.349, 0.183, 0.635)),
        (estimates[1], -0.078, 5514, 92.70, 93.30, 92.61, 93.79, (0.719, 0.476, 0.479, 0.394, 0.455)),
    ):
        assert kendall_tau(estimate[top], truth[top]) == pytest.approx(tau, abs=6e-3)
        assert (estimate > estimate[best]).sum() == higher
        ranked = truth[np.argsort(-estimate, kind="stable")]
        assert ranked[0] == pytest.approx(first, abs=0.01)
        assert (ranked[:10].max(), ranked[:10].mean()) == pytest.approx((ten, mean), abs=0.03)
        assert ranked[:50].max() == pytest.approx(fifty, abs=0.01)
        found = [kendall_tau(estimate[held == op], truth[held == op]) for op in "01234"]
        assert found == pytest.approx(within, abs=4e-3)

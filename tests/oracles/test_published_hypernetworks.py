"""What the authors' file of results says of hypernetworks on DeepNets-1M."""

import pytest

from ogive.core.errors import SpecError
from ogive.parameter_prediction.published import published_results

# facebookresearch/ppuda, data/results_cifar10.json: mean and standard error, and for the split test the maximum.
CIFAR = {
    ("test", "mlp"): (42.2, 0.6, 60.2),
    ("test", "ghn1"): (51.4, 0.4, 59.9),
    ("test", "ghn2"): (66.9, 0.3, 77.1),
    ("test", "trained"): (88.5, 0.3, 93.1),
    ("wide", "ghn2"): (64.0, 1.1),
    ("deep", "ghn2"): (60.5, 1.2),
    ("dense", "ghn2"): (65.8, 0.7),
    ("bnfree", "ghn1"): (13.7, 0.3),
    ("bnfree", "ghn2"): (36.8, 1.5),
}
# Kendall's rank correlation with the accuracy of the trained networks.
TAU = {"test": 0.264, "wide": 0.501, "deep": 0.265, "dense": 0.268, "bnfree": 0.360}


def test_the_means_of_the_published_results(shared_data):
    found = {
        (one.split, one.source): one
        for one in published_results(shared_data / "deepnets1m_eval_results.parquet")
        if one.data == "cifar10"
    }

    for key, expected in CIFAR.items():
        one = found[key]
        assert (round(one.mean, 1), round(one.standard_error, 1), round(one.best, 1))[: len(expected)] == expected
    for split, tau in TAU.items():
        assert found[split, "ghn2"].tau == pytest.approx(tau, abs=1e-3)
    assert found["predefined", "ghn2"].networks == 2


def test_another_file_is_refused(shared_data, tmp_path):
    with pytest.raises(SpecError, match="does not hold the results"):
        published_results(shared_data / "accel_nasbench.parquet")
    with pytest.raises(SpecError, match="There is no file"):
        published_results(tmp_path / "absent.parquet")

"""What tests and benchmarks take from the machine: data and a browser, found or skipped with the reason.

Nothing here is downloaded. A variable of the environment points each fixture elsewhere:

=====================  =============================================  ==================================
variable               default                                        holds
=====================  =============================================  ==================================
OGIVE_SHARED_DATA      ../shared/data beside the repository           published benchmark tables
OGIVE_TEST_CACHE       ~/.cache/ogive-tests                           cifar-10-batches-bin/
OGIVE_FASHION_MNIST    where Debian's dataset-fashion-mnist puts it   four idx.gz files
=====================  =============================================  ==================================
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch: the threads of processes side by side would wait for cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest

from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, write_table

ROOT = Path(__file__).resolve().parent

# No deadline: the machines that run this are shared, and a slow example is no wrong one. In CI the examples are the
# same every time, so that a failure there is one that everybody can repeat.
hypothesis.settings.register_profile("ogive", deadline=None, derandomize="CI" in os.environ, print_blob=True)
hypothesis.settings.load_profile("ogive")


def existing(folder: Path, needs: str, way_out: str) -> Path:
    """The folder, when the file or folder `needs` is in it; otherwise the test skips and says what to do."""
    if not (folder / needs).exists():
        pytest.skip(f"no {needs} in {folder}: {way_out}")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of benchmark tables in their published formats; never part of the repository."""
    folder = Path(os.environ.get("OGIVE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    return existing(folder, "nb201.parquet", "set OGIVE_SHARED_DATA to the folder of benchmark tables")


@pytest.fixture(scope="session")
def cifar10_folder() -> Path:
    """CIFAR-10 in its official binary layout."""
    cache = Path(os.environ.get("OGIVE_TEST_CACHE", Path.home() / ".cache" / "ogive-tests"))
    way_out = "lay the binary version of CIFAR-10 there, or set OGIVE_TEST_CACHE to the folder that holds it"
    return existing(cache, "cifar-10-batches-bin/test_batch.bin", way_out) / "cifar-10-batches-bin"


@pytest.fixture(scope="session")
def fashion_mnist_folder() -> Path:
    """The four gzipped idx files of Fashion-MNIST."""
    folder = Path(os.environ.get("OGIVE_FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
    way_out = "install Debian's dataset-fashion-mnist, or set OGIVE_FASHION_MNIST"
    return existing(folder, "train-images-idx3-ubyte.gz", way_out)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium-like browser that can run headless."""
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    return found[0]


@pytest.fixture(scope="session")
def invented_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of nasbench201 with invented numbers, and with a clock, which the published extract lacks."""
    digits = np.stack(np.unravel_index(np.arange(5**6), (5,) * 6), axis=1)
    rng = np.random.default_rng(0)
    val_acc = (60 + digits @ np.array([1.0, 1.5, 1.0, 2.0, 1.5, 1.0]) + rng.normal(0, 1, 5**6)).astype(np.float32)
    test_acc = (val_acc + rng.normal(0, 0.5, 5**6)).astype(np.float32)
    columns = {
        "c10v_val_200": (Column("%", "validation accuracy, invented", "float32"), val_acc),
        "c10_test_200": (Column("%", "test accuracy, invented", "float32", test=True), test_acc),
        "params": (Column("1", "parameters, invented", "int64"), 1000 * (1 + digits.sum(axis=1))),
        "seconds": (Column("s", "seconds of training, invented", "float64"), 10.0 + digits.sum(axis=1)),
    }
    folder = tmp_path_factory.mktemp("tables") / "invented"
    about = {"source": "invented", "licence": "none", "importer": "tests"}
    about |= {"clock": "seconds", "metric": "c10v_val_200", "report": "c10_test_200"}
    write_table(folder, columns, name="invented", space="nasbench201", key=MixedRadix((5,) * 6), **about)
    return folder


@pytest.fixture(scope="session")
def invented_scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of scores, as ``ogive score`` writes it, of all of nasbench201 with invented numbers; one row is -inf."""
    path = tmp_path_factory.mktemp("scores") / "invented.csv"
    rng = np.random.default_rng(1)
    lines = ["arch,naswot,params,cpu_seconds,error"]
    for digits in itertools.product(range(5), repeat=6):
        naswot = repr(1400.0 + 20 * sum(digits) + rng.normal(0, 30)) if any(digits) else "-inf"
        lines.append(f'"nasbench201:{",".join(map(str, digits))}",{naswot},{1000.0 * (1 + sum(digits))},0.250,')
    path.write_text("\n".join([*lines, ""]))
    settings = {"schema": 2, "space": "nasbench201", "data": "invented", "proxies": ["naswot", "params"], "seed": 0}
    path.with_suffix(".json").write_text(json.dumps(settings))
    return path


@pytest.fixture(scope="session")
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the whole session, so that a table imported by one test is there for the next."""
    return tmp_path_factory.mktemp("ogive-home")


@pytest.fixture
def ogive_home(session_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """OGIVE_HOME points at the session's home, for this process and for those that the test starts."""
    monkeypatch.setenv("OGIVE_HOME", str(session_home))
    return session_home


@pytest.fixture(scope="session")
def patience_s() -> float:
    """How long a test waits for what should take a moment: a guard against hangs, never a measure of speed."""
    return 600.0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Processes that the test starts can be interrupted, also where the shell that runs the tests ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks as small as those of tests gain nothing from threads, and wait for them on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

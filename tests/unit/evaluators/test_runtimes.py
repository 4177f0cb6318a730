from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.core.metric import names_of
from ogive.core.rng import Seed
from ogive.core.trial import Proposal
from ogive.evaluators.latency import Latency
from ogive.evaluators.runtimes import OnnxNetwork, in_runtime, onnx_peak_mb, printed_ms, tensors_mb, weights_mb
from ogive.evaluators.timing import Timing
from ogive.spaces.nasbench201 import nasbench201

pytestmark = pytest.mark.usefixtures("one_thread")

Exported = dict[str, tuple[nn.Module, Path]]
QUICK = Timing(warm_up_s=0.0, min_runs=6, min_seconds=0.0, max_seconds=0.01)
SHAPE = (3, 16, 16)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1))
        self.classifier = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.body(x).mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def exported(network: nn.Module, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The network in each runtime of files, exported once."""
    found = {}
    for runtime in ("onnx", "onnx_int8"):
        module, path = in_runtime(network, runtime, tmp_path_factory.mktemp(runtime), images)  # type: ignore[arg-type]
        assert path is not None
        found[runtime] = (module, path)
    return found


def test_onnx_runtime_gives_what_torch_gives_and_integers_nearly_so(
    network: nn.Module, images: Tensor, exported: Exported
) -> None:
    with torch.inference_mode():
        wanted = network(images)
    torch.testing.assert_close(exported["onnx"][0](images), wanted, rtol=1e-4, atol=1e-5)
    small = exported["onnx_int8"][0](images)
    assert not torch.equal(small, wanted)
    # Eight bits: 1 / 256 of each of three layers' ranges.
    assert float((small - wanted).abs().max()) < 0.05 * float(wanted.max() - wanted.min())
    onnx = pytest.importorskip("onnx")
    kinds = {node.op_type for node in onnx.load(exported["onnx_int8"][1]).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_torch_stays_where_it_is(network: nn.Module, images: Tensor, tmp_path: Path) -> None:
    assert in_runtime(network, "torch", tmp_path, images) == (network, None)


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(SpecError, match=r"ONNX Runtime refuses broken\.onnx") as caught:
        OnnxNetwork(path)
    assert "\n" not in str(caught.value)


def test_an_operator_that_the_runtime_does_not_know_is_named(exported: Exported, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported["onnx"][1])
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Abacus"
    path = tmp_path / "strange.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SpecError, match="Abacus"):
        OnnxNetwork(path)


class Chain(nn.Module):
    """x + 1, doubled, and with a skip added to what it was before that."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        if self.skip:
            return y + y * 2
        y = y * 2
        return y + 1


def test_peak_tensors_are_weights_and_what_is_alive_at_one_time() -> None:
    """The input, which the caller holds, and the two ends of a layer; with a skip, what is added to as well."""
    x = torch.zeros(1, 1000)
    assert tensors_mb(Chain(skip=False), x) == pytest.approx(3 * 4000 / 1e6)
    assert tensors_mb(Chain(skip=True), x) == pytest.approx(4 * 4000 / 1e6)
    assert tensors_mb(nn.Linear(1000, 5), x) == pytest.approx(4 * (1000 + 5 * 1001 + 5) / 1e6)
    assert weights_mb(nn.Linear(10, 5)) == (50 + 5) * 4 / 1e6


def test_a_process_of_its_own_tells_the_peak_of_a_file(exported: Exported) -> None:
    small = onnx_peak_mb(exported["onnx"][1], (1, *SHAPE), threads=1)
    large = onnx_peak_mb(exported["onnx"][1], (4096, *SHAPE), threads=1)
    # 4,096 maps of 8 channels, 16 × 16 in 4 bytes, are 33.6 MB.
    assert 0 < small < 33.6 < large


# -- any program ------------------------------------------------------------------------------------------------------


def script(folder: Path, text: str) -> str:
    path = folder / "board.py"
    path.write_text(text)
    return f"{sys.executable} {path} {{onnx}}"


def test_a_program_is_given_the_file_and_its_last_number_is_taken(tmp_path: Path) -> None:
    command = script(
        tmp_path, "import sys; assert sys.argv[1].endswith('n.onnx'); print('run 1: 99 ms\\nmedian 12.5 ms')"
    )
    assert printed_ms(command, tmp_path / "n.onnx") == 12.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("print('warming up')", "printed no number of milliseconds, but 'warming up'"),
        ("", "printed no number of milliseconds, but 'nothing'"),
        ("print(-3)", r"printed -3\.0 milliseconds"),
        ("print(0)", r"printed 0\.0 milliseconds"),
        ("import sys; sys.exit('device offline')", "ended with 1: device offline"),
        ("import time; time.sleep(60)", "printed nothing for 0.5 s"),
    ],
)
def test_a_program_that_tells_no_latency_says_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        printed_ms(script(tmp_path, text), tmp_path / "n.onnx", limit_s=0.5 if "sleep" in text else 60)


def test_a_search_by_a_program_fails_the_trials_for_which_it_vanishes(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text(f"#!{sys.executable}\nprint('7.25')\n")
    tool.chmod(0o755)
    latency = Latency(space=nasbench201(), shape=(3, 8, 8), channels=4, cells=1, command=f"{tool} {{onnx}}", sizes=True)
    proposal = Proposal(nasbench201().sample(Seed(3).numpy("arch")))
    assert names_of(latency.metrics) == ("latency_ms", "file_mb")
    (found,) = latency.evaluate([proposal])
    assert found.error is None
    assert found.metrics["latency_ms"] == 7.25
    assert 0 < found.metrics["file_mb"] < 1
    tool.unlink()
    (gone,) = latency.evaluate([proposal])
    assert "There is no program" in str(gone.error)
    with pytest.raises(MissingData, match="There is no program"):
        Latency(command=f"{tool} {{onnx}}")


def test_candidates_are_timed_in_integers_with_their_sizes() -> None:
    latency = Latency(
        space=nasbench201(),
        shape=(3, 8, 8),
        channels=4,
        cells=1,
        runtime="onnx_int8",
        sizes=True,
        calibration=4,
        timing=QUICK,
    )
    (found,) = latency.evaluate([Proposal(nasbench201().sample(Seed(3).numpy("arch")))])
    assert found.error is None
    assert set(found.metrics) == set(names_of(latency.metrics))
    assert {"peak_mb", "file_mb"} <= set(found.metrics)
    assert all(found.metrics[name] > 0 for name in ("latency_ms", "peak_mb", "file_mb"))


def test_what_makes_no_sense_is_refused_at_once() -> None:
    with pytest.raises(UnknownName, match="abacus"):
        Latency(runtime="abacus")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="where the network's file goes"):
        Latency(command=sys.executable)
    with pytest.raises(SpecError, match="at least one image"):
        Latency(runtime="onnx_int8", calibration=0)

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ogive.core.errors import ExportError, MissingData, SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.autogan import GeneratorSize, generator
from ogive.networks.build import build, default_skeleton
from ogive.networks.export import export, imported
from ogive.networks.plain_images import of_images
from ogive.networks.plain_noise import of_noise
from ogive.spaces.autogan import autogan
from ogive.spaces.darts import darts
from ogive.spaces.ddarts import dartopti
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize
from ogive.spaces.nds import nds_nasnet
from ogive.spaces.nds_residual import nds_resnext
from ogive.spaces.ofa_mobilenetv3 import ofa_mobilenetv3
from ogive.trained_networks import Exported

SHAPE = (3, 8, 8)
MEAN, STD = (0.5, 0.25, 0.1), (0.2, 0.3, 0.4)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other are slow where several test runs share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def written(network: nn.Module, folder: Path, *formats: str, **options: Any) -> list[Exported]:
    """The exports of a network of images, as winner; `options` are those of `of_images`, and progress."""
    about = {key: options.pop(key) for key in ("name", "progress") if key in options}
    plain = of_images(**{"shape": SHAPE, **options})
    return export(network, folder, plain, **{"name": "winner", "formats": formats or FORMATS, **about})


def first(format_name: str, network: nn.Module, folder: Path, **options: Any) -> Exported:
    return written(network, folder, format_name, **options)[0]


FORMATS = ("torch", "onnx", "export")
export_torch, export_onnx, export_program = (partial(first, name) for name in FORMATS)


class Small(nn.Module):
    """The smallest network that a user could bring along."""

    def __init__(self, *, width: int = 4, scale: float = 1.0) -> None:
        super().__init__()
        self.recipe: dict[str, object] = {"width": width, "scale": scale}
        self.scale = scale
        self.body = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.scale * self.head(self.body(x).mean((2, 3)))
        return logits


class Forgetful(Small):
    """Its recipe leaves out what changes its outputs."""

    def __init__(self, *, width: int = 4, scale: float = 1.0) -> None:
        super().__init__(width=width, scale=scale)
        self.recipe = {"width": width}


class Unfit(Small):
    """Its recipe makes a network whose weights have other shapes."""

    def __init__(self, *, width: int = 4) -> None:
        super().__init__(width=width)
        self.recipe = {"width": width + 1}


class Branching(Small):
    """Its source can be copied, but no exporter can follow it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if float(x.sum()) > 0 else -x)


class Paired(Small):
    """Gives more than logits."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x), x  # type: ignore[return-value]


def trained(network: nn.Module) -> nn.Module:
    """Running statistics and biases that are not those of a fresh network."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
    return network


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (nasbench201, {"channels": 4, "cells": 1}),
        (ofa_mobilenetv3, {"channels": 2}),
        (nasbench101, {"channels": 8, "cells": 1}),
        (natssize, {}),
        (darts, {"channels": 2, "cells": 2}),
        (nds_nasnet, {"channels": 2, "cells": 2}),
        (partial(nds_resnext, variant="a", max_params=20_000), {}),
        (partial(dartopti, distinct=2), {"channels": 2, "cells": 2}),
    ],
)
def test_networks_of_every_space_leave_in_every_format(space, size, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arch = space().sample(Seed(3).numpy("arch"))
    network = trained(build(arch, default_skeleton(arch.space, **size), seed=0))
    exported = written(network, tmp_path / "new" / "folder")
    assert [entry.format for entry in exported] == ["torch", "onnx", "export"]
    assert exported[0].largest_difference == 0.0
    assert all(0 <= entry.largest_difference <= 1e-4 and entry.seconds > 0 for entry in exported)
    names = ["winner.py", "winner.safetensors", "winner.onnx", "winner.pt2"]
    assert [path.name for entry in exported for path in entry.paths] == names
    # Nothing is left of the workshop, not even hidden.
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(names)


@pytest.mark.parametrize("text", ["1 0 1 1 1 0 0 1 1 1 0 1 0 3", "0 1 2 1 1 2 0 1 0 0 2 1 1 3"])
def test_generators_leave_in_every_format(text: str, tmp_path: Path) -> None:
    network = generator(autogan().parse(text), GeneratorSize(channels=4, latent=8, side=16), seed=0)
    found = export(network, tmp_path, of_noise(8, (3, 16, 16), low=-3.0, high=5.0), name="winner")
    assert [one.format for one in found] == ["torch", "onnx", "export"]
    assert "ogive" not in re.sub(
        r'^""".*?"""', "", (tmp_path / "winner.py").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    module = imported(tmp_path / "winner.py")
    made = module.made(module.load(), 5, seed=3)
    assert torch.equal(made, network.eval()(torch.randn(5, 8, generator=torch.Generator().manual_seed(3))))
    assert torch.allclose(module.stored(made), (made + 1) * 4 - 3, atol=1e-5)
    with Image.open(io.BytesIO(module.picture(made))) as picture:
        sheet = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert sheet.shape == (3, 32, 48)
    assert torch.equal(sheet[:, 16:, 16:32], ((made[4] + 1) * 127.5).round().byte())
    assert bool((sheet[:, 16:, 32:] == 255).all())


def test_images_of_another_shape_than_was_told_are_refused(tmp_path: Path) -> None:
    network = generator(autogan().parse("1 0 1 1 1 0 0 1 1 1 0 1 0 3"), GeneratorSize(4, latent=8, side=16), seed=0)
    with pytest.raises(SpecError, match=r"must give images of shape \(N, 3, 8, 8\); Generator gave \(1, 3, 16, 16\)"):
        export(network, tmp_path, of_noise(8, (3, 8, 8), low=0.0, high=255.0), name="winner")


def test_an_auxiliary_head_travels_with_the_source(tmp_path: Path) -> None:
    skeleton = default_skeleton("darts", channels=2, cells=3, auxiliary=True, drop_path=0.2)
    network = build(darts().sample(Seed(3).numpy("arch")), skeleton, seed=0)
    exported = export_torch(network, tmp_path, shape=(3, 32, 32))
    assert exported.largest_difference == 0.0
    assert any(name.startswith("auxiliary_head") for name in load_file(tmp_path / "winner.safetensors"))


# Python that holds torch, safetensors, what these two need, and nothing else.
BARE = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ogive", "numpy", "scipy", "sklearn", "onnx", "onnxruntime", "plotly", "rich"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
script, *sys.argv[1:] = sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""


def test_the_source_runs_without_ogive_and_numpy_and_is_right_as_often(tmp_path: Path) -> None:
    arch = nasbench201().sample(Seed(5).numpy("arch"))
    network = trained(build(arch, default_skeleton("nasbench201", channels=4, cells=1), seed=0)).eval()
    images = torch.randint(0, 256, (300, *SHAPE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        labels = network((images / 255 - mean) / std).argmax(1)
    labels[:75] = (labels[:75] + 1) % 10  # so 225 of 300 are right
    export_torch(network, tmp_path, normalise=(MEAN, STD))
    save_file({"images": images, "labels": labels}, tmp_path / "test.safetensors")
    command = [
        sys.executable,
        "-I",
        "-c",
        BARE,
        str(tmp_path / "winner.py"),
        "--data",
        str(tmp_path / "test.safetensors"),
    ]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "accuracy 75.00 % of 300 images" in done.stdout
    assert re.search(r"NasBench201Network: 3 x 8 x 8 -> 10, [\d,]+ trainable parameters", done.stdout)


def test_the_source_can_be_edited_and_trained_again(tmp_path: Path) -> None:
    source, _ = export_torch(Small(), tmp_path).paths
    text = source.read_text(encoding="utf-8").replace("width=4", "width=6")
    namespace: dict[str, object] = {"__name__": "winner", "__file__": str(source)}
    exec(compile(text, "winner.py", "exec"), namespace)
    network = namespace["network"]()  # type: ignore[operator]
    network(torch.zeros(2, *SHAPE)).sum().backward()
    assert network.head.weight.grad.shape == (10, 6)


def test_the_weights_file_holds_parameters_and_buffers(tmp_path: Path) -> None:
    network = trained(Small())
    _, weights = export_torch(network, tmp_path).paths
    held = load_file(weights)
    assert held.keys() == network.state_dict().keys()
    assert all(torch.equal(held[name], tensor) for name, tensor in network.state_dict().items())
    assert weights.stat().st_mode == (tmp_path / "winner.py").stat().st_mode


def test_onnx_takes_batches_of_any_size_and_normalises_inside(tmp_path: Path) -> None:
    network = trained(Small()).eval()
    classes = [f"kind {k}" for k in range(10)]
    exported = export_onnx(network, tmp_path, classes=classes, normalise=(MEAN, STD))
    assert isinstance(exported, Exported)
    session = onnxruntime.InferenceSession(tmp_path / "winner.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", *SHAPE]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    for size in (1, 2, 17):
        batch = torch.randn(size, *SHAPE, generator=torch.Generator().manual_seed(size))
        (logits,) = session.run(None, {"images": batch.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(logits), network((batch - mean) / std).detach(), atol=1e-5, rtol=1e-5
        )
    held = {entry.key: json.loads(entry.value) for entry in onnx.load(tmp_path / "winner.onnx").metadata_props}
    assert held["ogive.classes"] == classes
    assert held["ogive.input"] == "float32 images, on the scale of the training images; they are normalised inside"


def test_the_program_takes_batches_of_any_size_and_tells_how_to_prepare_images(tmp_path: Path) -> None:
    network = trained(Small()).eval()
    (path,) = export_program(network, tmp_path, normalise=(MEAN, STD)).paths
    extra = {"ogive.json": ""}
    program = torch.export.load(path, extra_files=extra)
    for size in (1, 2, 17):
        batch = torch.randn(size, *SHAPE, generator=torch.Generator().manual_seed(size))
        torch.testing.assert_close(program.module()(batch), network(batch))
    assert json.loads(extra["ogive.json"])["mean"] == list(MEAN)


def test_the_network_is_left_as_it_is(tmp_path: Path) -> None:
    network = trained(Small()).to(torch.float64).train()
    network.body.eval()  # type: ignore[union-attr]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state, threads = torch.get_rng_state(), torch.get_num_threads()
    written(network, tmp_path)
    assert [part.training for part in (network, network.body, network.head)] == [True, False, True]  # type: ignore[union-attr]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.head.weight.dtype == torch.float64  # type: ignore[union-attr]
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.get_num_threads() == threads
    assert "_ogive_export_winner" not in sys.modules


def test_networks_that_share_or_transpose_weights_can_be_saved(tmp_path: Path) -> None:
    network = Small(width=10)
    network.head.weight = nn.Parameter(torch.randn(10, 10).t())
    network.head.bias = network.body[1].bias  # type: ignore[assignment]
    # Not 0: the copy has its weights in another order in memory.
    assert export_torch(network, tmp_path).largest_difference < 1e-6


@pytest.mark.parametrize("network", [Forgetful(scale=3.0), Unfit()])
def test_an_export_that_differs_is_refused_and_leaves_the_earlier_one(network: nn.Module, tmp_path: Path) -> None:
    export_torch(Small(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ExportError, match=f"{type(network).__name__}"):
        export_torch(network, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("by", "passes"), [(9e-5, True), (1.2e-4, False)])
def test_a_ten_thousandth_of_the_largest_output_is_allowed_and_no_more(by: float, passes: bool, tmp_path: Path) -> None:
    """The weights are fixed, so that the largest logit is 1 at random images too."""
    network = Small()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.fill_(1.0)
    network.recipe = {"width": 4, "scale": 1.0 + by}
    if passes:
        assert export_torch(network, tmp_path).largest_difference == pytest.approx(by, rel=0.01)
    else:
        with pytest.raises(ExportError, match=r"differs from Small by 0\.00012, more than the 0\.0001 allowed"):
            export_torch(network, tmp_path)


def test_real_images_are_compared_as_well(tmp_path: Path) -> None:
    class Rare(Small):
        """Differs from its copy only on images that random ones never resemble."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + (x.amax() > 50).float()

    network = Small()
    network.__class__ = Rare
    network.__class__.__module__, network.__class__.__qualname__ = Small.__module__, "Small"
    assert export_torch(network, tmp_path).largest_difference == 0.0
    with pytest.raises(ExportError, match="differs from Rare by 1, more than"):
        export_torch(network, tmp_path, images=torch.full((5, *SHAPE), 100.0))


def test_rounding_may_grow_with_the_logits(tmp_path: Path) -> None:
    network = Small().eval()
    with torch.no_grad():
        for parameter in list(network.parameters())[-2:]:
            parameter *= 1e6
        largest = float(network(torch.randn(8, *SHAPE)).abs().max())
    exported = export_onnx(network, tmp_path)
    assert 1e-4 < exported.largest_difference < 1e-4 * largest


@pytest.mark.parametrize("writer", [export_onnx, export_program])
def test_a_network_that_cannot_be_traced_is_refused_with_the_reason_in_one_line(  # type: ignore[no-untyped-def]
    writer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match=r"Branching cannot be exported to (onnx|export): .*data-dependent") as raised:
        writer(Branching(), tmp_path)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("writer", [export_torch, export_onnx, export_program])
def test_no_file_tells_where_things_lie_on_the_machine_that_made_it(  # type: ignore[no-untyped-def]
    writer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in writer(Small(), tmp_path).paths:
        held = path.read_bytes()
        for place in (Path(__file__).parent, Path(torch.__file__).parents[1], tmp_path):
            assert str(place).encode() not in held
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"name": "my winner"}, "name that a Python file of one's own can have"),
        ({"name": "torch"}, "name that a Python file of one's own can have"),
        ({"shape": (3, 0, 8)}, "channels, height and width"),
        ({"shape": (8, 8)}, "channels, height and width"),
        ({"classes": ["a", "b"]}, "2 names of classes, but 10 logits"),
        ({"normalise": ((0.5,), (0.2,))}, "one value .* for each of 3 channels"),
        ({"normalise": (MEAN, (0.2, 0.2, 0.0))}, "above 0"),
        ({"images": torch.zeros(2, 1, 8, 8)}, r"\(N, 3, 8, 8\)"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=complaint):
        export_torch(Small(), tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_gives_no_plain_logits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"must give logits of shape \(N, classes\); Paired gave tuple"):
        export_torch(Paired(), tmp_path)


def test_a_network_that_gives_nan_is_refused(tmp_path: Path) -> None:
    network = Small()
    nn.init.constant_(network.head.bias, float("nan"))
    with pytest.raises(SpecError, match="NaN or infinity"):
        export_torch(network, tmp_path)


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="'onnx'"):
        written(Small(), tmp_path, "torch", "onx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_is_named_before_anything_is_written(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingData, match=rf"{package} must be installed: pip install 'ogive\[onnx\]'"):
        written(Small(), tmp_path, "torch", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_format_named_twice_is_written_once_and_progress_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    exported = written(Small(), tmp_path, "torch", "torch", progress=told.append)
    assert told == ["torch"]
    assert len(exported) == 1


def test_the_same_network_gives_the_same_source_and_weights(tmp_path: Path) -> None:
    network = Small()
    for folder in ("first", "second"):
        export_torch(network, tmp_path / folder)
    for name in ("winner.py", "winner.safetensors"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()

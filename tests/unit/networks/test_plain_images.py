"""Files of networks of images: they read pictures as the search did, and ONNX normalises inside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.build import build, default_skeleton
from ogive.networks.export import export, imported
from ogive.networks.plain_images import of_images
from ogive.spaces.natssize import natssize
from ogive.training.data import from_dataset
from ogive.training.decoding import decoded

SHAPE, MEAN, STD = (3, 8, 6), (0.5, 0.25, 0.1), (0.2, 0.3, 0.4)
CLASSES = tuple(f"kind {place}" for place in range(10))
ABOUT: dict[str, Any] = {"classes": CLASSES, "normalise": (MEAN, STD), "pictures": True}


def network() -> torch.nn.Module:
    return build(natssize().sample(Seed(5).numpy("arch")), default_skeleton("natssize", cells=1), seed=0).eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export(network(), folder, of_images(SHAPE, **ABOUT), name="winner", formats=["torch"])
    return folder / "winner.py"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of every kind that a reader brings to grey or RGB of 8 bits."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    colours = rng.integers(0, 256, (9, 14, 4), dtype=np.uint8)
    rgb = Image.fromarray(colours[..., :3])
    rgb.save(folder / "rgb.png")
    Image.fromarray(colours[..., 0]).save(folder / "grey.png")
    Image.fromarray(colours).save(folder / "alpha.png")
    Image.fromarray(rng.integers(0, 65536, (9, 14), dtype=np.uint16)).save(folder / "deep.png")
    rgb.convert("CMYK").save(folder / "ink.tif")
    turned = Image.Exif()
    turned[0x0112] = 6
    rgb.save(folder / "turned.png", exif=turned)
    (folder / "notes.txt").write_text("no picture")
    return folder


def told(*arguments: str | Path, without: str = "") -> tuple[int, str, str]:
    """What a file says in Python that has torch, safetensors, Pillow and NumPy, and nothing of ogive."""
    absent = ["ogive", "scipy", *filter(None, [without])]
    code = (
        f"import runpy, sys\nfor name in {absent}: sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-I", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_picture_is_to_the_file_what_it_was_to_the_search(exported: Path, photos: Path) -> None:
    module, net = imported(exported), imported(exported).load()
    paths = module.pictures_in([photos])
    assert [path.name for path in paths] == ["alpha.png", "deep.png", "grey.png", "ink.tif", "rgb.png", "turned.png"]
    seen = []
    for path in paths:
        picture, _ = module.upright(path, (8, 8), 3)
        values = decoded(path, 8, 3).values
        assert values is not None
        assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), values)
        found = module.classified(net, path, top=10)
        fitted, _ = module.upright(path, (6, 8), 3)
        pixels = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)[None]
        expected = network()(normalised(pixels / 255)).softmax(1)[0].detach()
        assert [name for name, _ in found] == [CLASSES[place] for place in expected.argsort(descending=True)]
        assert [share for _, share in found] == pytest.approx(expected.sort(descending=True)[0].tolist(), abs=1e-5)
        seen.append(pixels)
    # Ink without a profile of its own is the colours that it was made of.
    assert len({tuple(pixels.flatten().tolist()) for pixels in seen}) == len(seen) - 1


def normalised(images: Tensor) -> Tensor:
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def test_the_file_classifies_pictures_and_folders_without_ogive(exported: Path, photos: Path) -> None:
    code, out, err = told(exported, photos / "rgb.png", "--top", "2")
    assert (code, err) == (0, "")
    assert re.fullmatch(r".*rgb\.png: kind \d \d+\.\d %, kind \d \d+\.\d %\n", out)
    code, out, err = told(exported, photos, photos / "notes.txt")
    assert (code, len(out.splitlines())) == (1, 6)
    assert re.fullmatch(r".*notes\.txt: cannot be read \(cannot identify image file .*\)\n", err)


def test_a_picture_given_as_data_is_one_line(exported: Path, photos: Path) -> None:
    code, _, err = told(exported, "--data", photos / "rgb.png")
    assert code == 2
    assert "Traceback" not in err
    assert "rgb.png holds no images and labels" in err
    assert err.rstrip().endswith("a picture is given without --data")


def test_pillow_is_asked_for_where_a_picture_is_read(exported: Path, photos: Path) -> None:
    assert told(exported, without="PIL")[0] == 0
    code, _, err = told(exported, photos / "rgb.png", without="PIL")
    assert code == 2
    assert "pip install pillow numpy" in err


def test_numbers_of_another_scale_are_no_pictures() -> None:
    plain = of_images(SHAPE, classes=CLASSES, normalise=(MEAN, STD))
    assert "upright" not in "".join(plain.functions)
    values = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    sets = [[(image * scale, place % 2) for place, image in enumerate(values)] for scale in (1, 10)]
    readable = ["upright" in "".join(from_dataset(one).plain().functions) for one in sets]
    assert readable == [True, False]


@pytest.mark.parametrize("raw", [False, True])
def test_onnx_normalises_inside(tmp_path: Path, raw: bool) -> None:
    plain = of_images(SHAPE, **ABOUT, images=torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)))
    (found,) = export(network(), tmp_path, plain, name="winner", formats=["onnx"], raw=raw)
    assert found.largest_difference < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "winner.onnx", providers=["CPUExecutionProvider"])
    pixels = torch.randint(0, 256, (4, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    given = pixels if raw else pixels / 255
    (logits,) = session.run(None, {"images": given.numpy()})
    expected = network()(normalised(pixels / 255)).detach()
    torch.testing.assert_close(torch.from_numpy(logits), expected, atol=1e-4, rtol=1e-4)
    held = {entry.key: json.loads(entry.value) for entry in onnx.load(tmp_path / "winner.onnx").metadata_props}
    assert held["ogive.input"].startswith("uint8 images, 0 to 255" if raw else "float32 images, bytes divided by 255")
    assert held.keys().isdisjoint({"ogive.mean", "ogive.std"})


def test_raw_images_are_those_of_pictures_in_onnx(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="Raw inputs are bytes of images that ONNX takes"):
        export(network(), tmp_path, of_images(SHAPE), name="winner", formats=["onnx"], raw=True)
    with pytest.raises(SpecError, match="Raw inputs are bytes of images that ONNX takes"):
        export(network(), tmp_path, of_images(SHAPE, **ABOUT), name="winner", formats=["torch"], raw=True)


@pytest.mark.slow  # mypy reads all of torch
def test_the_file_type_checks(exported: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--cache-dir", str(exported.parent), exported]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=exported.parent)
    assert done.returncode == 0, done.stdout

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.reporting.scores import STOPS, heat_map, kernels_section
from ogive.tables.kernels import Kernel

ARCHS = [Architecture("nasbench201", (digit,) * 6) for digit in range(3)]


def pixels(png: bytes) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(png)).convert("RGB"))


def test_a_heat_map_has_a_pixel_for_every_pair_and_goes_from_pale_to_dark() -> None:
    shares = np.array([[1.0, 0.5, 0.75], [0.5, 1.0, 0.4], [0.75, 0.4, 1.0]])
    found = pixels(heat_map(shares, 0.5))
    assert found.shape == (3, 3, 3)
    assert tuple(found[0, 0]) == STOPS[-1]
    assert tuple(found[0, 1]) == tuple(found[1, 2]) == STOPS[0]  # what lies below the scale is its lower end
    assert STOPS[0][0] > found[0, 2, 0] > STOPS[-1][0]
    assert (found == found.transpose(1, 0, 2)).all()
    ramp = pixels(heat_map(np.linspace(0, 1, 200)[None, :], 0.0)).sum(axis=2)[0]
    assert (np.diff(ramp.astype(int)) <= 0).all()


def test_the_section_shows_three_kernels_on_one_scale_with_what_is_known_of_them() -> None:
    kernels = [
        Kernel(arch, 4096, np.full((6, 6), low) + (1 - low) * np.eye(6), np.arange(6))
        for arch, low in zip(ARCHS, (0.62, 0.7, 0.9), strict=True)
    ]
    told = {ARCHS[0]: ["accuracy 94 %", "<b>"]}
    text = kernels_section(kernels, told, lambda arch: "<svg/>" if arch == ARCHS[1] else None, "a/kernels.npz")
    assert re.findall(r"<h3>(.*?)</h3>", text) == ["good", "middling", "poor"]
    assert "two images agree in 62 % of 4,096 ReLU units on average" in text
    assert "<li>accuracy 94 %</li><li>&lt;b&gt;</li>" in text
    assert text.count("<svg/>") == 1
    assert "60 %" in text  # the scale begins at the lowest share, rounded down
    images = [base64.b64decode(found) for found in re.findall(r"base64,([^\"]+)", text)]
    assert len(images) == 4
    same = [pixels(image)[0, 1].tolist() for image in images[:3]]
    assert sum(same[0]) > sum(same[1]) > sum(same[2])

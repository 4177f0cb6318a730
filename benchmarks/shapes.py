"""Pictures with circles, squares and triangles on noise, and where these are: what detectors are tried on.

A number decides everything: the same one draws the same pictures on every machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

CLASSES = ("circle", "square", "triangle")


class Picture(NamedTuple):
    """Pixels (H, W, 3) of uint8, boxes (M, 4) as left, top, width and height in pixels, and classes (M,)."""

    pixels: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def picture(rng: np.random.Generator, side: int) -> Picture:
    """One to four shapes, of which none hides another's middle."""
    pixels = rng.normal(rng.uniform(80, 170, 3), 12, (side, side, 3))
    y, x = np.mgrid[:side, :side] + 0.5
    boxes: list[tuple[float, ...]] = []
    labels: list[int] = []
    for _ in range(rng.integers(1, 5)):
        width = int(rng.integers(side // 6, side // 2))
        left, top = (int(corner) for corner in rng.integers(0, side - width + 1, 2))
        middles = [(abs(left + width / 2 - b[0] - b[2] / 2), abs(top + width / 2 - b[1] - b[3] / 2)) for b in boxes]
        if any(max(far) < (width + b[2]) / 2 for far, b in zip(middles, boxes, strict=True)):
            continue
        label, across, down = int(rng.integers(3)), (x - left) / width, (y - top) / width
        inside = (across > 0) & (across < 1) & (down > 0) & (down < 1)
        if label == 0:
            inside &= (across - 0.5) ** 2 + (down - 0.5) ** 2 < 0.25
        elif label == 2:
            inside &= abs(across - 0.5) < down / 2
        pixels[inside] = rng.choice([0, 255], 3) * 0.8 + rng.uniform(0, 50, 3)
        boxes.append((left, top, width, width))
        labels.append(label)
    return Picture(pixels.clip(0, 255).astype(np.uint8), np.array(boxes, float), np.array(labels))


def pictures(count: int, *, side: int = 96, seed: int = 0) -> list[Picture]:
    """So many pictures."""
    rng = np.random.default_rng(seed)
    return [picture(rng, side) for _ in range(count)]


def write_coco(folder: Path, made: list[Picture]) -> Path:
    """The pictures as COCO has them: images/*.png and annotations/instances.json."""
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    images, annotations = [], []
    for number, one in enumerate(made):
        name = f"{number:05}.png"
        Image.fromarray(one.pixels).save(folder / "images" / name)
        height, width = one.pixels.shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for box, label in zip(one.boxes.tolist(), one.labels.tolist(), strict=True):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": label + 1, "bbox": box, "iscrowd": 0}
            )
    categories = [{"id": place, "name": name} for place, name in enumerate(CLASSES, start=1)]
    told = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "instances.json").write_text(json.dumps(told))
    return folder

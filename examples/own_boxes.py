"""A detector for pictures with boxes as COCO has them. Run: python examples/own_boxes.py."""

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import ogive
from ogive.winner import export_winner, train_winner

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder, rng, images, boxes = Path(name), np.random.default_rng(0), [], []
        for number in range(40):  # one bright square on a dark ground each
            pixels, (x, y, side) = rng.integers(0, 80, (32, 32, 3), np.uint8), map(int, rng.integers(6, 16, 3))
            pixels[y : y + side, x : x + side] += 150
            Image.fromarray(pixels).save(folder / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "width": 32, "height": 32})
            boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": [x, y, side, side]})
        told = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "square"}]}
        (folder / "boxes.json").write_text(json.dumps(told))
        data, size = ogive.data(f"coco:{folder}"), {"channels": 4, "cells": 1}
        run = {"evaluator": "trained(epochs=1, threads=1)", "budget": 2, "out": folder / "run", **size}
        ogive.search(space="nasbench201", data=data, **run)
        facts = train_winner(folder / "run", data=data, recipe="epochs=4, batch_size=4", threads=1)
        export_winner(folder / "run", data=data, formats=["torch"])
        print(facts["reached"], *sorted(path.name for path in (folder / "run/artifacts/export").iterdir()))

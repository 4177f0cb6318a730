"""Images with boxes, annotated as COCO is: ``coco:FOLDER``.

Lin et al., "Microsoft COCO", ECCV 2014; cocodataset.org, data format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ogive.core.errors import SpecError, in_line, quoted
from ogive.training.annotated import Annotated, Box, folder_of, placed, read
from ogive.training.boxes import COUNTS, CROWD, Boxed
from ogive.training.folders import PARTS as WORDS

__all__ = ["load"]


def load(
    name: str,
    *,
    size: int | None = None,
    channels: int = 3,
    validation: float | None = None,
    limit: int | None = None,
) -> Boxed:
    """Images with boxes, annotated as COCO is: annotations/instances_train2017.json beside train2017/, or the like.

    An annotation file is for training, validation or test as its name or its folder says (train, val, valid, test); one
    alone is divided. Images lie beside it, in the folder, in images/, or in a folder called as what the file's name
    ends with. `size`: each image becomes so many pixels a side, and its boxes with it; by default square images of one
    size keep it, and others become 320 x 320. `channels`: 1 makes all images grey. Boxes without area are left out and
    counted; crowds count neither for nor against. `validation`: the share of the training images to compare candidates
    on; `limit`: at most so many images of each part. Raises SpecError, and MissingData for images that are not there.
    """
    folder = folder_of(name)
    files = _coco_files(folder)
    if not files:
        raise SpecError(f"{name}: there is no annotation file: COCO's are annotations/instances_train2017.json, say.")
    parts: dict[str, list[Annotated]] = {}
    classes: tuple[str, ...] = ()
    for part, path in sorted(files.items(), key=lambda item: ("train", "val", "test").index(item[0])):
        parts[part], known = _coco(path, folder)
        if part == "train":
            classes = known
        elif unknown := [one for one in known if one not in classes]:
            raise SpecError(f"{path} has the category {quoted(unknown[0])}, which the training part does not know.")
    used = {box.label for pictures in parts.values() for one in pictures for box in one.boxes}
    kept = tuple(one for one in classes if one in used)
    return read(name, parts, kept, size=size, channels=channels, validation=validation, limit=limit)


LARGEST = 10**12  # pixels, or an area in them


def _coco_files(folder: Path) -> dict[str, Path]:
    """The annotation file of each part."""
    listed = [path for place in ("annotations", ".") for path in sorted((folder / place).glob("*.json"))]
    listed += [path for path in sorted(folder.glob("*/*.json")) if path.parent.name.lower() in WORDS]
    listed = [path for path in listed if path.stem.startswith("instances")] or listed
    found: dict[str, Path] = {}
    for path in listed:
        part = next((part for word, part in WORDS.items() if word in _told(path, folder)), None)
        if part is None and len(listed) == 1:
            part = "train"
        if part is None:
            continue
        if part in found:
            raise SpecError(f"{folder} has two annotation files for {part}, {found[part].name} and {path.name}.")
        found[part] = path
    if found and "train" not in found:
        raise SpecError(f"{folder} has annotations of its {' and '.join(found)} part alone: train is missing.")
    return found


def _told(path: Path, folder: Path) -> str:
    """What a file's name says of its part, or else its folder's."""
    named = any(word in path.stem.lower() for word in WORDS)
    return path.stem.lower() if named or path.parent == folder else path.parent.name.lower()


def _coco(path: Path, folder: Path) -> tuple[list[Annotated], tuple[str, ...]]:
    """The pictures of an annotation file, and its categories in the order of their numbers."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"{path} cannot be read as JSON ({in_line(error)}): it may have been cut off.") from None
    lists: list[Any] = [
        told.get(key) if isinstance(told, dict) else None for key in ("images", "categories", "annotations")
    ]
    if not all(isinstance(one, list) and all(isinstance(row, dict) for row in one) for one in lists):
        raise SpecError(f"{path} is no annotation file of COCO: it needs lists of images, categories and annotations.")
    images, categories, annotations = lists
    names = {_number(path, row, "id"): _word(path, row, "name") for row in categories}
    pictures: dict[int, Annotated] = {}
    places = _places(path, folder)
    for row in images:
        number = _number(path, row, "id")
        if number in pictures:
            raise SpecError(f"{path} has two images with the id {number}.")
        sides: tuple[Any, Any] = (row.get("width"), row.get("height"))
        width, height = sides if all(isinstance(side, int) and side > 0 for side in sides) else (0, 0)
        place = placed(places, _word(path, row, "file_name"))
        pictures[number] = Annotated(place, (width, height) if width else None)
    for row in annotations:
        picture, label = pictures.get(_number(path, row, "image_id")), names.get(_number(path, row, "category_id"))
        if picture is None or label is None:
            key = "image_id" if picture is None else "category_id"
            raise SpecError(f"{path}: an annotation has the {key} {quoted(row[key])}, which is not listed.")
        left, top, width, height = _four(path, row)
        area = row.get("area", width * height)
        area = float(area) if _is_measure(area) else width * height
        picture.boxes.append(Box(label, left, top, width, height, area, CROWD if row.get("iscrowd") else COUNTS))
    return list(pictures.values()), tuple(dict.fromkeys(names[number] for number in sorted(names)))


def _number(path: Path, row: Mapping[str, Any], key: str) -> int:
    value = row.get(key)
    if not isinstance(value, int):
        raise SpecError(f"{path}: {key} must be a whole number, but is {quoted(value)} in {quoted(str(row))}.")
    return value


def _word(path: Path, row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise SpecError(f"{path}: {key} must be a text, but is {quoted(value)} in {quoted(str(row))}.")
    return value


def _four(path: Path, row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    value = row.get("bbox")
    numbers = isinstance(value, list) and len(value) == 4 and all(map(_is_measure, value))
    if not numbers:
        raise SpecError(f"{path}: a bbox is left, top, width and height in pixels, but one is {quoted(value)}.")
    assert value is not None
    left, top, width, height = map(float, value)
    return left, top, width, height


def _is_measure(value: Any) -> bool:
    """Whether a value is a number, and no whole one of so many digits that it can be none of a picture."""
    return type(value) is float or (type(value) is int and abs(value) < LARGEST)


def _places(path: Path, folder: Path) -> list[Path]:
    """Where the images of an annotation file may lie."""
    suffix = path.stem.removeprefix("instances_")
    found = [path.parent, folder / suffix, folder / "images" / suffix, folder / "images", folder]
    return [place for place in dict.fromkeys(found) if place.is_dir()]

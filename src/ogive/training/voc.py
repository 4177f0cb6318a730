"""Images with boxes, annotated as Pascal VOC is: ``voc:FOLDER``.

Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010, and its development kit.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.parsers import expat

from ogive.core.errors import MissingData, SpecError, in_line, quoted
from ogive.training.annotated import Annotated, Box, folder_of, placed, read
from ogive.training.boxes import COUNTS, IGNORED, Boxed
from ogive.training.folders import ENDINGS

__all__ = ["load"]

LARGEST_XML = 1 << 24  # bytes; an annotation has some hundred


def load(
    name: str,
    *,
    size: int | None = None,
    channels: int = 3,
    validation: float | None = None,
    limit: int | None = None,
) -> Boxed:
    """Images with boxes, annotated as Pascal VOC is: Annotations/*.xml, JPEGImages/, and ImageSets/Main/train.txt.

    The folder is VOC2007, say, or one that holds it alone. Without lists of images, all of them are divided. Objects
    that are noted as difficult count neither for nor against. `size`, `channels`, `validation` and `limit` are as of
    coco:FOLDER. Raises SpecError, and MissingData for images that are not there.
    """
    folder = folder_of(name)
    inside = [path for path in sorted(folder.iterdir()) if (path / "Annotations").is_dir()]
    if not (folder / "Annotations").is_dir() and len(inside) == 1:
        folder = inside[0]
    if not (folder / "Annotations").is_dir():
        raise SpecError(f"{name}: there is no folder Annotations in it, where VOC has an .xml for each image.")
    sets = _voc_sets(folder)
    parts = {part: [_voc(folder, stem) for stem in stems] for part, stems in sets.items()}
    classes = tuple(sorted({box.label for one in parts["train"] for box in one.boxes}))
    for part, pictures in parts.items():
        for one in pictures:
            unknown = next((box.label for box in one.boxes if box.label not in classes), None)
            if unknown is not None:
                raise SpecError(f"{one.path} of {part} has a {quoted(unknown)}, which no training image has.")
    return read(name, parts, classes, size=size, channels=channels, validation=validation, limit=limit)


def _voc_sets(folder: Path) -> dict[str, list[str]]:
    """The names of the images of each part, without endings."""
    lists = {path.stem: path for path in (folder / "ImageSets" / "Main").glob("*.txt")}
    files = {"train": lists.get("train") or lists.get("trainval"), "val": lists.get("val"), "test": lists.get("test")}
    if files["train"] == lists.get("trainval"):
        files["val"] = None  # its images are among those
    found = {part: _lines(path) for part, path in files.items() if path is not None}
    if "train" not in found:
        return {"train": sorted(path.stem for path in (folder / "Annotations").glob("*.xml"))}
    return found


def _lines(path: Path) -> list[str]:
    try:
        return [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read as a list of images ({in_line(error)}).") from None


def _voc(folder: Path, stem: str) -> Annotated:
    """A picture and its boxes; pixels are counted from 1 there, and the last one is part of a box."""
    path = folder / "Annotations" / f"{stem}.xml"
    if not path.is_file():
        raise MissingData(f"{path} is missing, though its image is listed in ImageSets.")
    root = _parsed(path)
    told = root.findtext("filename") or ""
    place = folder / "JPEGImages"
    image = placed([place], told) if told else place / stem
    if not image.is_file():
        image = next((one for end in sorted(ENDINGS) if (one := place / f"{stem}{end}").is_file()), image)
    sides = (_float(path, root, "size/width", 0.0), _float(path, root, "size/height", 0.0))
    picture = Annotated(image, (int(sides[0]), int(sides[1])) if min(sides) >= 1 else None)
    for found in root.iterfind("object"):
        label = (found.findtext("name") or "").strip()
        if not label:
            raise SpecError(f"{path} has an object without a name.")
        left, top, right, bottom = (_float(path, found, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax"))
        width, height = right - left + 1, bottom - top + 1
        kind = IGNORED if (found.findtext("difficult") or "").strip() == "1" else COUNTS
        degenerate = right < left or bottom < top
        box = Box(label, left - 1, top - 1, -1.0 if degenerate else width, height, width * height, kind)
        picture.boxes.append(box)
    return picture


def _float(path: Path, within: ElementTree.Element, key: str, default: float | None = None) -> float:
    told = within.findtext(key)
    try:
        return default if told is None and default is not None else float(told or "")
    except ValueError:
        raise SpecError(f"{path}: {key} must be a number, but is {quoted(told)}.") from None


def _parsed(path: Path) -> ElementTree.Element:
    """The root of an annotation; a file that declares entities, which may grow without end, is refused."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_declarations
    try:
        if path.stat().st_size > LARGEST_XML:
            raise ValueError(f"it has more than {LARGEST_XML >> 20} MB")
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except (OSError, expat.ExpatError, ValueError, AssertionError, RecursionError) as error:
        raise SpecError(f"{path} cannot be read as XML ({in_line(error)}).") from None


def _refuse_declarations(*declared: object) -> None:
    raise ValueError("it has a DOCTYPE, which annotations do without")

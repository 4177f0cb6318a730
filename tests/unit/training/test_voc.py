from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shapes import CLASSES, pictures

import ogive
from ogive.core.errors import MissingData, SpecError
from ogive.training.boxes import CLASS, IGNORED, KIND

OBJECT = (
    "<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>"
    "<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
)
HEAD = "<annotation><filename>{stem}.png</filename><size><width>32</width><height>32</height><depth>3</depth></size>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures as VOC2007 has them."""
    top = tmp_path / "devkit" / "VOC2007"
    for name in ("Annotations", "JPEGImages"):
        (top / name).mkdir(parents=True)
    for number, one in enumerate(pictures(10, side=32)):
        stem = f"{number:06}"
        Image.fromarray(one.pixels).save(top / "JPEGImages" / f"{stem}.png")
        objects = [
            OBJECT.format(name=CLASSES[label], difficult=0, box=(x + 1, y + 1, x + w, y + h))
            for (x, y, w, h), label in zip(one.boxes.tolist(), one.labels.tolist(), strict=True)
        ]
        text = f"{HEAD.format(stem=stem)}{''.join(objects)}</annotation>"
        (top / "Annotations" / f"{stem}.xml").write_text(text)
    return tmp_path / "devkit"


def sets(folder: Path, **parts: str) -> None:
    place = folder / "VOC2007" / "ImageSets" / "Main"
    place.mkdir(parents=True)
    for part, stems in parts.items():
        (place / f"{part}.txt").write_text("".join(f"{int(stem):06}\n" for stem in stems.split()))


def first(folder: Path) -> Path:
    return folder / "VOC2007" / "Annotations" / "000000.xml"


def test_pixels_are_counted_from_one_and_the_last_is_part_of_a_box(folder: Path) -> None:
    sets(folder, train="0 1 2 3 4 5", val="6 7", test="8 9")
    data = ogive.data(f"voc:{folder}")
    assert [len(one) for one in (data.train, data.val, data.test)] == [6, 2, 2]
    assert data.classes == tuple(sorted(CLASSES))
    for split, made in ((data.train, pictures(10, side=32)[:6]), (data.test, pictures(10, side=32)[8:])):
        for objects, one in zip(split.labels, made, strict=True):
            own = objects[objects[:, CLASS] >= 0]
            left, top, width, height = one.boxes.T
            assert np.allclose(own[:, :4] * 32, np.stack([left, top, left + width, top + height], 1), atol=1e-4)
            assert [data.classes[int(label)] for label in own[:, CLASS]] == [CLASSES[label] for label in one.labels]


def test_without_lists_all_images_are_divided_and_a_list_of_both_leaves_out_its_part(folder: Path) -> None:
    whole = ogive.data(f"voc:{folder / 'VOC2007'}")
    assert sum(len(one) for one in (whole.train, whole.val, whole.test)) == 10
    sets(folder, trainval="0 1 2 3 4 5 6 7", val="6 7", test="8 9")
    data = ogive.data(f"voc:{folder}")
    assert [len(one) for one in (data.train, data.val, data.test)] == [6, 2, 2]


def test_difficult_objects_are_ignored_and_boxes_without_area_counted(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objects = OBJECT.format(name="circle", difficult=1, box=(1, 1, 9, 9)) + OBJECT.format(
        name="circle", difficult=0, box=(9, 9, 3, 3)
    )
    first(folder).write_text(first(folder).read_text().replace("</annotation>", objects + "</annotation>"))
    with caplog.at_level(logging.WARNING):
        data = ogive.data(f"voc:{folder}")
    assert data.skipped == 1
    assert "1 of " in caplog.text
    labels = torch.cat([data.train.labels, data.val.labels, data.test.labels]).flatten(0, 1)
    assert (labels[:, KIND] == IGNORED).sum() == 1


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]><annotation>&c;</annotation>'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "cannot be read as XML .*it has a DOCTYPE, which annotations do without"),
        (BOMB.encode("utf-16"), "it has a DOCTYPE"),
        ("<annotation><object>", "cannot be read as XML"),
        ("", "cannot be read as XML"),
        ("<a>" * 5, "cannot be read as XML"),
        ("<annotation><object></object></annotation>", "has an object without a name"),
        (
            "<annotation><object><name>circle</name><bndbox><xmin>left</xmin></bndbox></object></annotation>",
            "bndbox/xmin must be a number, but is 'left'",
        ),
        ("<annotation><object><name>circle</name></object></annotation>", "bndbox/xmin must be a number, but is None"),
        ("<annotation><filename>../../x.png</filename></annotation>", "leads out of it"),
    ],
)
def test_annotations_that_are_none_are_told_in_one_line(folder: Path, text: str | bytes, told: str) -> None:
    first(folder).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SpecError, match=told) as raised:
        ogive.data(f"voc:{folder}")
    assert "\n" not in str(raised.value)


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    image = folder / "VOC2007" / "JPEGImages" / "000003.png"
    kept = image.read_bytes()
    image.unlink()
    with pytest.raises(MissingData, match=r"1 of 10 images of voc:.* are missing, such as .*000003.png"):
        ogive.data(f"voc:{folder}")
    image.write_bytes(kept)
    sets(folder, train="0 1 2 3", val="4 5 6 11")
    with pytest.raises(MissingData, match=r"000011.xml is missing, though its image is listed in ImageSets"):
        ogive.data(f"voc:{folder}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match="there is no folder Annotations"):
        ogive.data(f"voc:{tmp_path / 'empty'}")


def test_a_class_that_no_training_image_has_is_refused(folder: Path) -> None:
    first(folder).write_text(first(folder).read_text().replace("<name>", "<name>odd "))
    sets(folder, train="1 2 3 4 5", val="0 6", test="7 8")
    with pytest.raises(SpecError, match=r"000000.png of val has a 'odd .*', which no training image has"):
        ogive.data(f"voc:{folder}")

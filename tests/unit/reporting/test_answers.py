"""What a trained winner gets wrong, as the page shows it, and which targets it met."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ogive.answers import ANSWERS, Answers, Mistake, Shown, Tally, keep_answers, read_answers
from ogive.core.errors import StoreError
from ogive.core.trial import Trial
from ogive.png import png
from ogive.reporting.page import page
from ogive.runs import Run
from ogive.trained_networks import folder_of

Make = Callable[..., Run]
Of = Callable[..., Trial]

PICTURE = png(np.zeros((4, 4), np.uint8))
FOUND = Answers(
    "images",
    9,
    (Tally("cat", 5, 3, 4), Tally("<dog>", 4, 3, 5)),
    ((0, 0, 3), (1, 1, 3), (0, 1, 2), (1, 0, 1)),
    (
        Mistake("cat", "<dog>", 0.97, Shown(picture=PICTURE)),
        Mistake("<dog>", "cat", 0.6, Shown(text="a row <b>")),
        Mistake("cat", "<dog>", 0.55, Shown(curve=(0.0, 1.0, 0.5))),
    ),
)


@pytest.fixture
def trained(make: Make, trial: Of) -> Callable[..., Run]:
    """A run whose winner is trained, with these answers beside its weights."""

    def made(answers: Answers, name: str = "own", **changes: object) -> Run:
        run = make(name, [trial(0, {"val_acc": 90.0, "params": 7.0}, (90.0,))], **changes)
        place = folder_of(run, 0)
        place.mkdir(parents=True)
        keep_answers(answers, place / ANSWERS)
        facts = {"arch": str(run.trials[0].arch), "trial": 0, "test_acc": 66.0}
        (place / "network.json").write_text(json.dumps(facts))
        return run

    return made


def section(document: str, name: str) -> str:
    start = document.index(f'<section id="{name}"')
    return document[start : document.index("</section>", start)]


def test_the_classes_the_matrix_and_the_mistakes_are_shown_with_text_escaped(trained: Callable[..., Run]) -> None:
    text = section(page([trained(FOUND)]), "mistakes")
    assert "On 9 test images, the classes that it finds least often: “cat” (60.0 %)" in text
    assert "75.0 %</td>" in text  # of 4 dogs, and of 4 times that it says cat
    matrix = text.partition('class="confusion"')[2].partition("</table>")[0]
    assert [cell.partition(">")[2].partition("<")[0] for cell in matrix.split("<td")[1:]] == ["3", "2", "1", "3"]
    assert "All 3 mistakes, with what it is" in text
    assert text.count("data:image/png;base64,") == 1
    assert text.count("<polyline") == 1
    assert "<q>a row &lt;b&gt;</q>" in text
    assert "<b>cat</b> → &lt;dog&gt; (97 %)" in text


def test_of_many_classes_the_most_frequent_confusions_are_told(trained: Callable[..., Run]) -> None:
    tallies = tuple(Tally(f"class {k}", 10, 9, 9) for k in range(30))
    many = replace(FOUND, count=300, tallies=tallies, confusion=((0, 0, 9), (2, 5, 4), (0, 1, 1)), mistakes=())
    text = section(page([trained(many)]), "mistakes")
    assert "Confusion matrix" not in text
    rows = text.partition("What it mixes up most often")[2].partition("</tbody>")[0]
    assert rows.index("class 2") < rows.index("class 1<")
    assert "40.0 %" in rows


def test_a_run_without_answers_has_no_such_section(make: Make, trial: Of) -> None:
    assert 'id="mistakes"' not in page([make("own", [trial(0, {"val_acc": 1.0}, (1.0,))])])


def test_answers_are_read_as_they_were_written_and_damage_is_one_line(trained: Callable[..., Run]) -> None:
    path = folder_of(trained(FOUND), 0) / ANSWERS
    assert read_answers(path) == FOUND
    assert read_answers(path.with_name("none.json")) is None
    whole = path.read_text()
    for damaged in (whole[:50], whole.replace('"count": 9', '"count": "many"'), whole.replace("[\n   0,", "[\n   7,")):
        assert damaged != whole
        path.write_text(damaged)
        with pytest.raises(StoreError, match="is damaged"):
            read_answers(path)


def test_every_target_is_told_to_be_met_or_missed(make: Make, trial: Of) -> None:
    measured = {"val_acc": 90.0, "params": 7.0, "latency_ms": 5.5}
    text = section(page([make("own", [trial(0, measured, (90.0,))], where=["params<=10"])]), "answer")
    assert '<strong class="met">met</strong> parameters &lt;= 10: 7' in text
    assert '<strong class="missed">missed</strong> latency &lt;= 5\u00a0ms: 5.5\u00a0ms' in text


def test_what_the_data_are_and_how_they_are_divided_is_told(trained: Callable[..., Run]) -> None:
    run = trained(FOUND, data="images:photos", data_summary=["9 RGB images", "5 to train on, 2 to validate on"])
    text = section(page([run]), "data")
    assert "<li>9 RGB images</li><li>5 to train on, 2 to validate on</li>" in text
    assert "took the training and the validation part together" in text

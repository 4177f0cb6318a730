from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import names_of
from ogive.core.rng import Seed
from ogive.core.trial import Budget, Measurement, Proposal
from ogive.evaluators.trained import Trained
from ogive.evaluators.training_free import TrainingFree
from ogive.session import Settings, searched
from ogive.spaces.darts_rnn import PUBLISHED, architecture, darts_rnn
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.data import load as load_images
from ogive.training.language import LanguageProgress
from ogive.training.language_recipe import PRESETS, LanguageRecipe
from ogive.training.task import Size
from ogive.training.tasks.language import Language
from ogive.training.text import Text, load

pytestmark = pytest.mark.usefixtures("one_thread")

ARCH = architecture(PUBLISHED["darts_v2"].recurrent)
OTHER = architecture(PUBLISHED["darts_v1"].recurrent)
SIZE: dict[str, Any] = {"preset": "tiny", "channels": 8, "epochs": 2, "batch_size": 4, "bptt": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("text")
    for part, times in (("train", 40), ("valid", 12), ("test", 10)):
        (place / f"{part}.txt").write_text("a b c d e f g\nb c d a\ne f g h\n" * times)
    return place


@pytest.fixture(scope="module")
def text(folder: Path) -> Text:
    return load(f"text:{folder}")


def language(text: Text, **options: Any) -> Trained:
    written = {"seed": Seed(0), "space": darts_rnn(), **SIZE, **options}
    known = {"preset", *(entry.name for entry in fields(LanguageRecipe))}
    chosen = {name: written.pop(name) for name in list(written) if name in known}
    recipe = LanguageRecipe(**{**PRESETS[chosen.pop("preset", "small")], **chosen})
    size = Size(**{name: written.pop(name) for name in ("channels", "cells") if name in written})
    return Trained(task=Language(text), recipe=recipe, size=size, **written)


def measured(evaluator: Trained, arch: Architecture = ARCH, fidelity: int | None = None) -> Measurement:
    (found,) = evaluator.evaluate([Proposal(arch, fidelity)])
    return found


def metrics(measurement: Measurement) -> dict[str, float]:
    assert measurement.error is None, measurement.error
    return dict(measurement.metrics)


def test_a_cell_is_measured_by_the_perplexity_of_its_language_model(text: Text) -> None:
    found = metrics(measured(language(text, epochs=6)))
    assert found.keys() == set(names_of(language(text).metrics)) == {"val_ppl", "test_ppl", "params", "macs"}
    assert 1 < found["val_ppl"] < 5 < len(text.vocabulary)
    assert found["params"] == 16 * 16 + 8 * 8 * 16 + 9 * 8 + 9
    assert found["macs"] == found["params"] - 9


def test_the_outcome_depends_on_seed_architecture_and_fidelity_alone(text: Text) -> None:
    alone = [metrics(measured(language(text), arch)) for arch in (ARCH, OTHER)]
    found = language(text).evaluate([Proposal(OTHER), Proposal(ARCH)])
    assert [metrics(m) for m in found] == alone[::-1]
    assert metrics(measured(language(text, epochs=3), fidelity=2))["val_ppl"] == alone[0]["val_ppl"]  # no annealing
    assert metrics(measured(language(text, seed=Seed(1)))) != alone[0]
    copy = pickle.loads(pickle.dumps(language(text, progress=lambda report: None)))
    assert metrics(measured(copy)) == alone[0]


def test_repeats_average_independent_trainings(text: Text) -> None:
    once, twice = (metrics(measured(language(text, repeats=n)))["val_ppl"] for n in (1, 2))
    assert once != twice


def test_the_test_text_has_no_part_in_what_is_searched_on(text: Text) -> None:
    other = replace(text, test=torch.zeros(50, dtype=torch.int64))
    here, there = metrics(measured(language(text))), metrics(measured(language(other)))
    assert here["val_ppl"] == there["val_ppl"]
    assert here["test_ppl"] != there["test_ppl"]


def test_a_candidate_that_diverges_is_a_failure_with_its_reason(text: Text, tmp_path: Path) -> None:
    found = measured(language(text, learning_rate=1e30, gradient_clip=0.0, folder=tmp_path))
    assert found.error is not None
    assert found.error.startswith("diverged: The loss was not finite 3 times")
    assert "val_ppl" not in found.metrics
    assert list(tmp_path.iterdir()) == []


def test_a_network_far_too_large_is_a_failure_that_costs_no_memory(text: Text) -> None:
    found = measured(language(text, channels=200_000))
    assert found.error is not None
    assert found.error.startswith("out of memory: training would take about ")
    assert measured(language(text, memory_limit_mb=1, batch_size=64)).error is not None


def test_an_interrupted_measurement_goes_on_where_it_was(text: Text, tmp_path: Path) -> None:
    def interrupt(report: LanguageProgress) -> None:
        if report.epoch == 2 and report.val_ppl is not None:
            raise KeyboardInterrupt

    expected = metrics(measured(language(text, epochs=4)))
    with pytest.raises(KeyboardInterrupt):
        measured(language(text, epochs=4, folder=tmp_path, progress=interrupt))
    seen: list[LanguageProgress] = []
    assert metrics(measured(language(text, epochs=4, folder=tmp_path, progress=seen.append))) == expected
    assert [report.epoch for report in seen if report.val_ppl is not None] == [2, 3, 4]
    assert list(tmp_path.iterdir()) == []


# -- names and refusals ------------------------------------------------------------------------------------------------


def test_the_options_of_trained_are_those_of_the_task_of_the_search(text: Text) -> None:
    context = Context({"task": lambda: Language(text), "space": darts_rnn}, Seed(0))
    assert catalog.build("evaluator", "trained(preset=tiny)", context).fidelity.full == 3
    with pytest.raises(SpecError, match="no option of trained named 'cutout'"):
        catalog.build("evaluator", "trained(cutout=2)", context)
    with pytest.raises(SpecError, match="The evaluator language is now written trained"):
        catalog.build("evaluator", "language(preset=tiny)", context)


def test_a_search_on_a_text_trains_and_minimises_perplexity_unless_told_otherwise(folder: Path) -> None:
    settings = Settings(space="darts_rnn", data=f"text:{folder}", strategy="random", budget=Budget(trials=1))
    assert settings.evaluator == "trained"
    small = replace(settings, evaluator="trained(preset=tiny, epochs=1, batch_size=4)", channels=8, threads=1)
    (trial,) = searched(small)[0]
    assert trial.scores == (-trial.metrics["val_ppl"],)


def test_texts_and_images_are_not_confused(text: Text) -> None:
    images = load_images("digits", limit=40)
    with pytest.raises(SpecError, match="The task is language, and networks of nasbench201 are for classification"):
        language(text, space=nasbench201())
    with pytest.raises(SpecError, match=r"data for classification or generation, and .* of darts_rnn are for language"):
        catalog.task_of(darts_rnn(), images)
    with pytest.raises(SpecError, match="is a text, of which networks of images know nothing"):
        TrainingFree("naswot", space=nasbench201(), data=text, seed=Seed(0))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="Networks of darts_rnn read texts, not images"):
        TrainingFree("naswot", space=darts_rnn(), data=images, seed=Seed(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "repeats must be at least 1, but got 0"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"channels": 0}, "width must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(
    text: Text, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        language(text, **options)

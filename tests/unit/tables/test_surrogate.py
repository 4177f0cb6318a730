"""Models of XGBoost and LightGBM, and what those predicted: the JSON file says how they were made."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError
from ogive.core.trial import Proposal
from ogive.evaluators.tabular import Tabular
from ogive.tables.importers import import_table, suggested_name
from ogive.tables.predictions import FEATURES, encode
from ogive.tables.store import Table

MADE: dict[str, Any] = json.loads((Path(__file__).parent / "nasbench301_models.json").read_text())
ARCHS = [Architecture("darts", tuple(choices)) for choices in MADE["architectures"]]


def model(folder: Path, content: Any, config: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "surrogate_model.json").write_text(content if isinstance(content, str) else json.dumps(content))
    if config is not None:
        (folder / "model_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """As the authors' archive has them: a folder for each ensemble, with a folder for each member."""
    for number, content in enumerate(MADE["xgboost"]):
        model(tmp_path / "xgb_v1.0" / f"member_{number}", content, {"model": "xgb", "param:bananas_enc": False})
    model(tmp_path / "lgb_runtime_v1.0" / "member_0", MADE["lightgbm"], {"model": "lgb_time"})
    return [tmp_path / "xgb_v1.0", tmp_path / "lgb_runtime_v1.0"]


@pytest.fixture
def table(folders: list[Path], tmp_path: Path) -> Table:
    return import_table(folders, tmp_path / "table", name="nb301")


def broken(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    content: dict[str, Any] = copy.deepcopy(MADE["xgboost"][0])
    change(content["learner"])
    return content


def tree(learner: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = learner["gradient_booster"]["model"]["trees"][0]
    return found


# -- what is predicted ------------------------------------------------------------------------------------------------


def test_an_architecture_becomes_the_vector_of_the_configuration_space() -> None:
    assert list(FEATURES) == MADE["features"]
    vectors = np.array([encode(arch.choices) for arch in ARCHS])
    np.testing.assert_allclose(vectors, MADE["vectors"], rtol=1e-12)


def test_the_predictions_are_means_of_those_of_the_libraries(table: Table) -> None:
    first, second = MADE["predictions"]["xgb0"], MADE["predictions"]["xgb1"]
    assert first != second
    found = [table.value(arch, "val_acc") for arch in ARCHS]
    assert found == pytest.approx(np.mean([first, second], axis=0), rel=1e-6)
    seconds = [table.value(arch, "train_seconds") for arch in ARCHS]
    assert seconds == pytest.approx(MADE["predictions"]["lgb"], rel=1e-9)
    assert len(set(found)) == len(ARCHS)
    assert len(set(seconds)) > 5


def test_the_import_tells_how_many_models_it_has_read(folders: list[Path], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    import_table(folders, tmp_path / "table", name="nb301", progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3)]


def test_look_ups_in_arrays_agree_with_single_ones(table: Table) -> None:
    rows = table.rows_of([arch.choices for arch in ARCHS])
    assert [table.architecture(int(row)) for row in rows] == ARCHS
    assert table.column("val_acc")[rows].tolist() == [table.value(arch, "val_acc") for arch in ARCHS]


def test_a_search_has_predicted_accuracies_and_a_predicted_clock(table: Table) -> None:
    found = Tabular(table).evaluate([Proposal(ARCHS[0])])[0]
    assert found.metrics == {"val_acc": table.value(ARCHS[0], "val_acc")}
    assert found.cost.benchmark_s == table.value(ARCHS[0], "train_seconds")


def test_no_architecture_is_called_the_best(table: Table) -> None:
    assert (table.complete, table.predicted) == (True, True)
    assert Tabular(table).optimum("val_acc") is None
    with pytest.raises(SpecError, match="none is known to be best"):
        table.best("val_acc")


def test_a_surrogate_opens_again_and_is_verified(table: Table) -> None:
    again = Table.open(table.folder)
    again.verify()
    assert again.value(ARCHS[0], "val_acc") == table.value(ARCHS[0], "val_acc")
    nodes = table.folder / "key.val_acc.nodes.npy"
    content = bytearray(nodes.read_bytes())
    content[-3] ^= 1
    nodes.write_bytes(content)
    with pytest.raises(StoreError, match=r"key\.val_acc\.nodes .* is not what was imported"):
        again.verify()


def test_one_file_is_a_surrogate_without_a_clock(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.json"
    path.write_text(json.dumps(MADE["xgboost"][1]))
    assert suggested_name(path) == "nasbench301_surrogate"
    table = import_table(path, tmp_path / "table", name="nb301")
    assert (table.clock, list(table.columns)) == (None, ["val_acc"])
    assert table.value(ARCHS[3], "val_acc") == pytest.approx(MADE["predictions"]["xgb1"][3], rel=1e-6)


def test_a_base_score_is_read_as_older_and_newer_versions_write_it(tmp_path: Path) -> None:
    plain = broken(lambda learner: learner["learner_model_param"].update(base_score="5E-1"))
    listed = broken(lambda learner: learner["learner_model_param"].update(base_score="[5E-1]"))
    values = [
        import_table(model(tmp_path / name, content), tmp_path / f"of_{name}", name=name).value(ARCHS[0], "val_acc")
        for name, content in (("plain", plain), ("listed", listed))
    ]
    assert values[0] == values[1] < 5


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_pickled_surrogate_is_refused_with_the_way_out(tmp_path: Path) -> None:
    member = tmp_path / "xgb_v1.0" / "member_0"
    member.mkdir(parents=True)
    (member / "surrogate_model.model").write_bytes(pickle.dumps(print))
    for path in (tmp_path / "xgb_v1.0", member / "surrogate_model.model"):
        assert suggested_name(path) == "nasbench301_surrogate"
        with pytest.raises(SpecError, match=r"is a pickle, .*\.save_model\('surrogate_model\.json'\)") as caught:
            import_table(path, tmp_path / "table", name="nb301")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Expecting"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "neither the entry learner"),
        ({"version": [3, 2, 0]}, "neither the entry learner"),
        (broken(lambda learner: learner.pop("objective")), "no entry 'objective'"),
        (broken(lambda learner: learner["objective"].update(name="rank:ndcg")), "its objective is 'rank:ndcg'"),
        (broken(lambda learner: learner["gradient_booster"].update(name="dart")), "the booster is 'dart'"),
        (broken(lambda learner: learner["learner_model_param"].update(num_class="3")), "several outputs"),
        (broken(lambda learner: learner["learner_model_param"].update(num_feature="34")), "of 34 features, not of 56"),
        (broken(lambda learner: learner["learner_model_param"].update(base_score="nan")), "not finite"),
        (broken(lambda learner: learner["gradient_booster"]["model"].update(trees=[])), "it has no trees"),
        (broken(lambda learner: tree(learner).update(split_type=[1] * 15)), "splits by categories"),
        (broken(lambda learner: tree(learner)["left_children"].__setitem__(0, 0)), "in a circle|its own"),
        (broken(lambda learner: tree(learner)["left_children"].__setitem__(3, 0)), "in a circle|its own"),
        (broken(lambda learner: tree(learner)["right_children"].__setitem__(0, 999)), "not there"),
        (broken(lambda learner: tree(learner)["right_children"].__setitem__(0, -2)), "not there"),
        (broken(lambda learner: tree(learner)["split_indices"].__setitem__(0, 56)), "features"),
        (broken(lambda learner: tree(learner)["split_conditions"].pop()), "shape|broadcast"),
        (MADE["lightgbm"] | {"objective": "binary sigmoid:1"}, "its objective is 'binary'"),
        (MADE["lightgbm"] | {"num_tree_per_iteration": 3}, "several outputs"),
        (MADE["lightgbm"] | {"tree_info": [{"tree_structure": {"decision_type": "=="}}]}, "splits by categories"),
    ],
)
def test_models_that_are_damaged_or_of_another_kind_are_named(tmp_path: Path, content: Any, reason: str) -> None:
    folder = model(tmp_path / "model", content)
    with pytest.raises(SpecError, match=reason) as caught:
        import_table(folder, tmp_path / "table", name="nb301")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_models_of_paths_and_models_of_seconds_alone_are_refused(tmp_path: Path) -> None:
    paths = model(tmp_path / "paths", MADE["xgboost"][0], {"model": "xgb", "param:bananas_enc": True})
    seconds = model(tmp_path / "seconds", MADE["lightgbm"], {"model": "lgb_time"})
    for folder, reason in ((paths, "reads paths"), (seconds, "models of seconds only")):
        with pytest.raises(SpecError, match=reason):
            import_table(folder, tmp_path / "table", name="nb301")

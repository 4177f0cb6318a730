from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.graph import Graph
from ogive.core.metric import VAL_ACC, Metric
from ogive.core.space import Choice, Real, SearchSpace
from ogive.core.trial import Proposal
from ogive.evaluators.tabular import Tabular
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import choices_of, nasbench201, official_indices
from ogive.tables.importers import Mapped, import_table
from ogive.tables.own import is_decided, is_doubtful
from ogive.tables.store import Table


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


MLP = SearchSpace("mlp", (Choice("width", ("8", "16")), Choice("depth", ("1", "2", "3"))), draw)


def csv(folder: Path, text: str, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def imported(path: Path, mapped: Mapped) -> Table:
    return import_table(path, path.parent / "table", name="mine", mapped=mapped)


def test_one_column_may_name_the_architecture_in_text(tmp_path: Path) -> None:
    path = csv(tmp_path, 'arch,top1,size\n"mlp:0,0",50.5,100\n"1,2",60.25,300\n"mlp:1,0",,200\n')
    table = imported(path, Mapped(space=MLP, arch_column="arch", metric="top1"))
    assert (table.rows, table.space, table.complete, table.metric) == (3, "mlp", False, "top1")
    assert table.value(Architecture("mlp", (0, 0)), "top1") == 50.5
    assert table.value(Architecture("mlp", (1, 2)), "size") == 300
    assert np.isnan(table.value(Architecture("mlp", (1, 0)), "top1"))
    assert table.columns["size"].dtype == "int64"


def test_one_column_a_variable_may_name_it(tmp_path: Path) -> None:
    rows = [f"{width},{depth},{10 * int(width) + int(depth)}" for width in ("8", "16") for depth in ("1", "2", "3")]
    path = csv(tmp_path, "width,depth,acc\n" + "\n".join(rows))
    table = imported(path, Mapped(space=MLP, metric="acc"))
    assert table.complete
    assert list(table.columns) == ["acc"]
    assert table.best("acc") == (Architecture("mlp", (1, 2)), 163.0)


def test_columns_are_mapped_and_those_of_a_test_set_are_marked(tmp_path: Path) -> None:
    path = csv(tmp_path, "arch\ttop1\thidden\ttest_top5\ts\n0,0\t50\t49\t70\t12.5\n", "mine.tsv")
    columns = {"val": "top1", "final": "hidden", "test_top5": "test_top5", "seconds": "s"}
    mapped = Mapped(space=MLP, arch_column="arch", columns=columns, metric="val", report="final", clock="seconds")
    mapped = replace(mapped, maximize=("final",))  # val is called top1 in the file
    table = imported(path, mapped)
    assert (table.metric, table.report, table.clock) == ("val", "final", "seconds")
    assert [name for name, column in table.columns.items() if column.test] == ["final", "test_top5"]


def test_published_names_of_architectures_and_parquet_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    cell = "|none~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    pyarrow.parquet.write_table(pyarrow.table({"cell": [cell], "acc": [61.5]}), path)
    table = imported(path, Mapped(space=nasbench201(), arch_column="cell", metric="acc"))
    assert table.value(nasbench201().parse(cell), "acc") == 61.5


def test_isomorphic_cells_are_one_architecture(tmp_path: Path) -> None:
    space = nasbench101()
    matrix = "[[0,1,1,0],[0,0,0,1],[0,0,0,1],[0,0,0,0]]"
    names = ["'conv1x1-bn-relu', 'maxpool3x3'", "'maxpool3x3', 'conv1x1-bn-relu'"]
    texts = [f"ModelSpec(matrix={matrix}, ops=['input', {ops}, 'output'])" for ops in names]
    path = csv(tmp_path, f'cell,acc\n"{texts[0]}",50\n')
    table = imported(path, Mapped(space=space, arch_column="cell", metric="acc"))
    assert table.value(space.parse(texts[1]), "acc") == 50
    (tmp_path / "again").mkdir()
    path = csv(tmp_path / "again", f'cell,acc\n"{texts[0]}",50\n"{texts[1]}",51\n')
    with pytest.raises(SpecError, match="Each architecture has one row"):
        imported(path, Mapped(space=space, arch_column="cell", metric="acc"))


TWICE = r"mine.csv has 3 rows for 2 architectures, several of them for mlp:0,0: give --duplicates mean or"


@pytest.mark.parametrize(
    ("text", "mapped", "complaint"),
    [
        ("arch,acc\n", Mapped(space=MLP, arch_column="arch"), "has no rows"),
        ('arch,acc\n"9,9",1\n', Mapped(space=MLP, arch_column="arch"), r"Row 0 of .* is no architecture of mlp"),
        ('arch,acc\n"0,0",1\n"0,0",2\n"0,1",2\n', Mapped(space=MLP, arch_column="arch", metric="acc"), TWICE),
        ('arch,acc\n"0,0",high\n', Mapped(space=MLP, arch_column="arch"), "no column of numbers"),
        (
            'arch,acc\n"0,0",high\n',
            Mapped(space=MLP, arch_column="arch", columns={"acc": "acc"}),
            "acc of .* must hold numbers",
        ),
        ('arch,acc\n"0,0"\n', Mapped(space=MLP, arch_column="arch"), "Line 2 of .* has 1 fields"),
        ("a,a\n1,2\n", Mapped(space=MLP, arch_column="a"), "names two columns alike"),
        ('arch,acc\n"0,0,1\n', Mapped(space=MLP, arch_column="arch"), "as a CSV file"),
    ],
)
def test_files_that_make_no_sense_are_refused(text: str, mapped: Mapped, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=complaint):
        imported(csv(tmp_path, text), mapped)


def test_unknown_columns_and_options_are_named(tmp_path: Path) -> None:
    path = csv(tmp_path, "width,depth,acc\n8,1,50\n")
    with pytest.raises(UnknownName, match=r"'dept'.*Did you mean 'depth'"):
        imported(path, Mapped(space=MLP, arch_column="dept"))
    with pytest.raises(UnknownName, match=r"'ac'.*Did you mean 'acc'"):
        imported(path, Mapped(space=MLP, columns={"val": "ac"}))
    wrong = csv(tmp_path, "width,depth,acc\n9,1,50\n")
    with pytest.raises(UnknownName, match="option of width named '9'"):
        imported(wrong, Mapped(space=MLP))
    short = csv(tmp_path, "width,acc\n8,50\n")
    with pytest.raises(UnknownName, match=r"column of mine\.csv named 'depth'"):
        imported(short, Mapped(space=MLP))


def test_continuous_variables_are_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "width,acc\n8,50\n")
    rates = SearchSpace("rates", (Real("rate", 0, 1),), draw)
    with pytest.raises(SpecError, match="no choice of options, and tables hold such only"):
        imported(path, Mapped(space=rates))


def test_of_latencies_less_is_better_without_a_word(tmp_path: Path) -> None:
    rows = '"0,0,0,0,0,1",9,1,80\n"0,0,0,0,0,2",4,2,90\n'.replace('"0', '"nasbench201:0')
    path = csv(tmp_path, f"cell,latency_ms,params,top1\n{rows}")
    imported = import_table(path, tmp_path / "own", name="own", mapped=Mapped(nasbench201(), "cell", metric="top1"))
    assert {name: column.better for name, column in Table.open(imported.folder).columns.items()} == {
        "latency_ms": "smaller",
        "params": "smaller",
        "top1": "larger",
    }
    found = Tabular(imported, metric="latency_ms", report=None)
    assert found.metrics == (Metric("latency_ms", "ms", "smaller", "latency"),)
    assert found.optimum("latency_ms") == 4


# -- nothing is guessed or renamed ------------------------------------------------------------------------------------

LOSSES = 'no,arch,val-loss@5,top.1,test_loss\n7349,"0,0",0.5,91,0.6\n12,"0,1",0.25,90,0.9\n3,"1,2",0.75,89,0.2\n'


def test_without_a_metric_the_numbers_are_named_with_the_command_to_type(tmp_path: Path) -> None:
    path = csv(tmp_path, LOSSES)
    with pytest.raises(SpecError) as refusal:
        imported(path, Mapped(space=MLP, arch_column="arch"))
    assert str(refusal.value) == (
        f"Say which column a search goes by: ogive tables import {path} --as mine --space mlp --arch-column arch "
        "--metric COLUMN (and --minimize COLUMN if less of it is better); the columns of numbers are no, val-loss@5, "
        "top.1, test_loss."
    )
    assert not (tmp_path / "table").exists()
    wide = csv(tmp_path, f'arch,{",".join(f"c{n}" for n in range(23))}\n"0,0"{",1" * 23}\n', "wide.csv")
    with pytest.raises(SpecError, match=r"c18, c19 and 3 more\.$"):
        imported(wide, Mapped(space=MLP, arch_column="arch"))


def test_a_table_of_losses_is_minimised_under_its_own_names(tmp_path: Path) -> None:
    mapped = Mapped(
        space=MLP, arch_column="arch", metric="val-loss@5", report="test_loss", minimize=("val-loss@5", "test_loss")
    )
    table = imported(csv(tmp_path, LOSSES), mapped)
    assert list(table.columns) == ["no", "val-loss@5", "top.1", "test_loss"]
    evaluator = Tabular(Table.open(table.folder), also=("top.1",))
    assert evaluator.metrics == (
        Metric("val-loss@5", "", "smaller"),
        Metric("test_loss", "", "smaller"),
        Metric("top.1"),
    )
    measured = evaluator.evaluate([Proposal(Architecture("mlp", (0, 1)))])[0]
    assert measured.metrics == {"val-loss@5": 0.25, "test_loss": 0.9, "top.1": 90.0}
    assert evaluator.optimum("val-loss@5") == 0.25


def test_an_architecture_may_be_its_choices_alone_also_where_the_space_has_a_text_form(tmp_path: Path) -> None:
    path = csv(tmp_path, 'cell,top1\n"0,1,2,0,3,0",50\n"nasbench201:3,1,2,0,3,0",60\n')
    table = import_table(path, tmp_path / "own", name="own", mapped=Mapped(nasbench201(), "cell", metric="top1"))
    assert [table.value(Architecture("nasbench201", (first, 1, 2, 0, 3, 0)), "top1") for first in (0, 3)] == [50, 60]


def test_which_way_a_loss_is_better_has_to_be_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = csv(tmp_path, LOSSES)
    for roles, asked in (
        ({"metric": "val-loss@5"}, "--metric val-loss@5 --minimize val-loss@5 (or --maximize val-loss@5)."),
        (
            {"metric": "top.1", "report": "test_loss", "minimize": ("val-loss@5",)},
            "--metric top.1 --report test_loss --minimize val-loss@5,test_loss (or --maximize test_loss).",
        ),
    ):
        with pytest.raises(SpecError) as refusal:
            imported(path, Mapped(space=MLP, arch_column="arch", **roles))  # type: ignore[arg-type]
        assert str(refusal.value).startswith("Is less or more of ")
        assert str(refusal.value).endswith(f"--as mine --space mlp --arch-column arch {asked}")
    both = Mapped(space=MLP, arch_column="arch", metric="no", minimize=("no",), maximize=("no",))
    with pytest.raises(SpecError, match="Of no either less or more is better"):
        imported(path, both)
    assert not (tmp_path / "table").exists()
    # Nobody searches on the losses here, so that they are only told of.
    table = imported(path, Mapped(space=MLP, arch_column="arch", metric="top.1", maximize=("val-loss@5",)))
    assert {column.better for column in table.columns.values()} == {"larger"}
    assert "Of test_loss more counts as better, since neither --minimize nor --maximize" in caplog.text
    caplog.clear()
    import_table(
        csv(tmp_path, 'arch,top1,time\n"0,0",50,3\n"0,1",60,4\n', "timed.csv"), tmp_path / "timed", name="timed",
        mapped=Mapped(space=MLP, arch_column="arch", metric="top1", clock="time"),
    )  # fmt: skip
    assert "counts as better" not in caplog.text


def test_names_that_sound_as_if_less_were_better_are_told_from_others() -> None:
    for name in (
        "loss",
        "val_loss",
        "valLoss",
        "valloss",
        "top-1 error",
        "err@5",
        "wer",
        "eval/ppl",
        "latency",
        "FLOPs",
    ):
        assert is_doubtful(name), name
    # The last ones ogive knows, of which less is better in any case.
    for name in ("top1", "acc", "lossless_ratio", "f1", "throughput", "val_acc", "params", "latency_ms"):
        assert not is_doubtful(name), name


def test_names_that_say_what_is_better_are_told_from_all_others() -> None:
    for name in (
        "top1",
        "eval.top-1",
        "valAcc",
        "test_accuracy",
        "f1",
        "mAP",
        "val_acc",
        "params",
        "latency_ms",
        "img_fps",
    ):
        assert is_decided(name), name
    for name in (
        "cross_entropy",
        "xent",
        "brier",
        "rank",
        "misclassified",
        "wrong",
        "score",
        "value",
        "acc_error",
        "loss",
    ):
        assert not is_decided(name), name


def test_what_is_of_a_test_set_is_a_fact_that_names_tell_only_where_nobody_says_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def of_test(report: str | None, test: tuple[str, ...] | None, metric: str = "top.1") -> list[str]:
        mapped = Mapped(space=MLP, arch_column="arch", metric=metric, report=report, test=test, maximize=("no",))
        table = import_table(csv(tmp_path, LOSSES), tmp_path / f"{report} {test}", name="mine", mapped=mapped)
        records = Tabular(table, also=tuple({*table.columns} - {metric, report})).metrics
        marked = [name for name, column in table.columns.items() if column.test]
        assert [record.name for record in records if record.reported] == marked
        return marked

    assert of_test(None, None) == ["test_loss"]
    assert "test_loss counts as measured on a test set, as its name says: --test says otherwise" in caplog.text
    assert of_test("no", None) == ["no", "test_loss"]
    assert of_test("no", ("val-loss@5",)) == ["no", "val-loss@5"]
    assert of_test("no", (), metric="top.1") == ["no"]


def test_a_metric_of_the_test_set_and_unknown_roles_are_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, LOSSES)
    for roles, complaint in (
        ({"metric": "test_loss"}, "test_loss was measured on it, as its name says: go by .* or give --test none"),
        ({"metric": "top.1", "test": ("top.1",)}, "top.1 was measured on it, as --test says"),
        ({"metric": "top.1", "test": ("tset_loss",)}, "column of the table named 'tset_loss'"),
        ({"metric": "top.1", "report": "top.1"}, "top.1 was measured on it, as --report says"),
        ({"metric": "top1"}, r"named 'top1'.*Did you mean 'top\.1'"),
        ({"metric": "top.1", "report": "loss"}, "column of the table named 'loss'"),
        ({"metric": "top.1", "clock": "seconds"}, "column of the table named 'seconds'"),
        ({"metric": "top.1", "minimize": ("los",)}, "column of the table named 'los'"),
    ):
        with pytest.raises(SpecError, match=complaint):
            imported(path, Mapped(space=MLP, arch_column="arch", **roles))  # type: ignore[arg-type]


def test_per_cent_is_said_of_numbers_that_can_be_per_cent_only(tmp_path: Path) -> None:
    path = csv(tmp_path, 'arch,val_acc,fine_acc,s\n"0,0",91.5,0.9,3\n"0,1",90,0.8,4\n')
    table = imported(path, Mapped(space=MLP, arch_column="arch", metric="val_acc", clock="s"))
    assert {name: column.unit for name, column in table.columns.items()} == {"val_acc": "%", "fine_acc": "", "s": "s"}
    assert Tabular(table).metrics == (VAL_ACC,)


def test_a_column_without_a_name_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = imported(csv(tmp_path, ',arch,acc\n0,"0,0",5\n'), Mapped(space=MLP, arch_column="arch", metric="acc"))
    assert list(table.columns) == ["acc"]
    assert "has no name and is left out" in caplog.text


# -- several rows, several files --------------------------------------------------------------------------------------

REPEATED = 'arch,acc,size\n"1,2",50,7\n"0,0",60,3\n"1,2",,7\n"0,0",70,3\n"1,2",53,7\n'


@pytest.mark.parametrize(("how", "accuracies"), [("mean", [65.0, 51.5]), ("first", [60.0, 50.0])])
def test_rows_about_one_architecture_are_merged_as_asked(how: str, accuracies: list[float], tmp_path: Path) -> None:
    table = imported(csv(tmp_path, REPEATED), Mapped(space=MLP, arch_column="arch", metric="acc", duplicates=how))
    rows = [table.row(Architecture("mlp", choices)) for choices in ((0, 0), (1, 2))]
    assert table.rows == 2
    assert table.column("acc")[rows].tolist() == accuracies
    assert table.column("size")[rows].tolist() == [3, 7]
    assert table.columns["size"].dtype == "int64"
    with pytest.raises(UnknownName, match="Did you mean 'mean'"):
        imported(tmp_path / "mine.csv", Mapped(space=MLP, arch_column="arch", metric="acc", duplicates="meen"))


def test_missing_infinite_and_huge_cells_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = "".join(
        f'"{a},{b}",{value}\n' for (a, b), value in zip(np.ndindex(2, 3), (1, 2, "", "inf", "-inf", 9e9), strict=True)
    )
    mapped = Mapped(space=MLP, arch_column="arch", metric="loss", maximize=("loss",))
    table = imported(csv(tmp_path, f"arch,loss\n{rows}"), mapped)
    assert (
        "Of the 6 cells of loss, 1 missing, 2 infinite and taken as missing, 1 beyond 2e+06, a million" in caplog.text
    )
    assert np.isnan(table.column("loss")).sum() == 3
    assert table.best("loss")[1] == 9e9


def test_rows_without_an_architecture_after_a_join_are_counted(tmp_path: Path) -> None:
    one = csv(tmp_path, "index,acc\n" + "\n".join(f"{row},{row / 2}" for row in range(5)), "one.csv")
    two = csv(tmp_path, "index,arch\n" + "\n".join(f"{row},{7 * row}" for row in (0, 1, 3)), "two.csv")
    mapped = Mapped(space=nasbench201(), arch_column="arch", metric="acc", on="index")
    with pytest.raises(
        SpecError, match=r"2 rows of .* have no architecture: the column arch has nothing there, first in"
    ):
        import_table([one, two], tmp_path / "table", name="mine", mapped=mapped)


def test_several_files_join_on_a_column_in_any_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    numbers = np.array([5, 15_624, 77, 3])
    labels = {"__index_level_0__": [3, 1, 2]}  # as pandas leaves them where rows were sorted or left out
    first = {"index": numbers, "val": [1.0, 2.0, 3.0, 4.0], "__index_level_0__": [0, 2, 1, 3]}
    pyarrow.parquet.write_table(pyarrow.table(first), tmp_path / "a.parquet")
    other = {"index": numbers[[2, 1, 0]], "ms": [30, 20, 10], **labels}
    pyarrow.parquet.write_table(pyarrow.table(other), tmp_path / "b.parquet")
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    mapped = Mapped(space=nasbench201(), on="index", metric="val", maximize=("val",))
    table = import_table(files, tmp_path / "table", name="both", mapped=mapped)
    cells = choices_of(np.argsort(official_indices())[numbers])
    rows = table.rows_of(cells)
    assert table.column("val")[rows].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(table.column("ms")[rows], [10, 20, 30, np.nan])
    assert list(table.columns) == ["val", "ms"]
    assert "b.parquet has no row for 1 of 4 rows" in caplog.text


@pytest.mark.parametrize(
    ("other", "on", "complaint"),
    [
        ("arch,ms\na,1\n", "", "give --on COLUMN"),
        ("cell,ms\na,1\n", "arch", r"column of b\.csv named 'arch'"),
        ('arch,ms\n"0,0",1\n"0,0",2\n', "arch", r"b\.csv has 2 rows for 1 different arch: give --duplicates mean"),
        ('arch,acc\n"0,0",1\n', "arch", r"Both mine\.csv and b\.csv have the column acc"),
        ('arch,ms\n"1,1",1\n', "arch", r"No arch of mine\.csv is in b\.csv"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(other: str, on: str, complaint: str, tmp_path: Path) -> None:
    files = [csv(tmp_path, 'arch,acc\n"0,0",50\n'), csv(tmp_path, other, "b.csv")]
    mapped = Mapped(space=MLP, arch_column="arch", metric="acc", on=on)
    with pytest.raises(SpecError, match=complaint):
        import_table(files, tmp_path / "table", name="mine", mapped=mapped)


@pytest.mark.parametrize(("how", "latencies"), [("mean", [2.0, 7.0]), ("first", [1.0, 7.0])])
def test_rows_of_a_joined_file_are_merged_as_asked(
    how: str, latencies: list[float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = '"0,0",1,cpu\n"0,1",7,cpu\n"0,0",3,cpu\n"0,0",inf,gpu\n'
    files = [csv(tmp_path, 'arch,acc\n"0,0",50\n"0,1",60\n'), csv(tmp_path, f"arch,ms,device\n{rows}", "b.csv")]
    mapped = Mapped(space=MLP, arch_column="arch", metric="acc", on="arch", duplicates=how)
    table = import_table(files, tmp_path / "table", name="mine", mapped=mapped)
    assert table.column("ms")[table.rows_of([(0, 0), (0, 1)])].tolist() == latencies
    assert "b.csv has 4 rows for 2 different arch: of each, the " in caplog.text
    assert "Of the 4 cells of ms, 1 infinite and taken as missing" in caplog.text


def test_numbers_that_no_cell_has_are_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "index,val\n15625,1\n")
    with pytest.raises(
        SpecError, match=r"numbers of cells are 0\.\.15624, but the column index of mine\.csv has 15625"
    ):
        imported(path, Mapped(space=nasbench201(), arch_column="index", metric="val", maximize=("val",)))

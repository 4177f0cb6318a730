from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.graph import Graph
from ogive.core.metric import Metric
from ogive.core.space import Choice, Real, SearchSpace
from ogive.evaluators.tabular import Tabular
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.tables.importers import Mapped, import_table
from ogive.tables.own import import_mapped
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
    table = imported(path, Mapped(space=MLP, arch_column="arch"))
    assert (table.rows, table.space, table.complete, table.metric) == (3, "mlp", False, "top1")
    assert table.value(Architecture("mlp", (0, 0)), "top1") == 50.5
    assert table.value(Architecture("mlp", (1, 2)), "size") == 300
    assert np.isnan(table.value(Architecture("mlp", (1, 0)), "top1"))
    assert table.columns["size"].dtype == "int64"


def test_one_column_a_variable_may_name_it(tmp_path: Path) -> None:
    rows = [f"{width},{depth},{10 * int(width) + int(depth)}" for width in ("8", "16") for depth in ("1", "2", "3")]
    path = csv(tmp_path, "width,depth,acc\n" + "\n".join(rows))
    table = imported(path, Mapped(space=MLP))
    assert table.complete
    assert list(table.columns) == ["acc"]
    assert table.best("acc") == (Architecture("mlp", (1, 2)), 163.0)


def test_columns_are_mapped_and_those_of_a_test_set_are_marked(tmp_path: Path) -> None:
    path = csv(tmp_path, "arch\ttop1\thidden\ttest_top5\ts\n0,0\t50\t49\t70\t12.5\n", "mine.tsv")
    columns = {"val": "top1", "final": "hidden", "test_top5": "test_top5", "seconds": "s"}
    mapped = Mapped(space=MLP, arch_column="arch", columns=columns, metric="val", report="final", clock="seconds")
    table = imported(path, mapped)
    assert (table.metric, table.report, table.clock) == ("val", "final", "seconds")
    assert [name for name, column in table.columns.items() if column.test] == ["final", "test_top5"]


def test_published_names_of_architectures_and_parquet_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    cell = "|none~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    pyarrow.parquet.write_table(pyarrow.table({"cell": [cell], "acc": [61.5]}), path)
    table = imported(path, Mapped(space=nasbench201(), arch_column="cell"))
    assert table.value(nasbench201().parse(cell), "acc") == 61.5


def test_isomorphic_cells_are_one_architecture(tmp_path: Path) -> None:
    space = nasbench101()
    matrix = "[[0,1,1,0],[0,0,0,1],[0,0,0,1],[0,0,0,0]]"
    names = ["'conv1x1-bn-relu', 'maxpool3x3'", "'maxpool3x3', 'conv1x1-bn-relu'"]
    texts = [f"ModelSpec(matrix={matrix}, ops=['input', {ops}, 'output'])" for ops in names]
    path = csv(tmp_path, f'cell,acc\n"{texts[0]}",50\n')
    table = imported(path, Mapped(space=space, arch_column="cell"))
    assert table.value(space.parse(texts[1]), "acc") == 50
    (tmp_path / "again").mkdir()
    path = csv(tmp_path / "again", f'cell,acc\n"{texts[0]}",50\n"{texts[1]}",51\n')
    with pytest.raises(SpecError, match="Each architecture has one row"):
        imported(path, Mapped(space=space, arch_column="cell"))


@pytest.mark.parametrize(
    ("text", "mapped", "complaint"),
    [
        ("arch,acc\n", Mapped(space=MLP, arch_column="arch"), "has no rows"),
        ('arch,acc\n"9,9",1\n', Mapped(space=MLP, arch_column="arch"), r"Row 0 of .* is no architecture of mlp"),
        ('arch,acc\n"0,0",1\n"0,0",2\n', Mapped(space=MLP, arch_column="arch"), "are the same one"),
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


def test_continuous_variables_and_several_files_are_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "width,acc\n8,50\n")
    rates = SearchSpace("rates", (Real("rate", 0, 1),), draw)
    with pytest.raises(SpecError, match="continuous, and tables hold choices only"):
        imported(path, Mapped(space=rates))
    with pytest.raises(SpecError, match="becomes a table by itself"):
        import_table([path, path], tmp_path / "table", name="mine", mapped=Mapped(space=MLP))


def test_of_latencies_less_is_better_without_a_word(tmp_path: Path) -> None:
    rows = '"0,0,0,0,0,1",9,1,80\n"0,0,0,0,0,2",4,2,90\n'.replace('"0', '"nasbench201:0')
    path = csv(tmp_path, f"cell,latency_ms,params,top1\n{rows}")
    imported = import_mapped(path, tmp_path / "own", "own", Mapped(nasbench201(), "cell"))
    assert {name: column.better for name, column in Table.open(imported.folder).columns.items()} == {
        "latency_ms": "smaller",
        "params": "smaller",
        "top1": "larger",
    }
    found = Tabular(imported, metric="latency_ms", report=None)
    assert found.metrics == (Metric("latency_ms", "ms", "smaller", "latency"),)
    assert found.optimum("latency_ms") == 4

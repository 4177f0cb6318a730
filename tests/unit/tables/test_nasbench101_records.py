from __future__ import annotations

import base64
import itertools
import json
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from ogive.core.errors import SpecError
from ogive.core.metric import names_of
from ogive.core.rng import Seed
from ogive.core.trial import Cost, Proposal
from ogive.evaluators.tabular import Tabular
from ogive.spaces.nasbench101 import module_hash, nasbench101
from ogive.tables.importers import import_table, suggested_name
from ogive.tables.store import Table
from ogive.tables.tfrecord import masked_crc32c

CHAIN = ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "maxpool3x3", "output"])
# The second has its vertices in an order that is not the canonical one, and a dead end.
WIDE = (
    [[0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
    ["input", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu", "output"],
)
CELLS = (CHAIN, WIDE)
EPOCHS, REPEATS = (4, 12, 36, 108), (0, 1, 2)

Cell = tuple[list[list[int]], list[str]]


# -- the format, written as the authors' programs did -----------------------------------------------------------------


def varint(number: int) -> bytes:
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


def message(*entries: tuple[int, float | int | bytes]) -> bytes:
    """Fields in the encoding of Protocol Buffers: doubles, varints, and bytes with their lengths."""
    found = b""
    for number, value in entries:
        if isinstance(value, float):
            found += varint(number << 3 | 1) + struct.pack("<d", value)
        elif isinstance(value, int):
            found += varint(number << 3) + varint(value)
        else:
            found += varint(number << 3 | 2) + varint(len(value)) + value
    return found


def accuracy(cell: int, epochs: int, repeat: int) -> float:
    return (100 * cell + epochs + 10 * repeat) / 1000


def metrics(cell: int, epochs: int, repeat: int) -> bytes:
    """ModelMetrics with the evaluations at the start, half-way and at the end of a training."""
    final = accuracy(cell, epochs, repeat)
    evaluations = (
        message((1, at), (2, 7.0 * at + repeat), (3, 0.9), (4, right), (5, right - 0.001), (6, b"model.ckpt-1234"))
        for at, right in ((0.0, 0.1), (epochs / 2, final / 2), (float(epochs), final))
    )
    return message(*((1, evaluation) for evaluation in evaluations), (2, 1_000_000 + cell), (3, 9999.0))


def row(cell: int, epochs: int, repeat: int, /, **changed: object) -> bytes:
    matrix, ops = CELLS[cell]
    fields: dict[str, object] = {
        "hash": module_hash(nasbench101().parse(f"ModelSpec(matrix={matrix}, ops={ops})")),
        "epochs": epochs,
        "matrix": "".join(str(bit) for bit in itertools.chain(*matrix)),
        "ops": ",".join(ops),
        "metrics": base64.b64encode(metrics(cell, epochs, repeat)).decode(),
    }
    return json.dumps(list((fields | changed).values())).encode()


def written(folder: Path, rows: Iterable[bytes]) -> Path:
    contents = list(rows)
    heads = [struct.pack("<Q", len(content)) for content in contents]
    sums = zip(masked_crc32c(heads).tolist(), masked_crc32c(contents).tolist(), strict=True)
    path = folder / "nasbench.tfrecord"
    path.write_bytes(
        b"".join(
            head + struct.pack("<I", first) + content + struct.pack("<I", second)
            for head, content, (first, second) in zip(heads, contents, sums, strict=True)
        )
    )
    return path


def every(order: int = 0) -> list[bytes]:
    rows = [row(*which) for which in itertools.product(range(len(CELLS)), EPOCHS, REPEATS)]
    return [rows[place] for place in np.random.default_rng(order).permutation(len(rows))]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    in_order = [row(*which) for which in itertools.product(range(len(CELLS)), EPOCHS, REPEATS)]
    return import_table(written(tmp_path, in_order), tmp_path / "table", name="nb101")


# -- the table --------------------------------------------------------------------------------------------------------


def test_every_repeat_and_every_length_of_training_is_there(table: Table) -> None:
    assert (table.rows, table.space, table.complete) == (2, "nasbench101", False)
    for number, (matrix, ops) in enumerate(CELLS):
        arch = nasbench101().parse(f"ModelSpec(matrix={matrix}, ops={ops})")
        assert table.value(arch, "params") == 1_000_000 + number
        for epochs in EPOCHS:
            runs = [100 * accuracy(number, epochs, repeat) for repeat in REPEATS]
            found = [table.value(arch, f"val_acc_{epochs}_repeat{repeat + 1}") for repeat in REPEATS]
            assert found == pytest.approx(runs)
            assert table.value(arch, f"val_acc_{epochs}") == pytest.approx(np.mean(runs))
            assert table.value(arch, f"test_acc_{epochs}") == pytest.approx(np.mean(runs) - 0.1)
            assert table.value(arch, f"train_acc_{epochs}") == pytest.approx(90.0)
            assert table.value(arch, f"train_seconds_{epochs}") == pytest.approx(7 * epochs + 1)


def test_a_query_may_answer_with_one_repeat_at_every_length_of_training(table: Table) -> None:
    matrix, ops = CELLS[0]
    arch = nasbench101().parse(f"ModelSpec(matrix={matrix}, ops={ops})")
    for epochs in EPOCHS:
        runs = {round(100 * accuracy(0, epochs, repeat), 3) for repeat in REPEATS}
        drawn = set()
        for number in range(40):
            evaluator = Tabular(table, metric=f"val_acc_{EPOCHS[-1]}", seeds="random", seed=Seed(number))
            found = evaluator.evaluate([Proposal(arch, epochs)])[0].metrics
            drawn.add(round(found["val_acc"], 3))
            assert found["test_acc"] == pytest.approx(table.value(arch, f"test_acc_{epochs}"))
        assert drawn == runs


def test_what_was_measured_half_way_is_a_family_of_its_own(table: Table) -> None:
    for number, (matrix, ops) in enumerate(CELLS):
        arch = nasbench101().parse(f"ModelSpec(matrix={matrix}, ops={ops})")
        for epochs in EPOCHS:
            halfway = [accuracy(number, epochs, repeat) / 2 for repeat in REPEATS]
            assert table.value(arch, f"halfway_val_acc_{epochs}") == pytest.approx(100 * np.mean(halfway))
            assert table.value(arch, f"halfway_test_acc_{epochs}") == pytest.approx(100 * np.mean(halfway) - 0.1)
            assert table.value(arch, f"halfway_train_acc_{epochs}") == pytest.approx(90.0)
            assert table.value(arch, f"halfway_train_seconds_{epochs}") == pytest.approx(3.5 * epochs + 1)
    columns = table.fidelities("halfway_val_acc_108")
    assert columns == {epochs: f"halfway_val_acc_{epochs}" for epochs in EPOCHS}
    assert set(columns.values()).isdisjoint(table.fidelities("val_acc_108").values())
    assert table.columns["halfway_test_acc_4"].test
    assert not table.columns["halfway_val_acc_4"].test


def test_a_search_that_stops_half_way_pays_for_half_a_training(table: Table) -> None:
    evaluator = Tabular(table, metric="halfway_val_acc_108", report="test_acc_108")
    arch = table.architecture(0)
    for fidelity, epochs in ((None, 108), (12, 12)):
        found = evaluator.evaluate([Proposal(arch, fidelity=fidelity)])[0]
        assert found.metrics["val_acc"] == pytest.approx(table.value(arch, f"halfway_val_acc_{epochs}"))
        assert found.cost.benchmark_s == pytest.approx(3.5 * epochs + 1)


def test_lengths_of_training_are_fidelities_with_clocks_of_their_own(table: Table) -> None:
    evaluator = Tabular(table)
    assert names_of(evaluator.metrics) == ("val_acc", "test_acc")
    arch = table.architecture(0)
    for epochs in EPOCHS:
        found = evaluator.evaluate([Proposal(arch, fidelity=epochs)])[0]
        assert found.metrics["val_acc"] == table.value(arch, f"val_acc_{epochs}")
        assert found.metrics["test_acc"] == table.value(arch, f"test_acc_{epochs}")
        assert found.cost == Cost(benchmark_s=7 * epochs + 1)
    assert evaluator.evaluate([Proposal(arch)])[0].metrics["val_acc"] == table.value(arch, "val_acc_108")
    missing = evaluator.evaluate([Proposal(arch, fidelity=50)])[0]
    assert "has 4, 12, 36, 108 for val_acc_108, but 50 was asked" in (missing.error or "")


def test_isomorphic_cells_find_the_same_row_and_rows_hold_canonical_ones(table: Table) -> None:
    space = nasbench101()
    for row_number in range(2):
        arch = table.architecture(row_number)
        assert space.canonical(arch) == arch
        assert table.row(arch) == row_number
    turned = space.parse(
        "ModelSpec(matrix=[[0,1,1,0],[0,0,0,1],[0,0,0,1],[0,0,0,0]], "
        "ops=['input', 'conv1x1-bn-relu', 'maxpool3x3', 'output'])"
    )
    assert table.value(turned, "params") == 1_000_001


def test_the_order_of_the_records_only_numbers_the_repeats(table: Table, tmp_path: Path) -> None:
    (tmp_path / "shuffled").mkdir()
    path = written(tmp_path / "shuffled", every(order=1))
    other = import_table(path, tmp_path / "shuffled" / "table", name="nb101")
    for epochs in EPOCHS:
        np.testing.assert_allclose(other.column(f"val_acc_{epochs}"), table.column(f"val_acc_{epochs}"), rtol=1e-6)


def test_a_file_of_one_length_of_training_has_only_that(tmp_path: Path) -> None:
    rows = [row(cell, 108, repeat) for cell in range(2) for repeat in REPEATS]
    path = written(tmp_path, rows)
    table = import_table(path, tmp_path / "table", name="t")
    assert table.fidelities("val_acc_108") == {108: "val_acc_108"}
    assert (table.metric, table.report, table.clock) == ("val_acc_108", "test_acc_108", "train_seconds_108")
    assert suggested_name(path) == "nasbench101"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"hash": "0" * 32}, "gives a cell the hash 00000000"),
        ({"epochs": 5}, "trained for 5 epochs"),
        ({"matrix": "0110"}, "matrix has 4 bits for 3 operations"),
        ({"ops": "input,pooling,output"}, "no operation 'pooling'"),
        ({"metrics": "????"}, "Record 6 of"),
        ({"metrics": base64.b64encode(b"\x08").decode()}, "a number does not end"),
        ({"metrics": ""}, "holds 0 evaluations and 0 parameters"),
    ],
)
def test_a_record_that_cannot_be_right_is_refused(changed: dict[str, object], complaint: str, tmp_path: Path) -> None:
    rows = [row(1, 4, repeat) for repeat in REPEATS] + [row(1, 12, repeat) for repeat in REPEATS]
    path = written(tmp_path, [*rows, row(0, 108, 0, **changed)])
    with pytest.raises(SpecError, match=complaint):
        import_table(path, tmp_path / "table", name="t")
    assert not (tmp_path / "table").exists()


def test_a_fourth_repeat_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [row(0, 108, 0)] * 4)
    with pytest.raises(SpecError, match=r"Record 3 of .* more than 3 trainings of 108 epochs"):
        import_table(path, tmp_path / "table", name="t")


def test_a_file_without_records_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="There is no file"):
        import_table(tmp_path / "absent.tfrecord", tmp_path / "table", name="t")
    with pytest.raises(SpecError, match="holds no records"):
        import_table(written(tmp_path, []), tmp_path / "table", name="t")

"""A table of one's own: a CSV of trainings becomes a benchmark in ten lines. Run: python examples/own_table.py."""

import tempfile
from pathlib import Path

import ogive
from ogive.tables.importers import Mapped, import_table

WIDTHS, DEPTHS, ACTIVATIONS = ("8", "16", "32", "64"), ("1", "2", "3", "4"), ("relu", "gelu", "silu")


def draw(arch: ogive.Architecture) -> ogive.Graph:
    """The picture of an architecture: a chain of layers."""
    depth = int(arch.choices[1]) + 1
    return ogive.Graph(("input", *("linear",) * depth, "output"), frozenset((i, i + 1) for i in range(depth + 1)))


def main() -> None:
    space = ogive.SearchSpace(
        "mlp",
        (ogive.Choice("width", WIDTHS), ogive.Choice("depth", DEPTHS), ogive.Choice("activation", ACTIVATIONS)),
        draw,
    )
    # Every variable of the space is a column of the file; --arch-column names one column that holds all of them.
    mapped = Mapped(space=space, metric="val_acc", report="test_acc", clock="train_seconds")
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(__file__).with_suffix(".csv")
        table = import_table(csv, Path(folder) / "mlp", name="mlp", mapped=mapped)
        found = ogive.search(space=space, table=table, strategy="evolution(population=4, tournament=2)", budget=8)
        print(f"{found.best.arch} has {found.best.metrics['val_acc']:.1f} %, the best of {table.rows} rows has")
        print(
            f"{table.best('val_acc')[1]:.1f} %; {sum(t.cost.benchmark_s for t in found.trials):.0f} simulated seconds"
        )


if __name__ == "__main__":
    main()

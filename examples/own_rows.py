"""A regression on rows of one's own, beside cheap baselines. Run: python examples/own_rows.py."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV

import ogive
from ogive.winner import export_winner, train_winner


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found, file = load_diabetes(scaled=False), folder / "patients.csv"
        rows, names = np.column_stack([found.data, found.target]), [*found.feature_names, "progression"]
        np.savetxt(file, rows, "%g", ",", header=",".join(names), comments="")
        data = ogive.data(f"csv:{file}", target="progression", categories=["sex"])
        ogive.search(space="mlp", data=data, evaluator="trained(epochs=20, threads=1)", budget=4, out=folder / "run")
        facts = train_winner(folder / "run", data=data, recipe="epochs=20", threads=1)
        export_winner(folder / "run", data=data, formats=["torch"])
        (x, y), (x_test, y_test) = ((p.images.numpy(), p.labels.numpy()) for p in (data.joined().train, data.test))
        line = RidgeCV((0.1, 1, 10, 100)).fit(x, y).score(x_test, y_test)
        print(f"R2 on {len(data.test)} test rows: {facts['test_r2']:.3f}; ridge regression {line:.3f}, the mean 0.000")


if __name__ == "__main__":
    main()

"""A search space and an evaluator of one's own, checked and searched. Run: python examples/own_space.py."""

from collections.abc import Sequence

import ogive
from ogive.testing import check_evaluator, check_space

WIDTHS, DEPTHS, ACTIVATIONS = ("8", "16", "32", "64"), ("1", "2", "3", "4"), ("relu", "gelu", "silu")


def draw(arch: ogive.Architecture) -> ogive.Graph:
    """The picture of an architecture: a chain of layers."""
    width, depth, activation = (int(choice) for choice in arch.choices)
    layers = (f"linear{WIDTHS[width]}-{ACTIVATIONS[activation]}",) * (depth + 1)
    ops = ("input", *layers, "output")
    return ogive.Graph(ops, frozenset((i, i + 1) for i in range(len(ops) - 1)))


SPACE = ogive.SearchSpace(
    "mlp",
    (ogive.Choice("width", WIDTHS), ogive.Choice("depth", DEPTHS), ogive.Choice("activation", ACTIVATIONS)),
    draw,
)


class Cost:
    """Counts the weights of the chain; your own training goes here."""

    metrics = (ogive.Metric("weights"),)

    def evaluate(self, proposals: Sequence[ogive.Proposal]) -> list[ogive.Measurement]:
        """One measurement for each proposal."""
        measurements = []
        for proposal in proposals:
            width, depth, _ = (int(choice) for choice in SPACE.admit(proposal.arch).choices)
            measurements.append(ogive.Measurement({"weights": float(int(WIDTHS[width]) ** 2 * (depth + 1))}))
        return measurements


def main() -> None:
    check_space(SPACE)
    check_evaluator(Cost(), SPACE)
    found = ogive.search(
        space=SPACE, strategy="local_search", evaluator=Cost(), objective="minimize(weights)", budget=30
    )
    print(f"{found.best.arch} has {found.best.metrics['weights']:.0f} weights; {len(SPACE)} architectures in all")


if __name__ == "__main__":
    main()

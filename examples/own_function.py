"""A plain function as the evaluator of a search. Run: python examples/own_function.py."""

import ogive


def balance(arch: ogive.Architecture) -> float:
    """How many of the five operations a cell of NAS-Bench-201 uses."""
    return float(len(set(arch.choices)))


def both(arch: ogive.Architecture) -> dict[str, float]:
    return {"kinds": balance(arch), "cost": float(sum(arch.choices))}


def main() -> None:
    found = ogive.search(space="nasbench201", evaluator=balance, budget=50, seed=1)
    print(f"{found.best.arch}: {found.best.metrics['value']:.0f} operations")
    measured = ogive.Measured(both, metrics=[ogive.Metric("kinds"), ogive.Metric("cost", better="smaller")])
    front = ogive.search(
        space="nasbench201",
        strategy="nsga2(population=10)",
        evaluator=measured,
        objective=["maximize(kinds)", "minimize(cost)"],
        budget=60,
    ).pareto()
    print(f"{len(front)} cells that no other beats")


if __name__ == "__main__":
    main()

"""The loop by hand: ask a strategy, measure with your own code, tell it. Run: python examples/ask_tell.py."""

import ogive


def measure(arch: ogive.Architecture) -> ogive.Measurement:
    """Stands for your own training: here, the more 3x3 convolutions, the better."""
    return ogive.Measurement({"val_acc": 10.0 * arch.choices.count(3)})


def main() -> None:
    space = ogive.space("nasbench201")
    strategy = ogive.strategy("evolution(population=10, tournament=5)", space, seed=0)
    objective = ogive.Maximize("val_acc")
    trials: list[ogive.Trial] = []
    while len(trials) < 100:
        for proposal in strategy.ask(1):
            measurement = measure(proposal.arch)
            scores = (objective(proposal.arch, measurement.metrics),)
            trials.append(ogive.Trial(len(trials), proposal, measurement, "ok", scores))
            strategy.tell(trials[-1:])
    best = max(trials, key=lambda trial: trial.scores or ())
    print(f"{space.format(best.arch)} scores {best.scores}")


if __name__ == "__main__":
    main()

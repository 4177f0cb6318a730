"""Parts of one's own for the command line. Run: ogive search --plugin examples/plugin.py --strategy ladder … ."""

import numpy as np

import ogive
from ogive.testing import check_strategy


class Ladder:
    """Change one choice of the best architecture so far; begin anew after `patience` steps in vain."""

    def __init__(self, space: ogive.SearchSpace, seed: ogive.Seed, patience: int = 20) -> None:
        self.space, self.random, self.patience = space, seed.numpy("ladder"), patience
        self.best, self.vain = (-np.inf, space.sample(self.random)), 0

    def ask(self, n: int = 1) -> list[ogive.Proposal]:
        """Neighbours of the best."""
        return [ogive.Proposal(self.space.mutate(self.best[1], self.random)) for _ in range(n)]

    def tell(self, trials: list[ogive.Trial]) -> None:
        """Climb where it goes up."""
        for trial in trials:
            score = trial.scores[0] if trial.scores else -np.inf
            self.vain = 0 if score > self.best[0] else self.vain + 1
            self.best = max(self.best, (score, trial.arch), key=lambda one: one[0])
            if self.vain == self.patience:
                self.best, self.vain = (-np.inf, self.space.sample(self.random)), 0


PARTS = {"strategy.ladder": Ladder}  # kind.name: what makes it; `ogive list` names the kinds

if __name__ == "__main__":
    check_strategy(Ladder, ogive.space("natssize"))
    print("ladder keeps what a strategy promises")

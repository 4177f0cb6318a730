"""Train a supernet on what a controller writes, and the controller on the accuracies that come of it, in turn.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018, section 2.2, with the numbers of
NAS-Bench-201 (D-X-Y/AutoDL-Projects, NAS-Bench-201-algos/ENAS.py and its script).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn, optim

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.supernets.bilevel import kept_buffers
from ogive.supernets.controller import ControlledPaths, Written
from ogive.supernets.gates import SinglePath
from ogive.supernets.history import REPORT_S, SearchEpoch
from ogive.supernets.networks import Supernet
from ogive.supernets.search import ArchitectureRecipe, Search
from ogive.training.batches import Batch
from ogive.training.lossy import Predicting
from ogive.training.optimisers import Optimiser
from ogive.training.recipe import Recipe

__all__ = ["ControlledSearch", "ControllerRecipe"]

logger = logging.getLogger(__name__)

BETAS = (0.0, 0.999)  # of Adam: D-X-Y/AutoDL-Projects, NAS-Bench-201-algos/ENAS.py


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerRecipe:
    """How the controller is trained after each epoch of the weights: in some steps, each on some sampled architectures.

    The reward is the score on one batch, such as the share of right answers, and `entropy_weight` times the entropy of
    the architecture, so that the controller stays curious. It counts by what it is above a moving average of rewards,
    which keeps `baseline_decay` of itself at each sample. `swing_epochs`: how long the learning rate of the weights
    takes from its highest to its lowest value, and then back again; None for one fall over all epochs.
    """

    controller_steps: int = 50  # D-X-Y/AutoDL-Projects, the script of NAS-Bench-201-algos/ENAS.py, as are all below
    controller_samples: int = 20
    learning_rate: float = 1e-3
    controller_epsilon: float = 1e-3
    entropy_weight: float = 1e-4
    baseline_decay: float = 0.99
    gradient_clip: float = 5.0
    swing_epochs: int | None = 10

    def __post_init__(self) -> None:
        for name, value in (
            ("controller_learning_rate", self.learning_rate),
            ("controller_epsilon", self.controller_epsilon),
        ):
            if not 0 < value < math.inf:
                raise SpecError(f"{name} must be a positive number, but got {value}.")
        if not 0 <= self.entropy_weight < math.inf:
            raise SpecError(f"entropy_weight must be 0 or a positive number, but got {self.entropy_weight}.")
        if not 0 <= self.baseline_decay < 1:
            raise SpecError(f"baseline_decay must be in [0, 1), but got {self.baseline_decay}.")
        for name in ("controller_steps", "controller_samples", "swing_epochs"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise SpecError(f"{name} must be at least 1, but got {count}.")


class ControlledSearch(Search):
    """A search in which a controller takes the place of architecture parameters: `epoch` trains the weights, then it.

    Samples of `weights_task` teach the weights, one architecture a step, those of `alphas_task` the controller, one
    batch an architecture. `reward` is the mean one of the last epoch, NaN before it.

    The published code holds the baseline fixed within an epoch, and in the first rewards the entropy alone; here the
    baseline follows every sample from the start, as in the paper's own code.
    """

    alphas_task: Predicting

    def __init__(
        self,
        supernet: Supernet,
        paths: ControlledPaths,
        weights_task: Predicting,
        alphas_task: Predicting,
        recipe: Recipe,
        rule: ControllerRecipe,
        *,
        seed: Seed,
        device: torch.device | str = "cpu",
        optimiser: Optimiser | None = None,
    ) -> None:
        weights_only = ArchitectureRecipe(order=0)
        super().__init__(
            supernet,
            paths,
            weights_task,
            alphas_task,
            recipe,
            weights_only,
            seed=seed,
            gate=SinglePath(),
            device=device,
            optimiser=optimiser,
        )
        self.paths, self.rule = paths, rule
        self.architect = optim.Adam(paths.tensors, lr=rule.learning_rate, betas=BETAS, eps=rule.controller_epsilon)
        self.baseline: float | None = None
        self.reward = math.nan

    def rate(self, epoch: int) -> float:
        """The learning rate of the weights in an epoch, counted from 0: a cosine that falls and rises in turn."""
        if self.rule.swing_epochs is None:
            return super().rate(epoch)
        peak, final = self.recipe.learning_rate, self.recipe.final_learning_rate
        return final + (peak - final) * (1 + math.cos(math.pi * epoch / self.rule.swing_epochs)) / 2

    def epoch(self, progress: Callable[[str], None] | None = None) -> SearchEpoch:
        """Train the weights for one epoch, and then the controller, unless the search is over."""
        epoch = super().epoch(progress)
        if self.over or not self.paths.controller.decisions:
            return epoch
        started = time.perf_counter()
        undone = self.teach(epoch.number, progress)
        self.undone += undone
        seconds = epoch.seconds + time.perf_counter() - started
        self.history[-1] = replace(epoch, rolled_back=epoch.rolled_back + undone, seconds=seconds)
        return self.history[-1]

    def teach(self, epoch: int, progress: Callable[[str], None] | None = None) -> int:
        """Train the controller after an epoch; how many of its steps were undone."""
        streams, rule = self.seed.child(f"controller {epoch}"), self.rule
        batches, undone, total = self.valid_batches.beside(streams), 0, 0.0
        started = reported = time.perf_counter()
        for step in range(rule.controller_steps):
            draw = torch.Generator().manual_seed(streams.integer(f"step {step}"))
            written = self.paths.controller.sample(rule.controller_samples, draw)
            scores = self._scores(written, batches)
            undone += not self._step_of_controller(written, scores)
            total += sum(scores) / len(scores)
            now = time.perf_counter()
            if progress is not None and now - reported > REPORT_S:
                reported = now
                left = (now - started) / (step + 1) * (rule.controller_steps - step - 1)
                steps = f"step {step + 1} of {rule.controller_steps} of the controller"
                progress(f"epoch {epoch}, {steps}, {left:.0f} s left in it")
        self.reward = total / rule.controller_steps
        return undone

    def _scores(self, written: Written, batches: Iterator[Batch]) -> list[float]:
        """The mean score of each architecture on a batch of its own, larger for a better one.

        An answer that is no number is wrong or, where there are only errors, infinitely so.
        """
        found, score = [], self.alphas_task.score
        sign, worst = (1.0, 0.0) if score.better == "larger" else (-1.0, -math.inf)
        with torch.no_grad(), kept_buffers(self.supernet):
            for cells, batch in zip(written.cells, batches):  # noqa: B905 - endless
                outputs = self.supernet(batch.images, self.paths.path(cells))
                each_N = sign * score.each(outputs, batch.labels)
                found.append(each_N.where(outputs.isfinite().all(1), worst).mean())
        # Looked at in one go, since a look makes a GPU wait; processes that search together have parts of each batch.
        return self.ranks.mean([torch.stack(found)])[0].tolist()

    def _step_of_controller(self, written: Written, scores: Sequence[float]) -> bool:
        """One step along the policy gradient; False, and no trace of it, where the gradient was not finite."""
        baseline, advantages = self.baseline, []
        for score, entropy in zip(scores, written.entropies.tolist(), strict=True):
            reward = score + self.rule.entropy_weight * entropy
            kept = score if baseline is None else baseline
            baseline = kept - (1 - self.rule.baseline_decay) * (kept - reward)
            advantages.append(reward - baseline)
        loss = -(written.log_probabilities * torch.tensor(advantages)).mean()
        self.architect.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.paths.tensors, self.rule.gradient_clip)
        if not norm.isfinite():
            logger.warning("A step of the controller gave no finite gradient; it was left out.")
            return False
        self.architect.step()
        self.baseline = baseline
        return True

    # -- the state ---------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """As of any search, with the weights of the controller as its architecture, and the baseline."""
        baseline = {} if self.baseline is None else {"baseline": torch.tensor(self.baseline, dtype=torch.float64)}
        return super().tensors() | baseline

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Take over a state."""
        super().restore(tensors, record)
        self.baseline = float(tensors["baseline"]) if "baseline" in tensors else None

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.evaluator import Screened, Together
from ogive.core.metric import Metric, names_of
from ogive.core.objective import Maximize
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.study import Study
from ogive.core.trial import Budget, Measurement, Proposal
from ogive.evaluators.training_free import TrainingFree
from ogive.networks.count import macs, parameters
from ogive.scores import SCORES
from ogive.scores.naswot import naswot
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize
from ogive.spaces.nds import architecture, nds_darts
from ogive.strategies.local import RandomSearch
from ogive.testing import check_evaluator
from ogive.training.data import Data, Split

DISCONNECTED = Architecture("nasbench201", (0, 0, 0, 0, 0, 0))
ALIVE = Architecture("nasbench201", (3, 1, 2, 3, 0, 4))


def split(seed: int, count: int) -> Split:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(images, torch.randint(0, 4, (count,), generator=draw))


@pytest.fixture(scope="module")
def data() -> Data:
    return Data("noise", split(0, 40), split(1, 8), split(2, 8), tuple("abcd"), (0.5,) * 3, (0.25,) * 3)


def make(
    data: Data, score: str | Sequence[str] = "naswot", space: SearchSpace | None = None, **options: object
) -> TrainingFree:
    size: dict[str, object] = {"channels": 4, "cells": 1, "batch_size": 16, **options}
    seed = size.pop("seed", Seed(0))
    return TrainingFree(score, space=space or nasbench201(), data=data, seed=seed, **size)  # type: ignore[arg-type]


def test_the_contract_is_kept(data: Data) -> None:
    check_evaluator(make(data, ["naswot", "params", "macs"]), nasbench201())


@pytest.mark.parametrize("space", [natssize(), darts()], ids=lambda space: space.name)
def test_other_spaces_are_scored_too(data: Data, space: SearchSpace) -> None:
    channels = None if space.name == "natssize" else 4
    check_evaluator(make(data, space=space, channels=channels, cells=None if channels is None else 3), space)


def test_sizes_that_a_table_holds_and_its_space_does_not_draw_are_scored(data: Data) -> None:
    space = nds_darts()
    cell = (("sep_conv_3x3", 0), ("skip_connect", 1)) * 4
    large = architecture(space.name, cell, cell, width=64, depth=14)  # as for ImageNet
    with pytest.raises(InvalidArchitecture, match="not a legal architecture"):
        space.admit(large)
    evaluator = make(data, "params", space, cells=3)
    found, other = evaluator.evaluate([Proposal(large), Proposal(ALIVE)])
    assert found.error is None
    assert found.metrics["params"] > 0
    assert "belongs to the space 'nasbench201'" in str(other.error)


def test_the_metric_is_the_score_of_the_untrained_network_on_normalised_training_images(data: Data) -> None:
    evaluator = make(data)
    found = evaluator.evaluate([Proposal(ALIVE)])[0]
    network = evaluator.network(ALIVE)
    whole = data.normalised(data.train.images)
    batch = evaluator._batches[0].images
    assert len(batch) == 16
    assert all((whole == image).all(dim=(1, 2, 3)).sum() == 1 for image in batch)
    assert dict(found.metrics) == {"naswot": naswot(network, batch)}
    assert found.cost.wall_s > 0
    assert found.cost.benchmark_s == 0


def test_params_and_macs_are_those_of_the_network(data: Data) -> None:
    evaluator = make(data, ["params", "macs"])
    assert names_of(evaluator.metrics) == ("params", "macs")
    network = evaluator.network(ALIVE)
    metrics = evaluator.evaluate([Proposal(ALIVE)])[0].metrics
    assert metrics == {"params": parameters(network), "macs": macs(network, (3, 8, 8))}


def test_weights_depend_on_seed_and_architecture_and_not_on_the_order(data: Data) -> None:
    other = Architecture("nasbench201", (3, 1, 2, 3, 0, 3))
    first = make(data).evaluate([Proposal(ALIVE), Proposal(other)])
    second = make(data).evaluate([Proposal(other), Proposal(ALIVE)])[::-1]
    third = make(data, seed=Seed(1)).evaluate([Proposal(ALIVE)])
    assert [m.metrics for m in first] == [m.metrics for m in second]
    assert first[0].metrics != third[0].metrics


def test_torchs_own_random_state_and_threads_are_left_alone(data: Data) -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    make(data, threads=1).evaluate([Proposal(ALIVE)])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_disconnected_network_scores_minus_infinity_which_is_no_failure(data: Data) -> None:
    found = make(data).evaluate([Proposal(DISCONNECTED)])[0]
    assert found.metrics["naswot"] == -math.inf
    assert found.error is None


def test_minus_infinity_ranks_last_in_a_sieve_and_is_a_failed_trial_as_an_objective(data: Data) -> None:
    class Accuracy:
        metrics = (Metric("val_acc"),)

        def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
            return [Measurement({"val_acc": 50.0}) for _ in proposals]

    found = Screened(make(data), Accuracy(), keep=1, pool=2).evaluate([Proposal(DISCONNECTED), Proposal(ALIVE)])
    assert [measurement.screened for measurement in found] == [True, False]

    class Fixed(RandomSearch):
        def ask(self, n: int = 1) -> list[Proposal]:
            return [Proposal(DISCONNECTED)]

    trial = next(Study(Fixed(nasbench201(), Seed(0)), make(data), Maximize("naswot")).run(Budget(trials=1)))
    assert trial.status == "failed"


def test_a_batch_is_no_larger_than_the_data_and_holds_no_image_twice(data: Data) -> None:
    assert make(data, batch_size=10_000).batch_size == 40
    images = data.train.images.clone()
    images[10:] = images[0]
    repeated = Data("noise", Split(images, data.train.labels), data.val, data.test, data.classes, data.mean, data.std)
    evaluator = make(repeated)
    assert len(np.unique(evaluator._batches[0].images.flatten(1).numpy(), axis=0)) == evaluator.batch_size == 10
    assert math.isfinite(evaluator.evaluate([Proposal(ALIVE)])[0].metrics["naswot"])


class Given(TrainingFree):
    """Scores networks that a function makes, as one from Python may."""

    def __init__(self, networks: Callable[[Architecture], torch.nn.Module], **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.networks = networks

    def network(self, arch: Architecture, turn: int = 0) -> torch.nn.Module:
        return self.networks(arch)


def given(networks: Callable[[Architecture], torch.nn.Module], data: Data, score: str | Sequence[str]) -> TrainingFree:
    return Given(
        networks, score=score, space=nasbench201(), data=data, seed=Seed(0), channels=4, cells=1, batch_size=16
    )


def test_what_one_candidate_runs_into_does_not_cost_the_others(data: Data) -> None:
    def explode(arch: Architecture) -> torch.nn.Module:
        if arch == DISCONNECTED:
            raise torch.OutOfMemoryError("CUDA out of memory\nTried to allocate 80 GiB")
        return make(data).network(arch)

    found = given(explode, data, "naswot").evaluate([Proposal(DISCONNECTED), Proposal(ALIVE)])
    assert found[0].error == "OutOfMemoryError: CUDA out of memory"
    assert found[1].error is None


def test_the_reason_of_a_failure_is_that_of_the_score_alone(data: Data) -> None:
    smooth = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(144, 4))
    together, alone = (given(lambda arch: smooth, data, names) for names in (["grad_norm", "naswot", "snip"], "naswot"))
    reason = together.evaluate([Proposal(ALIVE)])[0].error
    assert reason is not None
    assert reason.startswith("SpecError: NASWOT compares the ReLU units of a network, but Sequential ran no ReLU")
    assert reason == alone.evaluate([Proposal(ALIVE)])[0].error


def unknown(network: torch.nn.Module, images: torch.Tensor) -> float:
    return math.nan


def labelled(network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    return float(labels.sum()) + len(images)


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two functions above as scores of the catalog."""
    monkeypatch.setitem(sys.modules, "scores_of_tests", SimpleNamespace(unknown=unknown, labelled=labelled))
    for name in ("unknown", "labelled"):
        monkeypatch.setitem(SCORES, name, f"scores_of_tests:{name}")


@pytest.mark.usefixtures("scores")
def test_a_score_that_is_no_number_is_a_failure(data: Data) -> None:
    assert make(data, "unknown").evaluate([Proposal(ALIVE)])[0].error == "unknown is nan"


@pytest.mark.usefixtures("scores")
def test_a_score_gets_labels_if_it_takes_them(data: Data) -> None:
    evaluator = make(data, "labelled")
    assert (
        evaluator.evaluate([Proposal(ALIVE)])[0].metrics["labelled"] == float(evaluator._batches[0].labels.sum()) + 16
    )


def test_images_that_are_all_alike_are_refused(data: Data) -> None:
    grey = Split(torch.full_like(data.train.images, 7), data.train.labels)
    with pytest.raises(SpecError, match="at least two different ones are needed, but got 1"):
        make(Data("grey", grey, data.val, data.test, data.classes, data.mean, data.std))


def test_what_cannot_work_is_refused_before_anything_is_scored(data: Data) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'naswot'"):
        make(data, "naswotts")
    with pytest.raises(SpecError, match="different scores"):
        make(data, ["params", "params"])
    with pytest.raises(SpecError, match="different scores"):
        make(data, [])
    with pytest.raises(SpecError, match="at least two"):
        make(data, batch_size=1)
    with pytest.raises(SpecError, match="threads=0"):
        make(data, threads=0)
    with pytest.raises(SpecError, match="channels"):
        make(data, space=natssize(), channels=16)


def test_pruned_scores_are_those_of_the_pruned_cell(data: Data) -> None:
    # Node 1 leads nowhere, so that the convolution into it is dead.
    dead = Architecture("nasbench201", (3, 1, 0, 3, 0, 4))
    prune = nasbench201().prune
    assert prune is not None
    assert prune(dead) == Architecture("nasbench201", (0, 1, 0, 3, 0, 4))
    raw, pruned = make(data, ["naswot", "params"]), make(data, ["naswot", "params"], pruned=True)
    found = pruned.evaluate([Proposal(dead), Proposal(prune(dead))])
    assert found[0].metrics == found[1].metrics == raw.evaluate([Proposal(prune(dead))])[0].metrics
    assert found[0].metrics["params"] < raw.evaluate([Proposal(dead)])[0].metrics["params"]
    check_evaluator(pruned, nasbench201())


def test_raw_and_pruned_scores_are_not_put_together(data: Data) -> None:
    with pytest.raises(SpecError, match="naswot by more than one"):
        Together(make(data), make(data, pruned=True))


def test_a_space_without_dead_branches_is_not_pruned(data: Data) -> None:
    with pytest.raises(SpecError, match="natssize has no dead branches"):
        make(data, space=natssize(), channels=None, pruned=True)


def test_a_random_score_depends_on_the_seed_and_the_architecture(data: Data) -> None:
    first, again = (make(data, "zen").evaluate([Proposal(ALIVE)])[0].metrics["zen"] for _ in range(2))
    assert first == again
    assert make(data, "zen", seed=Seed(1)).evaluate([Proposal(ALIVE)])[0].metrics["zen"] != first


def test_the_kernel_is_that_of_the_score_with_its_images_by_class(data: Data) -> None:
    evaluator = make(data)
    found = evaluator.kernel(ALIVE)
    assert found.shares.shape == (16, 16)
    assert (np.diag(found.shares) == 1).all()
    assert (np.diff(found.labels) >= 0).all()
    # The order of the images does not change a determinant.
    (scored,) = evaluator.evaluate([Proposal(ALIVE)])
    assert np.linalg.slogdet(found.shares * found.units)[1] == pytest.approx(scored.metrics["naswot"], rel=1e-9)


# -- repeats ----------------------------------------------------------------------------------------------------------


def test_a_repeated_score_is_the_mean_over_networks_and_batches_of_their_own(data: Data) -> None:
    evaluator = make(data, ["grasp(repeats=3)", "grasp", "snip(repeats=2)"])
    assert names_of(evaluator.metrics) == ("grasp(repeats=3)", "grasp", "snip(repeats=2)")
    found = evaluator.evaluate([Proposal(ALIVE)])[0].metrics
    seeds = [Seed(0), Seed(0).child("repeat 1"), Seed(0).child("repeat 2")]
    alone = [make(data, ["grasp", "snip"], seed=seed).evaluate([Proposal(ALIVE)])[0].metrics for seed in seeds]
    assert len({one["grasp"] for one in alone}) == 3
    assert found["grasp"] == alone[0]["grasp"]
    assert found["grasp(repeats=3)"] == pytest.approx(sum(one["grasp"] for one in alone) / 3, rel=1e-12)
    assert found["snip(repeats=2)"] == pytest.approx((alone[0]["snip"] + alone[1]["snip"]) / 2, rel=1e-12)


def test_each_repeat_draws_another_batch(data: Data) -> None:
    """A score that no weight changes differs from repeat to repeat only by its images."""
    one, three = make(data, "naswot"), make(data, "naswot(repeats=3)")
    assert len(three._batches) == 3
    assert torch.equal(one._batches[0].images, three._batches[0].images)
    assert not torch.equal(three._batches[0].images, three._batches[1].images)
    assert not torch.equal(three._batches[1].images, three._batches[2].images)


def test_repeats_of_what_ranks_last_rank_last(data: Data) -> None:
    assert make(data, "naswot(repeats=3)").evaluate([Proposal(DISCONNECTED)])[0].metrics == {
        "naswot(repeats=3)": -math.inf
    }


def test_a_score_that_is_repeated_once_is_the_score(data: Data) -> None:
    assert names_of(make(data, "naswot(repeats=1)").metrics) == ("naswot",)
    with pytest.raises(SpecError, match=r"different scores, but got \[naswot, naswot\]"):
        make(data, ["naswot", "naswot(repeats=1)"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("naswot(repeats=0)", "naswot is repeated a whole number of times, but got repeats=0"),
        ("naswot(repeats=true)", "but got repeats=True"),
        ("naswot(repeats=2.5)", "but got repeats=2.5"),
        ("naswot(repeat=2)", "no option of the score naswot named 'repeat'. Did you mean 'repeats'"),
        ("naswot(params)", "takes nothing but repeats"),
        ("naswit(repeats=2)", "no training-free score named 'naswit'"),
    ],
)
def test_anything_else_in_the_brackets_of_a_score_is_refused(data: Data, text: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        make(data, text)


def test_repeats_are_written_inside_of_other_parts(data: Data) -> None:
    context = Context({"space": nasbench201, "data": lambda: data}, Seed(0))
    size = "channels=2, cells=1, batch_size=8"
    made = catalog.build("evaluator", f"training_free([grasp(repeats=2), params], {size})", context)
    assert names_of(made.metrics) == ("grasp(repeats=2)", "params")
    assert names_of(catalog.build("evaluator", f"training_free(plain(repeats=2), {size})", context).metrics) == (
        "plain(repeats=2)",
    )
    assert made.metrics[0].objective == 'maximize("grasp(repeats=2)")'
    objective = catalog.build("objective", made.metrics[0].objective)
    found = made.evaluate([Proposal(ALIVE)])[0].metrics
    assert objective(ALIVE, found) == found["grasp(repeats=2)"]

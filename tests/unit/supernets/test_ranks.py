"""Two processes that search one supernet agree to the bit, and equal one that averages the gradients of both halves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import warm
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn, optim

from ogive.core.rng import Seed
from ogive.networks.build import Skeleton
from ogive.supernets.alphas import Alphas
from ogive.supernets.controlled import ControlledSearch, ControllerRecipe
from ogive.supernets.controller import controlled_paths
from ogive.supernets.gates import Softmax
from ogive.supernets.networks import Supernet
from ogive.supernets.search import ArchitectureRecipe, Search, shared_score
from ogive.supernets.sharing import supernet
from ogive.training.augment import Augmentation
from ogive.training.batches import Batch
from ogive.training.data import Data, assembled, divided
from ogive.training.distributed import ALONE, Ranks
from ogive.training.pictures import Labelled, Source
from ogive.training.recipe import Recipe, learning_rate
from ogive.training.tasks.classification import Classification

SEED = Seed(7)
# The clip is below every norm that occurs here, so that it matters whether it comes before or after the average.
RECIPE = Recipe(
    epochs=1, batch_size=8, learning_rate=0.05, momentum=0.9, nesterov=False, weight_decay=3e-4, gradient_clip=0.5
)
CASES = {"nasbench201": 1, "darts": 2}  # space and order

PROGRAM = """
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, {here!r})
from test_ranks import CASES, Sometimes, controlled_search_of, search_of
from ogive.supernets.search import shared_score
from ogive.training.distributed import group
from ogive.training.tasks.classification import Classification

torch.set_num_threads(1)
folder = Path(sys.argv[1])
with group() as ranks:
    assert ranks.count == 2
    found = {{(space, order): search_of(space, order, weights=ranks.rank) for space, order in CASES.items()}}
    penalty = Sometimes(3 if ranks.rank == 1 else 0)
    found["nasbench201", "nan"] = search_of("nasbench201", 1, penalty=penalty)
    found["nasbench201", "enas"] = controlled_search_of(weights=ranks.rank)
    for (space, case), search in found.items():
        epoch = search.epoch()
        plan = search.supernet.plan
        told = {{
            "derived": str(plan.derive(search.alphas.strengths(search.gate))),
            "epoch": repr((epoch.train_loss, epoch.val_loss, epoch.train_score)),
            "rolled_back": str(epoch.rolled_back),
            "bends": repr(search.curvature()) if case == 1 else "",
            "shared": repr(shared_score(search.supernet, search.alphas.mixture(search.gate, torch.Generator()),
                                           search.alphas_task, 11)),
        }}
        save_file({{k: v.contiguous() for k, v in search.tensors().items()}},
                  folder / f"{{space}}-{{case}}-{{ranks.rank}}.safetensors", metadata=told)
"""


@dataclass
class Sometimes:
    """A penalty of zero that is not a number at the call of a number."""

    call: int
    calls: int = 0

    def __call__(self, alphas: Alphas) -> Tensor:
        self.calls += 1
        return alphas.groups[0].sum() * (math.nan if self.calls == self.call else 0.0)


def data() -> Data:
    rng = SEED.numpy("images")
    images = rng.integers(0, 256, (110, 3, 8, 8)).astype(np.uint8)
    source = Source(Labelled(images, np.arange(110, dtype=np.int64) % 4), tuple("abcd"))
    return assembled(divided(source, "noise", SEED), "noise", Augmentation(padding=1), limit=80)


def supernet_of(space: str, weights: int) -> tuple[Supernet, Alphas]:
    skeleton = Skeleton(4, 1 if space == "nasbench201" else 2, classes=4, size=8)
    network = supernet(space, skeleton, seed=weights).double()
    return network, network.alphas(torch.Generator().manual_seed(weights), scale=0.1)


def search_of(space: str, order: int, *, weights: int = 0, penalty: Sometimes | None = None) -> Search:
    network, alphas = supernet_of(space, weights)
    rule = ArchitectureRecipe(order=order, learning_rate=0.01, regulariser=penalty)
    return Search(network, alphas, *Classification(data()).halved(SEED), RECIPE, rule, seed=SEED)


def controlled_search_of(*, weights: int) -> ControlledSearch:
    network, _ = supernet_of("nasbench201", weights)
    paths = controlled_paths(network, seed=weights)
    rule = ControllerRecipe(controller_steps=3, controller_samples=4, learning_rate=0.01)
    return ControlledSearch(network, paths, *Classification(data()).halved(SEED), RECIPE, rule, seed=SEED)


class OneProcess:
    """The same search without a group: every gradient is that of two half-batches, one after the other."""

    def __init__(self, space: str) -> None:
        self.supernet, self.alphas = supernet_of(space, 0)
        self.weights = list(self.supernet.parameters())
        self.optimizer = optim.SGD(self.weights, lr=1.0, momentum=RECIPE.momentum, weight_decay=RECIPE.weight_decay)
        self.architect = optim.Adam(self.alphas.tensors, lr=0.01, betas=(0.5, 0.999), weight_decay=1e-3)

    def gradients(self, batch: Batch, leaves: Sequence[Tensor]) -> list[Tensor]:
        halves = []
        for rank in range(2):
            half = batch.share(Ranks(rank, 2))
            assert len(half.labels) == len(batch.labels) // 2
            logits = self.supernet(half.images, self.alphas.mixture(Softmax(), torch.Generator()))
            found = torch.autograd.grad(
                Classification(data()).lost_on(half, logits, RECIPE), list(leaves), allow_unused=True
            )
            halves.append([torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)])
        return [(first + second) / 2 for first, second in zip(*halves, strict=True)]

    def epoch(self, order: int) -> None:
        self.supernet.train()
        halves = Classification(data()).halved(SEED)
        streams = SEED.child("epoch 0")
        ours, others = (half.batches(RECIPE, torch.device("cpu"), torch.float64, ALONE) for half in halves)
        steps = 0
        for batch, other in zip(ours.epoch(streams), others.epoch(streams.child("validation 0")), strict=True):
            steps += 1
            rate = learning_rate(RECIPE, 0)
            wanted = self.unrolled(batch, other, rate) if order == 2 else self.gradients(other, self.alphas.tensors)
            for alpha, gradient in zip(self.alphas.tensors, wanted, strict=True):
                alpha.grad = gradient
            self.architect.step()
            for weight, gradient in zip(self.weights, self.gradients(batch, self.weights), strict=True):
                weight.grad = gradient
            assert nn.utils.clip_grad_norm_(self.weights, RECIPE.gradient_clip) > RECIPE.gradient_clip
            for options in self.optimizer.param_groups:
                options["lr"] = rate
            self.optimizer.step()
        assert steps == 5

    def unrolled(self, batch: Batch, other: Batch, rate: float) -> list[Tensor]:
        """Equations 7 and 8 of DARTS, written down once more."""
        start = [weight.detach().clone() for weight in self.weights]
        slopes = self.gradients(batch, self.weights)
        state = self.optimizer.state
        moved = [
            w - rate * (g + RECIPE.weight_decay * w + RECIPE.momentum * state[p].get("momentum_buffer", 0.0))
            for p, w, g in zip(self.weights, start, slopes, strict=True)
        ]
        self.place(moved)
        found = self.gradients(other, [*self.alphas.tensors, *self.weights])
        count = len(self.alphas.tensors)
        direct, vector = found[:count], found[count:]
        epsilon = 0.01 / math.sqrt(sum(float(v.square().sum()) for v in vector))
        sides = []
        for sign in (1, -1):
            self.place([w + sign * epsilon * v for w, v in zip(start, vector, strict=True)])
            sides.append(self.gradients(batch, self.alphas.tensors))
        self.place(start)
        return [d - rate * (a - b) / (2 * epsilon) for d, a, b in zip(direct, *sides, strict=True)]

    def place(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for weight, value in zip(self.weights, values, strict=True):
                weight.copy_(value)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory, patience_s: float) -> Path:
    folder, said = tmp_path_factory.mktemp("ranks"), tmp_path_factory.mktemp("said") / "said.txt"
    program = PROGRAM.format(here=str(Path(__file__).parent))
    assert warm.ranks(program, folder, said=said, patience_s=patience_s) == [0, 0], said.read_text()
    return folder


def told(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


@pytest.mark.parametrize("case", ["nasbench201-1", "darts-2", "nasbench201-nan", "nasbench201-enas"])
def test_two_processes_agree_bit_for_bit_and_derive_the_same_cell(ranks: Path, case: str) -> None:
    paths = [ranks / f"{case}-{rank}.safetensors" for rank in range(2)]
    first, second = map(load_file, paths)
    assert first.keys() == second.keys()
    assert any(name.startswith("alphas.") for name in first)
    assert any("running_mean" in name for name in first)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert told(paths[0]) == told(paths[1])


@pytest.mark.parametrize(("space", "order"), CASES.items())
def test_two_processes_equal_one_that_averages_the_gradients_of_the_half_batches(
    ranks: Path, space: str, order: int
) -> None:
    path = ranks / f"{space}-{order}-0.safetensors"
    found = load_file(path)
    alone = OneProcess(space)
    start = [alpha.detach().clone() for alpha in alone.alphas.tensors]
    alone.epoch(order)
    for name, tensor in alone.supernet.named_parameters():
        assert tensor.dtype == torch.float64
        torch.testing.assert_close(found[f"supernet.{name}"], tensor.detach(), rtol=0, atol=1e-5)
    for place, alpha in enumerate(alone.alphas.tensors):
        torch.testing.assert_close(found[f"alphas.{place}"], alpha.detach(), rtol=0, atol=1e-5)
        assert (alpha - start[place]).abs().max() > 0.01  # there was something to agree about
    strengths = alone.alphas.strengths(Softmax())
    assert told(path)["derived"] == str(alone.supernet.plan.derive(strengths))


def test_the_halves_of_a_batch_give_other_gradients_than_the_whole_so_that_the_comparison_can_fail(
    ranks: Path,
) -> None:
    whole = search_of("nasbench201", 1)
    whole.epoch()
    found = load_file(ranks / "nasbench201-1-0.safetensors")
    differences = [float((found[k] - v.detach()).abs().max()) for k, v in whole.tensors().items() if "running" not in k]
    assert max(differences) > 1e-3


def test_a_step_without_a_finite_loss_in_one_process_is_undone_in_both(ranks: Path) -> None:
    for rank in range(2):
        assert told(ranks / f"nasbench201-nan-{rank}.safetensors")["rolled_back"] == "1"
    one = search_of("nasbench201", 1, penalty=Sometimes(3))
    assert one.epoch().rolled_back == 1


def test_processes_look_at_a_part_of_the_images_each_and_count_the_same_right_answers(ranks: Path) -> None:
    alone = search_of("nasbench201", 1)
    path = ranks / "nasbench201-1-0.safetensors"
    alone.restore(load_file(path), alone.record())
    mixture = alone.alphas.mixture(alone.gate, torch.Generator())
    assert float(told(path)["shared"]) == shared_score(alone.supernet, mixture, alone.alphas_task, 11)

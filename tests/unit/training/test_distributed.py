"""Two processes of a group train as one process does that runs their two half-batches one after the other."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import warm
from safetensors.torch import load_file
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.training.augment import Augmentation
from ogive.training.batches import Batches
from ogive.training.data import Data, assembled, divided
from ogive.training.distributed import ALONE, Ranks, current, group
from ogive.training.pictures import Labelled, Source
from ogive.training.recipe import Recipe, learning_rate, optimizer_for

SEED = Seed(5)
# 97 images in 5 steps: batches of 20 and 19, of which two processes can share 18.
RECIPE = Recipe(epochs=1, batch_size=20, weight_decay=1e-3, gradient_clip=1.0, label_smoothing=0.1)

PROGRAM = """
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

sys.path.insert(0, {here!r})
from test_distributed import RECIPE, SEED, data, network
from ogive.training.distributed import group
from ogive.training.supervised import train

torch.set_num_threads(1)
folder = Path(sys.argv[1])
with group() as ranks:
    assert ranks.count == 2
    net = network(ranks.rank)  # different weights: the first process's are to be taken over
    outcome = train(net, data(), RECIPE, seed=SEED, folder=folder / "training")
    save_file(net.state_dict(), folder / f"rank-{{ranks.rank}}.safetensors",
              metadata={{"history": repr((outcome.history[0].train_loss, outcome.val_acc))}})
tasks = Path("/proc/self/task")
(folder / f"threads-{{ranks.rank}}.txt").write_text("".join(path.read_text() for path in tasks.glob("*/comm")))
"""


def data() -> Data:
    rng = SEED.numpy("images")
    images = rng.integers(0, 256, (160, 1, 8, 8)).astype(np.uint8)
    source = Source(Labelled(images, np.arange(160, dtype=np.int64) % 10), tuple("0123456789"))
    return assembled(divided(source, "noise", SEED), "noise", Augmentation(padding=1), limit=97)


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 10),
        )
    return net.double()


def one_process() -> tuple[nn.Module, float]:
    """Both half-batches one after the other; each half keeps running statistics of its own, averaged in the end."""
    net = network(0)
    optimizer = optimizer_for(net, RECIPE)
    task = data()
    buffers = [[buffer.clone() for buffer in net.buffers()] for _ in range(2)]
    batches = Batches(task, RECIPE, torch.device("cpu"), torch.float64, ALONE)
    net.train()
    losses = []
    for step, batch in enumerate(batches.epoch(SEED.child("epoch 0"))):
        gradients: list[list[Tensor]] = []
        for rank in range(2):
            for buffer, own in zip(net.buffers(), buffers[rank], strict=True):
                buffer.copy_(own)
            half = batch.share(Ranks(rank, 2))
            assert len(half.labels) == len(batch.labels) // 2
            loss = half.measured(net(half.images), nn.CrossEntropyLoss(label_smoothing=RECIPE.label_smoothing))
            gradients.append(list(torch.autograd.grad(loss, list(net.parameters()))))
            losses.append(loss.item())
            buffers[rank] = [buffer.clone() for buffer in net.buffers()]
        for parameter, first, second in zip(net.parameters(), *gradients, strict=True):
            parameter.grad = (first + second) / 2
        nn.utils.clip_grad_norm_(net.parameters(), RECIPE.gradient_clip)
        for options in optimizer.param_groups:
            options["lr"] = learning_rate(RECIPE, step / batches.steps)
        optimizer.step()
    assert batches.steps == 5
    with torch.no_grad():
        for buffer, first, second in zip(net.buffers(), *buffers, strict=True):
            buffer.copy_((first + second) / 2 if buffer.is_floating_point() else first)
    return net, sum(losses) / len(losses)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory, patience_s: float) -> Path:
    folder, said = tmp_path_factory.mktemp("ranks"), tmp_path_factory.mktemp("said") / "said.txt"
    program = PROGRAM.format(here=str(Path(__file__).parent))
    assert warm.ranks(program, folder, said=said, patience_s=patience_s) == [0, 0], said.read_text()
    return folder


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are listed by Linux only")
def test_no_thread_of_the_group_outlives_it(ranks: Path) -> None:
    for rank in range(2):
        names = (ranks / f"threads-{rank}.txt").read_text().split()
        assert names
        assert [name for name in names if "gloo" in name] == []


def test_two_processes_agree_bit_for_bit(ranks: Path) -> None:
    first, second = (load_file(ranks / f"rank-{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype in (torch.float64, torch.int64)
        assert torch.equal(tensor, second[name]), name


def test_two_processes_equal_one_that_averages_the_gradients_of_the_half_batches(ranks: Path) -> None:
    found = load_file(ranks / "rank-0.safetensors")
    expected, loss = one_process()
    start = network(0).state_dict()
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-5)
        if name.endswith("weight"):
            assert (tensor - start[name]).abs().max() > 1e-3  # there was something to agree about
    (line,) = (ranks / "training" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["train_loss"] == pytest.approx(loss, abs=1e-9)


def test_only_the_first_process_writes(ranks: Path) -> None:
    names = sorted(path.name for path in (ranks / "training").iterdir())
    assert names == ["epoch-000001.safetensors", "metrics.jsonl"]


def test_without_torchrun_a_process_is_alone_and_averaging_changes_nothing() -> None:
    with group() as place:
        assert place == current() == ALONE
        assert place.writes
    net = network(0)
    net(torch.rand(2, 1, 8, 8, dtype=torch.float64)).sum().backward()
    before = copy.deepcopy([parameter.grad for parameter in net.parameters()])
    extra = torch.ones(2)
    assert torch.equal(ALONE.average_gradients(net, extra), extra)
    for parameter, gradient in zip(net.parameters(), before, strict=True):
        assert parameter.grad is not None
        assert gradient is not None
        assert torch.equal(parameter.grad, gradient)


def test_more_processes_than_images_in_a_batch_are_refused() -> None:
    with pytest.raises(SpecError, match="97 images in 49 steps cannot be shared by 4 processes"):
        Batches(data(), Recipe(batch_size=2), torch.device("cpu"), torch.float32, Ranks(0, 4))

"""Trainings with two threads in a process of their own: where torch would write outside its memory, it dies."""

from __future__ import annotations

from pathlib import Path

import pytest
from warm import begun, ended

PROGRAM = """
import torch
from torch import nn

from ogive.core.rng import Seed
from ogive.networks.ops import FactorizedReduce, ReLUConvBN
from ogive.training.augment import Augmentation
from ogive.training.data import Data, Split
from ogive.training.supervised import train
from ogive.training.recipe import Recipe

torch.set_num_threads(2)
draw = torch.Generator().manual_seed(0)
images = torch.randint(256, (63 * 8, 8, 16, 16), dtype=torch.uint8, generator=draw)
split = Split(images, torch.arange(len(images)) % 2)
empty = Split(images[:0], split.labels[:0])
data = Data("noise", split, split, empty, ("a", "b"), (0.5,) * 8, (0.5,) * 8, Augmentation(0, False))
layer = {layer}
network = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
train(network, data, Recipe(epochs=12, batch_size=63, learning_rate=0.01), seed=Seed(0))
print("alive")
"""
LAYERS = ["FactorizedReduce(8, 4)", "ReLUConvBN(8, 4, 1, stride=2)", "nn.Conv2d(8, 4, 1, stride=2, bias=False)"]


@pytest.mark.parametrize("layer", LAYERS)
def test_narrow_pointwise_convolutions_with_a_stride_train_with_two_threads(
    layer: str, tmp_path: Path, patience_s: float
) -> None:
    said = tmp_path / "said.txt"
    process = begun(PROGRAM.replace("{layer}", layer), said=said)
    assert (ended(process, patience_s), said.read_text()) == (0, "alive\n")

"""What predicted parameters are worth as the beginning of a training: networks are trained on a few images of a class.

Each network of the split val of DeepNets-1M is trained alike from He's initialisation (He et al., ICCV 2015), from
predicted parameters with noise against equal channels, and from the same made orthogonal. Nobody trained on these
networks; the hypernetwork has seen the images that it learnt from.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ogive import catalog
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.experiments.searched import Rows, Told, markdown, mean, minus, spread
from ogive.files import write_json
from ogive.hypernets.files import SHIPPED, load
from ogive.hypernets.ghn import GHN
from ogive.hypernets.measuring import looked_at
from ogive.hypernets.population import Member, Sized, of_split
from ogive.hypernets.prediction import initialise
from ogive.networks import count
from ogive.networks.build import drawing_from
from ogive.training.data import Data, Split
from ogive.training.loop import Diverged, drive
from ogive.training.recipe import Recipe
from ogive.training.statistics import fixed_batches
from ogive.training.supervised import Accuracy, Supervised
from ogive.training.threads import threads as torch_threads

__all__ = ["Size", "beside", "few_of_each", "he", "one", "told"]

HE, HEADLINE, ORTHOGONAL = "He", "predicted", "predicted, orthogonal"
METHODS = (HE, HEADLINE, ORTHOGONAL)


@dataclass(frozen=True)
class Size:
    """Images, networks and their width, images of a class, epochs, seeds; the noise is a share of the deviation.

    `images` are those of the test part that trained networks are measured on. `file` is a hypernetwork, by default the
    one that comes with ogive.
    """

    data: str
    networks: int
    channels: int
    per_class: int
    epochs: int
    seeds: int
    images: int = 1000
    learning_rate: float = 0.01
    batch_size: int = 64
    weight_decay: float = 1e-3  # Knyazev et al., NeurIPS 2021, appendix
    noise: float = 0.08  # the same, for CIFAR
    file: str = ""
    cells: int | None = None


def one(size: Size, seed: int, folder: Path, device: str) -> dict[str, Any]:
    """The accuracy of each network from each beginning; what is done is kept in the folder."""
    read: Data = catalog.build("data", size.data)
    ghn, streams = load(Path(size.file) if size.file else SHIPPED).to(device), Seed(seed).child("beginnings")
    few = replace(read, train=few_of_each(read.train, size.per_class, streams), test=looked_at(read.test, size.images))
    members = of_split("val", range(size.networks), size.channels, Sized(read.shape, len(read.classes)), 64)
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    for number, member in enumerate(members):
        for name in METHODS:
            place = folder / f"{number}-{METHODS.index(name)}.json"
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                write_json(place, _trained(name, member, ghn, few, size, streams.child(f"network {number}"), device))
            found[name].append(float(json.loads(place.read_text())["test_acc"]))
    return {"networks": len(members), "test_acc": found}


def beside(size: Size) -> dict[str, Any]:
    """Nothing: He's initialisation is trained from with every seed."""
    return {}


def told(seeds: Rows, around: Mapping[str, Any]) -> Told:
    """A table of accuracies, and how far each beginning is ahead of He's, paired by seed and network."""
    means = {name: [mean(seed["test_acc"][name]) for seed in seeds] for name in METHODS}
    titles = ["beginning", "test accuracy in %", "minus He's: mean ± s.e. over networks and seeds"]
    lines = [[name, spread(means[name]), _paired(seeds, name)] for name in METHODS]
    gains = [minus(name, means[name], HE, means[HE]) for name in METHODS[1:]]
    baselines = {name: mean(means[name]) for name in METHODS if name != HEADLINE}
    return Told(tuple(means[HEADLINE]), baselines, (*markdown(titles, lines, len(seeds)), "", *gains))


def few_of_each(split: Split, count: int, streams: Seed) -> Split:
    """So many images of each class, drawn at random; SpecError where a class has fewer."""
    order = torch.from_numpy(streams.numpy("images").permutation(len(split)))
    chosen = []
    for label in split.labels.unique().tolist():
        rows = order[split.labels[order] == label][:count]
        if len(rows) < count:
            raise SpecError(f"There are {len(rows)} images of the class {label}, but {count} of each are to be drawn.")
        chosen.append(rows)
    rows = torch.cat(chosen)
    return Split(split.images[rows], split.labels[rows])


def he(module: nn.Module, generator: torch.Generator) -> None:
    """He's initialisation of all matrices, with biases of zero; normalisations are as they begin."""
    for part in module.modules():
        weight, bias = getattr(part, "weight", None), getattr(part, "bias", None)
        if isinstance(weight, nn.Parameter) and weight.dim() > 1:
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
            if isinstance(bias, nn.Parameter):
                nn.init.zeros_(bias)


def _trained(
    name: str, member: Member, ghn: GHN, few: Data, size: Size, streams: Seed, device: str
) -> dict[str, float]:
    """What a network reaches on the test images after its training; 100 over the classes where it diverges."""
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(streams.integer("weights"))
    with drawing_from(streams.integer("unpredicted")):
        network = member.module("cpu")
    if name == HE:
        he(network, generator)
    network.to(device)
    if name != HE:
        initialise(ghn, network, few.shape, noise=size.noise, orthogonal=name == ORTHOGONAL, generator=generator)
    recipe = Recipe(
        epochs=size.epochs,
        batch_size=size.batch_size,
        learning_rate=size.learning_rate,
        weight_decay=size.weight_decay,
        gradient_clip=5.0,
        padding=0,
    )
    training = Supervised(network, few, recipe, seed=streams, device=torch.device(device))
    with torch_threads(1 if device == "cpu" else None):
        try:
            drive(training)
            accuracy = _accuracy(network, few, torch.device(device))
        except Diverged:
            accuracy = 100 / len(few.classes)
    macs = count.macs(network, few.shape)
    return {"test_acc": accuracy, "macs": float(macs), "seconds": time.perf_counter() - started}


def _accuracy(network: nn.Module, few: Data, device: torch.device) -> float:
    network.eval()
    right = 0.0
    with torch.no_grad():
        for x_NCHW, y_N in fixed_batches(few, few.test, device):
            right += float(Accuracy().each(network(x_NCHW), y_N).sum())
    return Accuracy().told(right, len(few.test))


def _paired(seeds: Rows, name: str) -> str:
    gains = [own - he for seed in seeds for own, he in zip(seed["test_acc"][name], seed["test_acc"][HE], strict=True)]
    if name == HE or len(gains) < 2:
        return ""
    return f"{mean(gains):+.2f} ± {statistics.stdev(gains) / math.sqrt(len(gains)):.2f}"

"""A network of one's own with predicted parameters: made by a function in a file, measured and saved."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ogive import catalog
from ogive.core.errors import OgiveError, SpecError, UnknownName, in_line, quoted
from ogive.core.rng import Seed
from ogive.files import write_json
from ogive.hypernets.files import SHIPPED, load
from ogive.hypernets.prediction import initialise
from ogive.networks.export import imported
from ogive.training.checkpoint import save_tensors
from ogive.training.data import Data
from ogive.training.statistics import Measuring, SampleJudge
from ogive.training.supervised import Accuracy
from ogive.training.threads import threads as torch_threads

__all__ = ["STATISTICS", "Statistics", "network_of", "predict_parameters"]

# Of batch normalisation, which are not predicted: of training images, kept with the weights; or of each batch.
Statistics = Literal["recalibrated", "batch"]
STATISTICS: tuple[Statistics, ...] = ("recalibrated", "batch")


def predict_parameters(
    target: str,
    *,
    data: str,
    ghn: Path | None = None,
    statistics: Statistics = "recalibrated",
    images: int = 2000,
    out: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    command: str | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """The network of ``FILE.py:function`` with the parameters that a hypernetwork predicts, and what it reaches.

    `ghn` is the file of a hypernetwork, by default the one that comes with ogive. Accuracy is that on the validation
    images, after one forward pass and no training. With "recalibrated", the statistics of batch normalisations are the
    means over `images` training images, and are saved; with "batch", each batch of validation images has its own, and
    the saved ones are those that the network began with. Neither depends on the order in which batches are gone
    through. `out` gets the weights as safetensors and, in ``OUT.json``, the figures. SpecError says what does not fit.
    """
    if statistics not in STATISTICS:
        raise UnknownName("kind of statistics", statistics, STATISTICS)
    file = SHIPPED if ghn is None else ghn
    hypernetwork, network = load(file).to(device), network_of(target)
    read: Data = catalog.build("data", data)
    classes = hypernetwork.configuration.classes
    if classes != len(read.classes):
        raise SpecError(f"The hypernetwork in {file} is for {classes} classes, but {data} has {len(read.classes)}.")
    network.to(device)
    with torch_threads(threads):
        started = time.perf_counter()
        kept = initialise(hypernetwork, network, read.shape)
        prediction_s = time.perf_counter() - started
        _check_outputs(network, read, target)
        measuring = Measuring(statistics_images=0 if statistics == "batch" else images)
        judge = SampleJudge(
            read, Accuracy(), measuring, seed=Seed(0).child("predicted parameters"), device=torch.device(device)
        )
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        measured = judge.measured(judge.recalibrated(network))
    state = before if statistics == "batch" else dict(network.state_dict())
    facts = {
        "network": target,
        "command": command,
        "data": data,
        "hypernetwork": hashlib.sha256(file.read_bytes()).hexdigest(),
        "statistics": statistics,
        "statistics_images": measuring.statistics_images,
        **measured,
        "validation_images": len(read.val),
        "params": sum(parameter.numel() for parameter in network.parameters()),
        "unpredicted": kept,
        "prediction_s": prediction_s,
    }
    if out is not None:
        save_tensors({name: tensor.detach().cpu().clone() for name, tensor in state.items()}, out)
        write_json(out.with_name(f"{out.name}.json"), facts)
    return network, facts


def network_of(target: str) -> nn.Module:
    """The module that ``FILE.py:function`` returns; SpecError for anything else, and for a function that fails."""
    name, colon, function = target.rpartition(":")
    path = Path(name).expanduser()
    if not colon or path.suffix != ".py":
        raise SpecError(f"A network is named as FILE.py:function, such as model.py:make, but got {quoted(target)}.")
    if not path.is_file():
        raise SpecError(f"There is no file {path} with the network {quoted(target)}.")
    try:
        make = getattr(imported(path), function, None)
        made = make() if callable(make) else None
    except OgiveError:
        raise
    except Exception as error:
        raise SpecError(f"{quoted(target)} fails: {type(error).__name__}: {in_line(error)}.") from error
    if not callable(make):
        raise SpecError(f"{path} has no function or class {quoted(function)}: name what makes the network.")
    if not isinstance(made, nn.Module):
        raise SpecError(f"{quoted(target)} returns a {type(made).__name__}, but a torch module is wanted.")
    return made


def _check_outputs(network: nn.Module, data: Data, target: str) -> None:
    """SpecError for a network whose outputs are not one for each class."""
    device = next(network.parameters()).device
    with torch.no_grad():
        outputs = network.eval()(torch.zeros(2, *data.shape, device=device))
    wanted = (2, len(data.classes))
    if not isinstance(outputs, torch.Tensor) or tuple(outputs.shape) != wanted:
        found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise SpecError(f"Of two inputs, {quoted(target)} must make outputs {wanted}, one a class, but makes {found}.")

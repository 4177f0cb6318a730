"""Networks as they will run: in torch, in ONNX Runtime, there in integers, or by a program that prints milliseconds."""

from __future__ import annotations

import logging
import math
import re
import shlex
import shutil
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ogive.core.errors import MissingData, SpecError, UnknownName, quoted, shortened
from ogive.networks.export import require_onnx, write_onnx

__all__ = [
    "RUNTIMES",
    "OnnxNetwork",
    "Runtime",
    "check_runtime",
    "in_runtime",
    "onnx_peak_mb",
    "printed_ms",
    "tensors_mb",
    "weights_mb",
]

Runtime = Literal["torch", "onnx", "onnx_int8"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
MB = 1e6
COMMAND_S = 600.0  # after which a program that prints nothing is given up
PLACE = "{onnx}"
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
# Runs in a fresh process, which has imported nothing else, so that what it holds at most is the runtime's.
_PEAK = """
import sys, resource
import numpy, onnxruntime
path, threads, *shape = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
def most(key):
    try:
        with open("/proc/self/status") as told:
            return next(int(line.split()[1]) for line in told if line.startswith(key))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
before = most("VmRSS:")
try:
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
except OSError:
    pass
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
image = numpy.zeros(tuple(map(int, shape)), numpy.float32)
for _ in range(3):
    session.run(None, {session.get_inputs()[0].name: image})
print(1024 * (most("VmHWM:") - before))
"""


class OnnxNetwork(nn.Module):
    """A network in a file, run by ONNX Runtime on the processor; called like a module of torch.

    SpecError, with what the runtime says, for a file that it refuses: it names the operator that it does not know.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        super().__init__()
        require_onnx()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has many kinds of its own
            raise SpecError(
                f"ONNX Runtime refuses {path.name}: {shortened(str(error).splitlines()[0], 300)}"
            ) from error
        self._entry = self._session.get_inputs()[0].name

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """What the network gives."""
        return torch.from_numpy(self._session.run(None, {self._entry: x_NCHW.numpy()})[0])


def check_runtime(runtime: str, command: str, device: str) -> None:
    """Refuse, before anything is measured, a runtime that there is not, or that is not on this device."""
    if runtime not in RUNTIMES:
        raise UnknownName("runtime", runtime, RUNTIMES)
    if command and PLACE not in command:
        raise SpecError(
            f"A command says where the network's file goes, as in 'bench {PLACE}', but got {quoted(command)}."
        )
    if runtime != "torch" or command:
        require_onnx()
        if device != "cpu":
            raise SpecError(
                f"{'A command' if command else f'The runtime {runtime}'} reads no {device}: give --device cpu."
            )
    if command:
        _program_of(command)


def in_runtime(
    network: nn.Module, runtime: Runtime, folder: Path, images_NCHW: Tensor, *, threads: int = 1
) -> tuple[nn.Module, Path | None]:
    """The network as the runtime has it, and its file, which ends in the folder; None for torch, where it stays.

    The ranges of an integer network's numbers are found on the images.
    """
    if runtime == "torch":
        return network, None
    whole = folder / "network.onnx"
    write_onnx(network, tuple(images_NCHW.shape[1:]), whole)
    if runtime == "onnx":
        return OnnxNetwork(whole, threads=threads), whole
    small = folder / "network_int8.onnx"
    _quantise(whole, small, images_NCHW)
    return OnnxNetwork(small, threads=threads), small


def _quantise(path: Path, out: Path, images_NCHW: Tensor) -> None:
    """Weights and activations in 8 bits, with ranges from the images: static quantisation, a scale for each channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):  # type: ignore[misc]  # has no types
        def __init__(self) -> None:
            self._left = iter(images_NCHW.split(1))

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._left, None)
            return None if image is None else {ENTRY: image.numpy()}

    noisy = logging.getLogger()  # the quantiser advises on steps before it, to whoever listens to everything
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        quantize_static(
            path,
            out,
            Images(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    except Exception as error:
        raise SpecError(f"The network cannot be quantised: {shortened(str(error).splitlines()[0], 300)}") from error
    finally:
        noisy.setLevel(level)


ENTRY = "images"


def onnx_peak_mb(path: Path, shape: Sequence[int], threads: int) -> float:
    """What a process that runs the file holds at most beyond what it held before it opened it, in MB."""
    command = [sys.executable, "-I", "-c", _PEAK, str(path), str(threads), *map(str, shape)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if done.returncode:
        raise SpecError(f"A process that runs {path.name} died: {_last(done.stderr)}")
    return int(done.stdout.split()[-1]) / MB


def tensors_mb(network: nn.Module, x_NCHW: Tensor) -> float:
    """The most that parameters, buffers, the input and all that is computed take at one time of a pass, in MB.

    They are counted as torch holds them in inference, without what its kernels take for themselves.
    """
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in _stored(network)}
    living = _Living(sum(held.values()) + x_NCHW.nbytes, frozenset(held))
    training = network.training
    with torch.no_grad(), living:
        network.eval()(x_NCHW)
    network.train(training)
    return living.peak / MB


def weights_mb(network: nn.Module) -> float:
    """What a file of its parameters and buffers takes, in MB."""
    return sum(tensor.nbytes for tensor in _stored(network)) / MB


def _stored(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


class _Living(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, each memory once."""

    def __init__(self, held: int, known: frozenset[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = held
        self._known = known
        self._users: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The operation as it is; what it makes is counted until nobody holds it."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._born(tensor)
        return made

    def _born(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place in self._known or not size:
            return
        if place not in self._users:
            self.now += size
            self.peak = max(self.peak, self.now)
        self._users[place] = self._users.get(place, 0) + 1
        weakref.finalize(tensor, self._gone, place, size)

    def _gone(self, place: int, size: int) -> None:
        self._users[place] -= 1
        if not self._users[place]:
            del self._users[place]
            self.now -= size


# -- any program ------------------------------------------------------------------------------------------------------


def printed_ms(command: str, path: Path, *, limit_s: float = COMMAND_S) -> float:
    """The milliseconds that a program prints for the file of a network: the last number of what it says.

    `command` holds ``{onnx}`` where the file goes, and is not given to a shell. SpecError, with the reason, for one
    that fails, takes longer than the limit, or prints no positive number; MissingData for one that is not there.
    """
    _program_of(command)
    words = [word.replace(PLACE, str(path)) for word in shlex.split(command)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise SpecError(f"{words[0]} printed nothing for {limit_s:g} s.") from None
    except OSError as error:
        raise SpecError(f"{words[0]} cannot be started: {error.strerror}.") from error
    if done.returncode:
        raise SpecError(f"{words[0]} ended with {done.returncode}: {_last(done.stderr or done.stdout)}")
    numbers = _NUMBER.findall(done.stdout)
    if not numbers:
        raise SpecError(f"{words[0]} printed no number of milliseconds, but {quoted(_last(done.stdout))}.")
    found = float(numbers[-1])
    if not 0 < found < math.inf:
        raise SpecError(f"{words[0]} printed {found} milliseconds, which no network takes.")
    return found


def _program_of(command: str) -> str:
    """The program of a command; SpecError where there is none of that name."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SpecError(f"The command {quoted(command)} cannot be read: {error}.") from None
    if not words or shutil.which(words[0]) is None:
        raise MissingData(f"There is no program {quoted(words[0] if words else command)} to measure latencies with.")
    return words[0]


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return shortened(lines[-1], 200) if lines else "nothing"

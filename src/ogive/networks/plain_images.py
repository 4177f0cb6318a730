"""How networks of images are taken away: what their files say, how they prepare images, and tell how good they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.networks.plain import Plain
from ogive.networks.standalone import literal

__all__ = ["of_images"]

Normalise = tuple[Sequence[float], Sequence[float]]


def of_images(
    shape: tuple[int, ...],
    *,
    classes: Sequence[str] | None = None,
    normalise: Normalise | None = None,
    images: Tensor | None = None,
    keep: Callable[[Path], None] = lambda folder: None,
) -> Plain:
    """For networks that take images (N, *shape) and give logits (N, classes).

    Args:
        shape: the channels, height and width of an image.
        classes: their names, in the order of the logits.
        normalise: the mean and the standard deviation of each channel that images are normalised with, bytes on the
            scale 0..1 and other numbers on their own.
        images: real ones (N, *shape), as the network takes them, to compare on beside random ones.
        keep: as of `Plain`.

    Raises:
        SpecError: a shape, a normalisation or images that do not fit together.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise SpecError(f"The shape of an image is channels, height and width, all positive; got {shape}.")
    if images is not None and tuple(images.shape[1:]) != shape:
        wanted = ", ".join(map(str, shape))
        raise SpecError(f"The images to compare on must be of shape (N, {wanted}); got {tuple(images.shape)}.")
    known: dict[str, tuple[object, ...]] = {"shape": shape}
    if classes:
        known["classes"] = tuple(map(str, classes))
    if normalise is not None:
        known |= zip(("mean", "std"), _numbers(normalise, shape[0]), strict=True)
    batches = [] if images is None else images.detach().to("cpu", torch.float32).split(256)
    apart = f", tells {len(classes)} classes apart" if classes else ""
    return Plain(
        takes=f"It takes images of {' × '.join(map(str, shape))}{apart}, ",
        usage=USAGE,
        constants=_constants(known),
        functions=(PREPARED_NORMALISED if normalise else PREPARED, ACCURACY, MAIN),
        facts=known,
        inputs=("images",),
        width=len(classes) if classes else None,
        drawn=lambda count, generator: (torch.randn(count, *shape, generator=generator),),
        real=[((batch,), (batch,)) for batch in batches],
        keep=keep,
    )


def _numbers(normalise: Normalise, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, checked."""
    mean, std = (tuple(float(value) for value in values) for values in normalise)
    if not len(mean) == len(std) == channels or min(std) <= 0:
        raise SpecError(
            f"Mean and standard deviation must have one value (above 0) for each of {channels} channels, but are "
            f"{mean} and {std}."
        )
    return mean, std


def _constants(known: Mapping[str, tuple[object, ...]]) -> str:
    lines = [f"SHAPE = {known['shape']!r}  # channels, height and width of an image"]
    for name in ("classes", "mean", "std"):
        if name == "mean" in known:
            lines.append("# Of each channel, over the training images; bytes on the scale 0..1.")
        if name in known:
            lines.append(f"{name.upper()} = {literal(known[name], used=len(f'{name} = '))}")
    return "\n".join(lines)


USAGE = """\
    python NAME.py                           what this network is
    python NAME.py --data test.safetensors   how many of the `images` in that file get their `labels`"""

PREPARED = '''\
def prepared(images: Tensor) -> Tensor:
    """Make images what the network takes: it was trained on numbers as they are."""
    return images.float()'''

PREPARED_NORMALISED = '''\
def prepared(images: Tensor) -> Tensor:
    """Make images what the network takes: bytes or numbers of shape (N, *SHAPE) become normalised."""
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    mean, std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (MEAN, STD))
    factor, offset = (1 / (scale * std)).to(images.device, torch.float32), (mean / std).to(images.device, torch.float32)
    return images.float() * factor - offset'''

ACCURACY = '''\
@torch.inference_mode()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 256) -> float:
    """Tell how many of the images, in per cent, the network gives their label; images as `prepared` takes them."""
    right = 0
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        right += int((net(prepared(images[batch])).argmax(1) == labels[batch]).sum())
    return 100 * right / len(images)'''

MAIN = '''\
def main() -> None:
    """Say what the network is and, given test images, how often it is right."""
    parser = argparse.ArgumentParser(description="What this network is, and how often it is right.")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="default: %(default)s")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a .safetensors file with images and labels")
    arguments = parser.parse_args()
    if not arguments.weights.is_file():
        parser.error(f"there are no weights in {arguments.weights}")
    if arguments.data is not None and not arguments.data.is_file():
        make = "safetensors.torch.save_file({'images': images, 'labels': labels}, FILE)"
        parser.error(f"there is no file {arguments.data}; {make} makes one of images (N, C, H, W) and labels (N)")
    net = load(arguments.weights)
    parameters = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    outputs = net(torch.zeros(1, *SHAPE)).shape[1]
    print(f"{type(net).__name__}: {' x '.join(map(str, SHAPE))} -> {outputs}, {parameters:,} trainable parameters")
    if arguments.data is not None:
        from safetensors.torch import load_file

        data = load_file(arguments.data)
        per_cent = accuracy(net, data["images"], data["labels"])
        print(f"accuracy {per_cent:.2f} % of {len(data['labels'])} images")'''

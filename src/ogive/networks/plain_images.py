"""How networks of images are taken away: what their files say, how they prepare images, and tell how good they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ogive import upright as reading
from ogive.core.errors import SpecError
from ogive.networks.plain import Entry, Plain
from ogive.networks.source import Import
from ogive.networks.standalone import literal

__all__ = ["of_images", "of_labels"]

Normalise = tuple[Sequence[float], Sequence[float]]


def of_images(
    shape: tuple[int, ...],
    *,
    classes: Sequence[str] | None = None,
    normalise: Normalise | None = None,
    images: Tensor | None = None,
    pictures: bool = False,
    keep: Callable[[Path], None] = lambda folder: None,
) -> Plain:
    """For networks that take images (N, *shape) and give logits (N, classes).

    Args:
        shape: the channels, height and width of an image.
        classes: their names, in the order of the logits.
        normalise: the mean and the standard deviation of each channel that images are normalised with, bytes on the
            scale 0..1 and other numbers on their own.
        images: real ones (N, *shape), as the network takes them, to compare on beside random ones.
        pictures: whether they were made of picture files, or of numbers on the scale of such, so that the file reads
            these, and ONNX takes bytes where it is asked to.
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
    readable = pictures and bool(classes) and normalise is not None and shape[0] in (1, 3)
    return Plain(
        takes=f"It takes images of {' × '.join(map(str, shape))}{apart}, ",
        usage=USAGE_PICTURES if readable else USAGE,
        constants=constants(known),
        functions=_functions(normalised=normalise is not None, readable=readable),
        imports=frozenset({IO, ANY, SYS}) if readable else frozenset(),
        facts=known,
        inputs=("images",),
        width=len(classes) if classes else None,
        entries=entries(known, readable=readable) if normalise is not None else {},
        drawn=lambda count, generator: (torch.randn(count, *shape, generator=generator),),
        real=[((batch,), (batch,)) for batch in batches],
        keep=keep,
    )


def _functions(*, normalised: bool, readable: bool) -> tuple[str, ...]:
    """The source of what the file does; the functions that read pictures are those of the search."""
    prepared = PREPARED_NORMALISED if normalised else PREPARED
    if not readable:
        return prepared, ACCURACY, MAIN.format(argument="", picture="", hint="")
    defined = [part for part in vars(reading).values() if inspect.isfunction(part)]
    sources = [inspect.getsource(part).rstrip() for part in defined]
    return (
        prepared,
        ACCURACY,
        *sources,
        PICTURES,
        PICTURES_IN,
        MAIN.format(argument=ARGUMENT, picture=CLASSIFIED, hint=HINT),
    )


def of_labels(plain: Plain) -> Plain:
    """The same for images with any number of labels: the file tells F1, and how likely each label is."""

    def changed(text: str) -> str:
        text = text.replace(ACCURACY, F1).replace(".softmax(1)[0]", ".sigmoid()[0]")
        return text.replace('f"accuracy {accuracy(net', 'f"F1 {f1(net')

    functions = tuple(changed(text) for text in plain.functions)
    takes = plain.takes.replace("tells", "tells which of").replace("classes apart", "labels are there")
    usage = plain.usage.replace("how many of the `images` in that file get their `labels`", "F1 of the `images` there")
    return replace(plain, functions=functions, takes=takes, usage=usage)


class Normalised(nn.Module):
    """Images as they were read, numbers or bytes of shape (N, C, H, W), on the scale of the network's; or signals."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], scale: float, sides: int = 2) -> None:
        super().__init__()
        mean_, std_ = (torch.tensor(values, dtype=torch.float64).view(-1, *[1] * sides) for values in (mean, std))
        self.register_buffer("factor", (1 / (scale * std_)).float())
        self.register_buffer("offset", (mean_ / std_).float())

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) with mean 0 and standard deviation 1 in every channel."""
        factor, offset = self.get_buffer("factor"), self.get_buffer("offset")
        return images.float() * factor - offset


def entries(known: Mapping[str, Any], *, readable: bool) -> dict[str, Entry]:
    """What a graph may hold before the network: that takes numbers on the scale of `mean`, or bytes."""
    mean, std = (torch.tensor(known[name]).view(-1, 1, 1) for name in ("mean", "std"))
    facts = {name: value for name, value in known.items() if name not in ("mean", "std")}
    scale = "bytes divided by 255" if readable else "on the scale of the training images"
    entries = {
        "numbers": Entry(
            Normalised(known["mean"], known["std"], 1.0),
            lambda inputs: (inputs[0] * std + mean,),
            {**facts, "input": f"float32 images, {scale}; they are normalised inside"},
        )
    }
    if readable:
        entries["bytes"] = Entry(
            Normalised(known["mean"], known["std"], 255.0),
            lambda inputs: (((inputs[0] * std + mean) * 255).round().clamp(0, 255).to(torch.uint8),),
            {**facts, "input": "uint8 images, 0 to 255; they are normalised inside"},
        )
    return entries


def _numbers(normalise: Normalise, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, checked."""
    mean, std = (tuple(float(value) for value in values) for values in normalise)
    if not len(mean) == len(std) == channels or min(std) <= 0:
        raise SpecError(
            f"Mean and standard deviation must have one value (above 0) for each of {channels} channels, but are "
            f"{mean} and {std}."
        )
    return mean, std


def constants(known: Mapping[str, tuple[object, ...]]) -> str:
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

USAGE_PICTURES = f"""\
{USAGE}
    python NAME.py photo.png folder          what the pictures show, which takes pillow and numpy"""

IO, ANY, SYS = Import("io", None, "io"), Import("typing", "Any", "Any"), Import("sys", None, "sys")

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

F1 = '''\
@torch.inference_mode()
def f1(net: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 256) -> float:
    """Tell the mean F1 of an image, in per cent; labels (N, K) are 0 or 1, images as `prepared` takes them."""
    total = 0.0
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        said, true = net(prepared(images[batch])) > 0, labels[batch] > 0.5
        both = said.sum(1) + true.sum(1)
        total += float(torch.where(both == 0, 1.0, 2 * (said & true).sum(1) / both.clamp(min=1)).sum())
    return 100 * total / len(images)'''

PICTURES = '''\
@torch.inference_mode()
def classified(net: nn.Module, path: Path, top: int = 5) -> list[tuple[str, float]]:
    """Tell the likeliest classes of a picture file and how likely each is, the likeliest first."""
    import numpy as np

    channels, height, width = SHAPE
    picture, _ = upright(path, (width, height), channels)
    pixels = torch.from_numpy(np.array(picture)).reshape(height, width, channels).permute(2, 0, 1)
    shares, places = net(prepared(pixels[None])).softmax(1)[0].topk(min(top, len(CLASSES)))
    return [(CLASSES[place], share) for place, share in zip(places.tolist(), shares.tolist(), strict=True)]'''

PICTURES_IN = '''\
def pictures_in(paths: list[Path]) -> list[Path]:
    """Name the files, and the picture files in the folders."""
    from PIL import Image

    known = Image.registered_extensions()
    found = [sorted(path.rglob("*")) if path.is_dir() else [path] for path in paths]
    inside = [(path, one) for path, many in zip(paths, found, strict=True) for one in many]
    return [one for path, one in inside if one == path or one.suffix.lower() in known]'''

ARGUMENT = """
    parser.add_argument("pictures", type=Path, nargs="*", metavar="PICTURE", help="files, or folders of them")
    parser.add_argument("--top", type=int, default=5, help="how many classes are told; default: %(default)s")"""

CLASSIFIED = """
    if arguments.pictures:
        try:
            paths = pictures_in(arguments.pictures)
        except ImportError:
            parser.error("to read a picture, pillow and numpy must be installed: pip install pillow numpy")
        broken = 0
        for path in paths:
            try:
                found = classified(net, path, max(1, arguments.top))
            except Exception as error:  # whatever the decoder of a format raises
                broken += 1
                print(f"{path}: cannot be read ({error})", file=sys.stderr)
            else:
                print(f"{path}: {', '.join(f'{name} {100 * share:.1f} %' for name, share in found)}")
        sys.exit(broken > 0)"""

HINT = "; a picture is given without --data"

MAIN = '''\
def main() -> None:
    """Say what the network is and, given test images, how often it is right."""
    parser = argparse.ArgumentParser(description="What this network is, and how often it is right."){argument}
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="default: %(default)s")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a .safetensors file with images and labels")
    arguments = parser.parse_args()
    if not arguments.weights.is_file():
        parser.error(f"there are no weights in {{arguments.weights}}")
    make = "safetensors.torch.save_file({{'images': images, 'labels': labels}}, FILE)"
    wanted = f"{{make}} makes one of images (N, C, H, W) and labels (N)"
    if arguments.data is not None and not arguments.data.is_file():
        parser.error(f"there is no file {{arguments.data}}; {{wanted}}")
    net = load(arguments.weights){picture}
    parameters = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    outputs = net(torch.zeros(1, *SHAPE)).shape[1]
    shape = " x ".join(map(str, SHAPE))
    print(f"{{type(net).__name__}}: {{shape}} -> {{outputs}}, {{parameters:,}} trainable parameters")
    if arguments.data is not None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            data = load_file(arguments.data)
            images, labels = data["images"], data["labels"]
        except (SafetensorError, KeyError, OSError):
            parser.error(f"{{arguments.data}} holds no images and labels; {{wanted}}{hint}")
        print(f"accuracy {{accuracy(net, images, labels):.2f}} % of {{len(labels)}} images")'''

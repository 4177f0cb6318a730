"""How detectors are taken away: what their files say, and how they tell what is in a picture and where."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from ogive import upright as reading
from ogive.networks.detection import Detector, SSDLite
from ogive.networks.plain import Inputs, Plain
from ogive.networks.plain_images import ANY, IO, PICTURES_IN, PREPARED_NORMALISED, SYS, Normalise, constants, entries

__all__ = ["apart", "of_boxes"]

NEAR = 1e-4  # of the least score that is told: such boxes may be told here and not there


def of_boxes(
    shape: tuple[int, ...],
    *,
    classes: Sequence[str],
    normalise: Normalise,
    images: Tensor,
    detections: int,
) -> Plain:
    """For detectors that take images (N, *shape) and tell at most so many `detections` of each.

    `classes` are their names in the order of the numbers that are told, `normalise` the mean and the standard deviation
    of each channel, `images` real ones (N, *shape), as the network takes them, to compare on beside random ones.
    """
    known: dict[str, tuple[object, ...]] = {"shape": shape, "classes": tuple(map(str, classes))}
    known |= {"mean": tuple(map(float, normalise[0])), "std": tuple(map(float, normalise[1]))}
    functions = [inspect.getsource(part).rstrip() for part in vars(reading).values() if inspect.isfunction(part)]
    real = images.detach().to("cpu", torch.float32)
    return Plain(
        takes=f"It takes images of {' × '.join(map(str, shape))}, tells {len(classes)} classes of things in them and "
        f"where they are, at most {detections}, ",
        usage=USAGE,
        constants=constants(known),
        functions=(PREPARED_NORMALISED, *functions, DETECTED, PICTURES_IN, MAIN),
        imports=frozenset({IO, ANY, SYS}),
        facts=known,
        inputs=("images",),
        outputs=("boxes", "scores", "labels"),
        shape=(detections, 4),
        whole=lambda network: Detector(cast(SSDLite, network)),
        difference=apart,
        entries=entries(known, readable=True),
        drawn=lambda count, generator: (torch.randn(count, *shape, generator=generator),),
        real=[((real,), (real,))] if len(real) else [],
    )


def apart(found: Inputs, expected: Inputs) -> float:
    """How far detections are from those nearest of their class, the order of nearly equal scores aside.

    Boxes in pixels and scores count alike. What is told here and not there counts by how much its score is above the
    least that is told, or not at all where that is next to nothing.
    """
    return max(_farthest(found, expected), _farthest(expected, found))


def _farthest(found: Inputs, expected: Inputs) -> float:
    (boxes, scores, labels), (others, other_scores, other_labels) = found, expected
    distance = torch.maximum(
        (boxes[:, :, None] - others[:, None]).abs().amax(3), (scores[:, :, None] - other_scores[:, None]).abs()
    )
    distance = distance.where(labels[:, :, None] == other_labels[:, None], torch.inf).amin(2)
    least = torch.where(labels >= 0, scores, torch.inf).amin(1, keepdim=True)
    counts = (labels >= 0) & (scores > least + NEAR)
    return float(distance.where(counts, 0.0).max())


USAGE = """\
    python NAME.py                           what this network is
    python NAME.py photo.png folder          what is in the pictures and where, which takes pillow and numpy"""

DETECTED = '''\
@torch.inference_mode()
def detected(net: nn.Module, path: Path, least: float = 0.3) -> list[tuple[str, float, tuple[float, ...]]]:
    """Tell what is in a picture file, how sure that is, and its left, top, right and bottom, in pixels of the file."""
    import numpy as np
    from PIL import Image

    channels, height, width = SHAPE
    picture, _ = upright(path, None, channels)
    across, down = picture.width / width, picture.height / height
    resized = np.array(picture.resize((width, height), Image.Resampling.BILINEAR))
    pixels = torch.from_numpy(resized).reshape(height, width, channels).permute(2, 0, 1)
    boxes, scores, labels = (found[0].tolist() for found in net(prepared(pixels[None])))
    sides = (across, down, across, down)
    told = [(score, label, box) for box, score, label in zip(boxes, scores, labels, strict=True) if label >= 0]
    return [
        (CLASSES[label], score, tuple(place * side for place, side in zip(box, sides, strict=True)))
        for score, label, box in told
        if score >= least
    ]'''

MAIN = '''\
def main() -> None:
    """Say what the network is and, given pictures, what is in them."""
    parser = argparse.ArgumentParser(description="What this network is, and what is in pictures.")
    parser.add_argument("pictures", type=Path, nargs="*", metavar="PICTURE", help="files, or folders of them")
    parser.add_argument("--least", type=float, default=0.3, help="the least score that is told; default: %(default)s")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="default: %(default)s")
    arguments = parser.parse_args()
    if not arguments.weights.is_file():
        parser.error(f"there are no weights in {arguments.weights}")
    net = load(arguments.weights)
    parameters = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    print(f"{type(net.network).__name__}: {' x '.join(map(str, SHAPE))} -> boxes of {len(CLASSES)} classes, ", end="")
    print(f"{parameters:,} trainable parameters")
    if arguments.pictures:
        try:
            paths = pictures_in(arguments.pictures)
        except ImportError:
            parser.error("to read a picture, pillow and numpy must be installed: pip install pillow numpy")
        broken = 0
        for path in paths:
            try:
                found = detected(net, path, arguments.least)
            except Exception as error:  # whatever the decoder of a format raises
                broken += 1
                print(f"{path}: cannot be read ({error})", file=sys.stderr)
            else:
                print(f"{path}: {len(found)} found")
                for name, score, box in found:
                    print(f"  {name} {100 * score:.1f} % at {', '.join(f'{place:.0f}' for place in box)}")
        sys.exit(broken > 0)'''

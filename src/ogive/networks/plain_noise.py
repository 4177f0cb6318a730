"""How networks that make images are taken away: their files make pictures out of noise that a number seeds."""

from __future__ import annotations

import torch

from ogive.networks.plain import Plain
from ogive.networks.source import Import

__all__ = ["of_noise"]


def of_noise(latent: int, shape: tuple[int, ...], *, low: float, high: float) -> Plain:
    """For networks that make images (N, *shape) in [-1, 1] out of noise (N, latent).

    `low` and `high` are the values of pixels that -1 and 1 stand for.
    """
    known = {"latent": latent, "shape": shape, "low": low, "high": high}
    return Plain(
        takes=f"It makes images of {' × '.join(map(str, shape))} out of {latent} numbers of noise, ",
        usage=USAGE,
        constants=f"LATENT = {latent}  # numbers of noise of an image\n"
        f"SHAPE = {shape!r}  # channels, height and width of an image\n"
        f"LOW, HIGH = {low!r}, {high!r}  # the values of pixels that -1 and 1 stand for",
        functions=(MADE, STORED, PICTURE, MAIN),
        imports=frozenset(
            {Import("math", None, "math"), Import("struct", None, "struct"), Import("zlib", None, "zlib")}
        ),
        facts=known,
        inputs=("noise",),
        outputs=("images",),
        shape=shape,
        drawn=lambda count, generator: (torch.randn(count, latent, generator=generator),),
    )


USAGE = """\
    python NAME.py                                what this network is
    python NAME.py --out made.png --images 64     a picture of images that it makes"""

MADE = '''\
@torch.inference_mode()
def made(net: nn.Module, count: int, seed: int = 0) -> Tensor:
    """Make so many images (N, *SHAPE) with values in [-1, 1] out of noise that a number seeds."""
    noise = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed))
    return torch.cat([net(part) for part in noise.split(250)])'''

STORED = '''\
def stored(images: Tensor) -> Tensor:
    """Turn values in [-1, 1] into pixels as the training images had them."""
    return ((images + 1) * ((HIGH - LOW) / 2) + LOW).clamp(LOW, HIGH)'''

PICTURE = '''\
def picture(images: Tensor) -> bytes:
    """Write images side by side as one PNG; of images that are neither grey nor coloured, their first channel."""
    shown = images if images.shape[1] in (1, 3) else images[:, :1]
    count, channels, height, width = shown.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = torch.full((rows, columns, channels, height, width), 255, dtype=torch.uint8)
    sheet.view(-1, channels, height, width)[:count] = ((shown.clamp(-1, 1) + 1) * 127.5).round().byte()
    pixels = sheet.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width * channels)
    lines = b"".join(b"\\0" + bytes(line) for line in pixels.tolist())  # 0: no filter of the line
    size = struct.pack(">IIBBBBB", columns * width, rows * height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    png = b"\\x89PNG\\r\\n\\x1a\\n"
    for name, content in ((b"IHDR", size), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")):
        png += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return png'''

MAIN = '''\
def main() -> None:
    """Say what the network is and, given a name, draw a picture of what it makes."""
    parser = argparse.ArgumentParser(description="What this network is, and a picture of what it makes.")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a .png file to be written")
    parser.add_argument("--images", type=int, default=64, metavar="N", help="how many; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise; default: %(default)s")
    arguments = parser.parse_args()
    if not arguments.weights.is_file():
        parser.error(f"there are no weights in {arguments.weights}")
    if arguments.images < 1:
        parser.error(f"--images must be at least 1, but got {arguments.images}")
    net = load(arguments.weights)
    parameters = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    print(f"{type(net).__name__}: {LATENT} -> {' x '.join(map(str, SHAPE))}, {parameters:,} trainable parameters")
    if arguments.out is not None:
        arguments.out.write_bytes(picture(made(net, arguments.images, arguments.seed)))
        print(f"{arguments.images} images in {arguments.out}")'''

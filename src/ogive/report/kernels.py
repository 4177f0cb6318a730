"""What NASWOT sees: the kernels of a good, a middling and a poor network as pictures beside each other."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.report.markup import Html, joined, tag
from ogive.report.wording import number
from ogive.tables.kernels import Kernel

__all__ = ["heat_map", "kernels_section"]

Picture = Callable[[Architecture], str | None]

# From few units in common to all: colours of one hue family, evenly darker to the eye.
STOPS = ((247, 251, 255), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 48, 107), (3, 19, 43))


def kernels_section(
    kernels: Sequence[Kernel], told: Mapping[Architecture, Sequence[str]], picture: Picture, source: str
) -> Html:
    """The section of the page. `told` holds lines about each architecture, `source` where the kernels are kept."""
    named = {1: ("the network",), 2: ("better", "poorer")}.get(len(kernels), ("good", "middling", "poor"))
    low = math.floor(20 * min(float(kernel.shares.min()) for kernel in kernels)) / 20
    pairs = zip(named, kernels, strict=True)
    cards = [_card(name, kernel, told.get(kernel.arch, ()), picture, low) for name, kernel in pairs]
    explained = (
        f"Each square compares the same {len(kernels[0].labels)} images two by two: the pixel in row i and column j is "
        "the share of the untrained network's ReLU units that are in the same state, on or off, for images i and j. "
        "Dark off the diagonal are images that the network takes for alike. NASWOT is the logarithm of the determinant "
        "of these numbers of units: it is large where there are many units and the ground is even."
    )
    kept = joined("Source: ", tag("code", source), ", one byte for each pair of images.")
    return tag(
        "section",
        tag("h2", "What NASWOT sees"),
        tag("p", explained),
        tag("div", cards, class_="kernels"),
        _bar(low),
        tag("div", kept, class_="source"),
        id="kernels",
    )


def _card(name: str, kernel: Kernel, told: Sequence[str], picture: Picture, low: float) -> Html:
    said = f"two images agree in {100 * kernel.agreement:.0f} % of {number(kernel.units)} ReLU units on average"
    drawn = picture(kernel.arch)
    image = tag_image(heat_map(kernel.shares, low), f"{name}: {said}")
    lines = [*told, said]
    return tag(
        "figure",
        tag("h3", name),
        tag(
            "div", tag("span", "image i"), image, tag("span", "image j, both in the order of the classes"), class_="map"
        ),
        tag("figcaption", tag("ul", [tag("li", line) for line in lines])),
        tag("div", Html(drawn), class_="picture") if drawn else None,
        tag("code", str(kernel.arch)),
    )


def _bar(low: float) -> Html:
    """What the colours mean, from the lowest share of all kernels to one."""
    colours = heat_map(np.linspace(low, 1, 256)[None, :], low)
    ends = [tag("span", f"{100 * low:.0f} %"), tag_image(colours, "the scale of colours"), tag("span", "100 %")]
    return tag("div", tag("span", "units in the same state"), ends, class_="colourbar")


def tag_image(png: bytes, words: str) -> Html:
    """A picture inside the page, with words for those who cannot see it."""
    text = base64.b64encode(png).decode()
    return tag("img", src=f"data:image/png;base64,{text}", alt=words)


def heat_map(shares_BB: npt.NDArray[np.float64], low: float) -> bytes:
    """A PNG with one pixel for each entry, coloured from `low` to 1."""
    span = max(1 - low, 1e-9)
    indices = np.rint(255 * np.clip((shares_BB - low) / span, 0, 1)).astype(np.uint8)
    height, width = indices.shape
    rows = np.hstack([np.zeros((height, 1), np.uint8), indices]).tobytes()  # each row begins with its filter, none
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (b"IHDR", header), (b"PLTE", _palette()), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@cache
def _palette() -> bytes:
    places = np.linspace(0, len(STOPS) - 1, 256)
    channels = [np.interp(places, range(len(STOPS)), channel) for channel in zip(*STOPS, strict=True)]
    colours: bytes = np.rint(np.stack(channels, axis=1)).astype(np.uint8).tobytes()
    return colours

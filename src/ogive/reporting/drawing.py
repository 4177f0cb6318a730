"""Draws directed graphs as small self-contained SVG texts: boxes in layers, a colour for each family of operations.

The four steps of Sugiyama, Tagawa and Toda (1981): layers by the longest path, stand-ins where an edge passes a layer,
orders by barycentres, places by least squares under a minimum distance. All deterministic; lengths are in pixels. Lines
and inputs take the colour of the text around the picture, so a picture suits a light and a dark page.
"""

from __future__ import annotations

import html
import itertools
import re
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ogive.core.graph import Graph

__all__ = [
    "BOX",
    "GAP",
    "MARGIN",
    "OUTLINE",
    "Layout",
    "box_at",
    "colour_of",
    "draw_boxes",
    "draw_lines",
    "draw_pills",
    "family",
    "group",
    "label",
    "pill_width",
    "place",
    "short",
    "svg",
    "svg_document",
    "text_at",
]

# The first pattern that is found decides. White on each of these colours has a contrast of at least 4.5 : 1.
FAMILIES: tuple[tuple[str, str, str], ...] = (
    ("none", r"^(none|zero|zeroize)$", "none"),
    ("ends", r"^(input|output|in|out)\d*$|^(input|output)[_ ]", "none"),
    ("skip", r"skip|identity|^id$|residual", "#68707c"),
    ("join", r"^(add|sum|mean|concat|cat|mul|join|merge|stack|preprocess|state)", "#4a5462"),
    ("pool", r"pool|avg|max", "#b34700"),
    ("dilated conv", r"dil", "#95497a"),
    ("separable conv", r"sep|dw|depthwise|mbconv|mb_?conv|group|^inverted", "#087556"),
    ("conv", r"conv|^\dx\d$|bottleneck", "#0a64a8"),
    ("activation", r"^(tanh|relu|sigmoid)$", "#8c3b3b"),
    ("dense", r"linear|dense|fc|attention|msa|classif|lstm|gru|rnn", "#7a5b00"),
)
OTHER = ("other", "#5b4db0")

BOX = 26.0
GAP = 30.0
MARGIN = 10.0
LETTER = 6.7
OUTLINE = ' stroke="currentColor" stroke-width="1.4"'
# Beyond so many nodes the labels would be unreadable and the text large: nodes become dots.
LABELLED = 60
SWEEPS = 12
# A line that passes between two boxes needs this much room.
PASSAGE = 14.0


def svg(graph: Graph, *, title: str) -> str:
    """The graph from top to bottom, one labelled box a node, coloured by family of operation.

    Graphs of more than 60 nodes are drawn with dots instead of boxes.
    """
    if len(graph) > LABELLED:
        return _dotted(graph, title)
    width, height, body = draw_boxes(graph, [label(op) for op in graph.ops])
    return svg_document(width, height, title, body)


def family(op: str) -> str:
    """The family of operations that a label belongs to, such as "pool"; "other" where no rule fits."""
    return next((name for name, pattern, _ in FAMILIES if re.search(pattern, op.lower())), OTHER[0])


def label(op: str) -> str:
    """The label of an operation as people write it: ``nor_conv_3x3`` becomes "conv 3×3"."""
    text = re.sub(r"-bn-relu$", "", op).replace("_", " ")
    text = re.sub(r"^nor ", "", text)
    text = re.sub(r"^(sep|dil) conv ", r"\1 ", text)
    text = re.sub(r"(?<=[a-z])(?=\d+x\d)", " ", text)
    text = re.sub(r"(\d)x(\d)", r"\1×\2", text)
    text = {"skip connect": "identity", "maxpool 3×3": "max pool 3×3"}.get(text, text)
    return text if len(text) <= 24 else text[:23] + "…"


# -- boxes and lines --------------------------------------------------------------------------------------------------


def draw_boxes(graph: Graph, labels: Sequence[str]) -> tuple[float, float, str]:
    """Width, height and content of a picture with a box for every node."""
    widths = [max(BOX, len(text) * LETTER + 16) for text in labels]
    layout = place(graph, widths, box=BOX, gap=GAP)
    points = [(x + MARGIN, y + MARGIN) for x, y in layout.nodes]
    groups: dict[str, list[str]] = {}
    for (x, y), width, op in zip(points, widths, graph.ops, strict=True):
        groups.setdefault(colour_of(op), []).append(box_at(x, y, width))
    hollow = {node for node, op in enumerate(graph.ops) if colour_of(op) == "none"}
    texts = [text_at(x, y, text) for (x, y), text in zip(points, labels, strict=True)]
    body = [
        draw_lines(layout.routes.values()),
        *(group(colour, rects, OUTLINE if colour == "none" else "") for colour, rects in sorted(groups.items())),
        group("#fff", [text for node, text in enumerate(texts) if node not in hollow]),
        group("currentColor", [texts[node] for node in sorted(hollow)]),
    ]
    return layout.width + 2 * MARGIN, layout.height + 2 * MARGIN, "".join(body)


def draw_lines(routes: Iterable[Sequence[tuple[float, float]]]) -> str:
    """Smooth lines through the points of each route, with arrow heads."""
    curves, heads = [], []
    for route in routes:
        (x, y), *rest = [(x + MARGIN, y + MARGIN) for x, y in route]
        y += BOX / 2
        curve = [f"M{short(x)} {short(y)}"]
        for rank, (to_x, to_y) in enumerate(rest, start=1):
            to_y -= BOX / 2
            curve.append(_bend(x, y, to_x, to_y))
            x, y = to_x, to_y
            if rank < len(rest):
                y = to_y + BOX
                curve.append(f"V{short(y)}")
        curves.append("".join(curve))
        heads.append(f"M{short(x - 4)} {short(y - 7)}l4 7 4-7z")
    lines = f'<path d="{"".join(curves)}" fill="none" stroke="currentColor" stroke-opacity=".6" stroke-width="1.4"/>'
    return lines + f'<path d="{"".join(heads)}" fill="currentColor" fill-opacity=".75"/>' if curves else ""


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    if abs(x - to_x) < 0.5:
        return f"V{short(to_y)}"
    half = (y + to_y) / 2
    return f"C{short(x)} {short(half)} {short(to_x)} {short(half)} {short(to_x)} {short(to_y)}"


def _dotted(graph: Graph, title: str) -> str:
    """A large graph: a dot a node, one path for all lines and one for all dots of a family."""
    layout = place(graph, [8.0] * len(graph), box=8.0, gap=8.0, across=5.0)
    lines = ["M" + "L".join(f"{x + MARGIN:.0f} {y + MARGIN:.0f}" for x, y in route) for route in layout.routes.values()]
    dots: dict[str, list[str]] = {}
    for (x, y), op in zip(layout.nodes, graph.ops, strict=True):
        dots.setdefault(colour_of(op), []).append(f"M{x + MARGIN:.0f} {y + MARGIN:.0f}h0")
    body = [f'<path d="{"".join(lines)}" fill="none" stroke="currentColor" stroke-opacity=".4"/>']
    for colour, marks in sorted(dots.items()):
        ink = "currentColor" if colour == "none" else colour
        body.append(f'<path d="{"".join(marks)}" stroke="{ink}" stroke-width="8" stroke-linecap="round"/>')
    body.append(group("currentColor", _legend(graph.ops, layout.height + 2 * MARGIN), ' text-anchor="start"'))
    return svg_document(max(layout.width, 260.0) + 2 * MARGIN, layout.height + 2 * MARGIN + 34, title, "".join(body))


def _legend(ops: Iterable[str], y: float) -> str:
    present = sorted({family(op) for op in ops} - {"none", "ends"})
    colours = {name: colour for name, _, colour in FAMILIES} | {OTHER[0]: OTHER[1]}
    spans = "".join(f'<tspan fill="{colours[name]}">● </tspan>{html.escape(name)}  ' for name in present)
    return f'<text x="{short(MARGIN)}" y="{short(y + 12)}">{spans}</text>'


def draw_pills(pills: Iterable[tuple[float, float, float, str]]) -> str:
    """Rounded boxes of a given width around the names of operations; that of the missing one is an outline."""
    rects: list[str] = []
    texts: dict[str, list[str]] = {"#fff": [], "currentColor": []}
    for x, y, width, op in pills:
        corner = f'x="{short(x - width / 2)}" y="{short(y - 11)}"'
        colour = colour_of(op)
        ink = ' stroke="currentColor" stroke-opacity=".5" stroke-dasharray="2 3"' if colour == "none" else ""
        rects.append(f'<rect {corner} width="{short(width)}" height="22" rx="11" fill="{colour}"{ink}/>')
        texts["currentColor" if ink else "#fff"].append(text_at(x, y, label(op)))
    return "".join([*rects, *(group(ink, lines) for ink, lines in texts.items() if lines or ink == "#fff")])


def pill_width(op: str) -> float:
    """How wide the rounded box around the name of an operation is."""
    return len(label(op)) * LETTER + 18


def box_at(x: float, y: float, width: float) -> str:
    """A box around its centre."""
    corner = f'x="{short(x - width / 2)}" y="{short(y - BOX / 2)}"'
    return f'<rect {corner} width="{short(width)}" height="{short(BOX)}" rx="6"/>'


def colour_of(op: str) -> str:
    """The colour of an operation's family."""
    name = family(op)
    return next((colour for known, _, colour in FAMILIES if known == name), OTHER[1])


def group(fill: str, parts: Iterable[str], style: str = "") -> str:
    """Parts of one colour."""
    return f'<g fill="{fill}"{style}>{"".join(parts)}</g>'


def text_at(x: float, y: float, text: str) -> str:
    """A text around its centre."""
    return f'<text x="{short(x)}" y="{short(y + 4)}">{html.escape(text)}</text>'


def svg_document(width: float, height: float, title: str, body: str) -> str:
    """The whole picture."""
    shape = f'viewBox="0 0 {short(width)} {short(height)}" width="{short(width)}" height="{short(height)}"'
    fonts = 'font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif" font-size="12" text-anchor="middle"'
    named = html.escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} {fonts} role="img" aria-label="{named}">'
        f"<title>{named}</title>{body}</svg>"
    )


def short(value: float) -> str:
    """A coordinate with at most one decimal, written as short as can be."""
    text = f"{value + 0.0:.1f}"
    return text[:-2] if text.endswith(".0") else text


# -- places -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are: `nodes[i]` is the centre of node i, `routes[edge]` the points that its line passes.

    Lines leave and enter every point of a route vertically, from the top of the picture to its bottom.
    """

    width: float
    height: float
    nodes: tuple[tuple[float, float], ...]
    routes: dict[tuple[int, int], tuple[tuple[float, float], ...]]


def place(
    graph: Graph,
    widths: Sequence[float],
    *,
    box: float,
    gap: float,
    across: float = 18.0,
    layers: Sequence[int] | None = None,
) -> Layout:
    """Lay out `graph` from top to bottom in boxes of the given widths, `box` high and `gap` apart.

    `across` is the smallest distance between neighbours of one layer. `layers` says on which layer each node stands,
    every edge leading downwards and no layer empty; without it, the longest path to a node does.
    """
    if len(graph) == 0:
        return Layout(0.0, 0.0, (), {})
    chain = _Chains(graph, _layers(graph) if layers is None else list(layers))
    sizes = [*widths, *[PASSAGE] * (len(chain.layer) - len(graph))]
    order = _ordered(chain)
    x = _spread(chain, order, sizes, across)
    left = min(x[node] - sizes[node] / 2 for node in range(len(x)))
    right = max(x[node] + sizes[node] / 2 for node in range(len(x)))
    points = [(x[node] - left, chain.layer[node] * (box + gap) + box / 2) for node in range(len(x))]
    routes = {edge: tuple(points[node] for node in nodes) for edge, nodes in chain.routes.items()}
    height = max(chain.layer) * (box + gap) + box
    return Layout(right - left, height, tuple(points[: len(graph)]), routes)


class _Chains:
    """The graph with a stand-in node on every layer that an edge passes, so that each link joins two layers."""

    def __init__(self, graph: Graph, layers: list[int]) -> None:
        self.layer = layers
        self.routes: dict[tuple[int, int], list[int]] = {}
        self.real = len(graph)
        links: list[tuple[int, int]] = []
        for source, target in sorted(graph.edges):
            route = [source]
            for layer in range(self.layer[source] + 1, self.layer[target]):
                self.layer.append(layer)
                route.append(len(self.layer) - 1)
            route.append(target)
            self.routes[source, target] = route
            links += itertools.pairwise(route)
        self.above: list[list[int]] = [[] for _ in self.layer]
        self.below: list[list[int]] = [[] for _ in self.layer]
        for upper, lower in links:
            self.below[upper].append(lower)
            self.above[lower].append(upper)


def _layers(graph: Graph) -> list[int]:
    """Longest path from a root; a root that is no input stands right above the first node that it feeds."""
    layer = [0] * len(graph)
    feeds: list[list[int]] = [[] for _ in range(len(graph))]
    for source, target in sorted(graph.edges, key=lambda edge: (edge[1], edge[0])):
        layer[target] = max(layer[target], layer[source] + 1)
        feeds[source].append(target)
    fed = {target for _, target in graph.edges}
    for node, op in enumerate(graph.ops):
        if node not in fed and feeds[node] and not op.startswith("input"):
            layer[node] = min(layer[target] for target in feeds[node]) - 1
    return layer


def _ordered(chain: _Chains) -> list[list[int]]:
    """The nodes of every layer from left to right: the best of some sweeps down and up by barycentres."""
    rows: list[list[int]] = [[] for _ in range(max(chain.layer) + 1)]
    for node, layer in enumerate(chain.layer):
        rows[layer].append(node)
    best, fewest = [row[:] for row in rows], _crossings(chain, rows)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        towards = chain.above if down else chain.below
        place = {node: float(rank) for row in rows for rank, node in enumerate(row)}
        for row in rows if down else reversed(rows):
            centre = {node: _mean([place[other] for other in towards[node]], place[node]) for node in row}
            row.sort(key=centre.__getitem__)
            place.update({node: float(rank) for rank, node in enumerate(row)})
        count = _crossings(chain, rows)
        if count < fewest:
            best, fewest = [row[:] for row in rows], count
    return best


def _crossings(chain: _Chains, rows: Sequence[Sequence[int]]) -> int:
    return sum(_crossings_between(chain, above, row) for above, row in itertools.pairwise(rows))


def _crossings_between(chain: _Chains, above: Sequence[int], row: Sequence[int]) -> int:
    place = {node: rank for rank, node in enumerate(above)}
    seen: list[int] = []
    total = 0
    for node in row:
        ends = sorted(place[other] for other in chain.above[node])
        total += sum(len(seen) - bisect_right(seen, end) for end in ends)
        for end in ends:
            insort(seen, end)
    return total


def _spread(chain: _Chains, order: Sequence[Sequence[int]], sizes: Sequence[float], across: float) -> list[float]:
    """Places across, drawn towards the neighbours above and below in turn; stand-ins pull harder than boxes."""
    x = [0.0] * len(sizes)
    for row in order:
        start = 0.0
        for node in row:
            x[node] = start + sizes[node] / 2
            start += sizes[node] + across
        for node in row:
            x[node] -= (start - across) / 2
    for sweep in range(2 * SWEEPS):
        for row in order if sweep % 2 == 0 else list(reversed(order)):
            wanted = [_mean([x[other] for other in (*chain.above[n], *chain.below[n])], x[n]) for n in row]
            weights = [4.0 if node >= chain.real else 1.0 for node in row]
            for node, value in zip(row, _apart(wanted, weights, [sizes[n] for n in row], across), strict=True):
                x[node] = value
    return x


def _apart(wanted: Sequence[float], weights: Sequence[float], sizes: Sequence[float], across: float) -> list[float]:
    """The places nearest to the wanted ones (weighted squares) that keep the order and the distances.

    Subtracting the smallest possible places turns the distances into plain monotony: isotonic regression, solved by
    pooling adjacent violators.
    """
    packed = [0.0]
    for left, right in itertools.pairwise(sizes):
        packed.append(packed[-1] + (left + right) / 2 + across)
    pools: list[tuple[float, float, int]] = []
    for value, weight, offset in zip(wanted, weights, packed, strict=True):
        pool = (value - offset, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, mass, count = pools.pop()
            joined = mass + pool[1]
            pool = ((mean * mass + pool[0] * pool[1]) / joined, joined, count + pool[2])
        pools.append(pool)
    levels = [mean for mean, _, count in pools for _ in range(count)]
    return [level + offset for level, offset in zip(levels, packed, strict=True)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise

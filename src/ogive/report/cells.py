"""Pictures of architectures as small self-contained SVG texts, drawn without any other program.

Operations of one family have one colour (Okabe and Ito's palette, darkened so that white letters on it can be read),
lines and inputs take the colour of the text around the picture, so a picture suits a light and a dark page.
The same architecture always gives the same bytes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from ogive.core.architecture import Architecture
from ogive.core.graph import Graph
from ogive.core.space import SearchSpace
from ogive.report.layered import Layout, place
from ogive.spaces import nds, nds_residual
from ogive.spaces.darts import CONCAT, Cell, Entry, Kind, cell_of
from ogive.spaces.ddarts import genotype_of
from ogive.spaces.nasbench201 import EDGES, OPS
from ogive.spaces.natssize import LAYERS, widths_of
from ogive.spaces.nested import NestedGenotype, nodes_of
from ogive.spaces.unrestricted import UNRESTRICTED, outline_of_architecture

__all__ = ["family", "label", "picture", "svg"]

# The first pattern that is found decides. White on each of these colours has a contrast of at least 4.5 : 1.
FAMILIES: tuple[tuple[str, str, str], ...] = (
    ("none", r"^(none|zero|zeroize)$", "none"),
    ("ends", r"^(input|output|in|out)\d*$|^(input|output)[_ ]|^c_\{", "none"),
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
# How wide the boxes of inputs and outputs are in the picture of a DARTS cell.
END = 70.0
# How many cells stand beside each other.
ROW = 4
OUTLINE = ' stroke="currentColor" stroke-width="1.4"'
# Beyond so many nodes the labels would be unreadable and the text large: nodes become dots.
LABELLED = 60


def svg(graph: Graph, *, title: str) -> str:
    """The graph from top to bottom, one labelled box a node, coloured by family of operation.

    Graphs of more than 60 nodes are drawn with dots instead of boxes.
    """
    if len(graph) > LABELLED:
        return _dotted(graph, title)
    width, height, body = _boxes(graph, [label(op) for op in graph.ops])
    return _document(width, height, title, body)


def picture(space: SearchSpace, arch: Architecture) -> str:
    """The picture that suits the space best; for a space without one of its own, its graph."""
    draw = PICTURES.get(space.name, _of_graph)
    return draw(space, arch)


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


# -- the pictures of particular spaces --------------------------------------------------------------------------------


def _of_graph(space: SearchSpace, arch: Architecture) -> str:
    return svg(space.draw(arch), title=f"{arch}")


def _pruned(space: SearchSpace, arch: Architecture) -> str:
    return svg(space.draw(arch).pruned(), title=f"{arch}, without what does not reach the output")


def _nasbench201(space: SearchSpace, arch: Architecture) -> str:
    """Four nodes in a row; the six operations sit on the edges between them, as in the paper's figure 1."""
    edges = {edge: OPS[int(choice)] for edge, choice in zip(EDGES, arch.choices, strict=True)}
    step, middle, radius = 146.0, 122.0, 13.0
    x = [MARGIN + radius + step * node for node in range(4)]
    # How high above (or below) the row the line of an edge bends; neighbours are joined by a straight line.
    bends = {(0, 2): -74.0, (1, 3): 74.0, (0, 3): -146.0}
    lines, pills = [], []
    for (source, target), op in sorted(edges.items()):
        bend = bends.get((source, target), 0.0)
        lines.append(_arc(x[source], x[target], middle, bend, radius, op))
        # A cubic with both handles at `bend` reaches three quarters of it.
        if family(op) != "none":
            pills.append(((x[source] + x[target]) / 2, middle + 0.75 * bend, _pill_width(op), op))
    circles = "".join(f'<circle cx="{_n(at)}" cy="{_n(middle)}" r="{_n(radius)}"/>' for at in x)
    names = "".join(_text(at, middle, name) for at, name in zip(x, ("in", "1", "2", "out"), strict=True))
    body = (
        "".join(lines)
        + f'<g fill="none" stroke="currentColor" stroke-width="1.4">{circles}</g>'
        + f'<g fill="currentColor">{names}</g>'
        + _pills(pills)
    )
    said = ", ".join(f"{source} to {target} {label(op)}" for (source, target), op in sorted(edges.items()))
    return _document(x[-1] + radius + MARGIN, 190.0, f"{arch}: {said}", body)


def _arc(start: float, end: float, middle: float, bend: float, radius: float, op: str) -> str:
    """One edge with its arrow head; the missing operation is a faint dotted line."""
    colour = _colour(op)
    style = f'stroke="{colour}" stroke-width="2"'
    if family(op) == "none":
        style = 'stroke="currentColor" stroke-opacity=".3" stroke-dasharray="2 5"'
    if bend == 0.0:
        path = f"M{_n(start + radius)} {_n(middle)}H{_n(end - radius)}"
        head = f"M{_n(end - radius - 8)} {_n(middle - 5)}l8 5-8 5z"
    else:
        side = -1 if bend < 0 else 1
        edge = middle + side * radius
        handle = _n(middle + bend)
        path = f"M{_n(start)} {_n(edge)}C{_n(start)} {handle} {_n(end)} {handle} {_n(end)} {_n(edge)}"
        head = f"M{_n(end - 5)} {_n(edge + side * 8)}l5 {-8 * side} 5 {8 * side}z"
    arrow = "" if family(op) == "none" else f'<path d="{head}" fill="{colour}"/>'
    return f'<path d="{path}" fill="none" {style}/>{arrow}'


def _natssize(space: SearchSpace, arch: Architecture) -> str:
    """A row of bars, one a layer, as high as the layer is wide."""
    channels = widths_of(arch)
    return _bars(channels, [(layer,) for layer in LAYERS], f"{arch}: channels {', '.join(map(str, channels))}")


def _residual(space: SearchSpace, arch: Architecture) -> str:
    """A row of bars, one a stage, as high as the stage is wide."""
    stages = nds_residual.stages_of(arch)
    names = []
    for stage in stages:
        blocks = f"{stage.depth} block{'s' if stage.depth > 1 else ''}"
        grouped = (f"ratio {stage.ratio}", f"{stage.groups} group{'s' if stage.groups > 1 else ''}")
        names.append((blocks, *grouped) if stage.ratio else (blocks,))
    said = ", ".join(f"{' '.join(lines)} of {stage.width}" for stage, lines in zip(stages, names, strict=True))
    return _bars([stage.width for stage in stages], names, f"{arch}: {said}")


def _bars(values: Sequence[int], names: Sequence[tuple[str, ...]], title: str) -> str:
    """Bars of the values, each with its number above and the lines of its name below."""
    step, bar, tall, base = 72.0, 40.0, 130.0, 156.0
    rects, texts = [], []
    for rank, (value, lines) in enumerate(zip(values, names, strict=True)):
        x, height = MARGIN + 12 + step * rank, tall * value / max(*values, 64)
        rects.append(f'<rect x="{_n(x)}" y="{_n(base - height)}" width="{_n(bar)}" height="{_n(height)}" rx="3"/>')
        texts.append(_text(x + bar / 2, base - height - 10, str(value)))
        texts += [_text(x + bar / 2, base + 14 * line, text) for line, text in enumerate(lines, start=1)]
    right = MARGIN + 24 + step * (len(values) - 1) + bar
    axis = f'<path d="M{_n(MARGIN)} {_n(base)}H{_n(right)}" stroke="currentColor" stroke-opacity=".5"/>'
    body = f'<g fill="{_colour("conv")}">{"".join(rects)}</g><g fill="currentColor">{"".join(texts)}</g>{axis}'
    return _document(right + MARGIN, base + 16 + 14 * max(map(len, names)), title, body)


def _darts(space: SearchSpace, arch: Architecture) -> str:
    """The normal and the reduction cell side by side."""
    return _pair([(cell_of(arch, kind), CONCAT) for kind in CAPTIONS], f"{arch}: {space.format(arch)}", "")


def _nds(space: SearchSpace, arch: Architecture) -> str:
    """The normal and the reduction cell side by side, with the width and the number of cells."""
    width, depth = nds.size_of(arch)
    cells = [(nds.cell_of(arch, kind), nds.concat_of(arch, kind)) for kind in CAPTIONS]
    return _pair(cells, f"{arch}: {space.format(arch)}", f", {depth} cells, width {width}")


CAPTIONS: dict[Kind, str] = {"normal": "normal cell", "reduce": "reduction cell"}


def _pair(cells: Sequence[tuple[Cell, Sequence[int]]], title: str, size: str) -> str:
    """A normal and a reduction cell, each with the states of its output; `size` follows the caption of the first."""
    drawn = []
    for (pairs, joined), caption in zip(cells, (f"{CAPTIONS['normal']}{size}", CAPTIONS["reduce"]), strict=True):
        sums = {2 + first // 2: pairs[first : first + 2] for first in range(0, len(pairs), 2)}
        drawn.append((caption, _cell_of_sums(sums, joined)))
    return _document(*_side_by_side(drawn, title))


def _nested(space: SearchSpace, arch: Architecture) -> str:
    """All distinct cells, four to a row."""
    return _nested_cells(arch, genotype_of(arch))


def _dense(space: SearchSpace, arch: Architecture) -> str:
    """The same of cells with any operations on an edge."""
    return _nested_cells(arch, outline_of_architecture(arch).genotype(arch))


def _nested_cells(arch: Architecture, genotype: NestedGenotype) -> str:
    reducing = {genotype.layers[layer] for layer in genotype.halving}
    cells = []
    for number, cell in enumerate(genotype.cells):
        sums = {node: [(op, state) for op, to, state in cell if to == node] for node in nodes_of(cell)}
        caption = f"cell {number}, reduction" if number in reducing else f"cell {number}"
        cells.append((caption, _cell_of_sums(sums, tuple(sums))))
    return _document(*_side_by_side(cells, f"{arch}: {len(cells)} cells"))


def _side_by_side(cells: Sequence[tuple[str, tuple[float, float, str]]], title: str) -> tuple[float, float, str, str]:
    """Rows of up to four captioned pictures: width, height, title and content."""
    across, down, parts = 0.0, 0.0, []
    for start in range(0, len(cells), ROW):
        x, tall = 0.0, 0.0
        for caption, (width, height, body) in cells[start : start + ROW]:
            heading = f'<g fill="currentColor" font-weight="600">{_text(width / 2, 14, caption)}</g>'
            moved = f"translate({_n(x)} {_n(down)})" if down else f"translate({_n(x)})"
            parts.append(f'<g transform="{moved}">{heading}<g transform="translate(0 22)">{body}</g></g>')
            x, tall = x + width + 10, max(tall, height + 22)
        across, down = max(across, x - 10), down + tall
    return across, down, title, "".join(parts)


def _cell_of_sums(sums: Mapping[int, Sequence[Entry]], joined: Sequence[int]) -> tuple[float, float, str]:
    """One cell: two inputs, for each node the one or two operations that it adds on a layer of its own, and concat.

    `joined` are the states that make the output.
    """
    # Room for the plus sign between two.
    halves = [max(_pill_width(op) for op, _ in entries) + 14 for entries in sums.values()]
    last = len(sums) + 2
    place_of = {0: 0, 1: 1, **{node: 2 + rank for rank, node in enumerate(sums)}}
    edges = {(place_of[source], place_of[node]) for node, entries in sums.items() for _, source in entries}
    edges |= {(place_of[state], last) for state in joined}
    graph = Graph(("input", "input", *["sum"] * len(sums), "output"), frozenset(edges))
    widths = [END, END, *(len(entries) * half for entries, half in zip(sums.values(), halves, strict=True)), END]
    layout = place(graph, widths, box=BOX, gap=GAP, layers=[0, 0, *range(1, len(sums) + 2)])
    routes = [layout.routes[place_of[state], last] for state in joined]
    pills, signs = [], []
    for node, (entries, half) in enumerate(zip(sums.values(), halves, strict=True), start=2):
        x, y = layout.nodes[node]
        lines = [(layout.routes[place_of[source], node], op) for op, source in entries]
        # The operation whose line comes from the left stands on the left.
        ordered = sorted((line[-2][0], rank) for rank, (line, _) in enumerate(lines))
        for column, (_, rank) in enumerate(ordered):
            line, op = lines[rank]
            at = x + (column - (len(lines) - 1) / 2) * half
            routes.append((*line[:-1], (at, y)))
            pills.append((at + MARGIN, y + MARGIN, half - 1, op))
        if len(lines) > 1:
            signs.append((x + MARGIN, y + MARGIN))
    body = (
        _lines(routes) + _pills(pills) + _signs(signs) + _ends(layout, {0: "cell k−2", 1: "cell k−1", last: "concat"})
    )
    return layout.width + 2 * MARGIN, layout.height + 2 * MARGIN, body


def _darts_rnn(space: SearchSpace, arch: Architecture) -> str:
    """One moment of the recurrent cell, from its input and the output of the moment before to its output."""
    graph = space.draw(arch)
    width, height, body = _boxes(graph, ["x(t), h(t−1)", *map(label, graph.ops[1:-1]), "h(t)"])
    return _document(width, height, f"{arch}: {space.format(arch)}", body)


def _signs(points: Sequence[tuple[float, float]]) -> str:
    circles = "".join(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="8"/>' for x, y in points)
    texts = "".join(_text(x, y, "+") for x, y in points)
    return f'<g fill="{_colour("sum")}" stroke="#fff">{circles}</g><g fill="#fff" font-weight="700">{texts}</g>'


def _ends(layout: Layout, names: dict[int, str]) -> str:
    rects, texts = [], []
    for node, name in names.items():
        x, y = layout.nodes[node][0] + MARGIN, layout.nodes[node][1] + MARGIN
        rects.append(_box(x, y, END))
        texts.append(_text(x, y, name))
    return f'<g fill="none"{OUTLINE}>{"".join(rects)}</g><g fill="currentColor">{"".join(texts)}</g>'


PICTURES: dict[str, Callable[[SearchSpace, Architecture], str]] = {
    "nasbench101": _pruned,
    "nasbench201": _nasbench201,
    "natssize": _natssize,
    "darts": _darts,
    "darts_rnn": _darts_rnn,
    **dict.fromkeys(nds.FAMILIES, _nds),
    **dict.fromkeys(nds_residual.BLOCKS, _residual),
    "ddarts": _nested,
    "dartopti": _nested,
    **dict.fromkeys(UNRESTRICTED, _dense),
}


# -- boxes and lines --------------------------------------------------------------------------------------------------


def _boxes(graph: Graph, labels: Sequence[str]) -> tuple[float, float, str]:
    """Width, height and content of a picture with a box for every node."""
    widths = [max(BOX, len(text) * LETTER + 16) for text in labels]
    layout = place(graph, widths, box=BOX, gap=GAP)
    points = [(x + MARGIN, y + MARGIN) for x, y in layout.nodes]
    groups: dict[str, list[str]] = {}
    for (x, y), width, op in zip(points, widths, graph.ops, strict=True):
        groups.setdefault(_colour(op), []).append(_box(x, y, width))
    hollow = {node for node, op in enumerate(graph.ops) if _colour(op) == "none"}
    texts = [_text(x, y, text) for (x, y), text in zip(points, labels, strict=True)]
    body = [
        _lines(layout.routes.values()),
        *(
            f'<g fill="{colour}"{OUTLINE if colour == "none" else ""}>{"".join(rects)}</g>'
            for colour, rects in sorted(groups.items())
        ),
        f'<g fill="#fff">{"".join(text for node, text in enumerate(texts) if node not in hollow)}</g>',
        f'<g fill="currentColor">{"".join(texts[node] for node in sorted(hollow))}</g>',
    ]
    return layout.width + 2 * MARGIN, layout.height + 2 * MARGIN, "".join(body)


def _lines(routes: Iterable[Sequence[tuple[float, float]]]) -> str:
    curves, heads = [], []
    for route in routes:
        (x, y), *rest = [(x + MARGIN, y + MARGIN) for x, y in route]
        y += BOX / 2
        curve = [f"M{_n(x)} {_n(y)}"]
        for rank, (to_x, to_y) in enumerate(rest, start=1):
            to_y -= BOX / 2
            curve.append(_bend(x, y, to_x, to_y))
            x, y = to_x, to_y
            if rank < len(rest):
                y = to_y + BOX
                curve.append(f"V{_n(y)}")
        curves.append("".join(curve))
        heads.append(f"M{_n(x - 4)} {_n(y - 7)}l4 7 4-7z")
    lines = f'<path d="{"".join(curves)}" fill="none" stroke="currentColor" stroke-opacity=".6" stroke-width="1.4"/>'
    return lines + f'<path d="{"".join(heads)}" fill="currentColor" fill-opacity=".75"/>' if curves else ""


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    if abs(x - to_x) < 0.5:
        return f"V{_n(to_y)}"
    half = (y + to_y) / 2
    return f"C{_n(x)} {_n(half)} {_n(to_x)} {_n(half)} {_n(to_x)} {_n(to_y)}"


def _dotted(graph: Graph, title: str) -> str:
    """A large graph: a dot a node, one path for all lines and one for all dots of a family."""
    layout = place(graph, [8.0] * len(graph), box=8.0, gap=8.0, across=5.0)
    lines = ["M" + "L".join(f"{x + MARGIN:.0f} {y + MARGIN:.0f}" for x, y in route) for route in layout.routes.values()]
    dots: dict[str, list[str]] = {}
    for (x, y), op in zip(layout.nodes, graph.ops, strict=True):
        dots.setdefault(_colour(op), []).append(f"M{x + MARGIN:.0f} {y + MARGIN:.0f}h0")
    body = [f'<path d="{"".join(lines)}" fill="none" stroke="currentColor" stroke-opacity=".4"/>']
    for colour, marks in sorted(dots.items()):
        ink = "currentColor" if colour == "none" else colour
        body.append(f'<path d="{"".join(marks)}" stroke="{ink}" stroke-width="8" stroke-linecap="round"/>')
    body.append(f'<g fill="currentColor" text-anchor="start">{_legend(graph.ops, layout.height + 2 * MARGIN)}</g>')
    return _document(max(layout.width, 260.0) + 2 * MARGIN, layout.height + 2 * MARGIN + 34, title, "".join(body))


def _legend(ops: Iterable[str], y: float) -> str:
    present = sorted({family(op) for op in ops} - {"none", "ends"})
    colours = {name: colour for name, _, colour in FAMILIES} | {OTHER[0]: OTHER[1]}
    spans = "".join(f'<tspan fill="{colours[name]}">● </tspan>{html.escape(name)}  ' for name in present)
    return f'<text x="{_n(MARGIN)}" y="{_n(y + 12)}">{spans}</text>'


def _pills(pills: Iterable[tuple[float, float, float, str]]) -> str:
    """Rounded boxes of a given width around the names of operations; that of the missing one is an outline."""
    rects: list[str] = []
    texts: dict[str, list[str]] = {"#fff": [], "currentColor": []}
    for x, y, width, op in pills:
        corner = f'x="{_n(x - width / 2)}" y="{_n(y - 11)}"'
        colour = _colour(op)
        ink = ' stroke="currentColor" stroke-opacity=".5" stroke-dasharray="2 3"' if colour == "none" else ""
        rects.append(f'<rect {corner} width="{_n(width)}" height="22" rx="11" fill="{colour}"{ink}/>')
        texts["currentColor" if ink else "#fff"].append(_text(x, y, label(op)))
    groups = (f'<g fill="{ink}">{"".join(lines)}</g>' for ink, lines in texts.items() if lines or ink == "#fff")
    return f"{''.join(rects)}{''.join(groups)}"


def _pill_width(op: str) -> float:
    return len(label(op)) * LETTER + 18


def _box(x: float, y: float, width: float) -> str:
    corner = f'x="{_n(x - width / 2)}" y="{_n(y - BOX / 2)}"'
    return f'<rect {corner} width="{_n(width)}" height="{_n(BOX)}" rx="6"/>'


def _colour(op: str) -> str:
    name = family(op)
    return next((colour for known, _, colour in FAMILIES if known == name), OTHER[1])


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{_n(x)}" y="{_n(y + 4)}">{html.escape(text)}</text>'


def _document(width: float, height: float, title: str, body: str) -> str:
    shape = f'viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}"'
    fonts = 'font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif" font-size="12" text-anchor="middle"'
    named = html.escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} {fonts} role="img" aria-label="{named}">'
        f"<title>{named}</title>{body}</svg>"
    )


def _n(value: float) -> str:
    """A coordinate with at most one decimal, written as short as can be."""
    text = f"{value + 0.0:.1f}"
    return text[:-2] if text.endswith(".0") else text

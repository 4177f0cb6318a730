"""Pictures of architectures, each in the form that suits its space, drawn without any other program.

The same architecture always gives the same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from ogive.core.architecture import Architecture
from ogive.core.errors import OgiveError
from ogive.core.graph import Graph
from ogive.core.space import SearchSpace
from ogive.reporting import drawing
from ogive.reporting.drawing import BOX, GAP, MARGIN, OUTLINE, Layout, family, group, label, place, short, text_at
from ogive.spaces import nds, nds_residual
from ogive.spaces.darts import CONCAT, Cell, Entry, Kind, cell_of
from ogive.spaces.ddarts import genotype_of
from ogive.spaces.mnasnet import NAME as MNASNET
from ogive.spaces.mnasnet import blocks_of
from ogive.spaces.nasbench201 import EDGES, OPS
from ogive.spaces.natssize import LAYERS, widths_of
from ogive.spaces.nested import NestedGenotype, nodes_of
from ogive.spaces.ofa_mobilenetv3 import NAME as MOBILE
from ogive.spaces.ofa_mobilenetv3 import units_of
from ogive.spaces.unrestricted import UNRESTRICTED, outline_of_architecture

__all__ = ["Draw", "Drawing", "picture"]

# How wide the boxes of inputs and outputs are in the picture of a DARTS cell.
END = 70.0
# How many cells stand beside each other.
ROW = 4

Draw = Callable[[Architecture], str | None]

logger = logging.getLogger(__name__)


def picture(space: SearchSpace, arch: Architecture) -> str:
    """The picture that suits the space best; for a space without one of its own, its graph."""
    draw = PICTURES.get(space.name, _of_graph)
    return draw(space, arch)


def _of_graph(space: SearchSpace, arch: Architecture) -> str:
    return drawing.svg(space.draw(arch), title=f"{arch}")


def _pruned(space: SearchSpace, arch: Architecture) -> str:
    return drawing.svg(space.draw(arch).pruned(), title=f"{arch}, without what does not reach the output")


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
            pills.append(((x[source] + x[target]) / 2, middle + 0.75 * bend, drawing.pill_width(op), op))
    circles = [f'<circle cx="{short(at)}" cy="{short(middle)}" r="{short(radius)}"/>' for at in x]
    names = [text_at(at, middle, name) for at, name in zip(x, ("in", "1", "2", "out"), strict=True)]
    nodes = group("none", circles, OUTLINE) + group("currentColor", names)
    body = "".join(lines) + nodes + drawing.draw_pills(pills)
    said = ", ".join(f"{source} to {target} {label(op)}" for (source, target), op in sorted(edges.items()))
    return drawing.svg_document(x[-1] + radius + MARGIN, 190.0, f"{arch}: {said}", body)


def _arc(start: float, end: float, middle: float, bend: float, radius: float, op: str) -> str:
    """One edge with its arrow head; the missing operation is a faint dotted line."""
    colour = drawing.colour_of(op)
    style = f'stroke="{colour}" stroke-width="2"'
    if family(op) == "none":
        style = 'stroke="currentColor" stroke-opacity=".3" stroke-dasharray="2 5"'
    if bend == 0.0:
        path = f"M{short(start + radius)} {short(middle)}H{short(end - radius)}"
        head = f"M{short(end - radius - 8)} {short(middle - 5)}l8 5-8 5z"
    else:
        side = -1 if bend < 0 else 1
        edge = middle + side * radius
        handle = short(middle + bend)
        path = f"M{short(start)} {short(edge)}C{short(start)} {handle} {short(end)} {handle} {short(end)} {short(edge)}"
        head = f"M{short(end - 5)} {short(edge + side * 8)}l5 {-8 * side} 5 {8 * side}z"
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


def _mobile(space: SearchSpace, arch: Architecture) -> str:
    """A row of bars, one a unit, as high as the unit is deep, with kernel and expansion of each block below."""
    units = units_of(arch)
    pairs = [zip(*unit, strict=True) for unit in zip(units.kernels, units.expansions, strict=True)]
    names = [tuple(f"{kernel}×{kernel}, {expansion}×" for kernel, expansion in unit) for unit in pairs]
    title = f"{arch}: kernel and expansion of the blocks, {space.format(arch)}"
    return _bars([len(unit) for unit in units.kernels], names, title, least=4)


def _mnasnet(space: SearchSpace, arch: Architecture) -> str:
    """A row of bars, one a block, as high as the block is deep, with its choices below."""
    blocks = blocks_of(arch)
    names = [
        (
            f"{block.op} {block.kernel}×{block.kernel}",
            f"width {block.width:g}",
            f"skip {block.skip}",
            *(("SE",) if block.excitation else ()),
        )
        for block in blocks
    ]
    title = f"{arch}: operation, width and skip of the blocks, {space.format(arch)}"
    return _bars([block.layers for block in blocks], names, title, least=5)


def _bars(values: Sequence[int], names: Sequence[tuple[str, ...]], title: str, least: int = 64) -> str:
    """Bars of the values, of which `least` at least is full height, with numbers above and lines of names below."""
    step, bar, tall, base = 72.0, 40.0, 130.0, 156.0
    rects, texts = [], []
    for rank, (value, lines) in enumerate(zip(values, names, strict=True)):
        x, height = MARGIN + 12 + step * rank, tall * value / max(*values, least)
        rects.append(
            f'<rect x="{short(x)}" y="{short(base - height)}" width="{short(bar)}" height="{short(height)}" rx="3"/>'
        )
        texts.append(text_at(x + bar / 2, base - height - 10, str(value)))
        texts += [text_at(x + bar / 2, base + 14 * line, text) for line, text in enumerate(lines, start=1)]
    right = MARGIN + 24 + step * (len(values) - 1) + bar
    axis = f'<path d="M{short(MARGIN)} {short(base)}H{short(right)}" stroke="currentColor" stroke-opacity=".5"/>'
    body = group(drawing.colour_of("conv"), rects) + group("currentColor", texts) + axis
    return drawing.svg_document(right + MARGIN, base + 16 + 14 * max(map(len, names)), title, body)


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
    return drawing.svg_document(*_side_by_side(drawn, title))


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
    return drawing.svg_document(*_side_by_side(cells, f"{arch}: {len(cells)} cells"))


def _side_by_side(cells: Sequence[tuple[str, tuple[float, float, str]]], title: str) -> tuple[float, float, str, str]:
    """Rows of up to four captioned pictures: width, height, title and content."""
    across, down, parts = 0.0, 0.0, []
    for start in range(0, len(cells), ROW):
        x, tall = 0.0, 0.0
        for caption, (width, height, body) in cells[start : start + ROW]:
            heading = group("currentColor", text_at(width / 2, 14, caption), ' font-weight="600"')
            moved = f"translate({short(x)} {short(down)})" if down else f"translate({short(x)})"
            parts.append(f'<g transform="{moved}">{heading}<g transform="translate(0 22)">{body}</g></g>')
            x, tall = x + width + 10, max(tall, height + 22)
        across, down = max(across, x - 10), down + tall
    return across, down, title, "".join(parts)


def _cell_of_sums(sums: Mapping[int, Sequence[Entry]], joined: Sequence[int]) -> tuple[float, float, str]:
    """One cell: two inputs, for each node the one or two operations that it adds on a layer of its own, and concat.

    `joined` are the states that make the output.
    """
    # Room for the plus sign between two.
    halves = [max(drawing.pill_width(op) for op, _ in entries) + 14 for entries in sums.values()]
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
    ends = _ends(layout, {0: "cell k−2", 1: "cell k−1", last: "concat"})
    body = drawing.draw_lines(routes) + drawing.draw_pills(pills) + _signs(signs) + ends
    return layout.width + 2 * MARGIN, layout.height + 2 * MARGIN, body


def _darts_rnn(space: SearchSpace, arch: Architecture) -> str:
    """One moment of the recurrent cell, from its input and the output of the moment before to its output."""
    graph = space.draw(arch)
    width, height, body = drawing.draw_boxes(graph, ["x(t), h(t−1)", *map(label, graph.ops[1:-1]), "h(t)"])
    return drawing.svg_document(width, height, f"{arch}: {space.format(arch)}", body)


def _signs(points: Sequence[tuple[float, float]]) -> str:
    circles = [f'<circle cx="{short(x)}" cy="{short(y)}" r="8"/>' for x, y in points]
    texts = [text_at(x, y, "+") for x, y in points]
    return group(drawing.colour_of("sum"), circles, ' stroke="#fff"') + group("#fff", texts, ' font-weight="700"')


def _ends(layout: Layout, names: dict[int, str]) -> str:
    places = [(x + MARGIN, y + MARGIN) for x, y in (layout.nodes[node] for node in names)]
    rects = [drawing.box_at(x, y, END) for x, y in places]
    texts = [text_at(x, y, name) for (x, y), name in zip(places, names.values(), strict=True)]
    return group("none", rects, OUTLINE) + group("currentColor", texts)


PICTURES: dict[str, Callable[[SearchSpace, Architecture], str]] = {
    "nasbench101": _pruned,
    "nasbench201": _nasbench201,
    "natssize": _natssize,
    "darts": _darts,
    "darts_rnn": _darts_rnn,
    MOBILE: _mobile,
    MNASNET: _mnasnet,
    **dict.fromkeys(nds.FAMILIES, _nds),
    **dict.fromkeys(nds_residual.BLOCKS, _residual),
    "ddarts": _nested,
    "dartopti": _nested,
    **dict.fromkeys(UNRESTRICTED, _dense),
}


class Drawing:
    """Pictures and published names of architectures, as far as their spaces are known here."""

    def __init__(self, spaces: Iterable[SearchSpace | None]) -> None:
        self._spaces = {space.name: space for space in spaces if space is not None}

    def picture(self, arch: Architecture) -> str | None:
        """The picture as SVG, or None."""
        return self._told(arch, picture)

    def spelled(self, arch: Architecture) -> str:
        """The published text form, or ogive's own."""
        return self._told(arch, SearchSpace.format) or str(arch)

    def _told(self, arch: Architecture, tell: Callable[[SearchSpace, Architecture], str]) -> str | None:
        space = self._spaces.get(arch.space)
        try:
            return None if space is None else tell(space, space.admit(arch))
        except OgiveError as error:
            logger.warning("No picture of %s: %s", arch, error)
            return None

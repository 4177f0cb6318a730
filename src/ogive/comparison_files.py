"""What is kept of a comparison in a folder, beside the runs of its searches: figures, tables for papers, the page."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ogive import catalog
from ogive.across import Across, across
from ogive.comparison import Comparison, Row
from ogive.core.metric import decimals
from ogive.figures import available, draw_comparison, draw_differences
from ogive.files import write_json, write_whole
from ogive.metrics import Interval
from ogive.result import result_of
from ogive.runs import Run, read_run

__all__ = ["keep_across", "keep_comparison"]

_LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def keep_comparison(found: Comparison, folder: Path) -> list[Path]:
    """Write what a comparison found into the folder of its runs; what was written.

    ``comparison.json`` holds everything, ``trials.parquet``, or ``trials.csv`` without pyarrow, a row for each trial of
    each search, ``summary.csv`` and ``summary.tex`` (for the LaTeX package booktabs) a row for each strategy,
    ``anytime``, ``regret`` and ``hours`` (.svg, .pdf) are figures where matplotlib is installed, and ``report.html`` is
    the page.
    """
    runs = [read_run(path.parent) for path in sorted(folder.glob("*/run.json"))]
    write_json(folder / "comparison.json", found.to_json())
    write_whole(folder / "summary.csv", _csv([_summary(row) for row in found.rows()]))
    write_whole(folder / "summary.tex", _tex(found))
    trials = _kept_trials(_trials([run for run in runs if _belongs(run, found)]), folder)
    page = catalog.load("write_page")(runs, folder / "report.html")
    figures = draw_comparison(found, folder) if available() else []
    return [folder / "comparison.json", trials, folder / "summary.csv", folder / "summary.tex", *figures, page]


def keep_across(found: Mapping[str, Comparison], folder: Path) -> tuple[Across, list[Path]]:
    """Put the comparisons on several tables together, and write that into the folder that holds theirs.

    ``across.json`` holds everything, ``ranks.csv`` and ``ranks.tex`` a row for each table and one of mean ranks, and
    ``critical-difference`` (.svg, .pdf) is the diagram of mean ranks, where matplotlib is installed.
    """
    joined = across(found)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "across.json", joined.to_json())
    write_whole(folder / "ranks.csv", _csv(_rank_rows(joined)))
    write_whole(folder / "ranks.tex", _rank_tex(joined))
    title = f"mean ranks over {len(joined.tables)} tables; bars join what Nemenyi's test does not tell apart at 5 %"
    stem, difference = folder / "critical-difference", joined.critical_difference
    figures = draw_differences(joined.mean_ranks, difference, stem, title=title) if available() else []
    return joined, [folder / "across.json", folder / "ranks.csv", folder / "ranks.tex", *figures]


def _rank_rows(joined: Across) -> list[dict[str, Any]]:
    names = list(joined.mean_ranks)
    rows: list[dict[str, Any]] = []
    for table, means, ranks in zip(joined.tables, joined.means, joined.ranks, strict=True):
        by_name = dict(zip(joined.strategies, zip(means, ranks, strict=True), strict=True))
        rows.append({"table": table, **{name: by_name[name][1] for name in names}})
        rows[-1] |= {f"mean {name}": by_name[name][0] for name in names}
    return [*rows, {"table": "mean rank", **joined.mean_ranks}]


def _rank_tex(joined: Across) -> str:
    """A table for booktabs: the mean of each strategy with its rank, a row for each table, and mean ranks below."""
    names = list(joined.mean_ranks)
    rows = []
    for row in _rank_rows(joined)[:-1]:
        digits = decimals((row[f"mean {name}"] for name in names), 2)
        cells = [f"{row[f'mean {name}']:.{digits}f} ({row[name]:g})" for name in names]
        rows.append(" & ".join([_escaped(row["table"]), *cells]) + r" \\")
    ranks = " & ".join(["mean rank", *(f"{rank:.2f}" for rank in joined.mean_ranks.values())]) + r" \\"
    heads = " & ".join(["table", *map(_escaped, names)]) + r" \\"
    body = ["\\toprule", heads, "\\midrule", *rows, "\\midrule", ranks, "\\bottomrule"]
    note = f"% {joined.verdict} Nemenyi's critical difference at 5 %: {joined.critical_difference:.2f}."
    return "\n".join([note, f"\\begin{{tabular}}{{l{'r' * len(names)}}}", *body, "\\end{tabular}", ""])


def _belongs(run: Run, found: Comparison) -> bool:
    """Whether a run is one of the comparison's, and not of another one in the same folder."""
    return run.config.get("strategy") in found.strategies and run.config.get("seed") in found.seeds


def _trials(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Columns of all trials, with the strategy and the seed of their searches; None where a search lacks a column."""
    found: dict[str, list[Any]] = {"strategy": [], "seed": []}
    count = 0
    for run in runs:
        own = {name: column.tolist() for name, column in result_of(run).columns().items()}
        trials = len(next(iter(own.values()), ()))
        own |= {name: [run.config[name]] * trials for name in ("strategy", "seed")}
        for name in (*found, *(name for name in own if name not in found)):
            found.setdefault(name, [None] * count).extend(own.get(name, [None] * trials))
        count += trials
    return found


def _kept_trials(columns: Mapping[str, list[Any]], folder: Path) -> Path:
    """One file of all trials, in the place of one of the other kind."""
    table, text = folder / "trials.parquet", folder / "trials.csv"
    if importlib.util.find_spec("pyarrow") is None:
        table.unlink(missing_ok=True)
        write_whole(text, _csv([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]))
        return text
    written = io.BytesIO()
    arrow = importlib.import_module("pyarrow")
    importlib.import_module("pyarrow.parquet").write_table(arrow.table(columns), written)
    text.unlink(missing_ok=True)
    write_whole(table, written.getvalue())
    return table


def _summary(row: Row) -> dict[str, Any]:
    """A strategy in numbers; an empty cell where there is none."""
    return {
        "strategy": row.strategy,
        "seeds": row.seeds,
        **_value("score", row.score, row.score_interval, row.score_regret),
        **_value("reported", row.reported, row.reported_interval, row.reported_regret),
        "failed": row.failed,
    }


def _value(name: str, mean: float | None, interval: Interval | None, regret: float | None) -> dict[str, float | None]:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {name: mean, f"{name}_low": low, f"{name}_high": high, f"{name}_regret": regret}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _tex(found: Comparison) -> str:
    """A table for the package booktabs, the best mean in bold, with what its intervals are below it."""
    rows, reported = found.rows(), any(row.reported is not None for row in found.rows())
    heads = ["strategy", "objective", "regret", *([_escaped(_title(found)), "regret"] if reported else [])]
    digits, beside = decimals((row.score for row in rows), 2), decimals((row.reported for row in rows), 2)
    lines = []
    for place, row in enumerate(rows):
        bold = place == 0 and found.value == "score"
        cells = [_mean(row.score, row.score_interval, digits, bold), _number(row.score_regret, digits)]
        if reported:
            bold = place == 0 and found.value == "reported"
            cells += [_mean(row.reported, row.reported_interval, beside, bold), _number(row.reported_regret, beside)]
        lines.append(" & ".join([_escaped(row.strategy), *cells]) + r" \\")
    note = f"Means and {found.interval_name}s over {len(found.seeds)} seeds; budget {found.settings.budget}."
    columns = "l" + "r" * (len(heads) - 1)
    body = ["\\toprule", " & ".join(heads) + r" \\", "\\midrule", *lines, "\\bottomrule"]
    return "\n".join([f"% {note}", f"\\begin{{tabular}}{{{columns}}}", *body, "\\end{tabular}", ""])


def _title(found: Comparison) -> str:
    return "reported" if found.reported is None else found.reported.title


def _mean(mean: float | None, interval: Interval | None, digits: int, bold: bool) -> str:
    value, known = _number(mean, digits), interval is not None and not math.isnan(interval.low)
    ends = f" [{_number(interval.low, digits)}, {_number(interval.high, digits)}]" if interval and known else ""
    return f"\\textbf{{{value}}}{ends}" if bold else f"{value}{ends}"


def _number(value: float | None, digits: int) -> str:
    return "--" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)

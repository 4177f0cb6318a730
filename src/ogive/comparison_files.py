"""What is kept of a comparison in a folder, beside the runs of its searches."""

from __future__ import annotations

from pathlib import Path

from ogive import catalog
from ogive.comparison import Comparison
from ogive.files import write_json
from ogive.runs import read_run

__all__ = ["keep_comparison"]


def keep_comparison(found: Comparison, folder: Path) -> list[Path]:
    """Write ``comparison.json`` and the page ``report.html`` into the folder of the runs; what was written."""
    figures = folder / "comparison.json"
    write_json(figures, found.to_json())
    runs = [read_run(path.parent) for path in sorted(folder.glob("*/run.json"))]
    return [figures, catalog.load("write_page")(runs, folder / "report.html")]

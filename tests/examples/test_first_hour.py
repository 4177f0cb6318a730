"""The first hour of a practitioner, as a script: every step of it, from pictures of odd sizes to a page in a browser.

It takes some 30 s, nearly all of it the start of nine programs, since nothing shorter shows that they go together.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.usefixtures("interruptible")
def test_the_first_hour_from_pictures_to_a_page(tmp_path: Path, patience_s: float) -> None:
    small = {"EPOCHS": "1", "BUDGET": "2", "CLASSES": "2", "EACH": "16", "FORMATS": "torch"}
    place = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(ROOT / "examples" / "first_hour.sh"), str(tmp_path / "hour")],
        env={**os.environ, **small, "PATH": place, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    told = done.stdout
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / "hour"
    sizes = set()
    for path in folder.glob("photos/*/*.png"):
        with Image.open(path) as picture:
            sizes.add(picture.size)
    assert len(sizes) > 10  # no two alike, or nearly so
    before, _, after = told.partition("a search, and Ctrl-C")
    assert "32 grey images of 16 x 16 pixels, classes class-0 16, class-1 16" in before
    assert "budget     2 trials: about" in before
    assert "interrupted, with 1 of 2 trials stored" in after
    assert "trials (0 failed, 0 screened out)" in after
    trials = [json.loads(line) for line in (folder / "run" / "trials.jsonl").read_text().splitlines()]
    assert sorted(trial["number"] for trial in trials) == [0, 1]
    for number in range(2):
        assert f"photos/class-{number}/0.png: class-" in told
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "latency &lt;= 5" in page
    assert "What it gets wrong" in page
    assert (folder / "report.html").stat().st_size < 2_000_000
    if any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        with Image.open(folder / "report.png") as picture:
            shown = picture.convert("L")
        assert shown.size == (1200, 3000)
        assert len(shown.getcolors(256) or range(257)) > 50  # something is drawn

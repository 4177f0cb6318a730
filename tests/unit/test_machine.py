from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from ogive import machine
from ogive.machine import Finding, doctor, facts

COMMIT, OTHER = "a" * 40, "b" * 40


def found(what: str) -> Finding:
    """The one finding whose subject begins so."""
    (finding,) = [finding for finding in doctor() if finding.what.startswith(what)]
    return finding


# -- facts ------------------------------------------------------------------------------------------------------------


def test_facts_are_json_and_name_what_a_reader_needs() -> None:
    told = facts()
    assert json.loads(json.dumps(told)) == told
    where = ["cpu", "cores", "memory_gib", "gpu", "os", "python"]
    plugged = ("plugins", "plugin_files")
    assert list(told) == [*where, *plugged, "thread_environment", "thread_pools", "packages", "commit"]
    packages = told["packages"]
    assert isinstance(packages, dict)
    assert packages["torch"] == metadata.version("torch")
    assert packages["numpy"] == metadata.version("numpy")
    assert str(told["python"]).endswith(".".join(map(str, sys.version_info[:3])))
    assert isinstance(told["cores"], int)
    assert 1 <= told["cores"] <= (os.cpu_count() or 1)


def test_facts_name_the_libraries_of_linear_algebra_and_what_sets_their_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("KMP_AFFINITY", "compact")
    monkeypatch.setenv("OMPHALE", "no")
    told = facts()
    environment, pools = told["thread_environment"], told["thread_pools"]
    assert isinstance(environment, dict)
    assert isinstance(pools, list)
    assert (environment["OMP_NUM_THREADS"], environment["KMP_AFFINITY"]) == ("3", "compact")
    assert "OMPHALE" not in environment
    np.linalg.norm(np.eye(3))
    blas = [pool for pool in pools if pool["user_api"] == "blas"]
    assert blas
    assert all(pool["num_threads"] >= 1 and pool["internal_api"] and "filepath" not in pool for pool in blas)


def test_facts_start_no_program_and_import_nothing_heavy() -> None:
    script = """
import sys
def refuse(event, arguments):
    if event in {"subprocess.Popen", "os.system", "os.posix_spawn", "os.fork"}:
        raise RuntimeError(event)
sys.addaudithook(refuse)
from ogive.machine import facts
facts()
print(sorted({"torch", "numpy", "rich", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_this_checkout_knows_its_commit() -> None:
    root = Path(machine.__file__).resolve().parents[2]
    if not (root / ".git").exists():
        assert facts()["commit"] is None
        return
    git = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    # Git refuses a folder of somebody else; then the form must do.
    assert facts()["commit"] == (git.stdout.strip() or facts()["commit"])
    assert len(str(facts()["commit"])) in (40, 64)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_commit_of_a_branch_is_read_from_its_own_file(tmp_path: Path) -> None:
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/feature/x\n")
    write(tmp_path / ".git" / "refs" / "heads" / "feature" / "x", f"{COMMIT}\n")
    write(tmp_path / ".git" / "packed-refs", f"{OTHER} refs/heads/feature/x\n")  # stale: the file counts
    assert machine._commit(tmp_path) == COMMIT


def test_the_commit_of_a_packed_branch_is_read_from_the_list(tmp_path: Path) -> None:
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/main\n")
    lines = [
        "# pack-refs with: peeled fully-peeled sorted",
        f"{OTHER} refs/heads/mainline",
        f"{COMMIT} refs/heads/main",
    ]
    write(tmp_path / ".git" / "packed-refs", "\n".join(lines) + "\n")
    assert machine._commit(tmp_path) == COMMIT


def test_the_commit_of_a_detached_head_stands_in_it(tmp_path: Path) -> None:
    write(tmp_path / ".git" / "HEAD", f"{COMMIT}\n")
    assert machine._commit(tmp_path) == COMMIT


def test_the_commit_of_a_linked_worktree_is_read_from_the_common_folder(tmp_path: Path) -> None:
    common = tmp_path / "main" / ".git"
    linked = tmp_path / "linked"
    write(linked / ".git", f"gitdir: {common / 'worktrees' / 'linked'}\n")
    write(common / "worktrees" / "linked" / "HEAD", "ref: refs/heads/side\n")
    write(common / "worktrees" / "linked" / "commondir", "../..\n")
    write(common / "refs" / "heads" / "side", f"{COMMIT}\n")
    assert machine._commit(linked) == COMMIT


def test_a_folder_that_is_no_checkout_and_a_branch_without_commits_have_none(tmp_path: Path) -> None:
    assert machine._commit(tmp_path) is None
    write(tmp_path / ".git" / "HEAD", "ref: refs/heads/main\n")
    assert machine._commit(tmp_path) is None


# -- findings ---------------------------------------------------------------------------------------------------------


def test_python_and_torch_are_needed_and_here() -> None:
    assert found("Python").ok
    assert found("Python").needed
    assert found("torch").ok
    assert found("torch").needed
    assert metadata.version("torch") in found("torch").detail


def test_a_torch_that_cannot_be_imported_is_a_finding_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    finding = found("torch")
    assert not finding.ok
    assert finding.needed
    assert "pip install torch" in finding.detail
    assert not any(other.what in {"GPU", "threads"} for other in doctor())


def test_every_extra_of_the_package_is_looked_at() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    declared = set(project["project"]["optional-dependencies"])
    assert {finding.what.removeprefix("extra ") for finding in doctor() if finding.what.startswith("extra ")} == (
        declared - {"dev"}
    )


def test_an_extra_that_is_here_is_listed_with_its_versions() -> None:
    finding = found("extra onnx")
    assert finding.ok
    assert not finding.needed
    for package in ("onnx", "onnxscript", "onnxruntime"):
        assert f"{package} {metadata.version(package)}" in finding.detail


def test_an_extra_that_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(package: str) -> str:
        if package == "onnxscript":
            raise metadata.PackageNotFoundError(package)
        return real(package)

    monkeypatch.setattr(metadata, "version", version)
    finding = found("extra onnx")
    assert not finding.ok
    assert "onnxscript not installed: pip install 'ogive[onnx]'" in finding.detail
    assert "onnxruntime" not in finding.detail


def test_a_home_that_does_not_exist_yet_is_fine_and_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "a" / "b"))
    finding = found("OGIVE_HOME")
    assert finding.ok
    assert str(tmp_path / "a" / "b") in finding.what
    assert "GiB free" in finding.detail
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file where the folder should be: unlike a read-only folder, this stops a superuser too.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path / "file"))
    finding = found("OGIVE_HOME")
    assert not finding.ok
    assert finding.needed
    assert "set OGIVE_HOME to a folder that can" in finding.detail


def test_tables_and_data_sets_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path))
    assert not found("tables").ok
    assert "ogive tables get" in found("tables").detail
    assert "ogive data get cifar10" in found("data sets").detail
    write(tmp_path / "tables" / "nasbench201" / "table.json", "{}")
    (tmp_path / "tables" / "unfinished").mkdir()
    write(tmp_path / "data" / "cifar10" / "test_batch.bin", "")
    (tmp_path / "data" / ".cifar100-download").mkdir()
    write(tmp_path / "data" / "stray.tar.gz", "")
    assert found("tables") == Finding("tables", True, "nasbench201")
    assert found("data sets") == Finding("data sets", True, "cifar10")


def test_more_threads_than_cores_are_found() -> None:
    import torch

    before = torch.get_num_threads()
    cores = facts()["cores"]
    assert isinstance(cores, int)
    torch.set_num_threads(cores + 1)
    try:
        finding = found("threads")
    finally:
        torch.set_num_threads(before)
    assert not finding.ok
    assert f"set OMP_NUM_THREADS={cores}" in finding.detail
    torch.set_num_threads(1)
    try:
        assert found("threads").ok
    finally:
        torch.set_num_threads(before)

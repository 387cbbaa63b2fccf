"""Commands of DVC are named before another run of a stage, and only where they would work."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from thinkrec.artifacts.kept import brings_back
from thinkrec.layout import Layout
from thinkrec_cli.main import run

CACHE = Path(".dvc/cache")
REMOTE = "['remote \"store\"']\n    url = /srv/store\n"


def cached(content: bytes, suffix: str = "") -> str:
    """Put content into DVC's cache; returns its hash there."""
    digest = hashlib.md5(content).hexdigest() + suffix
    place = CACHE / "files" / "md5" / digest[:2] / digest[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return digest


def kept(path: Path) -> dict[str, str]:
    """Put a file or a folder into the cache; returns its entry in dvc.lock."""
    if path.is_file():
        return {"path": path.as_posix(), "md5": cached(path.read_bytes())}
    files = sorted(each for each in path.rglob("*") if each.is_file())
    said = [
        {"md5": cached(each.read_bytes()), "relpath": each.relative_to(path).as_posix()} for each in files
    ]
    return {"path": path.as_posix(), "md5": cached(json.dumps(said).encode(), ".dir")}


def record(*paths: Path) -> None:
    outs = [kept(path) for path in paths]
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"all": {"outs": outs}}}))


@pytest.fixture
def recorded(project: Layout) -> Layout:
    """A finished project, of which DVC has kept the keywords and the global adapter."""
    paths = (project.keywords, project.manifest("summarize"))
    record(*paths, project.global_adapter, project.manifest("global"))
    return project


def told(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run(["evaluate", "--dataset", "demo"])
    return code, capsys.readouterr().err.strip()


GLOBAL = "models/demo/adapters/thinkrec/global"
AGAIN = "`thinkrec global --dataset demo` again"


def test_files_that_are_missing(recorded: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    (recorded.global_adapter / "adapter_model.safetensors").unlink()
    assert told(capsys) == (
        6,
        f"error: {GLOBAL}/adapter_model.safetensors is missing, which `thinkrec global` wrote: "
        f"run `dvc checkout {GLOBAL}`, or {AGAIN}",
    )
    (recorded.global_adapter / "adapter_config.json").write_text("{}")
    assert told(capsys)[1].endswith(f"wrote: run `dvc checkout --force {GLOBAL}`, or {AGAIN}")
    (recorded.global_adapter / "adapter_config.json").unlink()
    Path("dvc.lock").unlink()
    said = "adapter_config.json and 1 more are missing, which `thinkrec global` wrote"
    assert told(capsys)[1] == f"error: {GLOBAL}/{said}: run {AGAIN}"


def test_a_file_that_was_changed(recorded: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    recorded.keywords.write_bytes(b"torn")
    assert told(capsys) == (
        5,
        "error: data/demo/keywords.parquet: not as `thinkrec summarize` wrote it, so it is damaged or was "
        "changed by hand: run `dvc checkout --force data/demo/keywords.parquet`, or `thinkrec summarize "
        "--dataset demo` again",
    )


def test_an_artifact_that_is_gone(recorded: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(recorded.global_adapter)
    said = f"error: {GLOBAL} is missing, which `thinkrec global` wrote: run"
    assert told(capsys) == (4, f"{said} `dvc checkout {GLOBAL}`, or {AGAIN}")
    shutil.rmtree(CACHE)
    made = f"error: {GLOBAL} is not there yet: `thinkrec global --dataset demo` makes it"
    assert told(capsys) == (4, made)
    Path(".dvc/config").write_text(REMOTE)
    assert told(capsys) == (4, f"{said} `dvc pull {GLOBAL}`, or {AGAIN}")


def test_what_is_left_of_a_folder_is_not_put_at_risk(recorded: Layout) -> None:
    """`dvc checkout` and `dvc pull` would remove it where the cache lacks a file."""
    path = recorded.global_adapter
    digest = hashlib.md5((path / "backbone.json").read_bytes()).hexdigest()
    (CACHE / "files" / "md5" / digest[:2] / digest[2:]).unlink()
    assert brings_back(Path(), path, True) == ""
    Path(".dvc/config").write_text(REMOTE)
    assert brings_back(Path(), path, True) == f"`dvc fetch {GLOBAL}` and then this again"


def test_what_another_run_made_is_not_named(recorded: Layout) -> None:
    manifest = recorded.manifest("summarize")
    assert brings_back(Path(), recorded.keywords, True, manifest)
    manifest.write_text(manifest.read_text() + " ")
    assert brings_back(Path(), recorded.keywords, True, manifest) == ""


def test_a_cache_elsewhere_and_records_of_dvc_add(project: Layout) -> None:
    folder = Path("models/my model")
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    entry = {**kept(folder), "path": folder.name}
    Path("models/my model.dvc").write_text(json.dumps({"outs": [entry]}))
    assert brings_back(Path(), folder, True) == "`dvc checkout --force 'models/my model'`"
    CACHE.rename("store")
    assert brings_back(Path(), folder, True) == ""
    Path(".dvc/config").write_text("[cache]\n    dir = ../store\n")
    assert brings_back(Path(), folder, True)


@pytest.mark.parametrize("text", ["", "[", "- 1", "stages: 3", "stages: {a: {outs: [1]}}", "\0"])
def test_records_that_nobody_can_read(recorded: Layout, text: str) -> None:
    Path("dvc.lock").write_text(text)
    assert brings_back(Path(), recorded.keywords, False) == ""


def test_a_file_of_somebody_else_is_to_be_moved_away(
    recorded: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    """`dvc checkout --force` would remove it."""
    (recorded.global_adapter / "notes.txt").write_text("mine")
    assert told(capsys) == (
        6,
        f"error: {GLOBAL}/notes.txt: `thinkrec global` did not write it: move it away",
    )


def test_reports_are_gits_but_for_predictions(recorded: Layout) -> None:
    report, scores = Path("reports/demo/metrics.json"), Path("reports/demo/predictions/scores.parquet")
    for path in (report, scores):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    record(report, scores)
    assert brings_back(Path(), report, True) == ""
    assert brings_back(Path(), scores, True)

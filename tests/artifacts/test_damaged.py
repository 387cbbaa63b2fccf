"""Every file of every artifact, damaged in eight ways, through every command that reads it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from small_chain import Chain

from thinkrec.artifacts.check import inputs_of
from thinkrec.config import load
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import COMMANDS, MAKERS, STAGES
from thinkrec.systems.registry import needs_of_stage
from thinkrec.variants import DEFAULT
from thinkrec_cli.main import run

MADE = [name for name in STAGES if "agent" not in name and name != "trajectories"]
DRY = ("global", "experts", "projector", "evaluate")
CALLS = {
    **{name: [name] for name in MADE if STAGES[name].inputs},
    **{f"{name} --dry-run": [name, "--dry-run"] for name in DRY},
    "stats": ["stats"],
    "search": ["search", "--model", "mf", "--trials", "1"],
    "compare": ["compare", "mf", "gbdt"],
    "export": ["export", "--to", "exported"],
    "export of an expert": ["export", "--to", "exported", "--adapter", "1"],
}
NAMED = {"export": ["global_adapter"], "export of an expert": ["experts/1"]}
"""What is read because an option names it."""


def flipped(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def swapped(content: bytes) -> bytes:
    """Two bytes that differ change places: the size and the sum stay."""
    places = (k for k in range(len(content) // 3, len(content) - 1) if content[k] != content[k + 1])
    place = next(places)
    return content[:place] + content[place + 1 :][:1] + content[place : place + 1] + content[place + 2 :]


WAYS: dict[str, Callable[[bytes], bytes | None]] = {
    "cut": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "one bit flipped": flipped,
    "two bytes swapped": swapped,
    "other text": lambda content: b"<html>no such file</html>\n",
    "a list for an object": lambda content: b"[]\n",
    "longer by a byte": lambda content: content + b" ",
    "gone": lambda content: None,
}
EVERY = ("one bit flipped", "gone")
"""Told by every command that reads the file; of the other ways each is told by some."""


def reading(params: Chain, artifact: str) -> Iterator[str]:
    """The commands that read an artifact, or the part of it that the name gives."""
    for label, (name, *_) in CALLS.items():
        further = [*needs_of_stage(params.params, name), *NAMED.get(label, [])]
        for given in inputs_of(name, params.params, further):
            each = given.replace(f"@{DEFAULT}", "")
            if artifact == each or artifact.startswith(f"{each}/") or each.startswith(f"{artifact}/"):
                yield label
                break


def files_of(layout: Layout, stage: str) -> Iterator[tuple[str, Path]]:
    """Each file of a stage's artifacts, and its name in the table of stages."""
    for artifact, maker in MAKERS.items():
        if maker == stage:
            top = path_of(layout, artifact)
            for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
                if path.is_file():
                    part = path.relative_to(top).parent.as_posix() if path != top else "."
                    yield artifact if part == "." else f"{artifact}/{part}", path


def refused(label: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run([*CALLS[label], "--dataset", "demo"])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("maker", MADE)
def test_every_damage_is_told_with_the_command_that_mends_it(
    chain: Chain,
    project: Layout,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    maker: str,
) -> None:
    """By every command that reads the file or, of most ways, by one of them, each in its turn."""
    monkeypatch.setattr(load, "parse_params", cache(load.parse_params))  # the same file each time
    wrong, heard = [], set()
    for number, (artifact, path) in enumerate(files_of(project, maker)):
        content, labels = path.read_bytes(), list(reading(chain, artifact))
        for turn, (way, change) in enumerate(WAYS.items(), start=number):
            damaged = change(content)
            if damaged is None:
                path.unlink()
            else:
                path.write_bytes(damaged)
            for label in labels if way in EVERY else labels[turn % max(len(labels), 1) :][:1]:
                code, said = refused(label, capsys)
                heard.add((way, label))
                fits = code in ((4, 5, 6) if way == "gone" else (5, 6))
                if not fits or f"`thinkrec {maker} --dataset demo`" not in said or said.count("\n") != 1:
                    wrong.append((str(path), way, label, code, said))
            path.write_bytes(content)
    assert wrong == []
    assert {way for way, _ in heard} == set(WAYS)


def test_a_pipe_in_the_place_of_an_artifact(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    project.items.unlink()
    os.mkfifo(project.items)
    code, said = refused("stats", capsys)
    assert code == 5
    assert "data/demo/items.parquet: not as `thinkrec prep` wrote it" in said


ODD: dict[str, Callable[[Path], object]] = {"pipe": os.mkfifo, "folder": Path.mkdir}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(("stage", "code"), [("prep", 5), ("cf", 6)])
def test_a_manifest_that_is_no_file(
    project: Layout, capsys: pytest.CaptureFixture[str], kind: str, stage: str, code: int
) -> None:
    project.manifest(stage).unlink()
    ODD[kind](project.manifest(stage))
    assert refused("evaluate", capsys) == (
        code,
        f"error: data/demo/manifests/{stage}.json is a {kind}, not a file: run `thinkrec {stage} --dataset "
        "demo` again\n",
    )
    assert run(["prep", "--dataset", "demo"]) == 0
    assert run(["stats", "--dataset", "demo"]) == 0


@pytest.mark.parametrize("kind", ODD)
def test_a_lock_that_is_no_file(project: Layout, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    project.lock("summarize").unlink(missing_ok=True)
    ODD[kind](project.lock("summarize"))
    assert run(["summarize", "--dataset", "demo"]) == 8
    assert capsys.readouterr().err == (
        f"error: cannot write data/demo/.locks/summarize: it is a {kind}, not a file; move what is there "
        "away, then run again\n"
    )


LEFT_OUT = {"run/prep": "prep", "run/cf": "cf", "curves/cf": "cf", "curves/global-thinkrec": "global"}


def test_evaluate_leaves_out_what_other_stages_records_and_curves_no_longer_tell(
    project: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so before it scores, and ends well."""
    metrics = project.metrics.read_bytes()
    project.record("cf").write_text("x")
    project.record("prep").write_text("[]")
    project.curve("cf").write_bytes(bytes(range(256)))
    project.curve("global").unlink()
    os.mkfifo(project.curve("global"))
    assert run(["evaluate", "--dataset", "demo"]) == 0
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for line, (path, stage) in zip(told, LEFT_OUT.items(), strict=True):
        assert f"reports/demo/{path}." in line and f"is not what `thinkrec {stage}` wrote (" in line
        assert line.endswith(f"run `thinkrec {stage} --dataset demo` again; the report leaves it out")
    assert project.page.read_text(encoding="utf-8").count("Left out: ") == 4
    assert project.metrics.read_bytes() == metrics


def test_damaged_manifests(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    for stage in ("prep", "cf", "global", "evaluate"):
        path = project.manifest(stage)
        content = path.read_bytes()
        reader = "compare" if stage == "evaluate" else "evaluate"
        for change in WAYS.values():
            damaged = change(content)
            path.unlink() if damaged is None else path.write_bytes(damaged)
            code, said = refused(reader, capsys)
            assert code in (5, 6), (stage, said)
            assert f"run `thinkrec {stage} --dataset demo` again" in said
            path.write_bytes(content)


def test_manifests_of_another_data_set_or_version(
    project: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    text = project.manifest("prep").read_text(encoding="utf-8")
    for changed, words in (
        (
            text.replace('"format": 2', '"format": 1'),
            "has format 1, this version of thinkrec reads 2: run `thinkrec prep --dataset demo` again",
        ),
        (text.replace('"dataset": "demo"', '"dataset": "book"'), "was changed by hand or is damaged"),
    ):
        project.manifest("prep").write_text(changed, encoding="utf-8")
        code, said = refused("stats", capsys)
        assert code == 5
        assert words in said


def test_a_data_set_that_was_copied_to_another_name(
    project: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    params = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(params.replace("\ndatasets:\n  demo:", "\ndatasets:\n  mine:", 1))
    shutil.move(project.data, "data/mine")
    assert run(["stats", "--dataset", "mine"]) == 5
    assert "is that of `thinkrec prep --dataset demo`: run `thinkrec prep --dataset mine`" in (
        capsys.readouterr().err
    )


def test_commands_that_read_nothing_else(chain: Chain) -> None:
    assert set(COMMANDS) == {label for label in CALLS if label in COMMANDS}

"""A project outside the clone: made by `thinkrec init`, run by `dvc repro`, rerun where code changes."""

import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from thinkrec.config.load import load_params
from thinkrec.config.sections import Params
from thinkrec.pipeline import STAGES
from thinkrec_cli import project
from thinkrec_cli.fingerprints import DEMO, code_of, demo_code, place
from thinkrec_cli.main import run
from thinkrec_cli.pipeline import edition, pipeline, project_pipeline

ROOT = Path(__file__).parents[2]
LATER = f"{project.PIPELINE} was made by another version of thinkrec"


def stages(text: str) -> dict[str, Any]:
    return {name: each.get("do", each) for name, each in YAML(typ="safe").load(text)["stages"].items()}


def test_init_writes_a_project(made: Path) -> None:
    assert {path.name for path in made.iterdir()} == {
        ".dvc", ".dvcignore", ".git", ".gitignore", ".thinkrec", "dvc.yaml", "params.yaml",
    }  # fmt: skip
    assert load_params() == Params()
    assert (made / "dvc.yaml").read_text() == project_pipeline()
    for template in (ROOT / ".dvc" / "plots").iterdir():
        assert (made / ".dvc" / "plots" / template.name).read_bytes() == template.read_bytes()
    for stage in STAGES.values():
        lines = [f"{sha256((ROOT / file).read_bytes()).hexdigest()}  {file}" for file in code_of(stage)]
        assert (made / place(stage.name)).read_text().splitlines() == lines
    assert len((made / place(DEMO)).read_text().splitlines()) == len(demo_code())


def test_what_stages_write_is_ignored_as_in_the_clone(made: Path) -> None:
    own = (made / ".gitignore").read_text().splitlines()
    assert set(own) <= set((ROOT / ".gitignore").read_text().splitlines())


def test_stages_are_the_clones_but_for_code() -> None:
    clone, outside = stages(pipeline()), stages(project_pipeline())
    assert list(outside) == ["code", *clone]
    for name, stage in clone.items():
        code = {*demo_code()} if name == DEMO else {*code_of(STAGES[name])}
        inputs = [dep for dep in stage.pop("deps") if dep not in code]
        assert outside[name].pop("deps") == [*inputs, place(name).as_posix()]
        assert outside[name] == stage
    assert [next(iter(out)) for out in outside["code"]["outs"]] == [place(name).as_posix() for name in clone]


def test_git_and_dvc_that_are_there_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    (tmp_path / ".git" / "description").write_text("ours")
    monkeypatch.chdir(tmp_path)
    assert run(["init", "."]) == 0
    assert (tmp_path / ".git" / "description").read_text() == "ours"
    assert not (tmp_path / ".dvc" / "config").exists()


def test_a_folder_of_a_checkout_is_a_project_in_it(made: Path) -> None:
    (made / "data" / "ignored").mkdir(parents=True)
    assert run(["init", "inner"]) == run(["init", "data/ignored/mine"]) == 0
    assert not (made / "inner" / ".git").exists() and (made / "inner" / ".dvc" / "config").is_file()
    assert (made / "data" / "ignored" / "mine" / ".git").is_dir()


def test_init_refuses_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, full = tmp_path / "file", tmp_path / "full"
    file.touch()
    full.mkdir()
    for name in "abcde":
        (full / name).touch()
    (tmp_path / "link").symlink_to("nowhere")
    for place_, code, line in (
        (file, 3, f"FOLDER: {file} is a file; name a new or an empty folder"),
        (
            full,
            3,
            f"FOLDER: {full} is not empty, it has a, b, c and 2 more: choose a new or empty folder, then "
            "copy what you need into it",
        ),
        (
            ROOT,
            3,
            f"FOLDER: {ROOT} already has a dvc.yaml: choose a new or empty folder for a new project, or "
            f"upgrade a project of another version by `thinkrec init --upgrade {ROOT}`",
        ),
        (
            file / "below",
            8,
            f"cannot write {file / 'below'}: {file} is a file, not a folder; move what is there away, then "
            "run again",
        ),
        (
            tmp_path / "link",
            8,
            f"cannot write {tmp_path / 'link'}: {tmp_path / 'link'} is a broken link, not a "
            "folder; move what is there away, then run again",
        ),
    ):
        assert run(["init", str(place_)]) == code
        assert capsys.readouterr().err == f"error: {line}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "link"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_init_says_where_it_may_not_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o555)
    for folder in (tmp_path, tmp_path / "new"):
        assert run(["init", str(folder)]) == 8
        assert "permission denied; free space or rights, then run again" in capsys.readouterr().err


def test_init_says_that_git_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["init", str(tmp_path / "mine")]) == 3
    said = "error: git is not installed; install it, then run the same command again\n"
    assert capsys.readouterr().err == said
    monkeypatch.setenv("PATH", path)
    assert run(["init", str(tmp_path / "mine")]) == 0


def test_code_names_the_stages_that_an_upgrade_touches(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = (made / place("cluster")).read_text()
    (made / place("cluster")).write_text(now.replace("0", "1"))
    (made / place("cf")).unlink()
    capsys.readouterr()
    assert run(["code", "--edition", edition()]) == 0
    assert capsys.readouterr().out == "stages whose code changed: cf, cluster\n"
    assert (made / place("cluster")).read_text() == now
    kept = (made / place("cluster")).stat().st_mtime_ns
    assert run(["code"]) == 0
    assert capsys.readouterr().out == "stages whose code changed: none\n"
    assert (made / place("cluster")).stat().st_mtime_ns == kept


def test_dvc_yaml_of_another_version_is_refused_and_made_anew(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = (made / "dvc.yaml").read_text().replace(f"--edition {edition()}", "--edition 0")
    (made / "dvc.yaml").write_text(old)
    (made / "params.yaml").write_text("seed: 8\n")
    assert run(["code", "--edition", "0"]) == 3
    assert capsys.readouterr().err.startswith(f"error: {LATER}")
    assert run(["init", "--upgrade", "."]) == 0
    assert (made / "dvc.yaml").read_text() == project_pipeline()
    assert (made / "params.yaml").read_text() == "seed: 8\n"


@pytest.mark.parametrize("words", [["init", "--upgrade", "."], ["code"]])
def test_only_projects_are_upgraded(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dvc.yaml").write_text(pipeline())
    monkeypatch.chdir(tmp_path)
    assert run(words) == 3
    assert f"{tmp_path} is not a project made by `thinkrec init`" in capsys.readouterr().err
    assert (tmp_path / "dvc.yaml").read_text() == pipeline()


def dvc(*words: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "dvc", *words]
    env = {**os.environ, "PATH": path}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def pretend(made: Path) -> None:
    """Let every stage have run: outputs without content, which DVC has recorded."""
    for stage in stages(project_pipeline()).values():
        for kind in ("outs", "metrics", "plots"):
            for out in stage.get(kind, []):
                named = out if isinstance(out, str) else next(iter(out))
                named = re.sub(r"\$\{(key|item\.dataset)\}", "demo", named)
                path = made / named.replace("${item.variant}", "thinkrec")
                if "${item}" not in str(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
    dvc("commit", "--force", "--quiet")


def rerun() -> list[str]:
    """Stages that `dvc repro` would run."""
    said = dvc("repro", "--dry").splitlines()
    return [line.split("'")[1] for line in said if line.startswith("Running stage")]


@pytest.mark.slow
def test_dvc_runs_the_stages_whose_code_changed(made: Path) -> None:
    ran = [
        f"{name}@demo{'-thinkrec' * stage.by_variant}"
        for name, stage in STAGES.items()
        if stage.over == "datasets"
    ]
    assert dvc("stage", "list", "--name-only").split() == ["code", DEMO, *ran]
    pretend(made)
    assert dvc("status").split() == ["code:", "always", "changed"]
    assert rerun() == ["code"]
    text = made / place("cluster")
    text.write_text(text.read_text().replace("0", "1"))
    assert rerun() == ["code", "cluster@demo"]
    said = dvc("status")
    assert said.count("@demo:") == 1 and "cluster@demo:\n\tchanged deps:" in said
    dvc("repro", "code")
    assert dvc("status").split() == ["code:", "always", "changed"]

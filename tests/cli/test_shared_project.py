"""A colleague gets a trained project by git and a DVC remote, and asks it without any training."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import thinkrec
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.errors import ModelError
from thinkrec.files import read_json, write_json
from thinkrec_cli.main import run

SMALL = {
    "demo": {"users": 40, "items": 60, "interactions": 1200},
    "cf": {"models": ["lightgcn"], "epochs": 2, "seeds": 1, "encoders": {"lightgcn": {"embedding_size": 8}}},
}


def called(folder: Path, *words: str) -> str:
    """Run git or DVC in a folder, as somebody whom git knows."""
    who = {
        "GIT_AUTHOR_NAME": "n",
        "GIT_AUTHOR_EMAIL": "e",
        "GIT_COMMITTER_NAME": "n",
        "GIT_COMMITTER_EMAIL": "e",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "dvc", *words[1:]] if words[0] == "dvc" else [*words]
    env = {**os.environ, **who, "PATH": path}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A project with encoders alone, pushed, and a clone of it, pulled."""
    root = tmp_path_factory.mktemp("shared")
    mine, theirs = root / "mine", root / "theirs"
    assert run(["init", str(mine)]) == 0
    (mine / "params.yaml").write_text(params_text(Params.model_validate(SMALL)), encoding="utf-8")
    called(mine, "dvc", "repro", "cf@demo")
    weights = mine / "models" / "backbones" / "smollm2"
    weights.mkdir(parents=True)
    (weights / "model.safetensors").write_text("weights")
    called(mine, "dvc", "add", "models/backbones/smollm2")
    called(mine, "dvc", "remote", "add", "--default", "store", str(root / "store"))
    called(mine, "git", "add", ".")
    called(mine, "git", "commit", "--quiet", "--message", "Trained")
    called(mine, "dvc", "push")
    called(root, "git", "clone", "--quiet", str(mine), str(theirs))
    called(theirs, "dvc", "pull", "--allow-missing")
    return mine, theirs


@pytest.mark.slow
def test_a_pulled_project_answers_without_training(clone: tuple[Path, Path]) -> None:
    mine, theirs = clone
    there = thinkrec.load(theirs, dataset="demo", system="lightgcn")
    user = next(iter(there.users))
    found = there.recommend(user, k=5)
    own = thinkrec.load(mine, dataset="demo", system="lightgcn").recommend(user, k=5)
    assert len(found) == 5 and dict(found) == dict(own)


@pytest.mark.slow
def test_git_holds_no_weights_and_dvc_all_that_stages_wrote(clone: tuple[Path, Path]) -> None:
    mine, theirs = clone
    tracked = called(mine, "git", "ls-files").split()
    kept = {"params.yaml", "dvc.yaml", "dvc.lock", ".dvc/config", "models/backbones/smollm2.dvc"}
    assert kept <= set(tracked)
    assert not [name for name in tracked if name.endswith((".safetensors", ".parquet"))]
    assert (theirs / "data" / "demo" / "manifests" / "cf.json").is_file()
    assert (theirs / "models" / "backbones" / "smollm2" / "model.safetensors").read_text() == "weights"
    assert called(theirs, "git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_dvc_has_nothing_to_do_in_a_pulled_project(clone: tuple[Path, Path]) -> None:
    said = called(clone[1], "dvc", "repro", "--dry", "cf@demo").splitlines()
    assert [line for line in said if line.startswith("Running stage")] == ["Running stage 'code':"]


def test_a_backbone_that_did_not_come_along_is_named(tmp_path: Path) -> None:
    """backbone.json is there, the weights that it names are not."""
    from thinkrec.artifacts.check import check
    from thinkrec.artifacts.manifest import MODEL, describe, write_manifest
    from thinkrec.layout import Layout

    layout = Layout("demo", tmp_path)
    known, other = "`thinkrec fetch smollm2`, or `dvc pull` where", "which is not here: `dvc pull` where"
    for model, words in (("smollm2", known), ("x.gguf", other)):
        write_json(layout.backbone / "backbone.json", {"model": model, "revision": None})
        files = describe(layout.backbone, deep=True)
        files[f"{MODEL}model.safetensors"] = {"bytes": 1, "sha256": "0" * 64}
        write_manifest(layout, "backbone", {}, {}, {"backbone": files}, "")
        with pytest.raises(ModelError, match=words) as error:
            check(layout, ["backbone"], Params())
        assert f"backbone was made of the language model {model}, which is not here" in str(error.value)
        assert read_json(layout.backbone / "backbone.json")["model"] == model

"""docs/share.md: a colleague gets a trained project by git and a DVC remote, and asks it without training."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, blocks
from small_chain import Chain, seal

from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.errors import ModelError
from thinkrec.files import read_json, write_json
from thinkrec.layout import Layout
from thinkrec_cli.main import run

WEIGHTS = "models/backbones/llama"
SHARE, GET, *_ = [block.text for block in blocks(ROOT / "docs" / "share.md") if block.language == "sh"]
"""The page's lines for the one who shares a project, and for the one who gets it."""
WHO = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def called(folder: Path, line: str) -> str:
    """Run a line of shell in a folder, as somebody whom git knows; what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, **WHO, "PATH": path}
    command = ["bash", "-ec", line]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shared(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A trained project with a language model, a clone of it, and what the page's last line says there."""
    root = tmp_path_factory.mktemp("shared")
    mine, theirs = root / "mine", root / "theirs"
    assert run(["init", str(mine)]) == 0
    chain.copy(root).root.rename(root / "trained")
    (root / "trained" / "raw").rename(root / "demo")
    called(
        root, "cp -a trained/. mine && mkdir -p mine/data/raw mine/models/backbones && mv demo mine/data/raw"
    )
    called(root, f"cp -a {chain.params.backbone.model} mine/{WEIGHTS}")
    layout, backbone = Layout("demo", mine), chain.params.backbone.model_copy(update={"model": WEIGHTS})
    params = chain.params.model_copy(update={"backbone": backbone})
    (mine / "params.yaml").write_text(params_text(params), encoding="utf-8")
    noted = layout.backbone / "backbone.json"
    write_json(noted, read_json(noted) | {"model": WEIGHTS})
    seal(layout, params)
    called(mine, "dvc commit --force")  # as if `dvc repro` had made them
    assert "models/backbones/smollm2" in SHARE and "/srv/thinkrec" in SHARE
    called(
        mine, SHARE.replace("models/backbones/smollm2", WEIGHTS).replace("/srv/thinkrec", str(root / "store"))
    )
    called(root, "git clone --quiet mine theirs")
    return mine, theirs, called(theirs, GET)


@pytest.mark.slow
def test_a_pulled_project_answers_as_the_trained_one(shared: tuple[Path, Path, str]) -> None:
    mine, _, said = shared
    ask = GET.splitlines()[-1]
    assert ask.startswith("thinkrec recommend ")
    answer = called(mine, ask)
    assert answer in said and "thinkrec on demo" in answer


@pytest.mark.slow
def test_git_holds_no_weights_and_dvc_all_that_stages_wrote(shared: tuple[Path, Path, str]) -> None:
    mine, theirs, _ = shared
    tracked = called(mine, "git ls-files").split()
    assert {"params.yaml", "dvc.yaml", "dvc.lock", ".dvc/config", f"{WEIGHTS}.dvc"} <= set(tracked)
    assert not [name for name in tracked if name.endswith((".safetensors", ".parquet"))]
    assert {path.name for path in (theirs / "data" / "demo" / "manifests").iterdir()} == {
        path.name for path in (mine / "data" / "demo" / "manifests").iterdir()
    }
    assert called(theirs, "git status --porcelain") == ""


@pytest.mark.slow
def test_dvc_has_nothing_to_do_in_a_pulled_project(shared: tuple[Path, Path, str]) -> None:
    said = called(shared[1], "dvc repro --dry").splitlines()
    assert [line for line in said if line.startswith("Running stage")] == ["Running stage 'code':"]


def test_a_backbone_that_did_not_come_along_is_named(tmp_path: Path) -> None:
    """backbone.json is there, the weights that it names are not."""
    from thinkrec.artifacts.check import check
    from thinkrec.artifacts.manifest import MODEL, describe, write_manifest

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

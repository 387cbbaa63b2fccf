"""`thinkrec doctor`: every problem, made for real, is named with a remedy that works; nothing is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from listing import Models, edit

from thinkrec.artifacts.lock import locked
from thinkrec.artifacts.manifest import read_manifest, write_manifest
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.doctor import machine, packages, pipeline
from thinkrec.doctor.diagnose import ORDER, diagnose
from thinkrec.doctor.finding import Finding, split
from thinkrec.layout import Layout, path_of
from thinkrec.pipeline import STAGES
from thinkrec_cli.doctor import expected, show
from thinkrec_cli.main import run

KEY = "marker-51f0c2a94be7"
Usage = namedtuple("Usage", "total used free")


def findings(state: str = "", group: str = "", **options: Any) -> list[Finding]:
    """What is found in the current folder, without any network unless asked."""
    found = diagnose(**{"network": False, **options})
    return [each for each in found if state in ("", each.state) and group in ("", each.group)]


def one(part: str, found: list[Finding]) -> Finding:
    """The only finding whose text has this part."""
    named = [each for each in found if part in each.what]
    assert len(named) == 1, (part, found)
    return named[0]


def tree(root: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder but DVC's own scratch, with mode, size and time of the last change."""
    paths = [path for path in root.rglob("*") if ".dvc/tmp" not in path.as_posix()]
    stats = {path.as_posix(): path.lstat() for path in paths}
    return {name: (each.st_mode, each.st_size, each.st_mtime_ns) for name, each in stats.items()}


def test_a_finished_project_has_no_problem(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(Path())
    assert run(["doctor", "--no-network"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[-1] == "no problems"
    assert all(line.split()[0] in ("ok", "note") and line.split()[1] in ORDER for line in lines[:-1])
    assert "ok       data       demo: all stages are done" in lines
    assert "ok       data       demo: what the stages made is whole, and fits params.yaml" in lines
    assert tree(Path()) == before


def test_json_is_one_document(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    edit(lambda params: params["backbone"].update(model="missing/er/model"))
    assert run(["doctor", "--no-network", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["problems"] == sum(each["state"] == "problem" for each in said["findings"]) == 1
    assert {each["group"] for each in said["findings"]} == set(ORDER)
    assert all(set(each) == {"state", "what", "remedy", "group"} for each in said["findings"])
    assert all(each["remedy"] for each in said["findings"] if each["state"] == "problem")


def test_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    show(
        [
            Finding("ok", "[bold] is no markup", group="machine"),
            Finding("problem", "a gap", "fill it", "machine"),
        ]
    )
    out = capsys.readouterr().out
    assert "\x1b[3" not in out  # no colour
    assert [re.sub("\x1b\\[[0-9]*m", "", line).rstrip() for line in out.splitlines()] == [
        "machine  ok       [bold] is no markup",
        "         problem  a gap",
        "                  fill it",
    ]


def test_elsewhere_only_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[1] for line in lines[:-1]} == {"packages", "machine", "project"}
    assert f"there is no params.yaml in {tmp_path}: only the machine was looked at" in lines[-2]
    assert list(tmp_path.iterdir()) == []


def test_all_errors_of_params_are_named(project: Layout) -> None:
    edit(lambda params: (params["cf"].update(epochs=0), params["loss"].update(bce=1)))
    found = findings("problem")
    assert [each.group for each in found] == ["project", "project"]
    assert found[0].what.startswith("params.yaml: loss.bce: no such key; known here: reasoning_share")
    assert found[1].what.startswith("params.yaml: cf.epochs: must be greater than or equal to 1")
    assert found[0].remedy == "correct that in params.yaml"
    one("data, weights and endpoints were not looked at", findings("note", "project"))


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n", "seed: \x00", "x" * 2_000_000])
def test_what_is_no_params_file(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text)
    found = findings("problem", "project")
    assert found and all(each.remedy for each in found)


def test_values_at_odds_are_named_before_a_stage_refuses_them(project: Layout) -> None:
    edit(lambda params: (params["cf"].update(models=["mf"]), params["tuned"].pop("demo")))
    said = [each.what for each in findings("problem", "project")]
    assert any("`lightgcn` is not among `cf.models` (mf)" in each for each in said)
    assert any("tuned.demo: is missing" in each for each in said)


def test_a_damaged_artifact_and_its_remedy(project: Layout) -> None:
    good = project.keywords.read_bytes()
    project.keywords.write_bytes(good[:-9] + b"damaged.")
    found = one("data/demo/keywords.parquet: not as `thinkrec summarize` wrote it", findings("problem"))
    assert found.remedy == "run `thinkrec summarize --dataset demo` again"
    assert run(found.remedy.split("`")[1].split()[1:]) == 0
    assert findings("problem") == []


@pytest.mark.parametrize(
    "artifact", ["items", "keywords", "encoders", "clusters", "experts", "predictions", "page"]
)
def test_an_artifact_that_is_gone(project: Layout, artifact: str) -> None:
    """Whether a later stage reads it or not."""
    path = path_of(project, artifact)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    stage = next(name for name, each in STAGES.items() if artifact in each.made)
    found = one(f"demo: {path} is missing, which `thinkrec {stage}` wrote", findings("problem", "data"))
    assert found.remedy == f"run `thinkrec {stage} --dataset demo` again"
    assert "is whole" not in str(findings("ok", "data"))


def test_an_artifact_that_its_stage_left_out(project: Layout) -> None:
    noted = read_manifest(project, "projector")
    noted["outputs"]["curve:projector"] = {}
    kept = {key: noted[key] for key in ("inputs", "params", "outputs", "code") if key in noted}
    write_manifest(project, "projector", **kept)
    project.curve("projector").unlink()
    assert findings("problem") == []


def test_a_changed_manifest(project: Layout) -> None:
    path = project.manifest("cluster")
    path.write_text(path.read_text().replace('"seed": 7', '"seed": 8'))
    found = one(f"{path} was changed by hand or is damaged", findings("problem", "data"))
    assert found.remedy == "run `thinkrec cluster --dataset demo` again"


def test_an_input_that_was_made_again(project: Layout) -> None:
    edit(lambda params: params["summarize"].update(max_keywords=2))
    assert "made with summarize.max_keywords: 10" in one("keywords.parquet", findings("note", "data")).what
    assert run(["summarize", "--dataset", "demo"]) == 0
    stale = one("rationales.parquet was made from another", findings("problem", "data"))
    assert stale.remedy == "run `thinkrec synthesize --dataset demo` again and the stages after it"


def test_parameters_that_the_next_stage_refuses(project: Layout) -> None:
    edit(lambda params: params["prompt"].update(history_length=3))
    found = findings("problem", "data")
    assert found and all("prompt.history_length: 4, params.yaml says 3 now" in each.what for each in found)
    assert any("thinkrec synthesize --dataset demo" in each.remedy for each in found)


def test_stages_that_are_missing_and_the_next_one(project: Layout) -> None:
    shutil.rmtree(project.clusters)
    project.manifest("cluster").unlink()
    shutil.rmtree(project.reports)
    project.manifest("evaluate").unlink()
    found = one("not yet: cluster, evaluate", findings("note", "data"))
    assert found.remedy == "run `dvc repro`, or begin with `thinkrec cluster --dataset demo`"
    assert run(["cluster", "--dataset", "demo"]) == 0
    one("not yet: evaluate", findings("note", "data"))


def test_a_report_on_encoders_needs_no_language_model(project: Layout) -> None:
    edit(lambda params: params["evaluate"].update(systems=["mf", "gbdt"]))
    edit(lambda params: params["backbone"].update(model="not/a/model"))
    assert findings("problem") == []
    one("no system of evaluate.systems needs a language model", findings("ok", "weights"))


def test_raw_files(project: Layout) -> None:
    shutil.rmtree("data/raw/demo")
    found = one("data/raw/demo is not there yet; prep has run", findings("note", "data"))
    assert found.remedy == "`thinkrec fetch demo` makes it"
    project.interactions.unlink()
    assert run(["fetch", "demo"]) == 0
    assert "data/raw/demo" not in str(findings("note", "data"))
    new = {"reader": "ml1m", "raw": "data/raw/ml1m", "watch": "data/raw/ml1m"}
    edit(lambda params: (params["datasets"].update(ml1m=new), params["tuned"].update(ml1m={})))
    found = one("ml1m: data/raw/ml1m is not there yet", findings("problem", "data"))
    assert found.remedy == "`thinkrec fetch ml1m` makes it"


def test_running_and_unfinished_stages(project: Layout) -> None:
    checkpoint = project.work("global") / "0123" / "checkpoint-20"
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights").write_bytes(bytes(1_500_000))
    found = one("a stopped run of global-thinkrec left 1.5 MB, checkpoints up to step 20", findings("note"))
    assert "`thinkrec global --dataset demo` takes up what fits" in found.remedy
    with locked(project, "global"), locked(project, "cf"):
        before = project.lock("cf").read_bytes()
        running = one("`thinkrec cf --dataset demo` is running as process", findings("note", "data"))
        assert running.what.count(str(os.getpid())) == 1 and "wait until it has ended" in running.remedy
        assert project.lock("cf").read_bytes() == before
        assert not [each for each in findings("note", "data") if "stopped run" in each.what]
    assert not [each for each in findings("note", "data") if "is running" in each.what]


def test_outputs_that_wait_for_their_place(project: Layout) -> None:
    journal = project.journal("cf")
    journal.parent.mkdir(exist_ok=True)
    journal.write_text('{"moves": [], "remove": []}')
    found = one("a stopped run has written cf and not put it in place yet", findings("note", "data"))
    assert "thinkrec prep --dataset demo" in found.remedy
    assert journal.exists()


def test_missing_weights(project: Layout) -> None:
    for model, said in (
        ("/no/such/folder", "there is no folder /no/such/folder, and the hub has no such names"),
        ("models/some.gguf", "there is no file models/some.gguf"),
    ):
        edit(lambda params, model=model: params["backbone"].update(model=model))
        assert one(said, findings("problem", "weights")).remedy == "correct backbone.model in params.yaml"
    edit(lambda params: params["backbone"].update(model="someone/some-model"))
    found = one("someone/some-model is no folder and not in the hub's cache", findings("note", "weights"))
    assert found.remedy == "`thinkrec backbone --dataset demo` downloads it from the hub"
    edit(lambda params: params["backbone"].update(model="smollm2"))
    assert "`thinkrec fetch smollm2`" in one("smollm2 is not here yet", findings("note", "weights")).remedy
    place = Path("models/backbones/smollm2")
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(b"torn")
    found = one("models/backbones/smollm2 is damaged", findings("problem", "weights"))
    assert found.remedy == "run `thinkrec fetch smollm2` again"
    whole = {"md5": "d41d8cd98f00b204e9800998ecf8427e", "path": "smollm2"}
    place.with_name("smollm2.dvc").write_text(json.dumps({"outs": [whole]}))
    kept = Path(".dvc/cache/files/md5/d4/1d8cd98f00b204e9800998ecf8427e")
    kept.parent.mkdir(parents=True)
    kept.touch()
    found = one("models/backbones/smollm2 is damaged", findings("problem", "weights"))
    assert (
        found.remedy
        == "run `dvc checkout --force models/backbones/smollm2` or `thinkrec fetch smollm2` again"
    )


def test_a_hub_that_does_not_answer(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    edit(lambda params: params["backbone"].update(model="someone/some-model"))
    found = one("the hub does not answer", findings("problem", "weights", network=True))
    assert "or copy the model's folder and name it there" in found.remedy


def test_model_without_weights_and_a_start_that_is_none(project: Layout) -> None:
    folder = Path("bare")
    shutil.copytree(project.root / "models" / "demo" / "backbone", folder)
    edit(lambda params: params["backbone"].update(model="bare"))
    edit(lambda params: params["global"].update(start="no-lora"))
    found = findings("problem", "weights")
    assert "copy or download" in one("backbone.model: bare holds no weights", found).remedy
    assert "set global.start to null" in one("global.start: no-lora is no folder of a LoRA", found).remedy
    edit(lambda params: params["global"].update(start="smollm2"))
    one("global.start: smollm2 fits that language model alone", findings("note", "weights"))


def test_what_measures_reasons(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nltk.data.path", [])
    monkeypatch.setattr("thinkrec.metrics.reasons.meteor.find_wordnet", lambda folder: None)
    edit(lambda params: params["evaluate"].update(bleurt="no such/bleurt/folder"))
    found = findings(group="weights")
    assert one("nltk finds no WordNet", found).remedy == "run `thinkrec fetch wordnet`"
    assert one("no model of sentence vectors", found).remedy == "run `thinkrec fetch minilm`"
    assert "set it to null" in one("evaluate.bleurt: there is no folder", found).remedy
    Path("bleurt").mkdir()
    edit(lambda params: params["evaluate"].update(bleurt="bleurt", sentence_model="bleurt"))
    found = findings("problem", "weights")
    one("bleurt has no config.json, no spm.model, no model.safetensors or pytorch_model.bin", found)
    assert "`thinkrec fetch minilm`" in one("evaluate.sentence_model: bleurt is no folder", found).remedy
    edit(lambda params: params["evaluate"].update(reasons=0))
    assert findings("problem", "weights") == []


def endpoint(url: str, **values: Any) -> None:
    """Have the teacher of rationales be an endpoint."""
    own = {"base_url": url, "key_variable": "DOCTOR_TEST_KEY", **values}
    edit(lambda params: (params["synthesize"].update(teacher="endpoint"), params["endpoint"].update(own)))


def test_an_endpoint_answers(project: Layout, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint(models.url)
    found = one(f"synthesize.endpoint {models.url} answers", findings(group="endpoints", network=True))
    assert found.state == "ok" and found.what.endswith("DOCTOR_TEST_KEY is not set, and not needed")
    monkeypatch.setenv("DOCTOR_TEST_KEY", KEY)
    found = one("answers; DOCTOR_TEST_KEY is set", findings("ok", "endpoints", network=True))
    assert models.asked[-1] == ("/v1/models", f"Bearer {KEY}")
    asked = len(models.asked)
    one("not asked", findings("ok", "endpoints"))
    assert len(models.asked) == asked


@pytest.mark.parametrize(
    ("status", "state", "said", "remedy"),
    [
        (401, "problem", "the key in DOCTOR_TEST_KEY is not accepted", "set the environment variable"),
        (403, "problem", "answers 403", "DOCTOR_TEST_KEY to a valid key"),
        (404, "note", "answers, but names no models (status 404)", ""),
        (500, "problem", "answers 500", "look into the server's log"),
    ],
)
def test_an_endpoint_refuses(
    status: int, state: str, said: str, remedy: str, project: Layout, models: Models,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("DOCTOR_TEST_KEY", KEY)
    models.status = status
    endpoint(models.url.replace("127.0.0.1", "user:s3cr3t-word@127.0.0.1") + "?token=q-t0ken-q")
    found = one(said, findings(state, "endpoints", network=True))
    assert remedy in found.remedy
    assert run(["doctor"]) == run(["doctor", "--json"]) == (state == "problem")
    shown = "".join(capsys.readouterr())
    assert said in shown
    assert not any(secret in shown for secret in (KEY, "s3cr3t-word", "q-t0ken-q"))


def test_an_endpoint_is_closed_slow_or_has_other_models(
    project: Layout, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint("http://127.0.0.1:9/v1")
    found = one(
        "synthesize.endpoint http://127.0.0.1:9/v1 cannot be reached", findings("problem", network=True)
    )
    assert found.remedy == "start the server, or correct synthesize.endpoint.base_url in params.yaml"
    endpoint(models.url, model="another")
    found = one("has no model another; it has Qwen/QwQ-32B", findings("problem", network=True))
    assert "set synthesize.endpoint.model in params.yaml" in found.remedy
    models.pause = 1.0
    monkeypatch.setattr("thinkrec.doctor.endpoints.PATIENCE", 0.2)
    one("does not answer within 0.2 s", findings("problem", network=True))


def test_a_key_that_can_not_be_sent(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCTOR_TEST_KEY", f"{KEY} and more")
    endpoint("http://example.invalid/v1")
    found = one("DOCTOR_TEST_KEY holds a blank", findings("problem", "endpoints"))
    assert KEY not in str(found)
    monkeypatch.delenv("DOCTOR_TEST_KEY")
    assert "DOCTOR_TEST_KEY" in one("is not set", findings("note", "endpoints")).remedy


def versions(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> None:
    """Have packages be of other versions, or missing."""
    real = metadata.version

    def version(name: str) -> str:
        found = changed.get(name.replace("-", "_"), real(name))
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)


def test_packages_that_are_missing_or_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = next(line for line in metadata.requires("thinkrec") or [] if line.startswith("peft"))
    versions(monkeypatch, peft="0.1", duckdb=None, s3fs=None)
    found = findings("problem", "packages")
    assert one("peft 0.1: thinkrec needs", found).remedy == f"run `pip install '{wanted}'`"
    assert one("duckdb is not installed", found).remedy.startswith("run `pip install 'duckdb>=")
    one("s3fs", findings("note", "packages"))
    Path("requirements.lock").write_text("# pins\npeft==0.2 ; python_version > '3'\n")
    assert "pip install -c requirements.lock" in one("peft 0.1: thinkrec", findings("problem")).remedy
    one("not the versions of requirements.lock: peft 0.1 (pinned: 0.2)", findings("note", "packages"))
    assert run(["doctor"]) == 1


def test_another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packages.platform, "python_version", lambda: "3.9.1")
    assert "new environment" in one("Python 3.9.1: thinkrec needs >=3.11", findings("problem")).remedy


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["torch", "pydantic", "rich"])
def test_a_package_that_can_not_be_imported(missing: str, project: Layout, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name.partition('.')[0] == {missing!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
    )
    command = [sys.executable, "-m", "thinkrec_cli.main", "doctor", "--no-network"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    options = ["--json"] if missing != "rich" else []
    done = subprocess.run([*command, *options], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"No module named '{missing}" in done.stdout
    assert "install the packages that the lines above name" in done.stdout
    if options:
        assert {each["group"] for each in json.loads(done.stdout)["findings"]} >= {"machine", "pipeline"}


def test_a_full_disk_and_a_folder_that_may_not_be_written(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: Usage(10**12, 10**12, 2 * 10**7))
    monkeypatch.setattr(machine.os, "access", lambda path, mode: False)
    found = findings("problem", "machine")
    assert "free some space" in one("20.0 MB of disk are free; the stages write about 1.0 GB", found).remedy
    assert "the right to write" in one("may not be written", found).remedy


def test_too_little_memory(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    little = psutil.virtual_memory()._replace(available=1000, total=10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    edit(lambda params: params["prep"].update(max_memory="2GB"))
    found = findings("problem", "machine")
    assert "set it to null" in one("but prep.max_memory is 2GB", found).remedy
    assert "choose a smaller backbone.model" in one("for its weights alone in float32", found).remedy


@pytest.mark.parametrize(
    ("built_for", "driver", "hidden", "state", "remedy"),
    [
        (None, False, None, "ok", ""),
        (None, True, None, "problem", machine.CPU_BUILD),
        ("13.0", True, None, "problem", "update the driver"),
        ("13.0", True, "", "note", "unset it"),
        ("13.0", False, None, "note", "CPU build is several gigabytes smaller"),
    ],
)
def test_gpus_and_builds_of_torch(
    built_for: str | None, driver: bool, hidden: str | None, state: str, remedy: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    (tmp_path / "driver").touch()
    monkeypatch.setattr(machine, "_DRIVER", tmp_path / ("driver" if driver else "none"))
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    if hidden is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found = next(each for each in findings(group="machine") if "GPU" in each.what)
    assert (found.state, remedy in found.remedy) == (state, True)


def test_what_gpus_are_missing_for(project: Layout) -> None:
    edit(lambda params: (params["backbone"].update(load_in_4bit=True), params.update(processes=4)))
    found = findings(group="machine")
    assert "set processes to 1" in one("processes is 4 in params.yaml", found).remedy
    assert "false in params.yaml" in one("backbone.load_in_4bit needs a GPU", found).remedy


def test_dtype_and_threads(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    edit(lambda params: params["backbone"].update(dtype="bfloat16"))
    assert "to auto" in one("no instructions: it is slow", findings("note", "machine")).remedy
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(4))
    monkeypatch.setattr("thinkrec.machine.CGROUP", Path("/nowhere"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert "unset OMP_NUM_THREADS" in one("1 thread on 4 processor cores", findings("note")).remedy
    Path("cpu.max").write_text("200000 100000\n")
    monkeypatch.setattr("thinkrec.machine.CGROUP", Path())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert "OMP_NUM_THREADS to 2" in one("8 threads on 2 processor cores", findings("note")).remedy


def test_a_new_project_has_no_problem(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(made)
    assert run(["doctor", "--no-network"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "ok       project    dvc.yaml is of this version" in lines
    assert "note     data       demo: nothing was run yet: run `dvc repro`" in lines
    assert "ok       data       demo: data/raw/demo is not here; `dvc repro` makes it" in lines
    assert "ok       pipeline   DVC reads the pipeline; all of its stages are to run" in lines
    assert not [line for line in lines if " pipeline " in line and not line.startswith("ok ")]
    assert tree(made) == before


def test_a_clone_without_what_dvc_keeps(made: Path) -> None:
    """The lock lists stages, none of whose outputs came along: one line, not one a stage."""
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    code = made / ".thinkrec" / "code" / "cf.txt"
    code.write_text("of another version")
    found = one("nothing was run yet", findings("note", "data", expected=expected))
    assert found.remedy == "run `dvc repro`; `dvc pull` brings what a remote has"
    assert not findings("note", "project", expected=expected) + findings("note", "pipeline")
    (made / "data" / "demo" / "manifests").mkdir(parents=True)
    (made / "data" / "demo" / "manifests" / "prep.json").write_text("{}")
    one("the code of cf has changed", findings("note", "project", expected=expected))
    assert findings("note", "pipeline")


def test_a_project_of_another_version_and_its_remedy(made: Path) -> None:
    text = (made / "dvc.yaml").read_text()
    (made / "dvc.yaml").write_text(text.replace("--edition ", "--edition 0"))
    code = made / ".thinkrec" / "code" / "cf.txt"
    code.write_text(code.read_text().replace("0", "1"))
    (made / "data" / "demo" / "manifests").mkdir(parents=True)
    (made / "data" / "demo" / "manifests" / "prep.json").write_text("{}")
    found = one("dvc.yaml was made by another version", findings("problem", expected=expected))
    assert found.remedy == "run `thinkrec init --upgrade .` to regenerate it"
    one("the code of cf has changed", findings("note", "project", expected=expected))
    assert run(found.remedy.split("`")[1].split()[1:]) == 0
    assert [each.state for each in findings(group="project", expected=expected)] == ["ok", "ok"]
    (made / "dvc.yaml").write_text(text.replace("params: [demo]", "params: [demo, seed]"))
    one("dvc.yaml was changed by hand", findings("note", "project", expected=expected))
    (made / "dvc.yaml").write_text("stages: {}\n")
    one("dvc.yaml is not what this version makes", findings("problem", "project", expected=expected))


def test_a_project_without_the_stages_that_params_asks_for(made: Path) -> None:
    edit(lambda params: params["evaluate"].update(systems=["encoders"]))
    assert run(["init", "--upgrade", "."]) == 0
    assert [each.state for each in findings(group="project", expected=expected)] == ["ok", "ok"]
    edit(lambda params: params["evaluate"].update(systems=["encoders", "variants"]))
    found = one("dvc.yaml has no stages for the language model", findings("problem", expected=expected))
    assert found.remedy == "run `thinkrec init --upgrade .` to regenerate it"


def test_without_git_and_dvc(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(made / ".dvc")
    shutil.rmtree(made / ".git")
    assert "run `dvc init`" in one("DVC is not initialised", findings("problem", "pipeline")).remedy
    assert one("in no git repository", findings("note", "pipeline")).remedy == "run `git init`"
    monkeypatch.setenv("PATH", str(made))
    one("git is not installed", findings("note", "pipeline"))


def dvc(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *words, "--quiet"], check=True)


def test_a_project_that_lost_its_repository(made: Path) -> None:
    """DVC can't work there: one problem, not a note and a problem."""
    shutil.rmtree(made / ".git")
    (found,) = findings(group="pipeline")
    assert (
        found.what == "this folder is in no git repository, so nothing keeps its history; DVC can't work so"
    )
    assert (found.state, found.remedy) == ("problem", "run `git init`")
    subprocess.run(["git", "init", "--quiet"], check=True)
    assert {each.state for each in findings(group="pipeline")} == {"ok"}


CONFLICT = "<<<<<<< HEAD\nstages: {}\n=======\n>>>>>>> other\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text", "what", "remedy"),
    [
        ("dvc.lock", CONFLICT, "dvc.lock holds conflicts of a merge", "lasts), then run `dvc repro`"),
        ("dvc.yaml", f"x: 1\n{CONFLICT}", "dvc.yaml holds conflicts of a merge", "then run `dvc status`"),
        ("dvc.lock", "{", "dvc.lock is no valid YAML", "remove dvc.lock; `dvc repro` writes it again"),
        ("dvc.yaml", "a: [", "dvc.yaml is no valid YAML", "run `git checkout dvc.yaml`"),
        ("dvc.yaml", "stages: {a: {cmd: x, deps: [raw], outs: [\"${nowhere}\"]}}", "Could not find 'nowhere'",
         "correct in params.yaml what it names"),
    ],
)  # fmt: skip
def test_what_dvc_can_not_read(name: str, text: str, what: str, remedy: str, made: Path) -> None:
    subprocess.run(["git", "add", "."], check=True)
    Path(name).write_text(text)
    found = one("DVC can't tell its state", findings("problem", "pipeline"))
    assert what in found.what and remedy in found.remedy


@pytest.mark.slow
def test_params_that_neither_dvc_nor_thinkrec_can_read(made: Path) -> None:
    """The lines on params.yaml say what is wrong with it: DVC adds no problem of its own."""
    Path("params.yaml").write_text("a: [")
    assert [each.group for each in findings("problem")] == ["project"]
    one("DVC's state is not known without a valid params.yaml", findings("note", "pipeline"))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one's own files, linked to, whose prep has run; the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "raw" / "mine"
    folder.mkdir(parents=True)
    (tmp_path / "elsewhere.csv").write_text("user,item,rating,timestamp\nu,i,4,1\n")
    (folder / "ratings.csv").symlink_to(tmp_path / "elsewhere.csv")
    (folder / "items.jsonl").write_text('{"item": "i", "title": "A Film"}\n')
    mine = {"reader": "custom", "raw": "data/raw/mine", "watch": "data/raw/mine", "items": "items.jsonl"}
    values = {"datasets": {"mine": mine}, "tuned": {"mine": {}}, "evaluate": {"systems": ["mf"]}}
    Path("params.yaml").write_text(params_text(Params.model_validate(values)))
    Path("dvc.yaml").write_text("stages: {prep: {cmd: x, deps: [data/raw/mine], outs: [out]}}\n")
    layout = Layout("mine")
    layout.interactions.parent.mkdir(parents=True, exist_ok=True)
    layout.interactions.touch()
    return folder


def test_raw_files_that_dvc_needs(own: Path) -> None:
    assert one("mine: raw files are there", findings(group="data")).state == "ok"
    Path("elsewhere.csv").rename("moved.csv")
    found = one("data/raw/mine/ratings.csv leads to", findings("problem", "data"))
    assert found.what.endswith("which is not there; prep has run, but `dvc repro` fails without it")
    subprocess.run(found.remedy.split("`")[1].replace("FILE", f"{Path.cwd()}/moved.csv").split(), check=True)
    one("mine: raw files are there", findings("ok", "data"))
    shutil.rmtree(own)
    found = one("data/raw/mine is not there", findings("problem", "data"))
    assert found.remedy.startswith("make that folder and put items.jsonl and ratings.csv into it")
    Path("data/raw/mine.dvc").touch()
    found = one("data/raw/mine is not there", findings("problem", "data"))
    assert found.remedy == "run `dvc pull`, which brings it where a remote has it"
    Path("dvc.yaml").unlink()
    one("prep has run, so only prep needs it", findings("note", "data"))


@pytest.mark.slow
def test_a_link_to_nothing_on_which_a_stage_depends(own: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc("init")
    (own / "more.csv").symlink_to("/nowhere/more.csv")
    found = one("DVC can't tell its state", findings("problem", "pipeline"))
    assert found.what.endswith("more.csv, on which a stage depends, is not there")
    (own / "more.csv").unlink()
    assert findings("problem", "pipeline") == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rating": "stars"}, "ratings.csv has no column `stars`"),
        ({"user": "User"}, "ratings.csv has no column `User`"),
        ({"title": "name", "description": "plot"}, "items.jsonl has no name, no plot"),
        ({"encoding": "utf-16"}, "ratings.csv is not in UTF-16; it reads as UTF-8"),
    ],
)
def test_columns_that_the_files_lack(values: dict[str, str], said: str, own: Path) -> None:
    before = tree(own)
    edit(lambda params: params["datasets"]["mine"].update(values))
    found = one(said, findings("problem", "data"))
    assert found.remedy == "correct datasets.mine in params.yaml, or the file"
    assert tree(own) == before


def test_columns_of_parquet(own: Path) -> None:
    pq.write_table(pa.table({"item": ["i"], "Title": ["A Film"]}), own / "items.parquet")
    edit(lambda params: params["datasets"]["mine"].update(items="items.parquet"))
    one("items.parquet has no title", findings("problem", "data"))
    edit(lambda params: params["datasets"]["mine"].update(title="Title"))
    assert "items.parquet" not in str(findings("problem", "data"))


def test_a_tracker_that_is_not_installed(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.integrations import integration_utils

    edit(lambda params: params.update(report_to="wandb"))
    monkeypatch.setattr(integration_utils, "is_wandb_available", lambda: False)
    found = one("report_to is wandb, and the package wandb is not installed", findings("problem", "packages"))
    assert found.remedy == "install it (`pip install wandb`), or set report_to to none in params.yaml"
    monkeypatch.setattr(integration_utils, "is_wandb_available", lambda: True)
    assert findings("problem", "packages") == []


def test_bfloat16_is_what_the_language_model_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from thinkrec.llm.backbone import SMALL, settled_dtype

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert machine.has_bfloat16() == has == (settled_dtype("auto", SMALL) == "bfloat16")


@pytest.mark.slow
def test_a_project_of_encoders_loads_neither_transformers_nor_nltk(own: Path) -> None:
    """They take most of the seconds."""
    program = "import sys, thinkrec.doctor.diagnose as d; d.diagnose(network=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "torch" in done.stdout.split()
    assert not {"transformers", "nltk", "peft"} & set(done.stdout.split())


@pytest.mark.slow
def test_what_dvc_would_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("size: 1\n")
    Path("data/x/manifests").mkdir(parents=True)
    Path("data/x/manifests/prep.json").touch()
    Path("raw").write_text("rows")
    Path("dvc.yaml").write_text(
        "stages:\n"
        "  first: {cmd: cp raw one, deps: [raw], params: [size], outs: [one]}\n"
        "  second: {cmd: cp one two, deps: [one], outs: [two]}\n"
        "  third: {cmd: cp raw three, deps: [raw], outs: [three]}\n"
    )

    def said() -> list[str]:
        return [each.what for each in findings(group="pipeline") if "DVC" in each.what]

    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc("init")
    dvc("repro")
    assert said() == ["DVC: nothing has changed since the last `dvc repro`"]
    Path("params.yaml").write_text("size: 2\n")
    assert said() == ["DVC would run first again: params.yaml size (modified)"]
    Path("raw").write_text("more rows")
    Path("one").unlink()
    assert said() == [
        "DVC would run first again: raw (modified), params.yaml size (modified)",
        "DVC would run third again: raw (modified)",
        "DVC: outputs are not here of first",
        "DVC would run second again, which read what changes",
    ]
    Path("dvc.lock").write_text("{")
    assert "remove dvc.lock" in one("DVC can't tell its state", findings("problem", "pipeline")).remedy


@pytest.mark.slow
def test_the_commands_of_dvc_that_are_named_work(project: Layout) -> None:
    adapter = project.global_adapter / "adapter_model.safetensors"
    outs = [
        project.keywords, project.manifest("summarize"), project.global_adapter, project.manifest("global")
    ]  # fmt: skip
    named = "".join(f"      - {out}\n" for out in outs)
    Path("dvc.yaml").write_text(f"stages:\n  first:\n    cmd: 'true'\n    outs:\n{named}")
    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc("init")
    dvc("commit", "--force")
    adapter.unlink()
    dvc(*one(f"{adapter} is missing", findings("problem")).remedy.split("`")[1].split()[1:])
    project.keywords.write_bytes(b"torn")
    found = one("keywords.parquet: not as", findings("problem"))
    assert found.remedy.startswith("run `dvc checkout --force data/demo/keywords.parquet`, or `thinkrec")
    dvc(*found.remedy.split("`")[1].split()[1:])
    assert findings("problem") == []
    shutil.rmtree(".dvc/cache")
    found = one("DVC: outputs are here, but are not in DVC's cache, of first", findings("note", "pipeline"))
    assert found.remedy.startswith("run `dvc commit first`, which puts them there")
    dvc("commit", "first")
    assert "DVC: nothing has changed since the last `dvc repro`" in str(findings("ok", "pipeline"))


def test_what_is_in_neither_place(tmp_path: Path) -> None:
    """Of what DVC's cache lacks, what is here is told apart from what is not."""
    (tmp_path / "one").touch()
    told = {
        name: [{"changed outs": {name: "not in cache"}}, *more]
        for name, more in (("one", []), ("two", []), ("three", [{"changed deps": {"two": "deleted"}}]))
    }
    (tmp_path / "three").touch()
    said = [each.what for each in pipeline.changes(told, tmp_path)]
    assert said == [
        "DVC: outputs are not here of two",
        "DVC: outputs are here, but are not in DVC's cache, of one",
        "DVC would run three again, which read what changes",
    ]


def test_dvc_that_takes_too_long_is_stopped(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "STATUS", "import time; time.sleep(60)")
    monkeypatch.setattr(pipeline, "LIMIT", 0.1)
    one("DVC did not know its state in time", findings("note", "pipeline"))


def test_a_check_that_fails_is_a_finding(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("some library")

    monkeypatch.setattr("thinkrec.doctor.data.wanted_stages", broken)
    found = findings("problem")
    one("stages: this check failed (RuntimeError: some library)", found)
    assert findings("ok", "endpoints")


def test_messages_are_split_at_their_remedy() -> None:
    assert split("a: b: do c") == ("a: b", "do c")
    assert split("a: b; do c") == ("a: b", "do c")
    assert split("nothing to do") == ("nothing to do", "")

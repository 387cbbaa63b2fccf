"""dvc.yaml, params.yaml, commands, code and README must agree with each other."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from thinkrec.config.sections import Params
from thinkrec.config.sources import DemoSource
from thinkrec.config.tree import dumped
from thinkrec.config.write import params_text
from thinkrec_cli.commands import COMMANDS
from thinkrec_cli.reference import reference, write

ROOT = Path(__file__).parents[2]
ASIDE = ("fetch", "audit", "compare", "export", "replay", "search", "stats", "preset")
STAGES = [name for name in COMMANDS if name not in ASIDE]
AGENT = ("agent-backbone", "trajectories", "agent-sft", "agent-grpo", "evaluate-agent")
PIPELINE: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
# Rooms that any stage may use without running again when they change: they decide no number.
PLUMBING = ("artifacts", "config", "errors", "files", "journal", "layout", "progress", "runs", "threads")


def stage(name: str) -> dict[str, Any]:
    return PIPELINE[name].get("do", PIPELINE[name])


def paths(entries: list[Any]) -> list[str]:
    named = (entry if isinstance(entry, str) else next(iter(entry)) for entry in entries)
    return [path.replace("/${item}/", "/${key}/") for path in named]


def outputs(name: str) -> list[str]:
    return [path for kind in ("outs", "metrics", "plots") for path in paths(stage(name).get(kind, []))]


def imported(file: Path) -> set[Path]:
    """Files of this project that a file imports, inside functions too, but not for type checks only."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "thinkrec":
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found |= {ROOT / f"{name.replace('.', '/')}.py" for name in names}
    return {path for path in found if path.is_file()}


def reached(file: Path) -> set[str]:
    """All project files that a stage's code consists of, relative to the root, plumbing left out."""
    seen: set[Path] = set()
    waiting = {file}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        room = path.relative_to(ROOT / "thinkrec").parts[0].removesuffix(".py")
        if room not in PLUMBING:
            waiting |= imported(path) - seen
    inside = [path.relative_to(ROOT / "thinkrec") for path in seen]
    return {
        f"thinkrec/{path.as_posix()}" for path in inside if path.parts[0].removesuffix(".py") not in PLUMBING
    }


def code_of(name: str) -> list[str]:
    return [path for path in paths(stage(name)["deps"]) if path.startswith("thinkrec/")]


def covered(file: str, deps: list[str]) -> bool:
    return any(file == dep or file.startswith(f"{dep}/") for dep in deps)


@pytest.mark.parametrize("name", STAGES)
def test_stage_is_command_and_section(name: str) -> None:
    named = "item" if name in AGENT else "key"
    assert stage(name)["cmd"] == f"thinkrec {name} --dataset ${{{named}}}"
    assert PIPELINE[name]["foreach"] == ("${agents}" if name in AGENT else "${datasets}")
    assert name in dumped(Params())
    assert name in {param.split(".")[0] for param in stage(name)["params"]}
    assert f"reports/${{key}}/run/{name}.json" in outputs(name)
    assert (ROOT / "thinkrec" / "stages" / f"{COMMANDS[name]}.py").is_file()


def test_no_other_stages_than_those() -> None:
    assert list(PIPELINE) == ["demo", *STAGES]


@pytest.mark.parametrize("name", [*STAGES, "demo"])
def test_params_of_stages_exist(name: str) -> None:
    for param in stage(name)["params"]:
        values: Any = dumped(Params())
        for part in param.replace("${key}", "demo").split("."):
            assert part in values, param
            values = values[part]


@pytest.mark.parametrize("name", STAGES)
def test_params_that_a_command_passes_are_declared(name: str) -> None:
    text = (ROOT / "cli" / f"{COMMANDS[name]}.py").read_text(encoding="utf-8")
    passed = {key.removesuffix("_").replace("agent_", "agent-").replace("_agent", "-agent")
              for key in re.findall(r"params\.(\w+)", text)}  # fmt: skip
    assert passed <= {param.split(".")[0] for param in stage(name)["params"]}


@pytest.mark.parametrize("name", STAGES)
def test_code_of_a_stage_is_among_its_deps(name: str) -> None:
    files = reached(ROOT / "thinkrec" / "stages" / f"{COMMANDS[name]}.py")
    assert sorted(file for file in files if not covered(file, code_of(name))) == []


@pytest.mark.parametrize("name", ["demo", *STAGES])
def test_code_deps_exist(name: str) -> None:
    assert [dep for dep in code_of(name) if not (ROOT / dep).exists()] == []


def test_demo_data_depend_on_their_generator_only() -> None:
    files = reached(ROOT / "thinkrec" / "demo" / "generate.py")
    assert sorted(file for file in files if not covered(file, code_of("demo"))) == []


@pytest.mark.parametrize("name", ["demo", "prep", "summarize", "synthesize", "cf", "cluster"])
def test_a_change_of_the_scorer_does_not_run_this_again(name: str) -> None:
    assert not covered("thinkrec/llm/scorer.py", code_of(name))


def test_every_input_is_an_output_of_an_earlier_stage() -> None:
    made = ["${item.watch}"]
    for name in PIPELINE:
        inputs = [path for path in paths(stage(name)["deps"]) if not path.startswith("thinkrec/")]
        assert [path for path in inputs if not covered(path, made)] == [], name
        made += outputs(name)


def test_dvc_reads_the_pipeline() -> None:
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["demo", *(f"{name}@demo" for name in STAGES if name not in AGENT)]


@pytest.mark.slow
def test_names_of_data_sets_may_have_hyphens(tmp_path: Path) -> None:
    """`dvc` finds every stage of such a data set and runs `thinkrec` on it."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    entry = DemoSource(reader="demo")
    params = Params.model_validate({"datasets": {"ml-100k": entry}, "agents": ["ml-100k"]})
    (tmp_path / "params.yaml").write_text(params_text(params), encoding="utf-8")
    raw = tmp_path / entry.raw
    for folder in (raw, *(tmp_path / dep for dep in code_of("prep"))):
        folder.mkdir(parents=True)
    (raw / "items.csv").write_text(
        "item,title,description\n" + "".join(f"i{n},Title {n},\n" for n in range(7)), encoding="utf-8"
    )
    rows = (f"u{n % 4},i{n % 7},{1 + n % 5},{1_600_000_000 + 60 * n}\n" for n in range(40))
    (raw / "ratings.csv").write_text("user,item,rating,timestamp\n" + "".join(rows), encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def dvc(*words: str) -> list[str]:
        command = [sys.executable, "-m", "dvc", *words]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    dvc("init", "--no-scm", "--quiet")
    assert dvc("stage", "list", "--name-only") == ["demo", *(f"{name}@ml-100k" for name in STAGES)]
    dvc("repro", "--single-item", "prep@ml-100k")
    assert (tmp_path / "data" / "ml-100k" / "interactions.parquet").is_file()
    assert "prep@ml-100k" not in dvc("status", "prep@ml-100k")
    changed = (tmp_path / "params.yaml").read_text().replace("positive_above: 3", "positive_above: 2")
    (tmp_path / "params.yaml").write_text(changed)
    assert "datasets.ml-100k" in dvc("status", "prep@ml-100k")


def test_packages_match_the_folders() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"]) - {"thinkrec_cli"}
    folders = {file.parent.relative_to(ROOT) for file in (ROOT / "thinkrec").rglob("*.py")}
    assert listed == {".".join(folder.parts) for folder in folders}


def test_lock_pins_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[<>=!~ \[]", one)[0] for one in project["dependencies"]}
    needed |= {re.split(r"[<>=!~ \[]", one)[0] for one in project["optional-dependencies"]["test"]}
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line) for line in lines)
    assert lines == sorted(lines, key=str.lower)
    assert "torch==2.13.0" in lines
    pinned = {re.sub(r"[._]", "-", line.split("==")[0].lower()) for line in lines}
    assert {re.sub(r"[._]", "-", name) for name in needed} <= pinned


def test_readme_has_two_setup_commands_of_one_line_each() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [block.strip() for block in re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M)]
    setup = [block for block in blocks if "-m venv" in block]
    assert len(setup) == text.count("-m venv") == 2
    assert all("\n" not in block and block.startswith("python3 -m venv ") for block in setup)
    assert setup[0].endswith(" && dvc repro")
    assert setup[1].endswith(" && pytest")
    assert all("-c requirements.lock" in block for block in setup)


def test_ci_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -E '(.+)' README\.md", script)
    assert pattern
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(pattern[1], text, re.M)) == 1


def test_reference_is_up_to_date(tmp_path: Path) -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference()
    assert write(tmp_path / "cli.md", check=True) == 1
    assert write(tmp_path / "cli.md", check=False) == write(tmp_path / "cli.md", check=True) == 0

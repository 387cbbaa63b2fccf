"""dvc.yaml, params.yaml, commands, code and README must agree with each other."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from thinkrec.config.sections import Params
from thinkrec.config.sources import DemoSource, ShareSplit
from thinkrec.config.tree import dumped
from thinkrec.config.write import params_text
from thinkrec.pipeline import STAGES
from thinkrec_cli.commands import COMMANDS, main
from thinkrec_cli.generated import write
from thinkrec_cli.imports import PLUMBING, reached
from thinkrec_cli.pipeline import code_of, pipeline
from thinkrec_cli.reference import reference

ROOT = Path(__file__).parents[2]
AGENT = {name for name, stage in STAGES.items() if stage.over == "agents"}
PIPELINE: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
CODE = {name: set(code_of(stage)) for name, stage in STAGES.items()}


def stage(name: str) -> dict[str, Any]:
    return PIPELINE[name].get("do", PIPELINE[name])


def paths(entries: list[Any]) -> list[str]:
    named = (entry if isinstance(entry, str) else next(iter(entry)) for entry in entries)
    return [re.sub(r"/\$\{item(\.dataset)?\}/", "/${key}/", path) for path in named]


def outputs(name: str) -> list[str]:
    return [path for kind in ("outs", "metrics", "plots") for path in paths(stage(name).get(kind, []))]


def file_of(name: str) -> Path:
    return ROOT / f"{STAGES[name].module.replace('.', '/')}.py"


def run_again_by(file: str) -> set[str]:
    """Stages that an edit of a file makes run again."""
    assert (ROOT / file).is_file(), file
    return {name for name, files in CODE.items() if file in files}


@pytest.mark.parametrize("name", STAGES)
def test_stage_is_command_section_and_module(name: str) -> None:
    options = ["dataset"]
    if STAGES[name].by_variant:
        options.append("variant")
        assert stage(name)["cmd"] == (
            f"thinkrec {name} --dataset ${{item.dataset}} --variant ${{item.variant}}"
        )
        assert PIPELINE[name]["matrix"] == {"dataset": "${datasets}", "variant": "${variants}"}
        own = f"{name}-${{item.variant}}"
    else:
        named = "item" if name in AGENT else "key"
        assert stage(name)["cmd"] == f"thinkrec {name} --dataset ${{{named}}}"
        assert PIPELINE[name]["foreach"] == f"${{{STAGES[name].over}}}"
        own = name
    assert name in dumped(Params())
    assert name in {param.split(".")[0] for param in stage(name)["params"]}
    assert f"reports/${{key}}/run/{own}.json" in outputs(name)
    command = main.get_command(click.Context(main), name)
    assert command is not None and command.help == STAGES[name].help
    assert [each.name for each in command.params] == [*options, *["dry"] * STAGES[name].dry_run, "as_json"]
    functions = ast.parse(file_of(name).read_text(encoding="utf-8")).body
    (run,) = (each for each in functions if isinstance(each, ast.FunctionDef) and each.name == "run")
    assert ast.unparse(run.args) == "layout: Layout, params: Params"


def test_commands_are_stages_or_have_a_module() -> None:
    modules = {file.stem for file in (ROOT / "cli").glob("*.py")}
    assert [name for name in COMMANDS if name in STAGES] == list(STAGES)
    assert {name for name in COMMANDS if name not in STAGES} <= modules


def test_no_other_stages_than_those() -> None:
    assert list(PIPELINE) == ["demo", *STAGES]


@pytest.mark.parametrize("name", [*STAGES, "demo"])
def test_params_of_stages_exist(name: str) -> None:
    """In the file: DVC sees no value that a section inherits."""
    written = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for param in stage(name)["params"]:
        values: Any = written
        for part in param.replace("${key}", "demo").split("."):
            assert part in values, param
            values = values[part]


@pytest.mark.parametrize("name", STAGES)
def test_sections_that_a_module_reads_are_declared(name: str) -> None:
    fields = {key: field.alias or key for key, field in Params.model_fields.items()}
    named = re.findall(r"params\.(\w+)", file_of(name).read_text(encoding="utf-8"))
    declared = {param.split(".")[0] for param in stage(name)["params"]}
    assert {fields[key] for key in named if key in fields} <= declared


def test_a_stage_hangs_on_its_own_data_sets_entries_alone() -> None:
    for name in STAGES:
        assert not {"datasets", "tuned"} & set(stage(name)["params"])
    assert {name for name in STAGES if "tuned.${key}" in stage(name)["params"]} == {"cf", "baselines"}


IMPORT = re.compile(r"^ *from (thinkrec[\w.]*) import (\([^)]*\)|.*)$", re.M)
FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?: .*\n|\n)+", re.M)


def imported(file: Path) -> set[Path]:
    """Files of this project that a file imports when it runs, read off its text."""
    found: set[Path] = set()
    for module, names in IMPORT.findall(FOR_TYPES.sub("", file.read_text(encoding="utf-8"))):
        for name in ("", *re.findall(r"\w+", names)):
            parts = [*module.split("."), *([name] if name else [])]
            places = [ROOT.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)]
            found |= {path for each in places for path in (each.with_suffix(".py"), each / "__init__.py")}
    return {path for path in found if path.is_file() and len(path.read_text().splitlines()) > 1}


def followed(file: Path) -> set[str]:
    """All Python files that a stage's work consists of, as `imported` finds them."""
    seen: set[Path] = set()
    waiting = {file}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        waiting |= {
            each
            for each in imported(path) - seen
            if each.relative_to(ROOT / "thinkrec").parts[0].removesuffix(".py") not in PLUMBING
        }
    return {path.relative_to(ROOT).as_posix() for path in seen}


@pytest.mark.parametrize("name", STAGES)
def test_code_deps_are_the_imports_neither_more_nor_fewer(name: str) -> None:
    deps = {path for path in paths(stage(name)["deps"]) if path.startswith("thinkrec/")}
    assert deps == CODE[name]
    python = {path for path in deps - set(STAGES[name].code) if path.endswith(".py")}
    assert python == followed(file_of(name))


def test_demo_data_depend_on_their_generator_only() -> None:
    assert stage("demo")["deps"] == ["thinkrec/demo/generate.py", "thinkrec/demo/words.py"]
    assert followed(ROOT / "thinkrec/demo/generate.py") == set(stage("demo")["deps"])


def test_templates_and_queries_belong_to_the_stages_that_read_them() -> None:
    texts = {
        path.relative_to(ROOT).as_posix()
        for end in ("j2", "sql")
        for path in ROOT.glob(f"thinkrec/**/*.{end}")
    }
    readers = {text: run_again_by(text) for text in texts}
    assert {text for text, names in readers.items() if not names} == {
        "thinkrec/data/sql/stats.sql",
        "thinkrec/stages/card.md.j2",
    }
    assert all(names <= {"prep"} for text, names in readers.items() if text.startswith("thinkrec/data/"))
    assert all(names == AGENT for text, names in readers.items() if text.startswith("thinkrec/agent/"))


@pytest.mark.parametrize(
    ("file", "least", "most"),
    [
        ("llm/generate.py", {"evaluate"}, {"evaluate", "evaluate-agent"}),
        ("reports/page.html.j2", {"evaluate"}, {"evaluate", "evaluate-agent"}),
        ("reports/agent.html.j2", {"evaluate-agent"}, {"evaluate-agent"}),
        ("metrics/bootstrap.py", {"evaluate"}, {"evaluate", "evaluate-agent"}),
        ("teachers/reasoning.j2", {"synthesize"}, {"synthesize"}),
        ("teachers/keywords.j2", {"summarize"}, {"summarize"}),
        ("teachers/endpoint.py", {"synthesize"}, {"synthesize"}),
        # evaluate asks this teacher again
        ("teachers/template.py", {"synthesize", "evaluate"}, {"synthesize", "evaluate"}),
        ("teachers/tfidf.py", {"summarize"}, {"summarize"}),
        ("agent/first.j2", AGENT, AGENT),
        ("agent/scripted.py", {"trajectories"}, AGENT),
        ("agent/grpo.py", {"agent-grpo"}, {"agent-grpo"}),
        ("experts/groups.py", {"cluster"}, {"cluster"}),
        ("baselines/gbdt.py", {"baselines", "evaluate"}, {"baselines", "evaluate", "evaluate-agent"}),
        ("cf/trainer.py", {"cf"}, {"cf"}),
        ("llm/trainer.py", {"global", "experts", "projector"}, {"global", "experts", "projector"}),
        ("cf/mf.py", {"cf", "evaluate"}, {"cf", "evaluate", "evaluate-agent"}),
        ("cf/vectors.py", {"cluster", "projector"}, set(STAGES) - {"prep", "summarize", "synthesize"}),
        ("stages/synthesize.py", {"synthesize"}, {"synthesize"}),
    ],
)
def test_an_edit_makes_run_again_what_it_decides(file: str, least: set[str], most: set[str]) -> None:
    assert least <= run_again_by(f"thinkrec/{file}") <= most


@pytest.mark.parametrize("file", ["llm/scorer.py", "llm/trainer.py", "prompts/score.j2"])
def test_edits_of_the_students_training_leave_what_is_before_it(file: str) -> None:
    before = {"prep", "summarize", "synthesize", "cf", "cluster", "agent-backbone", "trajectories"}
    assert not run_again_by(f"thinkrec/{file}") & before


def test_imports_of_a_package_made_by_hand(tmp_path: Path) -> None:
    files = {
        "__init__.py": "VERSION = 1\n",
        "stages/__init__.py": '"""Stages."""\n',
        "stages/one.py": (
            "from typing import TYPE_CHECKING\n"
            "from thinkrec.room import tool\n"
            "from thinkrec.files import whole\n"
            "if TYPE_CHECKING:\n    from thinkrec.room import typed\n"
            "def run():\n    import thinkrec.late.part\n    from thinkrec.hall import made\n"
            "    import thinkrec.text.named.reader\n    read('first')\n"
        ),
        "room/__init__.py": "",
        "room/tool.py": "from thinkrec.text import read\n",
        "room/typed.py": "T = int\n",
        "room/other.py": "Y = 1\n",
        "late/__init__.py": "import thinkrec.room.other\n",
        "late/part.py": "X = 1\n",
        "hall/__init__.py": "from thinkrec.hall.inner import made\n",
        "hall/inner.py": "def made():\n    return f'third_{1}'\n",
        "hall/aside.py": "Z = 1\n",
        "files.py": "import thinkrec.hall.aside\n",
        "text/__init__.py": "def read(name):\n    return open(f'{name}.sql')\n",
        "text/sql/first.sql": "",
        "text/sql/second.sql": "",
        "text/sql/third_1.sql": "",
        "text/sql/first.j2": "",
        "text/named/__init__.py": "",
        "text/named/reader.py": "TEXT = 'second.j2'\n",
        "text/named/first.j2": "",
        "text/named/second.j2": "",
    }
    for name, content in files.items():
        (tmp_path / "thinkrec" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "thinkrec" / name).write_text(content)
    found = reached(tmp_path / "thinkrec/stages/one.py", tmp_path)
    assert sorted(found) == [
        f"thinkrec/{name}"
        for name in (
            "hall/__init__.py", "hall/inner.py", "late/__init__.py", "late/part.py", "room/other.py",
            "room/tool.py", "stages/one.py", "text/__init__.py", "text/named/reader.py",
            "text/named/second.j2", "text/sql/first.sql", "text/sql/third_1.sql",
        )
    ]  # fmt: skip


def covered(file: str, deps: list[str]) -> bool:
    """Whether a file is one of these, in one of them, or a folder of some of them."""
    return any(file == dep or file.startswith(f"{dep}/") or dep.startswith(f"{file}/") for dep in deps)


def listed(dataset: str, names: list[str]) -> list[str]:
    """Stages of a data set as DVC calls them, with the one variant there is."""
    return [f"{name}@{dataset}{'-thinkrec' * STAGES[name].by_variant}" for name in names]


def test_every_input_is_an_output_of_an_earlier_stage() -> None:
    made = ["${item.watch}"]
    for name in PIPELINE:
        inputs = [path for path in paths(stage(name)["deps"]) if not path.startswith("thinkrec/")]
        assert [path for path in inputs if not covered(path, made)] == [], name
        made += outputs(name)


def test_dvc_reads_the_pipeline() -> None:
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["demo", *listed("demo", [name for name in STAGES if name not in AGENT])]


@pytest.mark.slow
def test_names_of_data_sets_may_have_hyphens(tmp_path: Path) -> None:
    """`dvc` finds every stage of such a data set and runs `thinkrec` on it."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    entry = DemoSource(reader="demo", split=ShareSplit(rule="share"))
    params = Params.model_validate({"datasets": {"ml-100k": entry}, "agents": ["ml-100k"]})
    (tmp_path / "params.yaml").write_text(params_text(params), encoding="utf-8")
    raw = tmp_path / entry.raw
    raw.mkdir(parents=True)
    for file in (tmp_path / dep for dep in CODE["prep"]):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
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
        assert not re.search("\r|%\\||━|█", done.stdout + done.stderr)  # no bar in a log
        return done.stdout.split()

    dvc("init", "--no-scm", "--quiet")
    assert dvc("stage", "list", "--name-only") == ["demo", *listed("ml-100k", list(STAGES))]
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


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


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


@pytest.mark.parametrize(("path", "text"), [("docs/cli.md", reference), ("dvc.yaml", pipeline)])
def test_generated_files_are_up_to_date(path: str, text: Callable[[], str], tmp_path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == text()
    beside = tmp_path / "file"
    assert write(beside, text(), "made", check=True) == 1
    assert write(beside, text(), "made", check=False) == write(beside, text(), "made", check=True) == 0


def test_ci_checks_generated_files() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for module in ("reference", "pages", "pipeline"):
        assert f"python -m thinkrec_cli.{module} --check" in script

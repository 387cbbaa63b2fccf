import errno
import json
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from small_chain import seal

from thinkrec import errors
from thinkrec.config.load import load_params
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.files import whole
from thinkrec.layout import Layout
from thinkrec_cli.commands import COMMANDS
from thinkrec_cli.main import run

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "duckdb",
    "sklearn",
    "pyarrow",
    "numpy",
    "pydantic",
    "ruamel",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds params.yaml and nothing else: a fresh clone, as far as commands can tell."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THINKREC_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def summarize(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Put a function in the place of the stage `summarize`, whose inputs exist."""
    folder = project / "data" / "demo"
    folder.mkdir(parents=True)
    for name in ("interactions", "items"):
        (folder / f"{name}.parquet").touch()
    seal(Layout("demo"), load_params())

    def put(does: object) -> None:
        module = types.ModuleType("thinkrec.stages.summarize")

        def stage(layout: Layout, params: object) -> object:
            if isinstance(does, BaseException):
                raise does
            with whole(layout.keywords) as beside:
                beside.touch()
            return does

        module.run = stage  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "thinkrec.stages.summarize", module)

    return put


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from thinkrec_cli.main import run; run(['--help']); run(['evaluate', '--help']);"
        f"print('found', [name for name in {HEAVY} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.endswith("found []\n")
    assert all(f"  {name} " in said for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"Usage: thinkrec {name}" in capsys.readouterr().out


def test_unknown_command_and_missing_option_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evalute"]) == 2
    assert "No such command 'evalute'" in capsys.readouterr().err
    assert run(["evaluate"]) == 2
    assert "Missing option '--dataset'" in capsys.readouterr().err
    assert run(["fetch", "book"]) == 2
    assert "'book' is not one of 'demo', 'ml1m'" in capsys.readouterr().err
    assert run(["cf", "--log-format", "json"]) == 2
    said = "No such option '--log-format'. --log-format stands before the command: thinkrec --log-format ..."
    assert said in capsys.readouterr().err


def test_errors_have_exit_codes_of_their_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes) == 9
    assert not {0, 2, 130} & set(codes)
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert all(f"\n| {code} | " in text for code in [0, 2, 130, *codes])


@pytest.mark.parametrize(
    ("command", "missing", "maker"),
    [
        ("evaluate", "data/demo/interactions.parquet", "prep"),
        ("summarize", "data/demo/items.parquet", "prep"),
        ("cluster", "models/demo/cf/lightgcn", "cf"),
    ],
)
def test_stage_before_its_input(
    project: Path, capsys: pytest.CaptureFixture[str], command: str, missing: str, maker: str
) -> None:
    assert run([command, "--dataset", "demo"]) == 4
    assert capsys.readouterr().err == (
        f"error: {missing} is not there yet: `thinkrec {maker} --dataset demo` makes it\n"
    )
    assert not (project / "reports").exists()


def test_prep_of_an_unknown_data_set(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prep", "--dataset", "book"]) == 3
    assert capsys.readouterr().err.startswith(
        "error: params.yaml names no data set `book` (known: demo); add it"
    )


def test_name_that_would_leave_the_project(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "--dataset", "../x"]) == 3
    assert capsys.readouterr().err == (
        "error: data set name '../x': use lower-case letters, digits, underscores and hyphens only, a letter "
        "or a digit first, at most 64\n"
    )


def test_outside_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["cf", "--dataset", "demo"]) == 3
    assert capsys.readouterr().err == (
        f"error: there is no params.yaml in {tmp_path}: run thinkrec in the project's root, "
        "the folder that holds it\n"
    )


def test_a_stage_is_recorded_and_summed_up(
    project: Path, summarize: Callable[[object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    summarize({"items": 3, "mean": 2.123456, "splits": {"train": {"rows": 5}}})
    assert run(["summarize", "--dataset", "demo"]) == 0
    record = json.loads((project / "reports/demo/run/summarize.json").read_text())
    assert (record["stage"], record["seed"], record["facts"]["items"]) == ("summarize", 7, 3)
    assert capsys.readouterr().out.splitlines() == [
        "summarize of demo: done, recorded in reports/demo/run/summarize.json",
        "  items: 3",
        "  mean: 2.123",
        "  splits.train.rows: 5",
    ]


def test_cf_says_what_later_stages_will_refuse(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With shorter `cf.models`, `cf` runs and `cluster` does not."""
    (project / "data" / "demo").mkdir(parents=True)
    for name in ("interactions", "items", "users"):
        (project / "data" / "demo" / f"{name}.parquet").touch()
    (project / "params.yaml").write_text(
        params_text(Params.model_validate({"cf": {"models": ["mf"]}, "evaluate": {"systems": ["mf"]}}))
    )
    seal(Layout("demo"), load_params())

    def train(layout: Layout, *_: object) -> dict[str, object]:
        for path in (layout.encoders, layout.curve("cf")):
            with whole(path) as beside:
                beside.touch()
        return {}

    monkeypatch.setattr("thinkrec.stages.cf.train_encoders", train)
    line = "cluster.encoder: `lightgcn` is not among `cf.models` (mf), so that no stage trains it"
    assert run(["cf", "--dataset", "demo"]) == 0
    assert [text for text in caplog.messages if "later" in text] == [f"a later stage will stop: {line}"]
    capsys.readouterr()
    assert run(["cluster", "--dataset", "demo"]) == 3
    assert capsys.readouterr().err == f"error: params.yaml has 1 error:\n  {line}\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.DataError("row 3 is bad"), 5, "error: row 3 is bad\n"),
        (errors.TeacherError("no answer"), 7, "error: no answer\n"),
        (ValueError("odd"), 1, "error: ValueError: odd; for the traceback: `thinkrec --debug ...`\n"),
        (
            EOFError("cut off"),
            1,
            "error: EOFError: cut off; for the traceback: `thinkrec --debug ...`\n",
        ),
        (
            KeyboardInterrupt(),
            130,
            "\nstopped; nothing is half-written; run the same command again\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            8,
            "error: no space left on the disk; free some, then run the same command again\n",
        ),
        (
            RuntimeError("SafetensorError: I/O error: No space left on device (os error 28)"),
            8,
            "error: no space left on the disk; free some, then run the same command again\n",
        ),
    ],
)
def test_what_a_stage_raises(
    project: Path,
    summarize: Callable[[object], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    summarize(error)
    assert run(["summarize", "--dataset", "demo"]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", said)
    assert not (project / "reports").exists()


def test_debug_shows_the_traceback(
    summarize: Callable[[object], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summarize(ValueError("odd"))
    monkeypatch.setenv("THINKREC_DEBUG", "")
    assert run(["--debug", "summarize", "--dataset", "demo"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):\n") and said.endswith("ValueError: odd\n")


STOPPED = "\nstopped; nothing is half-written; run the same command again\n"
STRIKE = """
import atexit, os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would ignore it
when, wanted = sys.argv[1:3]
def strike():
    os.kill(os.getpid(), signal.SIGINT)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            strike()
def late():
    time.sleep(0.2)
    strike()
    time.sleep(5)
{
    "import": lambda: sys.meta_path.insert(0, Finder()),
    "atexit": lambda: atexit.register(strike),
    "thread": lambda: None,
}[when]()
from thinkrec_cli.main import run
import thinkrec_cli.main as module
if when == "thread":  # for which Python waits
    hold = module._hold
    module._hold = lambda code: (hold(code), threading.Thread(target=late).start())
sys.argv = ["thinkrec", *sys.argv[3:]]
sys.exit(run())
"""


@pytest.mark.parametrize(
    ("when", "module", "arguments", "code"),
    [
        ("import", "click", ["--version"], 130),
        ("import", "thinkrec_cli.commands", ["--version"], 130),
        ("import", "thinkrec_cli.stats", ["stats", "--help"], 130),
        ("atexit", "", ["--version"], 0),
        ("atexit", "", ["nosuch"], 2),
        ("thread", "", ["--version"], 0),
        ("thread", "", ["nosuch"], 2),
    ],
)
def test_ctrl_c_while_the_command_starts_and_ends(
    when: str, module: str, arguments: list[str], code: int
) -> None:
    command = [sys.executable, "-c", STRIKE, when, module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    if code == 130:
        assert (done.stdout, done.stderr) == ("", STOPPED)
    else:
        assert done.stdout.startswith("thinkrec, version") == (code == 0)
        assert "KeyboardInterrupt" not in done.stderr and ("No such command" in done.stderr) == (code == 2)


def test_reader_that_goes_away() -> None:
    code = (
        "import sys; from thinkrec_cli import commands, main as m\n"
        "commands.main.callback = lambda debug: None\n"
        "import click; sys.stdout.reconfigure(line_buffering=True)\n"
        "sys.exit(m.run(['--help']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


def test_preset_prints_what_changes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "params.yaml").read_bytes()
    assert run(["preset", "paper"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "backbone.dtype: auto -> bfloat16" in lines
    assert lines[-1] == f"preset paper: {len(lines) - 1} values changed in params.yaml"
    assert run(["preset", "cpu"]) == 0
    assert (project / "params.yaml").read_bytes() == before
    assert run(["preset", "gpu"]) == 3
    assert capsys.readouterr().err == (
        "error: there is no preset `gpu`; there are: cpu, laptop, small-gpu, paper, paper-8gpu\n"
    )


def test_fetch_demo_writes_raw_files(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (project / "params.yaml").read_text()
    small = text.replace("users: 100", "users: 20").replace("interactions: 6000", "interactions: 300")
    (project / "params.yaml").write_text(small)
    assert run(["fetch", "demo"]) == 0
    assert capsys.readouterr().out == "raw files of demo are in data/raw/demo\n"
    names = {file.name for file in (project / "data/raw/demo").iterdir()}
    assert {"items.csv", "users.csv", "ratings.csv"} <= names

"""`--log-format json`: every line on stderr is an object, without secrets; stdout stays as it is."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.progress import Bar
from thinkrec.teachers.redact import hide
from thinkrec_cli import stages
from thinkrec_cli.logs import FORMAT, JsonFormatter, say_error
from thinkrec_cli.main import run

KEY = "sk-marker-8f2b6c1d9e"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the embedded data set, small."""
    params = Params.model_validate({"demo": {"users": 20, "items": 30, "interactions": 400}})
    (tmp_path / "params.yaml").write_text(params_text(params), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format as an earlier option set it."""
    monkeypatch.setenv(FORMAT, "json")
    monkeypatch.setattr(Bar, "records", True)


def thinkrec(*args: str, **variables: str) -> tuple[int, str, list[Any]]:
    """Run the command in a process of its own; give its code, stdout, and the objects on stderr."""
    code = "import sys; from thinkrec_cli.main import run; sys.exit(run())"
    env = {name: value for name, value in os.environ.items() if not name.startswith("THINKREC_")} | variables
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, env=env)
    return done.returncode, done.stdout, [json.loads(line) for line in done.stderr.splitlines()]


def test_log_lines_of_a_stage(project: Path) -> None:
    assert thinkrec("--log-format", "json", "fetch", "demo")[0] == 0
    code, out, lines = thinkrec("prep", "--dataset", "demo", **{FORMAT: "json"})
    assert code == 0 and out.startswith("prep of demo: done, recorded in ")
    (line,) = [each for each in lines if each["logger"] == "thinkrec.runs"]
    assert line.keys() == {"time", "level", "logger", "message"} and line["level"] == "info"
    assert line["message"].startswith("prep of demo: ") and line["time"].endswith("+00:00")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nosuch"], 2, "No such command 'nosuch'."),
        (["stats"], 2, "Missing option '--dataset'."),
        (["stats", "--dataset", "nix"], 3, "params.yaml names no data set `nix`"),
        (["cf", "--dataset", "demo"], 4, "`thinkrec prep --dataset demo` makes it"),
    ],
)
def test_errors(project: Path, args: list[str], code: int, message: str) -> None:
    found, out, (line,) = thinkrec("--log-format", "json", *args)
    assert (found, out) == (code, "")
    assert (line["level"], line["exit_code"]) == ("error", code)
    assert message in line["message"] and not line["message"].startswith("error")


def test_an_unexpected_error_has_its_traceback_if_asked(
    as_json: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise EOFError(f"cut off after {KEY}")

    hide(KEY)
    monkeypatch.setattr("thinkrec.config.load.load_params", fail)
    monkeypatch.setenv("THINKREC_DEBUG", "")
    assert run(["stats", "--dataset", "demo"]) == 1
    plain = json.loads(capsys.readouterr().err)
    assert plain["message"] == "EOFError: cut off after ***; for the traceback: `thinkrec --debug ...`"
    assert "traceback" not in plain
    assert run(["--debug", "stats", "--dataset", "demo"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in json.loads(said)["traceback"] and KEY not in said


def test_an_interrupted_run(
    as_json: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("thinkrec.config.load.load_params", stop)
    assert run(["stats", "--dataset", "demo"]) == 130
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["exit_code"]) == (
        "stopped; nothing is half-written; run the same command again", 130,
    )  # fmt: skip


def test_processes_of_a_training_are_told_and_their_failure_is_said(
    as_json: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Any] = []

    def launch(command: list[str], check: bool) -> Any:
        told.append((command[-3:], os.environ[FORMAT]))
        return subprocess.CompletedProcess(command, 6)

    monkeypatch.setattr(stages.subprocess, "run", launch)
    with pytest.raises(stages.click.exceptions.Exit):
        stages.spread(2, "global", "--json")
    assert told == [(["thinkrec_cli.main", "global", "--json"], "json")]
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["exit_code"]) == (
        "one of 2 processes failed; its message is above", 6,
    )  # fmt: skip


def test_records_are_cleaned_wherever_a_secret_stands() -> None:
    hide(KEY)
    try:
        raise ValueError(KEY)
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("x", logging.WARNING, "", 1, "two\nlines of %s", (KEY,), error)
    record.progress = {"what": f"copying {KEY}", "done": 1, "seconds_left": None}
    said = JsonFormatter().format(record)
    assert KEY not in said and "\n" not in said
    found = json.loads(said)
    assert (found["message"], found["level"]) == ("two\nlines of ***", "warning")
    assert (found["what"], found["done"], found["seconds_left"]) == ("copying ***", 1, None)
    assert found["traceback"].endswith("ValueError: ***")


def test_warnings_of_other_packages_are_records() -> None:
    code = (
        "from thinkrec_cli.commands import quiet; quiet(); import warnings; warnings.warn('odd', UserWarning)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {FORMAT: "json"}
    )
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["logger"], line["level"]) == ("py.warnings", "warning") and "odd" in line["message"]


def test_text_is_the_default(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(FORMAT, raising=False)
    say_error("wrong", 3)
    assert capsys.readouterr().err == "error: wrong\n"


def test_an_unknown_format_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FORMAT, "xml")
    assert run(["stats"]) == 2
    assert "'xml' is not one of 'text', 'json'" in capsys.readouterr().err

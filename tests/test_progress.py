"""Bars: drawn on a terminal, whole lines now and then in a log, records in a machine's log."""

import ast
import io
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from small_chain import Chain

from thinkrec import progress as bars
from thinkrec.data import progress
from thinkrec.progress import AboveBars, Bar, close_all, duration, stage

ROOT = Path(__file__).parents[1]


Caught = pytest.CaptureFixture[str]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(bars, "monotonic", clock := Clock())
    return clock


def run(clock: Clock, steps: int, seconds: float, **options: Any) -> None:
    with Bar(**options) as bar:
        for _ in range(steps):
            clock.now += seconds
            bar.update()
            bar.set_postfix(best="0.5")  # which draws anew


def test_a_line_a_minute_and_one_at_the_end(capsys: Caught, clock: Clock) -> None:
    run(clock, 100, 2, total=100, desc="scoring mf", unit="row")
    assert capsys.readouterr().err.splitlines() == [
        "scoring mf: 30 of 100 rows, about 2 min left",
        "scoring mf: 60 of 100 rows, about 80 s left",
        "scoring mf: 90 of 100 rows, about 20 s left",
        "scoring mf: 100 of 100 rows, took 3 min",
    ]


def test_what_is_short_says_nothing(capsys: Caught, clock: Clock) -> None:
    run(clock, 9, 1, total=9, desc="short")
    assert capsys.readouterr().err == ""
    run(clock, 10, 1, total=10, desc="longer", unit="row")
    assert capsys.readouterr().err == "longer: 10 of 10 rows, took 10 s\n"


def test_a_bound_and_an_unknown_total_give_no_time_left(capsys: Caught, clock: Clock) -> None:
    run(clock, 3, 40, total=200, at_most=True, desc="cf: mf", unit="epoch")
    run(clock, 2, 40, desc="copying", unit="B", unit_scale=True)
    assert capsys.readouterr().err.splitlines() == [
        "cf: mf: 2 of at most 200 epochs, 80 s so far",
        "cf: mf: 3 of at most 200 epochs, took 2 min",
        "copying: 2 bytes, 80 s so far",
        "copying: 2 bytes, took 80 s",
    ]


def test_what_was_done_before_is_not_in_the_estimate(capsys: Caught, clock: Clock) -> None:
    with Bar(total=21, desc="cf", unit="training") as bar:
        bar.skip()
        bar.skip()
        for _ in range(3):
            clock.now += 23
            bar.update()
    assert capsys.readouterr().err.splitlines()[0] == "cf: 5 of 21 trainings, about 6 min left"


@pytest.mark.parametrize("leave", [None, False])
def test_inner_bars_that_do_not_stay_have_no_last_line(capsys: Caught, clock: Clock, leave: bool) -> None:
    with Bar(total=1, desc="outer", leave=None):
        run(clock, 2, 20, total=2, desc="inner", leave=leave)
    assert capsys.readouterr().err == "outer: 0 of 1 steps, took 40 s\n"


def test_an_iterable(capsys: Caught, clock: Clock) -> None:
    for _ in Bar(range(5), desc="steps", unit="step"):
        clock.now += 15
    assert capsys.readouterr().err.splitlines() == [
        "steps: 4 of 5 steps, about 15 s left", "steps: 5 of 5 steps, took 75 s",
    ]  # fmt: skip


def test_lengths_of_time() -> None:
    assert [duration(value) for value in (0.4, 89, 90, 5399, 5400, 7500)] == [
        "0 s", "89 s", "2 min", "1 h 30 min", "1 h 30 min", "2 h 5 min",
    ]  # fmt: skip


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def on_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Put a terminal in the place of stderr; not in a fixture, since pytest puts its own back after those."""
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return screen


def test_on_a_terminal_bars_are_drawn_and_log_lines_stand_above(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_screen(monkeypatch)
    log = logging.Logger("test")
    log.addHandler(AboveBars())
    with stage("evaluate"), Bar(total=2, desc="scoring [mf]", unit="row") as bar:
        log.info("a line")
        bar.update()
        bar.set_postfix(best="0.5")
        bars._screen.refresh()  # type: ignore[union-attr]
        assert sys.stderr is not screen  # what others write goes above as well
        bar.update()
    drawn = screen.getvalue()
    assert "\x1b[2Ka line\n" in drawn
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn)
    assert re.search(r"evaluate: scoring \[mf\] [━╸╺]+ 1/2 rows about 0 s left best 0.5", plain)
    assert "evaluate: scoring [mf]: 2 of 2 rows, took 0 s\n" in plain
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1  # the cursor is back
    assert sys.stderr is screen and bars._screen is None


def test_bars_of_an_80_column_terminal_keep_to_a_line_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = on_screen(monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")
    with (
        Bar(total=21, desc="cf", unit="training"),
        Bar(total=200, at_most=True, desc="cf: gsasrec_labels, seed 7", unit="epoch") as bar,
    ):
        bar.update(12)
        bar.set_postfix(best="0.6123 at 10")
        bars._screen.refresh()  # type: ignore[union-attr]
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    lines = [line for line in re.split("[\r\n]+", plain) if line]
    assert any("seed 7 ━" in line and "12/200 epochs  0 s so far" in line for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colours_gets_lines_without_escape_codes(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    screen = on_screen(monkeypatch)
    monkeypatch.setenv(variable, value)
    run(clock, 10, 1, total=10, desc="longer", unit="row")
    assert screen.getvalue() == "longer: 10 of 10 rows, took 10 s\n"


def test_an_error_leaves_no_bar_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_screen(monkeypatch)

    def fail() -> None:
        for _ in Bar(range(3), desc="failing"):
            raise ValueError

    with pytest.raises(ValueError) as error:
        fail()
    left = Bar(total=3, desc="never closed")
    assert bars._screen is not None and error.traceback
    close_all()
    assert sys.stderr is screen and bars._screen is None
    left.update()
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h")
    assert "never closed: " not in screen.getvalue()


def test_a_forgotten_bar_is_no_outer_bar(capsys: Caught, clock: Clock) -> None:
    forgotten = Bar(total=3, desc="forgotten", unit="row")
    clock.now += 20
    del forgotten
    run(clock, 1, 20, total=1, desc="outer", unit="row", leave=None)
    assert capsys.readouterr().err == "outer: 1 of 1 rows, took 20 s\n"


def test_records_hold_the_figures(
    caplog: pytest.LogCaptureFixture, capsys: Caught, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bar, "records", True)
    with caplog.at_level("INFO", "thinkrec.progress"), stage("evaluate"):
        run(clock, 4, 40, total=4, desc="scoring mf", unit="row")
    assert [(record.getMessage(), record.__dict__["progress"]) for record in caplog.records] == [
        (
            "evaluate: scoring mf: 2 of 4 rows, about 80 s left",
            {
                "stage": "evaluate", "what": "scoring mf", "done": 2, "total": 4, "unit": "row",
                "seconds": 80.0, "seconds_left": 80.0,
            },
        ),
        (
            "evaluate: scoring mf: 4 of 4 rows, took 3 min",
            {
                "stage": "evaluate", "what": "scoring mf", "done": 4, "total": 4, "unit": "row",
                "seconds": 160.0, "seconds_left": 0.0,
            },
        ),
    ]  # fmt: skip
    assert capsys.readouterr().err == ""


def test_a_step_of_duckdb_is_lines_in_a_log(
    capsys: Caught, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Semaphore(0)

    class Connection:
        """Is so far, a minute later at each look."""

        def execute(self, query: str) -> None:
            assert "enable_progress_bar_print = false" in query

        def query_progress(self) -> float:
            clock.now += 61
            looked.release()
            return 40.04

    monkeypatch.setattr(progress, "EVERY", 0.001)
    connection: Any = Connection()
    with progress.progress(connection, "prep") as step:
        step("reading")
        assert looked.acquire(timeout=20) and looked.acquire(timeout=20)  # the first look is told by now
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "prep: reading: 40 of 100 %, about 2 min left"
    assert all(line.startswith("prep: reading: 40 of 100 %, about ") for line in lines)


def test_a_switched_off_bar(capsys: Caught, clock: Clock) -> None:
    with Bar(total=2, desc="off", disable=True) as bar:
        clock.now += 100
        bar.skip()
        bar.update()
    assert capsys.readouterr().err == ""


def test_bars_come_from_the_one_place() -> None:
    files = [path for room in ("thinkrec", "cli") for path in (ROOT / room).rglob("*.py")]
    found = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "tqdm" or name.startswith("rich.progress") for name in names):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {"thinkrec/progress.py"}


def test_every_bar_has_a_name() -> None:
    calls = [
        (path.name, {word.arg for word in node.keywords})
        for path in (ROOT / "thinkrec").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Bar"
    ]
    assert len(calls) > 10
    assert [name for name, words in calls if "desc" not in words] == []


def test_a_log_of_all_stages(chain: Chain) -> None:
    said = chain.log
    assert "\r" not in said and "%|" not in said, said
    assert len(said.splitlines()) < 20, said


def test_bars_of_other_packages_are_off_in_a_log() -> None:
    code = (
        "from thinkrec_cli.commands import quiet; quiet();"
        "from datasets import are_progress_bars_disabled; from transformers.utils import logging;"
        "from huggingface_hub.utils import are_progress_bars_disabled as hub;"
        "from tqdm.auto import tqdm; list(tqdm(range(3), desc='de-quantizing'));"
        "list(logging.tqdm(range(3), desc='loading'));"
        "print(are_progress_bars_disabled(), hub(), not logging.is_progress_bar_enabled())"
    )
    clean = {
        name: value
        for name, value in os.environ.items()
        if "PROGRESS_BARS" not in name and not name.startswith("TQDM")
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean)
    assert (done.stdout, done.stderr) == ("True True True\n", "")


def test_ci_has_pip_draw_no_bars_in_a_log() -> None:
    assert "\n[ -t 1 ] || export PIP_PROGRESS_BAR=off" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")

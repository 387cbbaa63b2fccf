"""Bars: as tqdm draws them on a terminal, whole lines now and then in a log."""

import ast
import io
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import tqdm.std
from small_chain import Chain

from thinkrec.data import progress
from thinkrec.progress import AboveBars, Bar, duration

ROOT = Path(__file__).parents[1]


Caught = pytest.CaptureFixture[str]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(tqdm.std, "time", clock := Clock())
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
        "copying: 2.00B, 80 s so far",
        "copying: 2.00B, took 80 s",
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
    assert capsys.readouterr().err == "outer: 0 of 1 its, took 40 s\n"


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


def test_on_a_terminal_tqdm_draws_and_log_lines_stand_above(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", screen := Screen())
    log = logging.Logger("test")
    log.addHandler(AboveBars(screen))
    with Bar(total=2, desc="scoring mf", unit="row") as bar:
        log.info("a line")
        bar.update(2)
    assert "\ra line\n" in screen.getvalue()
    assert "scoring mf: 100%" in screen.getvalue() and "2/2" in screen.getvalue()


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
    with Bar(total=2, disable=True) as bar:
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
            if any(name.split(".")[0] == "tqdm" for name in names):
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
        "print(are_progress_bars_disabled(), not logging.is_progress_bar_enabled())"
    )
    clean = {name: value for name, value in os.environ.items() if "PROGRESS_BARS" not in name}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean)
    assert done.stdout == "True True\n", done.stderr


def test_ci_has_pip_draw_no_bars_in_a_log() -> None:
    assert "\n[ -t 1 ] || export PIP_PROGRESS_BAR=off" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")

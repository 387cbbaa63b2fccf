"""A stage of a data set runs once at a time, and a lock dies with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_chain import Chain

from thinkrec.artifacts.lock import finish_pending, locked
from thinkrec.artifacts.run import running
from thinkrec.errors import BusyError, DataError
from thinkrec.files import FOLLOWS, Batch, discard, together, whole
from thinkrec.layout import Layout
from thinkrec.stages.summarize import summarize
from thinkrec_cli.main import run

_HOLDS = """
import sys, time
from pathlib import Path
from thinkrec.artifacts.lock import locked
from thinkrec.layout import Layout
with locked(Layout("demo", Path(sys.argv[1])), "prep"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(project: Layout) -> Iterator[subprocess.Popen[str]]:
    """Another process that is running prep."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(project.root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_names_the_first(
    other: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prep", "--dataset", "demo"]) == 9
    said = capsys.readouterr().err
    assert f"`thinkrec prep --dataset demo` is running already as process {other.pid} on " in said
    assert said.endswith(" UTC: wait until it has ended, or stop it\n")


def test_other_stages_may_run_and_a_dead_process_holds_nothing(other: subprocess.Popen[str]) -> None:
    assert run(["summarize", "--dataset", "demo"]) == 0
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert run(["prep", "--dataset", "demo"]) == 0


def test_inputs_that_another_run_replaced_meanwhile(chain: Chain, project: Layout) -> None:
    before, raw = project.keywords.read_bytes(), project.root / "data" / "raw" / "demo" / "items.csv"
    words = "was made again while this ran, by another `thinkrec prep`"
    with pytest.raises(DataError, match=words), running(project, "summarize", chain.params):
        summarize(project, chain.params.summarize)
        raw.write_text(raw.read_text(encoding="utf-8").replace("a", "e"), encoding="utf-8")
        prepare_elsewhere(project)
    assert project.keywords.read_bytes() == before


def prepare_elsewhere(project: Layout) -> None:
    """Run prep as another process."""
    code = "import sys; from thinkrec_cli.main import run; sys.exit(run(['prep', '--dataset', 'demo']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_reader_waits_for_one_that_is_putting_things_in_place(tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    layout.journal("prep").parent.mkdir(parents=True)
    layout.journal("prep").write_text('{"moves": [], "remove": []}', encoding="utf-8")
    with locked(layout, "prep"):
        code = (
            "import sys; from pathlib import Path; from thinkrec.layout import Layout;"
            "from thinkrec.artifacts.lock import finish_pending as finish;"
            "finish(Layout('demo', Path(sys.argv[1])))"
        )
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
        time.sleep(0.7)
        assert process.poll() is None
        layout.journal("prep").unlink()
        assert process.wait(20) == 0


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with whole(tmp_path / "x") as first, whole(tmp_path / "x") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "x").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_a_killed_writer_left_goes(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f".x.{gone.pid}-0.partial").write_text("half")
    (tmp_path / f".x.{os.getppid()}-999.partial").write_text("somebody is writing this")
    with whole(tmp_path / "x") as beside:
        beside.write_text("all")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".x.{os.getppid()}-999.partial", "x"]


def test_a_batch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    batch = Batch(tmp_path, [tmp_path / "x"], tmp_path / "journal.json", tmp_path / ".work")
    with pytest.raises(ValueError, match="no"), together(batch):
        with whole(tmp_path / "x") as beside:
            beside.write_text("all")
        assert not (tmp_path / "x").exists()
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_busy_is_an_error_of_its_own(tmp_path: Path) -> None:
    layout = Layout("demo", tmp_path)
    running_already = pytest.raises(BusyError, match="is running already as process")
    with locked(layout, "cf"), running_already, locked(layout, "cf"):
        raise AssertionError
    finish_pending(layout)


@pytest.mark.parametrize(
    "said",
    [
        '{"moves": [], "remove": ["../victim"]}',
        '{"moves": [], "remove": ["data/demo/interactions.parquet"]}',
        '{"moves": [], "remove": ["models/demo/.work/../../../../victim"]}',
        '{"moves": [["../victim", "data/demo/users.parquet"]], "remove": []}',
        '{"moves": [["data/demo/items.parquet", "data/demo/users.parquet"]], "remove": []}',
        '{"moves": [["data/demo/.x.1-0.partial", "../victim/x"]], "remove": []}',
        '{"moves": 3, "remove": []}',
        "[" * 100_000,
        "x",
    ],
)
@pytest.mark.parametrize("stage", ["prep", "nosuch"])
def test_a_journal_moves_and_removes_nothing_but_its_stages_own(
    project: Layout, said: str, stage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    victim = project.root / ".." / "victim"
    (victim / "x").mkdir(parents=True, exist_ok=True)
    before = project.interactions.read_bytes(), project.users.read_bytes()
    project.journal(stage).parent.mkdir(parents=True, exist_ok=True)
    project.journal(stage).write_text(said, encoding="utf-8")
    finish_pending(project)
    assert (victim / "x").is_dir()
    assert (project.interactions.read_bytes(), project.users.read_bytes()) == before
    assert not project.journal(stage).exists()
    assert "is damaged and was removed" in caplog.text


def test_a_pipe_as_a_journal_does_not_hang(project: Layout, caplog: pytest.LogCaptureFixture) -> None:
    project.journal("prep").parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(project.journal("prep"))
    finish_pending(project)
    assert not project.journal("prep").exists()


def test_what_a_process_of_the_same_number_left_goes(tmp_path: Path) -> None:
    """In a container the next run has the number of the killed one."""
    path = tmp_path / "table"
    left = tmp_path / f".table.{os.getpid()}-999999.partial"
    left.mkdir()
    with whole(path) as beside, whole(path) as other:
        beside.write_text("first")
        other.write_text("second")
    assert not left.exists() and path.read_text() == "first"


def test_a_process_that_follows_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that remove the same folder trip over each other."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv(FOLLOWS, "1")
    discard(work)
    assert work.is_dir()
    monkeypatch.delenv(FOLLOWS)
    discard(work)
    assert not work.exists()

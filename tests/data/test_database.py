"""The DuckDB connection: spill folder, full disk, interruption."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from thinkrec.data.database import connect, copy_out, rows, run_sql
from thinkrec.errors import DataError, StorageError

_BIG = "SELECT range AS a, hash(range) AS b, repeat('x', 200) || hash(range) AS c FROM range(600000)"


def test_spill_folder_is_inside_and_removed(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "left").write_text("by a killed run")
    with connect(work, memory="80MB") as connection:
        assert work.is_dir() and not (work / "left").exists()
        connection.execute("SET threads = 2")
        connection.execute(f"CREATE TABLE t AS {_BIG}")
        assert list(work.iterdir()), "80 MB hold no 130 MB: the rest must have been spilled here"
    assert not work.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_at_the_output(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught, connect(tmp_path / "work") as connection:
        copy_out(connection, "SELECT range FROM range(100000)", Path("/dev/full"))
    assert str(caught.value) == (
        f"DuckDB cannot write: no space left (spill folder {tmp_path / 'work'}); "
        "free space or rights, then run again"
    )
    assert not (tmp_path / "work").exists()


def test_full_disk_at_the_spill(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="max_temp_directory_size"),
        connect(tmp_path / "work", "80MB") as connection,
    ):
        connection.execute("SET threads = 2; SET max_temp_directory_size = '1MB'")
        connection.execute(f"CREATE TABLE t AS {_BIG}")


def test_no_room_for_the_work_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="file is a file, not a folder"),
        connect(tmp_path / "file" / "work"),
    ):
        pass


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(duckdb.CatalogException), connect(tmp_path / "work") as connection:
        connection.execute("FROM nowhere")
    assert not (tmp_path / "work").exists()


def test_unreadable_line_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(b"x" * 3_000_000 + b"\ny\n")
    with (
        pytest.raises(DataError, match="DuckDB cannot read the raw files"),
        connect(tmp_path / "work") as connection,
    ):
        run_sql(connection, "contract")
        rows(connection, f"SELECT count(*) FROM file_lines('{tmp_path / 'long.txt'}')")


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
import os, signal, threading
from pathlib import Path
from thinkrec.data.database import connect
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would ignore it
with connect(Path({str(tmp_path / "work")!r})) as connection:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        connection.execute("SELECT sum(hash(range)) FROM range(3000000)").fetchall()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "KeyboardInterrupt" in done.stderr and done.returncode in (1, 130, -signal.SIGINT)
    assert not (tmp_path / "work").exists()

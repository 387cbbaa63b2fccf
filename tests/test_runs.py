"""Run records and curves: read as they were written, and one sentence for all else."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from records import RECORD, write_record_of

from thinkrec.errors import DataError
from thinkrec.files import write_curve
from thinkrec.layout import Layout
from thinkrec.runs import processor, read_curve, read_facts, read_record, recorded, threads

GOOD: dict[str, Any] = {**RECORD, "stage": "cf", "facts": {}}
AGAIN = "): run `thinkrec cf --dataset demo` again"
ODD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "letters": (lambda path: path.write_text("x"), "it is not JSON"),
    "nested": (lambda path: path.write_text("[" * 100_000), "it is not JSON"),
    "bytes": (lambda path: path.write_bytes(b"\xff\xfe\0"), "it is not text"),
    "list": (lambda path: path.write_text("[]"), "all of it: Input should be a valid dictionary"),
    "nothing in it": (lambda path: path.write_text("{}"), "stage: Field required"),
    "facts": (
        lambda path: path.write_text(json.dumps(GOOD | {"facts": 3})),
        "facts: Input should be a valid dictionary",
    ),
    "seconds": (
        lambda path: path.write_text(json.dumps(GOOD | {"seconds": "x"})),
        "seconds: Input should be a valid number",
    ),
    "threads": (
        lambda path: path.write_text(json.dumps(GOOD | {"threads": "x"})),
        "threads: Input should be a valid integer",
    ),
    "another stage": (
        lambda path: path.write_text(json.dumps(GOOD | {"stage": "prep"})), "it is of `thinkrec prep`",
    ),
    "pipe": (os.mkfifo, "it is a pipe"),
    "folder": (lambda path: path.mkdir(), "it is a folder"),
}  # fmt: skip
ODD_CURVES: dict[str, tuple[Callable[[Path], Any], str]] = {
    **{name: ODD[name] for name in ("bytes", "pipe", "folder")},
    "other columns": (lambda path: path.write_text("a,b\n1,2\n"), "it is not a curve"),
    "a text": (lambda path: path.write_text("model,epoch,series,value\nmf,1,loss,x\n"), "it is not a curve"),
    "half an epoch": (
        lambda path: path.write_text("model,epoch,series,value\nmf,.5,loss,1\n"),
        "it is not a curve",
    ),
    "cut": (lambda path: path.write_text("model,epoch,series,value\nmf,1,lo"), "it is not a curve"),
    "longer": (lambda path: path.write_text("model,step,series,value\nmf,1,loss,1,2\n"), "it is not a curve"),
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("demo", tmp_path)
    made.record("cf").parent.mkdir(parents=True)
    made.curve("cf").parent.mkdir(parents=True)
    return made


def test_a_record_that_was_written_is_read(layout: Layout) -> None:
    assert read_record(layout, "cf") is read_facts(layout, "cf", dict[str, int]) is None
    with recorded(layout, "cf", 7) as facts:
        facts["rows"] = 5
    found = read_record(layout, "cf")
    assert found is not None and (found["seed"], found["facts"]) == (7, {"rows": 5})
    assert read_facts(layout, "cf", dict[str, int]) == {"rows": 5}
    assert found["processor"] == processor() != "" and found["threads"] == threads()


def test_an_older_record_names_no_processor(layout: Layout) -> None:
    write_record_of(layout, "cf")
    found = read_record(layout, "cf")
    assert found is not None and "processor" not in found and "threads" not in found


def test_the_processor_is_named_as_the_system_does() -> None:
    names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    assert processor() == (names[0] if names else platform.processor() or platform.machine())


def test_threads_are_torchs_where_it_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_num_threads=lambda: 97))
    assert threads() == 97
    monkeypatch.delitem(sys.modules, "torch")
    assert threads() == len(os.sched_getaffinity(0))


def test_a_curve_that_was_written_is_read(layout: Layout) -> None:
    assert read_curve(layout, "cf") == []
    write_curve(layout.curve("cf"), "epoch", [("mf", 1, "loss", 0.5), ("m,f", 2, "loss", float("nan"))])
    assert [tuple(row.values()) for row in read_curve(layout, "cf")] == [
        ("mf", "1", "loss", "0.5"),
        ("m,f", "2", "loss", "nan"),
    ]


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_record(layout: Layout, kind: str) -> None:
    put, why = ODD[kind]
    put(layout.record("cf"))
    with pytest.raises(DataError) as caught:
        read_record(layout, "cf")
    start = f"{layout.record('cf')} is not what `thinkrec cf` wrote ({why}"
    assert str(caught.value)[: len(start)] == start
    assert str(caught.value).endswith(AGAIN)


@pytest.mark.parametrize("kind", ODD_CURVES)
def test_what_is_no_curve(layout: Layout, kind: str) -> None:
    put, why = ODD_CURVES[kind]
    put(layout.curve("cf"))
    with pytest.raises(DataError) as caught:
        read_curve(layout, "cf")
    assert str(caught.value) == f"{layout.curve('cf')} is not what `thinkrec cf` wrote ({why}{AGAIN}"


def test_facts_that_are_others(layout: Layout) -> None:
    write_record_of(layout, "cf", rows="many")
    with pytest.raises(DataError, match=r"wrote \(rows: Input should be a valid integer"):
        read_facts(layout, "cf", dict[str, int])

"""Files that are not what they seem, before every command: one sentence, the documented code, and no hang."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from thinkrec.config.load import load_params
from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec_cli.commands import COMMANDS
from thinkrec_cli.main import run

SMALL = Params.model_validate(
    {
        "demo": {"users": 30, "items": 40, "interactions": 800},
        "cf": {"models": ["mf"], "seeds": 1, "epochs": 1, "encoders": {"mf": {"embedding_size": 8}}},
        "baselines": {"seeds": 1, "gbdt": {"max_iter": 3}},
        "cluster": {"encoder": "mf"},
        "agent": {"encoder": "mf"},
        "evaluate": {"systems": ["mf"]},
        "evaluate-agent": {"systems": ["popularity", "mf"]},
    }
)
ARGUMENTS = {
    "fetch": ["demo"],
    "compare": ["mf", "gbdt", "--dataset", "demo"],
    "export": ["--dataset", "demo", "--to", "out"],
    "search": ["--dataset", "demo", "--model", "mf", "--trials", "1"],
    "replay": ["data/demo/trajectories.jsonl"],
    "preset": ["paper"],
    "recommend": ["--dataset", "demo", "--user", "u0001"],
    "explain": ["--dataset", "demo", "--user", "u0001", "--item", "i0001"],
    "serve": ["--dataset", "demo", "--port", "0"],
    "doctor": ["--no-network"],
}
SECONDS = 60
SEEN: Counter[int] = Counter()
"""Commands by exit code; what hangs or gives a traceback counts as 1."""


@contextmanager
def limited() -> Iterator[None]:
    """Stop what hangs."""

    def stop(*_: object) -> None:
        raise TimeoutError("hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with raw files, tables and keywords."""
    root, before = tmp_path_factory.mktemp("prepared"), Path.cwd()
    (root / "params.yaml").write_text(params_text(SMALL), encoding="utf-8")
    os.chdir(root)
    try:
        for command in ("fetch demo", "prep --dataset demo", "summarize --dataset demo"):
            assert run(command.split()) == 0
    finally:
        os.chdir(before)
    return root


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(prepared, root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("THINKREC_DEBUG", raising=False)
    return root


def cleared(path: Path) -> Path:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def a_socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # its whole path may be too long for one
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(before)


PUT: dict[str, Callable[[Path], Any]] = {
    "folder": lambda path: path.mkdir(),
    "file": lambda path: path.write_bytes(b"x"),
    "empty": lambda path: path.touch(),
    "pipe": os.mkfifo,
    "socket": a_socket,
    "dangling link": lambda path: path.symlink_to("nowhere/at/all"),
    "link loop": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "other encoding": lambda path: path.write_bytes("seed: é".encode("latin-1")),
    "two bytes": lambda path: path.write_bytes("seed: 7".encode("utf-16")),
    "too large": lambda path: path.write_bytes(b"#" * 2_000_000),
}
WORDS = {
    "folder": "params.yaml is a folder, not a file",
    "empty": "params.yaml holds no sections",
    "file": "params.yaml holds no sections",
    "pipe": "params.yaml is a pipe, not a file",
    "socket": "params.yaml is a socket, not a file",
    "dangling link": "params.yaml is a link to nowhere/at/all, which is not there",
    "link loop": "params.yaml can't be read: too many levels of symbolic links",
    "device": "params.yaml is a device, not a file",
    "other encoding": "params.yaml is not UTF-8 text (byte 6)",
    "two bytes": "params.yaml is not UTF-8 text (byte 0)",
    "too large": "params.yaml has more than 1,000,000 bytes",
}


def tell(command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and error of a command; counted."""
    capsys.readouterr()
    code = 1
    try:
        with limited():
            code = run([command, *ARGUMENTS.get(command, ["--dataset", "demo"])])
    finally:
        SEEN[code] += 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == (0 if code == 0 else 1), said
    return code, "".join(lines).removeprefix("error: ")


@pytest.mark.parametrize("kind", WORDS)
def test_params_yaml_is_another_thing(project: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    PUT[kind](cleared(project / "params.yaml"))
    for command in COMMANDS:
        if command not in ("replay", "init", "code", "doctor"):  # which read none, or say all that is wrong
            code, said = tell(command, capsys)
            assert (code, said[: len(WORDS[kind])]) == (3, WORDS[kind]), command


READERS = ("evaluate", "compare", "export", "agent-sft")
PLACES = {
    "data": ("fetch", "prep", "stats", "preset", *READERS),
    "data/raw": ("fetch", "prep"),
    "data/raw/demo": ("fetch", "prep"),
    "data/raw/demo/ratings.csv": ("prep",),
    "data/raw/demo/items.csv": ("prep",),
    "data/demo": ("prep", "summarize", "stats", "audit", *READERS),
    "models": ("prep", "cf", "baselines", "search", "audit", "preset", *READERS),
    "models/demo": ("prep", "cf", "stats", *READERS),
    "models/demo/.work": ("prep", "cf", "stats"),
    "models/demo/.search": ("search",),
    "reports": ("prep", "summarize", "stats", "audit", "search", "preset", *READERS),
    "reports/demo": ("prep", "summarize", "stats", "compare"),
    "reports/demo/run": ("prep", "summarize"),
}
"""Each with commands that read or write there."""
THERE = {
    "file": "is a file, not a folder",
    "pipe": "is a pipe, not a folder",
    "dangling link": "is a broken link, not a folder",
    "link loop": "is a broken link, not a folder",
}


@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize("place", PLACES)
def test_another_thing_in_the_place(
    prepared: Path, project: Path, capsys: pytest.CaptureFixture[str], place: str, kind: str
) -> None:
    """0 where a command has no use for the place; `fetch` alone may take the raw folder's place."""
    codes = set()
    for command in PLACES[place]:
        PUT[kind](cleared(project / place))
        code, said = tell(command, capsys)
        codes.add(code)
        assert code in (0, 4, 5, 8), (command, said)
        assert code != 8 or f"{place} {THERE[kind]}; move what is there away" in said, (command, said)
        cleared(project / place)
        for name in ("data", "models", "reports"):
            if (prepared / name).exists():
                shutil.copytree(prepared / name, project / name, dirs_exist_ok=True)
    assert codes & {4, 5, 8}


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device"])
@pytest.mark.parametrize("name", ["ratings.csv", "items.csv", "truth.csv"])
def test_a_raw_file_that_is_none(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    PUT[kind](cleared(project / "data/raw/demo" / name))
    assert tell("prep", capsys) == (
        5,
        f"data/raw/demo/{name} is a {kind}, not a file: put the raw file there",
    )


@contextmanager
def root_without_its_powers() -> Iterator[None]:
    """Let this thread's rights be those that modes give, as they are for everybody but root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, before, now = (
        (ctypes.c_uint32 * 2)(0x20080522, 0),
        (ctypes.c_uint32 * 6)(),
        (ctypes.c_uint32 * 6)(),
    )
    if libc.capget(header, before):
        pytest.skip("capabilities can't be read here")
    now[:] = before[:]
    now[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of the effective ones
    if libc.capset(header, now):
        pytest.skip("capabilities can't be set here")
    try:
        yield
    finally:
        libc.capset(header, before)


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
@pytest.mark.parametrize(
    ("place", "mode", "command", "code", "words"),
    [
        ("params.yaml", 0, "prep", 3, "params.yaml can't be read: permission denied"),
        ("params.yaml", 0, "preset", 3, "params.yaml can't be read: permission denied"),
        (".", 0o555, "preset", 8, "cannot write params.yaml: permission denied"),
        ("models/demo", 0o555, "prep", 8, "cannot write models/demo/.work/prep: permission denied"),
        ("reports/demo", 0o555, "stats", 8, "cannot write reports/demo/stats.json: permission denied"),
        ("data/demo", 0o555, "summarize", 8, "cannot write data/demo/keywords.parquet: permission denied"),
        (
            "data/demo",
            0,
            "stats",
            8,
            "cannot read or write data/demo/interactions.parquet: permission denied",
        ),
        ("data/raw/demo", 0, "prep", 5, "cannot read data/raw/demo: permission denied"),
        (
            "data/raw/demo/ratings.csv",
            0,
            "prep",
            5,
            "cannot read data/raw/demo/ratings.csv: permission denied",
        ),
    ],
)
def test_what_may_not_be_read_or_written(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
    mode: int,
    command: str,
    code: int,
    words: str,
) -> None:
    path = project / place
    if not path.exists():
        path.mkdir(parents=True)
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        with root_without_its_powers():
            found, said = tell(command, capsys)
    finally:
        path.chmod(before)
    assert (found, said[: len(words)]) == (code, words)


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENAMETOOLONG, errno.EDQUOT, errno.ENOSPC])
def test_what_the_system_says_of_a_folder(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Root is stopped by no mode, so that the system is played here."""

    def refuse(path: Any, *_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    cleared(project / "reports")
    code, said = tell("stats", capsys)
    assert (code, os.strerror(number).lower() in said) == (8, True), said


@pytest.mark.parametrize("links", [["mine.yaml"], ["one", "deep/mine.yaml"]])
def test_a_linked_params_yaml_is_written_through_its_links(
    project: Path, capsys: pytest.CaptureFixture[str], links: list[str]
) -> None:
    (project / "deep").mkdir()
    target = project / links[-1]
    shutil.move("params.yaml", target)
    for name, to in zip(["params.yaml", *links], links, strict=False):
        (project / name).symlink_to(to)
    text = target.read_text(encoding="utf-8")
    assert tell("preset", capsys)[0] == 0
    paper = target.read_text(encoding="utf-8")
    assert paper != text
    assert load_params(project / "params.yaml").backbone.dtype == "bfloat16"
    assert tell("search", capsys)[0] == 0
    assert "mf" in load_params(project / "params.yaml").tuned["demo"].cf
    assert target.read_text(encoding="utf-8") != paper
    assert [(project / name).is_symlink() for name in ["params.yaml", *links]] == [True] * len(links) + [
        False
    ]


def test_no_odd_file_ends_in_another_way(capsys: pytest.CaptureFixture[str]) -> None:
    """The count of the above, for the log."""
    with capsys.disabled():
        print(f"\nodd files: {SEEN[1]} of {SEEN.total()} commands with exit 1, a traceback or a hang")
    assert SEEN[1] == 0

"""Rooms import rooms below them only: no circles, no arrows upwards."""

from __future__ import annotations

from pathlib import Path

from thinkrec_cli.imports import files_of, read

ROOT = Path(__file__).parents[2]
ROOMS = (
    "errors", "files", "journal", "machine", "threads", "processes", "protocols", "progress", "wanted",
    "variants", "pipeline", "layout", "config", "data", "metrics", "prompts", "runs", "artifacts",
    "teachers", "cf", "experts", "llm", "baselines", "search", "systems", "recommender", "agent",
    "costs", "demo", "reports", "audit", "stages", "serve", "doctor",
)  # fmt: skip
"""Packages and modules of thinkrec, the lowest first."""


def room(path: Path) -> str:
    return path.relative_to(ROOT / "thinkrec").parts[0].removesuffix(".py")


def test_every_room_is_named() -> None:
    found = {room(path) for path in (ROOT / "thinkrec").rglob("*.py")}
    assert found - {"__init__"} == set(ROOMS)


def test_no_room_imports_one_above_it() -> None:
    upwards = []
    for path in sorted((ROOT / "thinkrec").rglob("*.py")):
        own = room(path)
        others = {room(file) for name in read(path).imports for file in files_of(name, ROOT)} - {
            own,
            "__init__",
        }
        upwards += [
            f"{path.relative_to(ROOT)}: {own} -> {other}"
            for other in sorted(others)
            if own != "__init__" and ROOMS.index(other) > ROOMS.index(own)
        ]
    assert upwards == []


def test_no_code_imports_the_command_line() -> None:
    wrong = [
        str(path)
        for path in (ROOT / "thinkrec").rglob("*.py")
        if any(name.startswith("thinkrec_cli") for name in read(path).imports)
    ]
    assert wrong == []

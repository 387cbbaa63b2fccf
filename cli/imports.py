"""Which files of this project a module's work consists of, by its imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

PACKAGE = "thinkrec"
PLUMBING = (
    "__init__",
    "artifacts",
    "config",
    "errors",
    "files",
    "journal",
    "layout",
    "progress",
    "runs",
    "threads",
)
"""Rooms that any stage may use without running again when they change: they decide no number."""
TEXTS = (".j2", ".sql")
"""Endings of files that modules read besides their own code."""


@dataclass(frozen=True)
class Module:
    """What a file of Python says.

    Args:
        imports: dotted names, those of packages' attributes too; not what is for type checks only.
        strings: its strings; of those with values in them the pattern, `*` for a value.
    """

    imports: frozenset[str]
    strings: frozenset[str]


@cache
def read(path: Path) -> Module:
    """Read a file of Python."""
    imports, strings = set[str](), set[str]()
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.JoinedStr):
            parts = (str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
            strings.add("".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
    return Module(frozenset(imports), frozenset(strings))


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """A tree's nodes, but those under `if TYPE_CHECKING`."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


def files_of(name: str, root: Path) -> Iterator[Path]:
    """Files that an import of a dotted name runs; packages that hold no code are left out."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return
    for count in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:count])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file() and not _silent(path):
                yield path


@cache
def _silent(path: Path) -> bool:
    """Whether a file holds nothing but a docstring."""
    return all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
    )


def _plumbing(path: Path, root: Path) -> bool:
    return path.relative_to(root / PACKAGE).parts[0].removesuffix(".py") in PLUMBING


def reached(start: Path, root: Path) -> set[str]:
    """Project files that decide what a module does, relative to the root; plumbing is left out.

    Args:
        start: the module's file.
        root: the folder that holds the package.
    """
    seen, waiting = set[Path](), {start}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        files = {file for name in read(path).imports for file in files_of(name, root)}
        waiting |= {file for file in files - seen if not _plumbing(file, root)}
    return {path.relative_to(root).as_posix() for path in seen | _texts(seen, root / PACKAGE)}


def _texts(modules: set[Path], package: Path) -> set[Path]:
    """Templates and queries that modules name: from the package on, or below the folder of their reader.

    A reader that puts the ending on itself makes every word of any module a name.
    """
    strings = {path: {word for word in read(path).strings if " " not in word} for path in modules}
    words = {word for each in strings.values() for word in each if not word.startswith("*")}
    files = {package / word for word in words if "/" in word and word.endswith(TEXTS)}
    for path, ending in ((path, ending) for path in modules for ending in TEXTS):
        names = {word for word in strings[path] if word.endswith(ending)}
        if f"*{ending}" in names:
            names |= {f"{word}{ending}" for word in words}
        texts = path.parent.rglob(f"*{ending}") if names else ()
        files |= {
            text for text in texts if any(fnmatchcase(text.name, name) for name in names - {f"*{ending}"})
        }
    return files

"""The source files that a module depends on, by its imports."""

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
"""Packages that do not affect results: no stage runs again when they change."""
TEXTS = (".j2", ".sql")
"""Suffixes of templates and queries that modules read."""


@dataclass(frozen=True)
class Module:
    """Imports and strings of a Python file.

    Args:
        imports: dotted names, including imported attributes, without imports for type checks only.
        strings: its string literals; f-strings as patterns with `*` for a value.
    """

    imports: frozenset[str]
    strings: frozenset[str]


@cache
def read(path: Path) -> Module:
    """Parse a Python file."""
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
    """Yield the nodes of a tree, except those under `if TYPE_CHECKING`."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


def files_of(name: str, root: Path) -> Iterator[Path]:
    """Yield the files that an import of a dotted name executes, without those that contain no code."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return
    for count in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:count])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file() and not _is_empty(path):
                yield path


@cache
def _is_empty(path: Path) -> bool:
    """Return whether a file contains at most a docstring."""
    return all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
    )


def _plumbing(path: Path, root: Path) -> bool:
    return path.relative_to(root / PACKAGE).parts[0].removesuffix(".py") in PLUMBING


def reached(start: Path, root: Path) -> set[str]:
    """Return the source files that a module depends on, relative to the root, without plumbing.

    Args:
        start: the module's file.
        root: the folder that contains the package.
    """
    seen, waiting = set[Path](), {start}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        imported = {file for name in read(path).imports for file in files_of(name, root)}
        waiting |= {file for file in imported - seen if not _plumbing(file, root)}
    return {path.relative_to(root).as_posix() for path in seen | _texts(seen, root / PACKAGE)}


def _texts(modules: set[Path], package: Path) -> set[Path]:
    """Return the templates and queries that modules name, relative to the package or below their own folder.

    If a module appends the suffix itself, any string of any module may be a name.
    """
    strings = {path: {word for word in read(path).strings if " " not in word} for path in modules}
    words = {word for each in strings.values() for word in each if not word.startswith("*")}
    texts = {package / word for word in words if "/" in word and word.endswith(TEXTS)}
    for path, ending in ((path, ending) for path in modules for ending in TEXTS):
        names = {word for word in strings[path] if word.endswith(ending)}
        if f"*{ending}" in names:
            names |= {f"{word}{ending}" for word in words}
        nearby = path.parent.rglob(f"*{ending}") if names else ()
        texts |= {
            text for text in nearby if any(fnmatchcase(text.name, name) for name in names - {f"*{ending}"})
        }
    return texts

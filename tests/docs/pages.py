"""Pages of Markdown taken apart: fenced blocks, commands in them, headings and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>.*)\n(?P<text>(?:.*\n)*?)(?P=indent)```$", re.M)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")
_BETWEEN = {"&&", "||", "|", ";", "&"}


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: its file's path from the root.
        line: of its first line of text.
        language: as the fence names it; empty where it names none.
        text: without the fence's own indentation.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        """Name it for pytest."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command line of a block, without what follows a redirection, and the block's place."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        """Name it for pytest."""
        return f"{self.block}: {' '.join(self.words)}"


def blocks(page: Path) -> Iterator[Block]:
    """Find all fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        name = page.relative_to(ROOT).as_posix()
        yield Block(name, line, found["language"].strip(), dedent(found["text"]))


def commands(block: Block) -> Iterator[Command]:
    """Find the commands of a block of shell, one after another; variables in front of one are left out."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _BETWEEN:
                words.append(word)
                continue
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            end = next((place for place, each in enumerate(words) if each[0] in "<>"), len(words))
            if words[:end]:
                yield Command(block, tuple(words[:end]))
            words = []


def prose(page: Path) -> str:
    """Return a page's text without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return the targets of all links and images of a page that are no web addresses."""
    text = re.sub(r"`[^`\n]*`", "code", prose(page))
    return [found["target"] for found in _LINK.finditer(text) if "://" not in found["target"]]


def anchors(page: Path) -> set[str]:
    """Return the anchors that code hosts give a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+)$", prose(page), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        repeated = (number for number in range(1, len(found) + 1) if f"{anchor}-{number}" not in found)
        found.add(f"{anchor}-{next(repeated)}" if anchor in found else anchor)
    return found


def broken(page: Path) -> list[str]:
    """Return the links of a page to files or headings that are not there."""
    found = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found

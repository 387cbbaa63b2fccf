"""docs/troubleshooting.md: its messages are those of the source, its exit codes those of the errors."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from thinkrec import errors

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(.*)\n((?:.*\n)*?)```$", TEXT, re.M)
MESSAGES = [line for language, text in BLOCKS if not language for line in text.splitlines()]
LITERALS = [
    node.value
    for room in ("thinkrec", "cli")
    for path in sorted((ROOT / room).rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
]


def fragments(message: str) -> list[str]:
    """The words of a message between what differs, clause by clause; single words prove nothing."""
    parts = [part.strip(" `'().?") for part in re.split(r"<[^>]*>|[:;,] |(?:params|dvc)\.yaml", message)]
    return [part for part in parts if len(part.split()) > 1]


def in_source(fragment: str) -> bool:
    return any(fragment in literal for literal in LITERALS)


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 40 and len(set(MESSAGES)) == len(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_in_the_source(message: str) -> None:
    found = fragments(message)
    assert found, "a message needs words of its own"
    assert [each for each in found if not in_source(each)] == []


@pytest.mark.parametrize("invented", ["the disk has too many legs", "run `thinkrec dance` again"])
def test_what_no_source_says_is_noticed(invented: str) -> None:
    assert not in_source(invented)


def test_every_message_has_an_answer() -> None:
    for after in re.split(r"^```\n(?:.*\n)*?```$", TEXT, flags=re.M)[1:]:
        answer = after.strip().partition("\n")[0]
        assert answer and not answer.startswith("#")


def test_exit_codes() -> None:
    shown = dict(re.findall(r"^\| (\d+) \| (.+) \|$", TEXT, re.M))
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {str(each.exit_code) for each in kinds if issubclass(each, errors.ThinkrecError)}
    assert codes <= set(shown)

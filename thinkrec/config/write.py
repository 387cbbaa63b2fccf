"""params.yaml made from the sections: every key, its default, and what it means.

`python -m thinkrec.config.write params.yaml` writes it anew; the sections stay the one source of truth.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from thinkrec.config.base import Section
from thinkrec.config.sections import EncoderChoice, Params, Tuned
from thinkrec.config.shared import SHARED
from thinkrec.config.text import mapping, place_of, read_text
from thinkrec.config.tree import dumped, subsection, yaml_text
from thinkrec.files import whole

_BY_DATASET = {"datasets": 1, "tuned": 2}
_WIDTH = 80
"""Characters of a line, from which on a list is written in block style."""
_HEAD = """\
# All parameters, one section a stage; `dvc repro` runs again what a change touches.
# Made by `python -m thinkrec.config.write params.yaml`; change values freely, here or by
# `dvc exp run -S training.epochs=1`, or all at once by `thinkrec preset paper`.
"""


_PLACES = {place: shared for shared, places in SHARED.items() for place in places}
"""Sections that inherit, and from which one."""


def _lines(section: Section, every: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Lines of a section; what it inherits from a shared section is not written."""
    depth = len(path)
    indent, values = "  " * depth, dumped(section)
    inherited = every[_PLACES[path]] if path in _PLACES else {}
    if isinstance(section, Params):
        values["tuned"] = said(section.tuned)
    for name, field in type(section).model_fields.items():
        key, inner = field.alias or name, subsection(field)
        if key in inherited and values[key] == inherited[key]:
            continue
        if inner is not None:
            doc = (inner.__doc__ or "").strip().splitlines()[0]
            lines = (
                [] if inner is EncoderChoice else list(_lines(getattr(section, name), every, (*path, key)))
            )
            if inner is EncoderChoice:
                yield f"{indent}{key}: {yaml_text(values[key])}"
            elif not lines:
                yield f"{indent}{key}: {{}}  # {doc}"
            else:
                yield from ("", f"# {doc}", f"{key}:") if depth == 0 else (f"{indent}{key}:  # {doc}",)
                yield from lines
        elif key in _BY_DATASET:
            yield from ("", f"# {field.description}", *block({key: values[key]}, _BY_DATASET[key] + 1, 0))
        else:
            yield from _plain(f"{indent}{key}:", values[key], field.description)


def said(tuned: Mapping[str, Tuned]) -> dict[str, Any]:
    """What `tuned` says, without what it leaves to the sections below."""
    return {name: each.model_dump(mode="json", exclude_unset=True) for name, each in tuned.items()}


def block(values: dict[str, Any], levels: int, depth: int) -> Iterator[str]:
    """A mapping as lines; what lies `levels` below stands on one line each."""
    for key, value in values.items():
        start = f"{'  ' * depth}{yaml_text(key)}:"
        if levels and isinstance(value, dict) and value:
            yield start
            yield from block(value, levels - 1, depth + 1)
        else:
            yield from _plain(start, value, None)


def _plain(start: str, value: Any, description: str | None) -> Iterator[str]:
    """One key; long lists in block style, null as nothing, as `dvc exp run -S` writes it."""
    about = f"  # {description}" if description else ""
    indent = " " * (len(start) - len(start.lstrip()))
    if isinstance(value, list) and value and len(start) + 1 + len(yaml_text(value)) >= _WIDTH:
        yield f"{start}{about}"
        yield from (f"{indent}- {yaml_text(one)}" for one in value)
    else:
        yield f"{start}{about}" if value is None else f"{start} {yaml_text(value)}{about}"


def params_text(params: Params) -> str:
    """The text of a params.yaml that holds these values, a comment beside each key."""
    return _HEAD + "\n" + "\n".join(_lines(params, dumped(params))) + "\n"


def kept(path: Path) -> dict[str, Tuned]:
    """What the file at `path` says under `tuned`; its other sections may be of an earlier version."""
    given = mapping(read_text(path), path) if path.exists() else {}
    return {name: Tuned.model_validate(each) for name, each in (given.get("tuned") or {}).items()}


if __name__ == "__main__":
    file = Path(sys.argv[1])
    text = params_text(Params(tuned=kept(file)))
    with whole(place_of(file)) as beside:
        beside.write_text(text, encoding="utf-8")

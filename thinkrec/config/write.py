"""params.yaml made from the sections: every key, its default, and what it means.

`python -m thinkrec.config.write params.yaml` writes it anew; the sections stay the one source of truth.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thinkrec.config.base import Section
from thinkrec.config.sections import Params
from thinkrec.config.tree import dumped, subsection, yaml_text
from thinkrec.files import whole

_HEAD = """\
# All parameters, one section a stage; `dvc repro` runs again what a change touches.
# Made by `python -m thinkrec.config.write params.yaml`; change values freely, here or by
# `dvc exp run -S global.epochs=1`, or all at once by `thinkrec preset paper`.
"""


def _lines(section: Section, depth: int = 0) -> Iterator[str]:
    indent, values = "  " * depth, dumped(section)
    for name, field in type(section).model_fields.items():
        key, inner = field.alias or name, subsection(field)
        if inner is not None:
            doc = (inner.__doc__ or "").strip().splitlines()[0]
            yield from ("", f"# {doc}", f"{key}:") if depth == 0 else (f"{indent}{key}:  # {doc}",)
            yield from _lines(getattr(section, name), depth + 1)
        elif key == "datasets":
            yield from ("", f"# {field.description}", f"{key}:")
            for dataset, entry in values[key].items():
                yield f"  {dataset}:"
                for one, value in entry.items():
                    yield from _plain(f"    {one}:", value, None)
        else:
            yield from _plain(f"{indent}{key}:", values[key], field.description)


def _plain(start: str, value: Any, description: str | None) -> Iterator[str]:
    """One key; lists in block style, null as nothing: then `dvc exp run -S` changes its own key only."""
    about = f"  # {description}" if description else ""
    indent = " " * (len(start) - len(start.lstrip()))
    if isinstance(value, list):
        yield f"{start}{about}"
        yield from (f"{indent}- {yaml_text(one)}" for one in value)
    else:
        yield f"{start}{about}" if value is None else f"{start} {yaml_text(value)}{about}"


def params_text(params: Params) -> str:
    """The text of a params.yaml that holds these values, a comment beside each key."""
    return _HEAD + "\n" + "\n".join(_lines(params)) + "\n"


if __name__ == "__main__":
    with whole(Path(sys.argv[1])) as beside:
        beside.write_text(params_text(Params()), encoding="utf-8")

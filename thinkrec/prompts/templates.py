"""All templates, of prompts and of pages: Jinja files beside the code that fills them.

Text from outside is a value, never a template.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import jinja2

from thinkrec.prompts.escape import bounded


class Described(Protocol):
    """An item whose texts are clean."""

    @property
    def title(self) -> str:
        """What it is called."""
        ...

    @property
    def keywords(self) -> Sequence[str]:
        """What it is about; maybe none."""
        ...


def item_line(item: Described, token: str = "") -> str:
    """An item as every prompt shows it: "title" (keyword, keyword), a token behind the title where given."""
    words = f" ({', '.join(item.keywords)})" if item.keywords else ""
    return f'"{item.title}"{f" {token}" if token else ""}{words}'


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("thinkrec", ""),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"bounded": bounded, "item_line": item_line}
    return found


@cache
def template(name: str) -> jinja2.Template:
    """A template by its place in the package, as `prompts/score.j2`; a value that nobody gave is an error."""
    return _environment().get_template(name)

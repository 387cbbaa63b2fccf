"""All templates, of prompts and of pages: Jinja files next to the code that renders them.

Untrusted text is a value, never a template.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import jinja2

from thinkrec.prompts.escape import bounded


class Described(Protocol):
    """An item whose texts are cleaned."""

    @property
    def title(self) -> str:
        """The item's title."""
        ...

    @property
    def keywords(self) -> Sequence[str]:
        """The item's keywords, possibly none."""
        ...


def item_line(item: Described, token: str = "") -> str:
    """Return an item as every prompt shows it: `token`, then "title" (keyword, keyword).

    The token stands first (our choice): after the title it keeps a reason that quotes the title from going on
    with the keywords, and after the keywords it stands between an item and its verdict.
    """
    words = f" ({', '.join(item.keywords)})" if item.keywords else ""
    return f'{f"{token} " if token else ""}"{item.title}"{words}'


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("thinkrec", ""),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bounded": bounded, "item_line": item_line}
    return environment


@cache
def template(name: str) -> jinja2.Template:
    """Return the template at a path in the package, such as `prompts/score.j2`.

    Rendering it raises jinja2.UndefinedError if a value is missing.
    """
    return _environment().get_template(name)

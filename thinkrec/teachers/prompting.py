"""Prompts for endpoints: Jinja templates beside this file. Item text is a value, never a template."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2

from thinkrec.prompts.escape import bounded


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("thinkrec.teachers", ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["bounded"] = bounded
    return found


def render(template: str, **values: Any) -> str:
    """Fill a template; a value that it names and nobody gave is an error."""
    return _environment().get_template(template).render(**values).strip()

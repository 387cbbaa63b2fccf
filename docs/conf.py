"""The docs site: `sphinx-build -W --keep-going -b html docs OUT`. It loads nothing from the network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pygments.lexers.special import TextLexer

from thinkrec import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "thinkrec"
project_copyright = "the authors of thinkrec, Apache-2.0"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["_*", "notebooks/*"]

html_theme = "furo"
html_title = "thinkrec"
html_copy_source = False

myst_heading_anchors = 4
"""Headings down to this level have the anchors that code hosts give them."""
default_role = "literal"
"""Docstrings write code between single backticks."""
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
napoleon_numpy_docstring = False

_LIST = re.compile(r"^## (?P<caption>.+)\n(?P<body>(?:(?!## ).*\n)+)", re.M)


def _as_site(app: Sphinx, docname: str, source: list[str]) -> None:
    """Make a page of a file that code hosts show as it is.

    Links to files outside this folder become downloads. The lists of links on the start page become the menu,
    a heading each.
    """
    source[0] = source[0].replace("](../", "](path:../")
    for found in _LIST.finditer(source[0]) if docname == root_doc else ():
        pages = re.findall(r"^\* \[(.+?)\]\((.+?)\.md\)", found["body"], re.M)
        lines = "\n".join(f"{title} <{page}>" for title, page in pages)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {found['caption']}\n\n{lines}\n```\n"


def setup(app: Sphinx) -> None:
    """Connect the above. Code hosts draw Mermaid; here it is text, since drawing it needs a remote script."""
    app.connect("source-read", _as_site)
    app.add_lexer("mermaid", TextLexer)

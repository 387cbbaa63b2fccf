"""One line of an item for all prompts, and templates that know what is text and what is a page."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

import thinkrec
from thinkrec.prompts.render import Line
from thinkrec.prompts.templates import item_line, template

PLACES = sorted(
    path.relative_to(Path(thinkrec.__file__).parent).as_posix()
    for path in Path(thinkrec.__file__).parent.rglob("*.j2")
)


def test_an_item_is_shown_with_what_is_known_of_it() -> None:
    assert item_line(Line("A", ["b", "c d"], True)) == '"A" (b, c d)'
    assert item_line(Line("A", ["b"], None), "<|v|>") == '<|v|> "A" (b)'
    assert item_line(Line("A", [], False), "<|v|>") == '<|v|> "A"'
    assert item_line(Line("A", [], False)) == '"A"'


@pytest.mark.parametrize("place", PLACES)
def test_every_template_is_read_and_wants_its_values(place: str) -> None:
    with pytest.raises(jinja2.UndefinedError):
        template(place).render()
    assert template(place) is template(place)


def test_a_page_escapes_and_a_prompt_does_not() -> None:
    page = template("reports/agent.html.j2").render(
        dataset="<b>", about="", orders="", tables={}, meaning={}, figures=[], damaged=[]
    )
    assert "The agent on &lt;b&gt;" in page
    line = Line("<b> & c", [], None)
    values = {"line": line, "question": False, "item_token": "", "user_token": "", "after": False}
    assert template("prompts/turn.j2").render(values) == 'Rated "<b> & c"\n'

"""Items as a teacher sees them."""

from __future__ import annotations

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Items
from thinkrec.prompts.escape import TITLE, VALUE, bounded, listed
from thinkrec.teachers.protocol import ItemView
from thinkrec.teachers.text import plain


def short(text: str, most: int) -> str:
    """A text in at most so many characters, cleaned as `text.plain` does."""
    return bounded(plain(text[: 8 * most]), most)


def entry(text: str) -> str:
    """A keyword or category as an entry of a list: see `escape.listed`."""
    return listed(short(text, VALUE))


def item_views(items: Items, prompt: Prompt) -> list[ItemView]:
    """Items as a teacher sees them, by item_id."""
    return [
        ItemView(short(title, TITLE), tuple(filter(None, map(entry, words[: prompt.keywords]))))
        for title, words in zip(items.title, items.keywords, strict=True)
    ]

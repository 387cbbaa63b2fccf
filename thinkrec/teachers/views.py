"""Items as a teacher sees them."""

from __future__ import annotations

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Items
from thinkrec.prompts.escape import TITLE, VALUE, bounded, listed
from thinkrec.prompts.keywords import shown_keywords
from thinkrec.teachers.protocol import ItemView
from thinkrec.teachers.text import sanitize


def short(text: str, most: int) -> str:
    """Sanitise a text and truncate it to `most` characters."""
    return bounded(sanitize(text[: 8 * most]), most)


def entry(text: str) -> str:
    """Return a keyword or category as an entry of a list; see `escape.listed`."""
    return listed(short(text, VALUE))


def item_views(items: Items, prompt: Prompt) -> list[ItemView]:
    """Return items as a teacher sees them, by item_id."""
    return [
        ItemView(
            short(title, TITLE),
            tuple(filter(None, map(entry, shown_keywords(title, words, prompt.keywords)))),
        )
        for title, words in zip(items.title, items.keywords, strict=True)
    ]

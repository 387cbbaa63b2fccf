"""Items as a teacher sees them."""

from __future__ import annotations

from thinkrec.config.sections import Prompt
from thinkrec.data.tables import Items
from thinkrec.teachers.protocol import ItemView
from thinkrec.teachers.text import plain


def item_views(items: Items, prompt: Prompt) -> list[ItemView]:
    """Items as a teacher sees them, by item_id."""
    return [
        ItemView(plain(title), tuple(filter(None, map(plain, words[: prompt.keywords]))))
        for title, words in zip(items.title, items.keywords, strict=True)
    ]

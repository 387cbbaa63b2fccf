"""What the tools answer: text that an assistant reads at once, and the same as values."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from thinkrec.prompts.escape import TITLE, bounded
from thinkrec.prompts.guard import Guard
from thinkrec.systems.answers import Mixture

LONGEST = 2000
"""Characters of a generated reason or an error that are shown (our choice)."""
_guard = Guard()


def shown(text: str, most: int = TITLE) -> str:
    """Return an untrusted text on one line, without double quotes and markers of chat templates."""
    return _guard(bounded(text, most))


def _quoted(item: Item) -> str:
    return f'"{item.title}", id "{shown(item.item)}"'


def _lines(entries: Iterable[str]) -> str:
    return "\n".join(f"{place}. {entry}" for place, entry in enumerate(entries, start=1))


class Answer(BaseModel):
    """An answer of a tool."""

    def text(self) -> str:
        """Return what an assistant reads."""
        raise NotImplementedError


class Item(BaseModel):
    """An item: its raw id, exactly, and its title as `shown`."""

    item: str
    title: str


class Found(Answer):
    """Items that were found."""

    items: list[Item]

    def text(self) -> str:
        """List them."""
        return _lines(map(_quoted, self.items)) or "No title has words that begin like these."


class Met(Item):
    """An item of a history."""

    liked: bool


class Past(Answer):
    """The latest interactions of a user, newest first, of `total`."""

    user: str
    total: int
    interactions: list[Met]

    def text(self) -> str:
        """List them."""
        verdicts = (f"{'liked' if each.liked else 'disliked'} {_quoted(each)}" for each in self.interactions)
        return (
            f'{len(self.interactions)} of {self.total} interactions of user "{shown(self.user)}", newest '
            f"first:\n{_lines(verdicts)}"
        )


class Scored(Item):
    """An item with its score, and with a reason where one was asked for."""

    score: float
    reason: str | None = None


class _Told(Answer):
    system: str
    user: str | None
    basis: str
    mixture: list[float] | None

    def _head(self) -> str:
        lines = [f"By {self.system}, from {self.basis}. A higher score means more likely liked."]
        if self.mixture is not None:
            lines.append(f"Gate: {Mixture(tuple(self.mixture))}.")
        return "\n".join(lines)


class Ranked(_Told):
    """Scored items: as asked, or the best first; `mixture` has the global LoRA's weight, then each expert's.

    Scores are comparable within one system only.
    """

    items: list[Scored]

    def text(self) -> str:
        """List them with scores, reasons below."""
        entries = (
            f"{_quoted(each)}: {each.score:.3f}" + (f"\n   {each.reason}" if each.reason else "")
            for each in self.items
        )
        return f"{self._head()}\n{_lines(entries)}"


class Moved(Met):
    """An interaction and how the score changes by it: above 0, it raised the score."""

    moved: float


class Explained(_Told, Scored):
    """Why an item has its score; `history` begins with what moved it most."""

    history: list[Moved]

    def text(self) -> str:
        """Give the score, the reason, and what moved the score."""
        moved = _lines(
            f"{'liked' if each.liked else 'disliked'} {_quoted(each)}: {each.moved:+.3f}"
            for each in self.history
        )
        parts = [self._head(), f"{_quoted(self)}: {self.score:.3f}"]
        parts += [f"Reason, in the language model's words: {self.reason}"] if self.reason else []
        parts += [f"What moved the score, most first:\n{moved}"] if moved else ["There is no history."]
        return "\n".join(parts)


class Lettered(Item):
    """A candidate and the letter by which an answer calls it."""

    letter: str


class Observed(Answer):
    """What one of the agent's tools says; its letters are those of `candidates`."""

    answer: str
    candidates: list[Lettered]

    def text(self) -> str:
        """Name the candidates, then give the answer."""
        named = [f"{each.letter}: {_quoted(each)}" for each in self.candidates]
        return "\n".join([*named, self.answer])

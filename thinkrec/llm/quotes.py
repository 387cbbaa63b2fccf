"""What a reason may quote: titles of its prompt, as liked or not as it shows them, and with its keywords."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from thinkrec.llm.shared_keywords import alike, last_of, names_target, shared
from thinkrec.llm.shown import Title, target_of
from thinkrec.metrics.reasons.titles import MARK, MAX_PLACE, OTHER, Named, mark_of
from thinkrec.metrics.reasons.truth import claims_of, last_sentence

_SAID = re.compile(rb'"([^"]*)"( ?\(((?:"[^"]*"|[^()"])*(?:"[^"]*)?)(\)|\Z))?')


def speakable(said: str, shown: Mapping[bytes, Title]) -> list[bytes]:
    """Return the titles that a quote which begins behind `said` may hold.

    Where the words before it claim a like or dislike, these are titles with that label, of them those that
    the sentence has not named yet, and of these such that share a keyword with the target, where there are
    any. The target may follow where no list goes on: as in `liked "A" and "B", and "C" offers the same`; it
    alone follows `liked "A" (word), so the word of`. Our choice.
    """
    titles = list(shown)
    text = _marked(said, shown)
    stance = _stance(text)
    if stance is None:
        return titles[-1:] if names_target(said.encode(), shown) else titles
    sentence = last_sentence(text)
    named, gap = _named(sentence, shown), MARK.split(sentence)[-1]
    true = [title for title in titles if stance in shown[title].liked]
    found = alike([title for title in true if title not in named] or true, last_of(said.encode()), shown)
    if MARK.search(sentence) and gap.strip() not in ("and", "or", ",") and _stance(gap) is None:
        found += [title for title in titles if None in shown[title].liked and title not in found]
    return found or titles


def list_ends(said: str, shown: Mapping[bytes, Title]) -> bool:
    """Test whether a text that ends in a title liked or disliked, or its bracket, has named all that fit.

    These are the titles with that label that share a keyword with the target, where there are any.
    """
    text = _marked(f"{said} and ", shown)
    stance = _stance(text)
    if stance is None:
        return False
    named = _named(last_sentence(text), shown)
    true = [title for title in shown if stance in shown[title].liked]
    fitting = alike(true, last_of(said.encode()), shown)
    return bool(named) and set(fitting) <= set(named)


def _marked(said: str, shown: Mapping[bytes, Title]) -> str:
    marks = {title.decode(): mark_of(place) for place, title in enumerate(shown)}
    return re.sub('"([^"]*)"', lambda match: marks.get(match[1], OTHER), said)


def _named(sentence: str, shown: Mapping[bytes, Title]) -> list[bytes]:
    """Return the titles whose marks a sentence holds."""
    return [title for place, title in enumerate(shown) if mark_of(place) in sentence]


def _stance(text: str) -> bool | None:
    """Return what a text, its titles marked, claims of a title that would follow."""
    claims = claims_of(Named(text + mark_of(MAX_PLACE), [], []))
    return next((claim.liked for claim in claims if claim.place == MAX_PLACE), None)


@dataclass(frozen=True)
class Within:
    """The allowed continuations of a text that is within a quote or a bracket.

    Args:
        texts: that may follow, each to its end; those of a title or list with a closing quote or bracket.
        closing: the sign that closes it.
    """

    texts: list[bytes]
    closing: bytes


def within(text: bytes, shown: Mapping[bytes, Title]) -> Within | None:
    """Return how a text may go on where it is within a title's quote or its list of keywords; None elsewhere.

    Args:
        text: what was said so far.
        shown: see `quoted`.
    """
    end = 0
    while (begin := text.find(b'"', end)) >= 0:
        said = _SAID.match(text, begin)
        if said is None:
            begun = text[begin + 1 :]
            titles = [title for title in shown if title.startswith(begun)]
            fitting = set(speakable(text[:begin].decode(errors="ignore"), shown)).intersection(titles)
            return Within([title[len(begun) :] + b'"' for title in fitting or titles], b'"')
        if said[2] is not None and not said[4]:
            words = _bracketed(said[1], text[:begin], shown) if said[1] in shown else []
            return Within(_lists(words, said[3]), b")") if words else None
        end = said.end()
    return None


def _bracketed(title: bytes, before: bytes, shown: Mapping[bytes, Title]) -> list[bytes]:
    """Return the keywords that a bracket behind a title may hold: the shared ones, if any."""
    words = list(dict.fromkeys(shown[title].keywords))
    if title == target_of(shown):
        return words
    both = shared(title, last_of(before), shown)
    return [word for word in words if word in both] or words


def _lists(left: list[bytes], rest: bytes) -> list[bytes]:
    """Return how a list of some of the keywords may go on behind `rest`: to its end, or to the next one."""
    while (said := next((word for word in left if rest.startswith(word + b", ")), None)) is not None:
        left.remove(said)
        rest = rest[len(said) + 2 :]
    lists = [word + b")" for word in left]
    lists += [word + b", " + other for word in left for other in left if other != word]
    return [each[len(rest) :] for each in lists if each.startswith(rest) and len(each) > len(rest)]

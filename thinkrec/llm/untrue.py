"""What is left out of a reason: sentences about items that the prompt shows otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping

from thinkrec.llm.shared_keywords import masked, sentences_in
from thinkrec.llm.shown import Title
from thinkrec.metrics.reasons.keywords import Keywords, keywords_fit
from thinkrec.metrics.reasons.titles import MARK, MAX_PLACE, OTHER, TARGET, Named, mark_of
from thinkrec.metrics.reasons.truth import behind_verdict, claims_of

_QUOTED = re.compile(r'\([^()]*\)|"([^"]*)"')
_ENTRY = re.compile(r'"([^"]*)"')
_CONCLUSION = re.compile(rb", so the (?=.* of \0)|, and (?=\0)")
"""Begins what a sentence concludes about the target from the items that it has cited."""


def without_untrue(reason: str, shown: Mapping[bytes, Title]) -> str:
    """Leave out of a reason the sentences that the prompt shows otherwise.

    These say that the user liked or disliked an item with another label, or the target; or give an item, or
    several, a keyword that is not theirs, see `keywords_fit`. Where a sentence is true without what it
    concludes about the target, as in `They liked "A" (word), so the word of "B" should appeal`, only that is
    left out. While a text is written, this can't be ruled out: a model may begin `They did not enjoy` where
    the history has likes alone. Our choice.

    Args:
        reason: whole, verdict first.
        shown: see `quoted`; hidden labels are not judged.
    """
    if not shown:
        return reason
    *history, target = (title.decode() for title in shown)
    marks = {title: mark_of(place) for place, title in enumerate(history)} | {target: TARGET}
    keywords = Keywords(
        {title.decode(): [word.decode() for word in of.keywords] for title, of in shown.items()}
    )

    def marked(match: re.Match[str]) -> str:
        if match[1] is not None:
            return marks.get(match[1], OTHER)
        return _ENTRY.sub(lambda entry: entry[1].replace(",", " "), match[0])

    def true(sentence: str) -> bool:
        named = Named(f"Yes. {_QUOTED.sub(marked, sentence)}", [], [])
        for claim in claims_of(named):
            liked = shown[history[claim.place].encode()].liked
            if claim.liked not in liked and None not in liked:
                return False
        first = MARK.search(named.text)
        if first is not None and first[0] == TARGET:
            begun = named.text[: first.start()] + mark_of(MAX_PLACE)
            if any(
                claim.liked not in shown[target.encode()].liked for claim in claims_of(Named(begun, [], []))
            ):
                return False
        return keywords_fit(named, history, target, keywords) is not False

    def kept(sentence: str) -> str:
        if true(sentence):
            return sentence
        said = sentence.encode()
        cuts = (said[: found.start()].decode() + "." for found in _CONCLUSION.finditer(masked(said)))
        return next((cut for cut in cuts if true(cut)), "")

    rest = behind_verdict(reason)
    verdict = reason[: len(reason) - len(rest)]
    first, *others = map(kept, sentences_in(rest))
    return verdict + " ".join(filter(None, (first or "." * bool(verdict and rest), *others))).lstrip()

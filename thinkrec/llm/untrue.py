"""What is left out of a reason: sentences about items that the prompt shows otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from thinkrec.llm.shared_keywords import masked, sentences_in
from thinkrec.llm.shown import Title
from thinkrec.metrics.reasons.keywords import Keywords, keywords_fit
from thinkrec.metrics.reasons.titles import MARK, MAX_PLACE, OTHER, TARGET, Named, mark_of, place_of
from thinkrec.metrics.reasons.truth import behind_verdict, stances_of

_QUOTED = re.compile(r'\([^()]*\)|"([^"]*)"')
_ENTRY = re.compile(r'"([^"]*)"')
_CONCLUSION = re.compile(rb", so the (?=.* of \0)|, and (?=\0)")
"""Begins what a sentence concludes about the target from the items that it has cited."""
_LISTING = re.compile(
    r"and|or|both|of|for|by|the|items?|films?|movies?|books?|shows?|songs?|products?|includ(?:es?|ing)"
)
"""Words between a word of liking and the titles that it is about; behind others, it may not be about them."""
_OTHERWISE = re.compile(r"was|were|is|are|did|does|do|has|had|will|would|should|may|might|could|can")
"""Words behind a title that is the subject of what follows."""
_RATED = re.compile(
    r"(?:.* )?(?:enjoyed|liked|loved|disliked|hated)|.*did(?: not|n['\u2019]t) (?:enjoy|like|love)"
)
"""Words that say of the target what can't be: that it was rated. Others tell what will be."""


def without_untrue(reason: str, shown: Mapping[bytes, Title]) -> str:
    """Leave out of a reason the sentences that the prompt shows otherwise.

    These say that the user liked or disliked an item with another label, or the target; or give an item, or
    several, a keyword that is not theirs, see `keywords_fit`. Where a sentence is true without what it
    concludes about the target, as in `They liked "A" (word), so the word of "B" should appeal`, only that is
    left out. While a text is written, this can't be ruled out: a model may begin `They did not enjoy` where
    the history has likes alone. What can be read in two ways stays. Our choice.

    Args:
        reason: whole, verdict first.
        shown: see `quoted`; hidden labels are not judged.
    """
    if not shown:
        return reason
    prompt = _Prompt.of(shown)
    rest = behind_verdict(reason)
    verdict = reason[: len(reason) - len(rest)]
    said = sentences_in(rest)
    first, *others = kept = list(map(prompt.kept, said))
    if kept == said:
        return reason
    text = " ".join(filter(None, (first or "." * bool(verdict), *others)))
    return verdict + (text if verdict else text.lstrip())


@dataclass(frozen=True)
class _Prompt:
    """What a prompt shows, to test sentences.

    Args:
        history: titles.
        target: the title asked about.
        labels: of each title.
        keywords: of all.
        marks: of all titles.
    """

    history: list[str]
    target: str
    labels: dict[str, set[bool | None]]
    keywords: Keywords
    marks: dict[str, str]

    @classmethod
    def of(cls, shown: Mapping[bytes, Title]) -> _Prompt:
        *history, target = (title.decode() for title in shown)
        labels = {title.decode(): of.liked for title, of in shown.items()}
        keywords = {title.decode(): [word.decode() for word in of.keywords] for title, of in shown.items()}
        marks = {title: mark_of(place) for place, title in enumerate(history[:MAX_PLACE])}
        return cls(history, target, labels, Keywords(keywords), {**marks, target: TARGET})

    def kept(self, sentence: str) -> str:
        """Return a sentence, or what of it is true; "" for nothing."""
        if self._true(sentence):
            return sentence
        said = sentence.encode()
        ends = [found.start() for found in _CONCLUSION.finditer(masked(said))]
        cuts = (said[:end].decode() + "." for end in reversed(ends))
        return next((cut for cut in cuts if self._true(cut)), "")

    def _true(self, sentence: str) -> bool:
        text = self._marked(sentence)
        likes = all(self._fits(mark, liked, word) for mark, liked, word in _claims(text))
        return (
            likes and keywords_fit(Named(text, [], []), self.history, self.target, self.keywords) is not False
        )

    def _fits(self, mark: str, liked: bool, word: str) -> bool:
        """Test what is said of a title: for the target, that it was rated is false but where it was."""
        place = place_of(mark)
        if place is not None:
            labels = self.labels[self.history[place]]
            return liked in labels or None in labels
        said = mark == TARGET and (not self.history or bool(_RATED.fullmatch(word)))
        return not said or liked in self.labels[self.target]

    def _marked(self, sentence: str) -> str:
        """Return a sentence with marks in place of the titles, behind `Yes.`, which is no negation."""
        parts, end = ["Yes. "], 0
        for match in _QUOTED.finditer(sentence):
            bracket = _ENTRY.sub(lambda entry: entry[1].replace(",", " "), MARK.sub(" ", match[0]))
            parts += [MARK.sub(" ", sentence[end : match.start()])]
            parts += [bracket if match[1] is None else self.marks.get(match[1], OTHER)]
            end = match.end()
        return "".join([*parts, MARK.sub(" ", sentence[end:])])


def _claims(text: str) -> Iterator[tuple[str, bool, str]]:
    """Yield the marks that stand right behind a word of liking, what it says, and its last three words.

    The words are "" for further titles behind the same one.
    """
    last: tuple[bool, str] | None = None
    tokens = stances_of(text)
    words = [token.casefold() for token, _ in tokens]
    for k, (token, stance) in enumerate(tokens):
        if MARK.fullmatch(token):
            if last is not None and not any(map(_OTHERWISE.fullmatch, words[k + 1 : k + 2])):
                yield token, *last
                last = last[0], ""
        elif stance is not None:
            last = stance, " ".join(words[max(k - 2, 0) : k + 1])
        elif not (MARK.fullmatch(words[k - 1]) if token == "," else _LISTING.fullmatch(words[k])):
            last = None

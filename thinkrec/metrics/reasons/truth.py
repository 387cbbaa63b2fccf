"""What likeness to a reference can't see, by rule: verdict, polarity, titles, claims of like and dislike."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from thinkrec.metrics.reasons.titles import MARK, Named, place_of

_VERDICT = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_PART = re.compile(r"(?<=[.!?;:,])\s+|\s+(?=but\b)", re.IGNORECASE)
_TURNED = re.compile(
    r"^\W*(?:(?:and|so|but|since|because)\s+)?(?:nothing|none|neither|no one|nobody)\b|^.*\bunlikely\b|"
    r"\bnot (?:at all|in the least)\W*$",
    re.IGNORECASE,
)
"""Words that reverse the polarity of what follows them, or of what is before them; not in VADER's rules."""
_AHEAD = re.compile(
    r"\b(?:will|would|should|may|might|could|unlikely|likely|probably|expect\w*|fits?|suits?|match(?:es)?|appeals?)\b",
    re.IGNORECASE,
)
_OF_TASTE = {
    **dict.fromkeys(
        ("fit", "fits", "fitting", "suit", "suits", "suited", "match", "matches", "appeal", "appeals"), 1.5
    ),
    **dict.fromkeys(("mismatch", "unsuited", "unsuitable", "cold"), -1.5),
}
"""Words that in a reason speak of taste and that VADER's lexicon lacks; values like those of its `like`."""
_BRACKETS = re.compile(r"\([^()]*\)")
_TOKENS = re.compile(rf"{MARK.pattern}|\w+(?:['\u2019]\w+)*|,")
_LIKE = re.compile(
    r"likes?|liked|liking|loves?|loved|loving|enjoy(?:s|ed|ing|ment)?|please[sd]?|adore[sd]?|appreciate[sd]?|"
    r"favou?r(?:s|ed)|fond|praise[sd]?|fan"
)
_DISLIKE = re.compile(
    r"dislik(?:e|es|ed|ing)|hate[sd]?|loathe[sd]?|disappoint(?:s|ed|ing|ment)?|displease[sd]?|bored|avoid(?:s|ed)?|"
    r"let[- ]down|rejected|panned"
)
_SUBJECT = re.compile(
    r"they|he|she|who|users?|viewers?|readers?|i|also|really|not|never|do|does|did|to|\w+n['\u2019]t"
)
"""Words right before `like` and `please` where these are verbs."""
_BEING = re.compile(r"is|are|was|were|be|been")
_FUTURE = re.compile(r"will|would|should|might|may|could|can|likely|probably|likelihood|going|chance")
_NEGATION = re.compile(r"not|never|no|nor|hardly|without|neither|\w+n['\u2019]t")
_EXCEPT = re.compile(
    r"\b(?:(?:everything|anything|all|any|nothing|none) but|(?:apart|aside) from|other than|"
    r"with the exception of|except(?:ing)?|excluding|unlike)\b",
    re.IGNORECASE,
)
_TURN = re.compile(r"but|while|whereas|although|though|however|yet|so|therefore|thus|hence|because")
_REACH = 3
"""Words before a word of liking within which a negation or a future counts (our choice)."""


@dataclass(frozen=True)
class Claim:
    """That the user liked or disliked an item of the history.

    Args:
        place: of the item in the history.
        liked: what the text says.
    """

    place: int
    liked: bool


def verdict_of(text: str) -> bool | None:
    """Return whether a text begins with Yes or No; None where it begins with neither."""
    match = _VERDICT.match(text)
    return None if match is None else match[1].casefold() == "yes"


def behind_verdict(text: str) -> str:
    """Return what follows Yes or No at a text's beginning; all of it where it begins with neither."""
    match = _VERDICT.match(text)
    return text if match is None else text[match.end() :]


def verdict_fits(text: str, score: float | None) -> bool | None:
    """Test whether a text's verdict is on the score's side: Yes above 0, No elsewhere; no verdict never fits.

    Args:
        text: a reason, verdict first.
        score: the system's score, a logit; None where there is none, and then nothing to test.
    """
    return None if score is None else verdict_of(text) is (score > 0)


@cache
def _sentiment() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    analyser.lexicon.update(_OF_TASTE)
    return analyser


def _lean(part: str) -> float:
    """Return the polarity of a part; behind `nothing` or `unlikely`, or before `not at all`, turned round."""
    rest, turns = _TURNED.subn(" ", MARK.sub("it", part))
    found = float(_sentiment().polarity_scores(rest)["compound"])
    return -found if turns % 2 else found


def polarity(named: Named) -> float:
    """Return the polarity of a text's own words, -1 to 1; 0 where they lean nowhere or both ways.

    What decides is the last part of a sentence that looks ahead: it says what will or may be, or what fits.
    Without any, it is the last part that names no title of the history; else all of them, where they agree.
    So likes that are weighed against dislikes don't count, nor do titles and bracketed keywords.

    Source: Hutto and Gilbert 2014 (VADER's lexicon and rules, the package vaderSentiment); words of taste
    that its lexicon lacks, and which part decides, are our choice.
    """
    text = _BRACKETS.sub(" ", behind_verdict(named.text))
    leans = [(part, lean) for part in _PART.split(text) if (lean := _lean(part))]
    for part, lean in reversed(leans):
        if _AHEAD.search(part):
            return lean
    for part, lean in reversed(leans):
        if all(place_of(mark) is None for mark in MARK.findall(part)):
            return lean
    agree = len({lean > 0 for _, lean in leans}) == 1
    return leans[-1][1] if agree else 0.0


def polarity_fits(text: str, named: Named) -> bool | None:
    """Test whether a text's words lean to its verdict; None without a verdict, or where they lean nowhere."""
    verdict, lean = verdict_of(text), polarity(named)
    return None if verdict is None or lean == 0 else verdict is (lean > 0)


def titles_fit(named: Named) -> bool | None:
    """Test whether each title named stands in the prompt; None where no title is named."""
    return not named.others if named.shown or named.others else None


def claims_of(named: Named) -> list[Claim]:
    """Find what a text says of the items of the history that it names.

    Within a sentence, a title belongs to the word of liking before it, and not beyond a word such as `but`;
    else to the next one after it, or to that in `which they liked`. What the user will like is no claim,
    nor is what is said of a title behind `except` or `unlike`.
    """
    claims = []
    text = _BRACKETS.sub(" ", behind_verdict(named.text))
    for sentence in _SENTENCE.split(text):
        sentence = _EXCEPT.sub("except", re.sub(r"\blet down\b", "let-down", sentence))
        claims += _claims_of_sentence(_TOKENS.findall(sentence))
    return claims


def sentences_of(named: Named) -> list[str]:
    """Return the sentences of a text behind its verdict, titles marked; stops in brackets end none."""
    text = _BRACKETS.sub(lambda match: re.sub("[.!?;]", " ", match[0]), behind_verdict(named.text))
    return _SENTENCE.split(text)


def last_sentence(text: str) -> str:
    """Return the sentence in which a text ends, without what stands in brackets."""
    return _SENTENCE.split(_BRACKETS.sub(" ", text))[-1]


def stances_of(text: str) -> list[tuple[str, bool | None]]:
    """Return the words, marks and commas behind a text's verdict, each with what it says of liking, or None.

    Nothing is said by words of what will be liked, nor by those behind `not only`.
    """
    tokens = _TOKENS.findall(_BRACKETS.sub(" ", behind_verdict(text)))
    words = [token.casefold() for token in tokens]
    only = {k for k in range(len(words)) if words[max(k - 3, 0) : k][-2:] == ["not", "only"]}
    return [(token, None if k in only else _stance(tokens, k)) for k, token in enumerate(tokens)]


def _stance(tokens: Sequence[str], k: int) -> bool | None:
    """Return what the word at `k` says of what was liked; None for others, and for what will be liked."""
    word = tokens[k].casefold()
    liked = bool(_LIKE.fullmatch(word))
    if not liked and not _DISLIKE.fullmatch(word):
        return None
    before = _own_words(tokens, k)
    if any(_FUTURE.fullmatch(each) for each in before):
        return None
    if word in ("like", "please") and not (before and _SUBJECT.fullmatch(before[-1])):
        return None  # `films like this`
    if word == "like" and before[-1] == "not" and before[-2:-1] and _BEING.fullmatch(before[-2]):
        return None  # `it is not like this`
    return liked != any(_NEGATION.fullmatch(each) for each in before)


def _own_words(tokens: Sequence[str], k: int) -> list[str]:
    """Return the words within reach before the one at `k`, from the last comma or `"A" and`, `"A" but` on."""
    found: list[str] = []
    for j in range(k - 1, max(k - _REACH, 0) - 1, -1):
        word = tokens[j].casefold()
        joins = word == "and" or _TURN.fullmatch(word)
        if word == "," or (joins and j and MARK.fullmatch(tokens[j - 1])):
            break
        found.insert(0, word)
    return found


def _claims_of_sentence(tokens: list[str]) -> list[Claim]:
    claims: list[Claim] = []
    verb: bool | None = None
    stance: bool | None = None  # the verb's, or its opposite behind `neither`
    excepted = False  # behind `except`
    denied = False  # behind `Neither of`, before its verb
    pending: list[int] = []
    relative = False  # behind a title and a comma: `which they liked` tells of that title alone
    for k, token in enumerate(tokens):
        word = token.casefold()
        if MARK.fullmatch(token):
            place = place_of(token)
            if place is None:
                continue
            follows = _relative_stance(tokens, k)
            said = stance if follows is None else follows
            if said is not None:
                claims.append(Claim(place, said))
            elif not excepted:
                pending.append(place)
        elif _TURN.fullmatch(word):
            verb, stance, excepted, denied, pending, relative = None, None, False, False, [], False
        elif word == "except":
            verb, stance, excepted = None, None, True
        elif verb is not None and _turns(tokens, k):
            stance = not verb
        elif word in ("neither", "none") and tokens[k + 1 : k + 2] == ["of"] and _turns(tokens, k):
            denied = True
        elif (
            word in ("which", "that", "who") and k and (tokens[k - 1] == "," or MARK.fullmatch(tokens[k - 1]))
        ):
            relative = True
        elif word == "," and not relative:
            continue
        elif (found := _stance(tokens, k)) is not None:
            claims += [Claim(place, found != denied) for place in pending]
            pending, denied = [], False
            if not relative:
                verb, stance, excepted = found, found, False
            relative = False
    return claims


def _turns(tokens: Sequence[str], k: int) -> bool:
    """Return whether the word at `k` turns what was said before it: `neither`, `none of "A"`, `not "A"`."""
    word, rest = tokens[k].casefold(), tokens[k + 1 : k + 3]
    listed = rest[:1] == ["of"]
    if word == "neither" and not listed:
        return True
    return word in ("neither", "none", "not") and bool(MARK.match("".join(rest[listed:])))


def _relative_stance(tokens: Sequence[str], k: int) -> bool | None:
    """Return what `, which they liked` behind the title at `k` says of it."""
    rest = tokens[k + 1 : k + 9]
    if rest and rest[0] == ",":
        rest = rest[1:]
        k += 1
    if not rest or rest[0].casefold() not in ("which", "that"):
        return None
    for step, token in enumerate(rest):
        if MARK.fullmatch(token) or token == ",":
            return None
        if (found := _stance(tokens, k + 1 + step)) is not None:
            return found
    return None


def claims_fit(named: Named, history: Sequence[tuple[str, bool]]) -> bool | None:
    """Test whether each claim of like or dislike fits the item's label; None without a claim.

    Args:
        named: the text, its titles marked.
        history: title and label of each item; of items with the same title, one whose label fits suffices.
    """
    labels: defaultdict[str, set[bool]] = defaultdict(set)
    for title, liked in history:
        labels[title].add(bool(liked))
    claims = claims_of(named)
    return all(each.liked in labels[history[each.place][0]] for each in claims) if claims else None

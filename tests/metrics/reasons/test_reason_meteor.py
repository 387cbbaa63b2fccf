"""METEOR against nltk and by hand, with the real WordNet."""

import time
from types import SimpleNamespace
from typing import Any

import nltk.corpus
import pytest
from nltk.translate.meteor_score import single_meteor_score

from thinkrec.metrics.reasons import meteor as module
from thinkrec.metrics.reasons.meteor import meteor, words


class Synonyms:
    """A WordNet of one synset, asked by whole words as the real one is."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def synsets(self, word: str) -> list[SimpleNamespace]:
        lemmas = [SimpleNamespace(name=lambda name=name: name) for name in self.names]
        return [SimpleNamespace(lemmas=lambda: lemmas)] if word in self.names else []


def test_equal_texts_are_near_one_and_strangers_zero():
    same, other, empty = meteor(["the user likes comedies"] * 3, ["the user likes comedies", "xyz", ""], None)
    assert same == pytest.approx(1 - 0.5 / 4**3)
    assert other == empty == 0.0


def test_exact_and_stem_by_hand():
    # Two of three words match, in one chunk, the second by its stem: P = R = 2/3, penalty 0.5 (1/2)^3.
    (got,) = meteor(["user likes comedies"], ["user liked drama"], None)
    assert got == pytest.approx(2 / 3 * (1 - 0.5 / 8))


def test_equals_nltk_without_synonyms():
    said, made = "He avoids slow, sad stories; he wants jokes.", "Wants a joke, avoiding sad and slow story."
    want = single_meteor_score(words(said), words(made), wordnet=Synonyms())
    assert meteor([said], [made], None) == [want]
    assert 0 < want < 1


def test_synonyms_are_looked_up_by_the_word_not_by_its_stem():
    # The stem of "comedy" is "comedi", which no WordNet holds: nltk alone finds no synonym here.
    said, made, wordnet = "funny comedy", "funny movies", Synonyms("comedy", "movies")
    assert single_meteor_score(words(said), words(made), wordnet=wordnet) == pytest.approx(0.25)
    assert meteor([said], [made], wordnet) == [pytest.approx(1 - 0.5 / 8)]


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="zip"):
        meteor(["a", "b"], ["a"], None)


def test_an_incomplete_corpus_counts_as_none_and_is_named(monkeypatch, caplog):
    def broken() -> None:
        raise OSError("No such file or directory: 'index.sense'")

    monkeypatch.setattr(nltk.corpus, "wordnet", SimpleNamespace(ensure_loaded=broken))
    assert module.find_wordnet() is None
    assert "WordNet corpus is incomplete, METEOR goes without synonyms: No such file" in caplog.text


SAID = [
    "Yes. The user liked a film about a car, so the movie about automobiles should please them.",
    "No. They dislike slow stories; this tale is rather dull and sad.",
    "Yes. A comedy with jokes, which they enjoyed before.",
    "Ünïcode: 東京物語, naïve?",
    "",
]
MADE = [
    "Yes. The person enjoyed a movie about an automobile, and the picture about cars would delight them.",
    "No. The user hates boring tales, and this story is slow.",
    "No. A humorous film with a gag, as they liked.",
    "ünïcode: 東京物語 naïve!",
    "Yes.",
]


def test_equals_nltks_own_where_words_are_not_looked_up(wordnet: Any) -> None:
    own = [single_meteor_score(words(a), words(b), wordnet=wordnet) for a, b in zip(SAID, MADE, strict=True)]
    assert meteor(SAID, MADE, wordnet, by_word=False) == own
    assert own != [0.0] * len(own) and own[-1] == 0.0


def test_real_synonyms_count(wordnet: Any) -> None:
    assert wordnet.get_version() in ("3.0", "3.1")
    assert meteor(["a film"], ["a movie"], wordnet) == [pytest.approx(1 - 0.5 / 8)]
    # P = R = 1/2 without synonyms: one chunk of one match.
    assert meteor(["a film"], ["a movie"], None) == [pytest.approx(0.5 * 0.5)]
    with_words, without = meteor(SAID, MADE, wordnet), meteor(SAID, MADE, None)
    assert all(one >= other for one, other in zip(with_words, without, strict=True))
    assert sum(with_words) > sum(meteor(SAID, MADE, wordnet, by_word=False))


def test_two_hundred_reasons_take_less_than_ten_seconds(wordnet: Any) -> None:
    start = time.perf_counter()
    meteor(
        [f"{text} {k}" for k in range(40) for text in SAID],
        [text for _ in range(40) for text in MADE],
        wordnet,
    )
    assert time.perf_counter() - start < 10

"""METEOR against nltk and by hand; BLEURT's stated absence."""

from types import SimpleNamespace

import nltk.corpus
import numpy as np
import pytest
from nltk.translate.meteor_score import single_meteor_score

from thinkrec.metrics import text
from thinkrec.metrics.text import BLEURT_ABSENT, meteor, text_metrics, words


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


def test_name_says_what_was_compared(monkeypatch):
    monkeypatch.setattr(text, "find_wordnet", lambda: None)
    got = text_metrics(["a b", "c d"], ["a b", "x y"], np.array([1, 2]), 100, 0)
    assert set(got) == {"meteor_exact_stem", "bleurt"}
    assert got["bleurt"] == {"value": None, "reason": BLEURT_ABSENT}
    score = got["meteor_exact_stem"]
    assert score["value"] == pytest.approx((1 - 0.5 / 8) / 2)
    assert score["low"] == 0.0 < score["value"] < score["high"] == pytest.approx(1 - 0.5 / 8)
    assert (score["rows"], score["users"]) == (2, 2)
    monkeypatch.setattr(text, "find_wordnet", lambda: Synonyms())
    assert "meteor" in text_metrics(["a"], ["a"], np.array([1]), 10, 0)


def test_nothing_to_compare_is_no_zero(monkeypatch):
    monkeypatch.setattr(text, "find_wordnet", lambda: None)
    got = text_metrics([], [], np.empty(0, dtype=np.int64), 10, 0)
    assert got["meteor_exact_stem"] == {"value": None, "reason": "no pair of texts", "rows": 0, "users": 0}


def test_an_incomplete_corpus_counts_as_none_and_is_named(monkeypatch, caplog):
    def broken() -> None:
        raise OSError("No such file or directory: 'index.sense'")

    monkeypatch.setattr(nltk.corpus, "wordnet", SimpleNamespace(ensure_loaded=broken))
    assert text.find_wordnet() is None
    assert "WordNet corpus is incomplete, METEOR goes without synonyms: No such file" in caplog.text


def test_wordnet_where_nltk_has_it():
    wordnet = text.find_wordnet()
    if wordnet is None:
        pytest.skip("nltk finds no WordNet corpus here")
    assert meteor(["a film"], ["a movie"], wordnet)[0] > meteor(["a film"], ["a movie"], None)[0]

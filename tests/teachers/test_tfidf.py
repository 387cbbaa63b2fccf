"""The statistical keyword extractor."""

from __future__ import annotations

from thinkrec.teachers.keywords import boilerplate, tidy
from thinkrec.teachers.protocol import ItemFields
from thinkrec.teachers.tfidf import TfidfExtractor

ITEMS = [
    ItemFields("Toy Story", categories=("Animation", "Children's", "Comedy")),
    ItemFields("The Comet 2001", "An astronaut meets a robot near a comet, www.amazon.com 1999"),
    ItemFields("Robots", "Two robots and an astronaut"),
    ItemFields("", ""),
    ItemFields("Bread", "A baker's oven, and bread"),
]


def test_categories_come_first_then_title_words() -> None:
    words = TfidfExtractor("ml1m", 10, 100).extract(ITEMS)
    assert words[0] == ["animation", "children's", "comedy", "story", "toy"]


def test_words_that_link_items_come_before_words_of_one_item() -> None:
    words = TfidfExtractor("demo", 10, 100).extract(ITEMS)
    assert set(words[1][:2]) == {"astronaut", "robot"}  # "Robots" and "robots" count as robot
    assert words[1][2] == "comet"  # twice in its item, in no other
    assert set(words[2]) == {"astronaut", "robot"}


def test_numbers_boilerplate_stop_words_and_possessives_are_left_out() -> None:
    words = TfidfExtractor("demo", 10, 100).extract(ITEMS)
    assert not {"2001", "1999", "amazon", "www", "com", "the", "and"} & set(words[1])
    assert "baker" in words[4]
    book = TfidfExtractor("book", 10, 100).extract(
        [ItemFields("A book of books", "whales"), ItemFields("Whales")]
    )
    assert book == [["whales"], ["whales"]]


def test_an_item_without_text_has_none_and_so_has_a_whole_catalogue_without_words() -> None:
    assert TfidfExtractor("demo", 10, 100).extract(ITEMS)[3] == []
    assert TfidfExtractor("demo", 10, 100).extract([ItemFields("12"), ItemFields("the")]) == [[], []]


def test_limits_are_kept_and_runs_agree() -> None:
    extractor = TfidfExtractor("demo", 2, 100)
    assert all(len(words) <= 2 for words in extractor.extract(ITEMS))
    assert extractor.extract(ITEMS) == extractor.extract(ITEMS)
    cut = TfidfExtractor("demo", 10, 2).extract([ItemFields("", "alpha beta gamma"), ItemFields("", "delta")])
    assert sorted(cut[0]) == ["alpha", "beta"]


def test_a_word_of_most_items_tells_nothing() -> None:
    items = [ItemFields(f"{name} saga") for name in ("alpha", "beta", "gamma", "delta")]
    assert TfidfExtractor("demo", 10, 100).extract(items) == [["alpha"], ["beta"], ["gamma"], ["delta"]]


def test_tidy_cleans_phrases() -> None:
    phrases = [" Space  Opera.", "1984", "space opera", "Movies", "- robots", "\u202eevil", "a b c d e", "x"]
    assert tidy(phrases, boilerplate("movie"), 3) == ["space opera", "robots", "evil"]

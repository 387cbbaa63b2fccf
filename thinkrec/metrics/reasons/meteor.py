"""METEOR with WordNet, by nltk, and where nltk finds WordNet."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

log = logging.getLogger(__name__)
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")


class _Stem(str):
    """A stem that keeps its word, since nltk passes stems, not words, to the synonym stage."""

    word: str


class _RememberingStemmer:
    """Porter's stemmer, whose stems keep their words; each word is stemmed once."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self._porter = PorterStemmer()
        self._known: dict[str, _Stem] = {}

    def stem(self, word: str) -> _Stem:
        if word not in self._known:
            self._known[word] = _Stem(self._porter.stem(word))
            self._known[word].word = word
        return self._known[word]


class _StemmedWordNet:
    """WordNet for nltk's synonym stage, looked up by whole words, with stemmed lemmas; each word once."""

    def __init__(self, wordnet: Any, stemmer: _RememberingStemmer) -> None:
        self._wordnet = wordnet
        self._stemmer = stemmer
        self._known: dict[str, list[SimpleNamespace]] = {}

    def synsets(self, stem: _Stem) -> list[SimpleNamespace]:
        if stem.word not in self._known:
            names = {lemma.name() for synset in self._wordnet.synsets(stem.word) for lemma in synset.lemmas()}
            stems = {str(self._stemmer.stem(name.lower())) for name in names}
            named = [SimpleNamespace(name=lambda stem=each: stem) for each in sorted(stems)]
            self._known[stem.word] = [SimpleNamespace(lemmas=lambda: named)]
        return self._known[stem.word]


class _NoWordNet:
    """Replacement of a missing corpus: no word has a synonym."""

    def synsets(self, stem: str) -> list[SimpleNamespace]:
        return []


_READERS: dict[str, Any] = {}
"""Readers of folders, which stay open."""


def find_wordnet(folder: Path | None = None) -> Any | None:
    """Return nltk's WordNet reader, or None if the corpus is missing or incomplete.

    Args:
        folder: of nltk's data, such as `thinkrec fetch wordnet` makes; looked into after nltk's own. Other
            users of nltk in this process don't see it.
    """
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None if folder is None else _read(str(folder.resolve()))
    except OSError as error:
        log.warning("nltk's WordNet corpus is incomplete, METEOR goes without synonyms: %s", error)
        return None
    return wordnet


def _read(folder: str) -> Any | None:
    """Open the corpus of a folder; its files are read only while the folder is among nltk's own."""
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    if folder not in _READERS:
        nltk.data.path.append(folder)
        try:
            with warnings.catch_warnings(action="ignore"):  # it has English alone
                reader = WordNetCorpusReader(nltk.data.find("corpora/wordnet", paths=[folder]), None)
            for part in ("n", "v", "a", "r", "s"):
                reader._data_file(part)
        except LookupError:
            return None
        except OSError as error:
            log.warning("%s: WordNet is incomplete, METEOR goes without synonyms: %s", folder, error)
            return None
        finally:
            nltk.data.path.remove(folder)
        _READERS[folder] = reader
    return _READERS[folder]


def words(text: str) -> list[str]:
    """Split a text into words and punctuation marks, METEOR's tokens."""
    return _WORD.findall(text)


def meteor(
    references: Sequence[str], candidates: Sequence[str], wordnet: Any | None, by_word: bool = True
) -> list[float]:
    """Compute METEOR of each candidate against its reference, in 0..1; an empty text scores 0.

    Stages: exact, stem (Porter), synonym (WordNet). nltk looks up stems, few of which WordNet has; here the
    whole word is looked up and its synonyms are stemmed. Parameters: nltk's defaults.

    Args:
        references: the teacher's texts, [n].
        candidates: the generated texts, [n].
        wordnet: from `find_wordnet`; None skips the synonym stage.
        by_word: look words up, not stems; False gives nltk's own figures.

    Raises:
        ValueError: the lists differ in length.

    Source: ThinkRec, section 4; Banerjee and Lavie 2005, as nltk has it.
    """
    from nltk.translate.meteor_score import single_meteor_score

    stemmer = _RememberingStemmer()
    synonyms: Any = _NoWordNet()
    if wordnet is not None:
        synonyms = _StemmedWordNet(wordnet, stemmer) if by_word else wordnet
    pairs = zip(references, candidates, strict=True)
    return [
        float(single_meteor_score(words(reference), words(candidate), stemmer=stemmer, wordnet=synonyms))
        for reference, candidate in pairs
    ]

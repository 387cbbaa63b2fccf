"""What a search chose, written into params.yaml, where git and DVC see it."""

from __future__ import annotations

from pathlib import Path

from thinkrec.config.load import parse_params
from thinkrec.config.presets import end_of
from thinkrec.config.sections import Tuned
from thinkrec.config.text import place_of, read_text
from thinkrec.config.write import block, said
from thinkrec.files import whole


def write_tuned(path: Path, dataset: str, found: Tuned) -> None:
    """Put what was found for a data set under `tuned:`; other models' and data sets' values stay.

    Only the characters of `tuned` change.

    Raises:
        ConfigError: params.yaml has errors.
    """
    from ruamel.yaml import YAML

    text = read_text(path)
    tuned = said(parse_params(text, path).tuned)
    one = tuned.setdefault(dataset, {})
    for room, values in said({dataset: found})[dataset].items():
        one[room] = one.get(room, {}) | values
    lines = "\n".join(block({"tuned": tuned}, 3, 0))
    ((key, value),) = [pair for pair in YAML(pure=True).compose(text).value if pair[0].value == "tuned"]
    start, end = key.start_mark.index, end_of(value)
    with whole(place_of(path)) as beside:
        beside.write_text(text[:start] + lines + text[end:], encoding="utf-8", newline="")
        parse_params(read_text(beside), path)

"""How the fields of a table of text are written."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 1 << 24
"""Most bytes of a record, and of a field (16 million, as of a line of JSON)."""
MOST_FIELDS = 10_000
"""Fields of a record that are looked at."""


@dataclass(frozen=True)
class Dialect:
    """How the fields of a text file are written.

    Args:
        separator: between fields; of several characters only without `quote`.
        quote: around fields that hold a separator, quote (doubled) or line end; "": there is none.
        header: the first record names the columns; else they are called 1, 2, 3, ...
        encoding: any that Python knows.
    """

    separator: str = ","
    quote: str = '"'
    header: bool = True
    encoding: str = "utf-8"

    def fields(self, text: str) -> list[str]:
        """The fields of one record; [] where its quotes are broken."""
        if not self.quote:
            return text.split(self.separator, MOST_FIELDS + 1)[: MOST_FIELDS + 1]
        try:
            return next(self.reader(iter([text])), [])[: MOST_FIELDS + 1]
        except csv.Error:
            return []

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Python's parser of this dialect."""
        csv.field_size_limit(LONGEST)
        return csv.reader(lines, strict=True, delimiter=self.separator, quotechar=self.quote)

    def written(self, fields: list[str]) -> str:
        """One record of these fields, each in quotes."""
        mark = self.quote
        return self.separator.join(f"{mark}{each.replace(mark, mark * 2)}{mark}" for each in fields)


DEFAULT = Dialect()
"""CSV of RFC 4180 in UTF-8, with a header."""

"""Dialects of delimited text files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

MAX_RECORD_BYTES = 1 << 24
"""Maximum bytes of a record or field (16 MiB, as of a line of JSON)."""
MAX_FIELDS = 10_000
"""Fields of a record that are read."""


@dataclass(frozen=True)
class Dialect:
    """Dialect of a delimited text file.

    Args:
        separator: between fields; several characters only without `quote`.
        quote: around fields with a separator, quote (doubled) or line end; "" for none.
        header: whether the first record names the columns; else they are named 1, 2, 3, ...
        encoding: any that Python knows.
    """

    separator: str = ","
    quote: str = '"'
    header: bool = True
    encoding: str = "utf-8"

    def fields(self, text: str) -> list[str]:
        """Split one record into fields; [] if its quotes are broken."""
        if not self.quote:
            return text.split(self.separator, MAX_FIELDS + 1)[: MAX_FIELDS + 1]
        try:
            return next(self.reader(iter([text])), [])[: MAX_FIELDS + 1]
        except csv.Error:
            return []

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Return Python's parser for this dialect."""
        csv.field_size_limit(MAX_RECORD_BYTES)
        return csv.reader(lines, strict=True, delimiter=self.separator, quotechar=self.quote)

    def join(self, fields: list[str]) -> str:
        """Join fields to a record, each in quotes."""
        mark = self.quote
        return self.separator.join(f"{mark}{each.replace(mark, mark * 2)}{mark}" for each in fields)


DEFAULT = Dialect()
"""CSV of RFC 4180 in UTF-8, with a header."""

"""What every section of params.yaml is built on: plain values with bounds, and nothing taken for another."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from typing import Annotated, TypeVar
from unicodedata import category

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

T = TypeVar("T")
SIZE = re.compile(r"(\d{1,4}(?:\.\d+)?) ?([MGT]i?B)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Section(BaseModel):
    """A section of params.yaml: unknown keys are refused, values do not change after loading.

    Strict: neither true nor the text '3' is a number, and 1 is no boolean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _unlike(values: list[T]) -> list[T]:
    twice = [str(value) for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"holds {', '.join(twice)} more than once: name each once")
    return values


def _one_line(text: str) -> str:
    if not text.strip() or any(category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text):
        raise ValueError("must be text on one line, without control characters, and not empty")
    return text


def _day(value: object) -> object:
    """A day as JSON and YAML write it, as a date."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value if _DAY.fullmatch(value) else "")
        except ValueError:
            raise ValueError(f"must be a day such as '2017-10-31', not {value[:40]!r}") from None
    return value


Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=4_000_000_000)]
"""Below 2^32, which numpy and scikit-learn ask for, by more than the seeds that are counted up from it."""
Seeds = Annotated[int, Field(ge=1, le=1000)]
Few = Annotated[int, Field(ge=1, le=1000)]
"""A count of what takes long, or of what a machine has few of."""
Some = Annotated[int, Field(ge=0, le=1000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
AnyCount = Annotated[int, Field(ge=0, le=1_000_000)]
Rows = Annotated[int, Field(ge=1, le=1_000_000_000)]
AnyRows = Annotated[int, Field(ge=0, le=1_000_000_000)]
Width = Annotated[int, Field(ge=1, le=8192)]
Rate = Annotated[float, Field(ge=1e-12, le=10)]
"""A learning rate."""
Decay = Annotated[float, Field(ge=0, le=100)]
Passes = Annotated[float, Field(ge=1e-3, le=1000)]
"""Passes over the data."""
Weight = Annotated[float, Field(ge=0, le=1e6)]
"""A weight in a sum."""
Temperature = Annotated[float, Field(ge=0.01, le=100)]
AnyTemperature = Annotated[float, Field(ge=0, le=100)]
"""0: always the likeliest."""
Text = Annotated[str, Field(max_length=4096), AfterValidator(_one_line)]
Unlike = Annotated[list[T], AfterValidator(_unlike)]
"""A list that names nothing twice."""
Day = Annotated[date, BeforeValidator(_day)]


def parse_size(text: str) -> int:
    """Bytes of a size such as `2GB` or `1.5 GiB`.

    Raises:
        ValueError: it is none.
    """
    found = SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is not a size such as 2GB")
    number, unit = found.groups()
    return int(float(number) * (1024 if "i" in unit else 1000) ** ("MGT".index(unit[0]) + 2))

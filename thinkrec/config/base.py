"""What every section of params.yaml is built on."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SIZE = re.compile(r"(\d{1,4}(?:\.\d+)?) ?([MGT]i?B)")
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of params.yaml: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def parse_size(text: str) -> int:
    """Bytes of a size such as `2GB` or `1.5 GiB`.

    Raises:
        ValueError: it is none.
    """
    found = SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no size such as 2GB")
    number, unit = found.groups()
    return int(float(number) * (1024 if "i" in unit else 1000) ** ("MGT".index(unit[0]) + 2))

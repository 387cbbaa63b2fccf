"""What is wrong with a value of a request, in plain words in place of Pydantic's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EITHER = "give a list of items, or an encoder with a count, such as lightgcn:200"
_OBJECT, _WHOLE, _BOOLEAN = "must be an object", "must be a whole number", "must be true or false"
_WORDS = {
    "missing": "this key is missing",
    "extra_forbidden": "there is no such key",
    "json_invalid": "is not valid JSON",
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": "must be a list",
    "string_type": "must be text or a number",
    "string_unicode": "must be valid Unicode text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": _EITHER,
    "union_tag_not_found": _EITHER,
    "too_short": "must have {min_length} or more items",
    "too_long": "must have at most {max_length} items",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}
"""By kind of error; in braces what Pydantic says of the bound."""


def words(error: Mapping[str, Any]) -> str:
    """Say what one of Pydantic's errors means, without what was given."""
    if known := _WORDS.get(error["type"]):
        return known.format(**error.get("ctx", {}))
    return str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")

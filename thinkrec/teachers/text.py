"""Text handling that extractors and teachers share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from thinkrec.prompts.escape import break_marks, clean_text

T = TypeVar("T")
# Chat templates are applied at the endpoint, after which <|im_end|>, </s> or [INST] would be control tokens.
# What a tokenizer may fold to a bracket (NFKC) counts as one.
_BRACKETS = str.maketrans(
    "<>[]\uff1c\uff1e\uff3b\uff3d\ufe64\ufe65\ufe47\ufe48", "\u2039\u203a()" * 2 + "\u2039\u203a()"
)


def plain(text: str | None) -> str:
    """Make foreign text harmless: cleaned, on one line, no double quote, no mark that parts messages."""
    return break_marks(clean_text((text or "").translate(_BRACKETS)))


def first_words(text: str, count: int) -> str:
    """Cut `text` to its first `count` words, white space folded."""
    return " ".join(text.split()[:count])


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON-able value, 64 hexadecimal digits."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def pick(options: Sequence[T], *key: object) -> T:
    """Choose one of `options` by a hash of `key`: the same everywhere, whatever the order of calls."""
    digest = hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=8).digest()
    return options[int.from_bytes(digest, "big") % len(options)]

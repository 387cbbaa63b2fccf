"""Text processing shared by extractors and teachers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from thinkrec.prompts.escape import break_marks, clean_text

T = TypeVar("T")
# The endpoint applies the chat template, after which <|im_end|>, </s> or [INST] would be control tokens.
# Characters that NFKC folds to a bracket count as brackets.
_BRACKETS = str.maketrans(
    "<>[]\uff1c\uff1e\uff3b\uff3d\ufe64\ufe65\ufe47\ufe48", "\u2039\u203a()" * 2 + "\u2039\u203a()"
)


def sanitize(text: str | None) -> str:
    """Make untrusted text harmless: clean, on one line, without double quotes and control markers."""
    return break_marks(clean_text((text or "").translate(_BRACKETS)))


def first_words(text: str, count: int) -> str:
    """Return the first `count` words of a text, white space folded."""
    return " ".join(text.split()[:count])


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a JSON-serialisable value, 64 hexadecimal digits."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def pick(options: Sequence[T], *key: object) -> T:
    """Choose one of `options` by a hash of `key`, the same on any machine and in any order of calls."""
    digest = hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=8).digest()
    return options[int.from_bytes(digest, "big") % len(options)]

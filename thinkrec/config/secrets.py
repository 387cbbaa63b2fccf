"""What in params.yaml is a secret: user, password and query of an address, and keys in `extra_body`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

MASK = "***"
_CREDENTIAL = {
    *(
        "key",
        "keys",
        "apikey",
        "token",
        "secret",
        "secrets",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "pass",
    ),
    *("auth", "authorization", "credential", "credentials", "bearer", "cookie", "signature", "sig", "jwt"),
}
_NO_CREDENTIAL = {"bos", "eos", "pad", "unk", "stop", "cache"}
"""Words beside which `token` or `key` is nothing of the kind."""
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SCHEME = re.compile(r"(?:bearer|basic|token|api-?key|key)\s+", re.IGNORECASE)
_BEGINS = re.compile(
    r"(?:sk|pk|rk|gsk|csk|hf|xai|pplx|nvapi|r8|ghp|gho|glpat)[-_][A-Za-z0-9]{12,}|AIza[\w-]{16,}|eyJ\w"
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_KINDS = re.compile("[A-Z]+|[a-z]+|[0-9]+")
_VERSION = re.compile(r"v?\d{1,4}(?:[-.]\d{1,4}){0,3}(?:-?preview)?", re.IGNORECASE)
_PIECE = re.compile(r"([^&;#?=]*=)([^&;#?]*)|[^&;#?]+")


def key_like(text: str, least: int = 16) -> bool:
    """Whether a text looks like a key: it begins as one, or has a piece of letters and figures in no order.

    Args:
        text: the text.
        least: characters from which such a piece counts.
    """
    pieces = [piece for piece in re.split("[^A-Za-z0-9]+", text) if len(piece) >= least]
    return bool(_BEGINS.search(text) or _UUID.search(text)) or any(map(_disordered, pieces))


def _disordered(piece: str) -> bool:
    figures, kinds = sum(map(str.isdigit, piece)), len(_KINDS.findall(piece))
    return 3 <= figures < len(piece) or kinds > len(piece) // 2


def is_variable(name: str) -> bool:
    """Whether a text may be the name of an environment variable, and does not look like a key put there."""
    long = [piece for piece in name.split("_") if len(piece) >= 16]
    mixed = any(len(piece) >= 32 or piece not in (piece.upper(), piece.lower()) for piece in long)
    return bool(re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,199}", name)) and not mixed and not key_like(name, 12)


def names_credential(name: str) -> bool:
    """Whether what stands under a name is a key, token, password or the like."""
    words = {word.lower() for word in _WORD.findall(name)}
    return not words.isdisjoint(_CREDENTIAL) and words.isdisjoint(_NO_CREDENTIAL)


def _as_text(value: Any, under: bool) -> Any:
    """A number that is no count but a password, as text; anything else as it is."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if number and under and abs(value) >= 100_000 else value


def credentials(value: Any, under: bool = False) -> Iterator[str]:
    """All texts of a JSON value that stand under a credential's name or look like a key.

    Args:
        value: such as an endpoint's `extra_body`.
        under: a credential's name stands above it.
    """
    value = _as_text(value, under)
    if isinstance(value, str):
        if under or key_like(value):
            yield from {value, _SCHEME.sub("", value, count=1)}
    elif isinstance(value, list):
        for each in value:
            yield from credentials(each, under)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from credentials(name)
            yield from credentials(each, under or names_credential(name))


def _hashed(value: Any, under: bool = False) -> Any:
    """The same JSON value, each of its `credentials` replaced by the beginning of its hash."""
    value = _as_text(value, under)
    if isinstance(value, str):
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        return f"sha256:{digest[:12]}" if under or key_like(value) else value
    if isinstance(value, list):
        return [_hashed(each, under) for each in value]
    if isinstance(value, dict):
        return {_hashed(name): _hashed(each, under or names_credential(name)) for name, each in value.items()}
    return value


def without_secrets(value: Any, name: str = "") -> Any:
    """A value of params.yaml as manifests keep it: addresses bare, keys in `extra_body` as hashes.

    Args:
        value: a section, or what stands under one of its keys.
        name: that key.
    """
    if name == "extra_body":
        return _hashed(value)
    if name == "base_url" and isinstance(value, str):
        parts = urlsplit(value)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    if isinstance(value, dict):
        return {key: without_secrets(each, key) for key, each in value.items()}
    return value


def masked(value: Any, name: str) -> Any:
    """What stands under a key of params.yaml as it may be shown."""
    return masked_address(value) if name == "base_url" else without_secrets(value, name)


def masked_address(url: str) -> str:
    """An address with user, password and all that its query holds masked."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(
        netloc=f"{MASK}@{host}" if user else host, query=masked_query(parts.query), fragment=""
    ).geturl()


def masked_query(query: str) -> str:
    """A query with each value masked, and each name without one; versions, such as Azure's, stay."""
    return _PIECE.sub(_masked_piece, query)


def _masked_piece(found: re.Match[str]) -> str:
    if not found[1]:
        return MASK
    return found[0] if not found[2] or is_version(found[1], found[2]) else f"{found[1]}{MASK}"


def is_version(name: str, value: str) -> bool:
    """Whether an address holds no more there than an interface's version."""
    return "version" in name.lower() and bool(_VERSION.fullmatch(value))

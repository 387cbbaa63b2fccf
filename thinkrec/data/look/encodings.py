"""The encoding of a user's file of text: UTF-8 or UTF-16, or a guess."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from thinkrec.data.unpack import read_blocks
from thinkrec.errors import DataError

_ENCODING_BYTES = 1 << 26
"""Bytes that are searched for ones that are not UTF-8 (64 MiB)."""
_ODD_LINES = 200
"""Lines that are not UTF-8 from which the encoding is guessed."""
_ENCODINGS = (
    "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1251", "koi8_r", "cp866", "iso8859_5", "cp1253",
    "cp1255", "cp1256", "cp874",
)  # fmt: skip
"""Encodings of other scripts than the Latin one that are guessed, the usual ones of each."""
_OTHER_SCRIPT = re.compile(rb"[\x80-\xff]{4,}|(?:[\x81-\xfe][\x40-\xfe]){3,}")
"""Bytes of another script; the accents of Western text stand alone or in pairs."""
_MIN_OTHER = 20
"""Bytes of another script below which a file is taken for Western text."""
_CENTRAL = re.compile(
    rb"(?<=[A-Za-z\xc0-\xff])[\xa3\xa5\xb3\xb9\xbf](?=[A-Za-z\xc0-\xff])|[\xa3\xa5](?=[a-z\xc0-\xff])"
)
"""Letters of Central European text within words; Western text has ¹, £ and so on there."""
_MIN_CENTRAL = 0.05
"""Share of such letters among the bytes beyond ASCII from which on a file is Central European."""
_FEW_CENTRAL = 4
"""Letters of Central European text that may be anything."""
_FEW_BROKEN = 2
"""Lines that no Western encoding fits and that may be damaged."""
_LATIN_2 = re.compile(rb"[A-Za-z\xc0-\xff][\xb1\xb6\xbc\xbe]")
"""Letters of ISO 8859-2 that are mostly signs in cp1250."""
_MAC_SIGNS = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00ab\u00bb\u00a1\u00bf"
"""Quotes, dashes and so on, which may stand in any text."""


def encoding_of(path: Path, head: bytes) -> str:
    """Find out the encoding of a file of text.

    Args:
        path: the file.
        head: its first bytes, unpacked.

    Raises:
        DataError: it is not text, or its encoding can't be told.
    """
    for mark, name in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
                       (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):  # fmt: skip
        if head.startswith(mark):
            return name
    part = head[:4096]
    nulls = [part[place::2].count(0) / max(len(part) // 2, 1) for place in (0, 1)]
    if max(nulls) > 0.4 and min(nulls) < 0.1:
        return "utf-16-le" if nulls[1] > nulls[0] else "utf-16-be"
    odd = sum(byte < 32 and byte not in b"\t\n\v\f\r\x1b" for byte in part)
    if odd > len(part) // 100:
        raise DataError(f"{path} is not text: name a table of text (CSV, TSV, ...), JSON lines or Parquet")
    lines, others = _odd_lines(path)
    if len(lines) <= others:
        return "utf-8"
    encoding = _guessed(b"\n".join(lines[:_ODD_LINES]))
    if encoding is None:
        raise DataError(
            f"{path} is not UTF-8, and its encoding can't be told: name it by `--set encoding=...`, such as "
            "cp1250, cp850 or mac-roman, or save the file as UTF-8"
        )
    return encoding


def _odd_lines(path: Path) -> tuple[list[bytes], int]:
    """Collect lines that are not UTF-8, and count those among them that are, beyond ASCII."""
    found: list[bytes] = []
    rest, seen, others = b"", 0, 0
    for block in read_blocks(path, size=1 << 22):
        seen += len(block)
        whole, _, rest = (rest + block).rpartition(b"\n")
        for line in [] if whole.isascii() else whole.splitlines():
            if not _fits(line, "utf-8"):
                found.append(line)
            elif not line.isascii():
                others += 1
        if len(found) >= _ODD_LINES or seen >= _ENCODING_BYTES:
            return found, others
    return [*found, *([] if _fits(rest, "utf-8") else [rest])], others


def _fits(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _guessed(data: bytes) -> str | None:
    """Guess an encoding other than UTF-8: a Western one, unless the bytes show another one.

    Returns:
        The encoding; None if none fits.
    """
    odd = sum(byte >= 0x80 for byte in data)
    other = sum(byte >= 0x80 for found in _OTHER_SCRIPT.findall(data) for byte in found)
    if other >= _MIN_OTHER and other > odd / 2:
        import charset_normalizer

        best = charset_normalizer.from_bytes(data, cp_isolation=list(_ENCODINGS)).best()
        if best is not None:
            return best.encoding.replace("_", "-")
    central = _CENTRAL.findall(data)
    if len(central) > max(_MIN_CENTRAL * odd, _FEW_CENTRAL) and len(set(central)) > 1:
        return "iso8859-2" if _LATIN_2.search(data) else "cp1250"
    if not any(0x80 <= byte < 0xA0 for byte in data):
        return "latin-1"
    if not _fits(data, "cp1252"):
        lines = data.split(b"\n")
        broken = sum(not _fits(line, "cp1252") for line in lines)
        few = broken <= max(_FEW_BROKEN, len(lines) // 20)
        return "mac-roman" if _is_mac_roman(data) else "latin-1" if few else None
    return "cp1252"


def _is_mac_roman(data: bytes) -> bool:
    """Say whether text reads well so: letters and quotes, an é, no accented capital after a small letter."""
    text = data.decode("mac-roman")
    sound = all(sign.isascii() or sign.isalpha() or sign in _MAC_SIGNS for sign in text)
    return sound and "é" in text and not re.search("[a-zß-ÿ][À-Þ]", text)

"""Values and lines for the fuzzer: real and conceivable dirt of raw files.

Pools are raw tokens of JSON or CSV, so that they include broken quotes and escapes.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st

START = 1_600_000_000
USERS, ITEMS = [f"u{n}" for n in range(4)], [f"i{n}" for n in range(5)]
Tokens = st.SearchStrategy[bytes]

_TEXTS = [
    "", " ", "u0", "u1", "i0", "i1", "u0 ", "I0", "a,b", 'q"x', "it's", "a\nb", "a\r\nb", "é", "e\u0301",
    "\u00a0", "\u200b", "\u2028", "\ufeff", "\x00", "\x0b", "\x1a", "\U0001d518", "null", "NaN", "0", "-1",
    "a::b", "::", "a|b", "|", "<b>T</b>", "<", "<a href='", "&amp;lt;", "&nbsp;", "\x02\x03\x02", "\\N",
    "${x}", "{{x}}", "x" * 300, "var aPageStart = (new Date()).getTime();", "2020-09-13 12:00:00",
    "1600000000", "5", "true",
]  # fmt: skip
_NUMBERS = [
    "0", "-0", "1", "2", "3", "4", "5", "6", "3.5", "1.0", "5.000000001", "-1", "1e0", "1e39", "-1e39",
    "1e308", "1e400", "1e-400", "12345678901234567890", "9223372036854775807", "-9223372036854775808", "0x5",
    "01", ".5", "5.", "+5", " 5 ", "1_0", "1,5", "5%", "nan", "NaN", "-inf", "Infinity", "true", "False",
    "\u0665", "five", "",
]  # fmt: skip
_TIMES = [
    f"{START}", f"{START + 7}", f"{START}.5", f"{START}000", f"{START}.0", "1.6e9", "16e8", "-1", "0", "1",
    "631151999", "631152000", "4102444799", "4102444800", "631152000000", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "1e300", "nan", "inf", "soon", "", " ", "2020-09-13",
    "2020-09-13 12:26:40", "2020-09-13T12:26:40Z", "2020-09-13T12:26:40+02:00", "2020-09-13 12:26:40.999999",
    "2020-09-13 12:26:40 Europe/Berlin", "2020-09-13 12:26:40 Nowhere/At_All", "2020-09-13 24:00:00",
    "2020-09-13 23:59:60", "2020-02-30", "2020-9-3", "13.09.2020", "09/13/2020", "infinity", "-infinity",
    "epoch", "now", "today", "0000-00-00", "0001-01-01", "1989-12-31 23:59:59", "9999-12-31 23:59:59",
    "290000-01-01", "294247-01-10 04:00:54.775806", "2020-09-13 BC", "2020-09-13 12:26:40+99:99",
]  # fmt: skip
_JSON_ODD = [
    b"null", b"true", b"false", b"{}", b"[]", b'{"a":1}', b'["u0"]', b'[["a","b"],["c"]]', b'[["a"],"b"]',
    b'["a",["b"]]', b'[[["a"]]]', b'[1,null,{"a":[1]}]', b'"["', b'"[["', b'"[[1,2"', b'"[\\"a\\"]"', b'"{"',
    b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\u00e9"', b'"\\x41"', b'"\\"',
    b'"a', b"'u0'", b'"tab\tin"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b"01",
    b"+1", b"1.", b".5", b"1e", b"NaN", b"-Infinity", b"1e400", b"123456789012345678901234567890", b"-",
    b"/*c*/1", b"",
    b'{"WiFi":"u\'free\'","BikeParking":"True","a\\"b":"True","":"True","c.d":"True","*":true,"x":{"y":"z"}}',
    b'{"a":"True","a":"False","A":"True"}', b'{"\\u0000":"True"}', b'{"\'":"True","$":"True","#":"True"}',
    b"[" * 200 + b"]" * 200, b'{"a":' * 100 + b"1" + b"}" * 100, b'"' + b"y" * 5000 + b'"',
]  # fmt: skip
LINES = [
    b"", b" ", b"\t", b"\x0b", b"\x0c", b" \x0b\x0c ", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\x00",
    b"\x00\x00", b"\x1a", b"\xff\xfe", b"\xff", b"\xed\xa0\x80", b"\\", b'"', b'""', b'"""', b"'", b",",
    b"::", b"{", b"}", b"{}", b"[]", b"null", b"true", b"1", b'"text"', b"{}{}", b"{} {}", b"[{}]", b'{"a":',
    b"}{", b"\x02\x03\x02", b"a\x02\x03\x02b", b"#", b"//", b'a,"b\nc",d', b'u0,"i0', b'i0",5,1600000000',
    b"\r", b"\r\r", b"a\rb", b"NaN", b"\x1f\x8b",
]  # fmt: skip
"""Lines that are not records."""


def any_line() -> Tokens:
    """Draw a line of arbitrary bytes, maybe with a line end."""
    return st.sampled_from(LINES) | st.binary(max_size=14) | st.text(max_size=10).map(_bytes)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")


def _as_json(text: str) -> bytes:
    return json.dumps(text).encode()


json_key = _as_json
"""Encode a field's name in JSON."""


def json_token(text: str) -> bytes:
    """Encode a clean value in JSON, numbers unquoted."""
    return _bytes(text) if is_number(text) else _as_json(text)


def csv_token(text: str) -> bytes:
    """Encode a value in CSV, quoted if necessary."""
    data = _bytes(text)
    return b'"' + data.replace(b'"', b'""') + b'"' if set(data) & set(b',"\r\n') else data


def json_value(clean: list[str], pool: list[str], often: int = 6) -> Tokens:
    """Draw a JSON value: `often` times out of ten one of `clean`, quoted or not, else any."""
    odd = st.one_of(
        st.sampled_from(pool).map(_as_json),
        st.sampled_from(pool).map(_bytes),
        st.sampled_from(_JSON_ODD),
        st.text(max_size=8).map(_as_json),
        (st.integers() | st.floats()).map(lambda value: json.dumps(value).encode()),
    )
    return _mostly(st.sampled_from([json_token(text) for text in clean]), odd, often)


def csv_field(clean: list[str], pool: list[str], often: int = 6) -> Tokens:
    """Draw a field of CSV or between `::`: `often` times out of ten one of `clean`, else any."""
    odd = st.one_of(
        st.sampled_from(pool).map(csv_token),
        st.sampled_from(pool).map(_bytes),
        st.sampled_from(
            [b'"', b'"a', b'a"b', b'"a"b', b'"a""', b'"a"', b"\xff", b"\xe9", b"\x00", b"y" * 5000]
        ),
        st.text(max_size=8).map(csv_token),
        st.binary(max_size=6),
    )
    return _mostly(st.sampled_from([csv_token(text) for text in clean]), odd, often)


def _mostly(usual: Tokens, odd: Tokens, often: int) -> Tokens:
    return st.integers(0, 9).flatmap(lambda draw: usual if draw < often else odd)


def is_number(text: str) -> bool:
    """Test whether a clean value is a number."""
    return text.replace(".", "", 1).isdigit()


POOLS = {"text": _TEXTS, "number": _NUMBERS, "time": _TIMES}

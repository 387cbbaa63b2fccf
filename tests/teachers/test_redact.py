"""Texts from outside, cleaned."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest

from thinkrec.teachers import redact
from thinkrec.teachers.redact import (
    CleanFormatter,
    clean,
    clean_error,
    cleaned,
    hide,
    hide_url,
    one_line,
    shown_url,
    traceback_text,
)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What other tests hid is not hidden here, nor the other way round."""
    before = set(redact._known)
    redact._known.clear()
    hide()
    yield
    redact._known.clear()
    hide(*before)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x1b[0m", "ab"),
        ("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c\x1b]8;;\x1b\\", "abc"),
        ("a\x1bPq#0\x1b\\b\x9b2Jc\x1bMd\x1b(Be", "abcde"),
        ("a\x1b]never closed", "anever closed"),
        ("a\x00\x07\x08b\x7f\x9fc", "abc"),
        ("\u202egnp.\u2066exe\u200f\u061c \u200bx\ufeff", "gnp.exe x"),
        ("one\r\ntwo\rthree\u2028four\tfive", "one\ntwo\nthree\nfour\tfive"),
        ("Köln 北京 🎬 ✓", "Köln 北京 🎬 ✓"),
        ("", ""),
    ],
)
def test_what_a_terminal_would_act_on_is_left_out(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_one_line_folds_white_space() -> None:
    assert one_line(" a\n\tb\x1b[2J  c ") == "a b c"


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("sk-12345", "key sk-12345.", "key ***."),
        ("sk-12345", "xSK-12345x", "x***x"),
        ("pass1", "pass1, pass12, 'pass1'", "***, pass12, '***'"),
        ("EMPTY", "EMPTY is empty", "EMPTY is empty"),
        ("abc", "abc", "abc"),
        ("", "all", "all"),
        ("local-placeholder", "sk- local-\x1b[1mplaceholder", "sk- ***"),
    ],
)
def test_long_secrets_anywhere_short_ones_as_words(secret: str, text: str, shown: str) -> None:
    hide(secret)
    assert clean(text) == shown


def test_the_longer_of_two_secrets_goes_first() -> None:
    hide("secret-one", "secret-one-more")
    assert clean("secret-one-more secret-one") == "*** ***"


def test_values_of_json() -> None:
    hide("secret-one")
    value = {"a secret-one": ["secret-one", 1, None, {"b": "\x1b[1mc"}], "d": True}
    assert cleaned(value) == {"a ***": ["***", 1, None, {"b": "c"}], "d": True}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h:8000/v1", "http://h:8000/v1"),
        ("https://me:secret%20one@h/v1", "https://***@h/v1"),
        ("https://token-alone@h/v1", "https://***@h/v1"),
        ("https://[::1]:8/v1?k=abc&api-version=3", "https://[::1]:8/v1?k=***&api-version=3"),
        (
            "https://h/v1?api-version=2024-10-21&version=MARKER",
            "https://h/v1?api-version=2024-10-21&version=***",
        ),
        ("http://user:p@ssMARKER@127.0.0.1:9/v1", "http://***@127.0.0.1:9/v1"),
        ("http://user:pa'MARKER@h/v1", "http://***@h/v1"),
        ("http://h/v1?code=MARKER&k=pa'MARKER&MARKER", "http://h/v1?code=***&k=***&***"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_secrets_of_an_address_are_hidden() -> None:
    hide_url("https://someone:a%2Fb-c%20d1@h/v1?sig=123456789&api-version=2024-10-21")
    assert clean("someone a%2Fb-c%20d1 a/b-c d1 123456789 2024-10-21") == "someone *** *** *** 2024-10-21"
    hide_url("https://token-alone@h/v1")
    assert clean("token-alone") == "***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see http://me:pw@proxy:3128/ now", "see http://***@proxy:3128/ now"),
        ("POST https://h/v1?x=1&api_key=ab&y=2", "POST https://h/v1?x=***&api_key=***&y=***"),
        ("at http://user:p@ss@127.0.0.1:9/v1, later", "at http://***@127.0.0.1:9/v1, later"),
        ("at 'http://user:pa'MARKER@h/v1'", "at 'http://***@h/v1'"),
        ('{"u":"http:\\/\\/user:p@MARKER@h\\/"}', '{"u":"http:\\/\\/***@h\\/"}'),
        ("'https://h/v1?code=MARKER' and ?k=MARKER", "'https://h/v1?code=***' and ?k=***"),
        ('{"url":"https://h?k=MARKER","error":"x"}', '{"url":"https://h?k=***","error":"x"}'),
        ("https://h/v1?k=pa'MARKER&j=a=MARKER;c=#t=MARKER", "https://h/v1?k=***&j=***;c=#t=***"),
        ("https://h/v1?MARKER and https://h/#t=MARKER", "https://h/v1?*** and https://h/#t=***"),
        ("Is it R&B=good? C#=no, a?b and what?", "Is it R&B=good? C#=no, a?b and what?"),
        ("mail me@h.org, or https://h.org/@me", "mail me@h.org, or https://h.org/@me"),
    ],
)
def test_other_addresses_are_cleaned_too(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_text_that_is_json_stays_json() -> None:
    hide("secret-1\\")
    said = cleaned(
        {"arguments": '{"query": "secret-1\\\\", "n": 1}', "text": "{secret-1\\", "calm": '{"a":  1}'}
    )
    assert said == {"arguments": '{"query": "***", "n": 1}', "text": "{***", "calm": '{"a":  1}'}


KEY = "sk-MARKERab12cd34ef56MARKER"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sk-MARKERab12 cd34ef56MARKER", "***"),
        ("sk-MARKERab12\ncd34ef56MARKER.", "***."),
        ("SK-MA RKERab 12cd34 ef56MA RKER", "***"),
        ("starts sk-MARKERab..., ends ...ef56MARKER", "starts ***..., ends ...***"),
        ("'sk-MARKERab1' + '2cd34ef56MARKER'", "'***' + '***'"),
        ("sk-MARK", "sk-MARK"),
    ],
)
def test_parts_of_a_key_however_it_is_wrapped(text: str, shown: str) -> None:
    hide(KEY)
    assert clean(text) == shown


def test_parts_of_what_is_no_key_are_words_like_others() -> None:
    hide("sk-no-key-required", "local-placeholder")
    hide("someone-1:pw", parts=False)
    assert clean("required by someone-1, no placeholder") == "required by someone-1, no placeholder"
    assert clean("sk-no-key-required") == "***"


def test_parts_of_a_password_and_of_a_key_in_a_query_are_hidden() -> None:
    hide_url("http://someone:p%40ssMARKER-1234567@h/v1?deployment=gpt-4o-mini-2024&api_key=qk-MARKER-55667")
    said = clean("p@ssMARKER -1234567 p%40ssMARKER qk-MARKER -55667 gpt-4o-mini someone")
    assert said == "*** *** *** gpt-4o-mini someone"


def fault() -> ValueError:
    try:
        try:
            raise KeyError("secret-one", 3)
        except KeyError as inner:
            raise ValueError("secret-one \x1b[1mtold") from inner
    except ValueError as error:
        return error


def test_errors_and_their_causes() -> None:
    hide("secret-one")
    error = fault()
    said = traceback_text(error)
    assert "KeyError: ('***', 3)" in said and said.endswith("ValueError: *** told")
    clean_error(error)
    assert error.args == ("*** told",) and error.__cause__ is not None
    assert error.__cause__.args == ("***", 3)
    error.__cause__.__cause__ = error  # a ring ends
    clean_error(error)


def test_records_of_a_log() -> None:
    hide("secret-one")
    error = fault()
    found = (type(error), error, error.__traceback__)
    record = logging.LogRecord("a", 20, "b", 1, "%s\x1b[1m", ("secret-one",), found)
    said = CleanFormatter().format(record)
    assert said.startswith("***\nTraceback") and "secret-one" not in said
    assert sys.exc_info() == (None, None, None)

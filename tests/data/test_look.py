"""What `thinkrec init --from` finds out about a user's own files."""

from __future__ import annotations

import gzip
import json
import shlex
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from thinkrec.data.look import Looked, look
from thinkrec.data.look.columns import NAMED, PLACED, SEEN, TOLD
from thinkrec.data.look.encodings import encoding_of
from thinkrec.data.look.names import fits
from thinkrec.data.look.tables import found_tables, prep_tables, remarks
from thinkrec.data.look.trial import allowed, try_prep
from thinkrec.errors import ConfigError, DataError, ThinkrecError

DATA = Path(__file__).parents[3] / "shared" / "data"
NAMES = ("user", "item", "rating", "timestamp")
START = 1_600_000_000

Row = tuple[object, ...]


def rows(count: int = 400) -> list[Row]:
    """Interactions in the order of their moments: user, item, rating from 1 to 5, seconds."""
    return [(f"u{n * 7 % 40}", f"i{n * 11 % 60}", n * 3 % 5 + 1, START + n * 3600) for n in range(count)]


def text(rows: Sequence[Row], names: Sequence[str] | None = NAMES, separator: str = ",") -> str:
    lines = [*([names] if names else []), *rows]
    return "".join(separator.join(map(str, line)) + "\n" for line in lines)


def looked(path: Path, items: Path | None = None, **told: Any) -> Looked:
    return look(path, items, "data/raw/mine", told, path.parent / "spool")


def of(place: Path, content: str | bytes, name: str = "events.csv", **told: Any) -> Looked:
    path = place / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return looked(path, **told)


def columns(found: Looked) -> tuple[object, ...]:
    source = found.source
    return source.user, source.item, source.rating or source.label, source.timestamp


def usable(found: Looked, place: Path) -> int:
    """Rows that prep reads so."""
    facts, _ = try_prep(found, "mine", place / "run")
    return int(facts["files"][found.source.ratings]["read"])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "::", " "])
@pytest.mark.parametrize("named", [True, False], ids=["header", "bare"])
def test_separators_and_headers_are_found(tmp_path: Path, separator: str, named: bool) -> None:
    found = of(tmp_path, text(rows(), NAMES if named else None, separator))
    assert columns(found) == (NAMES if named else ("1", "2", "3", "4"))
    assert found.source.header is named
    assert found.source.separator == (" " if separator == " " else None), (
        "only what prep does not find itself"
    )
    assert found.source.positive_above == 3
    hows = [column.how for column in found.events.found.values()]
    assert hows == ([NAMED] * 4 if named else [PLACED, PLACED, SEEN, SEEN])
    assert usable(found, tmp_path) == 400


@pytest.mark.parametrize("ending", ["csv", "txt", "dat", "tsv", "data"])
def test_a_wrong_ending_does_not_matter(tmp_path: Path, ending: str) -> None:
    found = of(tmp_path, text(rows(), NAMES, ";"), f"events.{ending}")
    assert found.source.ratings == f"events.{ending}"
    assert usable(found, tmp_path) == 400


@pytest.mark.parametrize(
    ("content", "name", "known"),
    [
        (text(rows()), "events", "events.csv"),
        (text(rows(), NAMES, "\t"), "events.log", "events.log.tsv"),
        (text(rows(), None, "::"), "ratings.list", "ratings.list.dat"),
    ],
)
def test_an_unknown_ending_is_completed(tmp_path: Path, content: str, name: str, known: str) -> None:
    found = of(tmp_path, content, name)
    assert found.source.ratings == known and found.files == {known: tmp_path / name}
    assert usable(found, tmp_path) == 400


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_are_found(tmp_path: Path, encoding: str) -> None:
    names = ("Benutzer", "artikel", "Bewertung", "Zeit")
    given = [(f"Jürgen Müß{user}", f"Café {item}", stars, moment) for user, item, stars, moment in rows()]
    found = of(tmp_path, text(given, names, ";").encode(encoding))
    assert columns(found) == names
    assert "".encode(found.source.encoding).decode(encoding) == ""
    assert found.events.head.values("Benutzer")[0] == "Jürgen Müßu0"
    assert usable(found, tmp_path) == 400
    assert any("is a guess" in line for line in remarks(found)) == (encoding == "latin-1")


@pytest.mark.parametrize(
    ("encoding", "word"),
    [("cp1251", "Пользователь номер"), ("shift_jis", "利用者の番号は"), ("cp1252", "l\u2019élève Zoë")],
)
def test_other_encodings_are_guessed(tmp_path: Path, encoding: str, word: str) -> None:
    given = [(f"{word} {user}", *rest) for user, *rest in rows()]
    found = of(tmp_path, text(given).encode(encoding))
    assert found.events.head.values("user")[0] == f"{word} u0"


@pytest.mark.parametrize(
    "word",
    [
        "Amélie",
        "Café",
        "L\u2019Été",
        "São Tomé",
        "Größe",
        "Søren Ærø",
        "Señorita",
        "\u201eSüß\u201c \u2013 gut",
    ],
)
@pytest.mark.parametrize("count", [1, 5, 300])
def test_a_few_accents_are_western(tmp_path: Path, word: str, count: int) -> None:
    given = [(f"{word} {u}" if n < count else u, *rest) for n, (u, *rest) in enumerate(rows())]
    found = of(tmp_path, text(given).encode("cp1252"))
    assert found.source.encoding in ("cp1252", "latin-1")
    assert found.events.head.values("user")[0] == f"{word} u0"
    assert usable(found, tmp_path) == 400


@pytest.mark.parametrize(
    ("encoding", "titles"),
    [
        ("cp1251", "Война и мир, Мастер и Маргарита, Тихий Дон, Ирония судьбы, Брат"),
        ("koi8-r", "Война и мир, Мастер и Маргарита, Тихий Дон, Ирония судьбы, Брат"),
        ("shift_jis", "スター・ウォーズ, となりのトトロ, 七人の侍, カメラを止めるな, タイタニック"),
        ("gb18030", "红高粱, 霸王别姬, 卧虎藏龙, 让子弹飞, 大话西游, 无间道"),
        ("big5", "悲情城市, 臥虎藏龍, 海角七號, 飲食男女, 童年往事"),
        ("euc-kr", "기생충, 올드보이, 살인의 추억, 부산행, 택시운전사"),
        ("cp1253", "Ταξίδι στα Κύθηρα, Στέλλα, Ζορμπάς, Κυνόδοντας, Ευδοκία"),
    ],
)
def test_titles_in_other_scripts_are_recognised(tmp_path: Path, encoding: str, titles: str) -> None:
    words = titles.split(", ")
    given = [(f"{u} {words[n % len(words)]}", *rest) for n, (u, *rest) in enumerate(rows())]
    found = of(tmp_path, text(given).encode(encoding))
    assert found.events.head.values("user") == [user for user, *_ in given]
    assert usable(found, tmp_path) == 400


def test_a_few_broken_rows_leave_a_file_utf8(tmp_path: Path) -> None:
    lines = text([(f"Zoë {u}", *rest) for u, *rest in rows()]).splitlines(keepends=True)
    found = of(
        tmp_path, b"".join(each.encode("latin-1" if n == 9 else "utf-8") for n, each in enumerate(lines))
    )
    assert found.source.encoding == "utf-8" and usable(found, tmp_path) == 399


@pytest.mark.parametrize(
    ("odd", "encoding"), [("霸王别姬".encode("gb18030"), "gb18030"), ("Café".encode("cp1252"), "latin-1")]
)
def test_lines_that_are_utf8_by_chance_do_not_count(tmp_path: Path, odd: bytes, encoding: str) -> None:
    given = text(rows(5300)).encode().splitlines(keepends=True)
    lines = [("Été".encode() if n % 17 == 9 and n < 5100 else odd) + each for n, each in enumerate(given[1:])]
    found = of(tmp_path, given[0] + b"".join(lines))
    assert found.source.encoding == encoding and usable(found, tmp_path) == 5300


@pytest.mark.parametrize(
    ("encoding", "titles"),
    [
        ("cp1250", "Zażółć gęślą jaźń, Łódź nocą, Człowiek z żelaza, Chłopi, Miś"),
        ("iso8859-2", "Zażółć gęślą jaźń, Łódź nocą, Człowiek z żelaza, Chłopi, Miś"),
        ("mac-roman", "Amélie, Été, Café noir, Garçon, Noël, L\u2019avènement"),
        ("latin-1", "¿Qué pasó?, 5 m² und 9 m³, £9 à la carte, São Tomé, Où es-tu"),
    ],
)
def test_other_latin_letters_are_recognised(tmp_path: Path, encoding: str, titles: str) -> None:
    words = titles.split(", ")
    given = [(f"{u} {words[n % len(words)]}", *rest) for n, (u, *rest) in enumerate(rows())]
    found = of(tmp_path, text(given, NAMES, ";").encode(encoding))
    assert found.source.encoding == encoding
    assert found.events.head.values("user") == [user for user, *_ in given]
    assert usable(found, tmp_path) == 400


@pytest.mark.parametrize("word", ["Amélie Été", "Müller \u2564"])
def test_letters_are_not_read_as_control_characters(tmp_path: Path, word: str) -> None:
    given = text([(f"{word} {u}", *rest) for u, *rest in rows()]).encode("cp437")
    with pytest.raises(DataError) as error:
        of(tmp_path, given)
    assert str(error.value) == (
        f"{tmp_path / 'events.csv'} is not UTF-8, and its encoding can't be told: name it by "
        "`--set encoding=...`, such as cp1250, cp850 or mac-roman, or save the file as UTF-8"
    )
    assert of(tmp_path, given, encoding="cp437").events.head.values("user")[0] == f"{word} u0"


def test_a_stray_byte_refuses_no_file(tmp_path: Path) -> None:
    """And a few odd letters make no Polish text."""
    good = "".join(f"{n},caf\u00e9\n" for n in range(50)).encode("latin-1")
    for stray, expected in ((b"9,x\x81y\n", "latin-1"), (b"9,Hola\xbfQu\xe9 tal, 10m\xb3s\n", "latin-1")):
        for data in (stray, good + stray):
            path = tmp_path / "t.csv"
            path.write_bytes(data)
            assert encoding_of(path, data) == expected


def test_the_row_that_is_shown_is_full_before_it_has_an_accent(tmp_path: Path) -> None:
    def first(given: list[Row], encoding: str) -> str:
        return shown(of(tmp_path, text(given).encode(encoding))).partition("│ user ")[2].partition("\n")[0]

    plain = rows()
    holed: list[Row] = [
        ("Zoë" if n == 50 else u, i, "" if n == 50 else r, t) for n, (u, i, r, t) in enumerate(plain)
    ]
    assert "Zoë" not in first(holed, "latin-1")
    assert "Zoë" in first([*holed, ("Zoë", "i1", 3, START + 10**7)], "latin-1")
    assert "Zoë" not in first([*plain, ("Zoë", "i1", 3, START + 10**7)], "utf-8")  # no guess
    signs: list[Row] = [("a ½", "i1", 3, START + 10**7), ("Zoë", "i1", 3, START + 10**7)]
    assert "Zoë" in first([*plain, *signs], "latin-1")


def test_the_row_that_is_shown_has_an_accent(tmp_path: Path) -> None:
    given = [("Zoë" if n == 50 else u, *rest) for n, (u, *rest) in enumerate(rows())]
    content = text(given).encode("latin-1")
    said = shown(of(tmp_path, content))
    assert (
        "│ Zoë " in said
        and (
            "- latin-1 is a guess: if letters above look wrong, `--set encoding=...` names another, such as "
            "cp1250, iso8859-2, cp1254, cp1251, mac-roman, shift-jis, gb18030\n"
        )
        in said
    )
    assert "is a guess" not in shown(of(tmp_path, content, encoding="cp1252"))


def shown(found: Looked) -> str:
    console = Console(file=StringIO(), width=300)
    for part in found_tables(found):
        console.print(part)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def test_letters_beyond_the_first_bytes_count_for_the_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinkrec.data.look.heads.HEAD_BYTES", 2000)
    given = [*rows(), ("Zoë", "i1", 3, START + 10**7)]
    found = of(tmp_path, text(given).encode("latin-1"))
    assert found.source.encoding == "latin-1" and not found.events.head.complete
    assert usable(found, tmp_path) == 401


@pytest.mark.parametrize(
    ("moment", "unit"),
    [
        (lambda seconds: seconds, "seconds"),
        (lambda seconds: seconds + 0.25, "seconds"),
        (lambda seconds: f"{seconds / 1e9:.9f}e9", "seconds"),
        (lambda seconds: seconds * 10**3 + 7, "milliseconds"),
        (lambda seconds: seconds * 10**6, "microseconds"),
        (lambda seconds: seconds * 10**9, "nanoseconds"),
        (lambda seconds: f"2020-09-{seconds // 86400 % 27 + 1:02} 10:{seconds // 60 % 60:02}:00", "text"),
        (lambda seconds: f"2020-09-{seconds // 86400 % 27 + 1:02}T10:00:00.5Z", "text"),
        (lambda seconds: f"2020-09-{seconds // 86400 % 27 + 1:02}", "text"),
    ],
)
def test_units_of_time_are_found(tmp_path: Path, moment: Callable[[int], object], unit: str) -> None:
    given = [(user, item, stars, moment(int(str(time)))) for user, item, stars, time in rows()]
    for names in (NAMES, None):
        found = of(tmp_path, text(given, names))
        assert found.source.time == unit and found.source.timestamp == (names or "1234")[3]
    assert usable(found, tmp_path) > 390


@pytest.mark.parametrize(
    ("stars", "above", "kind"),
    [
        (lambda n: n % 5 + 1, 3, "rating"),
        (lambda n: n % 10 / 2 + 0.5, 3, "rating"),
        (lambda n: n % 10 + 1, 6, "rating"),
        (lambda n: n % 101, 60, "rating"),
        (lambda n: (-1, 1)[n % 2], 0, "rating"),
        (lambda n: n * 7 % 300 * 5, 750, "rating"),
        (lambda n: n % 2, None, "label"),
        (lambda n: ("true", "False")[n % 2], None, "label"),
    ],
)
def test_scales_are_found(tmp_path: Path, stars: Callable[[int], object], above: float, kind: str) -> None:
    given = [(user, item, stars(n), time) for n, (user, item, _, time) in enumerate(rows(600))]
    swapped = [(time, value, item, user) for user, item, value, time in given]
    for names in (("time", "Score", "movieId", "who is the user"), None):
        if names is None and above == 750:  # too many values for ratings without such a name
            continue
        found = of(tmp_path, text(swapped, names))
        assert getattr(found.source, kind) == (names or "12")[1]
        assert (found.scale and found.scale.positive_above) == above
        assert usable(found, tmp_path / f"run-{names is None}") == 600


@pytest.mark.parametrize("name", ["price", "quantity", "playcount", "x"])
@pytest.mark.parametrize("value", [lambda n: n % 5 + 1, lambda n: n % 2])
def test_numbers_are_no_ratings_unless_a_name_says_so(
    tmp_path: Path, name: str, value: Callable[[int], object]
) -> None:
    given = text([(n, u, i, value(n), t) for n, (u, i, _, t) in enumerate(rows())],
                 ("session_id", "user", "item", name, "time"))  # fmt: skip
    with pytest.raises(DataError) as error:
        of(tmp_path, given)
    assert str(error.value).endswith(
        "so views and purchases alone can't be used; add a column of 1 for what users liked and 0 for what "
        f"they did not, and name it by `--set label=COLUMN`; if `{name}` says how much users liked items, "
        f"name it by `--set rating=COLUMN`; it has session_id, user, item, {name}, time"
    )
    assert of(tmp_path, given, rating=name).source.rating == name


def test_minus_one_is_no_rating(tmp_path: Path) -> None:
    given = [(u, i, -1 if n % 4 == 0 else n % 10 + 1, t) for n, (u, i, _, t) in enumerate(rows())]
    found = of(tmp_path, text(given))
    assert (found.source.min_rating, found.source.positive_above) == (0, 6)
    assert "-1 is taken for not rated: `min_rating: 0` leaves out 25% of the rows" in next(remarks(found))
    kept = of(tmp_path, text(given), min_rating=None)
    assert (kept.source.min_rating, kept.source.positive_above) == (None, 4.5)
    judged = [(u, i, n % 3 - 1, t) for n, (u, i, _, t) in enumerate(rows())]
    assert of(tmp_path, text(judged)).source.min_rating is None  # -1, 0, 1: a scale
    assert of(tmp_path, text([(u, i, r - 3, t) for u, i, r, t in rows()])).source.min_rating is None


@pytest.mark.parametrize(("yes", "no"), [("Yes", "no"), ("like", "Dislike"), ("TRUE", "false")])
def test_labels_in_words(tmp_path: Path, yes: str, no: str) -> None:
    given = [(u, i, (no, yes)[n % 2], t) for n, (u, i, _, t) in enumerate(rows())]
    found = of(tmp_path, text(given, ("user", "item", "feedback", "time")))
    assert found.source.label == "feedback" and usable(found, tmp_path) == 400


def test_decimal_commas(tmp_path: Path) -> None:
    given = [(u, i, f"{r},5", t) for u, i, r, t in rows()]
    found = of(tmp_path, text(given, NAMES, ";"))
    assert found.scale and (found.scale.lowest, found.scale.highest, found.scale.positive_above) == (
        1.5,
        5.5,
        3.6,
    )
    assert usable(found, tmp_path) == 400


@pytest.mark.parametrize(
    ("written", "format_", "swapped"),
    [
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M", None), ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M", None),
        ("%d/%m/%Y", "%d/%m/%Y", None), ("%m-%d-%y %I:%M %p", None, None), ("%Y%m%d", "%Y%m%d", None),
        ("%Y%m%d%H%M%S", "%Y%m%d%H%M%S", None), ("%B %d, %Y", "%B %d, %Y", None),
        ("%d %b %Y", "%d %b %Y", None), ("%m %d, %Y", "%m %d, %Y", None), ("%d.%m.%y", "%d.%m.%y", None),
    ],
)  # fmt: skip
def test_formats_of_dates_are_found(
    tmp_path: Path, written: str, format_: str | None, swapped: str | None
) -> None:
    given = [(u, i, r, moment(t, written)) for u, i, r, t in rows()]
    if format_ is None:
        with pytest.raises(
            DataError, match="dates that can't be read, such as '09-13-20 12:26 PM': write them as"
        ):
            of(tmp_path, text(given, NAMES, ";"))
        found = of(tmp_path, text(given, NAMES, ";"), time=written)
    else:
        found = of(tmp_path, text(given, NAMES, ";"))
        assert (found.source.time, found.events.looks["timestamp"].swapped) == (format_, swapped)
    assert usable(found, tmp_path) > 380
    shown = Console(file=StringIO(), width=200)
    for part in found_tables(found):
        shown.print(part)
    assert "2020-09-13 " in shown.file.getvalue()


def moment(seconds: object, written: str) -> str:
    return datetime.fromtimestamp(int(str(seconds)), UTC).strftime(written)


def test_day_and_month_are_told_apart_by_order_or_a_guess(tmp_path: Path) -> None:
    days = [f"{1 + n // 4:02}/{1 + n % 4:02}/2021" for n in range(48)]  # in order as month/day
    for name, dates, time, guess in (
        ("month first", days, "%m/%d/%Y", False),
        ("day first", [f"{day[3:5]}/{day[:2]}/2021" for day in days], "%d/%m/%Y", False),
        ("a guess", days[::2] + days[1::2], "%m/%d/%Y", True),
    ):
        given = [(f"u{n % 4}", f"i{n % 5}", n % 5 + 1, day) for n, day in enumerate(dates)]
        found = of(tmp_path, text(given))
        assert found.source.time == time, name
        said = [line for line in remarks(found) if "can't be told apart" in line]
        assert said == (
            ["day and month can't be told apart, %m/%d/%Y is a guess: `--set time='%d/%m/%Y'` swaps them"]
            if guess else []
        ), name  # fmt: skip


@pytest.mark.parametrize(
    ("written", "unit", "bad"),
    [
        ("%Y-%m-%d %H:%M:%S", "text", "unknown"), ("%Y-%m-%d", "text", "0000-00-00"),
        ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M", "soon"), ("%s", "seconds", "0"), ("%s", "seconds", "n/a"),
    ],
)  # fmt: skip
def test_the_first_time_that_cannot_be_read_is_named(
    tmp_path: Path, written: str, unit: str, bad: str
) -> None:
    given = [
        (u, i, r, "" if n == 2 else f"{bad}" if n % 9 == 4 else moment(t, written))
        for n, (u, i, r, t) in enumerate(rows())
    ]
    names = ("user", "item", "rating", "date seen")
    with pytest.raises(DataError) as error:
        of(tmp_path, text(given, names, ";"))
    remedy = f"--set 'timestamp=date seen' --set {shlex.quote(f'time={unit}')} --set max_bad_rows=0.15"
    assert str(error.value) == (
        f"{tmp_path / 'events.csv'}: column `date seen` has 45 of 400 values that can't be read as times, "
        f"the first is {bad!r} in row 5 below the header: correct them, or leave these rows out by `{remedy}`"
    )
    found = of(tmp_path, text(given, names, ";"), timestamp="date seen", time=unit)
    facts, _ = try_prep(found, "mine", tmp_path / "run", 0.15)
    assert facts["files"]["events.csv"]["read"] == 355


@pytest.mark.parametrize(
    ("written", "bad"),
    [
        ("%d.%m.%Y", "n/a"), ("%d.%m.%Y", "soon"), ("%d.%m.%Y %H:%M", ""), ("%d.%m.%Y %H:%M", "00.00.0000"),
        ("%Y-%m-%d", "n/a"), ("%Y%m%d", "soon"), ("%s", "n/a"),
    ],
)  # fmt: skip
def test_a_few_times_that_cannot_be_read_do_not_matter(tmp_path: Path, written: str, bad: str) -> None:
    given = [(u, i, r, bad if n in (0, 200) else moment(t, written)) for n, (u, i, r, t) in enumerate(rows())]
    found = of(tmp_path, text(given))
    assert found.source.time == {"%Y-%m-%d": "text", "%s": "seconds"}.get(written, written)
    facts, cut = try_prep(found, "mine", tmp_path / "run")
    console = Console(file=StringIO(), width=300)
    for part in prep_tables(facts, found, cut):
        console.print(part)
    said = console.file.getvalue().partition("\n")[0]
    assert said == (
        "dry run of prep: events.csv: 398 of 400 rows can be used; 2 rows left out: the time can't be read"
    )


def test_two_formats_of_dates_are_named(tmp_path: Path) -> None:
    given = [
        (u, i, r, moment(t, "%Y-%m-%d" if n % 3 else "%d/%m/%Y")) for n, (u, i, r, t) in enumerate(rows())
    ]
    with pytest.raises(DataError) as error:
        of(tmp_path, text(given))
    assert str(error.value).endswith(
        "has 134 of 400 values that can't be read as times, the first is '13/09/2020' in row 1 below the "
        "header: two formats seem to be mixed; write all as dates such as 2012-01-03 15:28:18"
    )


def test_the_advice_fits_where_most_times_can_be_read(tmp_path: Path) -> None:
    given = [(u, i, r, "" if n % 12 == 0 else t) for n, (u, i, r, t) in enumerate(rows())]
    with pytest.raises(DataError) as error:
        try_prep(of(tmp_path, text(given)), "mine", tmp_path / "run")
    said = str(error.value)
    assert "because: timestamp cannot be read as seconds; the first is line 2" in said and "text" not in said
    assert "`--set max_bad_rows=0.09` goes on without these rows" in said


@pytest.mark.parametrize("days", ["%Y-%m-%d", "%d.%m.%Y"])
def test_times_of_day_in_a_column_of_their_own(tmp_path: Path, days: str) -> None:
    names = ("user", "item", "rating", "date", "time")
    for clock in ("%H:%M", "%H:%M:%S", "%I:%M %p"):
        given = [(u, i, r, moment(t, days), moment(t, clock)) for u, i, r, t in rows()]
        found = of(tmp_path, text(given, names))
        assert found.source.timestamp == "date"
        assert (
            "`date` has days only, and the times of day in `time` are not used, so rows of one day count in "
            "the order of the file: to use them, write both into one column"
        ) in list(remarks(found))
    whole = [(u, i, r, moment(t, f"{days} %H:%M"), moment(t, "%H:%M")) for u, i, r, t in rows()]
    assert not any("times of day" in line for line in remarks(of(tmp_path, text(whole, names))))


def test_moments_in_numbers_go_before_dates(tmp_path: Path) -> None:
    given = [(u, i, r, moment(t, "%m %d, %Y"), t) for u, i, r, t in rows()]
    found = of(tmp_path, text(given, ("user", "item", "rating", "reviewTime", "ts"), ";"))
    assert (found.source.timestamp, found.source.time) == ("ts", "seconds")


def test_a_unit_that_is_wrong_is_seen(tmp_path: Path) -> None:
    found = of(tmp_path, text([(u, i, r, moment(t, "%Y%m%d")) for u, i, r, t in rows()]), time="seconds")
    shown = Console(file=StringIO(), width=200)
    for part in found_tables(found):
        shown.print(part)
    assert "not a time since 1990 (seconds)" in shown.file.getvalue() and "1970" not in shown.file.getvalue()


def test_counts_are_called_counts(tmp_path: Path) -> None:
    given = [(user, item, n % 300 * 5, time) for n, (user, item, _, time) in enumerate(rows(600))]
    found = of(tmp_path, text(given))
    assert any("look like counts: above 750 is a like" in line for line in remarks(found))


@pytest.mark.parametrize(
    "names",
    [
        ("Benutzer", "artikel", "Sterne", "Datum"),
        ("Kundennummer", "ArtikelNr", "Bewertung", "Zeitstempel"),
        ("utilisateur", "produit", "note", "horodatage"),
        ("usuario", "película", "puntuación", "fecha"),
        ("пользователь", "товар", "оценка", "дата"),
        ("用户", "商品", "评分", "时间"),
        ("reviewerID", "asin", "overall", "unixReviewTime"),
        ("CustomerId", "product_id", "review_score", "created_at"),
        ("userId", "movieId", "rating", "timestamp"),
        ("visitorid", "itemid", "stars", "event_time"),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_names_in_any_order_and_language(tmp_path: Path, names: Row, order: Sequence[int]) -> None:
    given = [tuple(row[place] for place in order) for row in rows()]
    found = of(tmp_path, text(given, [str(names[place]) for place in order]))
    assert columns(found) == names
    assert {column.how for column in found.events.found.values()} == {NAMED}


def test_columns_about_a_user_or_an_item_are_not_taken_for_it(tmp_path: Path) -> None:
    names = (
        "",
        "user_name",
        "item_price",
        "avg_rating",
        "user_id",
        "movie_title",
        "item_id",
        "rating",
        "time",
    )
    given = [(n, "Ann", 9.99, 4.1, u, "Heat", i, r, t) for n, (u, i, r, t) in enumerate(rows())]
    assert columns(of(tmp_path, text(given, names))) == ("user_id", "item_id", "rating", "time")


def test_what_the_user_says_goes_first(tmp_path: Path) -> None:
    names = ("a", "b", "rating", "stars", "ts")
    given = [(user, item, stars, 6 - int(str(stars)), time) for user, item, stars, time in rows()]
    found = of(tmp_path, text(given, names), user="b", item="a", rating="stars", positive_above=4)
    assert columns(found) == ("b", "a", "stars", "ts")
    assert [column.how for column in found.events.found.values()] == [TOLD, TOLD, TOLD, NAMED]
    assert found.source.positive_above == 4 and found.scale and found.scale.likes == 0.2
    assert of(tmp_path, text(given, names), header=False, user=1).source.header is False


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"user": "usr"}, "--set user=usr: {path} has no such column; did you mean 'user'? It has user, "
         "item, rating, timestamp"),
        ({"colour": 1}, "--set colour: there is no such key; there are positive_above, first_day"),
        ({"time": "hours"}, "--set time: "),
        ({"encoding": "utf-99"}, "--set encoding: utf-99 is no encoding of text"),
        ({"rating": "rating", "label": "rating"}, "--set: name one column, `rating` or `label`"),
        ({"split": {"rule": "months", "train": {"first": 3, "last": 1}}}, "--set split"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(tmp_path: Path, told: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        of(tmp_path, text(rows()), **told)
    assert str(error.value).startswith(line.format(path=tmp_path / "events.csv"))


def test_signs_that_would_change_the_terminal_are_not_shown(tmp_path: Path) -> None:
    names = ("user\x1b[31m", "item", "rating", "time", "more\x1b[2J")
    found = of(tmp_path, text([(f"{u}\x1b[31m", i, r, t, 1) for u, i, r, t in rows()], names))
    console = Console(file=StringIO(), width=200)
    for part in found_tables(found):
        console.print(part)
    shown = console.file.getvalue()
    assert "user [31m" in shown and "more [2J" in shown and "\x1b" not in shown
    with pytest.raises(ConfigError) as error:
        of(tmp_path, text(rows(), names[:3] + names[4:]), user="x")
    assert "\x1b" not in str(error.value)


def test_recbole(tmp_path: Path) -> None:
    names = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    items = tmp_path / "ml.item"
    titles = [(f"i{n}", f"Film {n}", "Drama Comedy") for n in range(60)]
    items.write_text(text(titles, ("item_id:token", "movie_title:token_seq", "class:token_seq"), "\t"))
    path = tmp_path / "ml.inter"
    path.write_text(text(rows(), names, "\t"))
    found = looked(path, items)
    assert columns(found) == ("user_id", "item_id", "rating", "timestamp")
    assert (found.source.item_id, found.source.title) == ("item_id", "movie_title")
    assert usable(found, tmp_path) == 400


def test_json_and_parquet(tmp_path: Path) -> None:
    objects = [dict(zip(NAMES, row, strict=True)) | {"more": {"a": [1]}} for row in rows()]
    lines = "".join(f"{json.dumps(each)}\n" for each in objects)
    for number, (content, name, known) in enumerate(
        [
            (lines, "events.jsonl", "events.jsonl"),
            (json.dumps(objects, indent=1), "events.json", "events.json"),
            (lines, "events.log", "events.log.jsonl"),
            (gzip.compress(lines.encode()), "events.json.gz", "events.json.gz"),
            (gzip.compress(text(rows()).encode()), "events.csv.gz", "events.csv.gz"),
            (gzip.compress(text(rows()).encode()), "events.csv", "events.csv"),
        ]
    ):
        found = of(tmp_path, content, name)
        assert columns(found) == NAMES and found.source.ratings == known
        assert usable(found, tmp_path / str(number)) == 400
    table = pa.Table.from_pylist([{**each, "line": 1, "reason": "x"} for each in objects])
    moments = pa.array([int(str(row[3])) for row in rows()], pa.int64()).cast(pa.timestamp("s"))
    for name, each in (("a.parquet", table), ("b", table.set_column(3, "timestamp", moments))):
        pq.write_table(each, tmp_path / name)
        found = looked(tmp_path / name)
        assert columns(found) == NAMES and found.source.ratings.endswith(".parquet")
        assert found.source.time == ("seconds" if name == "a.parquet" else "text")
        assert usable(found, tmp_path / f"run-{name}") == 400


def test_quotes_that_are_none(tmp_path: Path) -> None:
    given = [(f'"{user}" pipe', *rest) for user, *rest in rows()]
    found = of(tmp_path, text(given, NAMES, "\t"), "events.tsv")
    assert found.source.quote == "" and usable(found, tmp_path) == 400
    quoted = [(f'"{user}, ""the great"""', *rest) for user, *rest in rows()]
    found = of(tmp_path, text(quoted))
    assert found.source.quote == '"' and found.events.head.values("user")[0] == 'u0, "the great"'


def films(place: Path, content: str | bytes, name: str = "films.csv") -> Path:
    path = place / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_items_are_found_by_names_and_by_ids(tmp_path: Path) -> None:
    events = films(tmp_path, text(rows()), "events.csv")
    titled = [(n, f"i{n}", "A long story", f"Film {n}", "Drama|Comedy", 1990 + n) for n in range(60)]
    names = ("id", "produkt", "Beschreibung", "Titel", "Kategorien", "Jahr")
    found = looked(events, films(tmp_path, text(titled, names)))
    source = found.source
    assert (source.item_id, source.title, source.description, source.categories) == (
        "produkt", "Titel", "Beschreibung", "Kategorien",
    )  # fmt: skip
    assert found.items and found.items.free == ["id", "Jahr"] and found.titled
    assert usable(found, tmp_path) == 400
    without = looked(events, films(tmp_path, text(titled, names)), description=None)
    assert without.source.description is None


@pytest.mark.parametrize(
    ("names", "title", "close"),
    [
        (("director_name", "movie_name"), "movie_name", []),
        (("brand_name", "product_name"), "product_name", []),
        (("store_name", "produit"), "produit", ["store_name"]),
        (("name", "title"), "title", ["name"]),
        (("artist_name", "song_name"), "song_name", []),
        (("director_name", "other_name"), "other_name", ["director_name"]),
        (("song_name", "track_name"), "track_name", []),  # the first has few different values
        (("same_title", "original_title"), "original_title", []),
        (("autor", "Título"), "Título", []),
        (("autor", "TITULO"), "TITULO", []),
    ],
)
def test_titles_are_told_from_other_names(
    tmp_path: Path, names: tuple[str, str], title: str, close: list[str]
) -> None:
    events = films(tmp_path, text(rows()), "events.csv")
    few = 40 if names[0] in ("name", "director_name", "store_name") else 9
    listed = [(f"i{n}", f"Ann {n % few}", f"Film {n}") for n in range(60)]
    found = looked(events, films(tmp_path, text(listed, ("id", *names))))
    assert found.source.title == title and found.items and found.items.close == close
    said = f"title = {title}, but {' or '.join(f'`{each}`' for each in close)} could be the title, too: "
    assert any(line.startswith(said) for line in remarks(found)) is bool(close)
    told = looked(events, films(tmp_path, text(listed, ("id", *names))), title=names[0])
    assert told.source.title == names[0] and told.items and not told.items.close


def test_items_without_a_header(tmp_path: Path) -> None:
    events = films(tmp_path, text(rows(), None, "::"), "ratings.dat")
    listed = [(f"Film {n}", f"i{n}", "Drama|Comedy") for n in range(60)]
    found = looked(events, films(tmp_path, text(listed, None, "::"), "films.dat"))
    assert (found.source.item_id, found.source.title, found.source.categories) == ("2", "1", "3")
    assert found.items and found.items.found["item_id"].how == SEEN
    assert usable(found, tmp_path) == 400


def test_items_alone_do_not_give_titles(tmp_path: Path) -> None:
    events = films(tmp_path, text(rows()), "events.csv")
    bare = looked(events)
    assert bare.source.items is None and not bare.titled
    found = looked(events, films(tmp_path, text([(f"i{n}", n) for n in range(60)], ("item", "price"))))
    assert found.source.title == found.source.item_id == "item" and not found.titled
    for each in (bare, found):
        assert any(line.startswith("no titles: an item's title is its id") for line in remarks(each))


def test_files_of_one_name_lie_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "items").mkdir()
    events = films(tmp_path, text(rows()), "data.csv")
    other = films(
        tmp_path / "items", text([(f"i{n}", f"Film {n}") for n in range(60)], ("id", "title")), "data.csv"
    )
    found = looked(events, other)
    assert found.files == {"data.csv": events, "items-data.csv": other}
    assert usable(found, tmp_path) == 400


def test_two_encodings(tmp_path: Path) -> None:
    titles = text([(f"i{n}", f"Café {n}") for n in range(60)], ("id", "title")).encode("latin-1")
    items = films(tmp_path, titles)
    found = looked(films(tmp_path, text(rows()), "events.csv"), items)
    assert found.source.encoding == "latin-1" and usable(found, tmp_path) == 400
    wide = films(tmp_path, text(rows()).encode("utf-16"), "wide.csv")
    with pytest.raises(ConfigError) as error:
        looked(wide, items)
    assert str(error.value) == f"{wide} is in utf-16, {items} in latin-1: save both as UTF-8"


def test_two_western_encodings_are_one(tmp_path: Path) -> None:
    items = films(
        tmp_path, text([(f"i{n}", f"Café {n}") for n in range(60)], ("id", "title")).encode("cp1252")
    )
    given = [(f"{u} \u2013 Zoë", *rest) for u, *rest in rows()]
    found = looked(films(tmp_path, text(given).encode("cp1252"), "events.csv"), items)
    assert found.source.encoding == "cp1252" and usable(found, tmp_path) == 400


def test_one_header_of_two(tmp_path: Path) -> None:
    items = films(tmp_path, text([(n, f"Film {n}") for n in range(60)], None))
    events = films(tmp_path, text([(u, str(i)[1:], r, t) for u, i, r, t in rows()]), "events.csv")
    with pytest.raises(ConfigError) as error:
        looked(events, items)
    assert str(error.value) == f"{items} has no header, the other file has one: write one into both"


def sqlite(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE a (b)")
    connection.commit()
    connection.close()
    return path.read_bytes()


REFUSED: list[tuple[str, str | bytes, str]] = [
    ("empty", "", "is empty"),
    ("blank", "\n \n", "is empty"),
    ("packed", gzip.compress(b""), "is empty"),
    ("header", text([]), "has no rows: its only line is 'user, item, rating, timestamp'"),
    ("binary", bytes(range(256)) * 9, "is not text: name a table of text (CSV, TSV, ...), JSON lines or"),
    ("picture", b"\x89PNG\r\n\x1a\n" + bytes(99), "is not text: "),
    ("zip", b"PK\x03\x04" + bytes(99), "is a zip archive or an Excel workbook: unpack it, or save the"),
    ("bzip2", b"BZh91AY&SY" + bytes(99), "is packed by bzip2: unpack it, or pack it by gzip"),
    ("broken parquet", b"PAR1" + bytes(99) + b"PAR1", "is no valid Parquet: "),
    ("cut gzip", gzip.compress(text(rows()).encode())[:-30], "ends in the middle of its gzip stream"),
    ("one column", text([(user,) for user, *_ in rows()], ("user",)),
     "has one column only, with values such as 'u0': name what separates its columns by `--set separator="),
    ("no time", text([row[:3] for row in rows()], NAMES[:3]),
     "has no column of dates or times: each row needs one, in seconds since 1970 or as text such as "
     "2012-01-03 15:28:18; it has user, item, rating"),
    ("odd dates", text([(*row[:3], "2012/13/32") for row in rows()]),
     ": column `timestamp` has dates that can't be read, such as '2012/13/32': write them as 2012-01-03"),
    ("days", text([(*row[:3], 18262 + n // 9) for n, row in enumerate(rows())]),
     ": column `timestamp` has values that are not times, such as '18262': write dates such as 2012-01-03 "
     "15:28:18, or seconds since 1970 (days times 86,400)"),
    ("a spreadsheet's days",
     text([(*row[:3], f"{44087 + n / 9:.4f}") for n, row in enumerate(rows())]),
     ": column `timestamp` has values that are not times, such as '44087.0000': they seem to be numbers of "
     "days, as spreadsheets keep dates; write them as dates such as 2012-01-03 15:28:18"),
    ("one user", text([(4, *row[1:]) for row in rows()]),
     ": column `user` has one value only, '4': several users are needed; `--set user=COLUMN` "
     "names another column"),
    ("one item", text([(row[0], "i1", *row[2:]) for row in rows()]),
     ": column `item` has one value only, 'i1': several items are needed; `--set item=COLUMN` "),
    ("one row", text(rows(1)),
     "has one row only, 'u0, i0, 1, 1600000000': rows of several users and items are needed"),
    ("two units", text([(*row[:3], f"{row[3]}{'000' * (n % 3)}") for n, row in enumerate(rows())]),
     ": column `timestamp` has times in several units, such as '1600000000' and '1600007200000000': write"),
    ("no rating", text([(u, i, t) for u, i, _, t in rows()], ("user", "item", "time")),
     "has no column of ratings or labels: thinkrec learns from likes and dislikes, so views and purchases "),
    ("events",
     text([(*row[:2], ("view", "Add to cart")[n % 2], row[3]) for n, row in enumerate(rows())],
          ("user", "item", "type", "time")),
     "has no column of ratings or labels: thinkrec learns from likes and dislikes, so events such as those "
     "of column `type` alone can't be used; add a column of 1 for what users liked and 0 for what they did "),
    ("words", text([(u, i, f"{r} stars", t) for u, i, r, t in rows()]),
     ": column `rating` has values that are not numbers, such as '1 stars': write ratings as numbers such as "
     "3.5, or labels as 1 and 0, or yes and no"),
    ("parts", text([(u, i, f"{r}/5", t) for u, i, r, t in rows()]),
     ": column `rating` has values that are not numbers, such as '1/5': write ratings as numbers "),
    ("one value", text([(u, i, 5, t) for u, i, _, t in rows()]),
     ": column `rating` has the same value in all rows, '5': both likes and dislikes are needed"),
    ("likes only", text([(u, i, 1, t) for u, i, _, t in rows()], ("user", "item", "bought", "time")),
     ": column `bought` has the same value in all rows, '1': both likes and dislikes are needed"),
    ("no values", text([(u, i, "", t) for u, i, _, t in rows()]),
     ": column `rating` is empty in all rows that were looked at: write ratings there, or labels of 0 and 1"),
    ("comments", "# exported\n# by x\n" + text(rows()),
     "begins with 2 lines of comments, '# exported': remove what is above the table"),
    ("object", json.dumps({"n": 2, "data": [{"user": 1}, {"user": 2}]}),
     "is one JSON object that has its rows under `data`: write that array alone, or one object a line"),
    ("object in lines", json.dumps({"data": [{"user": 1}, {"user": 2}]}, indent=1),
     "is one JSON object that has its rows under `data`: write that array alone, or one object a line"),
    ("no item", text([(u, r, t) for u, _, r, t in rows()], ("user", "rating", "time")),
     "has no column of items: name it by `--set item=COLUMN`; it has user, rating, time"),
    ("one line", '"a"\n', "has no rows: its only line is 'a'"),
    ("json list", "[1, 2, 3]", "begins as JSON, but holds no objects: write one object a line, or one array"),
    ("json latin", '{"user": "Zoë"}\n'.encode("latin-1"), "is JSON that is not UTF-8: save it as UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_what_is_no_data_is_refused_in_a_sentence(tmp_path: Path, content: str | bytes, line: str) -> None:
    with pytest.raises(DataError) as error:
        of(tmp_path, content)
    said = str(error.value)
    assert said.removeprefix(str(tmp_path / "events.csv")).lstrip().startswith(line) and "\n" not in said


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, line in (
        (tmp_path / "none.csv", "is not there: name the file of your data"),
        (tmp_path, "is a folder, not a file: name the file of your data"),
    ):
        with pytest.raises(DataError) as error:
            look(path, None, "data/raw/mine", {}, tmp_path / "spool")
        assert str(error.value) == f"{path} {line}"
    path = tmp_path / "some.db"
    sqlite(path)
    with pytest.raises(DataError, match="is an SQLite database: export the table as CSV"):
        look(path, None, "data/raw/mine", {}, tmp_path / "spool")


def test_items_of_something_else_are_refused(tmp_path: Path) -> None:
    events = films(tmp_path, text(rows()), "events.csv")
    others = films(tmp_path, text([(f"x{n}", f"Film {n}") for n in range(60)], ("id", "title")))
    with pytest.raises(DataError) as error:
        looked(events, others)
    assert str(error.value) == (
        f"{others}: column `id` has none of the items of {events}, such as 'i0': name the column of their "
        "ids by `--set item_id=COLUMN`; it has id, title"
    )


@pytest.mark.parametrize(("own", "listed"), [("72.0", "72"), ("72", "72.0"), ("0072", "72"), ("72", "0072")])
def test_ids_that_differ_by_zeros_are_named(tmp_path: Path, own: str, listed: str) -> None:
    """The files would have no item in common, or hardly any."""

    def like(pattern: str, number: int) -> str:
        return f"{number}.0" if "." in pattern else str(number).zfill(len(pattern) * (pattern[0] == "0"))

    given = [(user, like(own, int(str(item)[1:])), *rest) for user, item, *rest in rows()]
    events = films(tmp_path, text(given), "events.csv")
    items = films(tmp_path, text([(like(listed, n), "A film") for n in range(60)], ("id", "title")))
    with pytest.raises(DataError) as error:
        looked(events, items)
    first = min({str(item) for _, item, *_ in given} - {like(listed, n) for n in range(60)})
    assert str(error.value) == (
        f"{events} writes an item's id as {first!r}, {items} as {like(listed, int(float(first)))!r} in "
        "column `id`: write ids alike in both files"
    )


def test_a_header_may_begin_like_a_comment(tmp_path: Path) -> None:
    found = of(tmp_path, "#" + text(rows()))
    assert found.source.user == "#user" and usable(found, tmp_path) == 400


def test_ratings_that_are_missing(tmp_path: Path) -> None:
    for number, word in enumerate(("NaN", "null", "N/A", "")):
        given = [(u, i, word if n % 5 == 0 else r, t) for n, (u, i, r, t) in enumerate(rows())]
        found = of(tmp_path, text(given))
        facts, _ = try_prep(found, "mine", tmp_path / str(number), 0.5)
        assert facts["files"]["events.csv"]["quarantined"] == {"rating is not a number": 80}
        assert allowed(facts) == 0.25


def test_ratings_of_one_time_have_no_split_by_time(tmp_path: Path) -> None:
    given = text([(f"u{n % 40}", f"i{n // 40}", n % 5 + 1, START) for n in range(400)])
    with pytest.raises(DataError) as error:
        try_prep(of(tmp_path, given), "mine", tmp_path / "run")
    same = "all 400 usable ratings have the same time, 2020-09-13 12:26:40 UTC, so their order is that of the"
    same += " file"
    assert str(error.value) == (
        f"{tmp_path / 'events.csv'}: {same}; a split by time needs times that differ: name a column of such "
        "times, or use `--set 'split={rule: random}'`, which needs none (nothing was made; `--set KEY=VALUE` "
        "corrects what init found)"
    )
    facts, _ = try_prep(of(tmp_path, given, split={"rule": "random"}), "mine", tmp_path / "random")
    assert same in facts["warnings"]


def test_prep_names_the_users_files(tmp_path: Path) -> None:
    half = [(user, item, "?" if n % 2 else stars, time) for n, (user, item, stars, time) in enumerate(rows())]
    found = of(tmp_path, text(half), rating="rating")
    with pytest.raises(ThinkrecError) as error:
        try_prep(found, "mine", tmp_path / "run")
    said = str(error.value)
    assert said.startswith(f"{tmp_path / 'events.csv'}: 200 of 400 rows can't be used")
    assert said.endswith(
        "(nothing was made; `--set KEY=VALUE` corrects what init found; `--set max_bad_rows=0.5` goes on "
        "without these rows)"
    )
    assert str(tmp_path / "run") not in said


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet"])
def test_of_large_files_the_beginning_is_tried(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinkrec.data.look.trial.LIMIT", 1 << 12)
    monkeypatch.setattr("thinkrec.data.look.trial._BLOCK", 1 << 10)
    monkeypatch.setattr("thinkrec.data.look.trial._BATCH_ROWS", 100)
    path = tmp_path / f"events.{kind}"
    objects = [dict(zip(NAMES, row, strict=True)) for row in rows(1000)]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(objects), path, compression="none", use_dictionary=False)
    elif kind == "jsonl":
        path.write_text("".join(f"{json.dumps(each)}\n" for each in objects))
    else:
        content = text(rows(1000)).encode()
        path.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    items = films(tmp_path, text([(f"i{n}", f"Film {n}") for n in range(600)], ("id", "title")))
    found = looked(path, items)
    facts, cut = try_prep(found, "mine", tmp_path / "run")
    assert cut == [path.name, "films.csv"]
    counts = facts["files"][path.name]
    assert 0 < counts["given"] < 1000 and counts["read"] == counts["given"]


@pytest.mark.parametrize(
    ("role", "name", "score"),
    [
        ("user", "userId", 3.5), ("user", "USER", 3), ("user", "review_user", 2), ("user", "user_name", 0.5),
        ("user", "superuser", 0), ("item", "Artikelnummer", 3.5), ("rating", "star_rating", 2),
        ("item_id", "id", 3), ("item_id", "product_id", 3.5), ("title", "Titel", 5),
        ("title", "título", 5), ("title", "TITULO", 5), ("title", "titre", 5), ("title", "name", 4),
        ("title", "movie_name", 5), ("title", "nomFilm", 5), ("title", "movie", 3),
        ("title", "original_title", 3), ("title", "brand_name", 2), ("title", "artist_name", 2),
        ("title", "isbn", 0), ("title", "title_image", 1), ("item", "pelicula", 3),
        ("rating", "puntuacion", 3),
        ("user", "client nume\u0301ro", 3.5),
    ],
)  # fmt: skip
def test_names_fit_roles(role: Any, name: str, score: float) -> None:
    assert fits(role, name) == score


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")
class TestRealFiles:
    """Files of others, as they are."""

    def test_movielens(self, tmp_path: Path) -> None:
        folder = DATA / "ml-1m"
        found = look(folder / "ratings.dat", folder / "movies.dat", "data/raw/mine", {}, tmp_path)
        source = found.source
        assert columns(found) == ("1", "2", "3", "4") and not source.header and source.separator is None
        assert (source.item_id, source.title, source.categories) == ("1", "2", "3")
        assert source.encoding == "latin-1" and source.time == "seconds" and source.positive_above == 3
        assert not found.events.head.complete

    def test_amazon(self, tmp_path: Path) -> None:
        folder = DATA / "amazon-gift-cards"
        files = folder / "Gift_Cards_5.json.gz", folder / "meta_Gift_Cards.json.gz"
        found = look(*files, "data/raw/mine", {}, tmp_path)
        assert columns(found) == ("reviewerID", "asin", "overall", "unixReviewTime")
        source = found.source
        assert (source.item_id, source.title, source.description, source.categories) == (
            "asin", "title", "description", "category",
        )  # fmt: skip
        facts, _ = try_prep(found, "mine", tmp_path / "run")
        assert facts["files"]["Gift_Cards_5.json.gz"] == {
            "given": 2972, "read": 2969, "quarantined": {"duplicate": 3},
        }  # fmt: skip

    def test_yelp(self, tmp_path: Path) -> None:
        folder = DATA / "yelp-sample"
        review, business = (folder / f"yelp_academic_dataset_{each}.json" for each in ("review", "business"))
        found = look(review, business, "data/raw/mine", {}, tmp_path)
        assert columns(found) == ("user_id", "business_id", "stars", "date") and found.source.time == "text"
        assert (found.source.item_id, found.source.title) == ("business_id", "name")
        assert found.source.categories == "categories"

"""A data set's statistics as tables for terminals, 80 columns wide if possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_Row = tuple[str, tuple[str, ...]]
"""A label, and the path of its value in a part."""


def _with_share(label: str, name: str) -> list[_Row]:
    return [(label, (name,)), ("  share", (f"{name}_share",))]


def _spread(kind: str) -> list[_Row]:
    ends = ("min", "median", "mean", "max")
    return [(f"rows per {kind}: {end}", (f"rows_per_{kind}", end)) for end in ends]


_SECTIONS: list[list[_Row]] = [
    [(name, (name,)) for name in ("rows", "users", "items", "density")],
    _with_share("positives", "positives"),
    [("first moment (UTC)", ("first",)), ("last moment (UTC)", ("last",))],
    _spread("user"),
    _spread("item"),
    [("users of one class (1)", ("users_one_class",)), ("users with a single row", ("users_one_row",))],
    _with_share("tied rows (2)", "tied_rows"),
    [
        *_with_share("user not in train", "new_user"),
        *_with_share("item not in train", "new_item"),
        *_with_share("neither in train", "new_both"),
        *_with_share("both in train (not cold)", "not_cold"),
    ],
]
_NOTES = (
    "(1) users with a single row included; in valid and test they drop out of UAUC\n"
    "(2) the same user has another row, in any split, with the same timestamp"
)


def tables(stats: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield tables and remarks of a result of `thinkrec.stages.stats.statistics`."""
    yield _parts(stats)
    yield Text(f"{_NOTES}\n{_lists(stats['lists'])}\n")
    if stats["prep"] is None:
        yield Text("what prep dropped is not known: its record is not there\n")
    else:
        yield _dropped(stats["prep"])
        for warning in stats["prep"]["warnings"]:
            yield Text(f"warning of prep: {warning}")
        yield Text()
    if stats["published"] is None:
        yield Text("no counts of this data set were published")
    else:
        yield from _published(stats["published"])


def _parts(stats: Mapping[str, Any]) -> Table:
    parts = stats["parts"]
    table = Table(title=stats["dataset"], title_justify="left")
    table.add_column("")
    for part in parts:
        table.add_column(part, justify="right")
    for section in _SECTIONS:
        for label, keys in section:
            table.add_row(Text(label), *(Text(_cell(each, keys)) for each in parts.values()))
        table.add_section()
    return table


def _cell(part: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    value: Any = part
    for key in keys:
        value = value.get(key)
    if value is None:
        return "-"
    if isinstance(value, str):
        return value.removesuffix("Z").replace("T", "\n")
    if keys[0] == "density" or keys[0].endswith("_share"):
        return f"{100 * value:.3g} %"
    if isinstance(value, float):  # mean or median
        return f"{value:,.2f}".removesuffix(".00")
    return f"{value:,}"


def _lists(lists: Mapping[str, int]) -> str:
    return (
        f"items.parquet: {lists['items']:,} items, {lists['items_without_title']:,} without a title, "
        f"{lists['items_without_rows']:,} without rows\n"
        f"users.parquet: {lists['users']:,} users, {lists['users_without_rows']:,} without rows"
    )


def _dropped(prep: Mapping[str, Any]) -> Table:
    table = Table("file", "prep", title="raw rows", title_justify="left")
    table.add_column("rows", justify="right")
    for name, counts in prep["files"].items():
        entries = {"given": counts["given"], "read": counts["read"]}
        entries |= {f"quarantined: {reason}": n for reason, n in counts["quarantined"].items()}
        for turn, (what, n) in enumerate(entries.items()):
            table.add_row(Text("" if turn else name), Text(what), Text(f"{n:,}"))
        table.add_section()
    for reason, n in prep["left_out"].items():
        table.add_row("", Text(f"left out: {reason}"), Text(f"{n:,}"))
    return table


def _published(published: Mapping[str, Any]) -> Iterator[RenderableType]:
    notes = list(dict.fromkeys(each["note"] for each in published["counts"] if each["note"]))
    table = Table("", title="published counts", title_justify="left")
    for name in ("ours", "published", "difference", "equal"):
        table.add_column(name, justify="right")
    table.add_column("source")
    for each in published["counts"]:
        mark = f" ({notes.index(each['note']) + 1})" if each["note"] else ""
        table.add_row(Text(each["what"] + mark), *map(Text, _compared(each)))
    yield table
    for turn, note in enumerate(notes, 1):
        yield Text(f"({turn}) {note}")
    for key, values in published["other_settings"].items():
        yield Text(f"{key} is {values['here']}; published counts are for the paper's: {values['paper']}")


def _compared(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Format a published count: ours, published, difference, equal, source."""
    ours, difference = entry["ours"], entry["difference"]
    return (
        "-" if ours is None else f"{ours:,}",
        f"{entry['published']:,}",
        "-" if difference is None else f"{difference:+,}" if difference else "0",
        {True: "yes", False: "no", None: "-"}[entry["equal"]],
        entry["source"],
    )

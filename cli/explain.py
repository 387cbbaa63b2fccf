"""`thinkrec explain`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from thinkrec_cli.asking import explanation_json, footer, one_of, verdicts, who
from thinkrec_cli.common import dataset_option, printable

if TYPE_CHECKING:
    from thinkrec.systems.answers import Explanation

WIDTH = 20
"""Characters of the longest bar."""


@click.command("explain")
@dataset_option
@who
@click.option("--item", required=True, metavar="ITEM", help="Raw id or title of the item.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    dataset: str,
    user: str | None,
    liked: tuple[str, ...],
    disliked: tuple[str, ...],
    system: str,
    item: str,
    as_json: bool,
) -> None:
    """Explain how an item is scored for a user, and why.

    Prints the score, the language model's reason, and how the score changes without each interaction of the
    history: those are left out one by one.
    """
    one_of(user, liked, disliked)

    import thinkrec

    rec = thinkrec.load(dataset=dataset, system=system)
    asked = rec.item(item)
    if user is not None:
        found = rec.explain(user, asked)
    else:
        found = rec.explain_history(verdicts(rec, liked, disliked), asked)
    if as_json:
        click.echo(json.dumps(explanation_json(found), ensure_ascii=False, indent=2))
    else:
        _show(found)


def _show(found: Explanation) -> None:
    """Print an explanation."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(printable(f"{found.title} ({found.item}): score {found.score:.3f}"), style="bold"))
    if found.reason is not None:
        console.print(Text(printable(found.reason)))
    if not found.history:
        console.print("The score stays the same whichever interaction of the history is left out.")
    else:
        table = Table("history", "verdict", title="what moved the score", title_justify="left")
        table.add_column("moved", justify="right")
        table.add_column("", min_width=WIDTH)
        largest = max(abs(each.moved) for each in found.history) or 1.0
        for each in found.history:
            bar = "▇" * round(WIDTH * abs(each.moved) / largest)
            color = "green" if each.moved > 0 else "red"
            verdict = "liked" if each.liked else "disliked"
            table.add_row(Text(printable(each.title)), verdict, f"{each.moved:+.3f}", Text(bar, style=color))
        console.print(table)
    console.print(Text(footer(found), style="dim"))

"""`thinkrec recommend`."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from thinkrec_cli.asking import footer, one_of, scores_json, verdicts, who, whose
from thinkrec_cli.common import dataset_option, printable, retrievers, summary

if TYPE_CHECKING:
    from thinkrec.systems.answers import Scores


@click.command("recommend")
@dataset_option
@who
@click.option("--k", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many items.")
@click.option(
    "--candidates",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE",
    help="Rank these items: a raw id or a title on each line; blank lines are skipped; - for standard input.",
)
@click.option(
    "--from",
    "source",
    metavar="ENCODER:N",
    shell_complete=retrievers,
    help="Rank the N best items of an encoder, such as lightgcn:200.  [default: all items; for a language "
    "model the 200 best of cluster.encoder]",
)
@click.option("--why", is_flag=True, help="Generate a reason for each item; only a language model can.")
@click.option(
    "--users",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE",
    help="Recommend to many users: a raw id on each line, exactly as in the data; blank lines are skipped; "
    "- for standard input. Needs --to.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the answers for --users to this Parquet file; run again, it goes on where it was stopped.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def command(
    dataset: str,
    user: str | None,
    liked: tuple[str, ...],
    disliked: tuple[str, ...],
    system: str,
    k: int,
    candidates: IO[str] | None,
    source: str | None,
    why: bool,
    users: IO[str] | None,
    to: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Recommend items to a user, and say why.

    The user is one of the data set, by --user, and items of the history are left out; or somebody new, by
    --like and --dislike. Prints title, score and, with --why, the reason; below, what the scores rest on and
    the gate's decision.
    """
    one_of(user, liked, disliked, users)
    if candidates is not None and source is not None:
        raise click.UsageError("Rank the items of a file or those of an encoder: --candidates or --from.")
    if (users is None) != (to is None):
        raise click.UsageError("--users and --to belong together: users from a file, answers to a file.")
    if to is not None and to.suffix.lower() in (".csv", ".json", ".jsonl", ".txt"):
        raise click.UsageError(f"--to: {to} would hold Parquet: give it a name that ends in .parquet.")
    if (users is not None) + as_json + as_csv > 1:
        raise click.UsageError("Choose one form: --json, --csv, or --users with Parquet in --to.")

    import thinkrec
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.errors import RequestError
    from thinkrec.layout import Layout, require
    from thinkrec.stages.recommend import recommend_to_file
    from thinkrec.systems.answers import Question
    from thinkrec.systems.shortlist import RETRIEVED, read_shortlist

    called = "--from" if candidates is None else "--candidates"
    chosen = None if candidates is None else lines_of(candidates, called)
    asked_for = None if users is None else lines_of(users, "--users")
    if source is not None:  # loading takes long, so what is wrong is said before
        encoder, _ = read_shortlist(source, called, RETRIEVED)
        dataset_source(load_params(), dataset)
        require(Layout(dataset), f"encoders/{encoder}")
    rec = thinkrec.load(dataset=dataset, system=system)
    items: list[str] | str | None = source if chosen is None else [rec.item(name) for name in chosen]
    if asked_for is not None and to is not None:
        asked = Question(items=items, k=k, why=why, called=called)
        counts = recommend_to_file(rec, Layout(dataset), asked_for, asked, to)
        click.echo(f"recommend of {dataset}: written to {to}")
        for line in summary(counts):
            click.echo(f"  {line}")
        return
    history = verdicts(rec, liked, disliked)
    given = None if user is not None else history
    (answer,) = rec.answer([Question(user, given, items, k, why, called)])
    if isinstance(answer, RequestError):
        raise answer
    if as_json:
        click.echo(json.dumps(scores_json(answer), ensure_ascii=False, indent=2))
    elif as_csv:
        names = ("item", "title", "score", "reason") if why else ("item", "title", "score")
        out = csv.DictWriter(sys.stdout, names, extrasaction="ignore", lineterminator="\n")
        out.writeheader()
        out.writerows(answer.rows())
    else:
        _print(answer, whose(rec, answer.user, history))


def lines_of(file: IO[str], option: str) -> list[str]:
    """Return the lines of a file without their ends, each once, in order; blank ones are skipped.

    Raises:
        UsageError: it has no line, or is not UTF-8 text.
    """
    try:
        lines = [line.removesuffix("\n") for line in file if line.strip()]
    except UnicodeDecodeError:
        raise click.UsageError(f"{option}: {file.name} is not UTF-8 text with one id on each line.") from None
    found = list(dict.fromkeys(lines))
    if not found:
        raise click.UsageError(f"{option}: {file.name} is empty or has only blank lines.")
    return found


def _print(answer: Scores, person: str) -> None:
    """Print an answer as a table, the reasons below it, then what it rests on."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "title", "id", title=Text(printable(f"for {person}")), title_justify="left")
    table.add_column("score", justify="right")
    lines = zip(answer.titles, answer.items, answer.scores.tolist(), strict=True)
    for rank, (title, item, score) in enumerate(lines, 1):
        table.add_row(str(rank), Text(printable(title)), Text(printable(item)), f"{score:.3f}")
    console = Console()
    console.print(table)
    for rank, reason in enumerate(answer.reasons or (), 1):
        console.print(Text(printable(f"{rank}. {reason}")), Text(""), sep="\n")
    console.print(Text(footer(answer), style="dim"))

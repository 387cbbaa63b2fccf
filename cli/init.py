"""`thinkrec init`."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from thinkrec_cli.own import Plan

_FILE = click.Path(path_type=Path)


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--upgrade",
    "again",
    is_flag=True,
    help="Regenerate a project's dvc.yaml after an upgrade of thinkrec, or once evaluate.systems names the "
    "language model; params.yaml is not changed.",
)
@click.option(
    "--from",
    "events",
    type=_FILE,
    help="Your own data: a file of users' ratings or labels of items, with time.",
)
@click.option("--items", type=_FILE, help="A file of the items: ids, titles, descriptions, categories.")
@click.option("--name", metavar="NAME", help="Name of the data set; by default that of the file.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Correct what was found: a key of the data set's entry, such as rating=stars, time=milliseconds, "
    "separator=';', positive_above=4. May be repeated.",
)
@click.option(
    "--copy", "copied", is_flag=True, help="Copy the files into the project instead of linking to them."
)
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
def command(
    folder: Path,
    again: bool,
    events: Path | None,
    items: Path | None,
    name: str | None,
    settings: tuple[str, ...],
    copied: bool,
    yes: bool,
) -> None:
    """Create a project in FOLDER, outside the clone.

    Writes params.yaml with default values and the embedded data set, dvc.yaml and .gitignore, and initialises
    git and DVC if needed. Then run `dvc repro` there. FOLDER must be new or empty.

    With --from, the project is for your own data instead: the files (CSV and other tables of text, JSON
    lines, Parquet) are looked at, what was found is shown with one row as understood, and tried by a dry run
    of prep. Files stay where they are: the project links to them. Its first report is on three encoders and
    gbdt.
    """
    needing = {"--items": items, "--name": name, "--set": settings, "--copy": copied}
    if events is None and (given := [option for option, value in needing.items() if value]):
        raise click.UsageError(f"{given[0]} needs --from")
    if again and events is not None:
        raise click.UsageError("--upgrade and --from exclude each other")
    from thinkrec_cli.project import check_free, create, upgrade

    if again:
        click.echo(f"{folder} is up to date; stages whose code changed: {joined(upgrade(folder))}")
    elif events is None:
        create(folder)
        click.echo(f"{folder} is a project: run `dvc repro` there")
    else:
        check_free(folder)
        found = own_data(folder, events, items, name, settings, yes)
        create(folder, found.params, found.links, copied)
        for line in following(folder, found, copied):
            click.echo(line)


def own_data(
    folder: Path, events: Path, items: Path | None, name: str | None, settings: tuple[str, ...], yes: bool
) -> Plan:
    """Look at the user's files, show what was found, and ask whether to make a project on them."""
    import tempfile

    from rich.console import Console
    from rich.table import Table

    from thinkrec.data.look import look
    from thinkrec.data.look.tables import found_tables, prep_tables
    from thinkrec_cli.own import limit_of, name_of, parse, tried

    console = Console()

    def show(parts: Iterable[RenderableType]) -> None:
        for part in parts:
            console.print(part, soft_wrap=not isinstance(part, Table))

    told, name = parse(settings), name_of(name, events)
    limit = limit_of(told)
    with tempfile.TemporaryDirectory(prefix="thinkrec-") as work:
        looked = look(events, items, f"data/raw/{name}", told, Path(work, "heads"))
        show((*found_tables(looked), ""))
        found = tried(looked, name, told, Path(work), limit)
        show(prep_tables(found.facts, found.looked, found.cut))
    for line in doubts(found):
        click.echo(line)
    if sys.stdin.isatty() and sys.stdout.isatty() and not yes:
        click.confirm(f"Create the project {folder} with these settings?", default=True, abort=True)
    return found


def doubts(found: Plan) -> list[str]:
    """Say what `prep` warned of, which rows it leaves out, and that a split other than by time was chosen."""
    from thinkrec.data.look.trial import bad_share
    from thinkrec_cli.own import USUAL_LIMIT

    lines = [f"- {warning}" for warning in found.facts["warnings"]]
    if found.limit > USUAL_LIMIT:
        lines.insert(
            0,
            f"- {bad_share(found.facts):.1%} of a file's rows can't be used, see above, and are left out: "
            f"`prep.max_bad_rows: {found.limit:g}` in params.yaml allows that, {USUAL_LIMIT:g} is usual. "
            "`--set max_bad_rows=...` sets it",
        )
    if found.by_time is not None:
        lines.insert(
            0,
            f"- by time, only {found.by_time:.1%} of the rows of valid or test would be warm: each user's "
            "last two ratings are held out instead. `--set 'split={rule: share}'` splits by time",
        )
    return lines


def following(folder: Path, found: Plan, copied: bool) -> list[str]:
    """Say what was made, and which commands come next."""
    name = found.name
    place = f"data/raw/{name}"
    kept = f"copies of your files are in {place}." if copied else (
        f"{place} there links to your files where they are: `dvc repro` fails once they are moved; --copy "
        "copies them instead."
    )  # fmt: skip
    lines = [
        "",
        f"{folder} is a project with the data set {name}; {kept}",
        "First report, on three encoders and gbdt, without a language model (`cf.models` of params.yaml adds "
        "others):",
        "",
        f"  cd {quote(str(folder))}",
        "  dvc repro",
        "",
        f"Then open reports/{name}/report.html, and ask for recommendations, here for one of your users:",
        "",
        f"  thinkrec recommend --dataset {name} --user {quote(found.user)} --system gsasrec_labels",
        "",
        f"Corrections: datasets.{name} of params.yaml. To share the project, "
        + ("" if copied else f"copy the files into {place} and ")
        + f"run `dvc add {place}`.",
    ]
    if not found.looked.titled:
        return [*lines, "For a language model, items need titles: make the project again with --items."]
    return [
        *lines,
        "The language model as well (hours on a CPU; small-gpu instead of laptop on a GPU):",
        "",
        "  thinkrec preset laptop",
        "  thinkrec init --upgrade .",
        "  dvc repro",
    ]


def joined(stages: list[str]) -> str:
    """Join the names of stages for a message, "none" if there are none."""
    return ", ".join(stages) or "none"

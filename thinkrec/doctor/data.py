"""The data sets: raw files, what the stages made of them, running and unfinished stages."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from thinkrec.doctor.finding import Case, Finding, note, ok, problem, split
from thinkrec.layout import Layout
from thinkrec.pipeline import MAKERS, STAGES, named

if TYPE_CHECKING:
    from thinkrec.config.sections import Params
    from thinkrec.config.sources import CustomSource, Source
    from thinkrec.data.formats import RawFormat

GROUP = "data"
_FETCHED = ("demo", "ml1m")
"""Readers whose raw files `thinkrec fetch` brings."""
_KEPT = ("summarize", "synthesize")
"""Stages that keep an endpoint's answers after a good end."""


def raw_files(case: Case) -> Iterator[Finding]:
    """Look for the raw files of each data set, and for the columns that its entry names."""
    for name, source in case.given.datasets.items():
        found = _raw(Layout(name, case.root), source)
        yield found
        if found.state == "ok" and source.reader == "custom" and "://" not in source.raw:
            yield from _columns(case.root, name, source)


def _raw(layout: Layout, source: Source) -> Finding:
    from thinkrec.data.readers import check_files, reader_of
    from thinkrec.errors import ThinkrecError

    name = layout.dataset
    if "://" in source.raw:
        return ok(f"{name}: raw files are remote, and were not looked for")
    own = source.reader in _FETCHED and source.raw == type(source).model_fields["raw"].default
    command = f"thinkrec fetch {source.reader}" if own else None
    try:
        found = check_files(reader_of(source), layout.root / source.raw, source.raw, command)
    except ThinkrecError as error:
        what, remedy = split(str(error))
        repeated = (layout.root / "dvc.yaml").is_file()
        if own and source.reader == "demo" and repeated:
            return ok(f"{name}: {source.raw} is not here; `dvc repro` makes it")
        if link := _dangling(layout.root / source.raw):
            what = f"{link} leads to {link.readlink()}, which is not there"
            remedy = f"put the file back there, or run `ln -sfn FILE {link}` with its new place"
        elif (layout.root / f"{source.raw.rstrip('/')}.dvc").is_file():
            remedy = "run `dvc pull`, which brings it where a remote has it"
        if not layout.interactions.exists():
            return (note if own and source.reader == "demo" else problem)(f"{name}: {what}", remedy)
        if repeated:
            return problem(f"{name}: {what}; prep has run, but `dvc repro` fails without it", remedy)
        return note(f"{name}: {what}; prep has run, so only prep needs it", remedy)
    return ok(f"{name}: raw files are there: {', '.join(found.values())}")


def _dangling(folder: Path) -> Path | None:
    """Return a link to nothing: the folder, or the first of its files that is one; None without any."""
    paths = [folder, *(sorted(folder.iterdir()) if folder.is_dir() else ())]
    return next((path for path in paths if path.is_symlink() and not path.exists()), None)


def _columns(root: Path, name: str, source: CustomSource) -> Iterator[Finding]:
    """Compare the columns that an entry names with those of its files."""
    from thinkrec.data.readers import reader_of
    from thinkrec.errors import DataError

    for raw in reader_of(source).files:
        path = root / source.raw / raw.names[0]
        try:
            with TemporaryDirectory() as spool:
                missing = _missing(raw.format, path, Path(spool))
        except (DataError, UnicodeError) as error:
            of_text = isinstance(error, UnicodeError)
            what = f"{path} can't be read as {source.encoding}: {error}" if of_text else error
            yield problem(f"{name}: {what}", f"correct datasets.{name} in params.yaml, or the file")
            continue
        if missing:
            yield problem(
                f"{name}: {path} has no {', no '.join(missing)}",
                f"correct datasets.{name} in params.yaml, or the file",
            )


def _missing(form: RawFormat, path: Path, spool: Path) -> list[str]:
    """Return the columns that a file's first rows lack.

    Raises:
        DataError: of a table of text, the message names the column; or the file can't be read.
    """
    from thinkrec.data.formats import Csv, JsonLines, Parquet
    from thinkrec.data.look.heads import head_of
    from thinkrec.data.rawcsv import resolve

    if isinstance(form, Csv):
        resolve(path, form.columns, form.dialect, form.separators, own=True)
        return []
    assert isinstance(form, JsonLines | Parquet)
    there = head_of(path, {}, spool).columns
    return [column for column in form.columns if column not in there]


def stages(case: Case) -> Iterator[Finding]:
    """Name the stages that are done, those that the report still needs, and artifacts that can't be used."""
    for name in case.given.datasets:
        layout = Layout(name, case.root)
        wanted = wanted_stages(layout, case.given)
        yield _progress(layout, wanted)
        if journals := sorted((layout.data / ".journals").glob("*.json")):
            yield note(
                f"{name}: a stopped run has written {journals[0].stem} and not put it in place yet",
                f"any command does that, such as `{layout.command('prep')}`; then run this again",
            )
            continue
        yield from _artifacts(layout, wanted, case.given)


def wanted_stages(layout: Layout, params: Params) -> list[tuple[Layout, str]]:
    """List the stages that a data set's reports need, in the order of the pipeline, with their variants."""
    from thinkrec.artifacts.check import inputs_of
    from thinkrec.systems.registry import needs_of_stage

    found: dict[str, tuple[Layout, str]] = {}

    def add(place: Layout, stage: str) -> None:
        if place.own(stage) in found:
            return
        found[place.own(stage)] = place, stage
        for artifact in inputs_of(stage, params, needs_of_stage(params, stage), place.variant):
            name = named(artifact)
            add(layout.of(name.variant or place.variant), MAKERS[name.made])

    add(layout, "evaluate")
    if layout.dataset in params.agents:
        add(layout, "evaluate-agent")
    order = list(STAGES)
    return sorted(found.values(), key=lambda each: order.index(each[1]))


def has_language_model(case: Case) -> bool:
    """Test whether any data set's reports need the language model."""
    return any(
        stage == "backbone"
        for name in case.given.datasets
        for _, stage in wanted_stages(Layout(name, case.root), case.given)
    )


def _progress(layout: Layout, wanted: list[tuple[Layout, str]]) -> Finding:
    done = [place.own(stage) for place, stage in wanted if place.manifest(stage).exists()]
    missing = [(place, stage) for place, stage in wanted if not place.manifest(stage).exists()]
    if not missing:
        return ok(f"{layout.dataset}: all stages are done")
    what = f"{layout.dataset}: done: {', '.join(done) or 'no stage'}; not yet: "
    place, stage = missing[0]
    if not done and (layout.root / "dvc.yaml").is_file():
        pull = "; `dvc pull` brings what a remote has" if (layout.root / "dvc.lock").is_file() else ""
        return note(f"{layout.dataset}: nothing was run yet", f"run `dvc repro`{pull}")
    return note(
        what + ", ".join(place.own(stage) for place, stage in missing),
        f"run `dvc repro`, or begin with `{place.command(stage)}`",
    )


def _artifacts(layout: Layout, wanted: list[tuple[Layout, str]], params: Params) -> Iterator[Finding]:
    """Hold all artifacts against their manifests, and the inputs of each stage against the parameters."""
    with _heard() as warnings:
        faults = dict.fromkeys(_faults(layout, wanted, params))
    for text in faults:
        yield problem(f"{layout.dataset}: {split(text)[0]}", split(text)[1])
    for text in dict.fromkeys(warnings):
        what, _, remedy = text.rpartition("; ")
        yield note(f"{layout.dataset}: {what}", remedy)
    if not faults and not warnings and any(place.manifest(stage).exists() for place, stage in wanted):
        yield ok(f"{layout.dataset}: what the stages made is whole, and fits params.yaml")


def _faults(layout: Layout, wanted: list[tuple[Layout, str]], params: Params) -> Iterator[str]:
    from thinkrec.artifacts.check import check, inputs_of, iter_faults, iter_missing, keys_of
    from thinkrec.errors import MissingInputError, ThinkrecError
    from thinkrec.systems.registry import needs_of_stage

    yield from iter_missing(layout)
    yield from (fault for _, fault in iter_faults(layout, params, (), deep=False) if fault)
    for place, stage in wanted:
        inputs = inputs_of(stage, params, needs_of_stage(params, stage), place.variant)
        try:
            check(place, inputs, params, keys_of(place, stage))
        except MissingInputError:
            continue  # said already: it was removed, or its stage is still to run
        except ThinkrecError as error:
            yield str(error)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect the warnings of the checks instead of showing them."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    log, handler = logging.getLogger("thinkrec.artifacts.check"), Collector()
    log.addHandler(handler)
    passed, log.propagate = log.propagate, False
    try:
        yield found
    finally:
        log.propagate = passed
        log.removeHandler(handler)


def running(case: Case) -> Iterator[Finding]:
    """Name the stages that run now, and what stopped ones left."""
    for name in case.given.datasets:
        layout = Layout(name, case.root)
        held = [path for path in _files(layout.lock("x").parent) if _held(path)]
        for path in held:
            place, stage = layout.run_of(path.name)
            yield note(
                f"`{place.command(stage)}` is running{_holder(path)}",
                "wait until it has ended, or stop it",
            )
        busy = {path.name for path in held}
        for folder in _files(layout.work("x").parent):
            if folder.name not in busy and (found := _unfinished(layout, folder)):
                yield found


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _held(path: Path) -> bool:
    """Test whether another process holds a lock, without changing its file."""
    if not path.is_file():
        return False
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(file)
    return False


def _holder(path: Path) -> str:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return f" as process {said['process']} on {said['machine']}, since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _unfinished(layout: Layout, folder: Path) -> Finding | None:
    """Say what a stopped run of a stage left; None if that is nothing worth a line."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    place, stage = layout.run_of(folder.name)
    done = stage in STAGES and place.manifest(stage).exists()
    if not files or (stage in _KEPT and done):
        return None
    command = place.command(stage if stage in STAGES else "evaluate")
    size = f"{sum(path.stat().st_size for path in files) / 1e6:,.1f} MB"
    steps = _checkpoints(files, folder)
    what = f"{layout.dataset}: a stopped run of {folder.name} left {size}"
    what += f", checkpoints up to step {max(steps)}" if steps else ""
    return note(what, f"`{command}` takes up what fits the parameters of now, and removes the rest")


def _checkpoints(files: Iterable[Path], folder: Path) -> set[int]:
    """Return the steps of checkpoints among files below a folder."""
    names = (part for path in files for part in path.relative_to(folder).parts[:-1])
    steps = (name.removeprefix("checkpoint-") for name in names if name.startswith("checkpoint-"))
    return {int(step) for step in steps if step.isdecimal()}

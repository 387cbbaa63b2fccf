"""A project on the user's own files, for `thinkrec init --from`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from thinkrec.config.names import Encoder
from thinkrec.config.sections import Baselines, Cf, Evaluate, Params, Prep
from thinkrec.config.sources import LeaveOneOutSplit
from thinkrec.data.look import LIMIT, Looked
from thinkrec.data.look.names import without_accents
from thinkrec.data.look.trial import MOST_BAD, allowed, bad_share, try_prep
from thinkrec.data.tables import Interactions, load_user_ids
from thinkrec.errors import ConfigError, DataError
from thinkrec.layout import TAKEN, Layout, name_fault

_OTHERS = {"demo", "ml1m", "wordnet", "minilm"}
"""Names of folders of data/raw that `thinkrec fetch` writes."""
_MIN_WARM_SHARE = 0.1
"""Share of warm rows of valid or test below which `prep` warns."""
USUAL_LIMIT = Prep().max_bad_rows
"""Share of unusable rows that is allowed unless init raises it."""
PLAIN = ("encoders", "gbdt")
"""Systems of the first report: those that need no language model."""
FIRST: tuple[Encoder, ...] = ("mf", "lightgcn", "gsasrec_labels")
"""Encoders of the first report: one of each kind, so that it takes minutes."""


class Plan:
    """A project that may be made.

    Args:
        name: of the data set.
        looked: what was found out about the files.
        facts: of the dry run of `prep`.
        cut: names of files of which it read the beginning.
        limit: share of a file's rows that may be left out as unusable.
        user: raw id of a user of train.
        by_time: the share of warm rows that a split by time has, where another is chosen for that.
    """

    def __init__(
        self, name: str, looked: Looked, facts: dict[str, Any], cut: list[str], limit: float, user: str
    ) -> None:
        self.name, self.looked, self.facts, self.cut = name, looked, facts, cut
        self.limit, self.user = limit, user
        self.by_time: float | None = None

    @property
    def params(self) -> Params:
        """Parameters of the project: reports on few encoders and gbdt at first, of one training each."""
        return Params(
            datasets={self.name: self.looked.source},
            prep=Prep(max_bad_rows=self.limit),
            cf=Cf(seeds=1, models=list(FIRST)),
            baselines=Baselines(seeds=1),
            evaluate=Evaluate(systems=list(PLAIN)),
        )

    @property
    def links(self) -> dict[Path, Path]:
        """Links in the raw folder, and the files that they lead to."""
        return {Path(self.looked.source.raw) / name: path for name, path in self.looked.files.items()}


def tried(looked: Looked, name: str, told: Mapping[str, Any], work: Path, limit: float | None = None) -> Plan:
    """Try `prep` on the user's files; where a split by time leaves hardly any warm rows, by users' last rows.

    Args:
        looked: what was found out about them.
        name: of the data set.
        told: what the user says of the entry; a split that is told stays.
        work: a folder for the tries.
        limit: what the user says of `prep.max_bad_rows`; None: it is raised where usual faults need that.

    Raises:
        DataError: the files can't be used.
    """
    found = _tried(looked, name, work / "by-time", limit)
    if "split" in told or (share := _warm(found.facts)) >= _MIN_WARM_SHARE:
        return found
    split = LeaveOneOutSplit(rule="leave_one_out")
    other = replace(looked, source=looked.source.model_copy(update={"split": split}))
    try:
        again = _tried(other, name, work / "last", found.limit)
    except DataError:  # too few rows of each user
        return found
    if _warm(again.facts) < _MIN_WARM_SHARE:
        return found
    again.by_time = share
    return again


def _tried(looked: Looked, name: str, folder: Path, limit: float | None) -> Plan:
    facts, cut = try_prep(looked, name, folder, MOST_BAD if limit is None else limit)
    if limit is None:
        limit = allowed(facts)
        if bad_share(facts) > limit:
            try_prep(looked, name, folder / "again", limit)  # says why it fails
    layout = Layout(name, folder)
    data = Interactions.load(layout.interactions)
    user = data.user_id[data.rows("train")[-1]]
    return Plan(name, looked, facts, cut, limit, load_user_ids(layout.users)[user])


def limit_of(told: dict[str, Any]) -> float | None:
    """Take `prep.max_bad_rows` out of what the user says; None if it is not there.

    Raises:
        ConfigError: it is no share.
    """
    from pydantic import ValidationError

    given = [told.pop(key) for key in (LIMIT, f"prep.{LIMIT}") if key in told]
    try:
        return Prep.model_validate({LIMIT: given[0]}).max_bad_rows if given else None
    except ValidationError:
        raise ConfigError(f"--set {LIMIT}: must be a share of rows from 0 to 1, not {given[0]}") from None


def _warm(facts: dict[str, Any]) -> float:
    """Return the lower share of warm rows of valid and test."""
    return float(
        min(facts["splits"][each]["warm"] / facts["splits"][each]["rows"] for each in ("valid", "test"))
    )


def parse(settings: Iterable[str]) -> dict[str, Any]:
    """Read settings as YAML does.

    Raises:
        ConfigError: one is not KEY=VALUE, or no YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    told: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write KEY=VALUE, such as rating=stars")
        try:
            told[key.strip()] = _value(YAML(typ="safe", pure=True).load(text), text)
        except YAMLError:
            told[key.strip()] = _value(None, text)
    return told


def _value(value: Any, text: str) -> Any:
    """Choose between what YAML reads and the text itself: a separator or a date is no YAML."""
    if value is None and text.strip() in ("null", "~"):
        return None
    if isinstance(value, bool | int | float | dict) or (text[:1] in ("'", '"') and isinstance(value, str)):
        return value
    return "\t" if text == r"\t" else text


def name_of(name: str | None, path: Path) -> str:
    """Return the data set's name: what the user says, or one made from the file's.

    Raises:
        ConfigError: it can't be one.
    """
    if name is not None:
        return _checked(name)
    plain = without_accents(path.name.partition(".")[0]).casefold()
    stem = re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-_")[:50] or "data"
    return f"my-{stem}" if stem in TAKEN or stem in _OTHERS else stem


def _checked(name: str) -> str:
    if fault := name_fault(name):
        raise ConfigError(f"--name: {fault}")
    if name in _OTHERS:
        raise ConfigError(f"--name: `thinkrec fetch` writes data/raw/{name}; choose another name")
    return name

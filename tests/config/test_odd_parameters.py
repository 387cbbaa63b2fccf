# ruff: noqa: E501, RUF001
"""Careless and hostile values of params.yaml: each is refused by one sentence that names the key."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from thinkrec.config.base import Section
from thinkrec.config.load import parse_params
from thinkrec.config.sections import Params
from thinkrec.config.text import LARGEST
from thinkrec.config.tree import RULES, SOURCES, keys, subsection, yaml_text
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError
from thinkrec.layout import Layout
from thinkrec_cli.main import run

GOOD = params_text(Params())
SEED = "less than or equal to 4000000000"
ENTRY = "datasets:\n  demo:\n"


def bomb(lists: bool) -> str:
    """Eleven lines that stand for ten to the power of ten values."""
    names = "abcdefghijk"
    start = "&a {x: 1}" if not lists else "&a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"
    lines = [f"a: {start}"]
    for before, name in pairwise(names):
        inner = f"[{', '.join([f'*{before}'] * 10)}]"
        lines.append(f"{name}: &{name} " + (inner if lists else f"{{<<: {inner}}}"))
    return "\n".join(lines) + "\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THINKREC_DEBUG", raising=False)
    return tmp_path


def refused(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line says of this params.yaml; within seconds, with exit code 3."""
    Path("params.yaml").write_text(text, encoding="utf-8")
    start = time.monotonic()
    assert run(["prep", "--dataset", "demo"]) == 3
    assert time.monotonic() - start < 20
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: params.yaml")
    assert len(told.err) < 2000
    return told.err


VALUES = [
    ("seed: 7\n", "seed: 4294967294\n", f"seed: must be {SEED}, not 4294967294"),
    ("seed: 7\n", "seed: 4294967295\n", f"seed: must be {SEED}, not 4294967295"),
    ("seed: 7\n", f"seed: {2**64}\n", f"seed: must be {SEED}, not {2**64}"),
    ("seed: 7\n", f"seed: {10**100}\n", "seed: must be less than or equal to 4000000000, not a number of more"),
    ("seed: 7\n", f"seed: {'9' * 5000}\n", "a number has more than 4,300 digits"),
    ("seed: 7\n", "seed: true\n", "seed: must be a valid integer, not true"),
    ("seed: 7\n", "seed: -1\n", "seed: must be greater than or equal to 0, not -1"),
    ("seed: 7\n", "seed: 7.0\n", "seed: must be a valid integer, not 7.0"),
    ("seed: 7\n", "seed: '7'\n", "seed: must be a valid integer, not '7'"),
    ("seed: 7\n", "seed: ٧\n", "seed: must be a valid integer, not ٧"),
    ("seed: 7\n", "seed: !!int x\n", "a value is not what its tag says"),
    ("seed: 7\n", "seed: !!bool x\n", "a value is not what its tag says"),
    ("seed: 7\n", "seed:\n", "seed: must be a valid integer, not null"),
    ("seed: 7\n", "seed: 7\nseed: 8\n", 'found duplicate key "seed"'),
    ("  - mf\n", "  - mf\n  - mf\n", "cf.models: holds mf more than once: name each once"),
    ("systems: [encoders,", "systems: [encoders, encoders,", "evaluate.systems: holds encoders more than once"),
    ("  - popularity\n", "  - popularity\n  - sft\n", "evaluate-agent.systems: holds sft more than once"),
    ("[q_proj, k_proj, v_proj, o_proj]", "[q_proj, v_proj, v_proj]", "global.lora.target_modules: holds v_proj more than once"),
    ("agents: []", "agents: [demo, demo]", "agents: holds demo more than once: name each once"),
    ("agents: []", "agents: [nosuch]", "agents: holds nosuch, which `datasets` does not: it has demo"),
    ("agents: []", "agents: demo", "agents: must be a valid list, not demo"),
    ("    positive_above: 3.0", "    positive_above: '3'", "datasets.demo.positive_above: must be a valid number, not '3'"),
    ("    positive_above: 3.0", "    positive_above: true", "datasets.demo.positive_above: must be a valid number, not true"),
    ("    positive_above: 3.0", "    positive_above: .nan", "datasets.demo.positive_above: must be a finite number, not .nan"),
    ("    positive_above: 3.0", "    positive_above: .inf", "datasets.demo.positive_above: must be a finite number, not .inf"),
    ("    positive_above: 3.0", f"    positive_above: {10**400}", "datasets.demo.positive_above: must be a"),
    ("    min_interactions: 1", f"    min_interactions: {10**30}", "datasets.demo.min_interactions: must be less than or equal to 1000000000"),
    ("    first_day:", "    first_day: 20170101", "datasets.demo.first_day: must be a valid date, not 20170101"),
    ("    first_day:", "    first_day: '٢٠١٧-٠١-٠١'", "datasets.demo.first_day: must be a day such as '2017-10-31'"),
    ("    first_day:", "    first_day: '2017-02-30'", "datasets.demo.first_day: must be a day such as '2017-10-31'"),
    ("valid: 0.1", "valid: true", "datasets.demo.split.valid: must be a valid number, not true"),
    ("  max_memory:", "  max_memory: '٦GB'", "prep.max_memory: must be a size such as 2GB"),
    (" embedding_size: 64", " embedding_size: 1000000000", "cf.encoders.mf.embedding_size: must be less than or equal to 8192, not 1000000000"),
    ("{learning_rate: 0.005", "{learning_rate: 1e308", "cf.encoders.mf.learning_rate: must be less than or equal to 10, not 1.0e+308"),
    ("{learning_rate: 0.005", "{learning_rate: '0.005'", "cf.encoders.mf.learning_rate: must be a valid number, not '0.005'"),
    ("    learning_rate: 0.05", "    learning_rate: 1e308", "baselines.gbdt.learning_rate: must be less than or equal to 10"),
    ("  reasoning_share: 0.5", "  reasoning_share: 0.9999999", "loss.reasoning_share: must be from 0 to 0.99, or 1"),
    ("  temperature: 0.1", "  temperature: 1e-320", "gate.temperature: must be greater than or equal to 0.01"),
    ("  history_labels: true", "  history_labels: 1", "prompt.history_labels: must be a valid boolean, not 1"),
    ("  history_labels: true", "  history_labels: 'yes'", "prompt.history_labels: must be a valid boolean, not 'yes'"),
    ("  users: 100", "  users: 1000000\n", "demo: users times items must be at most 100,000,000"),
    ("  model: smollm2", "  model: ''", "backbone.model: must be text on one line"),
    ("  model: smollm2", '  model: "a\\nb"', "backbone.model: must be text on one line"),
    ("  model: smollm2", '  model: "a\\0b"', "backbone.model: must be text on one line"),
    ("  model: smollm2", f"  model: {'m' * 5000}", "backbone.model: must have at most 4096 characters"),
    ("key_variable: OPENAI_API_KEY", "key_variable: sk-MARK", "key_variable: must be the name of the environment variable"),
    ("key_variable: OPENAI_API_KEY", "key_variable: [sk-MARK]", "key_variable: must be a valid string"),
    ("base_url: http:", "base_url: [sk-MARK]  #", "base_url: must be a valid string"),
    (ENTRY, ENTRY.replace("demo", "raw"), "datasets.raw: data set name 'raw': data/raw holds the raw files"),
    (ENTRY, ENTRY.replace("demo", "bench"), "datasets.bench: data set name 'bench': reports/bench holds"),
    (ENTRY, ENTRY.replace("demo", "Demo"), "datasets.Demo: data set name 'Demo': use lower-case letters"),
    (ENTRY, ENTRY.replace("demo", ".work"), "datasets..work: data set name '.work': use lower-case letters"),
    (ENTRY, ENTRY.replace("demo", "a" * 256), "use lower-case letters, digits, underscores and hyphens only"),
    (ENTRY, ENTRY.replace("demo", "d٣"), "datasets.d٣: data set name 'd٣': use lower-case letters"),
    (ENTRY, ENTRY.replace("demo", '"a\\e[31m"'), r"data set name 'a\x1b[31m'"),
    ("raw: data/raw/demo\n    watch: data/raw/demo", "raw: data/demo\n    watch: data/demo", "datasets.demo.raw: data/demo overlaps data/demo"),
    ("raw: data/raw/demo\n    watch: data/raw/demo", "raw: .\n    watch: .", "datasets.demo.raw: . overlaps data/demo"),
    ("raw: data/raw/demo\n    watch: data/raw/demo", "raw: ''\n    watch: ''", "datasets.demo.raw: must be text on one line"),
    ("extra_body: {}", "extra_body: {a: &x [*x]}", "nested too deep, or its aliases repeat too much"),
    ("extra_body: {}", f"extra_body: {{a: {'[' * 60}{']' * 60}}}", "nested too deep"),
    ("extra_body: {}", f"extra_body: {{a: {'[' * 3000}{']' * 3000}}}", "nested too deep"),
    ("prep:\n", f"prep:\n  {'k' * 900}: 1\n", "no such key"),
    ("agents: []", f"agents: [{'1, ' * 5000}]", "and 4,980 more"),
]  # fmt: skip
TEXTS = [
    (bomb(lists=True), "its aliases repeat too much: at most 50 levels and 100,000 values"),
    (bomb(lists=False), "its aliases repeat too much: at most 50 levels and 100,000 values"),
    (GOOD + bomb(lists=True), "its aliases repeat too much"),
    ("[" * 100_000, "nested too deep, or its aliases repeat too much"),
    ("- " * 100_000, "nested too deep, or its aliases repeat too much"),
    ("{a: " * 50_000, "nested too deep, or its aliases repeat too much"),
    ("&a [*a]", "nested too deep, or its aliases repeat too much"),
    ("a: *nosuch", "found undefined alias 'nosuch'"),
    ("a: !!python/name:os.system", "could not determine a constructor for the tag"),
    ("? {a: 1}\n: 2", "is not valid YAML"),
    ("a: 1\n---\nb: 2", "found another document"),
    ("%YAML 9.9\n---\na: 1", "is not valid YAML"),
    ("\0", "is not valid YAML"),
    ("\x1b[31m", "is not valid YAML"),
    ("# " + "x" * LARGEST, "has more than 1,000,000 bytes"),
]


@pytest.mark.parametrize(("old", "new", "words"), VALUES, ids=[new.strip()[:40] for _, new, _ in VALUES])
def test_a_value_that_can_not_be(
    project: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: str
) -> None:
    assert old in GOOD
    said = refused(GOOD.replace(old, new, 1), capsys)
    assert words in said
    assert "MARK" not in said
    assert all(sign.isprintable() or sign == "\n" for sign in said)


@pytest.mark.parametrize(("text", "words"), TEXTS, ids=[words[:40] for _, words in TEXTS])
@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.ReusedAnchorWarning")
def test_a_text_that_can_not_be(
    project: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    assert words in refused(text, capsys)


CUSTOM = "raw: files, watch: files, reader: custom"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("ratings: ..", "ratings: must be the name of a file in the raw folder"),
        ("ratings: a/b.csv", "ratings: must be the name of a file in the raw folder"),
        ("ratings: ''", "ratings: must be text on one line"),
        (f"ratings: {'r' * 300}", "ratings: must be the name of a file in the raw folder"),
        ("items: 5", "items: must be a valid string, not 5"),
        ("user: ''", "user: must have at least 1 character"),
        ('user: "a\\0"', "user: must match pattern"),
        ("user: true", "user: must be a valid string, not true"),
        ("min_rating: '1'", "min_rating: must be a valid number, not '1'"),
        ("min_rating: .nan", "min_rating: must be a finite number, not .nan"),
        ("header: 0", "header: must be a valid boolean, not 0"),
        ("encoding: nosuch", "encoding: nosuch is no encoding of text"),
        ("split: {rule: random, seed: true}", "split.seed: must be a valid integer, not true"),
        (f"split: {{rule: random, seed: {2**32}}}", f"split.seed: must be {SEED}"),
        (
            f"split: {{rule: months, test: {{first: 29, last: {10**12}}}}}",
            "split.test.last: must be less than",
        ),
        ("split: {rule: date, train_until: 0}", "split.train_until: must be a valid date, not 0"),
    ],
)
def test_an_entry_that_can_not_be(
    project: Path, capsys: pytest.CaptureFixture[str], entry: str, words: str
) -> None:
    text = GOOD.replace("datasets:\n", f"datasets:\n  mine: {{{CUSTOM}, {entry}}}\n", 1)
    assert f"datasets.mine.{words}" in refused(text, capsys)


@pytest.mark.parametrize("name", ["raw", "bench", "a" * 256, "../x", "", "Demo", "a b", "a\n", "d٣", "a\0"])
@pytest.mark.parametrize("command", ["prep", "cf", "evaluate", "stats", "search", "audit"])
def test_a_data_sets_name_on_the_command_line(
    project: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    Path("params.yaml").write_text(GOOD, encoding="utf-8")
    assert run([command, "--dataset", name]) == 3
    said = capsys.readouterr().err
    assert "data set name" in said or "names no data set" in said
    assert said.count("\n") == 1
    assert len(said) < 400


def numbers(section: type[Section], prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted keys of all numbers below a section."""
    found = []
    for key, field in keys(section).items():
        inner = subsection(field)
        if inner is not None:
            found += numbers(inner, f"{prefix}{key}.")
        elif {int, float} & {field.annotation, *get_args(field.annotation)}:
            found.append((f"{prefix}{key}", field))
    return found


FREE = {"positive_above", "min_rating", "max_rating"}
"""Ratings, which may be any finite numbers."""


@pytest.mark.parametrize("section", [Params, *SOURCES.values(), *RULES.values()])
def test_every_number_has_bounds_and_takes_no_other_kind(section: type[Section]) -> None:
    """So that a new key can't be without."""
    found = numbers(section)
    unbounded = [key for key, field in found if field.annotation is not float or key not in FREE
                 if not {"Le", "Lt"} & {type(each).__name__ for each in field.metadata}
                 and not re.search(r"Le\(|le=", repr(field.annotation))]  # fmt: skip
    assert [key for key in unbounded if key.rpartition(".")[2] not in FREE] == []
    if section is not Params:
        return
    assert len(found) > 90
    for key, _ in found:
        for value in (True, "1", "", [], 10**30, -(10**30), float("inf"), float("nan")):
            given: Any = value
            for part in reversed(key.split(".")):
                given = {part: given}
            with pytest.raises(ValueError, match=re.escape(key.split(".")[0])):
                Params.model_validate(given)


def test_what_is_large_but_sensible_is_taken() -> None:
    params = parse_params(
        GOOD.replace("seed: 7\n", "seed: 4000000000\n", 1)
        .replace(" embedding_size: 64", " embedding_size: 4096", 1)
        .replace("  epochs: 200", "  epochs: 100000", 1)
        .replace("  max_tokens: 1024", "  max_tokens: 131072", 1)
        .replace("    positive_above: 3.0", "    positive_above: 3", 1)
        .replace("agents: []", "agents: [demo]", 1)
    )
    assert (params.seed, params.cf.encoders.mf.embedding_size, params.agents) == (
        4_000_000_000,
        4096,
        ["demo"],
    )
    assert parse_params(params_text(params)) == params


def test_aliases_may_be_used_with_measure() -> None:
    text = GOOD.replace("    mf_no_biases: {", "    mf_no_biases: &other {", 1)
    start = text.index("    lightgcn: {")
    end = text.index("    sasrec: {")
    params = parse_params(f"{text[:start]}    lightgcn: *other\n{text[end:]}")
    assert params.cf.encoders.lightgcn == params.cf.encoders.mf_no_biases


def test_the_largest_seed_is_one_for_every_library() -> None:
    import numpy as np
    from sklearn.utils import check_random_state

    last = 4_000_000_000 + 1000
    check_random_state(last)
    np.random.default_rng(last)


def test_layout_refuses_what_params_refuses() -> None:
    with pytest.raises(ConfigError, match="data/raw holds the raw files"):
        Layout("raw")
    assert Layout("a" * 64).data.name == "a" * 64
    assert yaml_text("raw") == "raw"

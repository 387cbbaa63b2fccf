import json
import re
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from thinkrec.config.load import dataset_source, load_params, parse_params
from thinkrec.config.names import ENCODERS
from thinkrec.config.problems import entry_fault, later_at_odds
from thinkrec.config.sections import Params
from thinkrec.config.sources import CustomSource, DemoSource
from thinkrec.config.write import params_text
from thinkrec.errors import ConfigError
from thinkrec.layout import name_fault

ROOT = Path(__file__).parents[2]
GOOD = params_text(Params())
PROTOCOLS, CHOOSE_BY = "protocols: [frozen]", "choose_by: frozen"


def said(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_params(text)
    return str(caught.value)


def changed(*pairs: tuple[str, str]) -> str:
    text = GOOD
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def test_committed_params_are_the_defaults_and_up_to_date() -> None:
    """But for what searches chose."""
    params = load_params(ROOT / "params.yaml")
    assert params == Params(tuned=params.tuned)
    assert (ROOT / "params.yaml").read_text(encoding="utf-8") == params_text(params), (
        "run `python -m thinkrec.config.write params.yaml`"
    )


def test_protocols_are_read_in_their_order_the_headlines_first() -> None:
    params = parse_params(GOOD)
    assert params.evaluate.protocols == ["frozen"] and params.evaluate.headline == "frozen"
    assert params.choose_by == "frozen"
    params = parse_params(changed((PROTOCOLS, "protocols: [train, rolling, frozen]"),
                                  (CHOOSE_BY, "choose_by: rolling")))  # fmt: skip
    assert params.evaluate.protocols == ["train", "rolling", "frozen"] and params.evaluate.headline == "train"
    assert params.choose_by == "rolling"


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/v1", "http://h:port/v1", "http://h:99999/v1", "http://h:0/v1",
        "ftp://h/v1", "127.0.0.1:8000/v1", "localhost", "http:///v1", "http://a..b/v1",
        f"http://{'a' * 64}.org/v1",
        "http://a b/v1", "http://h/v1#x", "http://h/\u202ev1", "",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_one_sentence(url: str) -> None:
    text = changed(("base_url: http://127.0.0.1:8000/v1", f"base_url: {json.dumps(url)}"))
    assert said(text) == (
        "params.yaml has 1 error:\n  endpoint.base_url: must be an address such as "
        "http://127.0.0.1:8000/v1: http or https, a host, a port or none, the version"
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1]:8000/v1", "https://h.org./v1/", "HTTPS://user:p%40ss@h.org/v1?api-key=k&api-version=1",
        "http://vllm_1:8000/v1", "http://bücher.example/v1",
    ],
)  # fmt: skip
def test_addresses(url: str) -> None:
    text = changed(("base_url: http://127.0.0.1:8000/v1", f"base_url: {json.dumps(url)}"))
    assert parse_params(text).summarize.endpoint.base_url == url


def test_a_key_in_the_place_of_its_variables_name_is_not_repeated() -> None:
    text = changed(("key_variable: OPENAI_API_KEY", "key_variable: sk-proj-1234567890"))
    assert said(text) == (
        "params.yaml has 1 error:\n  endpoint.key_variable: must be the name of the environment "
        "variable that holds the key, not the key"
    )


def test_all_errors_are_told_at_once() -> None:
    text = changed(
        ("seed: 7\n", "seed: x\n"),
        ("  history_labels: true", "  history_labels: maybe"),
        ("    mf: {", "    mff: {"),
        ("    rank: 16", "    rnk: 8"),
        ("    alpha: 32", "    alpha: -1"),
        ("  method: ward", "  method: wardd"),
        ("concentrated: [0.5, 0.6]", "concentrated: [0.6]"),
    )
    assert said(text).splitlines() == [
        "params.yaml has 9 errors:",
        "  seed: must be a valid integer, not x",
        "  prompt.history_labels: must be a valid boolean, not maybe",
        "  gate.concentrated.1: is missing",
        "  cf.encoders.mff: no such key; did you mean `cf.encoders.mf`?",
        "  global.lora.alpha: must be greater than or equal to 1, not -1",
        "  global.lora.rnk: no such key; did you mean `global.lora.rank`?",
        "  cluster.method: must be 'ward' or 'kmeans', not wardd",
        "  cf.encoders.mf: the section is missing",
        "  global.lora.rank: is missing; its default is 16",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("  epochs: 200", "  epoch: 200\n  epochs: 200", "cf.epoch: no such key; did you mean `cf.epochs`?"),
        (
            "  groups: 2",
            "  groups: 2\n  rank: 8",
            "cluster.rank: no such key; did you mean `global.lora.rank`?",
        ),
        (
            "  groups: 2",
            "  groups: 2\n  qqq: 8",
            "cluster.qqq: no such key; known here: encoder, method, groups",
        ),
        ("\nprep:\n", "\nprepp:\n", "prepp: no such key; did you mean `prep`?"),
        (PROTOCOLS, "protocols: []", "evaluate.protocols: must have at least 1 item, not []"),
        (
            PROTOCOLS,
            "protocols: [rolling, frozen, rolling]",
            "evaluate.protocols: holds rolling more than once: name each once",
        ),
        (
            PROTOCOLS,
            "protocols: [frozen, future]",
            "evaluate.protocols.1: must be 'frozen', 'rolling' or 'train', not future",
        ),
        (PROTOCOLS, "protocols: rolling", "evaluate.protocols: must be a valid list, not rolling"),
        (CHOOSE_BY, "choose_by: valid", "choose_by: must be 'frozen', 'rolling' or 'train', not valid"),
        (
            CHOOSE_BY,
            "choose_by: [frozen, rolling]",
            "choose_by: must be 'frozen', 'rolling' or 'train', not [frozen, rolling]",
        ),
        (CHOOSE_BY, "", "choose_by: is missing; its default is frozen"),
        (
            "  history_length: 20",
            "  history_length: 20\n  history: rolling",
            "prompt.history: no such key; it is now `evaluate.protocols`, a list, and `choose_by` for what "
            "valid chooses",
        ),
        ("  epochs: 200", "", "cf.epochs: is missing; its default is 200"),
        ("  epochs: 200", "  epochs: 2.5", "cf.epochs: must be a valid integer, not 2.5"),
        (
            "  dropout: 0.0",
            "  dropout: 1.5",
            "global.lora.dropout: must be less than or equal to 1, not 1.5",
        ),
        (
            "reader: demo",
            "reader: dmo",
            "datasets.demo.reader: must be demo, ml1m, yelp, book or custom, not dmo",
        ),
        ("    reader: demo\n", "", "datasets.demo: has no `reader`: demo, ml1m, yelp, book or custom"),
        ("    raw: data/raw/demo\n", "", "datasets.demo.raw: is missing: the folder of the raw files"),
        (
            "    watch: data/raw/demo\n",
            "",
            "datasets.demo.watch: is missing: what DVC watches, to run prep again; here "
            "`watch: data/raw/demo`",
        ),
        (
            "    watch: data/raw/demo\n",
            "    watch: thinkrec/data\n",
            "datasets.demo.watch: must be the raw folder, data/raw/demo, where that is local, "
            "not thinkrec/data",
        ),
        (
            "  without_tools: true",
            "  off: true",
            "evaluate-agent.off: no such key; it is now `evaluate-agent.without_tools`",
        ),
        (
            "  without_tools: true",
            "  false: true",
            "evaluate-agent.false: no such key; if it was `off`, which YAML 1.1 tools such as PyYAML read as "
            "false, it is now `evaluate-agent.without_tools`",
        ),
        (
            "\ndatasets:",
            "\ndatasets:\n  false: {reader: demo, raw: a, watch: a}",
            "datasets.false: a key must be text; YAML 1.1 tools such as PyYAML read `off`, `no`, `on` and "
            "`yes` as true or false: write it in quotes",
        ),
        (
            "\ndatasets:",
            "\ndatasets:\n  2018: {reader: demo, raw: a, watch: a}",
            "datasets.2018: a key must be text: write it in quotes",
        ),
        ("  groups: 2", "  groups: 2\n  5: 3", "cluster.5: a key must be text: write it in quotes"),
        (
            "    min_interactions: 1",
            "    min_interaction: 1",
            "datasets.demo.min_interaction: no such key; did you mean `datasets.demo.min_interactions`?",
        ),
        (
            "    min_interactions: 1",
            "    more_than: 0",
            "datasets.demo.more_than: no such key; it is now `datasets.demo.min_interactions`, and its value "
            "is higher by one",
        ),
    ],
)
def test_wording(old: str, new: str, line: str) -> None:
    assert f"  {line}" in said(changed((old, new))).splitlines()


def test_months_of_a_data_set_are_checked_under_its_own_name() -> None:
    split = "{rule: months, train: {first: 3, last: 1}, tst: {}}"
    entry = f"\n  films: {{reader: ml1m, raw: data/raw/films, watch: data/raw/films, split: {split}}}"
    assert said(changed(("\ndatasets:", f"\ndatasets:{entry}"))).splitlines() == [
        "params.yaml has 2 errors:",
        "  datasets.films.split.train: first (3) comes after last (1)",
        "  datasets.films.split.tst: no such key; did you mean `datasets.films.split.test`?",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"split": {"rule": "bad"}},
            "split.rule: must be months, date, share, leave_one_out or random, not bad",
        ),
        ({"split": {"rule": "date"}}, "split.train_until: is missing"),
        ({"split": {"rule": "share", "valid": 2}}, "split.valid: must be less than or equal to 1, not 2"),
        ({"positive_above": "x"}, "positive_above: must be a valid number, not x"),
        ({"label": "z"}, "name one column, `rating` or `label`, and set the other to null"),
        ({"splt": 1}, "splt: no such key; did you mean `split`?"),
    ],
)
def test_an_entry_alone_is_named_by_its_own_keys(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CustomSource.model_validate({"reader": "custom", "raw": "x", "watch": "x", **given})
    assert entry_fault(caught.value) == said


def test_splits_and_days_of_a_data_set_are_checked() -> None:
    def of(entry: str) -> list[str]:
        return said(
            changed(
                ("\ndatasets:", f"\ndatasets:\n  mine: {{raw: s3://a/mine, watch: thinkrec/data, {entry}}}")
            )
        ).splitlines()[1:]

    assert of("reader: ml1m, split: {rule: months, valid: {first: 3, last: 25}}") == [
        "  datasets.mine.split: valid starts with month 3, but train ends with month 23; it must end before"
    ]
    assert of("reader: yelp, split: {rule: date}") == ["  datasets.mine.split.train_until: is missing"]
    assert of("reader: yelp, split: {rule: weeks}") == [
        "  datasets.mine.split.rule: must be months, date, share, leave_one_out or random, not weeks"
    ]
    assert of("reader: book, split: {}") == [
        "  datasets.mine.split: has no `rule`: months, date, share, leave_one_out or random"
    ]
    assert of("reader: book, last_day: '2016-01-01'") == [
        "  datasets.mine: first_day (2017-01-01) comes after last_day (2016-01-01)"
    ]
    assert of("reader: book, first_day: 2017-01-01") == [
        "  datasets.mine.first_day: write the date in quotes, '2017-01-01': DVC reads no bare dates"
    ]
    assert of("reader: book, split: {rule: random, valid: 0.5, test: 0.5}") == [
        "  datasets.mine.split: valid (0.5) and test (0.5) leave no rows to train on"
    ]
    assert of("reader: custom, label: clicked") == [
        "  datasets.mine: name one column, `rating` or `label`, and set the other to null"
    ]
    assert of("reader: book, category: ../x") == [
        "  datasets.mine.category: must match pattern '^[A-Za-z0-9_]+$', not ../x"
    ]


@pytest.mark.parametrize("size", ["500MB", "2 G", "99999TB", "all"])
def test_memory_that_is_no_size_or_too_little(size: str) -> None:
    assert said(changed(("  max_memory:", f"  max_memory: {size}"))).splitlines()[1:] == [
        f"  prep.max_memory: must be a size such as 2GB, from 600MB to 9999TB, or null, not {size}"
    ]


def test_a_day_that_no_month_has() -> None:
    assert said("datasets:\n  a: {last_day: 2024-09-31}\n") == (
        "params.yaml: day is out of range for month: a date, such as '2017-10-31', is written in quotes"
    )


def test_a_missing_section_and_a_section_that_is_none() -> None:
    start, end = GOOD.index("# Groups of users."), GOOD.index("# A LoRA for each group")
    assert "  cluster: the section is missing" in said(GOOD[:start] + GOOD[end:]).splitlines()
    assert (
        "  cluster: must be a section, with keys of its own"
        in said(GOOD[:start] + "cluster: 3\n" + GOOD[end:]).splitlines()
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "seed: 1\nprep: [1",
            "params.yaml is not valid YAML: line 2: expected ',' or ']', but got '<stream end>'",
        ),
        (
            "seed: 1\nseed: 2",
            'params.yaml is not valid YAML: line 2: found duplicate key "seed" with value "2" '
            '(original value: "1")',
        ),
    ],
)
def test_text_that_is_no_params_at_all(text: str, line: str) -> None:
    assert said(text) == line


@pytest.mark.parametrize("text", ["", "- a"])
def test_a_file_without_sections_comes_back_from_where_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    for git, remedy in (
        (None, "take the params.yaml of a new project, which `thinkrec init FOLDER` makes"),
        ("init", "take the params.yaml of a new project, which `thinkrec init FOLDER` makes"),
        ("add", "run `git checkout params.yaml`"),
    ):
        if git:
            subprocess.run(["git", git, "."], cwd=tmp_path, check=True, capture_output=True)
        with pytest.raises(ConfigError) as caught:
            load_params(path)
        assert str(caught.value) == f"params.yaml holds no sections such as `prep:`: {remedy}"


def test_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_params(tmp_path / "params.yaml")
    assert str(caught.value) == (
        f"there is no params.yaml in {tmp_path}: run thinkrec in the project's root, the folder that holds it"
    )


def test_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes("# é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"^params.yaml is not UTF-8 text \(byte 2\): save it as UTF-8$"):
        load_params(tmp_path / "params.yaml")


def test_source_of_a_data_set() -> None:
    assert dataset_source(Params(), "demo") == DemoSource(reader="demo")
    with pytest.raises(ConfigError) as caught:
        dataset_source(Params(), "book")
    assert str(caught.value) == (
        "params.yaml names no data set `book` (known: demo); add it under `datasets:` with its reader and "
        "folder, for example `book: {reader: ml1m, raw: data/raw/book, watch: data/raw/book}`"
    )


def test_the_entries_that_the_page_of_data_sets_shows_can_be_used() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    entries = "".join(blocks).replace("datasets:\n", "")
    params = parse_params(GOOD.replace("datasets:\n", f"datasets:\n{entries}", 1))
    assert set(params.datasets) == {"demo", "ml1m", "yelp", "book", "ml-100k", "mine"}


def test_an_endpoints_fields_may_be_left_out_renamed_and_added() -> None:
    text = changed(
        ("  temperature: 0.6  #", "  temperature:  #"),
        ("  max_tokens_field: max_tokens  #", "  max_tokens_field: max_completion_tokens  #"),
        ("  seed_field: seed  #", "  seed_field:  #"),
        (
            "  extra_body: {}  #",
            "  extra_body: {chat_template_kwargs: {enable_thinking: false}, top_k: 5}  #",
        ),
    )
    params = parse_params(text)
    endpoint = params.summarize.endpoint
    assert (endpoint.temperature, endpoint.max_tokens_field, endpoint.seed_field) == (
        None, "max_completion_tokens", None,
    )  # fmt: skip
    assert endpoint.extra_body == {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 5}
    assert params_text(params) == text


def test_what_an_endpoints_fields_may_not_be() -> None:
    assert said(
        changed(
            ("  max_tokens_field: max_tokens  #", "  max_tokens_field: tokens  #"),
            ("  seed_field: seed  #", "  seed_field: zeed  #"),
            ("  extra_body: {}  #", "  extra_body: {seed: 5, stream: true, top_k: 1}  #"),
        )
    ).splitlines() == [
        "params.yaml has 3 errors:",
        "  endpoint.max_tokens_field: must be 'max_tokens' or 'max_completion_tokens', not tokens",
        "  endpoint.seed_field: must be 'seed' or 'random_seed', not zeed",
        "  endpoint.extra_body: seed, stream can't be set here: the request has its own",
    ]
    for wrong in ("{a: .nan}", "{a: 2020-01-01}", "[a]", "x"):
        assert "  endpoint.extra_body" in said(changed(("  extra_body: {}  #", f"  extra_body: {wrong}  #")))


UNTRAINED = "is not among `cf.models` (mf), so that no stage trains it"
ONLY_MF = Params.model_validate(
    {"agents": ["demo"], "cf": {"models": ["mf"]}, "evaluate": {"systems": [*ENCODERS, "encoders"]}}
)
SYSTEMS = [f"evaluate.systems: `{name}` {UNTRAINED}" for name in ENCODERS if name != "mf"]
GROUPED = f"cluster.encoder: `lightgcn` {UNTRAINED}"
NEAR = f"agent.encoder: `lightgcn` {UNTRAINED}"
RANKED = f"evaluate-agent.systems: `sasrec` {UNTRAINED}"


@pytest.mark.parametrize(
    ("stage", "lines"),
    [
        *((name, []) for name in ("prep", "summarize", "synthesize", "backbone", "cf", "global", "experts")),
        ("cluster", [GROUPED]),
        ("projector", [GROUPED]),
        ("evaluate", SYSTEMS),
        ("agent-sft", [NEAR]),
        ("evaluate-agent", [GROUPED, NEAR, RANKED]),
    ],
)
def test_an_encoder_that_nothing_trains_stops_only_the_stages_that_use_it(
    tmp_path: Path, stage: str, lines: list[str]
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(params_text(ONLY_MF), encoding="utf-8")
    assert load_params(path) == ONLY_MF
    if not lines:
        assert load_params(path, stage) == ONLY_MF
        return
    with pytest.raises(ConfigError) as caught:
        load_params(path, stage)
    assert str(caught.value).splitlines()[1:] == [f"  {line}" for line in lines]


def test_what_later_stages_will_refuse() -> None:
    assert later_at_odds(ONLY_MF, "demo") == [GROUPED, *SYSTEMS, NEAR, RANKED]
    assert later_at_odds(ONLY_MF, "ml1m") == [GROUPED, *SYSTEMS]
    assert later_at_odds(Params(agents=["demo"]), "demo") == []


RISKY = ["off", "no", "on", "Yes", "y", "12:30", "2018-01-01", "1_000", "=", "~", ""]


def test_other_yaml_tools_may_save_params_yaml() -> None:
    """Keys and values that YAML 1.1 takes for something else, too: data sets, columns and floats."""
    yaml = pytest.importorskip("yaml")
    source = {"reader": "custom", "raw": "a", "watch": "a", "first_day": "2018-01-01", "item": "null"}
    columns = {f"c{place}": name or "x" for place, name in enumerate(RISKY)}
    names = {name: name for name in RISKY if name_fault(name) is None}
    assert {"off", "no", "on", "y", "2018-01-01", "1_000"} == set(names)
    params = Params.model_validate(
        {
            "datasets": {name: {**source, "user": user} for name, user in (columns | names).items()},
            "agents": list(names),
            "tuned": {"off": {"cf": {"mf": {"weight_decay": 1e-7}}}},
            "global": {"learning_rate": 4e-5},
            "evaluate": {"systems": ["mf"]},
        }
    )
    for one in (Params(), params, load_params(ROOT / "params.yaml")):
        text = params_text(one)
        assert parse_params(text) == one
        given = yaml.safe_load(text)
        assert given == YAML(typ="safe", pure=True).load(text)
        assert parse_params(yaml.safe_dump(given)) == one

"""`thinkrec init --from`: a project on the user's own files, whole or not at all."""

from __future__ import annotations

import os
import pty
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from thinkrec.config.load import load_params
from thinkrec.config.names import ENCODERS
from thinkrec.config.sections import Tuned
from thinkrec.layout import Layout
from thinkrec_cli import project
from thinkrec_cli.main import run
from thinkrec_cli.own import name_of, parse
from thinkrec_cli.pipeline import edition, project_pipeline

PLAIN = ["prep", "cf", "baselines", "evaluate"]


def events(place: Path, count: int = 600, name: str = "events.csv", header: bool = True) -> Path:
    """A file of interactions in which users come again."""
    draw = random.Random(7)
    lines = ["userId,movieId,rating,timestamp"] if header else []
    for n in range(count):
        user, item = draw.randrange(25), draw.randrange(40)
        lines.append(
            f"u{user},i{item},{min(5, max(1, item % 5 + draw.randrange(2)))},{1_600_000_000 + n * 900}"
        )
    path = place / name
    path.write_text("\n".join(lines) + "\n")
    return path


def films(place: Path) -> Path:
    path = place / "films.tsv"
    path.write_text("id\ttitle\tgenres\n" + "".join(f"i{n}\tFilm number {n}\tDrama|War\n" for n in range(40)))
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield tmp_path


def stage_names(folder: Path) -> list[str]:
    return list(YAML(typ="safe").load(folder / "dvc.yaml")["stages"])


def test_init_makes_a_project_on_the_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratings, items = events(place), films(place)
    assert run(["init", "mine", "--from", "events.csv", "--items", "films.tsv"]) == 0
    params = load_params(place / "mine" / "params.yaml", stage="evaluate")
    assert list(params.datasets) == ["events"] and params.tuned == {"events": Tuned()}
    source: Any = params.datasets["events"]
    assert (source.raw, source.watch, source.ratings, source.items) == (
        "data/raw/events", "data/raw/events", "events.csv", "films.tsv",
    )  # fmt: skip
    assert (source.user, source.item, source.rating, source.time) == (
        "userId",
        "movieId",
        "rating",
        "seconds",
    )
    assert params.evaluate.systems == ["encoders", "gbdt"] and params.prep.max_bad_rows == 0.05
    assert params.cf.models == ["mf", "lightgcn", "gsasrec_labels"]
    raw = place / "mine" / "data" / "raw" / "events"
    assert {path.name: path.resolve() for path in raw.iterdir()} == {
        "events.csv": ratings,
        "films.tsv": items,
    }
    assert stage_names(place / "mine") == ["code", *PLAIN]
    said = capsys.readouterr().out
    for line in (
        "events.csv: columns between commas, a header, UTF-8, 600 rows",
        "films.tsv: columns between tabs, a header, UTF-8, 40 rows",
        "- values from 1 to 5 are ratings: above 3 is a like",
        "dry run of prep: events.csv: 600 of 600 rows can be used",
        "mine is a project with the data set events; data/raw/events there links to your files where they "
        "are: `dvc repro` fails once they are moved; --copy copies them instead.",
        "  thinkrec recommend --dataset events --user u",
        "To share the project, copy the files into data/raw/events and run `dvc add data/raw/events`.",
        "  cd mine\n  dvc repro\n",
        "  thinkrec preset laptop\n  thinkrec init --upgrade .\n  dvc repro\n",
    ):
        assert line in said
    assert "2020-09-13 12:26:40 UTC" in said and "Film number 0" in said
    assert sorted(path.name for path in place.iterdir()) == ["events.csv", "films.tsv", "mine"]


def test_the_first_report_needs_no_language_model_and_one_step_adds_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    events(place)
    films(place)
    assert run(["init", "mine", "--from", "events.csv", "--items", "films.tsv"]) == 0
    monkeypatch.chdir(place / "mine")
    plain = edition(language=False)
    assert plain != edition() and f"thinkrec code --edition {plain}" in Path("dvc.yaml").read_text()
    assert run(["code", "--edition", plain]) == 0
    assert run(["prep", "--dataset", "events"]) == 0
    assert Layout("events").interactions.is_file()
    assert run(["preset", "laptop"]) == 0
    capsys.readouterr()
    assert run(["code", "--edition", plain]) == 3
    assert capsys.readouterr().err == (
        "error: dvc.yaml has no stages for the language model, which `evaluate.systems` or `agents` of "
        "params.yaml asks for: run `thinkrec init --upgrade .` to regenerate it\n"
    )
    assert run(["init", "--upgrade", "."]) == 0
    assert Path("dvc.yaml").read_text() == project_pipeline()
    assert load_params().cf.models == list(ENCODERS)
    assert list(load_params().datasets) == ["events"] and load_params().evaluate.systems[-1] == "variants"
    assert run(["code", "--edition", edition()]) == 0


def test_upgrade_leaves_out_the_language_model_where_params_do(place: Path) -> None:
    assert run(["init", "mine"]) == 0
    params = place / "mine" / "params.yaml"
    params.write_text(
        params.read_text().replace("systems: [encoders, gbdt, variants]", "systems: [mf, gbdt]")
    )
    assert run(["init", "--upgrade", "mine"]) == 0
    assert stage_names(place / "mine") == ["code", *PLAIN]
    assert (place / "mine" / "dvc.yaml").read_text() == project_pipeline(language=False)
    params.write_text("seed: 8\n")  # of another version: what was there stays
    assert run(["init", "--upgrade", "mine"]) == 0
    assert stage_names(place / "mine") == ["code", *PLAIN]


def test_settings_and_names(place: Path) -> None:
    events(place, header=False, name="Meine Käufe 2024.csv")
    words = ["--name", "own-1", "--set", "positive_above=4", "--set", "user=2", "--set", "item=1"]
    words += ["--set", "min_interactions=2", "--set", "split={rule: random}", "--set", "first_day=2020-09-13"]
    assert run(["init", "mine", "--from", "Meine Käufe 2024.csv", *words]) == 0
    source: Any = load_params(place / "mine" / "params.yaml").datasets["own-1"]
    assert (source.user, source.item, source.positive_above) == ("2", "1", 4)
    assert (source.min_interactions, source.split.rule, str(source.first_day)) == (2, "random", "2020-09-13")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("events.csv.gz", "events"), ("Käufe 2024.csv", "kaufe-2024"), ("Événements.csv", "evenements"),
        ("Straße.csv", "strasse"), ("raw.csv", "my-raw"),
        ("demo.dat", "my-demo"), ("日本.csv", "data"), ("_x-.tsv", "x"),
        ("ml1m.inter", "my-ml1m"), ("a" * 99, "a" * 50),
    ],
)  # fmt: skip
def test_the_file_names_the_data_set(file: str, name: str) -> None:
    assert name_of(None, Path(file)) == name


def test_settings_are_read_as_yaml() -> None:
    given = [
        "a=1",
        "b=x",
        "c=null",
        "d=;",
        "e=|",
        r"f=\t",
        "g= ",
        "h=false",
        "i=2012-01-03",
        "j={rule: share}",
        "k='",
    ]
    assert parse([*given, "l=", "m=a=b", "n=,"]) == {
        "a": 1, "b": "x", "c": None, "d": ";", "e": "|", "f": "\t", "g": " ", "h": False, "i": "2012-01-03",
        "j": {"rule": "share"}, "k": "'", "l": "", "m": "a=b", "n": ",",
    }  # fmt: skip


def lacking(place: Path, listed: int) -> list[str]:
    """Words for events of 40 items, of which a file lists some."""
    events(place)
    lines = "".join(f"i{n}\tFilm number {n}\n" for n in range(listed))
    (place / "films.tsv").write_text(f"id\ttitle\n{lines}")
    return ["init", "mine", "--from", "events.csv", "--items", "films.tsv"]


def test_rows_of_items_that_are_not_listed_are_left_out(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(lacking(place, 34)) == 0
    said = capsys.readouterr().out
    bad = re.search(
        r"events.csv: \d+ of 600 rows can be used; (\d+) rows left out: the file of items lacks the item\n",
        said,
    )
    assert bad
    share = int(bad[1]) / 600
    assert 0.1 < share < 0.15
    assert (
        f"- {share:.1%} of a file's rows can't be used, see above, and are left out: "
        "`prep.max_bad_rows: 0.15` in params.yaml allows that, 0.05 is usual. "
        "`--set max_bad_rows=...` sets it\n"
    ) in said
    monkeypatch.chdir(place / "mine")
    assert load_params().prep.max_bad_rows == 0.15
    assert run(["prep", "--dataset", "events"]) == 0
    assert run(["preset", "laptop"]) == 0 and load_params().prep.max_bad_rows == 0.15


def test_one_row_is_left_out_in_plain_words(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = events(place).read_text().splitlines()
    lines[9] = lines[9].rpartition(",")[0] + ",n/a"
    (place / "events.csv").write_text("\n".join(lines) + "\n")
    assert run(["init", "mine", "--from", "events.csv"]) == 0
    said = capsys.readouterr().out
    assert "events.csv: 599 of 600 rows can be used; 1 row left out: the time can't be read\n" in said
    assert "time: text" not in said and "quarantine" not in said


def test_the_remedy_for_equal_times_works(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = events(place)
    path.write_text(re.sub(r"(?m),\d+$", ",1600000000", path.read_text()))
    assert run(["init", "mine", "--from", "events.csv"]) == 5
    remedy = re.search(r"or use `(--set .*?)`, which needs none", capsys.readouterr().err)
    assert remedy and not (place / "mine").exists()
    assert run(["init", "mine", "--from", "events.csv", *shlex.split(remedy[1])]) == 0
    assert load_params(place / "mine" / "params.yaml").datasets["events"].split.rule == "random"


def test_many_rows_are_left_out_only_where_the_user_says_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = lacking(place, 13)
    assert run(words) == 5
    said = capsys.readouterr().err
    assert "of 600 rows can't be used (prep.max_bad_rows allows a share of 0.5), " in said
    remedy = re.search(
        r"give a file that lists all items, or leave --items out; `--set (max_bad_rows=0\.\d+)` goes on "
        r"without these rows\)\n$", said,
    )  # fmt: skip
    assert remedy and not (place / "mine").exists()
    assert run([*words, "--set", remedy[1]]) == 0
    assert load_params(place / "mine" / "params.yaml").prep.max_bad_rows == float(remedy[1].partition("=")[2])


@pytest.mark.parametrize("key", ["max_bad_rows", "prep.max_bad_rows"])
def test_the_limit_that_the_user_sets_holds(
    place: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = lacking(place, 34)
    assert run([*words, "--set", f"{key}=0.1"]) == 5
    assert "(prep.max_bad_rows allows a share of 0.1)" in capsys.readouterr().err
    assert run([*words, "--set", f"{key}=0.4"]) == 0
    assert load_params(place / "mine" / "params.yaml").prep.max_bad_rows == 0.4


def test_files_are_copied_where_the_user_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = events(place).read_bytes()
    assert run(["init", "my own", "--from", "events.csv", "--copy"]) == 0
    copy = place / "my own" / "data" / "raw" / "events" / "events.csv"
    assert copy.read_bytes() == content and not copy.is_symlink()
    said = capsys.readouterr().out
    assert (
        "my own is a project with the data set events; copies of your files are in data/raw/events.\n" in said
    )
    assert "  cd 'my own'\n" in said
    assert "To share the project, run `dvc add data/raw/events`.\n" in said
    subprocess.run(
        [sys.executable, "-m", "dvc", "add", "--quiet", "data/raw/events"], cwd=place / "my own", check=True
    )
    shown = subprocess.run(
        ["git", "status", "--short", "--untracked-files=all"],
        cwd=place / "my own", check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "?? data/raw/events.dvc\n" in shown.stdout and "events.csv" not in shown.stdout


def test_the_user_of_the_example_has_rows_in_train(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = events(place)
    path.write_text(re.sub(r"(?m)^u(\d+),", r"it's \1,", path.read_text()))
    assert run(["init", "mine", "--from", "events.csv"]) == 0
    asked = re.search(
        r"thinkrec recommend --dataset events --user (.*) --system gsasrec_labels", capsys.readouterr().out
    )
    assert asked
    user = shlex.split(asked[1])
    assert len(user) == 1 and f"\n{user[0]}," in path.read_text()


def test_by_users_last_rows_where_time_leaves_none_warm(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["user,item,rating,timestamp"]
    for n in range(600):  # every user in one sitting
        lines.append(f"u{n // 12},i{n * 5 % 13},{n * 7 % 5 + 1},{1_600_000_000 + n}")
    (place / "events.csv").write_text("\n".join(lines) + "\n")
    assert run(["init", "mine", "--from", "events.csv"]) == 0
    said = capsys.readouterr().out
    assert load_params(place / "mine" / "params.yaml").datasets["events"].split.rule == "leave_one_out"
    assert (
        "- by time, only 0.0% of the rows of valid or test would be warm: each user's last two ratings"
        in said
    )
    assert "- split.rule = leave_one_out leaks the future" in said
    assert "For a language model, items need titles: make the project again with --items." in said
    assert "thinkrec preset" not in said
    assert run(["init", "again", "--from", "events.csv", "--set", "split={rule: share}"]) == 0
    assert load_params(place / "again" / "params.yaml").datasets["events"].split.rule == "share"
    assert "only 0 of 90 rows of valid" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ("none.csv", 5, "none.csv is not there: name the file of your data"),
        ("empty.csv", 5, "empty.csv is empty"),
        ("events.csv --items none.csv", 5, "none.csv is not there: name the file of your data"),
        ("events.csv --set rating", 3, "--set rating: write KEY=VALUE, such as rating=stars"),
        ("events.csv --set max_bad_rows=2", 3,
         "--set max_bad_rows: must be a share of rows from 0 to 1, not 2"),
        ("events.csv --set user=who", 3, "--set user=who: events.csv has no such column; it has userId, "
         "movieId, rating, timestamp"),
        ("events.csv --name Ab", 3, "--name: data set name 'Ab': use lower-case letters, digits, underscores "
         "and hyphens only, a letter or a digit first, at most 64"),
        ("events.csv --name demo", 3, "--name: `thinkrec fetch` writes data/raw/demo; choose another name"),
        ("bad.csv", 5, "bad.csv: 300 of 600 rows can't be used (prep.max_bad_rows allows a share of 0.05), "
         "300 of them because: empty item id; the first is line 3: "),
        ("likes.csv", 5, "likes.csv: split train has one class only: all of its 420 ratings are above "
         "positive_above = 3; likes and dislikes are needed (nothing was made; `--set KEY=VALUE` corrects "
         "what init found)"),
    ],
)  # fmt: skip
def test_an_error_leaves_nothing(
    words: str, code: int, line: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = events(place).read_text().splitlines()
    (place / "empty.csv").touch()
    half = [re.sub(",i[0-9]+,", ",,", each) if n % 2 == 0 and n else each for n, each in enumerate(lines)]
    (place / "bad.csv").write_text("\n".join(half))
    liked = [re.sub(",[0-9],", f",{4 + n % 2},", each) for n, each in enumerate(lines)]
    (place / "likes.csv").write_text("\n".join(liked))
    assert run(["init", "mine", "--from", *words.split()]) == code
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}") and said.count("\n") == 1
    assert not (place / "mine").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--items", "x"], "--items needs --from"),
        (["--name", "x"], "--name needs --from"),
        (["--set", "a=b"], "--set needs --from"),
        (["--copy"], "--copy needs --from"),
        (["--upgrade", "--from", "x"], "--upgrade and --from exclude each other"),
    ],
)
def test_options_that_do_not_go_together(
    words: list[str], line: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "mine", *words]) == 2
    assert line in capsys.readouterr().err and not (place / "mine").exists()


def test_a_folder_that_is_taken_is_refused_before_the_files_are_read(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "notes.txt").touch()
    assert run(["init", "mine", "--from", "none.csv"]) == 3
    assert capsys.readouterr().err.startswith("error: FOLDER: mine is not empty, it has notes.txt")


def test_names_in_commands_are_quoted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "my own").mkdir()
    (place / "my own" / "dvc.yaml").touch()
    assert run(["init", "my own", "--from", "none.csv"]) == 3
    assert capsys.readouterr().err.endswith("`thinkrec init --upgrade 'my own'`\n")


def test_what_fails_in_the_middle_leaves_no_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events(place)

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    (place / "there").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(project, "params_text", full)
        for folder in ("mine", "there"):
            assert run(["init", folder, "--from", "events.csv"]) != 0
    assert not (place / "mine").exists() and (place / "there").is_dir()
    assert run(["init", "mine", "--from", "events.csv"]) == 0


def on_terminal(words: list[str], answer: str) -> tuple[int, str]:
    """Run thinkrec on a terminal and type an answer; its exit code and what it showed."""
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-m", "thinkrec_cli.main", *words])
    os.write(terminal, answer.encode())
    shown = b""
    while True:
        try:
            block = os.read(terminal, 4096)
        except OSError:  # the terminal is closed
            break
        if not block:
            break
        shown += block
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode("utf-8", "replace")


@pytest.mark.parametrize(("answer", "made"), [("n\n", False), ("y\n", True)])
def test_on_a_terminal_it_asks(place: Path, answer: str, made: bool) -> None:
    events(place)
    code, shown = on_terminal(["init", "mine", "--from", "events.csv"], answer)
    assert "Create the project mine with these settings? [Y/n]" in shown
    assert (code == 0) is made and (place / "mine").exists() is made
    code, shown = on_terminal(["init", "other", "--from", "events.csv", "--yes"], "")
    assert code == 0 and "[Y/n]" not in shown and (place / "other").is_dir()


@pytest.mark.slow
def test_what_init_names_next_works(place: Path) -> None:
    events(place)
    films(place)
    assert run(["init", "mine", "--from", "events.csv", "--items", "films.tsv"]) == 0
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=place / "mine", env=env, check=True)
    report = (place / "mine" / "reports" / "events" / "report.md").read_text()
    assert "lightgcn" in report and "gbdt" in report and "thinkrec" not in report.partition("| mf ")[2][:200]
    asks = [
        "-m",
        "thinkrec_cli.main",
        "recommend",
        "--dataset",
        "events",
        "--user",
        "u1",
        "--system",
        "lightgcn",
    ]
    subprocess.run([sys.executable, *asks], cwd=place / "mine", env=env, check=True)
    status = [sys.executable, "-m", "dvc", "status"]
    said = subprocess.run(
        status, cwd=place / "mine", env=env, check=True, capture_output=True, text=True
    ).stdout
    assert said.split() == ["code:", "always", "changed"]
    with (place / "events.csv").open("a") as file:  # the link leads DVC to the file itself
        file.write("u1,i1,5,1700000000\n")
    said = subprocess.run(
        status, cwd=place / "mine", env=env, check=True, capture_output=True, text=True
    ).stdout
    assert "prep@events" in said

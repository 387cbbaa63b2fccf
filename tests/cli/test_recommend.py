"""`thinkrec recommend` and `thinkrec explain`, as somebody types them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_chain import Chain, write_params

import thinkrec
from thinkrec.recommender import Recommender
from thinkrec.systems.answers import Question
from thinkrec_cli.main import run
from thinkrec_cli.recommend import lines_of

DEMO = ("--dataset", "demo")


@pytest.fixture(scope="module")
def root(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = chain.copy(tmp_path_factory.mktemp("asked")).root
    write_params(folder, chain.params)
    return folder


@pytest.fixture(scope="module")
def rec(root: Path) -> Recommender:
    return thinkrec.load(root, dataset="demo", system="thinkrec")


@pytest.fixture(autouse=True)
def inside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "120")


def test_recommends_by_user_with_reasons(rec: Recommender, capsys: pytest.CaptureFixture[str]) -> None:
    user = list(rec.users)[3]
    assert run(["recommend", *DEMO, "--user", user, "--k", "3", "--why", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    answer = rec.recommend(user, 3, why=True)
    assert [each["item"] for each in told["items"]] == list(answer.items)
    assert answer.reasons and [each["reason"] for each in told["items"]] == list(answer.reasons)
    assert answer.mixture and told["mixture"] == pytest.approx(answer.mixture.weights)
    assert run(["recommend", *DEMO, "--user", user, "--k", "3", "--why"]) == 0
    shown = capsys.readouterr().out
    assert all(title in shown for title in answer.titles) and f"{answer.scores[0]:.3f}" in shown
    assert "1. Yes" in shown or "1. No" in shown
    assert answer.basis in shown and f"gate: {answer.mixture}" in shown


def test_recommends_to_somebody_new_by_titles_and_ids(
    rec: Recommender, capsys: pytest.CaptureFixture[str]
) -> None:
    items = list(rec.items)
    who = ["--like", rec.title(items[0]).upper(), "--dislike", items[1]]
    assert run(["recommend", *DEMO, *who, "--k", "2", "--from", "mf:20", "--csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    answer = rec.recommend_history([(items[1], False), (items[0], True)], 2, "mf:20")
    assert [line["item"] for line in lines] == list(answer.items)
    assert list(lines[0]) == ["item", "title", "score"]
    assert run(["recommend", *DEMO, *who, "--k", "1", "--from", "mf:20"]) == 0
    said = f"for somebody who likes {rec.title(items[0])} and dislikes {rec.title(items[1])}"
    assert said in " ".join(capsys.readouterr().out.split())


def test_ranks_the_candidates_of_a_file(
    rec: Recommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = list(rec.recommend(list(rec.users)[3], 5).items)
    file = tmp_path / "candidates.txt"
    file.write_text(f"\ufeff{new[0]}\n\n{rec.title(new[1])}\r\n{new[0]}\n", encoding="utf-8")
    user = list(rec.users)[3]
    assert run(["recommend", *DEMO, "--user", user, "--candidates", str(file), "--json"]) == 0
    assert {each["item"] for each in json.loads(capsys.readouterr().out)["items"]} == set(new[:2])


def test_lines_keep_their_spaces_and_blank_ones_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_bytes(b"\xef\xbb\xbf u1 \r\n\r\n  \nu2\n u1 \nu1")
    with file.open(encoding="utf-8-sig") as text:
        assert lines_of(text, "--users") == [" u1 ", "u2", "u1"]


def test_candidates_that_name_an_item_twice_are_named_by_their_option(
    rec: Recommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, item = tmp_path / "candidates.txt", next(iter(rec.items))
    file.write_text(f"{item}\n{rec.title(item)}\n", encoding="utf-8")
    assert run(["recommend", *DEMO, "--like", list(rec.items)[1], "--candidates", str(file)]) == 10
    assert f"--candidates: {item!r} comes more than once" in capsys.readouterr().err


def test_many_users_to_parquet_resume_where_they_were_stopped(
    rec: Recommender,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    users = [*list(rec.users)[:20], "nobody"]
    (tmp_path / "users.txt").write_text("\n".join(users), encoding="utf-8")
    to = tmp_path / "out.parquet"
    call = ["recommend", *DEMO, "--users", str(tmp_path / "users.txt"), "--to", str(to), "--k", "2"]
    whole, asked = Recommender.answer, []

    def stopped(self: Recommender, questions: list[Question]) -> list[object]:
        asked.append(len(questions))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return list(whole(self, questions))

    monkeypatch.setattr(Recommender, "answer", stopped)
    assert run(call) == 130
    assert not to.exists() and to.with_name("out.parquet.unfinished").exists()
    assert run(call) == 0
    assert asked == [8, 8, 8, 4]  # the first eight were not asked again
    assert [path.name for path in tmp_path.glob("out*")] == ["out.parquet"]
    rows = pq.read_table(to).to_pylist()
    assert list(dict.fromkeys(row["user"] for row in rows)) == users and len(rows) == 41
    assert "the data set has no user 'nobody'" in rows[-1]["error"] and rows[-1]["item"] is None
    answer = rec.recommend(users[5], 2)
    mine = [row for row in rows if row["user"] == users[5]]
    assert [row["item"] for row in mine] == list(answer.items) and [row["rank"] for row in mine] == [1, 2]
    assert [row["score"] for row in mine] == pytest.approx(answer.scores.tolist(), abs=1e-4)
    shown = capsys.readouterr().out
    assert "without_answer: 1" in shown and "first_error: the data set has no user 'nobody'" in shown


def test_other_users_keep_the_answers_that_are_there(
    rec: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, file, to = list(rec.users), tmp_path / "users.txt", tmp_path / "out.parquet"
    call = ["recommend", *DEMO, "--system", "mf", "--users", str(file), "--to", str(to), "--k", "2"]
    whole, asked = Recommender.answer, []

    def stopped(self: Recommender, questions: list[Question]) -> list[object]:
        asked.append([question.user for question in questions])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return list(whole(self, questions))

    monkeypatch.setattr(Recommender, "answer", stopped)
    file.write_text("\n".join(users[:12]), encoding="utf-8")
    assert run(call) == 130
    chosen = [users[20], users[5], users[1]]  # another order, one new, others gone
    file.write_text("\n".join(chosen), encoding="utf-8")
    assert run(call) == 0 and asked[2:] == [[users[20]]]
    rows = pq.read_table(to).to_pylist()
    assert [(row["user"], row["rank"]) for row in rows] == [(user, k) for user in chosen for k in (1, 2)]


def test_many_users_of_whom_none_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, to = tmp_path / "users.txt", tmp_path / "out.parquet"
    file.write_text("x\ny\n", encoding="utf-8")
    assert run(["recommend", *DEMO, "--system", "mf", "--users", str(file), "--to", str(to)]) != 0
    said = (
        "none of the 2 users could be answered; the first: the data set has no user 'x'; the file must have "
        "one user's id on each line, and no header"
    )
    assert said in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == [file]


def test_many_users_are_refused_before_any_is_asked(
    rec: Recommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "users"
    file.write_text("\n".join(list(rec.users)[:3]), encoding="utf-8")
    call = ["recommend", *DEMO, "--system", "mf", "--users", str(file), "--to"]
    for more, said in (
        ([str(tmp_path / "a.parquet"), "--why"], "mf gives no reasons"),
        ([str(tmp_path / "a.parquet"), "--from", "mf:0"], "--from: the count must be at least 1, not 0"),
        ([str(file)], "users is there and holds no recommendations"),
        ([str(file / "a.parquet")], f"cannot write {file / 'a.parquet'}: "),
    ):
        assert run([*call, *more]) == (8 if "cannot" in said else 10)
        assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["users"]
    assert file.read_text(encoding="utf-8").startswith("u0001")


def test_control_characters_do_not_reach_the_terminal(
    rec: Recommender, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from thinkrec.data.tables import Items

    load = Items.load

    def hostile(*args: object) -> Items:
        items = load(*args)  # type: ignore[arg-type]
        return replace(items, title=[f"\x1b]0;owned\x07{title}" for title in items.title])

    monkeypatch.setattr(Items, "load", hostile)
    user, item = list(rec.users)[3], rec.recommend(list(rec.users)[3], 1).items[0]
    assert run(["recommend", *DEMO, "--system", "mf", "--user", user]) == 0
    assert run(["explain", *DEMO, "--system", "gsasrec_labels", "--user", user, "--item", item]) == 0
    assert run(["recommend", *DEMO, "--system", "mf", "--like", "]0;owned"]) == 10
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err and "owned" in shown.out and "owned" in shown.err


def test_candidates_are_answered_with_near_ids_and_may_end_in_spaces(
    rec: Recommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, user = tmp_path / "candidates.txt", list(rec.users)[3]
    item = rec.recommend(user, 1).items[0]
    call = ["recommend", *DEMO, "--system", "mf", "--user", f"{user} ", "--candidates", str(file), "--json"]
    file.write_text(item.upper(), encoding="utf-8")
    assert run(call) == 10 and f"did you mean {item!r}?" in capsys.readouterr().err
    file.write_text(f"{item} \n", encoding="utf-8")
    assert run(call) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["user"] == user and [each["item"] for each in told["items"]] == [item]
    file.write_text(" \n\n", encoding="utf-8")
    assert run(call) == 2 and "candidates.txt is empty or has only blank lines." in capsys.readouterr().err


def test_unknown_users_of_a_file_are_told_without_ids_of_others(rec: Recommender, tmp_path: Path) -> None:
    users, file, to = list(rec.users), tmp_path / "users.txt", tmp_path / "out.parquet"
    wrong = [user.upper() for user in users[:9]]
    file.write_text("\n".join([f"{users[0]} ", users[0], *wrong]), encoding="utf-8")
    call = ["recommend", *DEMO, "--system", "mf", "--users", str(file), "--to", str(to), "--k", "1"]
    assert run(call) == 0
    rows = pq.read_table(to).to_pylist()
    assert [row["user"] for row in rows] == [users[0], *wrong]
    assert [row["error"] for row in rows[1:]] == [f"the data set has no user {user!r}" for user in wrong]


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("x:5", 10, "--from: 'x:5' is not an encoder with a count"),
        ("lightgcn:0", 10, "--from: the count must be at least 1, not 0"),
        ("LightGCN:20", 10, "did you mean 'lightgcn'?"),
        ("gsasrec:5", 4, "`thinkrec cf --dataset demo` makes it"),
    ],
)
def test_from_is_checked_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str, code: int, said: str
) -> None:
    monkeypatch.setattr(thinkrec, "load", None)
    assert run(["recommend", *DEMO, "--user", "u0001", "--from", source]) == code
    assert said in capsys.readouterr().err


def test_what_another_request_left_is_not_taken_up(rec: Recommender, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text(next(iter(rec.users)), encoding="utf-8")
    to = tmp_path / "out.parquet"
    left = tmp_path / "out.parquet.unfinished"
    left.write_text("damaged\n", encoding="utf-8")
    call = ["recommend", *DEMO, "--system", "mf", "--users", str(tmp_path / "users.txt"), "--to", str(to)]
    assert run([*call, "--k", "2"]) == 0 and pq.read_table(to).num_rows == 2 and not left.exists()
    assert run([*call, "--k", "3"]) == 0 and pq.read_table(to).num_rows == 3


def test_explains(rec: Recommender, capsys: pytest.CaptureFixture[str]) -> None:
    user = list(rec.users)[3]
    item = rec.recommend(user, 1).items[0]
    found = rec.explain(user, item)
    assert run(["explain", *DEMO, "--user", user, "--item", rec.title(item), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["item"], told["reason"]) == (item, found.reason)
    assert told["history"][0]["moved"] == pytest.approx(found.history[0].moved, abs=1e-4)
    assert run(["explain", *DEMO, "--user", user, "--item", item]) == 0
    shown = capsys.readouterr().out
    assert f"{found.history[0].moved:+.3f}" in shown and found.history[0].title in shown
    assert run(["explain", *DEMO, "--system", "mf", "--like", item, "--item", list(rec.items)[-1]]) == 0
    assert "The score stays the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["recommend"], 2, "Say who it is for, in one way: --user ID, --like and --dislike, --users FILE"),
        (["recommend", "--user", "u0001", "--like", "i0001"], 2, "Say who it is for"),
        (["recommend", "--user", "u0001", "--k", "0"], 2, "0 is not in the range"),
        (["recommend", "--user", "u0001", "--to", "x.parquet"], 2, "--users and --to belong together"),
        (["recommend", "--user", "u0001", "--csv", "--json"], 2, "Choose one form"),
        (["recommend", "--user", "nobody"], 10, "the data set has no user 'nobody'"),
        (["recommend", "--like", "I0001"], 10, "id or title 'I0001'; did you mean 'i0001'?"),
        (["explain", "--user", "u0001", "--item", "I0005"], 10, "did you mean 'i0005'?"),
        (["recommend", "--like", "No such film"], 10, "no item with the id or title 'No such film'"),
        (["recommend", "--like", "i0001", "--dislike", "i0001"], 10, "comes more than once"),
        (
            ["recommend", "--user", "u0001", "--from", "lightgcn:none"],
            10,
            "--from: 'lightgcn:none' is not an encoder with a count",
        ),
        (["recommend", "--user", "u0001", "--system", "mf", "--why"], 10, "mf gives no reasons"),
        (["recommend", "--user", "u0001", "--candidates", "absent.txt"], 2, "No such file"),
        (
            ["recommend", "--user", "u0001", "--candidates", "data/demo/items.parquet"],
            2,
            "items.parquet is not UTF-8 text with one id on each line.",
        ),
        (
            ["recommend", "--users", "params.yaml", "--to", "z.CSV"],
            2,
            "--to: z.CSV would hold Parquet: give it a name that ends in .parquet.",
        ),
        (["explain", "--user", "u0001"], 2, "Missing option '--item'"),
        (["explain", "--item", "i0001"], 2, "Say who it is for"),
    ],
)
def test_bad_requests_are_one_sentence(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([words[0], *DEMO, *words[1:]]) == code
    shown = capsys.readouterr()
    assert said in shown.err and shown.out == "" and "Traceback" not in shown.err

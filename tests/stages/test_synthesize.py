"""Stage synthesize with the built-in teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import write_interactions

from thinkrec.config.sections import Prompt, Synthesize
from thinkrec.data.tables import Interactions, Items
from thinkrec.errors import DataError, MissingInputError
from thinkrec.layout import Layout
from thinkrec.protocols import Protocol
from thinkrec.stages.synthesize import synthesize
from thinkrec.teachers.cases import draw_rows, make_cases
from thinkrec.teachers.protocol import Case

Row = dict[str, Any]
USERS, LENGTH, ITEMS = 12, 10, 20
SPLIT = ["train"] * 6 + ["valid"] * 2 + ["test"] * 2
LATEST: dict[str, Callable[[int, int], bool]] = {
    "rolling": lambda earlier, position: True,
    "frozen": lambda earlier, position: SPLIT[position] == "train" or SPLIT[earlier] != SPLIT[position],
}
"""Whether an earlier position stands in the history."""
PROTOCOLS = pytest.mark.parametrize("protocol", ["frozen", "rolling"])


def write(layout: Layout, change: Callable[[Row], None] = lambda row: None) -> list[Row]:
    """Twelve users with six train, two valid and two test rows; `change` may alter each row."""
    rng = np.random.default_rng(0)
    layout.data.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for user in range(1, USERS + 1):
        picked = rng.choice(ITEMS, LENGTH, replace=False) + 1
        for position in range(LENGTH):
            rows.append(
                {
                    "user_id": user, "item_id": int(picked[position]), "label": int(rng.random() < 0.5),
                    "rating": 3.0, "timestamp": position, "position": position,
                    "split": SPLIT[position], "not_cold": False,
                }
            )  # fmt: skip
            change(rows[-1])
    write_interactions(layout.interactions, rows)
    ids = list(range(1, ITEMS + 1))
    titles = [f"Film {k}" for k in ids]
    pq.write_table(pa.table({"item_id": ids, "raw_id": titles, "title": titles}), layout.items)
    words = [[f"theme{'abcd'[k % 4]}", f"tone{'abc'[k % 3]}"] for k in ids]
    pq.write_table(pa.table({"item_id": ids, "keywords": words}), layout.keywords)
    return rows


def run(
    layout: Layout, seed: int = 1, prompt: Prompt | None = None, protocol: Protocol = "rolling", **params: Any
) -> list[Row]:
    synthesize(layout, Synthesize(**params), prompt or Prompt(), protocol, seed)
    return pq.read_table(layout.rationales).to_pylist()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout("small", tmp_path)
    write(made)
    return made


def test_rows_and_columns_are_as_agreed(layout: Layout) -> None:
    facts = synthesize(layout, Synthesize(rows=40, eval_rows=10), Prompt(), "frozen", 1)
    table = pq.read_table(layout.rationales)
    assert table.schema.names == [
        "user_id", "position", "label", "rationale", "attempts", "hinted", "accepted", "teacher",
        "request_hash", "split",
    ]  # fmt: skip
    rows = table.to_pylist()
    assert [row["split"] for row in rows] == ["train"] * 40 + ["test"] * 10
    assert all(row["position"] > 0 for row in rows)
    assert {row["teacher"] for row in rows} == {"template"} and facts["teacher"] == "template"
    for row in rows:
        assert row["accepted"] and row["rationale"].startswith("Yes. " if row["label"] else "No. ")
        assert row["rationale"] == " ".join(row["rationale"].split())
        assert row["attempts"] == (2 if row["hinted"] else 1)
    train = rows[:40]
    assert facts["train"] == {
        "asked": 40, "accepted": 40, "hinted": sum(row["hinted"] for row in train),
        "unhinted_agreement": round(1 - sum(row["hinted"] for row in train) / 40, 4), "rejected": {},
        "mean_words": round(float(np.mean([len(row["rationale"].split()) for row in train])), 2),
    }  # fmt: skip
    assert 0 < facts["train"]["hinted"] < 40


def test_the_sample_is_of_one_split_seeded_and_grows(layout: Layout) -> None:
    data = Interactions.load(layout.interactions)
    few = draw_rows(data, "train", 10, "frozen", 1)
    assert set(data.split[few]) == {0} and (data.position[few] > 0).all()
    assert np.array_equal(few, draw_rows(data, "train", 10, "frozen", 1))
    assert not np.array_equal(few, draw_rows(data, "train", 10, "frozen", 2))
    assert set(few) < set(draw_rows(data, "train", 20, "frozen", 1))
    assert len(draw_rows(data, "train", 10_000, "frozen", 1)) == USERS * 5


def test_a_second_run_is_the_same_and_another_seed_another(layout: Layout) -> None:
    first = run(layout)
    assert run(layout) == first
    assert run(layout, seed=2) != first


@PROTOCOLS
def test_only_what_lies_before_a_row_is_quoted(layout: Layout, protocol: Protocol) -> None:
    rows = {(row["user_id"], row["position"]): row for row in pq.read_table(layout.interactions).to_pylist()}
    for found in run(layout, protocol=protocol):
        user, position = found["user_id"], found["position"]
        past = [k for k in range(position) if LATEST[protocol](k, position)]
        before = {f'"Film {rows[user, k]["item_id"]}"' for k in [*past, position]}
        quoted = {f'"{part}"' for part in found["rationale"].split('"')[1::2]}
        assert quoted and quoted <= before


def by_row(rows: list[Row]) -> dict[tuple[int, int], Row]:
    return {(row["user_id"], row["position"]): row for row in rows}


@PROTOCOLS
@pytest.mark.parametrize("cut", [3, 6, 8])
def test_planted_labels_from_a_moment_on_change_no_earlier_rationale(
    layout: Layout, cut: int, protocol: Protocol
) -> None:
    before = by_row(run(layout, protocol=protocol))

    def plant(row: Row) -> None:
        row["label"] = 1 - row["label"] if row["position"] >= cut else row["label"]

    write(layout, plant)
    after = by_row(run(layout, protocol=protocol))
    assert before.keys() == after.keys()
    earlier = [key for key in before if key[1] < cut]
    assert earlier and all(before[key] == after[key] for key in earlier)
    assert any(before[key] != after[key] for key in before)  # the plant is really read where it may be


def test_planted_later_items_change_no_earlier_rationale(layout: Layout) -> None:
    before = by_row(run(layout))

    def plant(row: Row) -> None:
        row["item_id"] = 20 if row["position"] >= 6 else row["item_id"]

    write(layout, plant)
    after = by_row(run(layout))
    assert all(before[key] == after[key] for key in before if key[1] < 6)


@PROTOCOLS
@pytest.mark.parametrize("position", [1, 5, 9])
def test_a_rows_own_label_is_no_part_of_the_question(
    layout: Layout, position: int, protocol: Protocol
) -> None:
    def cases() -> list[Case]:
        data = Interactions.load(layout.interactions)
        items = Items.load(layout.items, layout.keywords)
        return make_cases(data, items, np.flatnonzero(data.position == position), Prompt(), protocol)

    def plant(row: Row) -> None:
        row["label"] = 1 - row["label"] if row["position"] >= position else row["label"]

    before = cases()
    write(layout, plant)
    assert cases() == before and {len(case.history) for case in before} == {
        sum(LATEST[protocol](k, position) for k in range(position))
    }


def test_with_a_train_history_a_test_rows_reference_uses_no_other_held_out_label(layout: Layout) -> None:
    before = by_row(run(layout, protocol="train"))

    def plant(row: Row) -> None:
        row["label"] = 1 - row["label"] if row["position"] in (6, 7, 8) else row["label"]

    write(layout, plant)
    after = by_row(run(layout, protocol="train"))
    assert all(before[key] == after[key] for key in before if key[1] == 9)
    assert any(before[key] != after[key] for key in before if key[1] == 8)  # its own label is told


def test_with_a_frozen_history_a_test_rows_reference_uses_no_other_label_of_test(layout: Layout) -> None:
    before = by_row(run(layout, protocol="frozen"))

    def plant(positions: tuple[int, ...]) -> dict[tuple[int, int], Row]:
        write(layout, lambda row: row.update(label=row["label"] ^ (row["position"] in positions)))
        return by_row(run(layout, protocol="frozen"))

    after = plant((8,))
    assert all(before[key] == after[key] for key in before if key[1] != 8)
    valid = plant((6, 7))
    assert any(before[key] != valid[key] for key in before if key[1] == 9)  # valid's lie before test


def test_the_teacher_reads_as_many_keywords_as_the_prompt_shows(layout: Layout) -> None:
    assert any("tone" in row["rationale"] for row in run(layout, prompt=Prompt(keywords=2)))
    assert not any("tone" in row["rationale"] for row in run(layout, prompt=Prompt(keywords=1)))
    assert not any("theme" in row["rationale"] for row in run(layout, prompt=Prompt(keywords=0)))


def test_a_row_that_never_agrees_is_kept_but_not_accepted(layout: Layout) -> None:
    facts = synthesize(layout, Synthesize(attempts=1), Prompt(), "frozen", 1)
    rows = [row for row in pq.read_table(layout.rationales).to_pylist() if row["split"] == "train"]
    wrong = [row for row in rows if not row["accepted"]]
    assert facts["train"]["rejected"] == {"disagrees with the label": len(wrong)}
    assert all(row["rationale"].startswith("No. " if row["label"] else "Yes. ") for row in wrong)


def test_no_references_are_made_where_none_are_asked_for(layout: Layout) -> None:
    facts = synthesize(layout, Synthesize(eval_rows=0), Prompt(), "frozen", 1)
    assert facts["test"] == {
        "asked": 0, "accepted": 0, "hinted": 0, "unhinted_agreement": None, "rejected": {},
        "mean_words": None,
    }  # fmt: skip


def test_without_any_history_there_is_nothing_to_reason_from(layout: Layout) -> None:
    table = pq.read_table(layout.interactions)
    pq.write_table(table.filter(pa.compute.equal(table["position"], 0)), layout.interactions)
    with pytest.raises(DataError) as error:
        run(layout)
    assert str(error.value) == (
        f"{layout.interactions}: no train row has an earlier interaction of its user, so there is nothing to "
        "reason from; check the raw files and the split, then run prep again"
    )
    assert not layout.rationales.exists()


def test_before_summarize_it_says_what_to_run(layout: Layout) -> None:
    layout.keywords.unlink()
    with pytest.raises(MissingInputError) as error:
        run(layout)
    assert str(error.value).endswith(
        "keywords.parquet is not there yet: `thinkrec summarize --dataset small` makes it"
    )

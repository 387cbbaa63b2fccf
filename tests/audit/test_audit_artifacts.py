"""Groups, keywords, rationales and prompts with a planted leak each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from records import write_record_of
from safetensors.numpy import load_file, save_file
from small_chain import Chain
from tamper import Row, change, claim

from thinkrec.audit.check import Check
from thinkrec.audit.groups import check_groups
from thinkrec.audit.keywords import check_keywords
from thinkrec.audit.prompts import check_prompts
from thinkrec.audit.rationales import Options, check_rationales
from thinkrec.config.sections import Endpoint, Summarize, Synthesize
from thinkrec.data.tables import Interactions
from thinkrec.layout import Layout
from thinkrec.llm import packing
from thinkrec.stages.summarize import summarize
from thinkrec.stages.synthesize import synthesize
from thinkrec.teachers.chat import ChatClient
from thinkrec.teachers.completion import Completion

ENDPOINT = Endpoint(model="m", concurrency=2)


class TestGroups:
    def test_as_made(self, chain: Chain, table: Interactions) -> None:
        checks = check_groups(chain.layout, table, chain.params.seed)
        assert [check.verdict for check in checks] == ["passed", "passed"]

    def test_a_user_in_another_group(self, chain: Chain, layout: Layout, table: Interactions) -> None:
        def swap(rows: list[Row]) -> None:
            rows[3]["group"] = 3 - rows[3]["group"]

        change(layout.clusters / "groups.parquet", swap)
        check = claim(check_groups(layout, table, chain.params.seed), "vectors of lightgcn alone")
        assert check.verdict == "FAILED"
        assert (
            check.said == "1 users are in another group than their vectors say; run `thinkrec cluster` again"
        )

    def test_a_user_that_train_lacks(self, chain: Chain, layout: Layout, table: Interactions) -> None:
        change(layout.clusters / "groups.parquet", lambda rows: rows.append({"user_id": 999, "group": 1}))
        checks = check_groups(layout, table, chain.params.seed)
        assert [check.verdict for check in checks] == ["FAILED", "FAILED"]
        assert checks[0].said.startswith("1 users without a train row have a group, the first at id 999")

    def test_other_means(self, chain: Chain, layout: Layout, table: Interactions) -> None:
        path = layout.clusters / "means.safetensors"
        save_file({"means": load_file(path)["means"] + np.float32(1e-3)}, path)
        check = claim(check_groups(layout, table, chain.params.seed), "vectors of lightgcn alone")
        assert check.said.startswith("means.safetensors holds other means")

    def test_without_the_encoder(
        self, chain: Chain, layout: Layout, table: Interactions, tmp_path: Path
    ) -> None:
        layout.encoder("lightgcn").rename(tmp_path / "away")
        checks = check_groups(layout, table, chain.params.seed)
        assert [check.verdict for check in checks] == ["passed", "not applicable"]


class TestKeywords:
    def test_a_keyword_from_elsewhere(self, chain: Chain, layout: Layout) -> None:
        assert check_keywords(layout, chain.params.summarize)[0].verdict == "passed"
        change(layout.keywords, lambda rows: rows[4]["keywords"].append("liked"))
        (check,) = check_keywords(layout, chain.params.summarize)
        assert check.verdict == "FAILED"
        item = pq.read_table(layout.keywords)["item_id"][4].as_py()
        assert check.said.startswith(
            f"1 items have other keywords than their texts give, the first at item {item}"
        )

    def test_an_endpoints_answers(self, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
        say = Completion("calm\nbright", "")
        monkeypatch.setattr(ChatClient, "_send", lambda self, request: say)
        params = Summarize(extractor="endpoint", endpoint=ENDPOINT)
        summarize(layout, params)
        monkeypatch.undo()
        (check,) = check_keywords(layout, params)
        assert (check.verdict, check.said) == (
            "passed", "59 items, extracted again by endpoint:m: all equal",
        )  # fmt: skip
        (check,) = check_keywords(layout, params.model_copy(update={"max_words": 3}))
        assert check.verdict == "not applicable" and check.said.startswith(
            "not all can be extracted again: no answer"
        )
        (layout.work("summarize") / "answers.jsonl").unlink()
        (check,) = check_keywords(layout, params)
        assert check.verdict == "not applicable"
        assert check.said.startswith(
            "keywords of endpoint:m can't be extracted again without the endpoint's answers"
        )


class TestRationales:
    @pytest.fixture
    def options(self, chain: Chain) -> Options:
        return Options(chain.params.synthesize, chain.params.prompt, "frozen", chain.params.seed)

    def asked(self, layout: Layout, table: Interactions, options: Options) -> Check:
        return claim(check_rationales(layout, table, options), "asked of what precedes")

    def test_as_made(self, layout: Layout, table: Interactions, options: Options) -> None:
        checks = check_rationales(layout, table, options)
        assert [check.verdict for check in checks] == ["passed"] * 4
        assert checks[0].figures == {"train": 60, "test": 12} and checks[2].figures == {
            "proven": 72,
            "unproven": 0,
        }

    def test_a_test_row_passed_off_as_train(
        self, layout: Layout, table: Interactions, options: Options
    ) -> None:
        change(layout.rationales, lambda rows: rows[-1].update(split="train"))
        checks = check_rationales(layout, table, options)
        assert checks[0].verdict == "FAILED"
        assert checks[0].said.startswith(
            "1 rationales call a row of valid or test train's, or the other way round;"
        )
        assert checks[2].verdict == "not applicable"

    def test_another_label_another_verdict_no_row(
        self, layout: Layout, table: Interactions, options: Options
    ) -> None:
        def tamper(rows: list[Row]) -> None:
            rows[0]["label"] = 1 - rows[0]["label"]
            text = rows[1]["rationale"]
            rows[1]["rationale"] = (
                text.replace("Yes.", "No.", 1) if text.startswith("Yes") else "Yes" + text[2:]
            )
            rows[2]["position"] = 10_000

        change(layout.rationales, tamper)
        said = check_rationales(layout, table, options)[0].said
        assert "1 rationales are of no row" in said
        assert "1 rationales hold another label than their row" in said
        assert "1 accepted rationales argue against their row's label" in said

    def test_a_history_that_goes_on(
        self,
        chain: Chain,
        layout: Layout,
        table: Interactions,
        options: Options,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Made again by a stage whose histories hold the row itself: the artifact tells."""
        past = Interactions.history

        def leaky(self: Interactions, row: int, *rest: Any) -> np.ndarray:
            return np.append(past(self, row, *rest), row)

        monkeypatch.setattr(Interactions, "history", leaky)
        synthesize(layout, chain.params.synthesize, chain.params.prompt, "frozen", chain.params.seed)
        check = self.asked(layout, table, options)  # the leak is in today's code too
        assert check.verdict == "FAILED" and check.figures["proven"] == 0
        monkeypatch.undo()
        check = self.asked(layout, table, options)  # and here in the artifact alone
        assert check.verdict == "FAILED" and check.figures["proven"] == 0
        assert check.said.startswith(
            "72 rationales do not come out of what precedes their row, the first at (user"
        )

    def test_one_hash_of_another_question(
        self, layout: Layout, table: Interactions, options: Options
    ) -> None:
        change(layout.rationales, lambda rows: rows[7].update(request_hash="0" * 64))
        check = self.asked(layout, table, options)
        assert check.verdict == "FAILED" and check.said.startswith("1 rationales do not come out of")

    def test_what_global_trained_on(self, layout: Layout, table: Interactions, options: Options) -> None:
        usable = sum(
            row["accepted"] and row["split"] == "train"
            for row in pq.read_table(layout.rationales).to_pylist()
        )
        write_record_of(layout, "global", reasoning_rows=usable)
        assert claim(check_rationales(layout, table, options), "trained on").verdict == "passed"
        write_record_of(layout, "global", reasoning_rows=usable + 12)
        check = claim(check_rationales(layout, table, options), "trained on")
        assert check.verdict == "FAILED"
        assert check.said == (
            f"`thinkrec global` trained on {usable + 12} rationales, {usable} of train rows are accepted: "
            "run `thinkrec global` again"
        )

    @pytest.mark.parametrize("kept", [True, False])
    def test_an_endpoints_requests(
        self, chain: Chain, layout: Layout, table: Interactions, monkeypatch: pytest.MonkeyPatch, kept: bool
    ) -> None:
        say = Completion("Yes. The story is like the ones before.", "")
        monkeypatch.setattr(ChatClient, "_send", lambda self, request: say)
        params = Synthesize(teacher="endpoint", endpoint=ENDPOINT, rows=30, eval_rows=5, attempts=2)
        synthesize(layout, params, chain.params.prompt, "frozen", 7)
        monkeypatch.undo()
        monkeypatch.setattr(ChatClient, "_send", None)
        cache = layout.work("synthesize") / "answers.jsonl"
        if not kept:
            cache.unlink()
        options = Options(params, chain.params.prompt, "frozen", 7)
        check = self.asked(layout, table, options)
        likes = sum(pq.read_table(layout.rationales)["label"].to_pylist())
        assert check.verdict == "passed"
        assert check.figures == {"proven": 35 if kept else likes, "unproven": 0 if kept else 35 - likes}
        assert cache.exists() == kept

        def leak(rows: list[Row]) -> None:
            once = next(row for row in rows if row["attempts"] == 1)
            once["request_hash"] = "0" * 64

        change(layout.rationales, leak)
        check = self.asked(layout, table, options)
        assert check.verdict == "FAILED" and check.said.startswith("1 rationales do not come out of")


@pytest.mark.parametrize("kind", ["prompt", "timeline"])
class TestPrompts:
    @staticmethod
    def checked(chain: Chain, table: Interactions, kind: str) -> list[Check]:
        prompt = chain.params.prompt.model_copy(update={"layout": kind})
        return check_prompts(chain.layout, table, {"thinkrec": prompt}, ("frozen", "rolling"), 7)

    def test_as_written(self, chain: Chain, table: Interactions, kind: str) -> None:
        checks = self.checked(chain, table, kind)
        assert [check.claim for check in checks] == [
            f"of what precedes the row ({protocol})" for protocol in ("frozen", "rolling")
        ]
        assert all(check.verdict == "passed" and check.figures["prompts"] > 80 for check in checks)

    @pytest.mark.parametrize("further", [0, 1])
    def test_a_future_item_in_the_history(
        self, chain: Chain, table: Interactions, monkeypatch: pytest.MonkeyPatch, further: int, kind: str
    ) -> None:
        past, pasts = Interactions.history, Interactions.histories

        def leaky(self: Interactions, row: int, *rest: Any) -> np.ndarray:
            return np.append(past(self, row, *rest), min(row + further, len(self) - 1))

        def leaky_too(self: Interactions, rows: np.ndarray, *rest: Any) -> np.ndarray:
            later = np.minimum(rows + further, len(self) - 1)
            return np.column_stack([pasts(self, rows, *rest)[:, 1:], later])

        monkeypatch.setattr(Interactions, "history", leaky)
        monkeypatch.setattr(Interactions, "histories", leaky_too)
        for check in self.checked(chain, table, kind):
            assert check.verdict == "FAILED"
            assert "prompts change with what follows their row, the first at user" in check.said

    def test_a_question_that_sees_an_earlier_one(
        self, chain: Chain, table: Interactions, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        """A question in view of later ones would hand them what lies beyond their window."""
        add = packing.Row.add

        def shared(self: packing.Row, *parts: Any, **options: Any) -> None:
            add(self, *parts, **options | {"shared": True})

        monkeypatch.setattr(packing.Row, "add", shared)
        verdicts = {check.verdict for check in self.checked(chain, table, kind)}
        assert verdicts == {"passed" if kind == "prompt" else "FAILED"}

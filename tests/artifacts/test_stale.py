"""What was made from other data, other parameters or other models is refused, with the command to run."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_chain import Chain

from thinkrec.artifacts.manifest import read_manifest, write_manifest
from thinkrec.config.write import params_text
from thinkrec.layout import Layout
from thinkrec_cli.main import run


def change(chain: Chain, **sections: dict[str, Any] | int) -> None:
    """Write params.yaml with other values."""
    said = chain.params.model_dump(mode="json", by_alias=True)
    for name, values in sections.items():
        if isinstance(values, dict):
            said[name] |= values
        else:
            said[name] = values
    text = params_text(type(chain.params).model_validate(said))
    Path("params.yaml").write_text(text, encoding="utf-8")


def told(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str]:
    code = run([*command, "--dataset", "demo"])
    return code, capsys.readouterr().err.splitlines()[-1]


def without_users(*gone: str) -> None:
    """Remove users from the raw files, as if they had asked for it."""
    for name in ("users", "ratings", "truth"):
        path = Path("data/raw/demo") / f"{name}.csv"
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
        place = header.index("user")
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *(row for row in rows if row[place] not in gone)])


def test_two_users_gone_from_the_raw_files(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("data/raw/demo/users.csv").open(newline="", encoding="utf-8") as file:
        users = [row["user"] for row in csv.DictReader(file)]
    without_users(*users[:2])
    assert run(["prep", "--dataset", "demo"]) == 0
    assert told(capsys, "evaluate") == (
        5,
        "error: data/demo/rationales.parquet was made from another data/demo/interactions.parquet than there "
        "is now: run `thinkrec synthesize --dataset demo` again and the stages after it",
    )
    code, said = told(capsys, "cluster")
    assert code == 6
    assert "models/demo/cf was made from another data/demo/interactions.parquet" in said
    assert told(capsys, "compare", "mf", "gbdt")[0] == 5


def test_groups_of_another_encoder(chain: Chain, project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    other = next(name for name in chain.params.cf.models if name != chain.params.cluster.encoder)
    change(chain, cluster={"encoder": other})
    assert told(capsys, "evaluate") == (
        6,
        f"error: models/demo/clusters was made with cluster.encoder: {chain.params.cluster.encoder!r}, "
        f"params.yaml says {other!r} now: run `thinkrec cluster --dataset demo` again and the stages after "
        "it, or set it back",
    )
    assert run(["cluster", "--dataset", "demo"]) == 0
    code, said = told(capsys, "evaluate")
    assert code == 6
    assert (
        "models/demo/adapters/thinkrec/experts was made from another models/demo/clusters than there is now"
        in said
    )


def test_one_group_where_there_were_two(
    chain: Chain, project: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    change(chain, cluster={"groups": 1})
    assert run(["cluster", "--dataset", "demo"]) == 0
    code, said = told(capsys, "evaluate")
    assert code == 6
    assert "run `thinkrec experts --dataset demo` again and the stages after it" in said


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"prompt": {"history_labels": False}}, "prompt.history_labels: True, params.yaml says False"),
        ({"prompt": {"keywords": 0}}, "prompt.keywords: 3, params.yaml says 0"),
        ({"seed": 100}, "seed: 7, params.yaml says 100"),
        ({"loss": {"score": "yes_logit"}}, "loss.score: 'yes_minus_no', params.yaml says 'yes_logit'"),
    ],
)
def test_parameters_that_prompts_and_scores_hang_on(
    chain: Chain, project: Layout, capsys: pytest.CaptureFixture[str], sections: dict[str, Any], named: str
) -> None:
    change(chain, **sections)
    for command in ("evaluate", "projector"):
        code, said = told(capsys, command)
        assert code in (5, 6)
        assert named in said
        assert said.endswith("or set it back")


def test_a_key_that_came_after_the_training_had_its_initial_value(
    chain: Chain, project: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in ("synthesize", "global"):
        noted = read_manifest(project, stage)
        del noted["params"]["prompt"]["reception"]
        kept = {key: noted[key] for key in ("inputs", "params", "outputs", "code") if key in noted}
        write_manifest(project, stage, **kept)
    assert run(["compare", "thinkrec", "gbdt", "--dataset", "demo"]) == 0
    change(chain, prompt={"reception": True})
    code, said = told(capsys, "experts")
    assert code in (5, 6)
    assert "was made with prompt.reception: False, params.yaml says True now" in said


def test_other_parameters_are_a_warning(
    chain: Chain, project: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    change(chain, cluster={"groups": 1})
    assert run(["compare", "mf", "gbdt", "--dataset", "demo"]) == 0
    assert "models/demo/clusters was made with cluster.groups: 2, params.yaml says 1 now" in caplog.text


def test_an_item_is_gone(project: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(project.items)
    pq.write_table(table.slice(0, len(table) - 1), project.items)
    for command in ("summarize", "cf", "evaluate", "stats"):
        assert told(capsys, command)[0] == 5


def test_a_model_folder_outside_that_changed(
    chain: Chain, project: Layout, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from architectures import write_model

    write_model(tmp_path / "qwen", "qwen3")
    change(chain, backbone={"model": str(tmp_path / "qwen")})
    assert run(["backbone", "--dataset", "demo"]) == 0
    config = tmp_path / "qwen" / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("rms_norm_eps", "rms_norm_epsilon"))
    code, said = told(capsys, "global")
    assert code == 6
    assert "config.json has changed since models/demo/backbone was made of that model: put it back" in said
    assert said.endswith(
        "as it was, or if you meant to change the model run `thinkrec backbone --dataset demo` again, and "
        "the stages after it"
    )
    config.unlink()
    assert "config.json is gone since models/demo/backbone was made" in told(capsys, "global")[1]
    shutil.rmtree(tmp_path / "qwen")
    assert told(capsys, "global")[0] == 6

"""Completion in a shell: names of data sets, variants and scored systems; never an error."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from thinkrec.config.sections import Params
from thinkrec.config.write import params_text
from thinkrec.layout import Layout
from thinkrec_cli.commands import COMMANDS, main
from thinkrec_cli.main import COMPLETE, run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two data sets, of which each has scored other systems."""
    source = {"reader": "demo", "raw": "data/raw/demo", "watch": "data/raw/demo"}
    params = Params.model_validate({"datasets": {"demo": source, "my-films": source}})
    (tmp_path / "params.yaml").write_text(params_text(params), encoding="utf-8")
    scored = ("demo/predictions/frozen/mf", "demo/predictions/rolling/mf.users")
    for path in (*scored, "demo/predictions/frozen/gbdt", "my-films/predictions/frozen/sasrec"):
        file = tmp_path / "reports" / f"{path}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    for dataset, encoder in (("demo", "mf"), ("my-films", "lightgcn")):
        Layout(dataset).encoder(encoder).mkdir(parents=True)
    return tmp_path


def complete(*args: str) -> list[str]:
    """Complete the last of some arguments."""
    *before, begun = args
    found = ShellComplete(main, {}, "thinkrec", COMPLETE).get_completions(before, begun)
    return [each.value for each in found]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["stats", "--dataset", ""], ["demo", "my-films"]),
        (["global", "--dataset", "my"], ["my-films"]),
        (["global", "--dataset", "x"], []),
        (["global", "--variant", "tall"], ["tallrec"]),
        (["compare", ""], ["gbdt", "mf", "sasrec"]),
        (["compare", "--dataset", "demo", "mf", ""], ["gbdt", "mf"]),
        (["compare", "--dataset", "my-films", "s"], ["sasrec"]),
        (["compare", "--dataset", "../no name", ""], []),
        (["--log-format", ""], ["text", "json"]),
        (["preset", "paper"], ["paper", "paper-8gpu"]),
        (["recommend", "--system", "light"], ["lightgcn"]),
        (["explain", "--system", "collm"], ["collm-no-projector", "collm"]),
        (["serve", "--system", "gbdt"], ["gbdt"]),
        (["mcp", "--system", "tall"], ["tallrec"]),
        (["audit", "--systems", "tall"], ["tallrec"]),
        (["audit", "--systems", "mf"], []),
        (["search", "--model", "light"], ["lightgcn"]),
        (["search", "--model", "gb"], ["gbdt"]),
        (["recommend", "--from", ""], ["mf:200", "lightgcn:200"]),
        (["recommend", "--dataset", "my-films", "--from", ""], ["lightgcn:200"]),
        (["serve", "--dataset", "demo", "--from", "m"], ["mf:200"]),
        (["recommend", "--from", "mf", ":", "200", "--system", "light"], ["lightgcn"]),  # as bash splits it
    ],
)
def test_names(project: Path, args: list[str], expected: list[str]) -> None:
    assert complete(*args) == expected


def test_every_system_but_floors_is_offered(project: Path) -> None:
    from thinkrec.systems.registry import SYSTEMS

    assert set(complete("recommend", "--system", "")) == {
        name for name, system in SYSTEMS.items() if system.kind != "floor"
    }


def test_completion_imports_nothing_heavy(project: Path) -> None:
    code = (
        "import sys\nfrom click.shell_completion import ShellComplete\n"
        "from thinkrec_cli.commands import main\n"
        "ask = ShellComplete(main, {}, 'thinkrec', 'X').get_completions\n"
        "for args in (['recommend', '--system'], ['preset'], ['recommend', '--from'], ['search', '--model'],"
        " ['audit', '--systems']):\n    assert ask(args, ''), args\n"
        "print([name for name in ('numpy', 'pyarrow', 'torch', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_commands() -> None:
    assert complete("") == list(COMMANDS)


@pytest.mark.parametrize("text", [None, "datasets: [", "datasets: 7\n", "- a\n", "\0"])
def test_a_broken_project_completes_nothing_and_says_nothing(
    project: Path, capfd: pytest.CaptureFixture[str], text: str | None
) -> None:
    (project / "params.yaml").unlink()
    if text is not None:
        (project / "params.yaml").write_text(text)
    assert complete("stats", "--dataset", "") == []
    assert complete("compare", "--dataset", "none", "") == []
    assert complete("search", "--model", "") == []
    assert complete("recommend", "--from", "") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_answers_a_shell(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    monkeypatch.setenv(COMPLETE, f"{shell}_source")
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda *_: None)
    assert run([]) == 0
    assert f"_THINKREC_COMPLETE={shell}_complete" in capsys.readouterr().out
    monkeypatch.setenv(COMPLETE, f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", "thinkrec stats --dataset my")
    monkeypatch.setenv("COMP_CWORD", "my" if shell == "fish" else "3")
    assert run([]) == 0
    assert "my-films" in capsys.readouterr().out

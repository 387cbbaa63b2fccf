"""README and docs: every block of shell, Python and YAML is run or checked, and every link leads somewhere.

A new command on a page needs no line here. What is not run is in NOT_RUN, with the reason; programs that are
not ours are in OTHERS.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
from pages import PAGES, ROOT, Block, Command, blocks, broken, commands, prose
from ruamel.yaml import YAML

from thinkrec.config.sections import Params
from thinkrec.config.shared import with_shared
from thinkrec.config.tree import dumped
from thinkrec.pipeline import STAGES
from thinkrec_cli.commands import main
from thinkrec_cli.main import run

LANGUAGES = {
    "sh": "each command is parsed, most are run",
    "python": "run, page by page",
    "yaml": "validated as a part of params.yaml",
    "json": "read; commands of ours in it are parsed",
    "mermaid": "drawn by code hosts",
    "": "what a program printed",
    "{eval-rst}": "built by Sphinx, whose warnings are errors",
}
_TRAINS = "trains or scores a language model: tests/stages/test_training.py, tests/stages/test_evaluate.py"
NOT_RUN: dict[str, str] = {
    **dict.fromkeys(("global", "experts", "projector", "evaluate"), _TRAINS),
    **{
        name: "trains a language model: tests/stages/test_agent_stages.py"
        for name, stage in STAGES.items()
        if stage.over == "agents"
    },
    "backbone": "may fetch from the network: tests/stages/test_backbone.py",
    "fetch": "loads from the network: tests/llm/test_sources.py, tests/cli/test_cli_main.py",
    "init --upgrade": "needs a dvc.yaml that init made: tests/cli/test_project.py",
    "code": "tests/cli/test_project.py runs it in a project that init made",
    "audit": "trains every encoder again: tests/audit/test_audit_stage.py",
    "compare --published": "no figures of demo are published: tests/cli/test_compare_published.py",
    "export hub:someone/taste": "sends to the network: tests/llm/test_hub.py",
    "replay": "the small project has no episodes: tests/stages/test_agent_stages.py",
    "serve": "runs until it is stopped: tests/serve/test_serve_command.py",
    "mcp": "runs until it is stopped: tests/serve/test_mcp.py",
}
"""Commands, or commands with a word, that are parsed and not run, why, and the tests that run them.

With `--dry-run` they are run.
"""
CHEAPER = {"doctor": ["--no-network"], "search": ["--trials", "1"]}
"""Options that commands are run with here, besides their own."""
OTHERS = {
    ".": "the shell's own",
    "cd": "the shell's own",
    "export": "the shell's own",
    "eval": "the shell's own",
    "git": "not ours",
    "curl": "asks a running server",
    "pytest": ".ci/run runs the line of README",
    "python3": "makes the environment; .ci/run runs the line of README",
    "ssh": "another machine",
    "source": "the shell's own",
}
"""Programs that are not ours: nothing of their lines is checked."""
PLACEHOLDERS = {"NAME": "demo", "U": "u0001", "USER": "u0001", "ITEM": "i0001"}
EVERY = [block for page in PAGES for block in blocks(page)]
SHELL = [command for block in EVERY if block.language == "sh" for command in commands(block)]
PYTHON = {
    page.name: own
    for page in PAGES
    if (own := [block for block in blocks(page) if block.language == "python"])
}
ENTRY = re.compile(r"`(thinkrec [^`\n]+)`")
HISTORY = "experiments.md"
"""The page whose commands are those of their day."""


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    unknown = [f"{block}: {block.language}" for block in EVERY if block.language not in LANGUAGES]
    assert not unknown
    assert {"sh", "python", "yaml"} <= {block.language for block in EVERY}
    fences = sum(len(re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.M)) for page in PAGES)
    assert fences == 2 * len(EVERY)


def ours(words: Sequence[str]) -> list[str] | None:
    """The arguments of thinkrec in a command line, also behind a launcher; None of another program."""
    if words[0] == "torchrun":
        return list(words[words.index("thinkrec)") + 1 :])
    return list(words[1:]) if words[0] == "thinkrec" else None


def parsed(arguments: Sequence[str], complete: bool = True) -> click.Context | None:
    """Parse a command line as thinkrec does, without running it.

    Args:
        arguments: after `thinkrec`.
        complete: a missing argument or option is an error.

    Raises:
        click.UsageError: there is no such command or option, or a value is wrong.
    """
    root = main.make_context("thinkrec", list(arguments))
    place = next((place for place, word in enumerate(arguments) if not word.startswith("-")), None)
    if place is None:  # `thinkrec --debug ...`
        return root
    name, command, rest = main.resolve_command(root, list(arguments[place:]))
    assert command is not None
    try:
        return command.make_context(name, list(rest), parent=root)
    except click.MissingParameter:
        if complete:
            raise
        return None


def parsed_but_for_files(arguments: Sequence[str]) -> None:
    """The same, where a file or folder that the page names need not be there."""
    try:
        assert parsed(arguments)
    except click.BadParameter as error:
        assert "does not exist" in error.format_message()


def on_the_small_project(arguments: Sequence[str]) -> list[str]:
    """The same with the small project's data set, users and items in place of a page's."""
    words = [PLACEHOLDERS.get(word, word) for word in arguments]
    return [
        "demo" if before == "--dataset" else word for before, word in zip(["", *words], words, strict=False)
    ]


def reason_not_to_run(arguments: Sequence[str]) -> str | None:
    if "--dry-run" in arguments:
        return None
    for key, reason in NOT_RUN.items():
        name, _, option = key.partition(" ")
        if arguments[0] == name and (not option or option in arguments):
            return reason
    return None


OURS = list({command.words: command for command in SHELL if ours(command.words) is not None}.values())
"""Each command of thinkrec once."""


def test_every_program_is_known() -> None:
    known = {"thinkrec", "torchrun", "dvc", "pip", "python", *OTHERS}
    assert not [str(command) for command in SHELL if command.words[0] not in known]
    assert OURS


@pytest.mark.slow
@pytest.mark.parametrize("command", OURS, ids=str)
def test_command_of_thinkrec(command: Command, request: pytest.FixtureRequest) -> None:
    arguments = on_the_small_project(ours(command.words) or [])
    if reason_not_to_run(arguments) is not None:
        parsed_but_for_files(arguments)
        return
    request.getfixturevalue("project")
    assert run([*arguments, *CHEAPER.get(arguments[0], [])]) == 0


@pytest.mark.parametrize("key", NOT_RUN)
def test_a_command_that_is_not_run_here_is_in_the_tests_that_are_named(key: str) -> None:
    paths = [ROOT / path for path in re.findall(r"tests/[\w/]+\.py", NOT_RUN[key])]
    assert paths
    texts = [path.read_text(encoding="utf-8") for path in paths]
    name = key.partition(" ")[0]
    assert any(re.search(rf"\b{re.escape(name)}\b", text) for text in texts)


def test_what_is_not_run_is_still_on_a_page() -> None:
    said = [on_the_small_project(ours(command.words) or []) for command in OURS]
    reasons = [reason_not_to_run(arguments) for arguments in said]
    assert any(reason is None for reason in reasons)
    for name in ("fetch", "init --upgrade", "audit", "compare --published", "replay", "serve", "mcp"):
        assert NOT_RUN[name] in reasons, name


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != HISTORY], ids=lambda page: page.name)
def test_commands_in_prose_exist(page: Path) -> None:
    for line in ENTRY.findall(prose(page)):
        arguments = [word for word in line.split()[1:] if word != "..."]
        if not re.fullmatch(r"[A-Z|]+", arguments[0]):  # `thinkrec STAGE`
            try:
                parsed(on_the_small_project(arguments), complete=False)
            except click.BadParameter as error:  # `--case NUMBER`
                assert re.search(r"\b[A-Z]+\b", line), error.format_message()


def overlaid(values: dict[str, Any], further: dict[str, Any]) -> dict[str, Any]:
    """Plain values with further ones written over them."""
    both = {**values}
    for key, value in further.items():
        below = both.get(key)
        both[key] = overlaid(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return both


def with_values(further: dict[str, Any]) -> Params:
    """The default parameters with further values, as params.yaml would have them.

    Shared sections hold for the others, unless these say otherwise.
    """
    default = dumped(Params())
    own = {name: {} for name in ("global", "experts", "projector")}
    shared = with_shared({**{key: further.get(key, {}) for key in ("training", "endpoint")}, **own})
    inherited = {key: value for key, value in shared.items() if value}
    return Params.model_validate(overlaid(overlaid(default, inherited), further))


@pytest.mark.parametrize("block", [block for block in EVERY if block.language == "yaml"], ids=str)
def test_yaml_is_a_part_of_params(block: Block) -> None:
    values = YAML(typ="safe", pure=True).load(block.text)
    assert isinstance(values, dict)
    if not set(values) <= set(dumped(Params())):  # entries of `datasets`, shown without it
        values = {"datasets": values}
    params = dumped(with_values(values))
    assert overlaid(params, values).keys() == params.keys()


def launched(values: Any) -> list[list[str]]:
    """Command lines in a program's settings: mappings with `command` and `args`."""
    inner = list(values.values()) if isinstance(values, dict) else values if isinstance(values, list) else []
    own = (
        [[values["command"], *values.get("args", ())]]
        if isinstance(values, dict) and "command" in values
        else []
    )
    return own + [line for each in inner for line in launched(each)]


@pytest.mark.parametrize("block", [block for block in EVERY if block.language == "json"], ids=str)
def test_json_can_be_read_and_its_commands_exist(block: Block) -> None:
    for program, *arguments in launched(json.loads(block.text)):
        assert Path(program).name == "thinkrec"
        parsed_but_for_files(on_the_small_project(arguments))


def test_commands_in_json_are_found() -> None:
    assert launched({"servers": [{"a": {"command": "thinkrec", "args": ["mcp"]}}]}) == [["thinkrec", "mcp"]]


def dvc_repro(targets: Sequence[str]) -> None:
    stages = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for target in targets:
        assert target.partition("@")[0] in {*stages, *STAGES, "STAGE"}, target


def dvc_values(settings: Sequence[str]) -> None:
    for setting in settings:
        key, _, value = setting.removeprefix("+").partition("=")
        nested: Any = YAML(typ="safe", pure=True).load(value)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        assert with_values(nested)


@pytest.mark.parametrize("command", [one for one in SHELL if one.words[0] == "dvc"], ids=str)
def test_command_of_dvc(command: Command) -> None:
    from dvc.cli.parser import get_main_parser

    asked = get_main_parser().parse_args(list(command.words[1:]))
    if command.words[1] != "add":  # its targets are files
        dvc_repro(getattr(asked, "targets", None) or [])
    dvc_values(getattr(asked, "set_param", None) or [])


@pytest.mark.parametrize("command", [one for one in SHELL if one.words[0] in ("pip", "python")], ids=str)
def test_command_of_python(command: Command) -> None:
    program, *words = command.words
    if program == "python":
        assert find_spec(words[1]) if words[0] == "-m" else (ROOT / words[0]).is_file()
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        if extra := re.fullmatch(r"\.\[(.+)\]|thinkrec\[(.+)\]", word):
            assert set((extra[1] or extra[2]).split(",")) <= set(project["optional-dependencies"])
    assert "-c" not in words or (ROOT / words[words.index("-c") + 1]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", PYTHON)
def test_python_of_a_page(name: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in PYTHON[name]:
        exec(compile("\n" * (block.line - 1) + block.text, str(ROOT / block.page), "exec"), names)
    assert "print(" not in "".join(block.text for block in PYTHON[name]) or capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken(page)


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b`: c\n\n[a](#a-b-c) [b](#b) [c](none.md) [d](page.md#a-b-c) [e](page.md#e)\n")
    assert broken(page) == ["#b", "none.md", "page.md#e"]


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (parsed, ["global", "--data", "demo"]),
        (parsed, ["glbal", "--dataset", "demo"]),
        (parsed, ["compare", "a", "b", "--dataset", "demo", "--draws", "many"]),
        (dvc_repro, ["evaluat@demo"]),
        (dvc_values, ["training.epoch=1"]),
        (dvc_values, ["training.epochs=none"]),
        (with_values, {"backbone": {"modell": "x"}}),
        (with_values, {"datasets": {"mine": {"reader": "custom"}}}),
    ],
)
def test_a_wrong_snippet_is_noticed(check: Callable[[Any], Any], line: Any) -> None:
    with pytest.raises((click.UsageError, AssertionError, ValueError)):
        check(line)

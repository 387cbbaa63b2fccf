"""`.ci/packages.py`: licences and known vulnerabilities of what thinkrec stands on."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def packages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("packages", ROOT / ".ci" / "packages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("licence", "good"),
    [
        ("MIT", True), ("Apache-2.0", True), ("LGPL-3.0-or-later", True), ("MPL-2.0", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", True), ("Python Software Foundation License", True),
        ("GPL-3.0-or-later", False), ("GNU General Public License v2 (GPLv2)", False), ("AGPL-3.0", False),
        ("GNU Affero General Public License v3", False), ("GPLv2 with linking exception", False),
        ("SSPL-1.0", False), ("UNKNOWN", False), ("", False), ("Other/Proprietary License", False),
        ("LicenseRef-NVIDIA-Proprietary", False), ("NVIDIA Proprietary Software", False),
        ("CC-BY-NC-4.0", False), ("BUSL-1.1", False), ("EUPL-1.2", False), ("MIT with Commons Clause", False),
        ("European Union Public Licence 1.2 (EUPL 1.2)", False), ("MIT License with Commons Clause", False),
        ("Apache-2.0 OR GPL-2.0-or-later", True), ("Apache-2.0 AND GPL-2.0-or-later", False),
        ("MPL-2.0 AND (Apache-2.0 OR GPL-3.0-only)", True), ("MIT AND (BUSL-1.1 AND MIT)", False),
        ("MIT License; Other/Proprietary License", False), ("Apache Software License; MIT License", True),
        ("GPL-3.0-only OR BUSL-1.1 AND MIT", False),
    ],
)  # fmt: skip
def test_licences(packages: ModuleType, licence: str, good: bool) -> None:
    package = {"Name": "Some.Package", "Version": "1", "License": licence}
    assert packages.faults([package], {}) == ([] if good else [f"Some.Package 1: {licence}"])
    assert packages.faults([package], {"some-package": "a reason"}) == []


def test_an_exception_for_all_packages_of_a_name(packages: ModuleType) -> None:
    said = [{"Name": f"{name}-x", "Version": "1", "License": "Proprietary"} for name in ("nvidia", "some")]
    assert packages.faults(said, {"nvidia-*": "a reason"}) == ["some-x 1: Proprietary"]


def test_a_part_that_was_skipped_is_in_the_result() -> None:
    """By the result block of `.ci/run`, after parts that end with these exit codes."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    part = text[text.index("failed=()") : text.index("readme_tests()")]
    result = text[text.index("printf '\\n=== result") :].replace('tail -n 1 "$temporary/pytest.txt"', "")

    def ended(*codes: int) -> tuple[int, list[str]]:
        parts = "\n".join(f"part p{code} eval '(exit {code})'" for code in codes)
        script = f"set -uo pipefail\n{part}\n{parts}\n{result}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.returncode, done.stdout.partition("=== result\n")[2].splitlines()

    assert ended(0) == (0, ["all parts passed"])
    assert ended(0, 75) == (0, ["skipped: p75", "all other parts passed"])
    assert ended(75, 2, 1) == (1, ["skipped: p75", "failed: p2", "failed: p1"])


def test_what_a_user_gets_is_looked_at(packages: ModuleType) -> None:
    found, absent = packages.needed()
    assert {"torch", "dvc", "s3fs", "fastapi", "mcp"} <= found | absent
    assert {"torch", "dvc", "pygit2"} <= found and "pytest" not in found


def test_every_exception_has_a_reason() -> None:
    found = tomllib.loads((ROOT / ".ci" / "exceptions.toml").read_text(encoding="utf-8"))
    assert set(found) == {"licences", "vulnerabilities"}
    assert all(len(reason) > 20 for section in found.values() for reason in section.values())


def report(*vulnerable: str, unknown: int = 0) -> str:
    """What pip-audit prints."""
    good = [{"name": "torch", "version": "2.13.0", "vulns": []}]
    bad: list[dict[str, Any]] = [
        {
            "name": name, "version": "1.0",
            "vulns": [{"id": f"PYSEC-{name}", "aliases": [f"CVE-{name}"], "fix_versions": ["1.1"]}],
        }
        for name in vulnerable
    ]  # fmt: skip
    skipped = [{"name": f"p{k}", "skip_reason": "not found"} for k in range(unknown)]
    return json.dumps({"dependencies": [*([] if unknown else good), *bad, *skipped], "fixes": []})


@pytest.mark.parametrize(
    ("said", "excepted", "code", "words"),
    [
        (report(), {}, 0, "audit of 1 of 1 packages by pypi: 0 wrong\n"),
        (report("a"), {}, 1, "a 1.0: PYSEC-a; fixed in 1.1\naudit of 2 of 2 packages by pypi: 1 wrong\n"),
        (report("a"), {"CVE-a": "not reached"}, 0, "audit of 2 of 2 packages by pypi: 0 wrong\n"),
        (report("a", "b"), {"PYSEC-a": "not reached"}, 1, "b 1.0: PYSEC-b; fixed in 1.1\n"),
        (report(unknown=3), {}, 75, "skipped: no service of vulnerabilities can be reached (pypi, osv)\n"),
        ("", {}, 75, "skipped: no service of vulnerabilities can be reached (pypi, osv)\n"),
    ],
)
def test_what_the_audit_says(
    packages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    said: str, excepted: dict[str, str], code: int, words: str,
) -> None:  # fmt: skip
    """By a stand-in for pip-audit that prints a report, or fails as where there is no network."""
    (tmp_path / "report").write_text(said)
    tool = tmp_path / "pip-audit"
    tool.write_text(f"#!/bin/sh\ncat {tmp_path}/report\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert packages.audit(excepted) == code
    assert words in capsys.readouterr().out

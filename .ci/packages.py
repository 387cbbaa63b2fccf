"""What thinkrec stands on: `licences` of the packages that it needs, `audit` of all pinned ones.

Both end with 1 where something is wrong that `.ci/exceptions.toml` does not name with a reason; `audit` ends
with 75 where it could not be made.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS = ("s3", "serve")
"""What a user may install; packages of tests and docs are not passed on."""
ALLOWED = frozenset(
    """
    0bsd; apache 2.0 license; apache license 2.0; apache license, version 2.0; apache software license;
    apache-2.0; apache-2.0 with llvm-exception; blueoak-1.0.0; bsd; bsd license; bsd-2-clause; bsd-3-clause;
    bsl-1.0; cc0-1.0; cnri-python; gnu lesser general public license v3 (lgplv3); isc; isc license;
    isc license (iscl); lgpl-2.1-or-later; lgpl-3.0-or-later; mit; mit license; mit-0; mit-cmu; mpl-2.0;
    mozilla public license 2.0 (mpl 2.0); psf-2.0; python software foundation license; python-2.0;
    the unlicense (unlicense); unlicense; zlib; zope public license; zpl-2.1
    """.replace("\n    ", " ")
    .strip()
    .split("; ")
)
"""Licences that go with Apache-2.0 for a package that thinkrec imports, as packages write them."""
_GROUP = re.compile(r"\(([^()]* (?:AND|OR) [^()]*)\)")
SERVICES = ("pypi", "osv")
SECONDS = 300
SKIPPED = 75
"""Exit code of an audit that could not be made."""


def needed() -> tuple[set[str], set[str]]:
    """Return the packages that thinkrec needs, and those of them that are not installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [project["dependencies"], *(project["optional-dependencies"][name] for name in EXTRAS)]
    waiting = [each for own in lines for each in _wanted(own, "")]
    seen = set[tuple[str, str]]()
    found, absent = set[str](), set[str]()
    while waiting:
        package, extra = waiting.pop()
        if (package, extra) in seen:
            continue
        seen.add((package, extra))
        try:
            waiting += _wanted(distribution(package).requires or (), extra)
            found.add(package)
        except PackageNotFoundError:
            absent.add(package)
    return found, absent


def _wanted(lines: Iterable[str], extra: str) -> list[tuple[str, str]]:
    """Return the packages of requirements that hold here for an extra, each with none and its own extras."""
    return [
        (canonicalize_name(each.name), own)
        for each in map(Requirement, lines)
        if not each.marker or each.marker.evaluate({"extra": extra})
        for own in ("", *each.extras)
    ]


def faults(packages: list[dict[str, str]], excepted: dict[str, str]) -> list[str]:
    """Return a line for each package whose licence is not allowed, unless it is excepted.

    Args:
        packages: `Name`, `Version` and `License` of each.
        excepted: reasons by package; a name may end in `*`.
    """
    return [
        f"{each['Name']} {each['Version']}: {each['License']}"
        for each in packages
        if not allowed(each["License"])
        and not any(fnmatch(canonicalize_name(each["Name"]), name) for name in excepted)
    ]


def allowed(licence: str) -> bool:
    """Test whether a licence is allowed: of `A OR B` one, of `A AND B` and of a list `A; B` all."""
    while group := _GROUP.search(licence):
        said = "MIT" if allowed(group[1]) else "not allowed"
        licence = licence[: group.start()] + said + licence[group.end() :]
    return all(
        any(
            all(name.strip().lower() in ALLOWED for name in option.split(" AND "))
            for option in part.split(" OR ")
        )
        for part in licence.split(";")
    )


def licences(excepted: dict[str, str]) -> int:
    """Check the licences of all packages that a user gets."""
    found, absent = needed()
    options = ["--python", sys.executable, "--from=mixed", "--format=json", "--with-system"]
    packages = json.loads(_said(["pip-licenses", *options, "--packages", *sorted(found)]))
    wrong = faults(packages, excepted)
    unused = sorted(name for name in excepted.keys() - found - absent if not name.endswith("*"))
    wrong += [f"{name}: exceptions.toml names it, and thinkrec does not need it" for name in unused]
    for line in wrong:
        print(line)
    if absent:
        print(f"not installed, so not looked at: {', '.join(sorted(absent))}")
    print(f"licences of {len(packages)} packages: {len(wrong)} wrong, {len(excepted)} excepted")
    return int(bool(wrong))


def vulnerabilities(report: dict[str, Any], excepted: dict[str, str]) -> tuple[int, list[str]]:
    """Return how many packages of a report were looked up, and a line for each vulnerability."""
    looked_up = [each for each in report["dependencies"] if "vulns" in each]
    lines = [
        f"{each['name']} {each['version']}: {found['id']}; fixed in "
        f"{', '.join(found.get('fix_versions', ())) or 'no version yet'}"
        for each in looked_up
        for found in each["vulns"]
        if not {found["id"], *found.get("aliases", ())} & excepted.keys()
    ]
    return len(looked_up), lines


def audit(excepted: dict[str, str]) -> int:
    """Look up the pinned packages; SKIPPED where no service can be reached, which is no fault."""
    options = ["-r", str(ROOT / "requirements.lock"), "--no-deps", "--disable-pip", "--format", "json"]
    for service in SERVICES:
        try:
            report = json.loads(_said(["pip-audit", "-s", service, *options, "--progress-spinner", "off"]))
        except (json.JSONDecodeError, subprocess.TimeoutExpired):
            continue
        count, wrong = vulnerabilities(report, excepted)
        if not count:  # an index that is no PyPI knows no package: pip-audit calls that fine
            continue
        for line in wrong:
            print(line)
        total = len(report["dependencies"])
        print(f"audit of {count} of {total} packages by {service}: {len(wrong)} wrong")
        return int(bool(wrong))
    print(f"skipped: no service of vulnerabilities can be reached ({', '.join(SERVICES)})")
    return SKIPPED


def _said(command: list[str]) -> str:
    """Run a tool and return what it prints, whatever its exit code: pip-audit's is 1 for all it finds."""
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS).stdout


if __name__ == "__main__":
    reasons = tomllib.loads((ROOT / ".ci" / "exceptions.toml").read_text(encoding="utf-8"))
    if sys.argv[1:] == ["licences"]:
        sys.exit(licences(reasons["licences"]))
    if sys.argv[1:] == ["audit"]:
        sys.exit(audit(reasons["vulnerabilities"]))
    sys.exit("usage: python .ci/packages.py licences|audit")

"""The docs site builds without a warning and loads nothing from the network; generated pages are current."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pages import ROOT

from thinkrec.config.presets import PRESETS
from thinkrec.config.sections import Params
from thinkrec.config.shared import SHARED
from thinkrec.config.tree import leaves
from thinkrec.pipeline import STAGES
from thinkrec_cli.pages import config_page, stages_page

DOCS = ROOT / "docs"
LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


class Loads(HTMLParser):
    """Collects what a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if value and LOADS.get(tag) == name]


def remote(text: str) -> list[str]:
    """Addresses of other hosts that a page loads."""
    page = Loads()
    page.feed(text)
    return [address for address in page.found if re.match(r"(?:\w+:)?//", address)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_site_has_all_pages_in_its_menu(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    menu = start[start.index("sidebar-tree") : start.index("</aside>", start.index("sidebar-tree"))]
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert set(re.findall(r'href="([\w-]+)\.html"', menu)) == pages


@pytest.mark.slow
def test_site_loads_nothing_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(list(DOCS.glob("*.md")))
    assert not [(page.name, found) for page in pages if (found := remote(page.read_text(encoding="utf-8")))]
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), (
            style
        )


def test_what_is_loaded_from_the_network_is_noticed() -> None:
    text = (
        '<a href="https://a.b"></a><script src="//a.b/c.js"></script><img src="d.svg"><link href="https://e">'
    )
    assert remote(text) == ["//a.b/c.js", "https://e"]


@pytest.mark.slow
def test_api_page_has_docstrings(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    for name in (
        "thinkrec.load",
        "thinkrec.recommender.Recommender.recommend",
        "thinkrec.errors.RequestError",
    ):
        assert f'id="{name}"' in page
    assert "Rank items that a user of the data set has not interacted with" in page


def test_picture_is_legible_on_light_and_dark_pages_and_has_a_description() -> None:
    picture = (DOCS / "pictures" / "concepts.svg").read_text(encoding="utf-8")
    assert all(part in picture for part in ("prefers-color-scheme: dark", "<title", "<desc", 'class="page"'))


def test_generated_pages_are_up_to_date() -> None:
    assert (DOCS / "config.md").read_text(encoding="utf-8") == config_page()
    text = (DOCS / "stages.md").read_text(encoding="utf-8")
    assert stages_page(text) == text


def test_config_page_has_every_key_and_preset() -> None:
    page = config_page()
    section, known = "", set()
    for line in page.splitlines():
        if line.startswith("## "):
            section = "" if line == "## The whole run" else f"{line[3:]}."
        elif found := re.match(r"\| `([\w.-]+)` \|", line):
            known.add(f"{section}{found[1]}")
    inherited = {
        key
        for place in SHARED.values()
        for path in place
        for key in leaves(Params)
        if key.startswith(f"{'.'.join(path)}.")
    }
    encoders = {key for key in leaves(Params) if key.startswith("cf.encoders.")}
    assert set(leaves(Params)) - {"datasets", "tuned"} - inherited - encoders <= known
    assert {key.rsplit(".", 1)[0] for key in encoders} <= known
    assert {
        "datasets.separator",
        "datasets.five_core",
        "datasets.train_until",
        "experts.learning_rate",
    } <= known
    table = page[page.index("## Presets") :]
    assert all(f"| `{key}` |" in table for preset in PRESETS.values() for key in preset)


def test_stages_page_says_what_is_read_and_written() -> None:
    page = (DOCS / "stages.md").read_text(encoding="utf-8")
    part = page[page.index("<!-- projector -->") : page.index("## evaluate\n")]
    assert "from `cluster` `models/NAME/clusters`" in part
    assert "| `models/NAME/adapters/VARIANT/projector` | projector.safetensors, config.json |" in part
    assert "thinkrec projector --dataset NAME --dry-run" in part
    assert [name for name in re.findall(r"^## ([\w-]+)$", page, re.M) if name in STAGES] == list(STAGES)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("<!-- prep -->", "<!-- prepp -->"),
        lambda text: text.replace("<!-- cf -->\n", ""),
        lambda text: text.replace("<!-- end -->", "", 1),
    ],
)
def test_stages_page_with_other_marks_is_refused(change) -> None:
    text = (DOCS / "stages.md").read_text(encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"^docs/stages\.md: enclose by <!-- NAME --> and <!-- end -->: costs, prep, "
    ):
        stages_page(change(text))

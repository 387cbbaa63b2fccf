"""The page of `thinkrec serve` in a headless browser: by mouse and keyboard, on a phone, light and dark."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files

import pytest
from headless import COLOURS, NEEDS_BROWSER, chromium
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from serving import TITLES, StandIn, running

from thinkrec.errors import ModelError
from thinkrec.recommender import Recommender
from thinkrec.serve.limits import Limits
from thinkrec.serve.server import trained

pytestmark = NEEDS_BROWSER
TOKEN = "a-token-of-this-page-81c7"

# The contrast of every visible text against what is behind it.
CONTRAST = (
    "() => {"
    + COLOURS
    + """  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const texts = [...node.childNodes].some(each => each.nodeType === 3 && each.textContent.trim());
    if (!texts && !node.matches("svg, input") || !node.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(back(node))];
    found.push([`${node.tagName} ${node.className}`, contrast(a, b)]);
  }
  return found;
}"""
)
# What can be used but has no name that a screen reader reads out, or is no larger than a finger's tip needs.
CONTROLS = """() => [...document.querySelectorAll("button, input, [role=listbox], summary, a, ol, section")]
  .filter(node => node.checkVisibility())
  .map(node => {
    const by = (node.getAttribute("aria-labelledby") || "").split(" ").map(id => document.getElementById(id));
    const named = node.getAttribute("aria-label") || by.map(each => each?.textContent || "").join("")
      || [...(node.labels || [])].map(each => each.textContent).join("") || node.textContent;
    const box = node.getBoundingClientRect();
    return [node.outerHTML.slice(0, 80), named.trim(), box.width, box.height];
  })"""


@dataclass
class Opened:
    """A page, its context, what it said and what it asked for."""

    page: Page
    context: BrowserContext
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def add(self, word: str, title: str) -> None:
        """Type a word and pick a title of those that are found."""
        self.page.get_by_label("Find something you know").fill(word)
        self.page.get_by_role("option", name=title).click()

    def ranking(self) -> list[str]:
        """Titles of the ranking, the best first."""
        self.settled()
        return self.page.locator("#list .title:not(.moved .title)").all_inner_texts()

    def settled(self) -> None:
        """Wait until the ranking is the one of the marks."""
        self.page.wait_for_timeout(400)
        expect(self.page.locator("#list")).to_have_attribute("aria-busy", "false")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def rec() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def address(rec: StandIn) -> Iterator[str]:
    with running(rec) as address:
        yield address


Show = Callable[..., Opened]


@pytest.fixture
def show(browser: Browser, address: str) -> Iterator[Show]:
    contexts = []

    def opened(
        width: int = 1280, height: int = 900, scheme: str = "light", motion: str = "reduce", at: str = address
    ) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion=motion,  # type: ignore[arg-type]
        )
        contexts.append(context)
        found = Opened(context.new_page(), context)
        found.page.set_default_timeout(20_000)
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("dialog", lambda dialog: found.said.append(dialog.message))
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.goto(at)
        return found

    yield opened
    for context in contexts:
        context.close()


def test_its_files_are_small_and_load_nothing_from_elsewhere():
    folder = files("thinkrec.serve").joinpath("page")
    texts = {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir()}
    assert set(texts) == {"index.html", "page.css", "page.js", "icon.svg"}
    assert sum(len(text.encode()) for text in texts.values()) < 100_000
    for name, text in texts.items():
        found = set(re.findall(r"https?://[^\"' )]+", text))
        assert found <= {"http://www.w3.org/2000/svg"}, name
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|style=|onclick=", text), (
            name
        )


def test_likes_make_a_ranking_and_further_marks_move_it(show, rec):
    opened = show()
    page = opened.page
    expect(page.locator("#list li")).to_have_count(10)  # what most know, to begin with
    assert page.locator("#list .open").count() == 0
    opened.add("star", "Stars over Harbour")
    first = opened.ranking()
    assert first[0] == TITLES[1] and TITLES[0] not in first and len(first) == 10
    expect(page.locator("#basis")).to_have_text("the history")
    assert page.locator("#legend").inner_text().split("\n") == ["global LoRA 25 %", "expert 1 75 %"]
    page.get_by_role("radio", name="disliked").check()
    opened.add("stars and", "Stars and Stones")
    second = opened.ranking()
    assert second != first and TITLES[1] not in second
    moves = page.locator("#list .move").all_inner_texts()
    assert any(text.startswith(("▲", "▼")) for text in moves)
    assert "items ranked. First: " + second[0] in page.locator("#status").inner_text()
    scores = [float(text) for text in page.locator("#list .open .score").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    widths = [box.bounding_box()["width"] for box in page.locator("#list .open .track i").all()]
    assert widths == sorted(widths, reverse=True) and widths[0] > widths[-1]
    # the verdict is changed, then the mark is removed
    page.locator("#marks").get_by_role("button", name=re.compile("^Like: Stars and Stones")).click()
    assert opened.ranking() != second
    page.get_by_role("button", name="Remove: Stars and Stones").click()
    assert opened.ranking() == first
    assert opened.said == [] and all(url.startswith(page.url) for url in opened.asked)


def test_an_item_of_the_ranking_is_marked_where_it_stands(show):
    opened = show()
    opened.page.locator("#list").get_by_role("button", name=re.compile("^Like: The Winter Train")).click()
    assert TITLES[8] not in (ranked := opened.ranking()) and ranked[0] == TITLES[10]
    opened.page.locator("#list").get_by_role("button", name=f"Dislike: {TITLES[10]}").click()
    assert TITLES[10] not in opened.ranking()
    assert opened.page.locator("#marks .title").all_inner_texts() == [TITLES[10], TITLES[8]]


def test_a_click_shows_the_reason_and_what_moved_the_score(show):
    opened = show()
    page = opened.page
    opened.add("star", "Stars over Harbour")
    page.get_by_role("radio", name="disliked").check()
    opened.add("old", "The Old Harbour")
    opened.settled()
    button = page.locator("#list .open", has_text="Harbour Lights")
    expect(button).to_have_attribute("aria-expanded", "false")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    panel = page.locator(f"#{button.get_attribute('aria-controls')}")
    expect(panel.locator(".reason")).to_have_text('Yes. The user likes "i1".')
    rows = panel.locator(".moved li")
    expect(rows).to_have_count(2)
    assert sorted(panel.locator(".moved .score").all_inner_texts()) == ["+1.00", "\u22121.00"]
    middle = (box := rows.first.locator(".both").bounding_box())["x"] + box["width"] / 2
    up = panel.locator(".moved li", has_text="you like it").locator(".up").bounding_box()
    down = panel.locator(".moved li", has_text="you dislike it").locator(".down").bounding_box()
    assert up["x"] >= middle - 2 and up["width"] > 20 and down["x"] + down["width"] <= middle + 2
    assert down["width"] == pytest.approx(up["width"], abs=2)
    button.click()
    expect(panel).to_be_hidden()


def test_an_explanation_is_never_that_of_another_score(show, rec):
    opened = show()
    page = opened.page
    panels = page.locator("#list .told:visible")
    opened.add("star", "Stars over Harbour")
    opened.settled()
    page.locator("#list .open", has_text="Stars and Stones").click()
    expect(panels.locator(".moved li")).to_have_count(1)
    page.locator("#list .open", has_text="Harbour Lights").click()
    expect(panels.locator(".moved li")).to_have_count(1)
    asked = explanations(opened)
    page.route("**/explain", lambda route: None)  # no answer comes
    opened.add("noon", "Noon (2001)")
    opened.settled()
    expect(panels).to_have_text("The language model is writing its reason…")
    page.locator("#list .open", has_text="Stars and Stones").click()
    expect(panels).to_have_text("The language model is writing its reason…")
    page.unroute("**/explain")
    try:
        rec.go.clear()
        opened.add("train", "A Train to the Garden")
        page.locator("#list .open", has_text="Harbour Lights").click()  # while the ranking is due
        expect(panels).to_have_text("The language model is writing its reason…")
        page.wait_for_timeout(1500)
        assert explanations(opened) == asked + 1
    finally:
        rec.go.set()
    expect(panels.locator(".moved li")).to_have_count(3)
    assert [item for item, _ in rec.batches[-1][0].history] == ["i1", "i12", "i11"]
    assert opened.said == []


def explanations(opened: Opened) -> int:
    """How many were asked for."""
    return sum(url.endswith("/explain") for url in opened.asked)


def test_an_open_reason_is_asked_for_anew_only_when_marks_rest(show, rec):
    opened = show()
    page = opened.page
    panels = page.locator("#list .told:visible")
    opened.add("star", "Stars over Harbour")
    opened.settled()
    first = page.locator("#list .open", has_text="Deep Stars")
    first.click()
    expect(panels.locator(".moved li")).to_have_count(1)
    first.click()
    first.click()  # is still known
    expect(panels.locator(".moved li")).to_have_count(1)
    for word, title in (
        ("noon", "Noon (2001)"),
        ("train", "A Train to the Garden"),
        ("old", "The Old Harbour"),
    ):
        opened.add(word, title)
        opened.settled()
    assert explanations(opened) == 1
    expect(panels.locator(".moved li")).to_have_count(4)
    page.wait_for_timeout(1300)
    assert explanations(opened) == 2
    assert len(rec.batches[-1][0].history) == 4 and opened.said == []


def test_parts_without_a_share_are_left_out_of_the_mixture(show):
    opened = show()

    def other(route: Route) -> None:
        answer = route.fetch().json()
        parts = {"global LoRA": 0.204, "expert 1": 0.004, "expert 2": 0.792}
        answer["mixture"] = [{"part": part, "weight": weight} for part, weight in parts.items()]
        route.fulfill(json=answer)

    opened.page.route("**/recommend", other)
    opened.add("star", "Stars over Harbour")
    opened.settled()
    legend = opened.page.locator("#legend li")
    expect(legend).to_have_text(["global LoRA 20 %", "expert 2 79 %"])
    expect(opened.page.locator("#bar i:visible")).to_have_count(2)
    colour = "node => getComputedStyle(node).backgroundColor"
    shown = opened.page.locator("#bar i:visible").evaluate_all("nodes => nodes.map(" + colour + ")")
    assert legend.locator("i").evaluate_all("nodes => nodes.map(" + colour + ")") == shown


def test_everything_works_by_keyboard(show):
    opened = show()
    page, press = opened.page, opened.page.keyboard.press
    expect(page.locator("#list li")).to_have_count(10)
    focused = "() => document.activeElement.id || document.activeElement.getAttribute('aria-label')"
    press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    press("Tab")
    assert page.evaluate(focused) == "search"
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.type("wint")
    box = page.get_by_role("combobox", name="Find something you know")
    expect(box).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#found [role=option]")).to_have_count(4)
    expect(box).to_have_attribute("aria-activedescendant", "found-0")
    press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "found-1")
    chosen = page.locator("#found-1").inner_text()
    assert page.locator("#found [aria-selected=true]").all_inner_texts() == [chosen]
    press("ArrowUp")
    press("ArrowUp")
    expect(box).to_have_attribute("aria-activedescendant", "found-3")
    press("Escape")
    expect(box).to_have_attribute("aria-expanded", "false")
    press("ArrowDown")
    expect(page.locator("#found-1")).to_be_visible()
    press("ArrowDown")
    press("Enter")
    expect(page.locator("#marks li")).to_have_text([re.compile(re.escape(chosen))])
    assert page.evaluate(focused) == "search" and box.input_value() == ""
    opened.settled()
    for _ in range(40):  # on to the first of the ranking
        press("Tab")
        if page.evaluate("() => document.activeElement.className") == "open":
            break
    first = page.locator("#list .open").first
    expect(first).to_be_focused()
    press("Enter")
    expect(first).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#list .reason")).to_be_visible()
    press("Tab")
    press("Enter")  # likes it; the focus stays in the list
    opened.settled()
    assert page.evaluate("() => document.activeElement.closest('#list') !== null")
    expect(page.locator("#marks li")).to_have_count(2)
    page.get_by_role("button", name=f"Remove: {chosen}").focus()
    press("Enter")
    expect(page.locator("#marks li")).to_have_count(1)
    assert str(page.evaluate(focused)).startswith("Remove: ")
    press("Enter")
    assert page.evaluate(focused) == "search"
    assert opened.said == []


def test_fast_typing_marks_what_was_typed(show):
    opened = show()
    page = opened.page
    box = page.get_by_label("Find something you know")
    marked = page.locator("#marks .title")
    expect(page.locator("#list li")).to_have_count(10)
    box.focus()
    page.keyboard.type("winter g")
    page.keyboard.press("Enter")  # nothing is listed yet
    expect(marked).to_have_text(["Winter Garden (1997)"])
    assert box.input_value() == ""
    page.keyboard.type("star")
    expect(page.locator("#found [aria-selected=true]")).to_have_text("Stars over Harbour (1990)")
    page.keyboard.press("Control+a")
    page.keyboard.type("the old")
    expect(box).not_to_have_attribute("aria-activedescendant", re.compile("."))
    page.keyboard.press("Enter")  # the stars are still listed
    page.keyboard.press("Enter")
    expect(marked).to_have_text(["The Old Harbour (1995)", "Winter Garden (1997)"])
    expect(box).to_have_attribute("aria-expanded", "false")
    page.keyboard.type("zzz")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("Nothing begins like this.")
    page.keyboard.press("Enter")
    expect(marked).to_have_count(2)
    assert opened.said == []


def test_a_late_answer_is_not_listed_under_newer_words(show):
    opened = show()
    page = opened.page
    held: list[Route] = []
    page.route("**/items?query=winter*", lambda route: held.append(route))
    box = page.get_by_label("Find something you know")
    box.focus()
    with page.expect_request("**/items?query=winter*"):
        page.keyboard.type("winter")
        page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("deep")
    held[-1].continue_()
    page.wait_for_timeout(70)  # shorter than the silence before a search
    page.keyboard.press("Enter")
    expect(page.locator("#marks .title")).to_have_text(["Deep Stars (1993)"])
    with page.expect_request("**/items?query=winter*"):
        page.keyboard.type("winter")
        page.keyboard.press("Enter")
    page.keyboard.press("Escape")  # no longer wanted
    held[-1].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#marks .title")).to_have_count(1)


@pytest.mark.parametrize("how", ["{isComposing: true}", "{keyCode: 229}"])
def test_the_enter_that_ends_a_composition_picks_nothing(show, how):
    opened = show()
    box = opened.page.get_by_label("Find something you know")
    box.fill("deep")
    expect(box).to_have_attribute("aria-activedescendant", "found-0")
    enter = f"node => node.dispatchEvent(new KeyboardEvent('keydown', {{key: 'Enter', ...{how}}}))"
    box.evaluate(enter)
    expect(box).to_have_value("deep")
    expect(opened.page.locator("#marks li")).to_have_count(0)
    box.press("Enter")
    expect(opened.page.locator("#marks .title")).to_have_text(["Deep Stars (1993)"])


def test_a_user_of_the_data_set_becomes_somebody_new_by_the_first_change(show, rec):
    opened = show()
    page = opened.page
    page.get_by_text("Start with a user of the data set").click()
    page.get_by_label("User", exact=True).fill("u")
    page.get_by_role("option", name="u1").click()
    opened.settled()
    assert rec.batches[-1][0].user == "u1"
    assert page.locator("#marks .title").all_inner_texts() == [TITLES[6], TITLES[0]]  # the latest first
    expect(page.locator("#whose")).to_contain_text("This is u1")
    page.locator("#list").get_by_role("button", name=re.compile("^Like: Winter Garden")).click()
    opened.settled()
    expect(page.locator("#whose")).to_contain_text("somebody new")
    assert rec.batches[-1][0].history == [("i1", True), ("i7", False), ("i8", True)]


def test_a_user_with_repeats_becomes_somebody_new_by_the_latest_verdicts(show, rec, monkeypatch):
    past = [("i1", True), ("i7", False), ("i1", False), ("i4", True)]
    monkeypatch.setitem(rec.histories, "u1", past)
    opened = show()
    page = opened.page
    page.get_by_text("Start with a user of the data set").click()
    page.get_by_label("User", exact=True).fill("u")
    page.get_by_role("option", name="u1").click()
    opened.settled()
    assert page.locator("#marks .title").all_inner_texts() == [TITLES[3], TITLES[0], TITLES[6]]
    page.get_by_role("button", name=f"Remove: {TITLES[3]}").click()
    opened.settled()
    assert rec.batches[-1][0].history == [("i7", False), ("i1", False)]
    expect(page.locator("#error")).to_be_hidden()


def restored(opened: Opened, **state: object) -> None:
    """Load the page again with what another visit kept."""
    kept = json.dumps({"user": None, "from": None, "marks": [], **state})
    opened.page.evaluate("text => localStorage.setItem('thinkrec:films', text)", kept)
    opened.page.reload()
    opened.settled()


def test_kept_marks_that_the_data_set_lost_are_removed(show, rec):
    opened = show()
    page = opened.page
    expect(page.locator("#list li")).to_have_count(10)
    gone = [{"item": f"gone{k}", "title": f"Gone {k}", "liked": True} for k in range(1, 11)]
    marks = [*gone[:9], {"item": "i1", "title": TITLES[0], "liked": True}, gone[9]]
    restored(opened, marks=marks)
    note = page.locator("#gone")
    expect(note).to_have_text(
        "Removed what the data set does not have any more: Gone 1, Gone 2, Gone 3, 7 more."
    )
    expect(page.locator("#error")).to_be_hidden()
    assert page.locator("#marks .title").all_inner_texts() == [TITLES[0]]
    assert opened.ranking()[0] == TITLES[1]
    page.reload()
    opened.settled()
    expect(page.locator("#marks li")).to_have_count(1)
    expect(note).to_be_hidden()
    restored(opened, marks=gone[:1])
    expect(note).to_have_text("Removed what the data set does not have any more: Gone 1.")
    expect(page.locator("#list .starter")).to_have_count(10)
    opened.add("star", "Stars over Harbour")
    expect(note).to_be_hidden()


def test_a_kept_user_whom_the_data_set_lost_is_somebody_new(show, rec):
    opened = show()
    page = opened.page
    expect(page.locator("#list li")).to_have_count(10)
    marks = [{"item": item, "title": item, "liked": True} for item in ("i1", "gone1")]
    restored(opened, user="u9", **{"from": "u9"}, marks=marks)
    expect(page.locator("#gone")).to_have_text(
        "There is no user u9 any more. This is somebody new with that history. "
        "Removed what the data set does not have any more: gone1."
    )
    assert opened.ranking()[0] == TITLES[1] and rec.batches[-1][0].history == [("i1", True)]
    expect(page.locator("#whose")).to_be_hidden()
    expect(page.locator("#error")).to_be_hidden()


def test_a_request_refused_for_another_reason_costs_no_marks(show, rec):
    opened = show()
    page = opened.page
    page.route(
        "**/recommend", lambda route: route.fulfill(status=422, json={"error": "candidates: none is left"})
    )
    opened.add("star", "Stars over Harbour")
    expect(page.locator("#error")).to_have_text("candidates: none is left")
    expect(page.locator("#marks li")).to_have_count(1)
    expect(page.locator("#gone")).to_be_hidden()


def test_a_reload_keeps_the_marks(show):
    opened = show()
    opened.add("star", "Stars over Harbour")
    before = opened.ranking()
    opened.page.reload()
    expect(opened.page.locator("#marks li")).to_have_count(1)
    assert opened.ranking() == before
    opened.page.get_by_role("button", name="Remove all").click()
    opened.settled()
    opened.page.reload()
    expect(opened.page.locator("#list li")).to_have_count(10)
    assert opened.page.locator("#marks li").count() == 0
    opened.page.evaluate("() => localStorage.setItem('thinkrec:films', '{\"marks\": [{\"item\": 7}]}')")
    opened.page.reload()
    expect(opened.page.locator("#list li")).to_have_count(10)
    assert opened.said == []


def test_titles_are_text(show):
    opened = show()
    opened.add("img", "<img src")
    opened.settled()
    assert opened.page.locator("#marks img, #list img").count() == 0
    assert TITLES[13] in opened.page.locator("#marks .title").first.inner_text()
    assert opened.said == [] and all(url.startswith(opened.page.url) for url in opened.asked)


def filled(opened: Opened) -> None:
    """Show all that the page can show."""
    opened.add("img", "<img src")
    opened.page.get_by_role("radio", name="disliked").check()
    opened.add("old", "The Old Harbour")
    opened.settled()
    opened.page.locator("#list .open").nth(1).click()
    expect(opened.page.locator("#list .reason")).to_be_visible()
    opened.page.get_by_text("Start with a user of the data set").click()
    opened.page.get_by_label("Find something you know").fill("w")
    expect(opened.page.locator("#found [role=option]").first).to_be_visible()


@pytest.mark.parametrize("width", [320, 420, 820, 1280])
def test_nothing_pushes_the_page_wide(show, width):
    opened = show(width)
    filled(opened)
    wide = opened.page.evaluate(
        "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide[0] <= wide[1]
    cut = opened.page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter(node => node.checkVisibility())
            .filter(node => node.getBoundingClientRect().right > document.documentElement.clientWidth)
            .map(node => node.outerHTML.slice(0, 80))"""
    )
    assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_readable(show, scheme):
    opened = show(scheme=scheme)
    filled(opened)
    found = opened.page.evaluate(CONTRAST)
    assert len(found) > 50 and [each for each in found if each[1] < 4.5] == []
    dark = opened.page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 26)"
    assert dark == (scheme == "dark")


def test_all_controls_have_names_and_fingers_hit_them(show):
    opened = show(420, 860)
    filled(opened)
    controls = opened.page.evaluate(CONTROLS)
    assert len(controls) > 30 and [each for each in controls if not each[1]] == []
    small = [each for each in controls if each[0].startswith("<button") and min(each[2], each[3]) < 24]
    assert small == []
    assert opened.page.locator("html").get_attribute("lang") == "en"
    assert opened.page.locator("h1").count() == 1 and opened.page.locator("main").count() == 1
    ids = opened.page.evaluate("() => [...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))


def test_items_move_unless_the_user_wants_no_motion(show):
    running_now = "() => document.getAnimations().filter(each => each.effect.target.closest('#list')).length"
    for motion, moves in (("no-preference", True), ("reduce", False)):
        opened = show(motion=motion)
        opened.add("star", "Stars over Harbour")
        opened.settled()
        most = 0
        opened.page.locator("#list").get_by_role("button", name="Dislike: Stars and Stones").click()
        for _ in range(60):
            most = max(most, opened.page.evaluate(running_now))
            opened.page.wait_for_timeout(10)
        assert (most > 0) == moves
        opened.settled()


def test_while_it_waits_it_says_so_and_only_the_last_marks_count(show, rec):
    opened = show()
    opened.add("star", "Stars over Harbour")
    opened.settled()
    try:
        rec.go.clear()
        opened.add("old", "The Old Harbour")
        expect(opened.page.locator("#busy")).to_be_visible()
        expect(opened.page.locator("#status")).to_have_text("Ranking again…")
        expect(opened.page.locator("#list")).to_have_attribute("aria-busy", "true")
        opened.page.wait_for_timeout(400)
        opened.add("noon", "Noon (2001)")
        opened.page.wait_for_timeout(400)
    finally:
        rec.go.set()
    opened.settled()
    expect(opened.page.locator("#busy")).to_be_hidden()
    assert [item for item, _ in rec.batches[-1][-1].history] == ["i1", "i6", "i12"]
    assert TITLES[11] not in opened.ranking() and opened.said == []


def test_errors_are_said_and_go_away(show):
    rec = StandIn()
    with running(rec, Limits(seconds=1)) as own:
        opened = show(at=own)
        page = opened.page
        opened.add("star", "Stars over Harbour")
        opened.settled()
        rec.error = ModelError("a score is no finite number")
        opened.add("old", "The Old Harbour")
        alert = page.locator("#error")
        expect(alert).to_have_text("the server failed; its log says where")
        rec.error = None
        opened.add("noon", "Noon (2001)")
        expect(alert).to_be_hidden()
        rec.go.clear()
        page.locator("#list .open").first.click()
        expect(page.locator("#list [role=alert]")).to_contain_text("no answer within 1 s")
        rec.go.set()
    page.locator("#list").get_by_role("button", name=re.compile("^Like")).first.click()
    expect(alert).to_have_text("The server does not answer. Is it still running?")


def test_on_a_phone_an_error_is_in_view_and_the_ranking_looks_outdated(show):
    rec = StandIn()
    with running(rec) as own:
        opened = show(420, 500, at=own)
        page = opened.page
        opened.add("star", "Stars over Harbour")
        before = opened.ranking()
        rec.error = ModelError("a score is no finite number")
        page.locator("#list .like").nth(8).click()
        alert = page.locator("#error")
        expect(alert).to_have_text("the server failed; its log says where")
        expect(alert).to_be_in_viewport(ratio=1)
        assert page.evaluate("() => scrollY") > 100
        top = "node => document.elementFromPoint(210, node.getBoundingClientRect().top + 10) === node"
        assert alert.evaluate(top)  # nothing lies above it
        expect(page.locator("#hint")).to_have_text("Outdated: this is from before your last change.")
        expect(page.locator("#list")).to_have_css("opacity", "0.6")
        assert opened.ranking() == before
        rec.error = None
        page.locator("#list .open").first.click()
        expect(page.locator("#list .moved li")).to_have_count(1)  # explained as it was ranked
        page.locator("#list .dislike").nth(7).click()
        expect(alert).to_be_hidden()
        expect(page.locator("#list")).to_have_css("opacity", "1")
        assert len(rec.batches[-1][0].history) == 3
        assert opened.ranking() != before


def test_a_token_is_asked_for_once_and_kept_for_the_tab(show, rec):
    with running(rec, token=TOKEN) as own:
        opened = show(at=own)
        page = opened.page
        expect(page.get_by_role("dialog", name="This server needs a token")).to_be_visible()
        expect(page.locator("#token")).to_be_focused()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_text("That token is not the right one.")).to_be_visible()
        page.locator("#token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#list li")).to_have_count(10)
        page.reload()
        expect(page.locator("#list li")).to_have_count(10)
        expect(page.get_by_role("dialog")).to_be_hidden()
        kept = page.evaluate("() => [JSON.stringify({...localStorage}), document.cookie, location.href]")
        assert not any(TOKEN in each for each in kept) and not any(TOKEN in url for url in opened.asked)
        other = opened.context.new_page()
        other.goto(own)
        expect(other.get_by_role("dialog", name="This server needs a token")).to_be_visible()


def test_a_trained_system_answers_on_it(show, chain):
    rec = Recommender(chain.layout, chain.params, "thinkrec")
    with running(rec, candidates="gsasrec_labels:20", encoders=trained(chain.layout)) as own:
        opened = show(at=own)
        page = opened.page
        (first, title), *_ = rec.find("", 1)
        page.locator("#list").get_by_role("button", name=f"Like: {title}", exact=True).click()
        ranked = opened.ranking()
        expected = rec.recommend_history([(first, True)], 10, "gsasrec_labels:20")
        assert ranked == list(expected.titles)
        expect(page.locator("#basis")).to_have_text(expected.basis)
        page.locator("#list .open").first.click()
        told = rec.explain_history([(first, True)], expected.items[0])
        expect(page.locator("#list .moved .score")).to_have_count(1)
        assert told.reason and told.reason.split() == page.locator("#list .reason").inner_text().split()
        assert opened.said == []

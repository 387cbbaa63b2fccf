// The page of `thinkrec serve`. Titles and reasons are untrusted text: they are only ever set as text.

const SHOWN = 10;       // items of the ranking
const INFLUENCES = 8;   // items that moved a score, listed at once
const LONGEST = 500;    // interactions that the server takes
const TYPING = 150;     // ms of silence before a search
const MARKING = 250;    // ms of silence before the ranking is asked for
const RESTING = 1000;   // ms without a mark before an open reason is asked for anew
const MOVING = 450;     // ms in which items move
const SLOW = 700;       // ms of waiting after which the page says so
const ATONCE = 8;       // marks that are checked at once
const NAMED = 3;        // removed marks that are named
const RETRIES = 3;      // of a request that the busy server refuses

const $ = id => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const narrow = matchMedia("(max-width: 819px)");
const marksShown = () => narrow.matches ? 4 : 12;  // marks that are listed at once, the latest first

/** Make an element with attributes (`text` is its text) and children. */
function make(tag, {text, ...attributes} = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}

// ---- state: who is asked about, and what is marked (oldest first) ----

const state = {user: null, from: null, marks: []};
let about = {system: "", dataset: ""};
let ranking = [];         // raw ids as shown
let opened = null;        // raw id whose reason is shown
let allMarks = false;

const key = () => `thinkrec:${about.dataset}`;
const markOf = item => state.marks.find(mark => mark.item === item);

function keep() {
  try {
    localStorage.setItem(key(), JSON.stringify(state));
  } catch { /* private windows may refuse */ }
}

function recall() {
  try {
    const {user, from, marks} = JSON.parse(localStorage.getItem(key()));
    const whole = marks.every(mark => typeof mark.item === "string" && typeof mark.liked === "boolean");
    if (Array.isArray(marks) && whole) Object.assign(state, {user, from, marks});
  } catch { /* nothing was kept, or of another version */ }
}

// ---- the server ----

const wait = ms => new Promise(done => setTimeout(done, ms));

/** Ask the server; with a body by POST. Errors have the server's own sentence. */
async function ask(path, body, signal) {
  for (let tries = 0; ; tries++) {
    const token = sessionStorage.getItem("thinkrec:token");
    const headers = token ? {Authorization: `Bearer ${token}`} : {};
    if (body) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, {headers, signal, method: body ? "POST" : "GET", body: body && JSON.stringify(body)});
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer. Is it still running?");
    }
    if (answer.ok) return answer.json();
    const {error} = await answer.json().catch(() => ({error: `The server answers ${answer.status}.`}));
    if (answer.status === 401) await askToken(Boolean(token));
    else if (answer.status === 503 && tries < RETRIES) await wait(1000 * (Number(answer.headers.get("Retry-After")) || 1));
    else throw Object.assign(new Error(error), {status: answer.status});
  }
}

let asking = null;        // one dialog for all requests that need the token

function askToken(wrong) {
  asking ??= new Promise(done => {
    sessionStorage.removeItem("thinkrec:token");
    $("ask-wrong").hidden = !wrong;
    $("token").value = "";
    $("ask").showModal();
    $("ask-form").onsubmit = event => {
      event.preventDefault();
      sessionStorage.setItem("thinkrec:token", $("token").value.trim());
      $("ask").close();
      asking = null;
      done();
    };
  });
  return asking;
}

$("ask").addEventListener("cancel", event => event.preventDefault());

function fail(error) {
  if (error?.name === "AbortError") return;
  $("error").textContent = error ? error.message : "";
  $("error").hidden = !error;
}

// ---- typing: a combobox with a list of what was found ----

/** @param find gives [{id, text, note}] for what was typed; @param pick takes the id and the text of one. */
function combobox(input, list, find, pick) {
  let options = [], active = -1, timer = 0, last = null;
  let due = false;        // what is listed is not yet what was typed
  let wanted = false;     // Enter was pressed before that

  /** Forget searches that have no answer yet. */
  function forget() {
    clearTimeout(timer);
    last?.abort();
    due = wanted = false;
  }

  function close() {
    forget();
    list.hidden = true;
    point(-1);
    input.setAttribute("aria-expanded", "false");
  }

  function point(place) {
    active = place;
    [...list.children].forEach((node, k) => node.setAttribute("aria-selected", k === active));
    const node = list.children[active];
    if (node) input.setAttribute("aria-activedescendant", node.id);
    else input.removeAttribute("aria-activedescendant");
    node?.scrollIntoView({block: "nearest"});
  }

  function show(found) {
    options = found;
    list.replaceChildren(...found.map(({text, note}, k) => {
      const node = make("li", {id: `${list.id}-${k}`, role: "option", "aria-selected": "false", text});
      if (note) node.append(make("span", {class: "quiet", text: ` (${note})`}));
      node.addEventListener("pointerdown", event => event.preventDefault());
      node.addEventListener("click", () => choose(k));
      return node;
    }));
    if (!found.length) list.append(make("li", {role: "option", "aria-disabled": "true", text: "Nothing begins like this."}));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    point(found.length && input.value ? 0 : -1);
    if (input.value) say(found.length ? `${found.length} found` : "Nothing found");
  }

  async function search(first = false) {
    forget();
    due = true;
    wanted = first;
    last = new AbortController();
    const {signal} = last;
    try {
      const found = await find(input.value, signal);
      if (signal.aborted || document.activeElement !== input) return;
      const pickFirst = wanted;
      due = wanted = false;
      show(found);
      fail(null);
      if (pickFirst) choose(0);
    } catch (error) {
      if (!signal.aborted) due = wanted = false;
      fail(error);
    }
  }

  function choose(k) {
    const option = options[k];
    if (!option) return;
    input.value = "";
    close();
    pick(option);
  }

  input.addEventListener("input", () => {
    forget();
    point(-1);
    due = true;
    timer = setTimeout(search, TYPING);
  });
  input.addEventListener("click", () => list.hidden && search());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", event => {
    if (event.isComposing || event.keyCode === 229) return;  // Safari composes without saying so, by this code
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) search();
      else if (options.length) point((Math.max(active, step < 0 ? 0 : -1) + step + options.length) % options.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (active >= 0) choose(active);
      else if (!wanted && input.value.trim() && (due || list.hidden)) search(due);
    } else if (event.key === "Escape") {
      if (list.hidden) input.value = "";
      close();
    }
  });
}

// ---- marks ----

const THUMB = "M3 10.5h4V21H3zM7 11l4.2-8.2c1.5 0 2.6 1.2 2.4 2.7L13 9.5h6a2 2 0 0 1 2 2.3l-1.2 7.4a2 2 0 0 1-2 1.8H7";

/** A round button that likes or dislikes an item. */
function thumb(kind, title, pressed, act) {
  const name = kind === "like" ? "Like" : "Dislike";
  const button = make("button", {type: "button", class: `thumb ${kind}`, "aria-label": `${name}: ${title}`, title: name});
  if (pressed !== null) button.setAttribute("aria-pressed", pressed);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", THUMB);
  svg.append(path);
  button.append(svg);
  button.addEventListener("click", act);
  return button;
}

/** Change marks; from then on a user of the data set is somebody new, with that history. */
function change(act) {
  act();
  state.user = null;
  state.marks = state.marks.slice(-LONGEST);
  changed();
}

function mark(item, title, liked) {
  change(() => {
    const old = markOf(item);
    if (old) old.liked = liked;
    else state.marks.push({item, title, liked});
  });
}

function unmark(item) {
  const place = [...$("marks").children].findIndex(node => node.dataset.item === item);
  change(() => { state.marks = state.marks.filter(each => each.item !== item); });
  const next = $("marks").children[Math.min(place, $("marks").children.length - 1)];
  (next?.querySelector("button.remove") ?? $("search")).focus();
}

function showMarks() {
  const latest = [...state.marks].reverse();
  const shown = allMarks ? latest : latest.slice(0, marksShown());
  const old = new Map([...$("marks").children].map(node => [node.dataset.item, node]));
  const nodes = shown.map(({item, title, liked}) => {
    const node = old.get(item) ?? markRow(item, title);
    node.querySelector(".like").setAttribute("aria-pressed", liked);
    node.querySelector(".dislike").setAttribute("aria-pressed", !liked);
    return node;
  });
  place($("marks"), nodes);
  $("none").hidden = state.marks.length > 0;
  $("clear").hidden = !state.marks.length;
  $("more").hidden = latest.length <= marksShown();
  $("more").textContent = allMarks ? "Show the latest only" : `Show all ${latest.length}`;
  $("whose").hidden = !state.from;
  $("whose").textContent = state.user
    ? `This is ${state.from}, a user of the data set. Change a mark, and it is somebody new with this history.`
    : `Began with the history of ${state.from}; since you changed it, it is somebody new.`;
}

function markRow(item, title) {
  const remove = make("button", {type: "button", class: "thumb remove", "aria-label": `Remove: ${title}`, title: "Remove", text: "✕"});
  remove.addEventListener("click", () => unmark(item));
  const node = make("li", {"data-item": item}, make("span", {class: "title", text: title}));
  node.append(thumb("like", title, false, () => mark(item, title, true)));
  node.append(thumb("dislike", title, false, () => mark(item, title, false)), remove);
  return node;
}

/** Put nodes into a list in their order; those that stay keep the focus. */
function place(list, nodes) {
  for (const node of [...list.children]) if (!nodes.includes(node)) node.remove();
  nodes.forEach((node, k) => {
    if (list.children[k] !== node) {
      const focused = node.contains(document.activeElement) ? document.activeElement : null;
      list.insertBefore(node, list.children[k] ?? null);
      focused?.focus({preventScroll: true});
    }
  });
}

// ---- the ranking ----

let timer = 0, running = null;
let due = false;          // the ranking is not yet that of the marks
let ranked = null;        // whose ranking is shown

function changed() {
  $("gone").hidden = true;
  keep();
  showMarks();
  hush();
  due = true;
  clearTimeout(timer);
  timer = setTimeout(rank, MARKING);
}

const whose = () => state.user === null
  ? {history: state.marks.map(({item, liked}) => ({item, liked}))}
  : {user: state.user};

let slow = 0;

function busy(on) {
  $("busy").hidden = !on;
  $("list").setAttribute("aria-busy", on);
  clearTimeout(slow);
  if (on) slow = setTimeout(() => say($("hint").textContent = "Ranking again…"), SLOW);
}

async function rank() {
  running?.abort();
  running = new AbortController();
  const {signal} = running, who = whose();
  due = true;
  busy(true);
  try {
    if (state.user === null && !state.marks.length) await begin(signal);
    else showRanking(await ask("recommend", {...who, k: SHOWN}, signal), who);
    $("list").classList.remove("outdated");
    fail(null);
  } catch (error) {
    if (error.status === 422 && await sift(signal)) return rank();
    if (signal.aborted) return;
    stay();
    fail(error);
  } finally {
    if (!signal.aborted) {
      due = false;
      busy(false);
    }
  }
}

/** Drop a kept user or kept marks that the data set no longer has; says whether there were any. */
async function sift(signal) {
  const refused = (...request) => ask(...request, signal).then(() => false, error => {
    if (error.status === 422) return true;
    throw error;
  });
  const {user, marks} = state;
  try {
    if (user !== null) {
      if (!await refused(`history?${new URLSearchParams({user})}`, undefined) || signal.aborted) return false;
      Object.assign(state, {user: null, from: null});
      note(`There is no user ${user} any more. This is somebody new with that history.`);
    } else {
      const gone = [];
      for (let k = 0; k < marks.length; k += ATONCE) {
        const some = marks.slice(k, k + ATONCE);
        const wrong = await Promise.all(some.map(({item}) => refused("score", {history: [], items: [item]})));
        gone.push(...some.filter((_, k) => wrong[k]));
      }
      if (!gone.length || signal.aborted) return false;
      state.marks = marks.filter(each => !gone.includes(each));
      const names = gone.slice(0, NAMED).map(({title}) => title);
      if (gone.length > NAMED) names.push(`${gone.length - NAMED} more`);
      note(`Removed what the data set does not have any more: ${names.join(", ")}.`);
    }
  } catch {
    return false;  // the first error is the one to show
  }
  keep();
  showMarks();
  return true;
}

function note(text) {
  const before = $("gone").hidden ? "" : `${$("gone").textContent} `;
  $("gone").textContent = before + text;
  $("gone").hidden = false;
}

/** Keep the ranking of the marks before, and say that it is. */
function stay() {
  const some = $("list").children.length > 0;
  $("list").classList.toggle("outdated", some);
  $("hint").textContent = some ? "Outdated: this is from before your last change." : "";
  if (opened !== null && !explained(opened)) explain(opened);
}

/** Without any mark: what most know. */
async function begin(signal) {
  const {items} = await ask(`items?k=${SHOWN}`, undefined, signal);
  ranking = [];
  opened = ranked = null;
  $("known").hidden = true;
  $("hint").textContent = "Mark something that you like or dislike, or begin with one of these.";
  move(items.map(({item, title}) => make("li", {"data-item": item, class: "starter"},
    make("div", {class: "entry"}, make("span", {class: "title", text: title}), ...thumbs(item, title)))));
}

function showRanking(answer, who) {
  const before = ranking;
  ranked = who;
  ranking = answer.items.map(each => each.item);
  const scores = answer.items.map(each => each.score);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const old = new Map([...$("list").querySelectorAll(":scope > li:not(.starter)")].map(node => [node.dataset.item, node]));
  const nodes = answer.items.map(({item, title, score}, k) => {
    const node = old.get(item) ?? entry(item, title);
    const was = before.indexOf(item);
    const by = was - k;
    node.querySelector(".told").replaceChildren();
    const moved = node.querySelector(".move");
    moved.className = `move ${was < 0 || by > 0 ? "up" : by < 0 ? "down" : ""}`;
    moved.textContent = !before.length || (was >= 0 && !by) ? "" : was < 0 ? "new" : `${by > 0 ? "▲" : "▼"} ${Math.abs(by)}`;
    moved.title = was >= 0 && by ? `${by > 0 ? "up" : "down"} ${Math.abs(by)}` : "";
    node.querySelector(".place").textContent = k + 1;
    node.querySelector(".score").textContent = score.toFixed(2);
    node.querySelector(".track i").style.width = `${8 + 92 * (high > low ? (score - low) / (high - low) : 1)}%`;
    return node;
  });
  move(nodes);
  $("hint").textContent = "Choose one to see why it is here. Longer bars are higher scores.";
  $("known").hidden = false;
  $("basis").textContent = answer.basis;
  showMixture(answer.mixture);
  const others = ranking.filter((item, k) => before.length && before[k] !== item).length;
  say(`${ranking.length} items ranked. First: ${answer.items[0].title}. ${others ? `${others} places changed.` : ""}`);
  if (!ranking.includes(opened)) opened = null;
  if (opened === null) return;
  open(opened);
  resting = setTimeout(() => explain(opened), RESTING);
}

function entry(item, title) {
  const panel = `why-${++entry.count}`;
  const open = make("button", {type: "button", class: "open", "aria-expanded": "false", "aria-controls": panel},
    make("span", {class: "place"}), make("span", {class: "title", text: title}), make("span", {class: "move"}),
    make("span", {class: "track", "aria-hidden": "true"}, make("i")), make("span", {class: "score"}));
  open.addEventListener("click", () => toggle(item));
  return make("li", {"data-item": item}, make("div", {class: "entry"}, open, ...thumbs(item, title)),
    make("div", {class: "told", id: panel, hidden: ""}));
}
entry.count = 0;

const thumbs = (item, title) => [
  thumb("like", title, null, () => markAndGoOn(item, title, true)),
  thumb("dislike", title, null, () => markAndGoOn(item, title, false)),
];

/** Mark an item of the ranking, which then leaves it; the focus goes to its neighbour. */
function markAndGoOn(item, title, liked) {
  const own = nodeOf(item);
  const next = own?.nextElementSibling ?? own?.previousElementSibling;
  mark(item, title, liked);
  const kind = liked ? ".like" : ".dislike";
  if (own?.contains(document.activeElement)) (next?.querySelector(kind) ?? $("search")).focus();
}

const nodeOf = item => [...$("list").children].find(node => node.dataset.item === item);

/** Put items into the ranking's order, each moving from where it was. */
function move(nodes) {
  const list = $("list");
  const was = new Map([...list.children].map(node => [node, node.getBoundingClientRect().top]));
  place(list, nodes);
  if (still.matches) return;
  for (const node of nodes) {
    const by = was.has(node) ? was.get(node) - node.getBoundingClientRect().top : null;
    const from = by === null ? {opacity: 0, transform: "translateY(8px)"} : {transform: `translateY(${by}px)`};
    if (by !== 0) node.animate([from, {opacity: 1, transform: "none"}], {duration: MOVING, easing: "cubic-bezier(.2, .8, .2, 1)"});
  }
}

function showMixture(mixture) {
  $("mixture").hidden = !mixture;
  if (!mixture) return;
  if ($("bar").children.length !== mixture.length) {
    $("bar").replaceChildren(...mixture.map((_, k) => make("i", {class: `k${k % 7}`})));
  }
  mixture.forEach(({weight}, k) => {
    $("bar").children[k].style.flexGrow = weight;
    $("bar").children[k].hidden = weight < .005;
  });
  $("legend").replaceChildren(...mixture.flatMap(({part, weight}, k) => weight < .005 ? []
    : make("li", {}, make("i", {class: `k${k % 7}`}), `${part} ${Math.round(100 * weight)} %`)));
}

// ---- the reason, and what moved the score ----

let explaining = null, resting = 0;

/** Forget explanations that were not given yet. */
function hush() {
  clearTimeout(resting);
  explaining?.abort();
}

function toggle(item) {
  const last = opened;
  hush();
  if (last !== null) close(last);
  opened = last === item ? null : item;
  if (opened === null) return;
  open(item);
  if (!due && !explained(item)) explain(item);
}

const panelOf = item => nodeOf(item).querySelector(".told");
const explained = item => panelOf(item).querySelector("h3") !== null;

function close(item) {
  const node = nodeOf(item);
  if (!node) return;
  node.querySelector(".open").setAttribute("aria-expanded", "false");
  node.querySelector(".told").hidden = true;
}

/** Open an item's panel: with what was explained for this ranking, or else a text to wait by. */
function open(item) {
  const panel = panelOf(item);
  nodeOf(item).querySelector(".open").setAttribute("aria-expanded", "true");
  panel.hidden = false;
  if (explained(item)) return;
  panel.setAttribute("aria-busy", "true");
  panel.replaceChildren(make("p", {class: "quiet", text: about.reasons ? "The language model is writing its reason…" : "Looking for what moved the score…"}));
}

/** Explain the score that is shown, which may be from before the last mark. */
async function explain(item) {
  hush();
  explaining = new AbortController();
  const {signal} = explaining, panel = panelOf(item);
  try {
    const found = await ask("explain", {...ranked, item}, signal);
    if (signal.aborted) return;
    panel.replaceChildren(...told(found));
    say(found.reason ?? `What moved the score is shown below ${found.title}.`);
  } catch (error) {
    if (error.name === "AbortError") return;
    panel.replaceChildren(make("p", {class: "error", role: "alert", text: error.message}));
  }
  panel.setAttribute("aria-busy", "false");
}

function told({reason, history}) {
  const parts = [];
  if (reason) parts.push(make("h3", {text: "Why, in the language model's own words"}), make("p", {class: "reason", text: reason}));
  parts.push(make("h3", {text: "What moved this score"}));
  if (!history.length) return [...parts, make("p", {class: "quiet", text: "Nothing that you marked: this system does not read it."})];
  const most = Math.max(...history.map(each => Math.abs(each.moved))) || 1;
  const rows = history.map(({title, liked, moved}) => {
    const size = `${100 * Math.abs(moved) / most}%`;
    const bars = [make("i", {class: "down"}), make("i", {class: "up"})];
    bars[moved < 0 ? 0 : 1].style.width = size;
    return make("li", {},
      make("span", {class: "title", text: title}, make("small", {text: liked ? "you like it" : "you dislike it"})),
      make("span", {class: "both", "aria-hidden": "true"}, make("span", {}, bars[0]), make("span", {}, bars[1])),
      make("span", {class: "score", text: `${moved < 0 ? "−" : "+"}${Math.abs(moved).toFixed(2)}`}));
  });
  const list = make("ul", {class: "moved"}, ...rows.slice(0, INFLUENCES));
  parts.push(make("div", {class: "axis", "aria-hidden": "true"}, make("span", {}, make("b", {text: "lowers"}), make("b", {text: "raises"}))), list);
  if (rows.length > INFLUENCES) {
    const more = make("button", {type: "button", class: "plain", text: `Show ${rows.length - INFLUENCES} more`});
    more.addEventListener("click", () => { list.append(...rows.slice(INFLUENCES)); more.remove(); });
    parts.push(more);
  }
  return parts;
}

// ---- start ----

function say(text) {
  $("status").textContent = text;
}

async function findItems(query, signal) {
  const {items} = await ask(`items?${new URLSearchParams({query, k: 12})}`, undefined, signal);
  return items.map(({item, title}) => {
    const old = markOf(item);
    return {id: item, text: title, note: old && (old.liked ? "liked" : "disliked")};
  });
}

async function findUsers(query, signal) {
  const {users} = await ask(`users?${new URLSearchParams({query, k: 12})}`, undefined, signal);
  return users.map(user => ({id: user, text: user}));
}

async function startWith(user) {
  try {
    const {history} = await ask(`history?${new URLSearchParams({user})}`);
    // of an item that comes several times, the latest verdict, at its place
    const marks = history.filter(({item}, k) => !history.slice(k + 1).some(later => later.item === item));
    Object.assign(state, {user, from: user, marks});
    allMarks = false;
    changed();
    fail(null);
  } catch (error) {
    fail(error);
  }
}

combobox($("search"), $("found"), findItems, ({id, text}) =>
  mark(id, text, document.querySelector("input[name=as]:checked").value === "like"));
combobox($("user"), $("users"), findUsers, ({id}) => startWith(id));
$("more").addEventListener("click", () => { allMarks = !allMarks; showMarks(); });
$("clear").addEventListener("click", () => {
  change(() => Object.assign(state, {from: null, marks: []}));
  $("search").focus();
});

try {
  about = await ask("about");
  $("about").textContent = `${about.system} on ${about.dataset}: ${about.items.toLocaleString("en")} items`
    + (about.candidates ? `, ranks the ${about.candidates.split(":")[1]} best of ${about.candidates.split(":")[0]}` : "");
  recall();
  showMarks();
  rank();
} catch (error) {
  fail(error);
}

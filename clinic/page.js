"use strict";
// The viewer: controls, keys and mouse; nothing is fetched, nothing is kept.
const viewer = document.querySelector(".viewer");
const tools = viewer.querySelector(".tools");
const input = (name) => tools.querySelector(`[name="${name}"]`);
const say = (text) => { viewer.querySelector(".say").textContent = text; };
const panes = [...viewer.querySelectorAll(".pane")].map((element) => new Pane(element, tellZoom));
let chosen = panes[0];
let enlarged = null;

function tellZoom(pane) {
  if (pane === chosen) tools.querySelector(".zoom").textContent = `${Math.round(100 * pane.view.zoom)} %`;
}

function choose(pane) {
  chosen = pane;
  panes.forEach((one) => one.element.classList.toggle("chosen", one === pane));
  show();
}

function show() {
  for (const name of ["window", "level"]) {
    const value = Math.round(chosen.greys[name]);
    input(name).value = value;
    input(name).setAttribute("aria-valuetext", `${value} %`);
    input(name).nextElementSibling.textContent = `${value} %`;
  }
  press("invert", chosen.greys.invert);
  chosen.tell();
}

const press = (name, on) => tools.querySelector(`[data-do="${name}"]`).setAttribute("aria-pressed", String(on));
const alike = () => (input("together").checked ? panes : [chosen]);

function setGreys(change) {
  const next = { ...chosen.greys, ...change };
  next.window = clamp(next.window, 2, 200);
  next.level = clamp(next.level, 0, 100);
  alike().forEach((pane) => { pane.greys = { ...next }; pane.paint(); });
  show();
}

// How many rows of the wall stand beside each other: as many as make the pictures largest.
function arrange() {
  const wall = viewer.querySelector(".wall");
  const rows = [...wall.querySelectorAll(".row")].filter((row) => row.clientWidth);
  const captions = 40;
  const shares = panes.filter((pane) => pane.sheet).map((pane) => pane.aspect);
  const aspect = shares.reduce((sum, one) => sum + one, 0) / (shares.length || 1) || 1;
  let best = { across: 1, size: 0 };
  for (let across = 1; across <= rows.length; across += 1) {
    const tall = Math.max(wall.clientHeight / Math.ceil(rows.length / across), 240) - captions;
    const size = Math.min(wall.clientWidth / (across * (enlarged || panes.length === 1 ? 1 : 2)), tall * aspect);
    if (size > best.size) best = { across, size };
  }
  wall.style.setProperty("--across", best.across);
}

function enlarge(pane) {
  enlarged = pane;
  viewer.classList.toggle("enlarged", Boolean(pane));
  panes.forEach((one) => {
    one.element.classList.toggle("large", one === pane);
    one.alone = one === pane;
    const button = one.element.querySelector(".enlarge");
    button.setAttribute("aria-pressed", String(one === pane));
    button.textContent = one === pane ? "All pictures" : "Enlarge";
  });
  if (pane) choose(pane);
  arrange();
  panes.forEach((one) => one.place());
  say(pane ? `${pane.name} enlarged` : "All pictures");
}

function showRow(name) {
  enlarge(null);
  viewer.querySelectorAll(".row").forEach((row) => row.classList.toggle("off", name !== "all" && row.dataset.row !== name));
  tools.querySelectorAll("[data-row]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.row === name)));
  arrange();
  if (!chosen.stage.clientWidth) choose(panes.find((pane) => pane.stage.clientWidth) ?? chosen);
  panes.forEach((pane) => pane.place());
}

const actions = {
  outline() {
    const off = viewer.classList.toggle("no-outline");
    press("outline", !off);
    say(off ? "Outline off" : "Outline on");
  },
  invert() { setGreys({ invert: !chosen.greys.invert }); },
  in() { chosen.zoom(1.25); say(`Zoom ${Math.round(100 * chosen.view.zoom)} %`); },
  out() { chosen.zoom(1 / 1.25); say(`Zoom ${Math.round(100 * chosen.view.zoom)} %`); },
  lesion() { say(chosen.toLesion() ? "Lesion enlarged" : "No lesion was found in this picture"); },
  enlarge() { enlarge(enlarged ? null : chosen); },
  reset() {
    panes.forEach((pane) => pane.reset());
    if (viewer.classList.contains("no-outline")) actions.outline();
    if (tools.querySelector("[data-row]")) showRow("all"); else enlarge(null);
    show();
    say("Everything reset");
  },
  keys() { document.querySelector("dialog").showModal(); },
};
const keys = { c: "outline", i: "invert", "+": "in", "=": "in", "-": "out", l: "lesion", e: "enlarge", r: "reset", "?": "keys" };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inRange = event.target.matches('input[type="range"], input[type="radio"]');
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (arrow && !inRange) {
    const [x, y] = arrow;
    if (event.shiftKey) setGreys({ window: chosen.greys.window + 4 * x, level: chosen.greys.level + 2 * y });
    else chosen.move(-40 * x, -40 * y);
  } else if (event.key === "Escape") {
    panes.forEach((pane) => pane.forget());
    if (enlarged) enlarge(null);
  } else {
    const name = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!name) return;
    actions[name]();
  }
  event.preventDefault();
}

function listen(pane) {
  const { stage, pointers } = pane;
  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  let started = null;
  stage.addEventListener("focus", () => choose(pane));
  stage.addEventListener("pointerdown", (event) => {
    if (!pane.sheet || event.button > 1) return;
    if (event.button === 1) event.preventDefault();
    if (pane !== chosen || !pane.element.classList.contains("chosen")) choose(pane);
    pointers.set(event.pointerId, at(event));
    stage.setPointerCapture(event.pointerId);
    const mode = event.button === 1 || event.shiftKey ? "move" : tools.querySelector('[name="drag"]:checked').value;
    started = { mode, share: pane.at(event), greys: { ...pane.greys }, ...at(event) };
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const far = (one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
      pane.zoom(far(now) / far(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else if (started.mode === "move") pane.move(now.x - before.x, now.y - before.y);
    else if (started.mode === "measure") pane.measure(started.share, pane.at(event));
    else {
      setGreys({
        window: started.greys.window + (now.x - started.x) / 3,
        level: started.greys.level + (now.y - started.y) / 5,
      });
    }
    pointers.set(event.pointerId, now);
  });
  ["pointerup", "pointercancel"].forEach((name) => stage.addEventListener(name, (event) => pointers.delete(event.pointerId)));
  stage.addEventListener("dblclick", () => { choose(pane); actions.enlarge(); });
  // The page scrolls over a picture that was not chosen.
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !pane.element.classList.contains("chosen")) return;
    event.preventDefault();
    const { x, y } = at(event);
    pane.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), x, y);
  }, { passive: false });
  pane.element.querySelector(".enlarge").addEventListener("click", () => enlarge(enlarged ? null : pane));
}

if (tools) {
  panes.forEach(listen);
  viewer.addEventListener("keydown", onKey);
  for (const name of ["window", "level"]) {
    input(name).addEventListener("input", (event) => setGreys({ [name]: Number(event.target.value) }));
  }
  tools.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => actions[button.dataset.do]()));
  tools.querySelectorAll("[data-row]").forEach((button) => button.addEventListener("click", () => showRow(button.dataset.row)));
  tools.querySelectorAll('[name="drag"]').forEach((radio) => radio.addEventListener("change", () => {
    panes.forEach((pane) => { pane.element.dataset.drag = radio.value; });
  }));
  document.querySelectorAll("[data-pane]").forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    const pane = panes.find((one) => one.element.id === link.dataset.pane);
    if (enlarged && enlarged !== pane) enlarge(null);
    if (!pane.stage.clientWidth) showRow("all");
    pane.stage.focus();
    pane.stage.scrollIntoView({ block: "nearest" });
  }));
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => panes.find((pane) => pane.stage === entry.target).place()));
  panes.forEach((pane) => sizes.observe(pane.stage));
  new ResizeObserver(arrange).observe(viewer);
  panes.forEach((pane) => pane.load().catch(() => say(`${pane.name}: window and level do not work in this browser`)));
  show();
}
document.documentElement.classList.add("scripted");
document.querySelector("#theme").addEventListener("click", ({ target }) => {
  const light = document.documentElement.dataset.theme === "dark";
  document.documentElement.dataset.theme = light ? "light" : "dark";
  target.setAttribute("aria-pressed", String(light));
});
const banner = document.querySelector(".banner");
new ResizeObserver(() => document.documentElement.style.setProperty("--top", `${getComputedStyle(banner).position === "sticky" ? banner.offsetHeight : 0}px`)).observe(banner);

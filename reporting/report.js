"use strict";
// Overlays at full size: click or Enter opens, arrow keys go on, Escape closes.
const dialog = document.querySelector("dialog");
const buttons = [...document.querySelectorAll(".gallery button")];
let at = 0;

function show(index) {
  at = (index + buttons.length) % buttons.length;
  const source = buttons[at].querySelector("img");
  const target = dialog.querySelector("img");
  target.src = source.dataset.whole;
  target.alt = source.alt;
  dialog.querySelector("p").textContent = source.alt;
}

buttons.forEach((button, index) => button.addEventListener("click", () => {
  show(index);
  dialog.showModal();
}));
if (dialog) {
  dialog.querySelector("[data-go='-1']").addEventListener("click", () => show(at - 1));
  dialog.querySelector("[data-go='1']").addEventListener("click", () => show(at + 1));
  dialog.querySelector("img").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(at - 1);
    if (event.key === "ArrowRight") show(at + 1);
  });
  dialog.addEventListener("close", () => buttons[at].focus());
}
// What a link leads to is unfolded, and so is everything for printing.
function unfold() {
  let part = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const target = part;
  for (; part; part = part.parentElement) {
    if (part.tagName === "DETAILS") part.open = true;
    else if (part === target) part.querySelector(":scope > details.part")?.setAttribute("open", "");
  }
  target?.scrollIntoView();
}
addEventListener("hashchange", unfold);
if (location.hash) unfold();
document.querySelectorAll("nav a").forEach((link) => link.addEventListener("click", () => {
  if (link.hash === location.hash) unfold();
}));
document.querySelectorAll("[data-fold]").forEach((button) => button.addEventListener("click", () => {
  document.querySelectorAll("main details").forEach((part) => {
    part.open = button.dataset.fold === "open";
  });
}));
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
});

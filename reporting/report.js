"use strict";
// Overlays at full size: click or Enter opens, arrow keys go on, Escape closes.
const dialog = document.querySelector("dialog");
const buttons = [...document.querySelectorAll(".gallery button")];
let at = 0;

function show(index) {
  at = (index + buttons.length) % buttons.length;
  const source = buttons[at].querySelector("img");
  const target = dialog.querySelector("img");
  target.src = source.src;
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
// Folded parts are opened for printing.
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
});

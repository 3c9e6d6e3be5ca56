"use strict";
// One mammogram of the viewer: its grey levels, zoom, place and measured line.
const LEVELS = 1024; // 256 levels of the picture, each in four steps
const LARGEST = 16;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

async function pixels(source, width, height) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

// One picture with all its levels, drawn anew on a canvas whenever window or level change.
class Layer {
  static async of(image) {
    const layer = new Layer();
    const { width, height } = { width: Number(image.getAttribute("width")), height: Number(image.getAttribute("height")) };
    const base = await pixels(image.src, width, height);
    const fine = image.dataset.fine && await pixels(image.dataset.fine, width, height);
    layer.values = new Uint16Array(width * height);
    for (let at = 0; at < layer.values.length; at += 1) {
      layer.values[at] = 4 * base[4 * at] + (fine ? fine[4 * at] : 0);
    }
    layer.canvas = document.createElement("canvas");
    layer.canvas.className = image.className;
    Object.assign(layer.canvas, { width, height });
    layer.canvas.setAttribute("aria-hidden", "true");
    layer.context = layer.canvas.getContext("2d", { alpha: false });
    layer.shown = layer.context.createImageData(width, height);
    return layer;
  }

  draw(table) {
    const words = new Uint32Array(this.shown.data.buffer);
    const { values } = this;
    for (let at = 0; at < values.length; at += 1) words[at] = table[values[at]];
    this.context.putImageData(this.shown, 0, 0);
  }
}

function greys({ window: width, level, invert }) {
  const table = new Uint32Array(LEVELS);
  for (let at = 0; at < LEVELS; at += 1) {
    const share = at / (4 * 255) - (level - width / 2) / 100;
    const grey = clamp(Math.round(25500 * share / width), 0, 255);
    const shown = invert ? 255 - grey : grey;
    table[at] = (0xff000000 | shown << 16 | shown << 8 | shown) >>> 0;
  }
  return table;
}

const START = { window: 100, level: 50, invert: false };

class Pane {
  // told: is called whenever what the corner of the picture says may have changed.
  constructor(element, told) {
    this.element = element;
    this.told = () => told(this);
    this.stage = element.querySelector(".stage");
    this.sheet = element.querySelector(".sheet");
    this.over = element.querySelector(".over");
    this.width = Number(element.dataset.mm);
    const size = (name) => this.sheet && Number(getComputedStyle(this.sheet).getPropertyValue(name));
    this.aspect = size("--aspect");
    this.share = { wide: size("--wide"), tall: size("--tall") };
    this.layers = [];
    this.greys = { ...START };
    this.view = { zoom: 1, x: 0, y: 0 };
    this.pointers = new Map();
  }

  get name() { return this.stage.getAttribute("aria-label").split(":")[0]; }

  async load() {
    for (const image of this.sheet?.querySelectorAll("img") ?? []) {
      const layer = await Layer.of(image);
      image.after(layer.canvas);
      image.hidden = true;
      this.layers.push(layer);
    }
    this.paint();
  }

  paint() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      const table = greys(this.greys);
      this.layers.forEach((layer) => layer.draw(table));
      this.tell();
    });
  }

  // Where all of the mammogram fits, its chest wall at the wall of the place; at one scale with the
  // others, unless it is alone.
  fit() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    const { aspect } = this;
    const share = this.alone ? { wide: 1, tall: aspect } : this.share;
    const wide = Math.min(width * share.wide, height * share.tall);
    const room = width - wide;
    const left = { right: room, left: 0 }[this.element.dataset.wall] ?? room / 2;
    return { width, height, left, top: (height - wide / aspect) / 2, wide, tall: wide / aspect };
  }

  place() {
    if (!this.sheet || !this.stage.clientWidth) return;
    const fit = this.fit();
    const { zoom } = this.view;
    const [wide, tall] = [fit.wide * zoom, fit.tall * zoom];
    // Some of the mammogram always stays in its place.
    const keep = { x: Math.min(fit.width / 4, wide / 2), y: Math.min(fit.height / 4, tall / 2) };
    this.view.x = clamp(this.view.x, keep.x - wide - fit.left, fit.width - keep.x - fit.left);
    this.view.y = clamp(this.view.y, keep.y - tall - fit.top, fit.height - keep.y - fit.top);
    Object.assign(this.sheet.style, {
      position: "absolute", width: `${wide}px`, height: `${tall}px`,
      left: `${fit.left + this.view.x}px`, top: `${fit.top + this.view.y}px`,
    });
    this.scale(wide);
    this.tell();
  }

  scale(wide) {
    const corner = this.element.querySelector(".scale");
    if (!this.width) { corner.textContent = "no scale"; return; }
    const perMm = wide / this.width;
    const steps = [0.5, 1, 2, 5, 10, 20, 50, 100];
    const most = Math.min(140, this.stage.clientWidth / 3);
    const length = steps.findLast((step) => step * perMm <= most) ?? steps[0];
    corner.textContent = `${length} mm`;
    corner.style.setProperty("--bar", `${length * perMm}px`);
  }

  tell() {
    const { window: width, level, invert } = this.greys;
    const parts = [];
    if (this.view.zoom !== 1) parts.push(`Zoom ${Math.round(100 * this.view.zoom)} %`);
    if (width !== START.window || level !== START.level) parts.push(`W ${Math.round(width)} % · L ${Math.round(level)} %`);
    if (invert) parts.push("inverted");
    if (this.measured) parts.push(this.measured);
    this.element.querySelector(".state").textContent = parts.join(" · ");
    this.told();
  }

  // Zoom so that the point at (x, y) of the stage stays where it is.
  zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    if (!this.sheet) return;
    const fit = this.fit();
    const zoom = clamp(this.view.zoom * factor, 1, LARGEST);
    const ratio = zoom / this.view.zoom;
    this.view.x = x - fit.left - (x - fit.left - this.view.x) * ratio;
    this.view.y = y - fit.top - (y - fit.top - this.view.y) * ratio;
    if (zoom === 1) Object.assign(this.view, { x: 0, y: 0 });
    this.view.zoom = zoom;
    this.place();
  }

  move(x, y) {
    this.view.x += x;
    this.view.y += y;
    this.place();
  }

  toLesion() {
    const line = this.over?.querySelector(".line");
    if (!line) return false;
    const { x, y, width, height } = line.getBBox();
    const whole = this.over.viewBox.baseVal;
    const fit = this.fit();
    const [wide, tall] = [width / whole.width * fit.wide, height / whole.height * fit.tall];
    const zoom = clamp(0.5 * Math.min(fit.width / wide, fit.height / tall), 1, LARGEST);
    this.view.zoom = zoom;
    this.view.x = fit.width / 2 - fit.left - zoom * (x + width / 2) / whole.width * fit.wide;
    this.view.y = fit.height / 2 - fit.top - zoom * (y + height / 2) / whole.height * fit.tall;
    this.place();
    return true;
  }

  reset() {
    this.view = { zoom: 1, x: 0, y: 0 };
    this.greys = { ...START };
    this.forget();
    this.place();
    this.paint();
  }

  // A point of the stage as a share of the mammogram.
  at(event) {
    const box = this.sheet.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  measure(from, to) {
    this.forget();
    const { width, height } = this.over.viewBox.baseVal;
    for (const kind of ["ruler casing", "ruler"]) {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      line.setAttribute("class", kind);
      Object.entries({ x1: from.x * width, y1: from.y * height, x2: to.x * width, y2: to.y * height })
        .forEach(([key, value]) => line.setAttribute(key, value));
      this.over.append(line);
    }
    const fit = this.fit();
    const long = this.width
      ? Math.hypot(to.x - from.x, (to.y - from.y) * fit.tall / fit.wide) * this.width
      : Math.hypot((to.x - from.x) * width, (to.y - from.y) * height);
    this.measured = `${long.toFixed(this.width ? 1 : 0)} ${this.width ? "mm" : "pixels"}`;
    this.tell();
  }

  forget() {
    this.over?.querySelectorAll(".ruler").forEach((line) => line.remove());
    this.measured = "";
    this.tell();
  }
}

"use strict";
// The page of `mitotools view -o FILE.html`: slices with outlined instances, all of it in the page itself.
// Images stand in script elements as text and are decoded when they are looked at, so that a page of many
// slices opens at once.

const meta = JSON.parse(document.getElementById("meta").textContent);
const [height, width] = meta.size;
const place = (id) => document.getElementById(id);
const stage = place("stage"), picture = place("picture"), slider = place("slider");

const HELD = 16;          // decoded slices of each kind that stay in memory
const SHOWN_ROWS = 200;   // of the list of instances
const SIDE = 1000;        // pixels: smaller slices are enlarged by a whole factor, so that outlines stay thin
const enlarge = Math.max(1, Math.round(SIDE / Math.max(width, height * meta.stretch)));
const across = width * enlarge, down = Math.round(height * enlarge * meta.stretch);

const state = {
  slice: 0, raw: true, fill: false, on: meta.layers.map(() => true), selected: null, zoom: 1, left: 0, top: 0,
};

// ---- images

const held = new Map();

function remembered(key, make) {
  if (!held.has(key)) {
    held.set(key, make());
    if (held.size > HELD * (1 + meta.layers.length)) held.delete(held.keys().next().value);
  } else {
    const value = held.get(key);
    held.delete(key);
    held.set(key, value);
  }
  return held.get(key);
}

async function decoded(id) {
  const element = place(id), image = new Image();
  image.src = `data:${element.dataset.kind};base64,${element.textContent.trim()}`;
  await image.decode();
  return image;
}

const greys = (slice) => remembered(`raw-${slice}`, () => decoded(`raw-${slice}`));

// Rows of the layer's table, counted from 1, at the pixels of a slice; 0 is background.
const numbers = (layer, slice) => remembered(`labels-${layer}-${slice}`, async () => {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(await decoded(`labels-${layer}-${slice}`), 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data, found = new Uint32Array(width * height);
  for (let i = 0; i < found.length; i++) found[i] = pixels[4 * i] | pixels[4 * i + 1] << 8 | pixels[4 * i + 2] << 16;
  return found;
});

// ---- colours

function colourOf(layer, row) {
  const kinds = meta.layers[layer].kinds;
  if (kinds) return meta.legend[kinds[row]] || "#BEBEBE";
  // Hues follow each other by the golden ratio, as in the pictures.
  return `hsl(${((Number(meta.layers[layer].rows[row][0]) * 0.6180339887498949 + 0.1) % 1) * 360} 100% 66%)`;
}

const probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
function asNumber(colour) {
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  return (255 << 24 | b << 16 | g << 8 | r) >>> 0;
}

const coloursOf = meta.layers.map((layer, number) => {
  const found = new Uint32Array(layer.rows.length + 1);
  layer.rows.forEach((_, row) => { found[row + 1] = asNumber(colourOf(number, row)); });
  return found;
});

// ---- drawing

let drawing = 0;

async function draw() {
  const turn = ++drawing, slice = state.slice;
  place("where").textContent = `${meta.axis} ${meta.positions[slice]} (${slice + 1} of ${meta.positions.length})`;
  slider.value = slice;
  place("busy").hidden = false;
  const image = await greys(slice);
  const shown = meta.layers.map((_, number) => number).filter((number) => state.on[number]);
  const ids = await Promise.all(shown.map((number) => numbers(number, slice)));
  if (turn !== drawing) return;  // the user has moved on
  picture.width = across;
  picture.height = down;
  const context = picture.getContext("2d");
  context.imageSmoothingEnabled = false;
  if (state.raw) context.drawImage(image, 0, 0, across, down);
  const overlay = new ImageData(across, down), pixels = new Uint32Array(overlay.data.buffer);
  shown.forEach((number, index) => paint(pixels, enlarged(ids[index]), number));
  const above = new OffscreenCanvas(across, down);
  above.getContext("2d").putImageData(overlay, 0, 0);
  context.drawImage(above, 0, 0);
  place("busy").hidden = true;
  Object.assign(picture.dataset, { slice, layers: shown.join(" ") });
  for (const near of [slice + 1, slice - 1]) if (near >= 0 && near < meta.positions.length) greys(near);
}

function enlarged(ids) {
  const found = new Uint32Array(across * down);
  for (let y = 0, i = 0; y < down; y++) {
    const start = Math.min(height - 1, Math.floor(y * height / down)) * width;
    for (let x = 0; x < across; x++, i++) found[i] = ids[start + Math.floor(x / enlarge)];
  }
  return found;
}

function paint(pixels, ids, layer) {
  const colours = coloursOf[layer], dotted = meta.layers[layer].truth, thick = Math.max(1, enlarge >> 1);
  const selected = state.selected && state.selected.layer === layer ? state.selected.row + 1 : 0;
  for (let y = 0, i = 0; y < down; y++) {
    for (let x = 0; x < across; x++, i++) {
      const id = ids[i];
      if (!id) continue;
      const rim = (x >= thick && ids[i - thick] !== id) || (x + thick < across && ids[i + thick] !== id) ||
        (y >= thick && ids[i - thick * across] !== id) || (y + thick < down && ids[i + thick * across] !== id);
      if (rim && !(dotted && ((x + y) >> 3) & 1)) pixels[i] = id === selected ? 0xFFFFFFFF : colours[id];
      else if (!rim && (id === selected || state.fill)) pixels[i] = (colours[id] & 0xFFFFFF | (id === selected ? 90 : 70) << 24) >>> 0;
    }
  }
}

// ---- moving about

function show(slice) {
  state.slice = Math.max(0, Math.min(meta.positions.length - 1, slice));
  return draw();
}

function fit() {
  const room = stage.getBoundingClientRect();
  state.zoom = Math.min(room.width / across, room.height / down);
  state.left = (room.width - across * state.zoom) / 2;
  state.top = (room.height - down * state.zoom) / 2;
  arrange();
}

function arrange() {
  picture.style.transform = `translate(${state.left}px, ${state.top}px) scale(${state.zoom})`;
  if (meta.width_nm) drawBar();
}

function zoomBy(factor, x, y) {
  const least = 0.1, most = 20, next = Math.min(most, Math.max(least, state.zoom * factor));
  state.left = x - (x - state.left) * next / state.zoom;
  state.top = y - (y - state.top) * next / state.zoom;
  state.zoom = next;
  arrange();
}

function drawBar() {
  const nm = meta.width_nm / (across * state.zoom);  // a pixel of the screen
  const lengths = [1, 2, 5].flatMap((first) => [10, 100, 1000, 10000, 100000].map((unit) => first * unit));
  const length = Math.max(...lengths.filter((one) => one / nm <= 200), Math.min(...lengths));
  place("bar").hidden = false;
  place("bar").replaceChildren(length >= 1000 ? `${length / 1000} \u00b5m` : `${length} nm`, element("i"));
  place("bar").querySelector("i").style.width = `${length / nm}px`;
}

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (!event.ctrlKey) return show(state.slice + Math.sign(event.deltaY));
  const room = stage.getBoundingClientRect();
  zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - room.left, event.clientY - room.top);
}, { passive: false });

let grip = null;
stage.addEventListener("pointerdown", (event) => {
  grip = { x: event.clientX, y: event.clientY, left: state.left, top: state.top, moved: false };
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (!grip) return;
  const dx = event.clientX - grip.x, dy = event.clientY - grip.y;
  grip.moved ||= Math.hypot(dx, dy) > 4;
  if (grip.moved) [state.left, state.top] = [grip.left + dx, grip.top + dy];
  arrange();
});
stage.addEventListener("pointerup", (event) => {
  if (grip && !grip.moved) pick(event.clientX, event.clientY);
  grip = null;
});

async function pick(x, y) {
  const box = picture.getBoundingClientRect();
  const column = Math.floor((x - box.left) / box.width * width), line = Math.floor((y - box.top) / box.height * height);
  if (column < 0 || line < 0 || column >= width || line >= height) return select(null);
  for (let layer = meta.layers.length - 1; layer >= 0; layer--) {
    if (!state.on[layer]) continue;
    const id = (await numbers(layer, state.slice))[line * width + column];
    if (id) return select({ layer, row: id - 1 });
  }
  return select(null);
}

// ---- instances

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  Object.assign(made, attributes);
  return made;
}

function swatch(colour) {
  const made = element("span", "", { className: "swatch" });
  made.style.background = colour;
  return made;
}

function value(one) {
  if (one === null || one === undefined) return "\u2013";
  if (typeof one !== "number" || Number.isInteger(one)) return String(one);
  return Math.abs(one) >= 1000 ? one.toFixed(0) : Number(one.toPrecision(4)).toString();
}

function select(chosen, { jump = false } = {}) {
  state.selected = chosen;
  const panel = place("selected");
  panel.replaceChildren();
  if (!chosen) panel.append(element("p", "Click an instance, or choose one below.", { className: "dim" }));
  else describe(panel, meta.layers[chosen.layer], chosen);
  if (chosen && jump) {
    const middle = meta.layers[chosen.layer].middles[chosen.row];
    let best = 0;
    meta.positions.forEach((at, i) => { if (Math.abs(at - middle) < Math.abs(meta.positions[best] - middle)) best = i; });
    state.slice = best;
  }
  list();
  return draw();
}

function describe(panel, layer, chosen) {
  const row = layer.rows[chosen.row], heading = element("p");
  heading.append(swatch(colourOf(chosen.layer, chosen.row)), element("strong", `${layer.name} ${row[0]}`));
  if (layer.kinds) heading.append(` ${layer.kinds[chosen.row] || "left out"}`);
  panel.append(heading);
  if (layer.partners) panel.append(match(layer, chosen));
  const table = element("table");
  layer.names.forEach((name, i) => {
    const line = table.insertRow();
    line.append(element("th", name), element("td", value(row[i])));
  });
  panel.append(table);
}

function match(layer, chosen) {
  const [partner, iou] = layer.partners[chosen.row], line = element("p"), other = 1 - chosen.layer;
  if (partner === null) {
    line.textContent = "Nothing of the other labels touches it.";
    return line;
  }
  const row = meta.layers[other].rows.findIndex((one) => one[0] === partner);
  const button = element("button", `${meta.layers[other].name} ${partner}`, { type: "button" });
  button.addEventListener("click", () => select({ layer: other, row }));
  line.append("Best match: ", button, ` IoU ${value(iou)}`);
  return line;
}

const ORDER = ["missed", "false positive", "merged", "split", "hit"];

function candidates() {
  const layer = Number(place("of").value), kind = place("kind").value, id = place("search").value.trim();
  const { rows, kinds, names } = meta.layers[layer], size = names.indexOf("voxels");
  return rows.map((_, row) => ({ layer, row }))
    .filter(({ row }) => (!kind || kinds[row] === kind) && (!id || String(rows[row][0]).startsWith(id)))
    .sort((a, b) => (kinds ? ORDER.indexOf(kinds[a.row]) - ORDER.indexOf(kinds[b.row]) : 0) || rows[b.row][size] - rows[a.row][size]);
}

function list() {
  const found = candidates(), body = element("tbody");
  for (const one of found.slice(0, SHOWN_ROWS)) {
    const { rows, kinds, names } = meta.layers[one.layer], line = body.insertRow(), first = element("td");
    first.append(swatch(colourOf(one.layer, one.row)), String(rows[one.row][0]));
    line.append(first, element("td", kinds ? kinds[one.row] || "left out" : ""), element("td", `${rows[one.row][names.indexOf("voxels")]} voxels`));
    line.tabIndex = 0;
    const chosen = state.selected && state.selected.layer === one.layer && state.selected.row === one.row;
    line.setAttribute("aria-selected", String(Boolean(chosen)));
    line.addEventListener("click", () => select(one, { jump: true }));
    line.addEventListener("keydown", (event) => { if (event.key === "Enter") select(one, { jump: true }); });
  }
  place("instances").replaceChildren(body);
  place("count").textContent = found.length > SHOWN_ROWS ? `the first ${SHOWN_ROWS} of ${found.length}` : `${found.length}`;
}

function step(by) {
  const found = candidates();
  if (!found.length) return;
  const now = found.findIndex((one) => state.selected && one.layer === state.selected.layer && one.row === state.selected.row);
  const next = now < 0 ? (by > 0 ? 0 : found.length - 1) : (now + by + found.length) % found.length;
  select(found[next], { jump: true });
}

// ---- panels and keys

function toggle(number) {
  state.on[number] = !state.on[number];
  document.querySelectorAll("#layers input[data-layer]")[number].checked = state.on[number];
  draw();
}

function option(text, checked, change, data) {
  const label = element("label"), box = element("input", undefined, { type: "checkbox", checked });
  if (data !== undefined) box.dataset.layer = data;
  box.addEventListener("change", () => { change(box.checked); draw(); });
  label.append(box, text);
  return label;
}

function build() {
  document.title = meta.title;
  slider.max = meta.positions.length - 1;
  slider.addEventListener("input", () => show(Number(slider.value)));
  const panel = place("layers");
  panel.append(option("grey values (g)", true, (on) => { state.raw = on; }));
  meta.layers.forEach((layer, number) => {
    panel.append(option(`${layer.name}${layer.truth ? ", dotted" : ""} (${number + 1})`, true, (on) => { state.on[number] = on; }, number));
    place("of").append(element("option", layer.name, { value: String(number) }));
  });
  panel.append(option("filled (f)", false, (on) => { state.fill = on; }));
  if (meta.legend) {
    const kinds = element("ul", undefined, { className: "kinds" });
    for (const [kind, colour] of Object.entries(meta.legend)) {
      const entry = element("li"), count = meta.counts[kind];
      entry.append(swatch(colour), `${kind} ${count}`);
      kinds.append(entry);
      place("kind").append(element("option", kind, { value: kind }));
    }
    panel.append(kinds);
  }
  place("kind").hidden = !meta.legend;
  place("of").hidden = meta.layers.length < 2;
  place("browse").hidden = !meta.layers.length;
  for (const id of ["of", "kind", "search"]) place(id).addEventListener("input", list);
  window.addEventListener("resize", fit);
  fit();
  if (meta.layers.length) select(null);
  else draw();
}

const checkbox = (number) => document.querySelectorAll("#layers input")[number];
const room = () => stage.getBoundingClientRect();
const KEYS = {
  ArrowUp: () => show(state.slice - 1), ArrowDown: () => show(state.slice + 1),
  PageUp: () => show(state.slice - 10), PageDown: () => show(state.slice + 10),
  Home: () => show(0), End: () => show(meta.positions.length - 1),
  "+": () => zoomBy(1.25, room().width / 2, room().height / 2),
  "-": () => zoomBy(0.8, room().width / 2, room().height / 2),
  0: fit, n: () => step(1), p: () => step(-1), Escape: () => select(null),
  g: () => checkbox(0).click(), f: () => checkbox(meta.layers.length + 1).click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=text], select")) return;
  if (event.target === slider && !/^[a-z0-9+-]$/.test(event.key)) return;
  const layer = Number(event.key) - 1;
  if (layer >= 0 && layer < meta.layers.length) toggle(layer);
  else if (Object.hasOwn(KEYS, event.key)) KEYS[event.key]();
  else return;
  event.preventDefault();
});

build();

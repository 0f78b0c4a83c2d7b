// ---- Panels, mouse and keys.

const slider = place("slider"), number = place("number"), help = place("help");
const WHEEL = 60;  // pixels a slice: trackpads send many events of few pixels

const inUnits = (nm) => (Math.abs(nm) >= 1000 ? `${value(nm / 1000)} \u00b5m` : `${value(nm)} nm`);

function tellSlice() {
  const at = meta.positions[state.slice], nm = meta.depth_nm ? `, ${inUnits(at * meta.depth_nm)}` : "";
  place("where").textContent = `(${state.slice + 1} of ${meta.positions.length}${nm})`;
  number.value = at;
  slider.value = state.slice;
  slider.setAttribute("aria-valuetext", `${meta.axis} ${at}`);
}

function goTo(at) {
  const distance = (slice) => Math.abs(meta.positions[slice] - at);
  show(meta.positions.reduce((best, _, slice) => (distance(slice) < distance(best) ? slice : best), 0));
}

// What is under the pointer.
function tellPixel(x, y) {
  const pixel = shown && pixelAt(x, y);
  place("pixel").hidden = !pixel;
  if (!pixel) return;
  const [down, across] = ["z", "y", "x"].filter((axis) => axis !== meta.axis);
  const line = Math.floor(pixel.line * meta.voxels[0] / height);
  const column = Math.floor(pixel.column * meta.voxels[1] / width);
  const grey = pixelsOf(shown.image, pixel.column, pixel.line, 1, 1)[0] / 255;
  const [black, white] = meta.limits, about = Number((black + grey * (white - black)).toPrecision(3));
  const told = [`${across} ${column}, ${down} ${line}`, `grey about ${value(about)}`];
  shown.layers.forEach((layer, i) => {
    const id = shown.ids[i][pixel.line * width + pixel.column];
    if (id) told.push(`${shortened(meta.layers[layer].name, 20)} ${meta.layers[layer].rows[id - 1][0]}`);
  });
  place("pixel").textContent = told.join(" \u00b7 ");
}

// The first layer's instance; clicked on again, that of the next.
function pick(x, y) {
  const pixel = shown && pixelAt(x, y);
  const there = !pixel ? [] : shown.layers.flatMap((layer, i) => {
    const id = shown.ids[i][pixel.line * width + pixel.column];
    return id ? [{ layer, row: id - 1 }] : [];
  });
  const last = there.findIndex((one) => same(one, state.selected));
  if (meta.layers.length) select(there[(last + 1) % there.length] || null);
}

// ---- mouse

let rolled = 0;
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const rolls = event.deltaY * [1, 20, view.down][event.deltaMode], room = stage.getBoundingClientRect();
  if (event.ctrlKey) {
    const power = Math.max(-1, Math.min(1, -rolls / 20));
    return zoomBy(1.2 ** power, event.clientX - room.left, event.clientY - room.top);
  }
  rolled = Math.sign(rolls) === Math.sign(rolled) ? rolled + rolls : rolls;
  if (Math.abs(rolled) < WHEEL) return;
  show(state.slice + Math.sign(rolled));
  rolled = 0;  // and not what is left: a notch of a wheel is one slice, however many pixels it is
}, { passive: false });

let grip = null;
stage.addEventListener("pointerdown", (event) => {
  grip = { x: event.clientX, y: event.clientY, left: view.left, top: view.top, moved: false };
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (!grip) return tellPixel(event.clientX, event.clientY);
  const dx = event.clientX - grip.x, dy = event.clientY - grip.y;
  grip.moved ||= Math.hypot(dx, dy) > 4;
  if (grip.moved) pan(grip.left + dx - view.left, grip.top + dy - view.top);
});
stage.addEventListener("pointerleave", () => { place("pixel").hidden = true; });
stage.addEventListener("pointerup", (event) => {
  if (grip && !grip.moved) pick(event.clientX, event.clientY);
  grip = null;
});

// ---- panels

function checkbox(text, checked, change, title = "") {
  const label = element("label", undefined, { title });
  const box = element("input", undefined, { type: "checkbox", checked });
  box.addEventListener("change", () => { change(box.checked); draw(); });
  label.append(box, text);
  place("layers").append(label);
  return box;
}

const boxes = { layers: [] };

function buildLayers() {
  const { name, path } = meta.raw;
  boxes.raw = checkbox(`${shortened(name, 28)} (g)`, true, (on) => { state.raw = on; }, path);
  place("of").append(element("option", meta.legend ? "predicted or missed" : "all labels", { value: "" }));
  meta.layers.forEach((layer, at) => {
    const words = `${shortened(layer.name, 28)}${layer.truth ? ", truth, dotted" : ""} (${at + 1})`;
    boxes.layers.push(checkbox(words, true, (on) => { state.on[at] = on; }, layer.path));
    const choice = `${layer.truth ? "truth: " : ""}${shortened(layer.name, 32)}`;
    place("of").append(element("option", choice, { value: String(at), title: layer.path }));
  });
  if (meta.layers.length) boxes.fill = checkbox("filled (f)", false, (on) => { state.fill = on; });
  for (const [kind, colour] of Object.entries(meta.legend || {})) {
    const button = element("button", undefined, { type: "button", title: `List ${kind}` });
    button.dataset.kind = kind;
    button.append(swatch(colour), `${kind} ${meta.counts[kind]}`);
    button.addEventListener("click", () => showKind(kindShown === kind ? "" : kind));
    place("kinds").append(button);
  }
}

function build() {
  const [down, across] = ["z", "y", "x"].filter((axis) => axis !== meta.axis);
  document.title = meta.title;
  document.querySelector("h1").title = meta.title;
  document.querySelector("h1").textContent = shortened(meta.raw.name, 40);
  place("axis").textContent = meta.axis;
  place("across").textContent = `${across} \u2192  ${down} \u2193`;
  const { crop } = meta.raw;
  if (crop) place("crop").textContent = `Slices and places are counted within the crop ${crop}.`;
  slider.max = meta.positions.length - 1;
  [number.min, number.max] = [meta.positions[0], meta.positions.at(-1)];
  buildLayers();
  document.body.classList.toggle("bare", !meta.layers.length);
  place("of").hidden = meta.layers.length < 2;
  slider.addEventListener("input", () => show(Number(slider.value)));
  number.addEventListener("change", () => goTo(Number(number.value)));
  for (const id of ["of", "search"]) place(id).addEventListener("input", list);
  for (const id of ["brightness", "contrast"]) place(id).addEventListener("input", paint);
  place("plain").addEventListener("click", () => {
    place("brightness").value = place("contrast").value = 100;
    paint();
  });
  place("earlier").addEventListener("click", () => turnPage(-1));
  place("later").addEventListener("click", () => turnPage(1));
  place("instances").addEventListener("keydown", moveInList);
  place("keys").addEventListener("click", () => help.showModal());
  place("close").addEventListener("click", () => help.close());
  new ResizeObserver(measure).observe(stage);
  measure();
  list();
  describe();
  draw();
}

// ---- keys

const PAN = 0.15;  // of the stage
const KEYS = {
  arrowup: () => show(state.slice - 1), arrowdown: () => show(state.slice + 1),
  pageup: () => show(state.slice - 10), pagedown: () => show(state.slice + 10),
  home: () => show(0), end: () => show(meta.positions.length - 1),
  "shift arrowup": () => pan(0, PAN * view.down), "shift arrowdown": () => pan(0, -PAN * view.down),
  "shift arrowleft": () => pan(PAN * view.across, 0), "shift arrowright": () => pan(-PAN * view.across, 0),
  "+": () => zoomBy(1.25), "=": () => zoomBy(1.25), "-": () => zoomBy(0.8), 0: fit,
  n: () => step(1), p: () => step(-1), m: mark,
  escape: () => { if (meta.layers.length) select(null); },
  g: () => boxes.raw.click(), f: () => boxes.fill?.click(),
  "?": () => help.showModal(),
};
const SCROLLED = /^(Arrow|Page|Home|End)/;

function inField(event) {
  const { target, key } = event;
  if (key === "Escape") stage.focus();
  if (key !== "Enter" || target !== place("search") || !listed.length) return;
  const id = target.value.trim();
  const exact = listed.find(({ layer, row }) => String(meta.layers[layer].rows[row][0]) === id);
  select(exact || listed[0], { jump: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.target.matches("input:not([type=checkbox], #slider), select")) return inField(event);
  if (SCROLLED.test(event.key) && !event.shiftKey && event.target.closest("#selected")) return;
  const layer = Number(event.key) - 1;
  const name = `${event.shiftKey && SCROLLED.test(event.key) ? "shift " : ""}${event.key.toLowerCase()}`;
  if (layer in boxes.layers) boxes.layers[layer].click();
  else if (Object.hasOwn(KEYS, name)) KEYS[name]();
  else return;
  event.preventDefault();
});

build();

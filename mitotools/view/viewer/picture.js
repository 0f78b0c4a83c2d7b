// ---- The slice and its outlines, drawn for the pixels of the screen: lines are as thick at any zoom.

const stage = place("stage"), picture = place("picture");
const RIM = 2, DASH = 6;              // pixels of the screen: outlines, and the dashes of the truth's
const FILLED = 70, CHOSEN = 100;      // opacity, of 255
const WHITE = 0xFFFFFFFF;

// In pixels of CSS: how large a pixel of the slice is, and where its first one lies on the stage.
const view = { zoom: 1, left: 0, top: 0, across: 0, down: 0, fitted: true };

let drawing = 0, shown = null;

async function draw() {
  const turn = ++drawing, slice = state.slice;
  tellSlice();
  place("busy").hidden = false;
  const layers = meta.layers.map((_, number) => number).filter((number) => state.on[number]);
  const asked = [greys(slice), ...layers.map((number) => numbers(number, slice))];
  const [image, ...ids] = await Promise.all(asked);
  if (turn !== drawing) return;  // the user has moved on
  shown = { slice, image, layers, ids };
  place("busy").hidden = true;
  paint();
  for (const near of [slice + 1, slice - 1]) if (near >= 0 && near < meta.positions.length) greys(near);
}

function paint() {
  if (!shown) return;
  const dense = window.devicePixelRatio || 1, context = picture.getContext("2d");
  picture.width = Math.max(1, Math.round(view.across * dense));
  picture.height = Math.max(1, Math.round(view.down * dense));
  const lengths = [view.left, view.top, width * view.zoom, height * view.zoom * meta.stretch];
  const [left, top, across, down] = lengths.map((length) => Math.round(length * dense));
  context.imageSmoothingEnabled = across < width;
  const [brightness, contrast] = ["brightness", "contrast"].map((id) => place(id).value);
  if (brightness !== "100" || contrast !== "100") {
    context.filter = `brightness(${brightness}%) contrast(${contrast}%)`;
  }
  if (state.raw) context.drawImage(shown.image, left, top, across, down);
  context.filter = "none";
  const columns = pixelsAlong(left, across, width, picture.width);
  const lines = pixelsAlong(top, down, height, picture.height);
  if (columns.pixels.length && lines.pixels.length) {
    const above = new OffscreenCanvas(columns.pixels.length, lines.pixels.length);
    above.getContext("2d").putImageData(overlay(columns, lines, dense), 0, 0);
    context.drawImage(above, columns.start, lines.start);
  }
  if (meta.width_nm) drawBar(context, dense);
  Object.assign(picture.dataset, { slice: shown.slice, layers: shown.layers.join(" ") });
}

// The pixels of the slice at those of the screen, along one side, where it is on the screen.
function pixelsAlong(first, length, count, room) {
  const start = Math.max(0, first), stop = Math.max(start, Math.min(room, first + length));
  const pixel = (_, i) => Math.floor((start + i + 0.5 - first) * count / length);
  const pixels = Uint32Array.from({ length: stop - start }, pixel);
  return { start, pixels, from: start - first };
}

// All that is filled lies below all outlines, and that of the selected instance above all.
function overlay(columns, lines, dense) {
  const made = new ImageData(columns.pixels.length, lines.pixels.length);
  const pixels = new Uint32Array(made.data.buffer);
  const rim = Math.round(RIM * dense), dash = Math.round(DASH * dense);
  const ids = shown.ids.map((one) => onScreen(one, columns.pixels, lines.pixels));
  const chosen = shown.layers.map((layer) => (state.selected?.layer === layer ? state.selected.row + 1 : 0));
  shown.layers.forEach((layer, i) => fill(pixels, ids[i], coloursOf[layer], chosen[i]));
  shown.layers.forEach((layer, i) => {
    const dashes = meta.layers[layer].truth ? { length: dash, x: columns.from, y: lines.from } : null;
    outline(pixels, ids[i], made.width, rim, (id) => coloursOf[layer][id], dashes);
  });
  chosen.forEach((only, i) => only && outline(pixels, ids[i], made.width, rim + 1, () => WHITE, null, only));
  return made;
}

function onScreen(ids, columns, lines) {
  const across = columns.length, found = new Uint32Array(across * lines.length);
  for (let y = 0; y < lines.length; y++) {
    const start = lines[y] * width, i = y * across;
    if (y && lines[y] === lines[y - 1]) found.copyWithin(i, i - across, i);
    else for (let x = 0; x < across; x++) found[i + x] = ids[start + columns[x]];
  }
  return found;
}

function fill(pixels, ids, colours, chosen) {
  if (!state.fill && !chosen) return;
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    if (!id || !(state.fill || id === chosen)) continue;
    // Where two layers are filled: the mean of both, so that neither hides the other.
    const below = pixels[i], own = colours[id];
    const colour = below ? ((below & 0xFEFEFE) + (own & 0xFEFEFE)) >>> 1 : own;
    pixels[i] = (colour & 0xFFFFFF | (below || id === chosen ? CHOSEN : FILLED) << 24) >>> 0;
  }
}

// Dashes follow rows where an outline is upright and columns elsewhere: outlines of all directions are cut.
function outline(pixels, ids, across, thick, colourOf, dashes, only = 0) {
  const down = ids.length / across;
  for (let y = 0, i = 0; y < down; y++) {
    for (let x = 0; x < across; x++, i++) {
      const id = ids[i];
      if (!id || (only && id !== only)) continue;
      let upright = false, level = false;
      for (let by = 1; by <= thick && !upright; by++) {
        upright = (x >= by && ids[i - by] !== id) || (x + by < across && ids[i + by] !== id);
        level ||= (y >= by && ids[i - by * across] !== id) || (y + by < down && ids[i + by * across] !== id);
      }
      if (!upright && !level) continue;
      if (dashes && Math.floor((upright ? y + dashes.y : x + dashes.x) / dashes.length) & 1) continue;
      pixels[i] = colourOf(id);
    }
  }
}

function drawBar(context, dense) {
  const nm = meta.width_nm / (width * view.zoom);  // a pixel of CSS
  const lengths = [1, 2, 5].flatMap((first) => [10, 100, 1000, 10000, 100000].map((unit) => first * unit));
  const length = Math.max(...lengths.filter((one) => one / nm <= 200), Math.min(...lengths));
  const words = length >= 1000 ? `${length / 1000} \u00b5m` : `${length} nm`;
  context.scale(dense, dense);
  context.font = "14px system-ui, sans-serif";
  context.fillStyle = "#000b";
  context.fillRect(12, view.down - 46, Math.max(length / nm, context.measureText(words).width) + 16, 34);
  context.fillStyle = "#fff";
  context.fillText(words, 20, view.down - 28);
  context.fillRect(20, view.down - 22, length / nm, 4);
}

// ---- moving about

let waiting = false;
function arrange() {
  const keep = 40;  // pixels of the slice that stay on the stage
  view.left = Math.min(view.across - keep, Math.max(keep - width * view.zoom, view.left));
  view.top = Math.min(view.down - keep, Math.max(keep - height * view.zoom * meta.stretch, view.top));
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; paint(); });
}

const wholeZoom = () => Math.min(view.across / width, view.down / (height * meta.stretch));

function fit() {
  view.zoom = wholeZoom();
  view.left = (view.across - width * view.zoom) / 2;
  view.top = (view.down - height * view.zoom * meta.stretch) / 2;
  view.fitted = true;
  arrange();
}

// What is in the middle stays there.
function measure() {
  const room = stage.getBoundingClientRect(), { across, down } = view;
  [view.across, view.down] = [room.width, room.height];
  if (view.fitted) fit();
  else pan((room.width - across) / 2, (room.height - down) / 2);
}

function pan(right, down) {
  view.left += right;
  view.top += down;
  view.fitted = false;
  arrange();
}

function zoomBy(factor, x = view.across / 2, y = view.down / 2) {
  const next = Math.min(Math.max(60, wholeZoom()), Math.max(wholeZoom() / 4, view.zoom * factor));
  view.left = x - (x - view.left) * next / view.zoom;
  view.top = y - (y - view.top) * next / view.zoom;
  view.zoom = next;
  view.fitted = false;
  arrange();
}

// The pixel of the slice at a place of the window; null outside.
function pixelAt(x, y) {
  const room = stage.getBoundingClientRect();
  const column = Math.floor((x - room.left - view.left) / view.zoom);
  const line = Math.floor((y - room.top - view.top) / view.zoom / meta.stretch);
  return column < 0 || line < 0 || column >= width || line >= height ? null : { column, line };
}

// Move an instance that is not wholly on the stage to its middle.
async function bringIntoView({ layer, row }) {
  const slice = state.slice, ids = await numbers(layer, slice);
  if (slice !== state.slice) return;
  let left = width, right = -1, top = height, bottom = -1;
  for (let line = 0, i = 0; line < height; line++) {
    for (let column = 0; column < width; column++, i++) {
      if (ids[i] !== row + 1) continue;
      [left, right] = [Math.min(left, column), Math.max(right, column + 1)];
      [top, bottom] = [Math.min(top, line), line + 1];
    }
  }
  if (right < 0) return;
  const [x0, x1] = [left, right].map((column) => view.left + column * view.zoom);
  const [y0, y1] = [top, bottom].map((line) => view.top + line * view.zoom * meta.stretch);
  const whole = x0 >= -1 && y0 >= -1 && x1 <= view.across + 1 && y1 <= view.down + 1;
  if (!whole) pan((view.across - x0 - x1) / 2, (view.down - y0 - y1) / 2);
}

function show(slice) {
  state.slice = Math.max(0, Math.min(meta.positions.length - 1, slice));
  return draw();
}

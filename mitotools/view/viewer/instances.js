// ---- The instances: a list of them, and what is known of the selected one.

const SHOWN_ROWS = 200;   // of the list, at a time
// Worst first; other kinds stand before the best.
const BEST = "hit", ORDER = ["missed", "false positive", "merged", "split", "poor fit"];
const same = (one, other) => Boolean(one && other) && one.layer === other.layer && one.row === other.row;

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

// Names are told apart by both their ends.
function shortened(name, most) {
  if (name.length <= most) return name;
  return `${name.slice(0, Math.ceil(most / 2) - 1)}\u2026${name.slice(-Math.floor(most / 2))}`;
}

function value(one) {
  if (one === null || one === undefined) return "\u2013";
  if (typeof one !== "number" || Number.isInteger(one)) return String(one);
  return Math.abs(one) >= 1000 ? one.toFixed(0) : Number(one.toPrecision(4)).toString();
}

async function select(chosen, { jump = false } = {}) {
  state.selected = chosen;
  describe();
  if (chosen && !listed.some((one) => same(one, chosen))) listAlso(chosen);
  markRow();
  const slice = chosen && jump ? meta.layers[chosen.layer].slices[chosen.row] : null;
  if (slice !== null) state.slice = slice;
  await draw();
  if (slice !== null && state.selected === chosen) await bringIntoView(chosen);
}

function describe() {
  const panel = place("selected"), chosen = state.selected;
  panel.scrollTop = 0;
  const dim = (words) => element("p", words, { className: "dim" });
  if (!chosen) return panel.replaceChildren(dim("Click an instance, or choose one below."));
  const layer = meta.layers[chosen.layer], row = layer.rows[chosen.row];
  const heading = element("p", undefined, { title: layer.path });
  const name = `${shortened(layer.name, 28)} ${row[0]}`;
  heading.append(swatch(layer.colours[chosen.row]), element("strong", name));
  if (layer.kinds) heading.append(` ${layer.kinds[chosen.row] || "left out"}`);
  panel.replaceChildren(heading);
  if (layer.slices[chosen.row] === null) panel.append(dim("It is on none of these slices."));
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
  const { rows, name, path } = meta.layers[other], row = rows.findIndex((one) => one[0] === partner);
  const button = element("button", `${shortened(name, 28)} ${partner}`, { type: "button", title: path });
  button.disabled = row < 0;  // it was not asked for
  button.addEventListener("click", () => select({ layer: other, row }, { jump: true }));
  line.append("Best match: ", button, ` IoU ${value(iou)}`);
  return line;
}

// ---- the list

let listed = [], first = 0, kindShown = "";

// With a truth, what was predicted and what was missed: the same instances that the legend counts.
function candidates() {
  const of = place("of").value, id = place("search").value.trim();
  const sizes = meta.layers.map(({ names }) => names.indexOf("voxels"));
  const badness = ({ layer, row }) => {
    const kind = meta.layers[layer].kinds?.[row], rank = ORDER.indexOf(kind);
    return rank < 0 ? ORDER.length + (kind === BEST) : rank;
  };
  const size = ({ layer, row }) => meta.layers[layer].rows[row][sizes[layer]];
  return meta.layers.flatMap(({ rows, kinds, truth }, layer) => rows.map((_, row) => ({ layer, row }))
    .filter(({ row }) => (of === "" ? !truth || kinds[row] === "missed" : Number(of) === layer)
      && (!kindShown || kinds[row] === kindShown) && (!id || String(rows[row][0]).startsWith(id))))
    .sort((a, b) => badness(a) - badness(b) || size(b) - size(a));
}

function list() {
  listed = candidates();
  first = 0;
  showRows();
}

// Loosen what is asked of the list as far as an instance needs it.
function listAlso(chosen) {
  showKind("");
  place("search").value = "";
  for (const of of ["", String(chosen.layer)]) {
    place("of").value = of;
    list();
    if (listed.some((one) => same(one, chosen))) return;
  }
}

function showKind(kind) {
  kindShown = kind;
  for (const button of document.querySelectorAll("#kinds button")) {
    button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
  }
  list();
  if (kind && !listed.length && place("of").value) {  // none there
    place("of").value = "";
    list();
  }
}

function showRows() {
  const body = element("tbody");
  for (const one of listed.slice(first, first + SHOWN_ROWS)) {
    const { rows, kinds, names, name, colours, truth } = meta.layers[one.layer];
    const line = body.insertRow(), id = element("td");
    id.append(swatch(colours[one.row]), `${rows[one.row][0]}${truth ? " (truth)" : ""}`);
    const told = kinds ? kinds[one.row] || "left out" : meta.layers.length > 1 ? shortened(name, 16) : "";
    line.append(id, element("td", told), element("td", `${rows[one.row][names.indexOf("voxels")]} voxels`));
    line.title = name;
    line.addEventListener("click", () => select(one, { jump: true }));
  }
  place("instances").replaceChildren(body);
  const last = Math.min(first + SHOWN_ROWS, listed.length);
  const part = last - first < listed.length ? `${first + 1} to ${last} of ` : "";
  place("count").textContent = `${part}${listed.length}`;
  place("earlier").hidden = place("later").hidden = listed.length <= SHOWN_ROWS;
  place("earlier").disabled = !first;
  place("later").disabled = last === listed.length;
  markRow({ follow: false });
}

const rowsShown = () => [...document.querySelectorAll("#instances tr")];

// Mark the row of the selected instance, and let it be the one that Tab stops at.
function markRow({ follow = true } = {}) {
  const at = listed.findIndex((one) => same(one, state.selected));
  if (follow && at >= 0 && (at < first || at >= first + SHOWN_ROWS)) {
    first = at - at % SHOWN_ROWS;
    return showRows(), markRow();
  }
  const rows = rowsShown(), here = rows.includes(document.activeElement);
  rows.forEach((row, i) => row.setAttribute("aria-selected", String(first + i === at)));
  stopAt(rows[at - first] || rows[0]);
  if (!follow || !rows[at - first]) return;
  const list = place("list");
  const [room, line] = [list, rows[at - first]].map((one) => one.getBoundingClientRect());
  list.scrollTop += Math.min(0, line.top - room.top) + Math.max(0, line.bottom - room.bottom);
  if (here) rows[at - first].focus({ preventScroll: true });
}

function stopAt(row) {
  rowsShown().forEach((one) => { one.tabIndex = one === row ? 0 : -1; });
}

function turnPage(by) {
  first += by * SHOWN_ROWS;
  showRows();
  place("list").scrollTop = 0;
}

function step(by) {
  if (!listed.length) return;
  const now = listed.findIndex((one) => same(one, state.selected));
  const next = now < 0 ? (by > 0 ? 0 : listed.length - 1) : (now + by + listed.length) % listed.length;
  select(listed[next], { jump: true });
}

function moveInList(event) {
  const rows = rowsShown(), at = rows.indexOf(event.target);
  const next = {
    ArrowUp: at - 1, ArrowDown: at + 1, PageUp: at - 10, PageDown: at + 10, Home: 0, End: rows.length - 1,
  }[event.key];
  if (at < 0 || event.shiftKey || (next === undefined && event.key !== "Enter" && event.key !== " ")) return;
  event.preventDefault();
  event.stopPropagation();
  if (next === undefined) return select(listed[first + at], { jump: true });
  const row = rows[Math.max(0, Math.min(rows.length - 1, next))];
  stopAt(row);
  row.focus();
}

// ---- ids to take elsewhere

const marked = meta.layers.map(() => new Set());

function mark() {
  if (!state.selected) return;
  const { layer, row } = state.selected, ids = marked[layer], id = meta.layers[layer].rows[row][0];
  if (!ids.delete(id)) ids.add(id);
  place("marked").hidden = marked.every((one) => !one.size);
  place("ids").replaceChildren(...marked.flatMap((one, number) => {
    if (!one.size) return [];
    const { name, path } = meta.layers[number];
    const label = element("label", shortened(name, 40), { title: path });
    label.append(element("input", undefined, { type: "text", readOnly: true, value: [...one].join(" ") }));
    return [label];
  }));
}

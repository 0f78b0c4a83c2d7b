"use strict";
// The page of `mitotools view -o FILE.html`: slices with outlined instances, all of it in the page itself.
// Its scripts, one after the other: slices.js (what is stored), picture.js (what is drawn), instances.js
// (the list), page.js (panels, mouse and keys).
//
// Images stand in script elements as text and are decoded when they are looked at, so that a page of many
// slices opens at once.

const meta = JSON.parse(document.getElementById("meta").textContent);
const [height, width] = meta.size;
const place = (id) => document.getElementById(id);
const HELD = 16;  // decoded slices of each kind that stay in memory

const state = { slice: 0, raw: true, fill: false, on: meta.layers.map(() => true), selected: null };

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

function pixelsOf(image, left, top, across, down) {
  const context = new OffscreenCanvas(across, down).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, -left, -top);
  return context.getImageData(0, 0, across, down).data;
}

const greys = (slice) => remembered(`raw-${slice}`, () => decoded(`raw-${slice}`));

// Rows of the layer's table, counted from 1, at the pixels of a slice; 0 is background.
const numbers = (layer, slice) => remembered(`labels-${layer}-${slice}`, async () => {
  const pixels = pixelsOf(await decoded(`labels-${layer}-${slice}`), 0, 0, width, height);
  const found = new Uint32Array(width * height);
  for (let i = 0; i < found.length; i++) {
    found[i] = pixels[4 * i] | pixels[4 * i + 1] << 8 | pixels[4 * i + 2] << 16;
  }
  return found;
});

// Colours as the canvas stores them, of rows counted from 1.
const coloursOf = meta.layers.map(({ colours }) => Uint32Array.from([0, ...colours.map((colour) => {
  const rgb = parseInt(colour.slice(1), 16);
  return (0xFF000000 | (rgb & 0xFF) << 16 | rgb & 0xFF00 | rgb >> 16) >>> 0;
})]));

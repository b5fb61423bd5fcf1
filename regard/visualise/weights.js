"use strict";

// Weights and their colours. Weights travel deflated and are unpacked when first shown; a picture is a canvas of one
// pixel a cell, which the style sheet stretches, so that large maps stay cheap.

const STEPS = 65535;
const NEVER = -1; // stands for the weight of a key which the query may not look at

async function inflate(packed) {
  const binary = atob(packed);
  const bytes = new Uint8Array(binary.length);
  for (let k = 0; k < binary.length; k++) bytes[k] = binary.charCodeAt(k);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Weights of one drawing, head by head, as whole steps or NEVER; the mean over heads is made when first asked for. A
// weight has two bytes, or one which holds its square root.
async function unpack(drawing) {
  const planes = await inflate(drawing.weights);
  const allowed = drawing.mask === undefined ? [1] : await inflate(drawing.mask);
  const size = example.isCoarse ? planes.length : planes.length / 2;
  const step = example.isCoarse
    ? (k) => Math.round(STEPS * (planes[k] / 255) ** 2)
    : (k) => (planes[k] << 8) | planes[size + k];
  const values = new Int32Array(size);
  for (let k = 0; k < size; k++) values[k] = allowed[k % allowed.length] ? step(k) : NEVER;
  const cells = size / drawing.heads;
  let mean = null;
  return {
    head(head) {
      if (head !== MEAN) return values.subarray(head * cells, (head + 1) * cells);
      if (!mean) {
        mean = new Float32Array(cells).fill(NEVER);
        for (let k = 0; k < size; k++) {
          if (values[k] !== NEVER) mean[k % cells] = Math.max(0, mean[k % cells]) + values[k] / drawing.heads;
        }
      }
      return mean;
    },
  };
}

const weightsOf = (drawing) => (drawing.ready ??= unpack(drawing));

let palette = new Uint32Array(256); // as canvas pixels
let shades = []; // the same as [red, green, blue]

function readPalette() {
  const stops = getComputedStyle(document.documentElement).getPropertyValue("--scale").split(",");
  const colours = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.trim().slice(at, at + 2), 16)));
  shades = Array.from({ length: 256 }, (_, k) => {
    const place = (k / 255) * (colours.length - 1);
    const low = Math.min(Math.floor(place), colours.length - 2);
    return colours[low].map((value, c) => Math.round(value + (colours[low + 1][c] - value) * (place - low)));
  });
  const bytes = new Uint8ClampedArray(palette.buffer);
  shades.forEach((colour, k) => bytes.set([...colour, 255], 4 * k));
}

const colour = (shade) => `rgb(${shades[shade].join(" ")})`;

function isDark(shade) {
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const [red, green, blue] = shades[shade].map((value) => linear(value / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179; // where black and white contrast alike
}

// The shade 0..255 of a weight 0..1, given the largest weight of its picture.
function shadingOf(drawing, largest) {
  if (drawing.kind === "pattern") return (weight) => Math.round(190 * weight);
  if (state.shading === "linear") return (weight) => Math.round(255 * weight);
  if (state.shading === "largest") return (weight) => Math.round((255 * weight) / (largest || 1));
  return (weight) => Math.round(255 * Math.sqrt(weight));
}

function largestOf(values) {
  let largest = 0;
  for (const value of values) if (value > largest) largest = value;
  return largest / STEPS;
}

// A canvas of at most `most` x `most` pixels; where it has fewer than cells, a pixel shows the largest of its cells.
// Where nothing may be looked at it is clear.
function paint(canvas, drawing, values, most = Infinity) {
  const queries = example.tokens[drawing.queries].length;
  const keys = example.tokens[drawing.keys].length;
  const height = Math.min(queries, most);
  const width = Math.min(keys, most);
  const shading = shadingOf(drawing, state.shading === "largest" ? largestOf(values) : 1);
  const pooled = height === queries && width === keys ? values : new Float32Array(height * width).fill(NEVER);
  if (pooled !== values) {
    for (let i = 0; i < queries; i++) {
      const row = Math.floor((i * height) / queries) * width;
      for (let j = 0; j < keys; j++) {
        const at = row + Math.floor((j * width) / keys);
        if (values[i * keys + j] > pooled[at]) pooled[at] = values[i * keys + j];
      }
    }
  }
  canvas.width = width;
  canvas.height = height;
  const pixels = new Uint32Array(height * width);
  for (let k = 0; k < pixels.length; k++) pixels[k] = pooled[k] < 0 ? 0 : palette[shading(pooled[k] / STEPS)];
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

"use strict";

// One example and its enlarged picture: what is on show, and what the reader chooses. The page around it stands in
// page.js or report.js, which call `startViewer` once and `view` for each example. Tokens come from anywhere: they only
// ever become text, never markup.

const MEAN = -1; // stands for the mean over all heads where a head is named

const $ = (id) => document.getElementById(id);
const state = { example: 0, map: null, head: MEAN, view: "matrix", shading: "root", zoom: 0 };
let example = null; // the parsed example on show
let shown = null; // {element, relayout, follow, clear, cell} of the enlarged picture
let remember = () => {}; // what a page does when something else is on show

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const number = (value) => value.toFixed(example.isCoarse ? 3 : 4);

const isPattern = (drawing) => drawing.kind === "pattern";

function headName(drawing, head) {
  if (drawing.heads === 1) return "";
  return head === MEAN ? `mean of ${drawing.heads} heads` : `head ${head}`;
}

// Show an example, as page.py writes it.
function view(content) {
  example = content;
  for (const drawing of example.drawings) drawing.mask = example.masks[drawing.allowed];
  showText();
  showChances();
  const groups = new Map();
  for (const drawing of example.drawings) {
    if (!groups.has(drawing.kind)) groups.set(drawing.kind, []);
    groups.get(drawing.kind).push(drawing);
  }
  $("map").replaceChildren(
    ...[...groups].map(([kind, drawings]) =>
      make(
        "optgroup",
        { label: example.kinds[kind] },
        ...drawings.map(({ name, title }) => make("option", { value: name, text: title, title: name })),
      ),
    ),
  );
  $("map").disabled = example.drawings.length === 1;
  settle();
  showOverview(groups);
  showDetail();
}

// The text, and passages token by token: the stronger the shade, the more surprising among all of them.
function showText() {
  const most = Math.max(...example.passages.flatMap(({ bits }) => bits));
  $("text").replaceChildren(
    ...example.text.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })]),
    ...example.passages.flatMap((passage) => [
      make("dt", { text: passage.name }),
      make("dd", { class: "passage" }, ...passage.tokens.map((_, k) => pieceOf(passage, k, most))),
    ]),
  );
  for (const mark of document.querySelectorAll(".passage mark")) {
    const passage = mark.closest(".passage");
    passage.scrollTop = mark.offsetTop - passage.offsetTop - 40; // the last of those marked is in view
  }
  $("bits").hidden = !example.passages.some(({ bits }) => bits.length);
  $("notes").textContent = example.legend;
  $("notes").hidden = !example.legend;
}

function pieceOf({ tokens, bits, notes, marked }, k, most) {
  const isMarked = marked !== null && marked[0] <= k && k <= marked[1];
  const word = make(isMarked ? "mark" : "span", { text: tokens[k] });
  const lines = (notes[k] ?? []).map((note) => make("small", { text: note }));
  if (!bits.length) return make("span", { class: "piece" }, word, ...lines);
  const shade = bits[k] === null ? 0 : Math.round((255 * bits[k]) / (most || 1));
  word.style.background = colour(shade);
  word.style.color = isDark(shade) ? "#fff" : "#000";
  const told = make("small", { text: bits[k] === null ? "–" : bits[k].toFixed(1) });
  return make("span", { class: "piece surprise" }, word, told, ...lines);
}

// What was chosen among, each with its probability.
function showChances() {
  $("chances").replaceChildren(
    ...example.chances.map(({ title, shares, note }) => {
      const rows = shares.map(([name, share]) => {
        const bar = make("i");
        bar.style.width = `${100 * share}%`;
        const label = make("th", { scope: "row", title: name }, make("bdi", { text: name }));
        return make("tr", {}, label, make("td", { class: "bar" }, bar), make("td", { text: share.toFixed(3) }));
      });
      const table = make("table", {}, make("caption", { text: title }), make("tbody", {}, ...rows));
      return make("div", { class: "choice" }, table, ...(note ? [make("p", { text: note })] : []));
    }),
  );
}

// Before which tokens of a list a passage begins, where the list is all passages end to end.
function cutsOf(tokens) {
  const ends = [];
  for (const passage of example.passages) ends.push((ends.at(-1) ?? 0) + passage.tokens.length);
  const whole = example.passages.flatMap((passage) => passage.tokens);
  return whole.join("\n") === tokens.join("\n") ? ends.slice(0, -1) : [];
}

// Replace what this example does not have by what it has: the last cross-attention, which aligns best, or the first.
function settle() {
  const { drawings } = example;
  let drawing = drawings.find((one) => one.name === state.map);
  drawing ??= drawings.findLast((one) => one.kind === "cross") ?? drawings[0];
  state.map = drawing.name;
  const heads = headsOf(drawing);
  if (!heads.includes(state.head)) state.head = heads[0];
  return drawing;
}

const headsOf = (drawing) => {
  const heads = Array.from({ length: drawing.heads }, (_, head) => head);
  return drawing.heads === 1 || isPattern(drawing) ? heads : [MEAN, ...heads];
};

function choose(changes) {
  const before = { ...state };
  Object.assign(state, changes);
  if (state.map !== before.map || state.head !== before.head) shown?.clear();
  if (state.shading !== before.shading) drawTiles();
  showDetail();
}

let turn = 0;

async function showDetail() {
  const drawing = settle();
  const mine = ++turn;
  $("map").value = drawing.name;
  $("head").hidden = drawing.heads === 1;
  $("head").replaceChildren(
    ...headsOf(drawing).map((head) => make("option", { value: head, text: headName(drawing, head) })),
  );
  $("head").value = state.head;
  for (const button of document.querySelectorAll("[data-view]")) {
    const isChosen = button.dataset.view === state.view;
    button.setAttribute("aria-checked", isChosen);
    button.tabIndex = isChosen ? 0 : -1;
  }
  $("zoom").hidden = state.view !== "matrix";
  $("shadings").hidden = isPattern(drawing);
  $("shading").value = state.shading;
  mark();
  remember();
  const weights = await weightsOf(drawing);
  if (mine !== turn) return; // something else was chosen meanwhile
  const values = weights.head(state.head);
  showLegend(drawing, values);
  tip.hide();
  const queries = example.tokens[drawing.queries];
  const keys = example.tokens[drawing.keys];
  const name = [drawing.title, headName(drawing, state.head)].filter(Boolean).join(", ");
  const weight = (i, j) => values[i * keys.length + j] / STEPS;
  const cuts = { queries: cutsOf(queries), keys: cutsOf(keys) };
  const shading = shadingOf(drawing, largestOf(values));
  const subject = { drawing, values, queries, keys, cuts, weight, name, shading };
  shown = state.view === "links" ? linksOf(subject) : matrixOf(subject);
  $("picture").replaceChildren(shown.element);
  shown.relayout();
}

function showLegend(drawing, values) {
  const legend = $("legend");
  const swatch = (text, shade) => {
    const box = make("i", { class: shade === NEVER ? "never" : "" });
    if (shade !== NEVER) box.style.background = colour(shade);
    return make("span", { class: "swatch" }, box, text);
  };
  if (isPattern(drawing)) {
    legend.replaceChildren(swatch("may attend", 190), swatch("may not", 0));
    return;
  }
  const largest = largestOf(values);
  const shading = shadingOf(drawing, largest);
  const canvas = make("canvas", { width: 256, height: 1, "aria-hidden": "true" });
  const image = new ImageData(new Uint8ClampedArray(palette.slice().buffer), 256, 1);
  canvas.getContext("2d").putImageData(image, 0, 0);
  const ticks = { root: [0, 0.1, 0.25, 0.5, 1], linear: [0, 0.25, 0.5, 0.75, 1], largest: [0, largest / 2, largest] };
  const spans = ticks[state.shading].map((tick) => {
    const span = make("span", { text: Number(tick.toPrecision(2)) });
    span.style.left = `${(shading(tick) / 255) * 100}%`;
    return span;
  });
  const ramp = make("div", { class: "ramp" }, canvas, ...spans);
  legend.replaceChildren(ramp, ...(drawing.mask === undefined ? [] : [swatch("may not", NEVER)]));
}

const tip = {
  show(x, y, content) {
    const box = $("tip");
    box.replaceChildren(...content);
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const left = x + 18 + width < innerWidth - 8 ? x + 18 : x - 18 - width;
    const top = y - 14 - height > 8 ? y - 14 - height : y + 22;
    box.style.left = `${clamp(left, 8, Math.max(8, innerWidth - width - 8))}px`;
    box.style.top = `${clamp(top, 8, Math.max(8, innerHeight - height - 8))}px`;
  },
  hide() {
    $("tip").hidden = true;
  },
};

// Make the controls work, wherever they stand.
function startViewer() {
  readPalette();
  $("map").addEventListener("change", (event) => choose({ map: event.target.value }));
  $("head").addEventListener("change", (event) => choose({ head: Number(event.target.value) }));
  $("shading").addEventListener("change", (event) => choose({ shading: event.target.value }));
  const views = [...document.querySelectorAll("[data-view]")];
  for (const button of views) {
    button.addEventListener("click", () => choose({ view: button.dataset.view }));
    button.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key)) return;
      event.preventDefault();
      const other = views.find((one) => one !== button);
      choose({ view: other.dataset.view });
      other.focus();
    });
  }
  $("smaller").addEventListener("click", () => zoom(-1));
  $("larger").addEventListener("click", () => zoom(1));
  $("fit").addEventListener("click", () => {
    state.zoom = 0;
    shown.relayout();
  });
  addEventListener("scroll", () => shown?.follow(), { passive: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readPalette();
    if (!example) return;
    showText();
    drawTiles();
    showDetail();
  });
  let width = 0;
  new ResizeObserver(() => {
    if ($("picture").clientWidth === width) return;
    width = $("picture").clientWidth;
    shown?.relayout();
  }).observe($("picture"));
}

addEventListener("unhandledrejection", (event) => {
  const problem = `This picture could not be drawn: ${event.reason?.message ?? event.reason}`;
  $("picture").replaceChildren(make("p", { class: "problem", role: "alert", text: problem }));
});

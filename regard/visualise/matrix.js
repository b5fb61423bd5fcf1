"use strict";

// One head as a matrix: queries down, keys across; Bahdanau et al. 2015, figure 3, for any attention.

const LARGEST_CELL = 44; // CSS pixels
const READABLE = 14; // CSS pixels a cell needs beside a label of its own
const ZOOMS = [4, 8, READABLE, 20, 28, LARGEST_CELL];

const ruler = document.createElement("canvas").getContext("2d");

function widths(tokens, font) {
  ruler.font = `${font}px ${getComputedStyle(document.body).fontFamily}`;
  return tokens.map((token) => ruler.measureText(token.slice(0, 60)).width + 2);
}

function matrixOf({ drawing, values, queries, keys, cuts, weight, name }) {
  const canvas = make("canvas");
  const gaps = make("div", { class: "gaps" });
  const across = make("div", { class: "band", hidden: "" });
  const down = make("div", { class: "band", hidden: "" });
  const spot = make("div", { class: "spot", hidden: "" });
  const cut = (position, k, tokens) => {
    const line = make("div", { class: `cut ${position}` });
    line.style[position] = `${(100 * k) / tokens.length}%`;
    return line;
  };
  const lines = [...cuts.queries.map((k) => cut("top", k, queries)), ...cuts.keys.map((k) => cut("left", k, keys))];
  const cells = make("div", { class: "cells" }, canvas, gaps, ...lines, across, down, spot);
  const keyAxis = make("div", { class: "keys", "aria-hidden": "true" });
  const queryAxis = make("div", { class: "queries", "aria-hidden": "true" });
  const corner = make("div", { class: "corner", "aria-hidden": "true" });
  const element = make(
    "div",
    {
      class: "matrix",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "matrix",
      "aria-label": `${name}: ${queries.length} queries by ${keys.length} keys. Arrow keys move from cell to cell.`,
    },
    corner,
    keyAxis,
    queryAxis,
    cells,
  );
  paint(canvas, drawing, values);
  const isOfLetters = keys.every((key) => [...key].length === 1);
  let cell = 1;
  let head = 0; // height of the key labels
  let side = 0; // width of the query labels
  let at = null; // [query, key] under the pointer or the cursor
  let labels = { keys: [], queries: [] };

  function relayout() {
    const room = $("picture").clientWidth;
    const longest = Math.min(130, room * 0.24);
    const fits = (width, overhang) => {
      const byWidth = (room - width - overhang) / keys.length;
      const byHeight = (Math.max(innerHeight, 560) - 190 - head) / queries.length;
      const fitted = Math.min(LARGEST_CELL, Math.max(Math.min(byWidth, byHeight), Math.min(byWidth, READABLE)));
      return fitted >= 4 ? Math.floor(fitted) : Math.max(0.5, Math.floor(fitted * 20) / 20);
    };
    const keyWidths = widths(keys, 13).map((width) => Math.min(width, longest));
    const queryWidths = widths(queries, 13).map((width) => Math.min(width, longest));
    head = 40 + Math.max(...keyWidths) / 2;
    const place = widths([String(Math.max(queries.length, keys.length))], 11)[0];
    const wanted = Math.max(...queryWidths) + 14;
    const sticksOut = (size) =>
      Math.max(0, ...keyWidths.map((width, j) => width * 0.65 + 10 - (keys.length - j - 0.5) * size));
    cell = state.zoom || fits(wanted, 0);
    const widest = Math.max(...keyWidths);
    let style = "is-place";
    if (cell >= 9) style = isOfLetters || widest <= cell - 2 ? "is-flat" : cell >= 18 ? "is-slanted" : "is-upright";
    if (style === "is-slanted" && !state.zoom) {
      cell = fits(wanted, sticksOut(cell));
      if (cell < 18) style = cell >= 9 ? "is-upright" : "is-place";
    }
    if (style === "is-place" && !state.zoom) cell = fits(place + 14, place / 2);
    const overhang = style === "is-slanted" ? sticksOut(cell) : style === "is-place" ? place / 2 : 0;
    const font = clamp(cell - 1, 9, 13);
    const scale = font / 13;
    const heights = { "is-flat": 26, "is-place": 24, "is-upright": widest * scale + 12 };
    head = heights[style] ?? widest * 0.77 + 22; // sine of 50 degrees, and the slanted line's own height
    side = style === "is-place" ? place + 14 : Math.max(...queryWidths) * scale + 14;
    const step = style === "is-place" ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((k) => k * cell >= 30) : 1;
    const label = (text, j, position) => {
      const span = make("span", { class: `label ${style}`, text: style === "is-place" ? j : text });
      span.style.fontSize = `${style === "is-place" ? 11 : font}px`;
      span.style.maxWidth = `${longest}px`;
      span.style[position] = `${(j + 0.5) * cell}px`;
      if (style === "is-place" && !j) span.classList.add("is-first");
      return span;
    };
    const axis = (tokens, position) => tokens.map((token, j) => (j % step ? null : label(token, j, position)));
    labels = { keys: axis(keys, "left"), queries: axis(queries, "top") };
    if (style === "is-place") labels.keys.forEach((span) => span?.classList.add("is-flat"));
    keyAxis.replaceChildren(...labels.keys.filter(Boolean));
    queryAxis.replaceChildren(...labels.queries.filter(Boolean));
    size(keyAxis, keys.length * cell + overhang, head);
    size(queryAxis, side, queries.length * cell);
    size(corner, side, head);
    size(cells, keys.length * cell, queries.length * cell);
    const isRoomy = side > 60 && head > 40;
    corner.replaceChildren(...(isRoomy ? [make("span", { text: "keys →\nqueries ↓" })] : []));
    canvas.style.imageRendering = cell < 4 ? "auto" : "";
    gaps.hidden = cell < 10;
    const stripe = `transparent 0 ${cell - 1}px, var(--gap) ${cell - 1}px ${cell}px`;
    gaps.style.background = ["90deg", "180deg"]
      .map((turn) => `repeating-linear-gradient(${turn}, ${stripe})`)
      .join(", ");
    spot.style.scrollMargin = `${head + 4}px 4px 4px ${side + 4}px`;
    $("fit").disabled = !state.zoom;
    $("larger").disabled = cell >= LARGEST_CELL;
    $("smaller").disabled = cell <= ZOOMS[0];
    follow();
  }

  function size(box, width, height) {
    box.style.width = `${width}px`;
    box.style.height = `${height}px`;
  }

  function put(box, left, top, width, height) {
    box.hidden = false;
    box.style.left = `${left * cell}px`;
    box.style.top = `${top * cell}px`;
    size(box, width * cell - (gaps.hidden ? 0 : 1), height * cell - (gaps.hidden ? 0 : 1));
  }

  function dim() {
    for (const span of element.querySelectorAll(".is-lit")) span.classList.remove("is-lit");
  }

  function light(i, j) {
    dim();
    at = [i, j];
    put(across, 0, i, keys.length, 1);
    put(down, j, 0, 1, queries.length);
    put(spot, j, i, 1, 1);
    labels.keys[j]?.classList.add("is-lit");
    labels.queries[i]?.classList.add("is-lit");
    const box = spot.getBoundingClientRect();
    if (box.bottom < 0 || box.top > innerHeight) return tip.hide();
    const may = isPattern(drawing) ? weight(i, j) > 0 : weight(i, j) >= 0;
    const value = !may ? "may not attend" : isPattern(drawing) ? "may attend" : number(weight(i, j));
    const pair = make("div", { class: "pair" });
    for (const [role, place, token] of [["query", i, queries[i]], ["key", j, keys[j]]]) {
      pair.append(make("span", { text: `${role} ${place}` }), make("bdi", { text: token }));
    }
    tip.show(box.right - cell / 2, box.top + cell / 2, [make("b", { text: value }), pair]);
  }

  function clear() {
    at = null;
    dim();
    for (const box of [across, down, spot]) box.hidden = true;
    tip.hide();
  }

  function pointed(event) {
    const box = cells.getBoundingClientRect();
    const j = clamp(Math.floor((event.clientX - box.left) / cell), 0, keys.length - 1);
    const i = clamp(Math.floor((event.clientY - box.top) / cell), 0, queries.length - 1);
    if (!at || at[0] !== i || at[1] !== j) light(i, j);
  }

  // Keep the tip beside its cell while the page or the matrix scrolls.
  function follow() {
    if (at) light(...at);
  }

  cells.addEventListener("pointermove", pointed);
  cells.addEventListener("pointerdown", pointed);
  cells.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && clear());
  element.addEventListener("blur", clear);
  element.addEventListener("scroll", follow);
  element.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    let [i, j] = at ?? [0, 0];
    if (event.key === "Escape") return clear();
    if (event.key in moves) {
      if (at) [i, j] = [i + moves[event.key][0], j + moves[event.key][1]];
    } else if (event.key === "Home") j = 0;
    else if (event.key === "End") j = keys.length - 1;
    else if (event.key === "PageUp") i = 0;
    else if (event.key === "PageDown") i = queries.length - 1;
    else return;
    event.preventDefault();
    light(clamp(i, 0, queries.length - 1), clamp(j, 0, keys.length - 1));
    spot.scrollIntoView({ block: "nearest", inline: "nearest" });
    light(...at);
  });
  $("hint").textContent = "Point at a cell, or move with the arrow keys.";
  return { element, relayout, follow, clear, cell: () => cell };
}

function zoom(direction) {
  const cell = shown.cell();
  const next = direction > 0 ? ZOOMS.find((size) => size > cell) : ZOOMS.findLast((size) => size < cell);
  state.zoom = next ?? state.zoom;
  shown.relayout();
}

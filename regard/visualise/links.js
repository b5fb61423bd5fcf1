"use strict";

// One head as two texts: what a token looks at, or what looks at it, is shaded and joined to it by curves.

const MOST_LINES = 60; // links drawn of one token
const FAINTEST_LINE = 0.02;

function linksOf({ drawing, queries, keys, cuts, weight, name, shading }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const sides = { keys: row("keys", keys), queries: row("queries", queries) };
  const isLong = Math.max(queries.length, keys.length) > 60;
  const element = make(
    "div",
    { class: `links ${isLong ? "is-long" : ""}`, role: "group", "aria-label": name },
    svg,
    sides.keys.element,
    sides.queries.element,
  );
  let pinned = null;
  let lit = null;
  let isCrowded = false; // when texts take several lines, links of all tokens at once would only be a tangle

  function named(side, k) {
    return cuts[side].includes(k) ? "token begins" : "token";
  }

  function row(side, tokens) {
    const buttons = tokens.map((token, k) =>
      make(
        "button",
        {
          type: "button",
          class: named(side, k),
          tabindex: k ? "-1" : "0",
          "aria-label": `${token}, ${side === "keys" ? "key" : "query"} ${k}`,
          onpointerenter: (event) => event.pointerType === "mouse" && !pinned && light(side, k),
          onfocus: (event) => !pinned && event.target.matches(":focus-visible") && light(side, k),
          onclick: () => pin(side, k),
          onkeydown: (event) => moveAmongTokens(event, side, k),
        },
        make("span", { text: token }),
      ),
    );
    const words = make("div", { class: "words", dir: "auto" }, ...buttons);
    words.addEventListener("pointerleave", () => !pinned && light(null));
    words.addEventListener("focusout", () => !pinned && light(null));
    const heading = make("h3", { text: side === "keys" ? "Keys: what is looked at" : "Queries: who looks" });
    return { element: make("div", { class: `side ${side}` }, heading, words), buttons };
  }

  function pin(side, k) {
    const isSame = pinned && pinned[0] === side && pinned[1] === k;
    pinned = isSame ? null : [side, k];
    light(side, k);
  }

  function moveAmongTokens(event, side, k) {
    const { buttons } = sides[side];
    const isReversed = getComputedStyle(buttons[0].parentElement).direction === "rtl";
    const steps = { ArrowLeft: isReversed ? 1 : -1, ArrowRight: isReversed ? -1 : 1, Home: -k, End: buttons.length };
    const entry = (side) => sides[side].buttons.find((one) => one.tabIndex === 0);
    let to = null;
    if (event.key === "Escape") {
      pinned = null;
      return light(null);
    }
    if (event.key in steps) to = buttons[clamp(k + steps[event.key], 0, buttons.length - 1)];
    else if (event.key === "ArrowUp" && side === "queries") to = entry("keys");
    else if (event.key === "ArrowDown" && side === "keys") to = entry("queries");
    else return;
    event.preventDefault();
    for (const one of to.parentElement.children) one.tabIndex = one === to ? 0 : -1;
    to.focus();
  }

  // [query, key, weight] of the links to draw: of one token, or of all when none is lit.
  function links() {
    if (lit) {
      const [side, k] = lit;
      const other = side === "queries" ? keys : queries;
      const all = other.map((_, n) => (side === "queries" ? [k, n, weight(k, n)] : [n, k, weight(n, k)]));
      return all.filter(([, , value]) => value >= 0).sort((a, b) => b[2] - a[2]);
    }
    if (isCrowded) return [];
    const isSmall = queries.length * keys.length <= 1600;
    const all = [];
    queries.forEach((_, i) => {
      const row = keys.map((_, j) => [i, j, weight(i, j)]);
      if (isSmall) all.push(...row.filter(([, , value]) => value >= 0.05));
      else all.push(row.reduce((best, one) => (one[2] > best[2] ? one : best)));
    });
    return all;
  }

  function draw() {
    const origin = element.getBoundingClientRect();
    const isBeside = element.classList.contains("is-beside");
    const box = ({ buttons }, k) => {
      const { left, right, top, bottom } = buttons[k].getBoundingClientRect();
      const x = { left: left - origin.left, right: right - origin.left };
      return { ...x, top: top - origin.top, bottom: bottom - origin.top };
    };
    const gutter = [
      sides.keys.element.getBoundingClientRect().right - origin.left,
      sides.queries.element.getBoundingClientRect().left - origin.left,
    ];
    const middle = (low, high) => (low + high) / 2;
    const curve = (from, to) => {
      if (isBeside) {
        // Out below the query's line of text, across the gutter, in below the key's line.
        const [x, u] = [middle(from.left, from.right), middle(to.left, to.right)];
        const [y, v] = [from.bottom + 5, to.bottom + 5];
        const [near, far, half] = [...gutter, middle(...gutter)];
        const out = `M${x},${from.bottom} Q${x},${y} ${x - 5},${y} H${far}`;
        return `${out} C${half},${y} ${half},${v} ${near},${v} H${u + 5} Q${u},${v} ${u},${to.bottom}`;
      }
      const [x, y, u, v] = [middle(from.left, from.right), from.top, middle(to.left, to.right), to.bottom];
      const bend = Math.max(30, (y - v) * 0.5);
      return `M${x},${y} C${x},${y - bend} ${u},${v + bend} ${u},${v}`;
    };
    const drawn = links().filter(([, , value]) => value >= FAINTEST_LINE);
    const paths = drawn.slice(0, lit ? MOST_LINES : Infinity).map(([i, j, value]) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", curve(box(sides.queries, i), box(sides.keys, j)));
      path.setAttribute("stroke-width", (0.75 + (lit ? 4.5 : 2.5) * Math.sqrt(value)).toFixed(2));
      path.setAttribute("stroke-opacity", (lit ? 0.25 + 0.7 * value : 0.1 + 0.5 * value).toFixed(2));
      return path;
    });
    svg.replaceChildren(...paths);
  }

  function light(side, k) {
    lit = side ? [side, k] : null;
    for (const side of ["keys", "queries"]) {
      sides[side].buttons.forEach((one, place) => {
        one.className = named(side, place);
        one.style.background = one.style.color = "";
        one.removeAttribute("data-weight");
      });
    }
    if (lit) {
      const own = sides[side].buttons[k];
      own.classList.add("is-source");
      if (pinned) own.classList.add("is-pinned");
      const others = sides[side === "queries" ? "keys" : "queries"].buttons;
      const ranked = links();
      ranked.forEach(([i, j, value], rank) => {
        const one = others[side === "queries" ? j : i];
        const shade = shading(value);
        one.style.background = colour(shade);
        one.style.color = isDark(shade) ? "#fff" : "#000";
        if (rank < 8 && value >= 0.05 && !isPattern(drawing)) one.dataset.weight = value.toFixed(2);
      });
      describe(side, k, ranked);
    } else {
      $("hint").textContent = restingHint();
    }
    draw();
  }

  function restingHint() {
    const act = "Point at a token, or move with the arrow keys; click to hold it.";
    if (isCrowded || isPattern(drawing)) return act;
    const isSmall = queries.length * keys.length <= 1600;
    return `Lines: ${isSmall ? "weights of 0.05 and more" : "the strongest of each query"}. ${act}`;
  }

  function describe(side, k, ranked) {
    const tokens = side === "queries" ? keys : queries;
    const others = ranked.filter(([, , value]) => number(value) > 0);
    const hint = $("hint");
    const quoted = (token) => make("bdi", { text: `“${token}”` });
    hint.replaceChildren(quoted((side === "queries" ? queries : keys)[k]));
    hint.append(side === "queries" ? " looks at " : " is looked at by ");
    if (!others.length) hint.append("nothing");
    others.slice(0, 5).forEach(([i, j, value], n) => {
      if (n) hint.append(" · ");
      hint.append(quoted(tokens[side === "queries" ? j : i]));
      if (!isPattern(drawing)) hint.append(` ${number(value)}`);
    });
    if (others.length > 5) hint.append(" · …");
  }

  return {
    element,
    relayout() {
      element.classList.remove("is-beside");
      const lines = ({ buttons }) => new Set(buttons.map((button) => button.offsetTop)).size;
      isCrowded = Math.max(lines(sides.keys), lines(sides.queries)) > 2;
      element.classList.toggle("is-beside", isCrowded && $("picture").clientWidth >= 560);
      if (!lit) light(null);
      else draw();
    },
    follow() {},
    clear() {},
    cell: () => 0,
  };
}

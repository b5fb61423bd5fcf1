"use strict";

// All layers and heads at a glance: a row a layer, a column a head, each a button which enlarges it.

let rows = []; // of tiles, {tile, canvas, drawing, head, side}
let observer = null;

function showOverview(groups) {
  observer?.disconnect();
  observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        observer.unobserve(entry.target);
        drawRow(rows[Number(entry.target.dataset.row)]);
      }
    },
    { rootMargin: "300px" },
  );
  rows = [];
  const overview = $("overview");
  const isAlone = example.drawings.length === 1 && headsOf(example.drawings[0]).length === 1;
  $("stage").classList.toggle("alone", isAlone);
  overview.replaceChildren();
  if (isAlone) return;
  const columns = Math.max(...example.drawings.map((drawing) => headsOf(drawing).length));
  const isNarrow = matchMedia("(max-width: 900px)").matches;
  const room = (isNarrow ? document.documentElement.clientWidth - 32 : 460) - 28;
  const side = clamp(Math.floor(room / columns) - 4, 20, columns < 3 ? 64 : 44);
  for (const [kind, drawings] of groups) overview.append(group(kind, drawings, side));
  mark();
}

function group(kind, drawings, side) {
  const most = Math.max(...drawings.map((drawing) => headsOf(drawing).length));
  const tiles = make("div", { class: "tiles" });
  tiles.style.gridTemplateColumns = `max-content repeat(${most}, ${side}px)`;
  if (most > 1) {
    const widest = drawings.find((drawing) => headsOf(drawing).length === most);
    tiles.append(make("span"));
    for (const head of headsOf(widest)) {
      tiles.append(make("span", { class: "axis", text: head === MEAN ? "mean" : head }));
    }
  }
  for (const drawing of drawings) {
    const isNumbered = drawing.layer !== null;
    const name = isNumbered ? drawing.layer : drawing.name;
    tiles.append(make("span", { class: `axis ${isNumbered ? "layer" : "name"}`, text: name, title: drawing.name }));
    const heads = headsOf(drawing);
    const row = heads.map((head, column) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      const name = [drawing.title, headName(drawing, head)].filter(Boolean).join(", ");
      const place = { r: rows.length, c: column };
      const tile = make(
        "button",
        {
          type: "button",
          class: "tile",
          tabindex: "-1",
          title: name,
          "aria-label": name,
          onclick: () => {
            choose({ map: drawing.name, head });
            if ($("chosen").getBoundingClientRect().bottom < 0) $("detail").scrollIntoView();
          },
          onkeydown: (event) => moveAmongTiles(event, place),
        },
        canvas,
      );
      tile.style.width = tile.style.height = `${side}px`;
      tiles.append(tile);
      return { tile, canvas, drawing, head, side };
    });
    for (let k = heads.length; k < most; k++) tiles.append(make("span"));
    row[0].tile.dataset.row = rows.length;
    rows.push(row);
    observer.observe(row[0].tile);
  }
  const heading = make("h2", { text: example.kinds[kind] });
  return make("div", { class: "group", role: "group", "aria-label": example.kinds[kind] }, heading, tiles);
}

async function drawRow(row) {
  const weights = await weightsOf(row[0].drawing);
  if (!row[0].tile.isConnected) return;
  row.isDrawn = true;
  const most = Math.round(row[0].side * Math.min(devicePixelRatio, 2));
  for (const { canvas, drawing, head } of row) paint(canvas, drawing, weights.head(head), most);
}

const drawTiles = () => rows.filter((row) => row.isDrawn).forEach(drawRow);

function mark() {
  for (const { tile, drawing, head } of rows.flat()) {
    const isChosen = drawing.name === state.map && head === state.head;
    tile.tabIndex = isChosen ? 0 : -1;
    if (isChosen) tile.setAttribute("aria-current", "true");
    else tile.removeAttribute("aria-current");
  }
}

function moveAmongTiles(event, { r, c }) {
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  let to = null;
  if (event.key in moves) {
    const [down, right] = moves[event.key];
    const row = rows[clamp(r + down, 0, rows.length - 1)];
    to = row[clamp(c + right, 0, row.length - 1)];
  } else if (event.key === "Home") to = rows[r][0];
  else if (event.key === "End") to = rows[r].at(-1);
  else return;
  event.preventDefault();
  to.tile.focus();
}

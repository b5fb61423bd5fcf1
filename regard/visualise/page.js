"use strict";

// The page of examples: which of them is on show, and the address which says so. page.py puts this file last into the
// page's script, after the viewer's.

const titles = JSON.parse($("titles").textContent);
const blocks = document.querySelectorAll("script.example");

function showExample() {
  $("example").value = state.example;
  $("previous").disabled = state.example === 0;
  $("next").disabled = state.example === titles.length - 1;
  $("count").textContent = `${state.example + 1} of ${titles.length}`;
  view(JSON.parse(blocks[state.example].textContent));
}

function go(number) {
  shown?.clear();
  state.example = number;
  showExample();
}

remember = () => {
  const parts = new URLSearchParams({ example: state.example, map: state.map });
  parts.set("head", state.head === MEAN ? "mean" : state.head);
  parts.set("view", state.view);
  if (state.shading !== "root") parts.set("shading", state.shading);
  try {
    history.replaceState(null, "", `#${parts}`);
  } catch {
    // A page inside a frame without an address of its own has nowhere to remember it.
  }
};

function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const whole = (name) => (/^\d{1,9}$/.test(parts.get(name) ?? "") ? Number(parts.get(name)) : null);
  state.example = Math.min(whole("example") ?? 0, titles.length - 1);
  state.map = parts.get("map");
  state.head = whole("head") ?? MEAN;
  if (["matrix", "links"].includes(parts.get("view"))) state.view = parts.get("view");
  if (["root", "linear", "largest"].includes(parts.get("shading"))) state.shading = parts.get("shading");
}

function start() {
  startViewer();
  recall();
  $("example").replaceChildren(...titles.map((title, k) => make("option", { value: k, text: title })));
  $("examples").hidden = titles.length === 1;
  $("example").addEventListener("change", (event) => go(Number(event.target.value)));
  $("previous").addEventListener("click", () => go(state.example - 1));
  $("next").addEventListener("click", () => go(state.example + 1));
  addEventListener("hashchange", () => {
    recall();
    showExample();
  });
  showExample();
}

start();

"use strict";

// The report: which examples are listed, and whose attention is open. page.py puts this file last into the page's
// script, after the viewer's.

const blocks = document.querySelectorAll("script.example");
const cases = [...document.querySelectorAll(".case")].map((element) => ({
  element,
  pairs: JSON.parse(element.dataset.pairs),
  isMistake: element.dataset.right === "no",
  words: element.textContent.normalize("NFKC").toLowerCase(),
}));
const shownByDefault = $("found")?.textContent;

// What a select asks for; its values are led by "=", so that an empty class is not taken for none.
const asked = (id) => ($(id)?.value ? $(id).value.slice(1) : null);

function find() {
  const words = $("words").value.normalize("NFKC").toLowerCase().split(/\s+/).filter(Boolean);
  const [isTrue, predicted] = [asked("true-class"), asked("predicted-class")];
  const isOf = ([one, other]) => (isTrue === null || one === isTrue) && (predicted === null || other === predicted);
  let count = 0;
  for (const one of cases) {
    const isFound =
      words.every((word) => one.words.includes(word)) &&
      ((isTrue === null && predicted === null) || one.pairs.some(isOf)) &&
      (!$("mistakes")?.checked || one.isMistake);
    one.element.hidden = !isFound;
    count += isFound;
  }
  $("found").textContent = count === cases.length ? shownByDefault : `${count} of ${cases.length} listed`;
  $("none").hidden = count > 0;
}

// Ask for a class; one which no listed example has is made an option, and then nothing is found.
function ask(id, name) {
  const select = $(id);
  if (!select) return;
  const value = name === null ? "" : `=${name}`;
  if (![...select.options].some((option) => option.value === value)) {
    select.append(make("option", { value, text: name }));
  }
  select.value = value;
}

function lead(button) {
  $("words").value = "";
  if ($("mistakes")) $("mistakes").checked = false;
  ask("true-class", button.dataset.true);
  ask("predicted-class", button.dataset.predicted);
  find();
  $("cases").scrollIntoView();
  $("true-class")?.focus({ preventScroll: true });
}

// The viewer is one, and stands where it was last asked for.
function open(details, number) {
  for (const other of document.querySelectorAll(".case details[open]")) if (other !== details) other.open = false;
  details.querySelector(".opened").append($("viewer"));
  $("viewer").hidden = false;
  state.map = null;
  view(JSON.parse(blocks[number].textContent));
}

function close(details) {
  if (!details.contains($("viewer"))) return;
  shown?.clear();
  $("viewer").hidden = true;
}

function start() {
  startViewer();
  document.querySelectorAll(".case details").forEach((details, number) => {
    details.addEventListener("toggle", () => (details.open ? open(details, number) : close(details)));
  });
  for (const text of document.querySelectorAll(".is-long")) {
    const mark = text.querySelector(".told");
    if (mark) text.scrollTop = mark.offsetTop - text.offsetTop - 48;
  }
  if (!$("finders")) return;
  $("finders").hidden = false;
  $("finders").addEventListener("submit", (event) => event.preventDefault());
  $("finders").addEventListener("input", find);
  $("all").addEventListener("click", () => {
    $("finders").reset();
    find();
  });
  for (const button of document.querySelectorAll(".leads")) button.addEventListener("click", () => lead(button));
}

start();

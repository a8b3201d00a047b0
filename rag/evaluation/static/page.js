"use strict";
const section = document.getElementById("questions");
const form = section.querySelector("form");
const list = section.querySelector(".list");
const none = list.querySelector(".none");
const questions = [...list.querySelectorAll(".question")];
const texts = new Map(questions.map((question) => [question, question.textContent.toLowerCase()]));

function apply() {
  const outcomes = [...form.querySelectorAll("[aria-pressed=true]")].map((chip) => chip.dataset.outcome);
  const words = form.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const question of questions) {
    const { outcome, pair, kind } = question.dataset;
    question.hidden = !(
      (!outcomes.length || outcomes.includes(outcome)) &&
      (!form.pair.value || form.pair.value === pair) &&
      (!form.kind?.value || form.kind.value === kind) &&
      words.every((word) => texts.get(question).includes(word))
    );
    shown += !question.hidden;
  }
  section.querySelector("output").textContent = shown === questions.length ? shown : `${shown} of ${questions.length}`;
  none.hidden = shown > 0;
}

function sort() {
  const [, sign, key] = /^(-?)(\w*)$/.exec(form.sort.value);
  const value = (question) => Number(question.dataset[key || "place"]) * (sign ? -1 : 1);
  questions.sort((a, b) => value(a) - value(b) || a.dataset.place - b.dataset.place);
  list.append(...questions, none);
}

form.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-outcome]");
  if (chip) chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
  apply();
});
form.addEventListener("input", () => { sort(); apply(); });
form.addEventListener("submit", (event) => event.preventDefault());

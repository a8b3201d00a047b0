// Everything that happens in the browser. `element`, `trigger` and `server` come from Gradio.
const root = document.documentElement;
const find = (selector) => document.querySelector(selector);
const read = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const keep = (key, value) => { try { localStorage.setItem(key, value); return true; } catch { return false; } };

// -- words ----------------------------------------------------------------------------------------------------
const plain = (key, values = {}) =>
  SANAD_WORDS[key][root.lang === "ar" ? "ar" : "en"].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
// Both languages stand on the page; a style rule shows one of them.
function words(key, values = {}) {
  const both = document.createDocumentFragment();
  for (const language of ["ar", "en"]) {
    const span = make("span", { className: `in-${language}`, lang: language, dir: language === "ar" ? "rtl" : "ltr" });
    for (const part of SANAD_WORDS[key][language].split(/(\{\w+\})/)) {
      const name = /^\{(\w+)\}$/.exec(part)?.[1];
      span.append(name ? make("bdi", { textContent: values[name] ?? "" }) : part);
    }
    both.append(span);
  }
  return both;
}
function make(tag, properties = {}, data = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, data);
  return made;
}
function icon(action, key, name, value = "") {
  const made = make("button", { type: "button", className: name }, { action, value });
  made.append(make("i", { className: `icon ${name}-icon` }), make("span", { className: "unseen" }));
  made.lastChild.append(words(key));
  return made;
}
function say(key, values) {
  const place = find("#sanad-question .said");
  place.replaceChildren(key ? words(key, values) : "");
  if (key) setTimeout(() => place.replaceChildren(), 6000);
}

// -- language, theme, view ------------------------------------------------------------------------------------
const system = matchMedia("(prefers-color-scheme: dark)");
const chosen = { language: root.lang === "ar" ? "ar" : "en", theme: read("sanad-theme") || "system" };
const isDark = () => chosen.theme === "dark" || (chosen.theme === "system" && system.matches);
function setLanguage(language) {
  chosen.language = language;
  root.lang = language;
  root.dir = language === "ar" ? "rtl" : "ltr";
  for (const field of document.querySelectorAll("[data-placeholder]")) field.placeholder = plain(field.dataset.placeholder);
}
function setTheme(theme) {
  chosen.theme = theme;
  root.dataset.theme = isDark() ? "dark" : "light";
  document.body.classList.toggle("dark", isDark());
}
function choose(name, set, value) {
  keep(`sanad-${name}`, value);
  set(value);
  showSettings();
}
function setView(view) {
  root.dataset.view = view;
  for (const button of element.querySelectorAll("[data-action=view]")) {
    if (button.dataset.value === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  if (view === "documents") trigger("documents", {});
  if (view === "quality") find("#sanad-quality iframe").src = "quality";
}
// Gradio writes the browser's language and theme on the page when it starts: the reader's own choice comes after.
const restore = () => {
  if (root.lang !== chosen.language) setLanguage(chosen.language);
  if (document.body.classList.contains("dark") !== isDark()) setTheme(chosen.theme);
};
new MutationObserver(restore).observe(root, { attributes: true, attributeFilter: ["lang"] });
new MutationObserver(restore).observe(document.body, { attributes: true, attributeFilter: ["class"] });
system.addEventListener("change", () => setTheme(chosen.theme));

// -- the source panel -----------------------------------------------------------------------------------------
let opener = null;
let opening = 0;
async function openSource(button) {
  const body = find("#sanad-source .source-body");
  const turn = ++opening;
  markOpen(null);
  hideHover();
  opener = button;
  markOpen(button);
  root.dataset.source = "loading";
  const { doc, start, end, digest } = button.dataset;
  let html = "";
  try {
    html = await server.open_source({ doc, start: Number(start), end: Number(end), digest });
  } catch {
    if (turn === opening) closeSource();
    return;
  }
  if (turn !== opening) return;
  body.innerHTML = html;
  root.dataset.source = "open";
  const text = body.querySelector(".text"), quote = body.querySelector("mark");
  if (text) {
    const place = quote ? quote.getBoundingClientRect().top - text.getBoundingClientRect().top + text.scrollTop : 0;
    text.scrollTop = Math.max(0, place - text.clientHeight / 4);
  }
  body.querySelector("h2")?.focus({ preventScroll: true });
}
function markOpen(button) {
  for (const old of document.querySelectorAll("[data-action=source][aria-expanded]")) old.removeAttribute("aria-expanded");
  button?.setAttribute("aria-expanded", "true");
}
function closeSource() {
  if (!root.dataset.source) return;
  opening++;
  delete root.dataset.source;
  markOpen(null);
  if (opener?.isConnected) opener.focus();
  opener = null;
}
// The page of a PDF as it looks, in place of its text.
function showPicture(button) {
  const text = find("#sanad-source .text"), old = find("#sanad-source .picture");
  button.setAttribute("aria-pressed", String(!old));
  text.hidden = !old;
  if (old) return old.remove();
  const { doc, page } = button.dataset;
  const picture = make("div", { className: "picture", tabIndex: 0 });
  const query = new URLSearchParams({ doc_id: doc, page });
  picture.append(make("img", { src: `api/documents/page?${query}`, alt: plain("picture") }));
  text.after(picture);
}

// -- a quote on hover or focus of its number --------------------------------------------------------------------
const hover = make("div", { className: "hover", id: "sanad-hover", role: "tooltip", hidden: true });
document.body.append(hover);
function showHover(chip) {
  const turn = current.turns[Number(chip.closest(".turn")?.dataset.turn)];
  const cited = turn?.answer?.citations.find((one) => one.n === Number(chip.dataset.n));
  if (!cited) return;
  const quote = cited.quote.length > 420 ? `${cited.quote.slice(0, 420).replace(/\s+\S*$/, "")}…` : cited.quote;
  hover.replaceChildren(make("strong", { textContent: cited.title, dir: "auto" }), make("p", { textContent: quote, dir: "auto" }));
  hover.hidden = false;
  chip.setAttribute("aria-describedby", "sanad-hover");
  const at = chip.getBoundingClientRect(), box = hover.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left + at.width / 2 - box.width / 2), innerWidth - box.width - 8);
  const above = at.top - box.height - 8;
  hover.style.left = `${left}px`;
  hover.style.top = `${above > 8 ? above : at.bottom + 8}px`;
}
function hideHover() {
  hover.hidden = true;
  find("[aria-describedby=sanad-hover]")?.removeAttribute("aria-describedby");
}
for (const [enter, leave] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
  document.addEventListener(enter, (event) => { const chip = event.target.closest?.(".chip"); if (chip) showHover(chip); });
  document.addEventListener(leave, (event) => { if (event.target.closest?.(".chip")) hideHover(); });
}

// -- what a button or a field does: each part below adds its own -------------------------------------------------
const actions = {
  source: openSource,
  close: closeSource,
  picture: showPicture,
  view: (button) => setView(button.dataset.value),
  language: () => choose("language", setLanguage, chosen.language === "ar" ? "en" : "ar"),
  theme: () => choose("theme", setTheme, isDark() ? "light" : "dark"),
};
const inputs = {};
const taken = {};
window.sanad = { take: (name, value) => { if (value) taken[name]?.(JSON.parse(value)); } };
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-action]");
  if (button && Object.hasOwn(actions, button.dataset.action)) actions[button.dataset.action](button);
});
for (const kind of ["input", "change"]) {
  document.addEventListener(kind, (event) => {
    const field = event.target.closest?.("[data-input]");
    const act = field && inputs[field.dataset.input];
    if (act && (act.on || "change") === kind) act(field);
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  hideHover();
  if (root.dataset.source) closeSource();
  else if (root.dataset.list) toggleList(false);
});
// A second press within four seconds confirms what cannot be taken back.
function confirmed(button, key, values) {
  if (button.dataset.armed) return true;
  const before = [...button.childNodes];
  button.dataset.armed = "yes";
  button.replaceChildren(words(key, values));
  setTimeout(() => { delete button.dataset.armed; button.replaceChildren(...before); }, 4000);
  return false;
}


// == settings: kept in this browser =============================================================================
const settings = { length: "normal", top_k: null, model: null };
try { Object.assign(settings, JSON.parse(read("sanad-settings") || "{}")); } catch { /* not readable: as they come */ }
const keepSettings = () => keep("sanad-settings", JSON.stringify(settings));
function options() {
  const chosenScope = { collection: scope.collection, language: scope.language, doc_ids: [...scope.docs.keys()] };
  const found = { length: settings.length, scope: chosenScope };
  if (settings.top_k) found.top_k = settings.top_k;
  if (settings.model !== null) found.model = settings.model;
  return found;
}
function showSettings() {
  const set = (name, value) => {
    for (const field of document.querySelectorAll(`[data-input="${name}"]`)) field.checked = field.value === value;
  };
  set("interface-language", chosen.language);
  set("theme", chosen.theme);
  set("length", settings.length);
  const range = find("[data-input=top_k]");
  if (settings.top_k) range.value = settings.top_k;
  range.nextElementSibling.textContent = range.value;
  find("[data-input=model]").value = settings.model || "";
  showScope();
  showList();
}
async function useModel(name) {
  const place = find("#sanad-settings .model-said");
  place.replaceChildren(words(name ? "model_opening" : "model_builtin"));
  const problem = name ? await server.open_model(name) : "";
  if (problem) { place.innerHTML = problem; return; }
  settings.model = name;
  keepSettings();
  find("[data-input=model]").value = name;
  if (name) place.replaceChildren(words("model_ready", { name }));
}
Object.assign(inputs, {
  "interface-language": (field) => choose("language", setLanguage, field.value),
  theme: (field) => choose("theme", setTheme, field.value),
  length: (field) => { settings.length = field.value; keepSettings(); },
  top_k: Object.assign((field) => {
    settings.top_k = Number(field.value);
    field.nextElementSibling.textContent = field.value;
    keepSettings();
  }, { on: "input" }),
});
Object.assign(actions, {
  model: () => useModel(find("[data-input=model]").value.trim()),
  "model-builtin": () => useModel(""),
});


// == documents ================================================================================================
const scope = { collection: "", language: "", docs: new Map() };

// -- what a question is limited to ----------------------------------------------------------------------------
function choices(select, first, rows, value) {
  const all = make("option", { value: "", textContent: plain(first) });
  select.replaceChildren(all, ...rows.map(([name, label]) => make("option", { value: name, textContent: label })));
  select.value = rows.some(([name]) => name === value) ? value : "";
  select.hidden = rows.length < 2;
  return select.value;
}
let known = { collections: [], languages: [] };
function showScope() {
  const name = (code) => (SANAD_WORDS[`language_${code}`] ? plain(`language_${code}`) : code);
  const folders = known.collections.map(({ name, documents }) => [name, `${name} (${documents})`]);
  const languages = known.languages.map(({ language, documents }) => [language, `${name(language)} (${documents})`]);
  scope.collection = choices(find("[data-input=collection]"), "all_documents", folders, scope.collection);
  scope.language = choices(find("[data-input=documents-language]"), "any_language", languages, scope.language);
  const chips = [...scope.docs].map(([doc, title]) => {
    const chip = make("button", { type: "button", className: "only-one", title: doc }, { action: "not-only", value: doc });
    chip.append(make("bdi", { textContent: title, dir: "auto" }), make("i", { className: "close-icon" }), make("span", { className: "unseen" }));
    chip.lastChild.append(words("stop_only"));
    return chip;
  });
  find("#sanad-question .only").replaceChildren(...chips);
}
taken.scope = (found) => {
  known = found;
  find("#sanad-question .fallback").replaceChildren(found.is_fallback ? words("index_fallback") : "");
  showScope();
};
Object.assign(inputs, {
  collection: (field) => { scope.collection = field.value; },
  "documents-language": (field) => { scope.language = field.value; },
});
Object.assign(actions, {
  only: (button) => {
    const title = button.closest("tr")?.querySelector(".name")?.textContent || button.dataset.value;
    scope.docs.set(button.dataset.value, title);
    showScope();
    setView("chat");
    box().focus();
  },
  "not-only": (button) => { scope.docs.delete(button.dataset.value); showScope(); },
});

// -- new files ------------------------------------------------------------------------------------------------
async function entriesOf(entry, folder = "") {
  if (entry.isFile) return [[await new Promise((done, fail) => entry.file(done, fail)), folder]];
  const reader = entry.createReader(), inside = folder ? `${folder}/${entry.name}` : entry.name, found = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return found;
    for (const one of some) found.push(...await entriesOf(one, inside));
  }
}
async function upload(files) {
  const list = find("#sanad-upload .uploads");
  list.replaceChildren();
  for (const [file, folder] of files) {
    if (file.name.startsWith(".")) continue;
    const row = make("li"), name = make("bdi", { className: "file", textContent: file.name, dir: "auto" });
    row.append(words("uploading", { name: file.name }));
    list.append(row);
    let key = "upload_disk", kept = file.name;
    try {
      const form = new FormData();
      form.append("folder", folder);
      form.append("file", file, file.name);
      const reply = await fetch("api/documents", { method: "POST", body: form });
      const answer = await reply.json();
      const result = answer.documents?.[0] ?? answer.files?.[0] ?? answer;
      key = `upload_${result.status || result.code || result.error?.code || (reply.status === 413 ? "large" : "disk")}`;
      kept = result.name || kept;
    } catch { /* the connection broke: said below */ }
    if (!SANAD_WORDS[key]) key = "upload_disk";
    name.textContent = kept;
    row.className = key;
    row.replaceChildren(name, " ", words(key));
  }
  trigger("documents", {});
}
const inFolder = (file) => file.webkitRelativePath.split("/").slice(0, -1).join("/");
Object.assign(inputs, {
  files: (field) => { upload([...field.files].map((file) => [file, ""])).then(() => { field.value = ""; }); },
  folder: (field) => { upload([...field.files].map((file) => [file, inFolder(file)])).then(() => { field.value = ""; }); },
});
Object.assign(actions, {
  "pick-files": () => find("[data-input=files]").click(),
  "pick-folder": () => find("[data-input=folder]").click(),
  rebuild: () => trigger("rebuild", {}),
  cancel: () => trigger("cancel", {}),
  delete: (button) => { if (confirmed(button, "delete")) trigger("remove", { doc: button.dataset.value }); },
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const drop = event.target.closest?.(".drop");
    find(".drop")?.classList.toggle("over", Boolean(drop) && kind !== "drop" && kind !== "dragleave");
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // a file dropped beside the place must not replace the page
    if (kind !== "drop" || !drop) return;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    Promise.all(entries.map((entry) => entriesOf(entry))).then((found) => upload(found.flat()));
  });
}

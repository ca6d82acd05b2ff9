"use strict";
// Shows one clip after the other; every change is saved at once, so the page can be closed at any time.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  let clips = [];
  let current = 0;
  let chosen = new Set();
  let open = null; // the kind whose key was pressed
  const saved = []; // what each save replaced, the last one at the end

  /** A key for each name: the first of its letters that no name before it has. */
  function keysOf(names) {
    const keys = new Map();
    for (const name of names) {
      const letters = [...name.toLowerCase(), ..."0123456789"];
      keys.set(name, letters.find((letter) => /[a-z0-9]/.test(letter) && ![...keys.values()].includes(letter)));
    }
    return keys;
  }

  const kinds = [...new Set(data.labels.map(([, kind]) => kind))];
  const actions = [...new Set(data.labels.map(([, , action]) => action))];
  const kindKeys = keysOf(kinds);
  const actionKeys = keysOf(actions);

  function withKey(name, key) {
    const hint = document.createElement("kbd");
    hint.textContent = key;
    return [hint, ` ${name}`];
  }

  function build() {
    for (const kind of kinds) {
      const field = document.createElement("fieldset");
      field.dataset.kind = kind;
      const title = document.createElement("legend");
      title.append(...withKey(kind, kindKeys.get(kind)));
      const row = document.createElement("div");
      row.className = "actions";
      for (const [name, of, action] of data.labels) {
        if (of !== kind) continue;
        const button = document.createElement("button");
        [button.type, button.dataset.label] = ["button", name];
        button.setAttribute("aria-label", name);
        button.append(...withKey(action, actionKeys.get(action)));
        button.addEventListener("click", () => toggle(name));
        row.append(button);
      }
      field.append(title, row);
      get("kinds").append(field);
    }
  }

  function toggle(name) {
    chosen.has(name) ? chosen.delete(name) : chosen.add(name);
    showChoice();
  }

  function showChoice() {
    for (const button of document.querySelectorAll("[data-label]"))
      button.setAttribute("aria-pressed", String(chosen.has(button.dataset.label)));
    for (const field of document.querySelectorAll("fieldset")) field.classList.toggle("open", field.dataset.kind === open);
    get("chosen").textContent = [...chosen].join(", ") || "none of the actors";
  }

  function show(index) {
    current = Math.min(Math.max(index, 0), clips.length - 1);
    const clip = clips[current];
    chosen = new Set(clip.labels);
    open = null;
    const done = clips.filter((each) => each.split !== data.todo).length;
    get("progress").textContent = `clip ${current + 1} of ${clips.length}, ${done} labelled`;
    [get("bar").max, get("bar").value] = [clips.length, done];
    get("name").textContent = clip.file;
    get("why").textContent = clip.why;
    get("problem").textContent = clip.plays ? "" : "This clip is not a file that a browser could play.";
    const video = get("video");
    video.hidden = !clip.plays;
    if (clip.plays) {
      video.src = `clips/${current}`;
      video.play().catch(() => {});
    } else video.removeAttribute("src");
    showChoice();
  }

  async function write(row, labels, split) {
    const answer = await fetch("label", { method: "POST", body: JSON.stringify({ row, labels, split }) });
    if (!answer.ok) throw new Error((await answer.json()).error);
    Object.assign(clips[row], { labels, split });
  }

  async function guarded(work) {
    try {
      await work();
    } catch (reason) {
      get("problem").textContent = `Not saved: ${reason.message}`;
    }
  }

  function nextTodo() {
    const after = clips.findIndex((clip, index) => index > current && clip.split === data.todo);
    return after >= 0 ? after : clips.findIndex((clip) => clip.split === data.todo);
  }

  const save = () =>
    guarded(async () => {
      const before = { row: current, labels: clips[current].labels, split: clips[current].split };
      await write(current, [...chosen], clips[current].split === data.todo ? data.split : clips[current].split);
      saved.push(before);
      const next = nextTodo();
      show(next >= 0 ? next : current);
      if (next < 0) get("problem").textContent = "All clips are labelled.";
    });

  const undo = () =>
    guarded(async () => {
      const before = saved.at(-1);
      if (!before) return;
      await write(before.row, before.labels, before.split);
      saved.pop();
      show(before.row);
    });

  get("save").addEventListener("click", save);
  get("back").addEventListener("click", () => show(current - 1));
  get("skip").addEventListener("click", () => show(current + 1));
  get("video").addEventListener("error", () => {
    if (get("video").hasAttribute("src")) get("problem").textContent = "This browser cannot play the clip.";
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = document.activeElement.tagName === "BUTTON";
    const moves = { ArrowLeft: () => show(current - 1), ArrowRight: () => show(current + 1), Backspace: undo };
    const key = event.key.toLowerCase();
    if (event.key in moves) moves[event.key]();
    else if (event.key === "Enter" && !onButton) save();
    else if (event.key === " " && !onButton) get("video").paused ? get("video").play() : get("video").pause();
    else if (event.key === "Escape") [open] = [null];
    else if (open) {
      const label = data.labels.find(([, kind, action]) => kind === open && actionKeys.get(action) === key);
      if (!label) return;
      open = null;
      toggle(label[0]);
    } else {
      const kind = kinds.find((each) => kindKeys.get(each) === key);
      if (!kind) return;
      open = kind;
    }
    event.preventDefault();
    if (event.key === "Escape" || open) showChoice();
  });

  build();
  fetch("list").then(async (answer) => {
    clips = await answer.json();
    const first = clips.findIndex((clip) => clip.split === data.todo);
    show(first >= 0 ? first : 0);
  });
})();

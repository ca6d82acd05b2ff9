"use strict";
// Filters and sorts the clips, and plays them. Without it, the page shows everything in the order of the run.
(() => {
  const find = (selector, within = document) => [...within.querySelectorAll(selector)];
  const list = document.getElementById("clips");
  const clips = find(".clip", list).map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
    labels: element.dataset.labels.split(" "),
    actors: element.dataset.actors.split(" "),
  }));
  const form = document.querySelector(".filters");
  const shown = document.getElementById("shown");
  const labelButtons = find("button[data-label]");
  const value = (id) => document.getElementById(id)?.value ?? ""; // without gates, there is no choice of margin
  let order = "index";

  function filter() {
    const words = value("text").toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = labelButtons.filter((button) => button.getAttribute("aria-pressed") === "true");
    const labels = chosen.map((button) => button.dataset.label);
    const [actor, status, margin] = [value("actor"), value("status"), value("margin")];
    let count = 0;
    for (const { element, text, labels: said, actors } of clips) {
      const keep =
        words.every((word) => text.includes(word)) &&
        labels.every((label) => said.includes(label)) &&
        (!actor || actors.includes(actor)) &&
        (!status || element.dataset.status === status) &&
        (!margin || Number(element.dataset.margin) <= Number(margin));
      element.hidden = !keep;
      count += keep;
    }
    shown.textContent = `${count} of ${clips.length}`;
  }

  function sort() {
    if (value("order") === order) return;
    order = value("order");
    const [sign, key] = order.startsWith("-") ? [-1, order.slice(1)] : [1, order];
    const compare =
      key === "name"
        ? (a, b) => a.element.dataset.name.localeCompare(b.element.dataset.name, undefined, { numeric: true })
        : (a, b) => sign * (Number(a.element.dataset[key]) - Number(b.element.dataset[key]));
    const byIndex = (a, b) => Number(a.element.dataset.index) - Number(b.element.dataset.index);
    list.append(...[...clips].sort((a, b) => compare(a, b) || byIndex(a, b)).map((clip) => clip.element));
  }

  function play(article, seconds) {
    const button = article.querySelector(".play");
    if (!button) return;
    let video = article.querySelector("video");
    if (!video) {
      video = document.createElement("video");
      video.controls = true;
      video.src = button.dataset.href;
      video.addEventListener("error", () => {
        const note = document.createElement("p");
        note.className = "reason";
        note.textContent = "This browser cannot play the clip, or the clip is not where it was.";
        video.replaceWith(note);
        button.disabled = true;
      });
      article.querySelector("header").after(video);
    }
    if (seconds !== undefined) video.currentTime = seconds;
    video.play().catch(() => {});
  }

  form.addEventListener("input", () => (filter(), sort()));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    for (const button of labelButtons) button.setAttribute("aria-pressed", "false");
    setTimeout(() => (filter(), sort())); // the fields are reset after this event
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.label) {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      filter();
    }
    if (button.classList.contains("play")) play(button.closest(".clip"));
    if (button.classList.contains("seek")) play(button.closest(".clip"), Number(button.dataset.seconds));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      document.getElementById("text").focus();
    }
  });
  filter(); // a browser may have kept what was chosen before the page was loaded again
  sort();
})();

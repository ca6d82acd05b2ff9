"use strict";
// Scores the gates as thresholds/fitness.py does: per clip, then averaged; an actor is present if its share >= its gate.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  for (const each of data.points) {
    each.ratios = each.ratios.map((row) => Float64Array.from(row));
    each.truth = each.truth.map((row) => Uint8Array.from(row));
  }
  const get = (id) => document.getElementById(id);
  const actors = data.actors.map((_, actor) => actor);
  const scale = { to: (share) => Math.sqrt(share), from: (place) => place * place }; // small gates need room
  const [MARGIN, CURVES, TOP, MIDDLE, BOTTOM, HEIGHT] = [6, 78, 96, 140, 184, 192];
  const [LISTED, FLIPS] = [5, 100];
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  let point = data.points[0];
  let saved = point.gates;
  let gates = [...saved];

  // --- Scores

  // A clip's scores depend on three counts only: they are looked up.
  const base = actors.length + 1;
  const outcomeOf = (hits, predicted, actual) => predicted + base * (hits + base * actual);
  const tables = ["precision", "recall", "f1"].map(() => new Float64Array(base ** 3));
  for (let actual = 0; actual < base; actual++)
    for (let hits = 0; hits < base; hits++)
      for (let predicted = 0; predicted < base; predicted++) {
        const empty = predicted + actual === 0 ? 1 : 0; // rightly so
        const scores = [
          hits / (predicted + data.epsilon) + empty,
          hits / Math.max(actual, 1) + empty,
          (2 * hits) / Math.max(predicted + actual, 1) + empty,
        ];
        tables.forEach((table, index) => (table[outcomeOf(hits, predicted, actual)] = scores[index]));
      }

  function outcomesOf(all) {
    const outcomes = new Int32Array(point.names.length);
    for (const actor of actors) {
      const [ratios, truth, gate] = [point.ratios[actor], point.truth[actor], all[actor]];
      for (let clip = 0; clip < outcomes.length; clip++)
        outcomes[clip] += outcomeOf(ratios[clip] >= gate ? truth[clip] : 0, ratios[clip] >= gate ? 1 : 0, truth[clip]);
    }
    return outcomes;
  }

  function meanScores(outcomes) {
    return tables.map((table) => {
      let sum = 0;
      for (const outcome of outcomes) sum += table[outcome];
      return sum / Math.max(outcomes.length, 1);
    });
  }

  /** The scores as steps over one gate, with the others as they are: from "nowhere present" to "present in all". */
  function curvesOf(actor, outcomes) {
    const [ratios, truth, gate] = [point.ratios[actor], point.truth[actor], gates[actor]];
    const total = Math.max(outcomes.length, 1);
    const clips = order[actor];
    return tables.map((table) => {
      const curve = new Float64Array(clips.length + 1);
      for (let clip = 0; clip < clips.length; clip++)
        curve[0] += table[outcomes[clip] - (ratios[clip] >= gate ? 1 + base * truth[clip] : 0)] / total;
      for (let step = 0; step < clips.length; step++) {
        const clip = clips[step];
        const one = 1 + base * truth[clip];
        const without = outcomes[clip] - (ratios[clip] >= gate ? one : 0);
        curve[step + 1] = curve[step] + (table[without + one] - table[without]) / total;
      }
      return curve;
    });
  }

  let order = [];
  function sortClips() {
    order = point.ratios.map((ratios) => Int32Array.from(ratios.keys()).sort((a, b) => ratios[b] - ratios[a]));
  }

  // --- Pictures

  const colors = {};
  function readColors() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["yes", "no", "p", "r", "f", "ink", "soft", "line", "accent", "card"])
      colors[name] = style.getPropertyValue(`--${name}`).trim();
  }

  const placeOf = (canvas, share) => MARGIN + scale.to(Math.min(share, 1)) * (canvas.clientWidth - 2 * MARGIN);
  const shareAt = (canvas, x) => scale.from(Math.min(Math.max((x - MARGIN) / (canvas.clientWidth - 2 * MARGIN), 0), 1));

  /** Where a clip's dot stands: those with the actor above the middle, the others below, spread to be seen. */
  function dotOf(canvas, actor, clip) {
    const spread = ((clip * 2654435761) % 997) / 997;
    const [low, high] = point.truth[actor][clip] ? [TOP + 4, MIDDLE - 5] : [MIDDLE + 5, BOTTOM - 4];
    return [placeOf(canvas, point.ratios[actor][clip]), low + spread * (high - low)];
  }

  /** What does not depend on the gates: the axis, and the clips. */
  const pictures = [];
  function drawClips(actor) {
    const canvas = get(`strip${actor}`);
    const ratio = window.devicePixelRatio || 1;
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [Math.round(canvas.clientWidth * ratio), HEIGHT * ratio];
    const pen = picture.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "11px system-ui, sans-serif";
    for (const share of [0.01, 0.05, 0.1, 0.25, 0.5, 1]) {
      const x = placeOf(canvas, share);
      pen.fillStyle = colors.line;
      pen.fillRect(x, 2, 1, CURVES - 2);
      pen.fillRect(x, TOP, 1, BOTTOM - TOP);
      pen.fillStyle = colors.soft;
      pen.textAlign = share === 1 ? "right" : "center";
      pen.fillText(`${100 * share} %`, x, TOP - 4);
    }
    pen.globalAlpha = 0.55;
    for (let clip = 0; clip < point.names.length; clip++) {
      const [x, y] = dotOf(canvas, actor, clip);
      pen.fillStyle = point.truth[actor][clip] ? colors.yes : colors.no;
      pen.fillRect(x - 2, y - 2, 4, 4);
    }
    pen.globalAlpha = 1;
    for (const mark of data.marks) {
      pen.fillStyle = colors.soft;
      pen.fillRect(placeOf(canvas, mark.gates[actor]) - 0.5, BOTTOM, 1, 6);
    }
    pen.fillStyle = colors.accent;
    pen.fillRect(placeOf(canvas, saved[actor]) - 1.5, BOTTOM, 3, 8);
    pictures[actor] = picture;
  }

  function draw(actor, outcomes) {
    const canvas = get(`strip${actor}`);
    const ratio = window.devicePixelRatio || 1;
    if (!pictures[actor] || pictures[actor].width !== Math.round(canvas.clientWidth * ratio)) drawClips(actor);
    const picture = pictures[actor];
    if (canvas.width !== picture.width) [canvas.width, canvas.height] = [picture.width, picture.height];
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0);
    pen.scale(ratio, ratio);
    const curves = curvesOf(actor, outcomes);
    const [ratios, clips] = [point.ratios[actor], order[actor]];
    let [low, high] = [1, 0];
    for (const curve of curves)
      for (let step = 0; step <= clips.length; step++) {
        if (step && ratios[clips[step - 1]] === 0) break; // a gate of 0 would let every clip pass
        if (curve[step] < low) low = curve[step];
        if (curve[step] > high) high = curve[step];
      }
    if (high - low < 0.02) [low, high] = [high - 0.02, high];
    const width = canvas.clientWidth - 2 * MARGIN;
    const heightOf = (score) => CURVES - 4 - ((score - low) / (high - low)) * (CURVES - 12);
    pen.save();
    pen.beginPath();
    pen.rect(0, 0, canvas.clientWidth, CURVES);
    pen.clip();
    for (const [index, name] of ["p", "r", "f"].entries()) {
      pen.strokeStyle = colors[name];
      pen.lineWidth = 1.6;
      pen.beginPath();
      let [last, height] = [Infinity, heightOf(curves[index][0])];
      pen.moveTo(placeOf(canvas, 1), height);
      for (let step = 0; step < clips.length; step++) {
        const share = ratios[clips[step]];
        if (step + 1 < clips.length && ratios[clips[step + 1]] === share) continue;
        const x = MARGIN + scale.to(share) * width;
        if (last - x < 0.5) continue;
        pen.lineTo(x, height);
        height = heightOf(curves[index][step + 1]);
        pen.lineTo(x, height);
        last = x;
      }
      pen.stroke();
    }
    pen.restore();
    pen.font = "11px system-ui, sans-serif";
    for (const [score, y] of [[high, 12], [low, CURVES - 4]]) {
      const words = percent(score);
      pen.fillStyle = colors.card;
      pen.fillRect(MARGIN, y - 10, pen.measureText(words).width + 4, 13);
      pen.fillStyle = colors.soft;
      pen.fillText(words, MARGIN + 2, y);
    }
    pen.fillStyle = colors.ink;
    pen.fillRect(placeOf(canvas, gates[actor]) - 1, 2, 2, BOTTOM);
  }

  // --- Words

  function link(clip) {
    const anchor = document.createElement("a");
    anchor.href = point.links[clip];
    anchor.textContent = point.names[clip];
    return anchor;
  }

  function line(clip, words, isRight) {
    const item = document.createElement("li");
    const verdict = document.createElement("span");
    verdict.className = isRight ? "right" : "wrong";
    verdict.textContent = ` ${words}: ${isRight ? "right" : "wrong"}`;
    item.append(link(clip), verdict);
    return item;
  }

  function describeActor(actor) {
    const [ratios, truth, gate] = [point.ratios[actor], point.truth[actor], gates[actor]];
    let [found, missed, wrong] = [0, 0, 0];
    for (let clip = 0; clip < ratios.length; clip++) {
      const present = ratios[clip] >= gate;
      if (truth[clip]) present ? found++ : missed++;
      else wrong += present;
    }
    get(`counts${actor}`).textContent = `${found} found, ${missed} missed, ${wrong} wrongly`;
    const near = get(`near${actor}`);
    if (!near.parentElement.open) return;
    const cut = order[actor].findIndex((clip) => ratios[clip] < gate);
    const middle = cut < 0 ? ratios.length : cut;
    const clips = order[actor].slice(Math.max(middle - LISTED, 0), middle + LISTED);
    near.replaceChildren(
      ...clips.map((clip) => {
        const present = ratios[clip] >= gate;
        const words = `${percent(ratios[clip])} of the frames, ${present ? "present" : "absent"}`;
        return line(clip, words, present === Boolean(truth[clip]));
      }),
    );
  }

  function listFlips() {
    const items = [];
    let count = 0;
    for (const actor of actors)
      for (let clip = 0; clip < point.names.length; clip++) {
        const share = point.ratios[actor][clip];
        const present = share >= gates[actor];
        if (present === share >= saved[actor]) continue;
        count++;
        if (items.length < FLIPS)
          items.push(line(clip, `${data.actors[actor]} ${present ? "is now present" : "is now absent"}`, present === Boolean(point.truth[actor][clip])));
      }
    get("flips").replaceChildren(...items);
    const rest = count > items.length ? `, of which ${items.length} are listed` : "";
    get("flips-count").textContent = `${count} decision${count === 1 ? "" : "s"} differ${count === 1 ? "s" : ""} from the tuned gates${rest}`;
  }

  /** Numbers as YAML reads them, and with every digit. */
  function yamlNumber(value) {
    const text = String(value);
    if (text.includes("e")) return value.toFixed(20).replace(/0+$/, "0");
    return text.includes(".") ? text : `${text}.0`;
  }

  function yaml(scores) {
    const names = ["precision", "recall", "f1"];
    return [
      data.header.trimEnd(),
      "gates:",
      ...actors.map((actor) => `  ${JSON.stringify(data.actors[actor])}: ${yamlNumber(gates[actor])}`),
      "reached:",
      ...names.map((name, index) => `  ${name}: ${yamlNumber(Math.min(scores[index], 1))}`),
      point.rest,
    ].join("\n");
  }

  // --- Everything that follows from the gates

  let savedScores = [];
  function update() {
    const outcomes = outcomesOf(gates);
    const scores = meanScores(outcomes);
    const withProduct = ([p, r, f]) => [p, r, f, p * r * f];
    const before = withProduct(savedScores);
    withProduct(scores).forEach((score, index) => {
      const name = ["precision", "recall", "f1", "product"][index];
      const change = 100 * (score - before[index]);
      get(name).textContent = (100 * score).toFixed(1);
      get(name).dataset.value = score;
      const shown = get(`${name}-change`);
      shown.textContent = Math.abs(change) < 0.05 ? "" : `${change > 0 ? "+" : "−"}${Math.abs(change).toFixed(1)}`;
      shown.className = `change ${change > 0 ? "better" : "worse"}`;
    });
    for (const actor of actors) {
      draw(actor, outcomes);
      describeActor(actor);
    }
    listFlips();
    get("yaml").value = yaml(scores);
  }

  let isPlanned = false;
  function plan() {
    if (isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(() => {
      isPlanned = false;
      update();
    });
  }

  function setGate(actor, gate, source) {
    gates[actor] = Math.min(Math.max(gate, 0), 1);
    if (source !== "slider") get(`slider${actor}`).value = 1000 * scale.to(gates[actor]);
    if (source !== "number") get(`number${actor}`).value = Number((100 * gates[actor]).toFixed(2));
    get(`slider${actor}`).setAttribute("aria-valuetext", percent(gates[actor]));
    plan();
  }

  function setAll(values) {
    values.forEach((gate, actor) => setGate(actor, gate));
  }

  function choosePoint(index) {
    point = data.points[index];
    saved = point.gates;
    savedScores = meanScores(outcomesOf(saved));
    sortClips();
    pictures.length = 0;
    get("clips").textContent = point.names.length;
    setAll(saved);
  }

  // --- What people do

  for (const actor of actors) {
    get(`slider${actor}`).addEventListener("input", (event) =>
      setGate(actor, Number(scale.from(event.target.value / 1000).toFixed(6)), "slider"));
    get(`number${actor}`).addEventListener("input", (event) => {
      if (event.target.value !== "") setGate(actor, Number((event.target.valueAsNumber / 100).toFixed(6)), "number");
    });
    get(`near${actor}`).parentElement.addEventListener("toggle", () => describeActor(actor));
    const canvas = get(`strip${actor}`);
    const placeIn = (event) => {
      const edge = canvas.getBoundingClientRect();
      return [event.clientX - edge.left, event.clientY - edge.top];
    };
    const clipAt = ([x, y]) => {
      let [best, nearest] = [-1, 36];
      for (let clip = 0; clip < point.names.length; clip++) {
        const [left, top] = dotOf(canvas, actor, clip);
        const distance = (left - x) ** 2 + (top - y) ** 2;
        if (distance < nearest) [best, nearest] = [clip, distance];
      }
      return best;
    };
    let isDragging = false;
    canvas.addEventListener("pointerdown", (event) => {
      const [x, y] = placeIn(event);
      const clip = clipAt([x, y]);
      if (clip >= 0 && Math.abs(x - placeOf(canvas, gates[actor])) > 5) {
        window.open(point.links[clip], "_blank", "noopener");
        return;
      }
      isDragging = true;
      canvas.setPointerCapture(event.pointerId);
      setGate(actor, Number(shareAt(canvas, x).toFixed(6)));
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = placeIn(event);
      if (isDragging) return setGate(actor, Number(shareAt(canvas, x).toFixed(6)));
      const clip = clipAt([x, y]);
      canvas.title = clip < 0 ? "" : `${point.names[clip]}: ${percent(point.ratios[actor][clip])} of the frames`;
      canvas.style.cursor = clip < 0 ? "ew-resize" : "pointer";
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (isDragging = false));
  }

  const choices = [{ name: "the tuned gates" }, ...data.marks];
  get("mark").replaceChildren(
    ...choices.map(({ name }, index) => {
      const option = document.createElement("option");
      [option.value, option.textContent] = [index, name];
      return option;
    }),
  );
  get("mark").addEventListener("change", (event) => setAll(choices[event.target.value].gates || saved));
  if (get("point")) get("point").addEventListener("change", (event) => choosePoint(event.target.value));
  get("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(get("yaml").value);
      get("said").textContent = "copied";
    } catch {
      get("yaml").select();
      get("said").textContent = document.execCommand("copy") ? "copied" : "copy the text below";
    }
  });
  get("download").addEventListener("click", () => {
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(new Blob([get("yaml").value], { type: "application/yaml" }));
    anchor.download = "gates.yaml";
    anchor.click();
    URL.revokeObjectURL(anchor.href);
  });
  window.addEventListener("resize", plan);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readColors();
    pictures.length = 0;
    plan();
  });
  readColors();
  choosePoint(0);
})();

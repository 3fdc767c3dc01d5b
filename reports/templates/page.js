"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  // --- the address: #anchor?backends=a,b&states=bug ---
  const address = () => {
    const [anchor, query = ""] = location.hash.slice(1).split("?");
    return { anchor: decode(anchor), query: new URLSearchParams(query) };
  };
  const decode = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
  const visit = (anchor, query) => {
    const said = query.toString();
    history.replaceState(null, "", `#${encodeURIComponent(anchor)}${said ? "?" + said : ""}`);
  };

  // --- filter ---
  const form = document.getElementById("filter");
  const hiding = document.head.appendChild(make("style"));
  const chosen = (name) => all(`input[name="${name}"]`, form);
  const list = (query, name) => (query.get(name) || "").split(",").map(decode);

  const apply = () => {
    const hidden = chosen("backend").filter((box) => !box.checked).map((box) => box.dataset.number);
    const states = new Set(chosen("state").filter((box) => box.checked).map((box) => box.value));
    const every = states.size === chosen("state").length;
    hiding.textContent = hidden.map((number) => `[data-b="${number}"]`).join(",") + (hidden.length ? "{display:none}" : "");
    for (const card of all("[data-of]")) {
      const of = card.dataset.of.split(" ").filter(Boolean);
      const state = card.dataset.state;
      card.hidden = of.every((number) => hidden.includes(number)) || (state !== undefined && !states.has(state));
    }
    for (const row of all("tr[data-row]")) {
      const cells = all(".cell", row).filter((cell) => !hidden.includes(cell.dataset.b));
      for (const cell of cells) cell.classList.toggle("dimmed", !every && !states.has(cell.dataset.state));
      row.hidden = !every && !cells.some((cell) => states.has(cell.dataset.state));
    }
    for (const body of all("tbody[data-group]")) body.hidden = !every && !all("tr[data-row]", body).some((row) => !row.hidden);
    const note = document.getElementById("filtered");
    note.hidden = every && !hidden.length;
    return { hidden, every };
  };
  const changed = () => {
    const { hidden, every } = apply();
    const { anchor } = address();
    const query = new URLSearchParams();
    if (hidden.length) query.set("backends", chosen("backend").filter((box) => box.checked).map((box) => encodeURIComponent(box.value)).join(","));
    if (!every) query.set("states", chosen("state").filter((box) => box.checked).map((box) => encodeURIComponent(box.value)).join(","));
    visit(anchor, query);
  };
  const restore = (query) => {
    for (const [name, key] of [["backend", "backends"], ["state", "states"]]) {
      const wanted = query.has(key) ? new Set(list(query, key)) : null;
      for (const box of chosen(name)) box.checked = wanted === null || wanted.has(box.value);
    }
    apply();
  };
  form.addEventListener("change", changed);
  for (const button of all("[data-reset]")) {
    button.addEventListener("click", () => {
      for (const box of all("input", form)) box.checked = true;
      changed();
    });
  }

  // --- the matrix's blocks ---
  for (const select of all("select[data-matrix]")) {
    select.addEventListener("change", () => show(select, select.value));
  }
  const show = (select, block) => {
    select.value = block;
    for (const table of all("table[data-block]", document.getElementById(select.dataset.matrix))) table.hidden = table.dataset.block !== block;
  };
  for (const select of all("select[data-matrix]")) show(select, select.value);

  // On a phone the verdict comes before the filter.
  if (matchMedia("(max-width: 60rem)").matches) document.querySelector("details.filter").open = false;

  // --- what a cell says ---
  const dialog = document.getElementById("detail");
  const inside = dialog.querySelector(".inside");
  let opener = null;
  const state = (name) => {
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    drawn.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `#i-${name.replaceAll(" ", "-")}`);
    drawn.append(use);
    return make("span", { className: `state s-${name.replaceAll(" ", "-")}` }, drawn, name);
  };
  const code = (title, text) => (text ? make("div", {}, make("p", { className: "code-title", textContent: title }), copyable(text)) : null);
  const copyable = (text) => {
    const pre = make("pre", { tabIndex: 0, textContent: text });
    pre.setAttribute("role", "region");
    pre.setAttribute("aria-label", "code");
    return make("div", { className: "code" }, pre, copyButton(() => text));
  };
  const copyButton = (text) => {
    const button = make("button", { type: "button", textContent: "Copy" });
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text());
        button.textContent = "Copied";
      } catch {
        const range = document.createRange();
        range.selectNodeContents(button.parentElement.querySelector("pre"));
        const selection = getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
    return button;
  };
  const terms = (pairs) => {
    const given = pairs.filter(([, text]) => text);
    if (!given.length) return null;
    const drawn = make("dl");
    for (const [term, text] of given) drawn.append(make("dt", { textContent: term }), make("dd", {}, make("code", { textContent: text })));
    return drawn;
  };
  const open = (anchor) => {
    const cell = document.getElementById(anchor);
    const told = data.cells[anchor];
    if (!told) return false;
    const table = cell.closest("table[data-block]");
    const select = document.querySelector(`select[data-matrix="${cell.closest("[data-blocks]").id}"]`);
    if (table.hidden) show(select, table.dataset.block);
    const title = dialog.querySelector("h2");
    title.replaceChildren(make("code", { textContent: told.backend }), ` · ${told.row}`);
    inside.replaceChildren();
    inside.append(make("p", {}, state(told.state), ` ${told.sentence}`));
    if (told.reasons.length) inside.append(make("div", {}, ...told.reasons.map((reason) => make("p", { textContent: reason }))));
    for (const other of told.deviations) {
      const link = make("a", { href: `#${other}`, textContent: data.deviations[other].title });
      link.addEventListener("click", () => dialog.close());
      const { state: verdict, upstream } = data.deviations[other];
      const issue = /^https:\/\/\S+$/.test(upstream) ? make("a", { href: upstream, rel: "noreferrer", textContent: "upstream" }) : null;
      inside.append(make("p", {}, state(verdict), " ", link, ...(issue ? [" (", issue, ")"] : [])));
    }
    const several = told.examples.length > 1;
    for (const [place, number] of told.examples.entries()) {
      const example = data.cases[number];
      const heading = told.deviating ? "Smallest case that deviates here" : "Smallest case that was asked";
      inside.append(
        make("h3", { textContent: several ? `${heading}, ${place + 1} of ${told.examples.length}` : heading }),
        ...[code("Input", example.case), terms([["Expected", example.expected], ["Got", example.actual], ["Bound", example.bound], ["Law", example.law], ["Seed", example.seed]])].filter(Boolean),
        ...[example.message ? code("What was said", example.message) : null, code("Native code", example.native), code("Ask it again", example.replay)].filter(Boolean),
      );
    }
    for (const marked of all(".cell.open")) marked.classList.remove("open");
    cell.classList.add("open");
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    return true;
  };
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    for (const marked of all(".cell.open")) marked.classList.remove("open");
    if (opener) opener.focus({ preventScroll: true });
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".cell > a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const anchor = link.parentElement.id;
    event.preventDefault();
    opener = link;
    visit(anchor, address().query);
    open(anchor);
  });

  // --- links into the page ---
  const arrive = () => {
    const { anchor, query } = address();
    restore(query);
    const target = anchor && document.getElementById(anchor);
    if (!target) return;
    if (open(anchor)) return;
    for (let element = target; element; element = element.parentElement) if (element.tagName === "DETAILS") element.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", arrive);
  document.addEventListener("click", (event) => {
    // A link that keeps its anchor but loses the filter would undo what the reader chose.
    const link = event.target.closest('a[href^="#"]');
    if (!link || link.closest(".cell") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const said = address().query.toString();
    if (!said) return;
    event.preventDefault();
    location.hash = `${link.getAttribute("href").slice(1)}?${said}`;
  });

  // --- copying, and paper ---
  for (const box of all(".code")) {
    const pre = box.querySelector("pre");
    box.append(copyButton(() => pre.textContent));
  }
  addEventListener("beforeprint", () => { for (const details of all("details")) details.open = true; });
  document.documentElement.classList.add("ready");
  arrive();
})();

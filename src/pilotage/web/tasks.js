// The live page: events say that something changed, the API says what it is now. No framework, no build step.
const at = (id) => document.getElementById(id);
const api = "/api/v1";
const SECONDS = 60;
let token = sessionStorage.getItem("pilotage-token") || "";
let flow = [];          // one entry a second: {in, out, wait}
let counts = { in: 0, out: 0 };
let dirty = true;
let clockOffset = 0;    // the service's clock minus ours, seconds
let names = new Map();  // instance id -> its name

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

async function ask(path, options = {}) {
  const answer = await fetch(api + path, { ...options, headers: { ...headers(), ...options.headers } });
  if (answer.status === 401) { at("ask").hidden = false; throw new Error("a token is needed"); }
  const told = await answer.json();
  if (!answer.ok) throw new Error(typeof told.detail === "string" ? told.detail : JSON.stringify(told.detail));
  return told;
}

function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

const milliseconds = (ms) => (ms >= 10000 ? `${(ms / 1000).toFixed(1)} s` : ms >= 100 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`);
const short = (id) => id.slice(-8);
const nameOf = (id) => names.get(id) || (id ? short(id) : "none");

function say(text, kind) {
  at("link").textContent = text;
  at("link").className = kind;
}

function showNumbers(told) {
  at("waiting").textContent = told.waiting.toLocaleString();
  at("running").textContent = told.on_instances.toLocaleString();
  at("completed").textContent = told.ended.completed.toLocaleString();
  at("failed").textContent = (told.ended.failed + told.ended.expired + told.ended.cancelled).toLocaleString();
  at("p50").textContent = told.times.count ? milliseconds(told.times.total_ms.p50) : "–";
  at("p99").textContent = told.times.count ? milliseconds(told.times.total_ms.p99) : "–";
}

function showInstances(list) {
  names = new Map(list.map((each) => [each.id, each.name]));
  const now = Date.now() / 1000 + clockOffset;
  const shown = list.slice(0, 40).map((each) => {
    const head = make("div", { className: "head" },
      make("b", { textContent: each.name }),
      make("span", { textContent: `${each.model || "no model"} · ${each.slots} slot${each.slots === 1 ? "" : "s"}${each.platform ? " · " + each.platform : ""}` }),
      make("span", { textContent: `${each.outstanding} task${each.outstanding === 1 ? "" : "s"}, a new one waits ${milliseconds(each.wait_ms)}` }),
      make("span", { className: `state ${each.state}`, textContent: each.state, title: each.reason }));
    const card = make("div", { className: "instance" }, head);
    for (const task of each.tasks.slice(0, Math.min(each.slots, 4))) {
      const whole = task.expected_end - task.since;
      const part = whole > 0 ? Math.min(1, (now - task.since) / whole) : 1;
      const left = task.expected_end - now;
      const bar = make("i");
      bar.style.width = `${Math.max(2, part * 100)}%`;
      card.append(
        make("div", { className: left < 0 ? "bar late" : "bar" }, bar),
        make("div", { className: "run" }, make("code", { textContent: short(task.id) }),
          make("span", { textContent: !task.expected_end ? "no prediction" : left < 0 ? `${milliseconds(-left * 1000)} longer than predicted` : `predicted end in ${milliseconds(left * 1000)}` })));
    }
    return card;
  });
  at("instances").replaceChildren(...(shown.length ? shown : [make("p", { className: "none", textContent: "None is registered. Start one: pilotage instance --scheduler " + location.origin })]));
  at("instances-title").textContent = `Instances: ${list.filter((each) => each.state === "ready").length} of ${list.length} ready`;
}

function showDecisions(list) {
  const shown = list.slice(0, 8).map((each) => {
    const compared = each.scores.map((score) => `${nameOf(score.instance)}: ${+score.value.toFixed(3)}`).join(", ");
    return make("div", { className: "decision" },
      make("code", { textContent: short(each.task) }), ` to ${nameOf(each.instance)} `,
      make("div", { className: "why", textContent: `${each.strategy}, ${each.by || "no comparison"}: ${compared || "the only candidate"}` }));
  });
  at("decisions").replaceChildren(...(shown.length ? shown : [make("p", { className: "none", textContent: "None yet." })]));
}

function showTasks(list) {
  at("tasks").replaceChildren(...list.map((task) => make("tr", {},
    make("td", {}, make("code", { textContent: short(task.id), title: task.id })),
    make("td", { textContent: task.model }),
    make("td", { className: task.status, textContent: task.status, title: task.error }),
    make("td", { textContent: nameOf(task.instance) }),
    make("td", { className: "n", textContent: task.finished ? milliseconds((task.finished - task.submitted) * 1000) : "" }))));
}

function drawFlow() {
  const svg = at("flow"), width = svg.clientWidth || 560, height = svg.clientHeight || 170;
  const left = 38, right = 34, top = 12, bottom = 20;
  const most = Math.max(4, ...flow.flatMap((each) => [each.in, each.out]));
  const deepest = Math.max(4, ...flow.map((each) => each.wait));
  const x = (index) => left + ((width - left - right) * (index + SECONDS - flow.length)) / (SECONDS - 1);
  const y = (value, scale) => height - bottom - ((height - top - bottom) * value) / scale;
  const path = (key, scale) => flow.map((each, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(each[key], scale).toFixed(1)}`).join("");
  const text = (px, py, content, anchor) => `<text x="${px}" y="${py}" text-anchor="${anchor}">${content}</text>`;
  const lines = [0, 0.5, 1].map((share) => `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(share, 1)}" y2="${y(share, 1)}"/>` +
    text(left - 6, y(share, 1) + 4, Math.round(most * share), "end") + text(width - right + 6, y(share, 1) + 4, Math.round(deepest * share), "start")).join("");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.innerHTML = lines + text(left, height - 5, "60 s ago", "start") + text(width - right, height - 5, "now", "end") +
    `<path class="wait" d="${path("wait", deepest)}"/><path class="in" d="${path("in", most)}"/><path class="out" d="${path("out", most)}"/>`;
  const last = flow.at(-1);
  at("flow-title").textContent = last ? `Tasks a second: ${last.in} submitted, ${last.out} completed` : "Tasks a second";
}

async function refresh() {
  if (document.hidden) return;
  const told = await ask("/statistics");
  const now = { in: told.submitted, out: told.ended.completed };
  if (counts.seen) flow.push({ in: Math.max(0, now.in - counts.in), out: Math.max(0, now.out - counts.out), wait: told.waiting });
  flow = flow.slice(-SECONDS);
  counts = { ...now, seen: true };
  showNumbers(told);
  drawFlow();
  if (dirty) {
    dirty = false;
    const [instances, decisions, tasks] = await Promise.all([ask("/instances"), ask("/decisions?limit=8"), ask("/tasks?limit=12")]);
    showInstances(instances.instances);
    showDecisions(decisions.decisions);
    showTasks(tasks.tasks);
    if (instances.instances.some((each) => each.outstanding)) dirty = true;  // bars move without news
  }
}

async function showStrategies() {
  const told = await ask("/strategies");
  const options = told.strategies.map((name) => make("option", { value: name, textContent: name, selected: name === told.strategy }));
  at("strategy").replaceChildren(...options);
  at("strategy").disabled = false;
}

at("strategy").addEventListener("change", async (event) => {
  try {
    await ask("/strategies", { method: "PUT", body: JSON.stringify({ strategy: event.target.value }), headers: { "Content-Type": "application/json" } });
  } catch (error) { say(error.message, "gone"); }
  await showStrategies();
});

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value;
  sessionStorage.setItem("pilotage-token", token);
  location.reload();
});

function heard(block) {
  const field = (name) => (block.match(new RegExp(`^${name}: (.*)$`, "m")) || [])[1];
  const data = field("data");
  if (!data) return;
  dirty = true;
  if (field("event") === "strategy") showStrategies();
  const told = JSON.parse(data);
  if (told.at) clockOffset = told.at - Date.now() / 1000;
}

async function listen() {
  for (;;) {
    try {
      const answer = await fetch(`${api}/events`, { headers: headers() });
      if (!answer.ok) throw new Error(answer.status === 401 ? "a token is needed" : "not leading");
      say("live", "live");
      await showStrategies();
      dirty = true;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        blocks.forEach(heard);
      }
      say("the service stopped; waiting for it", "gone");
    } catch (error) { say(`not connected: ${error.message}`, "gone"); }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

listen();
setInterval(() => refresh().catch((error) => say(error.message, "gone")), 1000);
refresh().catch(() => {});
addEventListener("resize", drawFlow);

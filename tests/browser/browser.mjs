// One Chromium and its pages, with the commands that the driver offers.

import { writeFile } from "node:fs/promises";
import { chromium } from "playwright-core";
import { analyse } from "./analysis.mjs";
import * as capture from "./capture.mjs";

const FLAGS = [
  "--no-sandbox",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
  "--autoplay-policy=no-user-gesture-required",
  "--disable-background-networking",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-domain-reliability",
  "--disable-sync",
  "--metrics-recording-only",
  "--no-first-run",
  "--no-pings",
  // Gateways of tests make their own certificates; a page's own exception does not hold for its TURN connections.
  "--ignore-certificate-errors",
];

const LOG_LINES = 2000;

export class Browser {
  #browser = null;
  #pages = new Map();

  /** Every command by name. Each takes the fields of its request and gives those of its reply. */
  commands = {
    launch: (request) => this.#launch(request),
    open: (request) => this.#open(request),
    dial: ({ number, page }) => this.#dial(this.#page(page), number),
    lab: ({ number, page }) => this.#page(page).locator(`#lab button[data-number=${JSON.stringify(number)}]`).click(),
    press: ({ keys, gap_ms, page }) => this.#press(this.#page(page), keys, gap_ms ?? 250),
    keyboard: ({ key, page }) => this.#page(page).keyboard.press(key),
    hangup: ({ page }) => this.#page(page).locator("#hangup").click(),
    mute: ({ on, page }) => this.#mute(this.#page(page), on ?? true),
    state: ({ page }) => this.#page(page).evaluate(readState),
    wait_for_state: (request) => this.#wait(request, "state", request.state),
    wait_for_mark: (request) => this.#wait(request, "mark", request.mark),
    wait_for_connection: (request) => this.#wait(request, "connection", request.state ?? "open"),
    listen: (request) => this.#listen(request),
    record_start: ({ page, patience_ms }) => capture.start(this.#page(page), patience_ms ?? 5000),
    record_stop: (request) => this.#report(this.#page(request.page), request),
    stats: ({ page }) => this.#page(page).evaluate(readStats),
    quality: ({ page }) => this.#page(page).evaluate(() => globalThis.switchhook.call.quality()),
    log: ({ page, clear }) => this.#log(page, clear ?? false),
    screenshot: ({ page, path, full_page }) => this.#screenshot(this.#page(page), path, full_page ?? false),
    eval: async ({ page, expression }) => ({ value: await this.#page(page).evaluate(expression) }),
    reload: ({ page }) => this.#page(page).reload().then(() => {}),
    close_page: ({ page }) => this.#closePage(page),
    kill: () => this.#kill(),
    close: () => this.close(),
  };

  async close() {
    this.#pages.clear();
    await this.#browser?.close().catch(() => {});
    this.#browser = null;
  }

  async #launch({ fake_audio_file, args = [], headless = true }) {
    if (this.#browser) throw new Error("the browser is running already");
    const audio = fake_audio_file ? [`--use-file-for-fake-audio-capture=${fake_audio_file}`] : [];
    this.#browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      headless,
      args: [...FLAGS, ...audio, ...args],
      // Playwright mutes headless browsers; a muted one still renders, but let nothing depend on that.
      ignoreDefaultArgs: ["--mute-audio"],
      handleSIGINT: false,
    });
    return { version: this.#browser.version() };
  }

  async #open({ url, page: name = "main", processing = false, viewport, color_scheme, permissions = ["microphone"], proxy, wait = true }) {
    if (!this.#browser) throw new Error("launch the browser first");
    if (this.#pages.has(name)) throw new Error(`there is a page ${name} already`);
    const context = await this.#browser.newContext({
      permissions,
      viewport: viewport ?? { width: 1000, height: 760 },
      colorScheme: color_scheme ?? "light",
      // Gateways of tests make their own certificates.
      ignoreHTTPSErrors: true,
      // The page itself comes without it: what is proxied is what its calls connect to.
      ...(proxy ? { proxy: { server: proxy, bypass: new URL(url).host } } : {}),
    });
    // Echo and noise control would take test tones for noise.
    await context.addInitScript((sound) => {
      if (localStorage.getItem("switchhook.sound") === null) localStorage.setItem("switchhook.sound", sound);
    }, JSON.stringify({ processing }));
    const page = await context.newPage();
    const log = [];
    const add = (kind, text) => {
      if (log.length < LOG_LINES) log.push({ kind, text });
    };
    page.on("console", (message) => add(message.type(), message.text()));
    page.on("pageerror", (error) => add("page_error", error.stack ?? String(error)));
    page.on("crash", () => add("page_error", "the page crashed"));
    this.#pages.set(name, { page, log });
    await page.goto(url);
    if (wait) await this.#wait({ page: name }, "connection", "open");
    return page.evaluate(readState);
  }

  async #dial(page, number) {
    await page.locator("#number").fill(number);
    await page.locator("#call").click();
  }

  async #press(page, keys, gap_ms) {
    for (const [i, key] of [...keys].entries()) {
      if (i > 0) await page.waitForTimeout(gap_ms);
      await page.locator(`#keypad [data-key=${JSON.stringify(key)}]`).click();
    }
  }

  async #mute(page, on) {
    const button = page.locator("#mute");
    if ((await button.getAttribute("aria-pressed")) !== String(on)) await button.click();
  }

  async #wait({ page: name, timeout_ms = 10_000 }, what, wanted) {
    const page = this.#page(name);
    const list = [wanted].flat();
    const until = Date.now() + timeout_ms;
    for (;;) {
      const state = await page.evaluate(readState);
      const there = what === "mark" ? list.some((mark) => mark in state.marks) : list.includes(state[what]);
      if (there) return state;
      if (Date.now() > until) throw new Error(`no ${what} ${list.join("|")} within ${timeout_ms} ms; now ${JSON.stringify(state)}`);
      await new Promise((done) => setTimeout(done, 15));
    }
  }

  async #listen(request) {
    const page = this.#page(request.page);
    await capture.start(page, request.patience_ms ?? 5000);
    await page.waitForTimeout(request.ms);
    return this.#report(page, request);
  }

  async #report(page, { frequencies, window_ms, wav }) {
    const { samples, started_at } = await capture.stop(page);
    if (wav) await writeFile(wav, capture.wav(samples));
    return { started_at, ...analyse(samples, capture.RATE, { frequencies, window_ms }) };
  }

  #log(name = "main", clear) {
    const { log } = this.#entry(name);
    const lines = [...log];
    if (clear) log.length = 0;
    return { lines, errors: lines.filter(({ kind }) => kind === "page_error" || kind === "error").map(({ text }) => text) };
  }

  async #screenshot(page, path, fullPage) {
    await page.screenshot({ path, fullPage, animations: "disabled" });
    return { path };
  }

  async #closePage(name = "main") {
    const { page } = this.#entry(name);
    this.#pages.delete(name);
    await page.context().close();
  }

  /** The browser is gone from one moment to the next, with no farewell. */
  async #kill() {
    const session = await this.#browser.newBrowserCDPSession();
    const gone = new Promise((done) => this.#browser.once("disconnected", done));
    await session.send("Browser.crash").catch(() => {});
    await gone;
    this.#browser = null;
    this.#pages.clear();
  }

  #page(name = "main") {
    return this.#entry(name).page;
  }

  #entry(name) {
    const entry = this.#pages.get(name);
    if (!entry) throw new Error(`there is no page ${name}`);
    return entry;
  }
}

/* Runs in the page: what it shows and what it knows. */
function readState() {
  const text = (id) => document.getElementById(id)?.textContent ?? "";
  const { client, call } = globalThis.switchhook ?? {};
  return {
    state: call?.state.name ?? "idle",
    text: text("state"),
    detail: text("detail"),
    notice: text("notice"),
    timer: text("timer"),
    quality: text("quality"),
    path_text: text("path"),
    connection: client?.connection.name ?? "idle",
    connection_text: text("connection"),
    welcome: client?.welcome ?? null,
    to: call?.to ?? null,
    cause: call?.cause ?? null,
    path: call?.path?.via ?? null,
    muted: call?.muted ?? false,
    received_digits: call?.receivedDigits ?? "",
    media: call?.peerConnection?.connectionState ?? null,
    levels: globalThis.switchhook?.levels() ?? null,
    marks: { ...call?.marks },
    now: performance.now(),
    time_origin: performance.timeOrigin,
  };
}

/* Runs in the page. */
async function readStats() {
  const pc = globalThis.switchhook.call?.peerConnection;
  if (!pc) throw new Error("there is no call");
  return { reports: [...(await pc.getStats()).values()] };
}

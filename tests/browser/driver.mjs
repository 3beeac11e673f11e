// Drives Chromium for the end-to-end tests: one JSON object a line on stdin, one reply a line on
// stdout. README.md lists the commands. Requests run as they come; a reply carries its request's id.

import readline from "node:readline";
import { Browser } from "./browser.mjs";

const browser = new Browser();
const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity });

lines.on("line", (line) => {
  if (line.trim() !== "") void handle(line);
});
lines.on("close", () => void leave());
process.on("SIGTERM", () => void leave());
process.on("SIGINT", () => void leave());

async function handle(line) {
  let id = null;
  try {
    const { id: given, command, ...fields } = JSON.parse(line);
    id = given ?? null;
    const run = Object.hasOwn(browser.commands, command) ? browser.commands[command] : null;
    if (!run) throw new Error(`no command ${JSON.stringify(command)}; there are ${Object.keys(browser.commands).join(", ")}`);
    reply({ id, ok: true, ...(await run(fields)) });
  } catch (error) {
    reply({ id, ok: false, error: error instanceof Error ? error.message : String(error) });
  }
}

function reply(object) {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

async function leave() {
  await browser.close();
  process.exit(0);
}

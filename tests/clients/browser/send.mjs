// Opens a page of another origin in Chromium, whose script sends spans; tells what it sent as lines of JSON.

import { createServer } from "node:http";
import { argv, exit } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const PATIENCE_MS = 20_000;
const [, , source, executablePath] = argv;

const bundle = await build({
  entryPoints: [source],
  bundle: true,
  write: false,
  format: "iife",
  globalName: "client",
  nodePaths: ["node_modules"],
});
const script = bundle.outputFiles[0].text;
const page = createServer((request, answer) => {
  const [type, body] = request.url === "/page.js" ? ["text/javascript", script] : ["text/html", '<!doctype html><script src="/page.js"></script>'];
  answer.setHeader("content-type", `${type}; charset=utf-8`).end(request.url === "/favicon.ico" ? "" : body);
});
await new Promise((done) => page.listen(0, "127.0.0.1", done));

const browser = await chromium.launch({ executablePath });
try {
  const complaints = [];
  const answers = [];
  const tab = await browser.newPage();
  tab.on("console", (message) => complaints.push(message.text()));
  tab.on("pageerror", (error) => complaints.push(error.message));
  tab.on("response", (response) => response.request().method() === "POST" && answers.push(response.status()));
  await tab.exposeFunction("tell", (line) => console.log(JSON.stringify(line)));
  await tab.goto(`http://127.0.0.1:${page.address().port}/`);
  const requests = await tab.evaluate(() => window.client.send());
  // Nobody waits for a beacon's answer, and a browser that ends takes it along.
  for (const begun = Date.now(); answers.length < requests && Date.now() - begun < PATIENCE_MS; ) await sleep(20);
  if (complaints.length > 0 || answers.length < requests || answers.some((status) => status >= 300)) {
    console.error(`${requests} requests were sent, answered were ${answers}`, ...complaints);
    exit(1);
  }
} finally {
  await browser.close();
  page.close();
}

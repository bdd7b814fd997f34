// A page to look at while it is drawn: the real page over a made-up worker, one file, as strict as a shipped one.
//
//     node tests/page/dev.mjs OUT.html [MODEL.json]      ?slow=5, ?unequal, ?damaged make it so

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const common = {
  bundle: true,
  minify: true,
  write: false,
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
};
const target = ["chrome116", "firefox121", "safari17"];

const instead = {
  name: "fake worker",
  setup: (build) =>
    build.onResolve({ filter: /worker\/client\.ts$/ }, () => ({ path: here("fake_client.ts") })),
};
const text = async (options) => (await build({ ...common, ...options })).outputFiles[0].text;
const entry = here("../../src/page/main.ts");
const script = (await text({ entryPoints: [entry], format: "iife", target, plugins: [instead] })).replaceAll(
  "</script",
  "<\\/script",
);
const style = await text({ entryPoints: [here("../../styles/page.css")], target });
const [out, model = here("model.json")] = process.argv.slice(2);
const told = readFileSync(model, "utf8").replaceAll("<", "\\u003c");
const hash = (inside) => `'sha256-${createHash("sha256").update(inside).digest("base64")}'`;
const policy = `default-src 'none'; script-src ${hash(script)} 'wasm-unsafe-eval'; style-src ${hash(style)}; img-src data: blob:; worker-src blob:`;

writeFileSync(
  out,
  `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>distilseg</title><style>${style}</style></head>
<body><script type="application/json" id="model">${told}</script><script>${script}</script></body></html>`,
);

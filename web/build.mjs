// Bundles the page and its worker as classic scripts: pages opened by a double click take no modules.
//
//     node build.mjs            src/page/main.ts, src/worker/main.ts, styles/*.css -> build/
// The page that export writes around them holds: <html lang="en">, a title, styles/page.css, an empty <body>, and page.js
// at its end. So src/page/main.ts makes every element, by `textContent` and never by `innerHTML`. Its content policy:
// default-src 'none'; scripts and styles by hash; worker-src blob:; img-src data: blob:. It forbids every request,
// style="" in markup (element.style in a script is allowed), eval, and event handlers in markup.
//
//     node build.mjs --tests    tests/*.test.ts -> build/tests/, for `node --test`

import { build } from "esbuild";
import { readdirSync } from "node:fs";

const common = { bundle: true, logLevel: "warning", charset: "utf8", legalComments: "none" };

if (process.argv.includes("--tests")) {
  await build({
    ...common,
    entryPoints: readdirSync("tests").filter((name) => name.endsWith(".test.ts")).map((name) => `tests/${name}`),
    outdir: "build/tests",
    platform: "node",
    format: "esm",
    outExtension: { ".js": ".mjs" },
    target: "node20",
  });
} else {
  await build({
    ...common,
    entryPoints: { page: "src/page/main.ts", worker: "src/worker/main.ts", style: "styles/page.css" },
    outdir: "build",
    format: "iife",
    platform: "browser",
    target: ["chrome116", "firefox121", "safari17"],
    minify: true,
  });
}

/** The page: reads the model, lays out its parts, and ties them together. */

import type { Model } from "../model.ts";
import { Client, model as embedded } from "../worker/client.ts";
import { Announcer } from "./announce.ts";
import { Card } from "./card.ts";
import { el } from "./dom.ts";
import { Drop } from "./drop.ts";
import { savedName } from "./names.ts";
import { Queue } from "./queue.ts";
import { saveAll, saveLabelMap, saveVolumes } from "./save.ts";
import { Stage } from "./stage.ts";
import { Rows, type Row } from "./state.ts";
import { Table } from "./table.ts";
import { Trust } from "./trust.ts";
import { list } from "./words.ts";

async function start(): Promise<void> {
  const trust = new Trust();
  const main = el("main", { class: "wide" });
  document.body.append(main);
  let model: Model;
  try {
    model = embedded();
  } catch (error) {
    main.append(el("header", {}, el("h1", {}, "distilseg")), trust.element);
    trust.refuse(line(error));
    return;
  }
  const client = new Client();
  const rows = new Rows(model.modalities);
  const queue = new Queue(rows, client);
  const announcer = new Announcer();
  const stage = new Stage(model);
  const card = new Card(model);
  const view = (row: Row): void => {
    table.current = row;
    void stage.show(row);
  };
  const table = new Table(rows, model.labels, {
    view,
    save: (row) => void saveLabelMap(row, model.modalities[0]).then(() => saved([row])),
    cancel: (row) => queue.cancel(row),
    again: (row) => queue.again(row),
    tell: (row, modality) => rows.tell(row, modality),
    remove: (row) => {
      rows.remove(row);
      drop.focus();
    },
    saveAll: () =>
      void saveAll(rows, model.labels, model.digest, savedName(model.name)).then(() =>
        saved(rows.of("done")),
      ),
    saveVolumes: () => saveVolumes(rows, model.labels, model.digest),
    cancelAll: () => queue.cancelAll(),
    clear: () => {
      [...rows.all].forEach((row) => rows.remove(row));
      stage.close();
      drop.focus();
    },
  });
  const drop = new Drop(model.modalities, (found) => rows.add(found));
  const saved = (done: readonly Row[]): void => {
    for (const row of done) if (row.status.kind === "done") rows.set(row, { ...row.status, saved: true });
  };
  rows.listen((what, row) => {
    if (what !== "removed") announcer.follow(row);
    if (what === "changed" && row.status.kind === "done" && stage.row === null) view(row);
    drop.small = rows.all.length > 0;
  });
  main.append(
    header(model),
    trust.element,
    drop.element,
    announcer.element,
    table.element,
    stage.element,
    card.element,
  );
  addEventListener("beforeunload", (event) => {
    if (rows.of("done").some(({ status }) => !status.saved)) event.preventDefault();
  });
  try {
    const opened = await client.open();
    card.opened(opened);
    if (trust.judged(opened.golden)) queue.allow();
    else drop.close();
  } catch (error) {
    trust.refuse(line(error));
    drop.close();
  }
}

function header({ title, labels, modalities }: Model): HTMLElement {
  const found = labels.filter(({ value }) => value !== 0).map(({ name }) => name);
  return el(
    "header",
    {},
    el("p", { class: "faint" }, title),
    el("h1", {}, `Find ${list(found, 4)} in ${list(modalities)} scans`),
    el(
      "p",
      { class: "lead" },
      "See the structures, measure them, save the label map. All of it in this browser.",
    ),
  );
}

function line(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

void start();

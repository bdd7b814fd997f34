/** The worker as the page sees it: promises instead of messages, a fresh worker after a cancel.
 *
 *     const client = new Client();
 *     const opened = await client.open();                  // or throws Refusal: say it, there is no model then
 *     const done = await client.segment(name, files, progress => ...);     // throws Refusal, or Cancelled
 *     client.cancel();                                     // ends what runs now; what waits is not lost
 */

import type { Model } from "../model.ts";
import type { Done, Opened, Progress } from "./messages.ts";

/** What a person did or has cannot be used: `message` is one line, "cause: fix". */
export class Refusal extends Error {
  constructor(
    readonly reason: string,
    readonly fix: string,
  ) {
    super(`${reason}: ${fix}`);
  }
}

/** The person ended it. */
export class Cancelled extends Error {}

/** The model that this page is; throws Refusal where the page is damaged. Cheap: call it first. */
export function model(): Model {
  throw new Refusal("not built yet", "wait");
}

export class Client {
  /** Starts the worker: digests, compiling, golden case. Some seconds. */
  async open(): Promise<Opened> {
    throw new Refusal("not built yet", "wait");
  }

  /** Segments one case; calls wait for those before. `files` holds every modality of the model. */
  async segment(
    _name: string,
    _files: Record<string, File>,
    _progress: (told: Progress) => void,
  ): Promise<Done> {
    throw new Refusal("not built yet", "wait");
  }

  /** Ends the case that runs now: its promise throws Cancelled. */
  cancel(): void {}
}

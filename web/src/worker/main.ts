/** The worker's entry: one message in, several out; see `messages.ts`. */

import type { Reply, Request } from "./messages.ts";

const scope = self as unknown as { postMessage(reply: Reply): void; onmessage: ((event: MessageEvent<Request>) => void) | null };

scope.onmessage = () => scope.postMessage({ kind: "refused", id: null, cause: "not built yet", fix: "wait" });

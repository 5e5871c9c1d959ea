/** What a stream says, as it changes what is known. */

import type { Action } from "./state.js";
import type { StreamEvent } from "./types.js";

/** Return the actions that an event of a stream stands for. */
export function actionsOf(event: StreamEvent): Action[] {
  switch (event.name) {
    case "accepted": {
      const { turnId, attempt, offset, userMessage } = event.data;
      return [
        { type: "stored", message: userMessage },
        { type: "begun", turnId, attempt, offset },
      ];
    }
    case "status":
    case "delta":
    case "part":
    case "part-delta":
      return [{ type: event.name, ...event.data } as Action];
    case "message":
      return [{ type: "stored", message: event.data }];
    case "done":
      return [{ type: "ended", turnId: event.data.turnId }];
    default:
      return []; // an error, or what a later server sends
  }
}

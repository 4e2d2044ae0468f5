// An error whose message is a sentence for the user, shown as it stands.

/** What the page refuses and why, in one sentence. */
export class Refusal extends Error {
  constructor(message) {
    super(message);
    this.name = "Refusal";
  }
}

/** Any error as something that survives postMessage. */
export function sendable(error) {
  return {
    // Libraries add chains of causes and backtraces; a sentence has one line.
    message: (error?.message ?? String(error)).replace(/\s*Backtrace:[\s\S]*$/, "").replace(/\s*\n\s*/g, " "),
    kind: error instanceof Refusal ? "refusal" : (error?.kind ?? "failed"),
    hint: error?.hint,
  };
}

/** The other end of `sendable`. */
export function received({ message, kind, hint }) {
  const error = kind === "refusal" ? new Refusal(message) : new Error(message);
  return Object.assign(error, { kind, hint });
}

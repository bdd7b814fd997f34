/** What a person did or has cannot be used: one line, what is wrong and what to do. As `UserError` in Python. */
export class Refusal extends Error {
  constructor(
    readonly reason: string,
    readonly fix: string,
  ) {
    super(`${reason}: ${fix}`);
  }
}

/** The same, after which whoever computed cannot be asked again: its memory is used up, or it ended. */
export class Broken extends Refusal {}

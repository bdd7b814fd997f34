/** What a person did or has cannot be used: one line, what is wrong and what to do. As `UserError` in Python. */
export class Refusal extends Error {
  constructor(
    readonly reason: string,
    readonly fix: string,
  ) {
    super(`${reason}: ${fix}`);
  }
}

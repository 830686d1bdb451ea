// What can go wrong, as one class with a closed list of codes: see docs/errors.md of the server.

const RETRYABLE = new Set(["network", "overloaded", "rate_limited", "internal"]);

/**
 * A failure. `code` is for programs: one of the server's codes, or `network` when no answer came, or `no_session`
 * when something needs a session and there is none. `message` is for people.
 */
export class DuologueError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{ status?: number, errors?: Record<string, string>, retryAfter?: number, attemptsLeft?: number,
   *   latest?: number, cause?: unknown }} [about]
   */
  constructor(code, message, { cause, ...about } = {}) {
    super(message, { cause });
    this.name = "DuologueError";
    this.code = code;
    /** The HTTP status, 0 if there was none. */
    this.status = about.status ?? 0;
    /** Field → why it was refused. */
    this.errors = about.errors ?? {};
    /** Seconds to wait before the next try. */
    this.retryAfter = about.retryAfter;
    /** With `code_wrong`. */
    this.attemptsLeft = about.attemptsLeft;
    /** With `events_expired` and `log_changed`. */
    this.latest = about.latest;
  }

  /** Whether the same request may succeed later, unchanged. */
  get retryable() {
    return RETRYABLE.has(this.code);
  }
}

/** The error in an answer that isn't ok (RFC 9457), or is none of our server's. */
export async function errorOf(/** @type {Response} */ answer) {
  const problem = await answer.json().catch(() => ({}));
  const retryAfter = Number(answer.headers.get("Retry-After")) || undefined;
  const code = problem.code ?? (answer.status >= 500 ? "overloaded" : "internal");
  return new DuologueError(code, problem.detail ?? `The server answered ${answer.status}.`, {
    status: answer.status,
    errors: problem.errors,
    attemptsLeft: problem.attempts_left,
    latest: problem.latest,
    retryAfter,
  });
}

/** The error in a frame of the socket. */
export function errorIn(/** @type {any} */ frame) {
  return new DuologueError(frame.code, frame.detail, {
    errors: frame.errors,
    retryAfter: frame.retry_after,
    latest: frame.latest,
  });
}

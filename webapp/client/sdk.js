// The SDK, which lives apart. The server keeps the two folders apart in the same way.

export * from "../../clients/javascript/duologue.js";

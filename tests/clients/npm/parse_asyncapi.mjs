// Prints what the parser of the AsyncAPI project remarks on the document that the argument names; nothing is good.

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, code, path, message } of diagnostics) {
  console.log(`severity ${severity}: ${code} at ${path.join(".")}: ${message}`);
}

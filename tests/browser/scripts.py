"""Scripts in a page that has duologue.js and nothing else."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

START = """async () => {
  Object.assign(window, await import("/sdk/duologue.js"));
  window.person = async (phone, store = memoryStore()) => {
    const one = new Duologue({ store });
    if (!(await one.restore())) await one.signIn({ phone });
    one.heard = [];
    one.resyncs = 0;
    one.on("event", (event) => one.heard.push(event));
    one.on("resync", () => { one.resyncs += 1; });
    return one;
  };
  window.until = async (condition) => {
    const end = performance.now() + 60000;
    while (!(await condition())) {
      if (performance.now() > end) throw new Error(`not true within 60 s: ${condition}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  };
}"""


def ready(page: Page) -> Page:
    page.evaluate(START)
    return page


def run(page: Page, script: str, *phones: str) -> Any:
    """Return the result of an async function that gets these numbers."""
    return page.evaluate(f"async ([one, two]) => {{ {script} }}", [*phones, None, None][:2])

"""Markdown of the readable documents becomes HTML that can't be anything but text, code, lists and links."""

from __future__ import annotations

import pytest

from duologue.apidocs.html import inline, markdown


def test_html_in_a_text_is_shown_and_not_obeyed() -> None:
    assert inline("<script>alert(1)</script>") == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert markdown("<script>alert(1)</script>") == "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"
    assert "<b>" not in markdown("- <b>bold</b>\n\n```\n<b>bold</b>\n```")


def test_code_and_links_are_told_from_prose() -> None:
    text = "Say `hello <you>`, as [the guide](/docs#guide) has it."
    assert inline(text) == (
        'Say <code>hello &lt;you&gt;</code>, as <a href="/docs#guide">the guide</a> has it.'
    )


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "vbscript:x"])
def test_a_link_can_not_run_anything(link: str) -> None:
    assert "<a" not in inline(f"[here]({link})")


def test_a_heading_has_an_anchor() -> None:
    assert markdown("## Rate limits, and more") == (
        '<h2 id="rate-limits-and-more">Rate limits, and more</h2>\n'
    )


def test_fenced_code_can_be_scrolled_by_the_keyboard() -> None:
    assert markdown("```json\n{}\n```") == ('<div class="code"><pre tabindex="0"><code>{}</code></pre></div>')

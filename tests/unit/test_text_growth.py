"""Functions over text from outside take time in proportion to its length, whatever its shape."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.core.addresses import client_address, parse_networks
from duologue.errors import ApiError
from duologue.handset.screen import visible
from duologue.providers.sms.keywords import keyword_of
from duologue.providers.sms.segments import gsm_decode, measure, split
from duologue.socket.codec import BadFrame, codec_of

SHORT, FACTOR = 1_000, 16
MOST = FACTOR * 4
"""A function in proportion takes 16 times as long for 16 times the text, a quadratic one 256 times."""
PROXIES = parse_networks("10.0.0.0/8")


def decode_frame(text: str) -> None:
    with contextlib.suppress(ApiError, BadFrame):
        codec_of("duologue.v1").decode(text.encode(), binary=False)


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "measure": measure,
    "split": split,
    "keyword_of": keyword_of,
    "gsm_decode": lambda text: gsm_decode(text.encode()),
    "client_address": lambda text: client_address("10.0.0.1", text, PROXIES),
    "visible": visible,
    "decode_frame": decode_frame,
}
PARTS = [*'aé€[{"\\(). \n\t\u200bİ1😀\u0301中', "10.0.0.1,", "STOP"]
PIECES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("".join)


def seconds(work: Callable[[str], object], text: str) -> float:
    """The least processor time of three calls."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        work(text)
        times.append(time.process_time() - begun)
    return max(min(times), 1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=12, deadline=None)
@given(head=PIECES, shape=PIECES, tail=PIECES)
def test_time_grows_with_the_length_and_no_faster(name: str, head: str, shape: str, tail: str) -> None:
    work = FUNCTIONS[name]
    texts = [head + shape * (size // len(shape)) + tail for size in (SHORT, SHORT * FACTOR)]
    ratios = []
    for _ in range(3):  # a machine that is busy elsewhere is asked again
        ratios.append(seconds(work, texts[1]) / seconds(work, texts[0]))
        if ratios[-1] < MOST:
            return
    pytest.fail(f"{name} takes {min(ratios):.0f} times as long for {FACTOR} times {shape!r}")

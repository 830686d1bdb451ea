"""`fanin`: many write to one user at once; then two fill one chat as fast as a socket may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from duologue_lab.bench.chat import closed_loop, online
from duologue_lab.bench.result import Result
from duologue_lab.bench.setup import BenchSetup
from duologue_lab.bench.talk import Talker, Tally, talkers_of

_IN_FLIGHT: Final = 100
"""Messages of one socket; the server takes 128."""


async def fanin(setup: BenchSetup) -> list[Result]:
    """Everybody's messages end in one log, and in one socket that acks them; then in one chat."""
    return [await _one_user(setup), await _one_chat(setup)]


async def _one_user(setup: BenchSetup) -> Result:
    star, *fans = await setup.people.get(setup.options.sockets[0])
    pairs = await setup.people.chats([(fan, star) for fan in fans])
    tally, text = Tally(), "x" * setup.options.text
    reader = Talker(tally, star)
    senders = [Talker(tally, fan, chat_id, text, number) for number, (fan, _, chat_id) in enumerate(pairs, 1)]
    return await _run(setup, tally, senders, f"{len(fans)} to one user", reader)


async def _one_chat(setup: BenchSetup) -> Result:
    tally, text = Tally(), "x" * setup.options.text
    both = talkers_of(tally, await setup.people.pairs(1), text)
    return await _run(setup, tally, both, f"one chat, {_IN_FLIGHT} from each side", width=_IN_FLIGHT)


async def _run(
    setup: BenchSetup, tally: Tally, senders: Sequence[Talker], case: str, *readers: Talker, width: int = 1
) -> Result:
    everybody = [*senders, *readers]
    await online(setup, everybody)
    result = await closed_loop(setup, tally, senders, case, width=width)
    for talker in everybody:
        talker.close()
    result.scenario = "fanin"
    return result

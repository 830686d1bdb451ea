"""`fanin`: many write to one user at once; then two fill one chat as fast as a socket may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from duologue.bench.chat import closed_loop, online
from duologue.bench.ground import Ground
from duologue.bench.result import Result
from duologue.bench.talk import Talker, Tally, talkers_of

_IN_FLIGHT: Final = 100
"""Messages of one socket; the server takes 128."""


async def fanin(ground: Ground) -> list[Result]:
    """Everybody's messages end in one log, and in one socket that acks them; then in one chat."""
    return [await _one_user(ground), await _one_chat(ground)]


async def _one_user(ground: Ground) -> Result:
    star, *fans = await ground.people.get(ground.options.sockets[0])
    pairs = await ground.people.chats([(fan, star) for fan in fans])
    tally, text = Tally(), "x" * ground.options.text
    reader = Talker(tally, star)
    senders = [Talker(tally, fan, chat_id, text, number) for number, (fan, _, chat_id) in enumerate(pairs, 1)]
    return await _run(ground, tally, senders, f"{len(fans)} to one user", reader)


async def _one_chat(ground: Ground) -> Result:
    tally, text = Tally(), "x" * ground.options.text
    both = talkers_of(tally, await ground.people.pairs(1), text)
    return await _run(ground, tally, both, f"one chat, {_IN_FLIGHT} from each side", width=_IN_FLIGHT)


async def _run(
    ground: Ground, tally: Tally, senders: Sequence[Talker], case: str, *readers: Talker, width: int = 1
) -> Result:
    everybody = [*senders, *readers]
    await online(ground, everybody)
    result = await closed_loop(ground, tally, senders, case, width=width)
    for talker in everybody:
        talker.close()
    result.scenario = "fanin"
    return result

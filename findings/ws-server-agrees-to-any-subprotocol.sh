#!/usr/bin/env bash
# Guess: a WebSocket server that was told of no subprotocol agrees to none, so a client sees that it speaks another one.
# Instead: the server of npm's ws agrees to the first that the client names, whatever it is: "chat.v9", a made-up word,
# or a ticket that the client put first. Python's websockets, told of none, agrees to none.
#
# Version: ws 8.23.0 (npm) and websockets 17.4 (PyPI) as servers; websockets 17.4 as the client of both.
# Source: RFC 6455, section 4.2.2, item 5, /subprotocol/: without agreement the server must not send the field. In ws
# lib/websocket-server.js, completeUpgrade(): without handleProtocols it takes the first; websockets/ws pull requests
# 126 and 198 state that rule.
# Means: a client that names its newest version first believes that an old server speaks it, and the answer to a ticket
# passed as a subprotocol repeats the ticket in a response header. In ws always give handleProtocols, with a list.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check websockets==17.4
npm install --silent --no-audit --no-fund ws@8.23.0 >/dev/null
cat >serve.js <<'JS'
const { WebSocketServer } = require('ws');
const handleProtocols = (named) => named.has('chat.v1') && 'chat.v1';
const offer = { 'ws': {}, 'ws with handleProtocols': { handleProtocols } };
for (const [name, options] of Object.entries(offer)) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options });
  server.on('listening', () => console.log(`${server.address().port} ${name}`));
}
setTimeout(process.exit, 30000);
JS
cat >ask.py <<'PY'
import asyncio, subprocess
import websockets

async def agreed(name, port, named):
    async with websockets.connect(f"ws://127.0.0.1:{port}/", subprotocols=named, proxy=None) as socket:
        print(f"{name}, asked for {' '.join(named)}: {socket.subprotocol}")

async def main():
    node = subprocess.Popen(["node", "serve.js"], stdout=subprocess.PIPE, text=True)
    try:
        servers = sorted((node.stdout.readline().strip().split(" ", 1) for _ in range(2)), key=lambda pair: pair[1])
        async with websockets.serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0) as server:
            servers.append((server.sockets[0].getsockname()[1], "websockets"))
            for port, name in servers:
                await agreed(name, port, ["chat.v9", "chat.v1"])
                await agreed(name, port, ["ticket-42"])
    finally:
        node.terminate()

asyncio.run(main())
PY
seen=$(venv/bin/python ask.py)
expected='ws, asked for chat.v9 chat.v1: chat.v9
ws, asked for ticket-42: ticket-42
ws with handleProtocols, asked for chat.v9 chat.v1: chat.v1
ws with handleProtocols, asked for ticket-42: None
websockets, asked for chat.v9 chat.v1: None
websockets, asked for ticket-42: None'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: the server of ws agrees to the first subprotocol that a client names'

#!/usr/bin/env bash
# Guess: android.ttl = 3600 means the same in Google's two Admin SDKs, as both send it to one API, which counts seconds.
# Instead: Python takes it for seconds and sends "3600s"; Node takes it for milliseconds and sends "3.600000000s". The
# form of the API itself, the text "3600s", is an error in both.
#
# Version: firebase-admin 14.5.1 (npm) and firebase-admin 7.7.0 (PyPI); nothing is sent, the message is only encoded.
# Source: AndroidConfig in each SDK: lib/messaging/messaging-api.d.ts (milliseconds), _messaging_encoder.py, encode_ttl
# (seconds or a timedelta); firebase/firebase-admin-node issues 1163, 1271 and 2524 (people who expected seconds).
# Means: a service ported from Python to Node keeps a message for phones out of reach for 3.6 seconds, not an hour, and
# the SDK does not complain. Use datetime.timedelta in Python, a named constant in Node, and assert the encoded message.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check firebase-admin==7.7.0
npm install --silent --no-audit --no-fund --omit=optional firebase-admin@14.5.1 >/dev/null
cat >encode.js <<'JS'
const { validateMessage } = require(`${process.cwd()}/node_modules/firebase-admin/lib/messaging/messaging-internal.js`);
for (const ttl of [3600, '3600s']) {
  const message = { topic: 'chat', android: { ttl } };
  let sent;
  try { validateMessage(message); sent = message.android.ttl; } catch (error) { sent = 'an error'; }
  console.log(`Node, ttl ${JSON.stringify(ttl)}: ${sent}`);
}
JS
cat >encode.py <<'PY'
import json
from firebase_admin import messaging

for ttl in (3600, "3600s"):
    try:
        encoded = str(messaging.Message(topic="chat", android=messaging.AndroidConfig(ttl=ttl)))
        sent = json.loads(encoded)["android"]["ttl"]
    except ValueError:
        sent = "an error"
    print(f"Python, ttl {json.dumps(ttl)}: {sent}")
PY
seen=$(node encode.js; venv/bin/python encode.py)
expected='Node, ttl 3600: 3.600000000s
Node, ttl "3600s": an error
Python, ttl 3600: 3600s
Python, ttl "3600s": an error'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: firebase-admin counts a ttl in milliseconds for Node, in seconds for Python'

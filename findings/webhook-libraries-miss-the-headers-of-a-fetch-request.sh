#!/usr/bin/env bash
# Guess: verify(body, request.headers) of npm's standardwebhooks works in a handler that gets a Fetch Request.
# Instead: it throws "Missing required headers", although all three are there, for it walks Object.keys(headers), and
# a Headers object has no keys of its own. npm's svix does the same. As a plain object the same headers pass.
#
# Version: standardwebhooks 1.1.1 and svix 1.99.1 (npm), Headers of Node; standardwebhooks 1.1.0 (PyPI) signs.
# Source: standardwebhooks dist/index.js and svix dist/webhook.js, verify(). The Fetch standard, "Headers class":
# values are reached by get() and an iterator. Other webhook kits had this too: inkbox-ai/inkbox pull request 163, and
# liveblocks/liveblocks pull request 1057.
# Means: a receiver in a worker, in Deno or in Next.js refuses every webhook, and the error blames the sender, whose
# support is asked why it signs nothing. Name in the receiver's guide: Object.fromEntries(request.headers).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check standardwebhooks==1.1.0
npm install --silent --no-audit --no-fund standardwebhooks@1.1.1 svix@1.99.1 >/dev/null
cat >sign.py <<'PY'
import base64, datetime, json
import standardwebhooks

secret = "whsec_" + base64.b64encode(bytes(range(24))).decode()
now = datetime.datetime.now(datetime.timezone.utc)
body = '{"type":"message.delivered","to":"+12025550123"}'
signature = standardwebhooks.Webhook(secret).sign("msg_1", now, body)
headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
print(json.dumps({"secret": secret, "body": body, "headers": headers}))
PY
cat >verify.js <<'JS'
const sent = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const request = new Request('https://example.org/hook', { method: 'POST', headers: sent.headers, body: sent.body });
for (const name of ['standardwebhooks', 'svix']) {
  const { Webhook } = require(name);
  for (const [form, headers] of [['Headers', request.headers], ['plain object', Object.fromEntries(request.headers)]]) {
    let result;
    try { result = new Webhook(sent.secret).verify(sent.body, headers).type; } catch (error) { result = error.message; }
    console.log(`${name}, ${form}: ${result}`);
  }
}
JS
seen=$(venv/bin/python sign.py | node verify.js)
expected='standardwebhooks, Headers: Missing required headers
standardwebhooks, plain object: message.delivered
svix, Headers: Missing required headers
svix, plain object: message.delivered'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: standardwebhooks and svix for JavaScript find nothing in a Headers object'

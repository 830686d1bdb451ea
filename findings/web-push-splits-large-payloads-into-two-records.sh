#!/usr/bin/env bash
# Guess: npm's web-push refuses a payload that Web Push can't carry with an error, as the library for Go does.
# Instead: from 4080 bytes on it makes a body of two encrypted records, where RFC 8291 demands a single one, and from
# 3994 bytes on a body of more than the 4096 bytes that a push service must take. No error, no warning.
#
# Version: web-push 3.6.7 with http_ece 1.2.1 (npm); http_ece 1.2.1 (PyPI) reads the result.
# Source: RFC 8291, section 4 (one record only; 4096 octets leave 3993 for the text); RFC 8188, section 2 (records of
# the size in the header); in web-push src/encryption-helper.js encrypt() gives no record size to http_ece, whose
# ece.js takes 4096 and cuts. The two http_ece understand each other, so a test of both ends passes.
# Means: the push service may refuse such a message, or a receiver may be unable to read it, for the RFC lets receivers
# know one record only. Cut the payload to 3993 bytes of UTF-8 before the call, and let the client fetch the rest.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check http-ece==1.2.1
npm install --silent --no-audit --no-fund web-push@3.6.7 http_ece@1.2.1 >/dev/null
cat >write.js <<'JS'
const crypto = require('crypto');
const push = require('web-push');
const phone = crypto.createECDH('prime256v1');
phone.generateKeys();
const auth = crypto.randomBytes(16);
const subscription = {
  endpoint: 'https://push.example.org/1',
  keys: { p256dh: phone.getPublicKey('base64url'), auth: auth.toString('base64url') },
};
const vapidDetails = { subject: 'mailto:chat@example.org', ...push.generateVAPIDKeys() };
console.log(phone.getPrivateKey('hex').padStart(64, '0'), auth.toString('hex'));
for (const size of [3993, 3994, 4079, 4080]) {
  const { body } = push.generateRequestDetails(subscription, 'x'.repeat(size), { vapidDetails });
  console.log(size, body.toString('hex'));
}
JS
cat >read.py <<'PY'
import sys
import http_ece
from cryptography.hazmat.primitives.asymmetric import ec

key, auth = sys.stdin.readline().split()
private = ec.derive_private_key(int(key, 16), ec.SECP256R1())
for line in sys.stdin:
    size, text = line.split()
    body = bytes.fromhex(text)
    record, content = int.from_bytes(body[16:20], "big"), len(body) - 21 - body[20]
    read = http_ece.decrypt(body, private_key=private, auth_secret=bytes.fromhex(auth))
    print(f"{size} bytes: body of {len(body)}, {-(-content // record)} record(s), http_ece reads {len(read)}")
PY
seen=$(node write.js | venv/bin/python read.py)
expected='3993 bytes: body of 4096, 1 record(s), http_ece reads 3993
3994 bytes: body of 4097, 1 record(s), http_ece reads 3994
4079 bytes: body of 4182, 1 record(s), http_ece reads 4079
4080 bytes: body of 4200, 2 record(s), http_ece reads 4080'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: web-push for Node makes bodies that are too long, and two records from 4080 bytes on'

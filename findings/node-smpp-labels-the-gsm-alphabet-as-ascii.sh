#!/usr/bin/env bash
# Guess: npm's smpp sends a plain text as octets of the alphabet that its data_coding names.
# Instead: the octets are of the GSM alphabet, but data_coding is 1, which SMPP defines as IA5, that is ASCII.
# A peer that goes by data_coding reads "@" as a NUL, "_" and "$" as control characters, "à" as DEL.
#
# Version: smpp 0.5.1 (npm) writes; aiosmpplib 0.7.4 (PyPI) reads.
# Source: SMPP 3.4, section 5.2.19 (data_coding 00000001 is IA5/ASCII); in smpp lib/defs.js the encoding "ASCII"
# holds the GSM 03.38 table, and encode() of filters.message picks its number. farhadi/node-smpp issues 40 and 181.
# Means: with such a client addresses and prices arrive broken at one carrier and right at another that takes 1 for
# its own alphabet. Senders: set data_coding 0 yourself. A server that takes clients of all kinds needs a setting per
# account, for the octets alone do not tell.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiosmpplib==0.7.4
npm install --silent --no-audit --no-fund smpp@0.5.1 >/dev/null
cat >write.js <<'JS'
const smpp = require('smpp');
for (const chosen of [{}, { data_coding: 0 }]) {
  const pdu = new smpp.PDU('submit_sm', {
    source_addr: '12025550123', destination_addr: '447700900123', short_message: 'a_b@example.org: $5', ...chosen,
  });
  console.log(pdu.toBuffer().toString('hex'));
}
JS
cat >read.py <<'PY'
import sys
from aiosmpplib import protocol, state

for line in sys.stdin:
    octets = bytes.fromhex(line)
    header = state.PduHeader(len(octets), state.SmppCommand.SUBMIT_SM, state.SmppCommandStatus.ESME_ROK, 1)
    read = protocol.SubmitSm.from_pdu(octets, header, "gsm0338", {})
    print(f"data_coding {octets[-22]} is read as {read.short_message!r}")
PY
seen=$(node write.js | venv/bin/python read.py)
expected="data_coding 1 is read as 'a\\x11b\\x00example.org: \\x025'
data_coding 0 is read as 'a_b@example.org: \$5'"
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: smpp (npm) calls GSM octets ASCII unless data_coding 0 is given'

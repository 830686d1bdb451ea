#!/usr/bin/env bash
# Guess: aiosmpplib reads the reference of a long text's parts alike, be it of 8 or 16 bits, so the parts can be joined.
# Instead: of a 16-bit reference it reads four octets in place of two: the number of parts and the part's own number
# are in it. Each part gets a reference of its own; 8-bit references are right.
#
# Version: aiosmpplib 0.7.4 (PyPI) reads; node-pdu 2.1.1 (npm), smpplib 2.2.4 and smpp34 1.5.0 (PyPI) write.
# Source: 3GPP TS 23.040, sections 9.2.3.24.1 (8 bits) and 9.2.3.24.8 (16 bits); SMPP 3.4, section 5.3.2.22
# (sar_msg_ref_num has two octets); in aiosmpplib/protocol.py decode_message() of SubmitSm.from_pdu takes "!I" there.
# Means: long texts from phones and gateways that use 16-bit references, of which node-pdu is one, never come together
# if parts are grouped by sar_msg_ref_num: the reader waits for parts that it has. Read the header yourself.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiosmpplib==0.7.4 smpplib==2.2.4 smpp34==1.5.0
npm install --silent --no-audit --no-fund node-pdu@2.1.1 >/dev/null
cat >write.js <<'JS'
const { Submit } = require('node-pdu');
const submit = new Submit('+447700900123', 'x'.repeat(200));
for (const part of submit.getPartStrings()) console.log(part);
JS
cat >read.py <<'PY'
import re, sys
import smpp34, smpplib.gsm
from aiosmpplib import protocol, state

def references(parts):
    for octets in parts:
        pdu = smpp34.SubmitSm("447700900123", "12025550123", octets, esm_class=0x40).encode()
        header = state.PduHeader(len(pdu), state.SmppCommand.SUBMIT_SM, state.SmppCommandStatus.ESME_ROK, 1)
        read = protocol.SubmitSm.from_pdu(pdu, header, "gsm0338")
        yield {option.tag: option.value for option in read.optional_params}[state.SAR_MSG_REF_NUM]

sixteen = [bytes.fromhex(re.search("060804........", line)[0]) + b"text" for line in sys.stdin]
eight, _, _ = smpplib.gsm.make_parts("x" * 200)
for name, parts in (("16", sixteen), ("8", eight)):
    read = list(references(parts))
    print(f"{name} bits: {len(parts)} parts, {len(set(read))} references")
PY
seen=$(node write.js | venv/bin/python read.py)
expected='16 bits: 2 parts, 2 references
8 bits: 2 parts, 1 references'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: aiosmpplib reads a 16-bit reference as 32 bits, other for each part of one text'

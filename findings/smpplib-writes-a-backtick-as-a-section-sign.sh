#!/usr/bin/env bash
# Guess: smpplib encodes only characters of the GSM alphabet as GSM, and each of them as what it is.
# Instead: a backtick, which the alphabet lacks, becomes 0x5F, the code of the section sign; the phone shows "§".
# The real section sign, which the alphabet has, makes the whole text UCS-2 (data_coding 8): 70 characters, not 160.
#
# Version: smpplib 2.2.4 (PyPI) writes; gsm0338 1.1.0 (PyPI) and smpp 0.5.1 (npm) read.
# Source: 3GPP TS 23.038, section 6.2.1: 0x5F is the section sign, and no code means a backtick. In smpplib/gsm.py
# GSM_CHARACTER_TABLE has a backtick at place 0x5F. The same character fills the free places of its second half.
# Means: a command, a code or a key with backticks arrives changed, and nothing is logged. A text with "§ 5", as
# lawyers and landlords write it, costs twice. Check a library's table against the standard, all 128 places of it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check smpplib==2.2.4 gsm0338==1.1.0
npm install --silent --no-audit --no-fund smpp@0.5.1 >/dev/null
cat >write.py <<'PY'
import gsm0338, smpplib.gsm

for text in ("run `ls`", "see § 5"):
    parts, coding, _ = smpplib.gsm.make_parts(text)
    read = gsm0338.Codec().decode(parts[0])[0] if coding == 0 else parts[0].decode("utf-16-be")
    print(f"{text} | data_coding {coding} | {parts[0].hex()} | gsm0338 reads: {read}")
PY
cat >read.js <<'JS'
const smpp = require('smpp');
const octets = Buffer.from(process.argv[2], 'hex');
console.log('smpp (npm) reads: ' + smpp.encodings.ASCII.decode(octets));
JS
seen=$(PYTHONIOENCODING=utf-8 venv/bin/python write.py; node read.js 72756e205f6c735f)
expected='run `ls` | data_coding 0 | 72756e205f6c735f | gsm0338 reads: run §ls§
see § 5 | data_coding 8 | 007300650065002000a700200035 | gsm0338 reads: see § 5
smpp (npm) reads: run §ls§'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: smpplib sends a backtick as a section sign, and a section sign as UCS-2'

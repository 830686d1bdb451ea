#!/usr/bin/env bash
# Guess: a time in milliseconds that Python packs as an integer is a number in JavaScript: it is far below 2**53.
# Instead: msgpackr gives a BigInt for each uint64, and Python packs whole numbers from 2**32 on as uint64. The type
# of a field changes with its value, and sums and JSON.stringify throw a TypeError. @msgpack/msgpack gives a number,
# but rounds ids above 2**53, which msgpackr reads exactly, and says nothing.
#
# Version: msgpack 1.2.4 (PyPI) writes; msgpackr 2.1.4 and @msgpack/msgpack 3.1.3 (npm) read.
# Source: msgpackr's README (int64AsType: bigint is the default) and unpack.js, case 0xcf; the MessagePack specification
# (uint 64); @msgpack/msgpack src/utils/int.ts, getUint64; kriszyp/msgpackr issue 78 and nodetool-ai/nodetool pull
# request 5179, where downloads above 4 GiB failed.
# Means: the sequence number of a busy chat breaks the web client at 4294967296, times break it at once. Use int64AsType
# 'auto' in msgpackr, and send ids that may pass 2**53 as text.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check msgpack==1.2.4
npm install --silent --no-audit --no-fund msgpackr@2.1.4 @msgpack/msgpack@3.1.3 >/dev/null
cat >write.py <<'PY'
import msgpack

for name, value in (("seq", 4294967295), ("seq", 4294967296), ("time", 1795860900000), ("id", 9007199254740993)):
    print(name, msgpack.packb(value).hex())
PY
cat >read.js <<'JS'
const libraries = { msgpackr: require('msgpackr').unpack, '@msgpack/msgpack': require('@msgpack/msgpack').decode };
for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\n')) {
  const [name, octets] = line.split(' ');
  for (const [library, read] of Object.entries(libraries)) {
    const value = read(Buffer.from(octets, 'hex'));
    let json;
    try { json = JSON.stringify(value); } catch (error) { json = error.constructor.name; }
    console.log(`${name} ${octets} ${library}: ${typeof value} ${value}, as JSON: ${json}`);
  }
}
JS
seen=$(venv/bin/python write.py | node read.js)
expected='seq ceffffffff msgpackr: number 4294967295, as JSON: 4294967295
seq ceffffffff @msgpack/msgpack: number 4294967295, as JSON: 4294967295
seq cf0000000100000000 msgpackr: bigint 4294967296, as JSON: TypeError
seq cf0000000100000000 @msgpack/msgpack: number 4294967296, as JSON: 4294967296
time cf000001a221a6a8a0 msgpackr: bigint 1795860900000, as JSON: TypeError
time cf000001a221a6a8a0 @msgpack/msgpack: number 1795860900000, as JSON: 1795860900000
id cf0020000000000001 msgpackr: bigint 9007199254740993, as JSON: TypeError
id cf0020000000000001 @msgpack/msgpack: number 9007199254740992, as JSON: 9007199254740992'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: msgpackr reads each uint64 as a BigInt, @msgpack/msgpack rounds it to a number'

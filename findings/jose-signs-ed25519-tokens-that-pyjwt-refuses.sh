#!/usr/bin/env bash
# Guess: a token and a key set that npm's jose makes with an Ed25519 key are read by PyJWT, which knows Ed25519.
# Instead: jose names the algorithm "Ed25519", as RFC 9864 wants it; PyJWT knows the same signature as "EdDSA" only. The
# token raises InvalidAlgorithmError, and a key with that "alg" is left out of a key set without a word.
#
# Version: jose 6.2.17 (npm) writes; PyJWT 2.15.1 and joserfc 1.8.0 (PyPI) read, both with cryptography 50.0.2.
# Source: RFC 9864, which deprecates "EdDSA" for JOSE; jpadilla/pyjwt issue 1190 and pull request 1199, both open;
# authlib/joserfc issue 76. In PyJWT jwt/algorithms.py, get_default_algorithms(), and jwt/api_jwk.py, PyJWKSet. joserfc
# reads both names, and warns of the old one.
# Means: when the service that signs moves to the new name, receivers in Python find "no key", as after a lost rotation.
# Let both names stand in the list of algorithms, sign with "EdDSA" while any reader is old, and test with key sets.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyjwt==2.15.1 joserfc==1.8.0 cryptography==50.0.2
npm install --silent --no-audit --no-fund jose@6.2.17 >/dev/null
cat >sign.mjs <<'JS'
import { SignJWT, exportJWK, generateKeyPair } from 'jose';

const { publicKey, privateKey } = await generateKeyPair('Ed25519', { extractable: true });
const tokens = [];
for (const alg of ['EdDSA', 'Ed25519']) {
  tokens.push(await new SignJWT({ sub: '+12025550123' }).setProtectedHeader({ alg }).sign(privateKey));
}
console.log(JSON.stringify({ tokens, key: await exportJWK(publicKey) }));
JS
cat >read.py <<'PY'
import json, sys, warnings
import jwt
from joserfc import jwk, jwt as other

warnings.simplefilter("ignore")
signed = json.load(sys.stdin)
plain = jwt.PyJWK(signed["key"]).key

def read(decode):
    try:
        return decode()["sub"]
    except Exception as error:
        return type(error).__name__

for token, name in zip(signed["tokens"], ("EdDSA", "Ed25519")):
    names = ["EdDSA", "Ed25519"]
    print(f"{name} token, PyJWT: {read(lambda: jwt.decode(token, plain, algorithms=names))}")
    print(f"{name} token, joserfc: {read(lambda: other.decode(token, jwk.import_key(signed['key']), names).claims)}")
keys = [{**signed["key"], "kid": name, "alg": name} for name in ("EdDSA", "Ed25519")]
print("PyJWT, keys of the set:", [key.key_id for key in jwt.PyJWKSet.from_dict({"keys": keys}).keys])
print("joserfc, keys of the set:", [key.kid for key in jwk.KeySet.import_key_set({"keys": keys}).keys])
PY
seen=$(node sign.mjs | venv/bin/python read.py)
expected="EdDSA token, PyJWT: +12025550123
EdDSA token, joserfc: +12025550123
Ed25519 token, PyJWT: InvalidAlgorithmError
Ed25519 token, joserfc: +12025550123
PyJWT, keys of the set: ['EdDSA']
joserfc, keys of the set: ['EdDSA', 'Ed25519']"
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: PyJWT knows Ed25519 signatures by the old name only'

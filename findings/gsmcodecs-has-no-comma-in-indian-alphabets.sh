#!/usr/bin/env bash
# Guess: gsmcodecs reads what phones send in the national alphabets of GSM, and 0x2C is a comma in each main table.
# Instead: in the ten Indian main tables 0x2C is an apostrophe, and there is no comma: "a," can't be encoded. Turkish
# and Portuguese have it. An extension code without a character is an error; the standard has phones show the default.
#
# Version: gsmcodecs 1.0.0 (PyPI).
# Source: 3GPP TS 23.038, A.3.4 to A.3.13, and 6.2.1.1 on codes that an extension lacks. Three independent copies of the
# tables have the comma: Android (GsmAlphabet.java, sLanguageTables), Firefox OS (ril_consts.js,
# PDU_NL_LOCKING_SHIFT_TABLES) and CyberChef (the tables of its GSM-7 functions).
# Means: each comma of a Hindi or Tamil text arrives as an apostrophe, and one odd code loses the whole text. Compare a
# table with two others before you use it, and decode leniently: a text that was sent must be shown.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check gsmcodecs==1.0.0
cat >read.py <<'PY'
import gsmcodecs

names = "Turkish - Portuguese Bengali Gujarati Hindi Kannada Malayalam Oriya Punjabi Tamil Telugu Urdu".split()
for number, name in enumerate(names, 1):
    if name == "-":
        continue
    codec = f"gsm23.038-{number}-{number}"
    try:
        written = "a,".encode(codec).hex()
    except UnicodeEncodeError:
        written = "an error"
    print(f"{name}: 0x2c is {b',' .decode(codec)!r}, 'a,' is {written}")
try:
    print(b"\x1bB".decode("gsm23.038-0-0"))
except UnicodeDecodeError:
    print("0x1b 0x42 is an error")
PY
seen=$(PYTHONIOENCODING=utf-8 venv/bin/python read.py)
expected="Turkish: 0x2c is ',', 'a,' is 612c
Portuguese: 0x2c is ',', 'a,' is 612c"
for name in Bengali Gujarati Hindi Kannada Malayalam Oriya Punjabi Tamil Telugu Urdu; do
  expected+="
$name: 0x2c is \"'\", 'a,' is an error"
done
expected+="
0x1b 0x42 is an error"
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: the Indian alphabets of gsmcodecs have an apostrophe in place of the comma'

#!/usr/bin/env bash
# Guess: an allOf that narrows a shared error schema's status to 404 works alike with `const: 404` and `enum: [404]`.
# Instead: with const openapi-python-client leaves the whole answer 404 out of the client; with enum it is there. The
# warning names no status code: in its place stands the repr of an object of the generator. The exit code is 0.
#
# Version: openapi-python-client 0.29.1 (PyPI), on a small OpenAPI 3.1 document.
# Source: OpenAPI 3.1, "Schema Object", is JSON Schema 2020-12, in which const has the meaning of an enum of one value
# (Validation, section 6.1.3); openapi_python_client parser/properties/merge_properties.py knows enums, but no const.
# Means: an API that describes its errors as RFC 9457 problems, each with its own status, gets a client that knows none
# of them and reads a 404 as nothing. Write enum with one value, and generate with --fail-on-warning in CI.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1
cat >document.py <<'PY'
import json, sys

problem = {"$ref": "#/components/schemas/Problem"}
member = {"const": {"type": "integer", "const": 404}, "enum": {"type": "integer", "enum": [404]}}[sys.argv[1]]
answers = {"404": {"allOf": [problem, {"properties": {"status": member}}]}, "409": problem}
print(json.dumps({
    "openapi": "3.1.0",
    "info": {"title": "Chat", "version": "1"},
    "paths": {"/messages": {"post": {"operationId": "send", "responses": {
        status: {"description": "Refused", "content": {"application/json": {"schema": schema}}}
        for status, schema in answers.items()
    }}}},
    "components": {"schemas": {"Problem": {
        "type": "object", "required": ["status"], "properties": {"status": {"type": "integer"}},
    }}},
}))
PY
generate() {
  venv/bin/python document.py "$1" >"$1.json"
  PATH="$work/venv/bin:$PATH" COLUMNS=400 venv/bin/openapi-python-client generate --path "$1.json" \
    --output-path "client-$1" --meta none >"$1.log" 2>&1 && echo "$1: exit 0, the client reads" \
    "$(grep -oE 'status_code == [0-9]+' "client-$1/api/default/send.py" | grep -oE '[0-9]+' | paste -sd ' ')"
  grep -E '^Cannot parse' "$1.log" | sed -E 's/0x[0-9a-f]+/0x…/' || true
}
seen=$(generate enum; generate const)
expected="enum: exit 0, the client reads 404 409
const: exit 0, the client reads 409
Cannot parse response for status code <openapi_python_client.schema.untrusted_string.UntrustedString object at 0x…> \
(int can't be merged with Literal[404]), response will be omitted from generated client"
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: openapi-python-client drops an answer whose schema narrows a member by const in an allOf'

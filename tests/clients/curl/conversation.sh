#!/bin/sh
# A conversation of two people by curl with no option that changes how it speaks HTTP.
#
# Arguments: the server's base URL and two phone numbers in E.164 form. Files go to the current directory.
set -eu

base=$1
anas_phone=$2
bens_phone=$3
patience=30 # seconds

fail() {
    echo "$*" >&2
    exit 1
}

ok() {
    echo "OK $1"
}

# equal WHAT EXPECTED ACTUAL
equal() {
    [ "$2" = "$3" ] || fail "$1 is $3, not $2"
}

# ask STATUS TOKEN METHOD PATH [BODY]: leaves the answer's head and body in the files `head` and `body`.
ask() {
    expected=$1 token=$2 method=$3 path=$4
    shift 4
    set -- ${1:+--header 'Content-Type: application/json' --data "$1"}
    if [ "$method" = HEAD ]; then
        set -- --head
    else
        set -- --request "$method" "$@"
    fi
    : >body
    status=$(curl --silent --show-error --max-time $patience --dump-header head --output body \
        --write-out '%{http_code}' --header "Authorization: Bearer $token" "$@" "$base$path")
    [ "$status" = "$expected" ] || fail "$method $path was answered by $status $(cat body), not $expected"
}

# field NAME: the first scalar of this name in the file `body`. Texts here have no comma, so that this needs no parser.
field() {
    tr ',{}[]' '\n\n\n\n\n' <body | sed -n "s/^\"$1\":\"\{0,1\}\([^\"]*\).*/\1/p" | head -n 1
}

send() {
    ask 201 "$1" POST "/v1/chats/$chat/messages" "{\"text\":\"$2\",\"client_id\":\"$2\"}"
}

# until_line PATTERN FILE: waits until a line matches.
until_line() {
    tries=0
    until grep -q "$1" "$2" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt $((patience * 20)) ] || fail "no $1 came: $(cat "$2")"
        sleep 0.05
    done
}

ask 201 '' POST /v1/sessions "{\"phone\":\"$anas_phone\"}"
ana=$(field token)
ask 201 '' POST /v1/sessions "{\"phone\":\"$bens_phone\"}"
ben=$(field token)
ok 'sign in'

hello="{\"to\":\"$bens_phone\",\"text\":\"Hello Ben\",\"client_id\":\"curl-1\"}"
ask 201 "$ana" POST /v1/messages "$hello"
equal 'the seq of the first message' 1 "$(field seq)"
chat=$(field chat_id)
id=$(field id)
ok 'send'

ask 200 "$ana" POST /v1/messages "$hello"
grep -qi '^idempotent-replayed: true' head || fail "no Idempotent-Replayed in $(cat head)"
equal 'the id of the repeated message' "$id" "$(field id)"
ok 'repeat'

ask 200 "$ben" GET /v1/chats
equal unread 1 "$(field unread)"
ok 'list chats'

send "$ana" curl-2
send "$ana" curl-3
ask 200 "$ana" GET "/v1/chats/$chat/messages?limit=2"
equal 'the first seq of the newest page' 2 "$(field seq)"
equal has_more_before true "$(field has_more_before)"
ask 200 "$ana" GET "/v1/chats/$chat/messages?limit=2&before=2"
equal 'the text of the oldest message' 'Hello Ben' "$(field text)"
equal has_more_before false "$(field has_more_before)"
ok 'page'

ask 204 "$ben" PUT "/v1/chats/$chat/read" '{"seq":3}'
ask 200 "$ana" GET "/v1/chats/$chat/messages?after=2"
equal 'the status' read "$(field status)"
ok 'mark read'

ask 200 "$ben" GET '/v1/events?limit=500'
latest=$(field next)
curl --silent --show-error --max-time $patience --header "Authorization: Bearer $ben" \
    "$base/v1/events?wait=20&after=$latest" >polled &
poll=$!
send "$ana" curl-poll
wait $poll
grep -q '"type":"message.created".*"text":"curl-poll"' polled || fail "the long poll told $(cat polled)"
ok 'long poll'

curl --silent --show-error --no-buffer --max-time $patience --header "Authorization: Bearer $ben" \
    "$base/v1/events/stream" >streamed &
stream=$!
until_line '^event: ready$' streamed
send "$ana" curl-stream
until_line '"text":"curl-stream"' streamed
kill $stream
ok 'stream'

ask 200 "$ben" HEAD /v1/me
ok 'head'

ask 204 "$ben" DELETE /v1/sessions/current
ask 401 "$ben" GET /v1/me
equal 'the code' not_signed_in "$(field code)"
ok 'sign out'

#!/usr/bin/env bash
# Guess: a push of two letters is a small request, whichever library sends it.
# Instead: webpush-go pads every payload to a body of 4096 bytes; npm's web-push adds no padding, so 2 letters make 105
# bytes. With RecordSize 3070 the Go library sends 3070 bytes for each. Neither says so where the option is described.
#
# Version: github.com/SherClockHolmes/webpush-go v1.4.0 and web-push 3.6.7 (npm), for one subscription.
# Source: webpush-go's webpush.go, pad() and MaxRecordSize; its issues 23 and 35: Firefox for Android refused every such
# push with 413, for its limit was 3070 bytes; RFC 8188, section 2 (padding is the sender's choice).
# Means: with Go each "typing" costs the phone 4 KB and may be refused by a service with a smaller limit; with Node the
# length of the message is readable for the push service. Choose: in Go set RecordSize, in Node pad the text yourself.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"

export GOPATH="$work/go" GOFLAGS=-modcacherw
npm install --silent --no-audit --no-fund web-push@3.6.7 >/dev/null
cat >keys.js <<'JS'
const crypto = require('crypto');
const phone = crypto.createECDH('prime256v1');
phone.generateKeys();
console.log(phone.getPublicKey('base64url'), crypto.randomBytes(16).toString('base64url'));
JS
cat >send.js <<'JS'
const push = require('web-push');
const [p256dh, auth] = process.argv.slice(2);
const vapidDetails = { subject: 'mailto:chat@example.org', ...push.generateVAPIDKeys() };
const subscription = { endpoint: 'https://push.example.org/1', keys: { p256dh, auth } };
for (const size of [2, 200]) {
  const { body } = push.generateRequestDetails(subscription, 'x'.repeat(size), { vapidDetails });
  console.log(`Node, ${size} letters: ${body.length} bytes`);
}
JS
cat >send.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	webpush "github.com/SherClockHolmes/webpush-go"
)

type service struct{ label string }

func (s service) Do(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	fmt.Printf("Go, %s: %d bytes\n", s.label, len(body))
	return &http.Response{StatusCode: 201, Body: http.NoBody}, err
}

func main() {
	private, public, err := webpush.GenerateVAPIDKeys()
	for _, size := range []int{2, 200} {
		for _, record := range []uint32{0, 3070} {
			label := fmt.Sprintf("%d letters, RecordSize %d", size, record)
			_, err = webpush.SendNotification([]byte(strings.Repeat("x", size)),
				&webpush.Subscription{Endpoint: "https://push.example.org/1",
					Keys: webpush.Keys{P256dh: os.Args[1], Auth: os.Args[2]}},
				&webpush.Options{HTTPClient: service{label}, RecordSize: record, Subscriber: "chat@example.org",
					VAPIDPublicKey: public, VAPIDPrivateKey: private})
			if err != nil {
				panic(err)
			}
		}
	}
}
GO
go mod init example.org/send 2>/dev/null
go get github.com/SherClockHolmes/webpush-go@v1.4.0 2>/dev/null
keys=$(node keys.js)
# shellcheck disable=SC2086 # two words: the public key and the secret
seen=$(go run send.go $keys; node send.js $keys)
expected='Go, 2 letters, RecordSize 0: 4096 bytes
Go, 2 letters, RecordSize 3070: 3070 bytes
Go, 200 letters, RecordSize 0: 4096 bytes
Go, 200 letters, RecordSize 3070: 3070 bytes
Node, 2 letters: 105 bytes
Node, 200 letters: 303 bytes'
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { printf 'changed; seen before:\n%s\n' "$expected"; exit 1; }
echo 'holds: webpush-go pads each push to the whole record, web-push for Node pads nothing'

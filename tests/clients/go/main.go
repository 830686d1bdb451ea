// A conversation of two people by Go's http.DefaultClient.
//
// Arguments: the server's base URL and two phone numbers in E.164 form.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

const patience = 30 * time.Second

var base string

type object = map[string]any

// An answer whose body was read whole.
type answer struct {
	status int
	header http.Header
	text   string
	body   object
}

func main() {
	log.SetFlags(0)
	base = os.Args[1]
	hold(os.Args[2], os.Args[3])
}

func hold(anasPhone, bensPhone string) {
	ana, ben := signIn(anasPhone), signIn(bensPhone)
	ok("sign in")

	hello := object{"to": bensPhone, "text": "Hello Ben", "client_id": "go-1"}
	first := ask(201, ana, "POST", "/v1/messages", hello)
	equal("the seq of the first message", 1.0, first.body["seq"])
	chat := first.body["chat_id"].(string)
	ok("send")

	again := ask(200, ana, "POST", "/v1/messages", hello)
	equal("Idempotent-Replayed", "true", again.header.Get("Idempotent-Replayed"))
	equal("the id of the repeated message", first.body["id"], again.body["id"])
	ok("repeat")

	equal("unread", 1.0, items(ask(200, ben, "GET", "/v1/chats", nil))[0]["unread"])
	ok("list chats")

	page(ana, chat)
	ok("page")

	ask(204, ben, "PUT", "/v1/chats/"+chat+"/read", object{"seq": 3})
	last := items(ask(200, ana, "GET", "/v1/chats/"+chat+"/messages?after=2", nil))[0]
	equal("the status", "read", last["status"])
	ok("mark read")

	longPoll(ana, ben, chat)
	ok("long poll")
	stream(ana, ben, chat)
	ok("stream")

	head := ask(200, ben, "HEAD", "/v1/me", nil)
	equal("the body of an answer to HEAD", "", head.text)
	ok("head")

	ask(204, ben, "DELETE", "/v1/sessions/current", nil)
	equal("the code", "not_signed_in", ask(401, ben, "GET", "/v1/me", nil).body["code"])
	ok("sign out")
}

func signIn(phone string) string {
	return ask(201, "", "POST", "/v1/sessions", object{"phone": phone}).body["token"].(string)
}

func page(ana, chat string) {
	send(ana, chat, "go-2")
	send(ana, chat, "go-3")
	newest := ask(200, ana, "GET", "/v1/chats/"+chat+"/messages?limit=2", nil)
	equal("the first seq of the newest page", 2.0, items(newest)[0]["seq"])
	equal("has_more_before", true, newest.body["has_more_before"])
	oldest := ask(200, ana, "GET", "/v1/chats/"+chat+"/messages?limit=2&before=2", nil)
	equal("the text of the oldest message", "Hello Ben", items(oldest)[0]["text"])
	equal("has_more_before", false, oldest.body["has_more_before"])
}

func longPoll(ana, ben, chat string) {
	latest := ask(200, ben, "GET", "/v1/events?limit=500", nil).body["next"]
	polled := make(chan answer, 1)
	go func() {
		polled <- ask(200, ben, "GET", fmt.Sprintf("/v1/events?wait=20&after=%v", latest), nil)
	}()
	send(ana, chat, "go-poll")
	event := items(<-polled)[0]
	equal("the type of the event", "message.created", event["type"])
	equal("the text of the event", "go-poll", event["data"].(object)["text"])
}

func stream(ana, ben, chat string) {
	response := open(ben, "GET", "/v1/events/stream", nil)
	defer response.Body.Close()
	equal("the status of the stream", 200, response.StatusCode)
	lines := bufio.NewScanner(response.Body)
	until(lines, "event: ready")
	send(ana, chat, "go-stream")
	until(lines, "event: message.created")
	lines.Scan()
	var event object
	check(json.Unmarshal([]byte(strings.TrimPrefix(lines.Text(), "data: ")), &event))
	equal("the text of the event", "go-stream", event["data"].(object)["text"])
}

func until(lines *bufio.Scanner, wanted string) {
	for lines.Scan() {
		if lines.Text() == wanted {
			return
		}
	}
	log.Fatalf("the stream ended before %q: %v", wanted, lines.Err())
}

func send(token, chat, text string) {
	ask(201, token, "POST", "/v1/chats/"+chat+"/messages", object{"text": text, "client_id": text})
}

func ask(status int, token, method, path string, body object) answer {
	response := open(token, method, path, body)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode != status {
		log.Fatalf("%s %s was answered by %s %s, not %d", method, path, response.Status, text, status)
	}
	read := answer{response.StatusCode, response.Header, string(text), nil}
	if len(text) > 0 {
		check(json.Unmarshal(text, &read.body))
	}
	return read
}

func open(token, method, path string, body object) *http.Response {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		check(err)
		content = strings.NewReader(string(encoded))
	}
	request, err := http.NewRequest(method, base+path, content)
	check(err)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	overdue := time.AfterFunc(patience, func() { log.Fatalf("%s %s was not answered in %s", method, path, patience) })
	defer overdue.Stop()
	response, err := http.DefaultClient.Do(request)
	check(err)
	return response
}

func items(page answer) []object {
	var found []object
	for _, item := range page.body["items"].([]any) {
		found = append(found, item.(object))
	}
	if len(found) == 0 {
		log.Fatalf("no items in %s", page.text)
	}
	return found
}

func equal(what string, expected, actual any) {
	if expected != actual {
		log.Fatalf("%s is %v, not %v", what, actual, expected)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func ok(step string) {
	fmt.Println("OK", step)
}

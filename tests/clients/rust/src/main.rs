//! A conversation of two people by `ureq`, Rust's most used HTTP client that needs no async runtime.
//!
//! Arguments: the server's base URL and two phone numbers in E.164 form.

use serde_json::{json, Value};
use std::env;
use std::io::{BufRead, BufReader, Lines, Read};
use std::thread;
use std::time::Duration;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Client {
    agent: Agent,
    base: String,
}

/// An answer whose body was read whole.
struct Answer {
    replayed: bool,
    text: String,
    body: Value,
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_recv_response(Some(PATIENCE))
        .build();
    let client = Client { agent: config.into(), base: arguments[1].clone() };
    hold(&client, &arguments[2], &arguments[3]);
}

fn hold(client: &Client, anas_phone: &str, bens_phone: &str) {
    let (ana, ben) = (client.sign_in(anas_phone), client.sign_in(bens_phone));
    ok("sign in");

    let hello = json!({"to": bens_phone, "text": "Hello Ben", "client_id": "rust-1"});
    let first = client.ask(201, &ana, "POST", "/v1/messages", Some(&hello));
    assert_eq!(first.body["seq"], 1);
    let chat = first.body["chat_id"].as_str().expect("no chat_id");
    ok("send");

    let again = client.ask(200, &ana, "POST", "/v1/messages", Some(&hello));
    assert!(again.replayed, "no Idempotent-Replayed: true");
    assert_eq!(again.body, first.body);
    ok("repeat");

    assert_eq!(client.get(&ben, "/v1/chats")["items"][0]["unread"], 1);
    ok("list chats");

    page(client, &ana, chat);
    ok("page");

    client.ask(204, &ben, "PUT", &format!("/v1/chats/{chat}/read"), Some(&json!({"seq": 3})));
    let last = client.get(&ana, &format!("/v1/chats/{chat}/messages?after=2"));
    assert_eq!(last["items"][0]["status"], "read");
    ok("mark read");

    long_poll(client, &ana, &ben, chat);
    ok("long poll");
    stream(client, &ana, &ben, chat);
    ok("stream");

    assert_eq!(client.ask(200, &ben, "HEAD", "/v1/me", None).text, "");
    ok("head");

    client.ask(204, &ben, "DELETE", "/v1/sessions/current", None);
    let refused = client.ask(401, &ben, "GET", "/v1/me", None);
    assert_eq!(refused.body["code"], "not_signed_in");
    ok("sign out");
}

fn page(client: &Client, ana: &str, chat: &str) {
    client.send(ana, chat, "rust-2");
    client.send(ana, chat, "rust-3");
    let newest = client.get(ana, &format!("/v1/chats/{chat}/messages?limit=2"));
    assert_eq!(newest["items"][0]["seq"], 2);
    assert_eq!(newest["has_more_before"], true);
    let oldest = client.get(ana, &format!("/v1/chats/{chat}/messages?limit=2&before=2"));
    assert_eq!(oldest["items"][0]["text"], "Hello Ben");
    assert_eq!(oldest["has_more_before"], false);
}

fn long_poll(client: &Client, ana: &str, ben: &str, chat: &str) {
    let latest = client.get(ben, "/v1/events?limit=500")["next"].to_string();
    let (polling, token) = (client.clone(), ben.to_string());
    let polled = thread::spawn(move || polling.get(&token, &format!("/v1/events?wait=20&after={latest}")));
    client.send(ana, chat, "rust-poll");
    let event = &polled.join().expect("the long poll failed")["items"][0];
    assert_eq!(event["type"], "message.created");
    assert_eq!(event["data"]["text"], "rust-poll");
}

fn stream(client: &Client, ana: &str, ben: &str, chat: &str) {
    let response = client.open(ben, "GET", "/v1/events/stream", None);
    assert_eq!(response.status(), 200);
    let mut lines = BufReader::new(response.into_body().into_reader()).lines();
    until(&mut lines, "event: ready");
    client.send(ana, chat, "rust-stream");
    until(&mut lines, "event: message.created");
    let data = lines.next().expect("the stream ended").expect("the stream failed");
    let event: Value = serde_json::from_str(data.trim_start_matches("data: ")).expect("not JSON");
    assert_eq!(event["data"]["text"], "rust-stream");
}

fn until(lines: &mut Lines<impl BufRead>, wanted: &str) {
    for line in lines {
        if line.expect("the stream failed") == wanted {
            return;
        }
    }
    panic!("the stream ended before: {wanted}");
}

fn ok(step: &str) {
    println!("OK {step}");
}

impl Client {
    fn sign_in(&self, phone: &str) -> String {
        let answer = self.ask(201, "", "POST", "/v1/sessions", Some(&json!({"phone": phone})));
        answer.body["token"].as_str().expect("no token").to_string()
    }

    fn send(&self, token: &str, chat: &str, text: &str) {
        let body = json!({"text": text, "client_id": text});
        self.ask(201, token, "POST", &format!("/v1/chats/{chat}/messages"), Some(&body));
    }

    fn get(&self, token: &str, path: &str) -> Value {
        self.ask(200, token, "GET", path, None).body
    }

    fn ask(&self, status: u16, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let response = self.open(token, method, path, body);
        let found = response.status();
        let replayed = response.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
        let mut text = String::new();
        response.into_body().into_reader().read_to_string(&mut text).expect("the body can't be read");
        assert_eq!(found, status, "{method} {path} was answered by {text}");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("not JSON") };
        Answer { replayed, text, body }
    }

    fn open(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !token.is_empty() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = match body {
            None => self.agent.run(request.body(()).expect("no request")),
            Some(body) => {
                let request = request.header("Content-Type", "application/json");
                self.agent.run(request.body(body.to_string()).expect("no request"))
            }
        };
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

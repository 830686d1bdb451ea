import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A conversation of two people by Java's own HTTP client, as `HttpClient.newHttpClient()` gives it: it prefers HTTP/2,
 * so that each request offers the upgrade to h2c.
 *
 * Arguments: the server's base URL and two phone numbers in E.164 form.
 */
public final class Conversation {
    private static final long PATIENCE = 30; // seconds

    private final HttpClient client = HttpClient.newHttpClient();
    private final String base;

    private Conversation(String base) {
        this.base = base;
    }

    public static void main(String[] arguments) throws Exception {
        new Conversation(arguments[0]).hold(arguments[1], arguments[2]);
    }

    private void hold(String anasPhone, String bensPhone) throws Exception {
        String ana = signIn(anasPhone);
        String ben = signIn(bensPhone);
        ok("sign in");

        String hello = "{\"to\":\"" + bensPhone + "\",\"text\":\"Hello Ben\",\"client_id\":\"java-1\"}";
        HttpResponse<String> first = ask(ana, "POST", "/v1/messages", hello);
        expect(first, 201);
        equal("the seq of the first message", "1", field(first, "seq"));
        String chat = field(first, "chat_id");
        ok("send");

        HttpResponse<String> again = ask(ana, "POST", "/v1/messages", hello);
        expect(again, 200);
        equal("Idempotent-Replayed", "true", again.headers().firstValue("Idempotent-Replayed").orElse("absent"));
        equal("the id of the repeated message", field(first, "id"), field(again, "id"));
        ok("repeat");

        HttpResponse<String> chats = ask(ben, "GET", "/v1/chats", null);
        expect(chats, 200);
        equal("unread", "1", field(chats, "unread"));
        ok("list chats");

        page(ana, chat);
        ok("page");

        expect(ask(ben, "PUT", "/v1/chats/" + chat + "/read", "{\"seq\":3}"), 204);
        equal("the status", "read", field(ask(ana, "GET", "/v1/chats/" + chat + "/messages?after=2", null), "status"));
        ok("mark read");

        longPoll(ana, ben, chat);
        ok("long poll");
        stream(ana, ben, chat);
        ok("stream");
        socket(ana, ben, chat);
        ok("socket");

        HttpResponse<String> head = ask(ben, "HEAD", "/v1/me", null);
        expect(head, 200);
        equal("the body of an answer to HEAD", "", head.body());
        ok("head");

        expect(ask(ben, "DELETE", "/v1/sessions/current", null), 204);
        HttpResponse<String> refused = ask(ben, "GET", "/v1/me", null);
        expect(refused, 401);
        equal("the code", "not_signed_in", field(refused, "code"));
        ok("sign out");
    }

    private String signIn(String phone) throws Exception {
        HttpResponse<String> answer = ask(null, "POST", "/v1/sessions", "{\"phone\":\"" + phone + "\"}");
        expect(answer, 201);
        return field(answer, "token");
    }

    private void page(String ana, String chat) throws Exception {
        send(ana, chat, "java-2");
        send(ana, chat, "java-3");
        HttpResponse<String> newest = ask(ana, "GET", "/v1/chats/" + chat + "/messages?limit=2", null);
        expect(newest, 200);
        equal("the first seq of the newest page", "2", field(newest, "seq"));
        equal("has_more_before", "true", field(newest, "has_more_before"));
        HttpResponse<String> oldest = ask(ana, "GET", "/v1/chats/" + chat + "/messages?limit=2&before=2", null);
        equal("the text of the oldest message", "Hello Ben", field(oldest, "text"));
        equal("has_more_before", "false", field(oldest, "has_more_before"));
    }

    private void longPoll(String ana, String ben, String chat) throws Exception {
        String latest = field(ask(ben, "GET", "/v1/events?limit=500", null), "next");
        CompletableFuture<HttpResponse<String>> waiting = client.sendAsync(
                request(ben, "GET", "/v1/events?wait=20&after=" + latest, null), BodyHandlers.ofString());
        send(ana, chat, "java-poll");
        HttpResponse<String> page = waiting.get(PATIENCE, TimeUnit.SECONDS);
        expect(page, 200);
        equal("the type of the event", "message.created", field(page, "type"));
        equal("the text of the event", "java-poll", field(page, "text"));
    }

    private void stream(String ana, String ben, String chat) throws Exception {
        HttpResponse<InputStream> answer =
                client.send(request(ben, "GET", "/v1/events/stream", null), BodyHandlers.ofInputStream());
        equal("the status of the stream", "200", "" + answer.statusCode());
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(answer.body(), StandardCharsets.UTF_8))) {
            until(lines, "event: ready");
            send(ana, chat, "java-stream");
            until(lines, "event: message.created");
            equal("the text of the event", "java-stream", field(lines.readLine(), "text"));
        }
    }

    private static void until(BufferedReader lines, String wanted) throws Exception {
        for (String line = lines.readLine(); !wanted.equals(line); line = lines.readLine()) {
            if (line == null) {
                throw new IllegalStateException("the stream ended before: " + wanted);
            }
        }
    }

    private void socket(String ana, String ben, String chat) throws Exception {
        Frames frames = new Frames();
        WebSocket socket = client.newWebSocketBuilder()
                .subprotocols("duologue.v1")
                .buildAsync(URI.create(base.replaceFirst("^http", "ws") + "/v1/socket"), frames)
                .get(PATIENCE, TimeUnit.SECONDS);
        equal("the subprotocol", "duologue.v1", socket.getSubprotocol());
        socket.sendText("{\"op\":\"hello\",\"token\":\"" + ben + "\"}", true).join();
        frames.until("ready");
        send(ana, chat, "java-event");
        equal("the text of the event", "java-event", field(frames.until("event"), "text"));
        String words = "\"text\":\"Hello Ana\",\"client_id\":\"java-socket\"";
        socket.sendText("{\"op\":\"send\",\"chat_id\":\"" + chat + "\"," + words + "}", true).join();
        equal("the text that was sent", "Hello Ana", field(frames.until("sent"), "text"));
        socket.sendClose(WebSocket.NORMAL_CLOSURE, "").join();
        equal("the close code", "1000", frames.until("close"));
    }

    private void send(String token, String chat, String text) throws Exception {
        String body = "{\"text\":\"" + text + "\",\"client_id\":\"" + text + "\"}";
        expect(ask(token, "POST", "/v1/chats/" + chat + "/messages", body), 201);
    }

    private HttpResponse<String> ask(String token, String method, String path, String body) throws Exception {
        return client.send(request(token, method, path, body), BodyHandlers.ofString());
    }

    private HttpRequest request(String token, String method, String path, String body) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(base + path));
        if (token != null) {
            builder.header("Authorization", "Bearer " + token);
        }
        if (body == null) {
            return builder.method(method, BodyPublishers.noBody()).build();
        }
        return builder.header("Content-Type", "application/json")
                .method(method, BodyPublishers.ofString(body))
                .build();
    }

    private static void expect(HttpResponse<String> answer, int status) {
        if (answer.statusCode() != status) {
            String found = answer.statusCode() + " " + answer.body();
            throw new IllegalStateException(answer.request() + " was answered by " + found + ", not " + status);
        }
    }

    private static String field(HttpResponse<String> answer, String name) {
        return field(answer.body(), name);
    }

    /** The first scalar of this name in a JSON text. Java has no JSON parser of its own. */
    private static String field(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\":\"?([^\",}]*)").matcher(json);
        if (!found.find()) {
            throw new IllegalStateException("no " + name + " in " + json);
        }
        return found.group(1);
    }

    private static void equal(String what, String expected, String actual) {
        if (!expected.equals(actual)) {
            throw new IllegalStateException(what + " is " + actual + ", not " + expected);
        }
    }

    private static void ok(String step) {
        System.out.println("OK " + step);
    }

    /** The frames of a socket, in order; its end is a frame too. */
    private static final class Frames implements WebSocket.Listener {
        private final BlockingQueue<String> received = new LinkedBlockingQueue<>();
        private final StringBuilder text = new StringBuilder();

        String until(String op) throws InterruptedException {
            while (true) {
                String frame = received.poll(PATIENCE, TimeUnit.SECONDS);
                if (frame == null) {
                    throw new IllegalStateException("no frame came: " + op);
                }
                if (op.equals("close") ? frame.matches("\\d+") : frame.startsWith("{\"op\":\"" + op + "\"")) {
                    return frame;
                }
                if (frame.contains("error")) {
                    throw new IllegalStateException(frame);
                }
            }
        }

        @Override
        public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
            text.append(data);
            if (last) {
                received.add(text.toString());
                text.setLength(0);
            }
            socket.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            received.add(Integer.toString(code));
            return null;
        }

        @Override
        public void onError(WebSocket socket, Throwable error) {
            received.add("error: " + error);
        }
    }
}

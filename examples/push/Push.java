import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Pushes to a user with java.net.http: java Push.java USER ORDER, with PUSHGATE_KEY (and PUSHGATE_API) set. Java 17 or
 * newer; no library. (With a JSON library of yours, `quote` goes.)
 */
public class Push {
    private static final String API = System.getenv().getOrDefault("PUSHGATE_API", "http://127.0.0.1:8001");
    private static final HttpClient HTTP =
        HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build();

    public static void main(String[] args) throws Exception {
        String user = quote(args[0]), order = quote(args[1]), id = quote("order-" + args[1] + "-paid");

        // Live: for who is there now. It is not repeated, since a moment later it is worth nothing.
        String live = "{\"user\": %s, \"event\": \"packing\", \"data\": {\"order\": %s}}";
        System.out.println(push(live.formatted(user, order)).body());

        // Reliable: kept until every device of the user has it, or its ttl (in seconds) is over.
        String paid = """
            {"user": %s, "event": "paid", "data": {"order": %s}, "qos": "reliable", "ttl": 86400, "id": %s}""";
        System.out.println(pushReliably(paid.formatted(user, order, id)).body());
    }

    /** Pushes once. */
    private static HttpResponse<String> push(String body) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(API + "/v1/push"))
            .header("Authorization", "Bearer " + System.getenv("PUSHGATE_KEY"))
            .header("Content-Type", "application/json")
            .timeout(Duration.ofSeconds(10))
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
        return HTTP.send(request, HttpResponse.BodyHandlers.ofString());
    }

    /** Pushes until it is stored, for 90 s. Repeating is safe for two minutes, because of the id in the body. */
    private static HttpResponse<String> pushReliably(String body) throws IOException, InterruptedException {
        long until = System.nanoTime() + Duration.ofSeconds(90).toNanos();
        for (long wait = 500; ; wait = Math.min(wait * 2, 16_000)) {
            long pause = ThreadLocalRandom.current().nextLong(wait);
            try {
                HttpResponse<String> answer = push(body);
                if (answer.statusCode() == 202) {
                    return answer;
                }
                if (answer.statusCode() != 429 && answer.statusCode() < 500) {
                    throw new IllegalArgumentException(answer.body());
                }
                pause += 1000 * answer.headers().firstValueAsLong("Retry-After").orElse(0);
            } catch (IOException noAnswer) {
                // It may be stored or not: again.
            }
            if (System.nanoTime() + pause * 1_000_000 > until) {
                throw new IOException("the gateway did not take the push in time");
            }
            Thread.sleep(pause);
        }
    }

    /** Returns a JSON string. */
    private static String quote(String text) {
        StringBuilder json = new StringBuilder("\"");
        for (char each : text.toCharArray()) {
            json.append(each < ' ' || each == '"' || each == '\\' ? "\\u%04x".formatted((int) each) : each);
        }
        return json.append('"').toString();
    }
}

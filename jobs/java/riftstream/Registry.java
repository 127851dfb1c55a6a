package riftstream;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/**
 * The three questions that a format asks a Schema Registry (Confluent API v7): which schema has this id, which id
 * has this schema, and, where it has none, register it.
 *
 * <p>A registry that is away is asked again for about ten seconds; then the call throws, and the job restarts.
 */
final class Registry {
    private static final int ATTEMPTS = 6;
    private static final int CONNECT_TIMEOUT_MS = 5_000;
    private static final int READ_TIMEOUT_MS = 10_000;
    private static final int SCHEMA_NOT_FOUND = 40403;
    private static final int SUBJECT_NOT_FOUND = 40401;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String url;

    Registry(String url) {
        this.url = url.endsWith("/") ? url.substring(0, url.length() - 1) : url;
    }

    /** One answer of the registry. */
    private record Answer(int status, JsonNode body) {
        boolean notFound() {
            int code = body.path("error_code").asInt();
            return status == 404 && (code == SCHEMA_NOT_FOUND || code == SUBJECT_NOT_FOUND);
        }
    }

    /**
     * The Avro schema with this id, as JSON text; null where the registry has no such id.
     *
     * @throws WrongSchema the id names a schema that is not Avro
     * @throws IOException the registry is away or failed
     */
    String schema(int id) throws IOException, WrongSchema {
        Answer answer = ask("GET", "/schemas/ids/" + id, null);
        if (answer.notFound()) {
            return null;
        }
        require(answer, "schema id " + id);
        String kind = answer.body.path("schemaType").asText("AVRO");
        if (!kind.equals("AVRO")) {
            throw new WrongSchema("schema id " + id + " is " + kind + ", not Avro");
        }
        return answer.body.get("schema").asText();
    }

    /**
     * The id under which a subject holds a schema; registers the schema where the subject lacks it.
     *
     * @throws IOException the registry is away, failed, or refused the schema
     */
    int id(String subject, String schema) throws IOException {
        String path = "/subjects/" + URLEncoder.encode(subject, StandardCharsets.UTF_8);
        String body = JSON.createObjectNode().put("schema", schema).toString();
        Answer answer = ask("POST", path, body);
        if (answer.notFound()) {
            answer = ask("POST", path + "/versions", body);
        }
        require(answer, "the schema of " + subject);
        return answer.body.get("id").asInt();
    }

    private void require(Answer answer, String what) throws IOException {
        if (answer.status != 200) {
            throw new IOException(
                    "Schema Registry " + url + " answered " + answer.status + " for " + what + ": " + answer.body);
        }
    }

    private Answer ask(String method, String path, String body) throws IOException {
        IOException last = null;
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            if (attempt > 0) {
                pause(200L << attempt);
            }
            try {
                Answer answer = once(method, path, body);
                if (answer.status < 500) {
                    return answer;
                }
                last = new IOException("Schema Registry " + url + " answered " + answer.status + ": " + answer.body);
            } catch (IOException cause) {
                last = new IOException("Schema Registry " + url + " does not answer", cause);
            }
        }
        throw last;
    }

    private Answer once(String method, String path, String body) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) URI.create(url + path).toURL().openConnection();
        connection.setRequestMethod(method);
        connection.setConnectTimeout(CONNECT_TIMEOUT_MS);
        connection.setReadTimeout(READ_TIMEOUT_MS);
        connection.setRequestProperty("Accept", "application/vnd.schemaregistry.v1+json, application/json");
        if (body != null) {
            connection.setDoOutput(true);
            connection.setRequestProperty("Content-Type", "application/vnd.schemaregistry.v1+json");
            try (OutputStream out = connection.getOutputStream()) {
                out.write(body.getBytes(StandardCharsets.UTF_8));
            }
        }
        int status = connection.getResponseCode();
        try (InputStream in = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            return new Answer(status, parse(in == null ? new byte[0] : in.readAllBytes()));
        }
    }

    private static JsonNode parse(byte[] bytes) {
        try {
            JsonNode node = JSON.readTree(bytes);
            return node == null ? JSON.createObjectNode() : node;
        } catch (IOException notJson) {
            return JSON.createObjectNode().put("text", new String(bytes, StandardCharsets.UTF_8));
        }
    }

    private static void pause(long milliseconds) throws IOException {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting for the Schema Registry", interrupted);
        }
    }
}

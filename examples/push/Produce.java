import static java.nio.charset.StandardCharsets.UTF_8;

import java.security.MessageDigest;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/**
 * Pushes by producing to RocketMQ, where that is the bus: java -cp 'jars/*' Produce.java NAME_SERVER TOPIC BODY, with
 * PUSHGATE_KEY set. TOPIC is the one behind `?pushes=`, BODY the JSON body of POST /v1/push. Only live pushes go this
 * way. The jars are those of org.apache.rocketmq:rocketmq-client; Java 17 or newer.
 */
public class Produce {
    private static final String TENANT = "default";

    public static void main(String[] args) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("business");
        producer.setNamesrvAddr(args[0]);
        producer.start();
        try {
            // It repeats by itself; the gateway takes what comes twice once.
            System.out.println(producer.send(sign(args[1], args[2].getBytes(UTF_8))).getSendStatus());
        } finally {
            producer.shutdown();
        }
    }

    /** Returns a push that shows whose it is: signed with the SHA-256 of an API key, good for a minute. */
    private static Message sign(String topic, byte[] body) throws Exception {
        String time = Long.toString(System.currentTimeMillis());
        byte[] key = MessageDigest.getInstance("SHA-256").digest(System.getenv("PUSHGATE_KEY").getBytes(UTF_8));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((TENANT + "\n" + time + "\n").getBytes(UTF_8));
        Message message = new Message(topic, body);
        message.putUserProperty("pushgate-tenant", TENANT);
        message.putUserProperty("pushgate-time", time);
        message.putUserProperty("pushgate-signature", HexFormat.of().formatHex(mac.doFinal(body)));
        return message;
    }
}

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Scanner;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A business system that speaks RocketMQ by Apache's client. Its input: "consume" prints the next message of the bus's
 * topic, produced since the start; "produce COMPRESSION KEY BODY" pushes, signed with an API key of the tenant.
 */
public class Business {
    private static final String TENANT = "default";

    public static void main(String[] args) throws Exception {
        String nameServer = args[0], busTopic = args[1], pushesTopic = args[2];
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer("business");
        consumer.setNamesrvAddr(nameServer);
        consumer.start();
        Map<MessageQueue, Long> offsets = new HashMap<>();
        for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(busTopic)) {
            offsets.put(queue, consumer.maxOffset(queue));
        }
        DefaultMQProducer producer = new DefaultMQProducer("business");
        producer.setNamesrvAddr(nameServer);
        producer.setCompressMsgBodyOverHowmuch(100);
        producer.start();
        say("ready");
        Scanner input = new Scanner(System.in, StandardCharsets.UTF_8);
        while (input.hasNextLine()) {
            String[] words = input.nextLine().split(" ", 4);
            if (words[0].equals("consume")) {
                consume(consumer, offsets);
            } else {
                producer.setCompressType(CompressionType.of(words[1]));
                produce(producer, pushesTopic, words[2], words[3]);
            }
        }
        consumer.shutdown();
        producer.shutdown();
        System.exit(0);
    }

    private static void consume(DefaultMQPullConsumer consumer, Map<MessageQueue, Long> offsets) throws Exception {
        while (true) {
            for (MessageQueue queue : offsets.keySet()) {
                PullResult result = consumer.pull(queue, "*", offsets.get(queue), 1);
                offsets.put(queue, result.getNextBeginOffset());
                if (result.getPullStatus() == PullStatus.FOUND) {
                    MessageExt message = result.getMsgFoundList().get(0);
                    say("consumed " + message.getTags() + " " + HexFormat.of().formatHex(message.getBody()));
                    return;
                }
            }
        }
    }

    /** What docs/buses.md shows. */
    private static void produce(DefaultMQProducer producer, String topic, String apiKey, String body)
        throws Exception {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        String time = Long.toString(System.currentTimeMillis());
        byte[] key = MessageDigest.getInstance("SHA-256").digest(apiKey.getBytes(StandardCharsets.UTF_8));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((TENANT + "\n" + time + "\n").getBytes(StandardCharsets.UTF_8));
        Message message = new Message(topic, bytes);
        message.putUserProperty("pushgate-tenant", TENANT);
        message.putUserProperty("pushgate-time", time);
        message.putUserProperty("pushgate-signature", HexFormat.of().formatHex(mac.doFinal(bytes)));
        say("produced " + producer.send(message).getSendStatus());
        producer.send(message); // as a producer does that got no answer
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}

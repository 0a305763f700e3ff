import org.apache.rocketmq.store.ha.DefaultHAService;

/** A broker without replicas: it opens no port for them, which would be on every address of the machine. */
public class LoopbackHAService extends DefaultHAService {
    @Override
    public void start() {
    }

    @Override
    public void shutdown() {
    }
}

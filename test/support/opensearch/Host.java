import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;
import org.opensearch.transport.Netty4Plugin;

/**
 * One node of OpenSearch over the folder of the first argument, at the port of the second one. Ends when its standard input does, and
 * removes the folder: so nothing is left behind, however the process that started it dies.
 */
public class Host {
  static class OwnNode extends Node {
    OwnNode(Environment environment, List<Class<? extends Plugin>> plugins) {
      super(environment, plugins, false);
    }
  }

  public static void main(String[] args) throws Exception {
    Settings settings = Settings.builder()
        .put("path.home", args[0])
        .put("node.name", "node")
        .put("cluster.name", "headgate-tests")
        .put("discovery.type", "single-node")
        .put("transport.type", "netty4")
        .put("http.type", "netty4")
        .put("network.host", "127.0.0.1")
        .put("http.port", args[1])
        .put("transport.port", "0")
        .put("cluster.max_shards_per_node", 5000)
        // The disk of the machine is not what the tests are about.
        .put("cluster.routing.allocation.disk.threshold_enabled", false)
        .build();
    Environment environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), Path.of(args[0]), () -> "node");
    Node node = new OwnNode(environment, List.of(Netty4Plugin.class, CommonAnalysisPlugin.class));
    node.start();
    System.out.println("ready");
    while (System.in.read() >= 0) {}
    node.close();
    try (Stream<Path> files = Files.walk(Path.of(args[0]))) {
      files.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    }
    Runtime.getRuntime().halt(0);
  }
}

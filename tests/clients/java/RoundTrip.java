// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * What Kafka's own Java client writes it reads again, in every codec and with every acks, all in one
 * JVM because its start costs more than all the checks. Prints "ok NAME" for each check; the first
 * that fails ends the program with its exception.
 *
 * <pre>java -cp JARS RoundTrip ADDRESS TOPIC_PREFIX</pre>
 */
public final class RoundTrip {
    private static final long BASE_TIME_MS = 1_700_000_000_000L;
    private static final Duration WAIT = Duration.ofSeconds(30);

    private final String address;
    private final String prefix;

    private RoundTrip(String address, String prefix) {
        this.address = address;
        this.prefix = prefix;
    }

    public static void main(String[] arguments) throws Exception {
        new RoundTrip(arguments[0], arguments[1]).run();
    }

    private void run() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            for (boolean idempotent : new boolean[] {false, true}) {
                String topic = prefix + "-" + codec + "-" + idempotent;
                everyRecordComesBack(topic,
                        Map.of("compression.type", codec, "enable.idempotence", idempotent));
                ok(codec + (idempotent ? " idempotent" : ""));
            }
        }
        for (String acks : List.of("0", "1", "all")) {
            everyRecordComesBack(prefix + "-acks-" + acks,
                    Map.of("acks", acks, "enable.idempotence", false));
            ok("acks " + acks);
        }
        smallBatchesKeepTheirOrder(prefix + "-order");
        bigRecord(prefix + "-big");
        offsetsAndTimes(prefix + "-times");
        seekAndLimits(prefix + "-seek");
        cluster();
    }

    private static void ok(String name) {
        System.out.println("ok " + name);
    }

    private static void require(boolean condition, Object... said) {
        if (!condition) {
            throw new AssertionError(Arrays.toString(said));
        }
    }

    private KafkaProducer<byte[], byte[]> producer(Map<String, Object> settings) {
        Properties all = new Properties();
        all.put("bootstrap.servers", address);
        all.put("linger.ms", 5);
        all.put("delivery.timeout.ms", 30000);
        all.put("request.timeout.ms", 20000);
        all.putAll(settings);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> settings) {
        Properties all = new Properties();
        all.put("bootstrap.servers", address);
        all.put("enable.auto.commit", false);
        all.put("auto.offset.reset", "none");
        all.putAll(settings);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static List<ProducerRecord<byte[], byte[]>> samples(String topic, int partition, int n) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            byte[] key = i % 5 == 0 ? null : bytes(i % 11 == 1 ? "" : "key-" + i % 7);
            byte[] value = i % 7 == 3 ? null : bytes(i % 13 == 2 ? "" : "value ü " + "x".repeat(i));
            var record = new ProducerRecord<>(topic, partition, BASE_TIME_MS + 1000L * i, key, value);
            if (i % 3 == 0) {
                record.headers().add("h", bytes("" + i)).add("h", bytes("again"));
                record.headers().add("none", null).add("empty", new byte[0]);
            }
            records.add(record);
        }
        return records;
    }

    private void send(List<ProducerRecord<byte[], byte[]>> records, Map<String, Object> settings)
            throws Exception {
        try (var producer = producer(settings)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            records.forEach(record -> sent.add(producer.send(record)));
            producer.flush();
            Map<TopicPartition, Long> next = new HashMap<>();
            for (Future<RecordMetadata> future : sent) {
                RecordMetadata metadata = future.get();
                if (metadata.hasOffset()) {
                    var partition = new TopicPartition(metadata.topic(), metadata.partition());
                    long expected = next.getOrDefault(partition, 0L);
                    require(metadata.offset() == expected, partition, metadata.offset(), expected);
                    next.put(partition, expected + 1);
                }
            }
        }
    }

    private List<ConsumerRecord<byte[], byte[]>> read(
            KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, int count) {
        List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
        while (found.size() < count) {
            var batch = consumer.poll(WAIT);
            require(!batch.isEmpty(), "nothing comes any more", partition, found.size(), count);
            found.addAll(batch.records(partition));
        }
        return found;
    }

    private static void same(ProducerRecord<byte[], byte[]> written,
            ConsumerRecord<byte[], byte[]> found, long offset) {
        require(found.offset() == offset, "offset", found.offset(), offset);
        require(Arrays.equals(written.key(), found.key()), "key at", offset);
        require(Arrays.equals(written.value(), found.value()), "value at", offset);
        require(written.timestamp() == found.timestamp(), "timestamp at", offset);
        Header[] want = written.headers().toArray();
        Header[] have = found.headers().toArray();
        require(want.length == have.length, "headers at", offset);
        for (int i = 0; i < want.length; i++) {
            require(want[i].key().equals(have[i].key()), "header key at", offset);
            require(Arrays.equals(want[i].value(), have[i].value()), "header at", offset);
        }
    }

    private void compare(String topic, int partition, List<ProducerRecord<byte[], byte[]>> records,
            Map<String, Object> settings) {
        try (var consumer = consumer(settings)) {
            var one = new TopicPartition(topic, partition);
            consumer.assign(List.of(one));
            consumer.seekToBeginning(List.of(one));
            var found = read(consumer, one, records.size());
            require(found.size() == records.size(), "too many records", found.size());
            for (int i = 0; i < records.size(); i++) {
                same(records.get(i), found.get(i), i);
            }
        }
    }

    private void everyRecordComesBack(String topic, Map<String, Object> settings) throws Exception {
        var records = samples(topic, 1, 100);
        send(records, settings);
        compare(topic, 1, records, Map.of());
    }

    private void smallBatchesKeepTheirOrder(String topic) throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 20000; i++) {
            records.add(new ProducerRecord<>(topic, 0, BASE_TIME_MS + i, null, bytes("" + i)));
        }
        send(records, Map.of("batch.size", 500, "linger.ms", 0));
        compare(topic, 0, records, Map.of());
        ok("order");
    }

    private void bigRecord(String topic) throws Exception {
        byte[] big = new byte[900_000];
        for (int i = 0; i < big.length; i++) {
            big[i] = (byte) (i * 7919 >> 3);
        }
        var records = List.of(new ProducerRecord<>(topic, 0, 1L, bytes("k"), bytes("small")),
                new ProducerRecord<>(topic, 0, 2L, bytes("k"), big),
                new ProducerRecord<>(topic, 0, 3L, bytes("k"), bytes("small")));
        send(records, Map.of());
        // One batch is returned even where it is larger than what was asked for (KIP-74).
        compare(topic, 0, records, Map.of("fetch.max.bytes", 1000, "max.partition.fetch.bytes", 1000));
        ok("big record");
    }

    private void offsetsAndTimes(String topic) throws Exception {
        send(samples(topic, 0, 50), Map.of("batch.size", 300));
        try (var consumer = consumer(Map.of())) {
            var full = new TopicPartition(topic, 0);
            var empty = new TopicPartition(topic, 1);
            var both = List.of(full, empty);
            require(consumer.beginningOffsets(both).equals(Map.of(full, 0L, empty, 0L)), "begin");
            require(consumer.endOffsets(both).equals(Map.of(full, 50L, empty, 0L)), "end");
            Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(
                    Map.of(full, BASE_TIME_MS + 20_500, empty, BASE_TIME_MS));
            require(found.get(full).offset() == 21, "offset", found);
            require(found.get(full).timestamp() == BASE_TIME_MS + 21_000, "time", found);
            require(found.get(empty) == null, "empty", found);
            consumer.assign(List.of(full));
            consumer.seek(full, 49);
            consumer.poll(WAIT);
            require(consumer.currentLag(full).orElse(-1) == 0, "lag", consumer.currentLag(full));
        }
        ok("offsets and times");
    }

    private void seekAndLimits(String topic) throws Exception {
        var records = samples(topic, 0, 50);
        send(records, Map.of("batch.size", 300));
        try (var consumer = consumer(Map.of("max.poll.records", 7, "isolation.level",
                "read_committed"))) {
            var one = new TopicPartition(topic, 0);
            consumer.assign(List.of(one));
            for (int start : new int[] {49, 10, 0, 25}) {
                consumer.seek(one, start);
                var found = read(consumer, one, 1);
                require(found.size() <= 7, "max.poll.records", found.size());
                same(records.get(start), found.get(0), start);
            }
        }
        ok("seek");
    }

    private void cluster() throws Exception {
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", address))) {
            var nodes = admin.describeCluster().nodes().get();
            require(nodes.size() == 1, nodes);
            Node node = nodes.iterator().next();
            require((node.host() + ":" + node.port()).equals(address), node);
            require(admin.describeCluster().controller().get().id() == node.id(), "controller");
            require(admin.describeCluster().clusterId().get().length() == 22, "cluster id");
            Set<String> names = admin.listTopics().names().get();
            require(names.contains(prefix + "-times"), names);
            var topic = admin.describeTopics(Set.of(prefix + "-times")).allTopicNames().get()
                    .get(prefix + "-times");
            Set<Integer> partitions = new HashSet<>();
            topic.partitions().forEach(p -> partitions.add(p.partition()));
            require(partitions.equals(Set.of(0, 1, 2, 3)), partitions);
            topic.partitions().forEach(p -> require(p.leader().id() == node.id(), p));
        }
        ok("cluster");
    }
}

// SPDX-License-Identifier: Apache-2.0

import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;

/**
 * Fills Kafka's own message classes with values that follow from the message's name, version and a
 * variant, and prints what they encode to: name, version, CRC-32C of the values as text (the text
 * that codec_print makes), bytes in hex. Variants: 0 all fields set, 1 null or empty where
 * possible and no tagged fields, 2 long strings and arrays.
 *
 * Arguments: the folder schemas/messages, then the jars to search.
 */
public final class MessageMaker {
    private static final int LONG_VARIANT = 2;

    private final Random random;
    private final int variant;

    private MessageMaker(long seed, int variant) {
        this.random = new Random(seed);
        this.variant = variant;
    }

    private static org.apache.kafka.common.protocol.types.Type elementType(
            org.apache.kafka.common.protocol.types.Type type) {
        Optional<org.apache.kafka.common.protocol.types.Type> element = type.arrayElementType();
        return element.orElse(null);
    }

    private static String plain(String name) {
        return name.replace("_", "").toLowerCase();
    }

    private static Method setter(Class<?> owner, String field) {
        for (Method method : owner.getMethods()) {
            if (method.getParameterCount() == 1 && method.getReturnType() == owner
                    && plain(method.getName()).equals(plain("set" + field))) {
                return method;
            }
        }
        throw new IllegalStateException("no setter for " + owner + " " + field);
    }

    private static Object get(Object owner, String field) throws Exception {
        for (Method method : owner.getClass().getMethods()) {
            if (method.getParameterCount() == 0 && plain(method.getName()).equals(plain(field))) {
                return method.invoke(owner);
            }
        }
        throw new IllegalStateException("no getter for " + owner.getClass() + " " + field);
    }

    @SuppressWarnings("unchecked")
    private static List<Field> fieldsOf(Schema schema, boolean tagged) throws Exception {
        List<Field> fields = new ArrayList<>();
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields) {
                if (tagged) {
                    // No release has a getter for it that all have.
                    java.lang.reflect.Field byTag = TaggedFields.class.getDeclaredField("fields");
                    byTag.setAccessible(true);
                    fields.addAll(new TreeMap<>((Map<Integer, Field>) byTag.get(bound.def.type)).values());
                }
            } else if (!tagged) {
                fields.add(bound.def);
            }
        }
        return fields;
    }

    private byte[] bytes() {
        byte[] bytes = new byte[variant == LONG_VARIANT ? 130 + random.nextInt(20) : 1 + random.nextInt(5)];
        random.nextBytes(bytes);
        return bytes;
    }

    private String string() {
        int size = variant == LONG_VARIANT ? 120 + random.nextInt(20) : 1 + random.nextInt(8);
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < size; i++) {
            out.append((char) ('a' + random.nextInt(26)));
        }
        return out.toString();
    }

    private static Class<?> elementClass(Class<?> parameter, Type generic) {
        Type list = generic instanceof ParameterizedType ? generic : parameter.getGenericSuperclass();
        return (Class<?>) ((ParameterizedType) list).getActualTypeArguments()[0];
    }

    @SuppressWarnings("unchecked")
    private Object array(org.apache.kafka.common.protocol.types.Type type, Class<?> parameter, Type generic)
            throws Exception {
        Collection<Object> out = parameter == List.class
                ? new ArrayList<>() : (Collection<Object>) parameter.getDeclaredConstructor().newInstance();
        int count = variant == 1 ? 0 : variant == LONG_VARIANT ? 2 : 1 + random.nextInt(2);
        for (int i = 0; i < count; i++) {
            out.add(value(elementType(type), elementClass(parameter, generic), null));
        }
        return out;
    }

    private Object value(org.apache.kafka.common.protocol.types.Type type, Class<?> parameter, Type generic)
            throws Exception {
        if (variant == 1 && type.isNullable()) {
            return null;
        }
        if (elementType(type) != null) {
            return array(type, parameter, generic);
        }
        if (type instanceof Schema) {
            Object struct = parameter.getDeclaredConstructor().newInstance();
            fill(struct, (Schema) type);
            return struct;
        }
        boolean unsigned16 = type.toString().equals("UINT16");
        switch (parameter.getSimpleName()) {
            case "boolean": case "Boolean": return random.nextBoolean();
            case "byte": case "Byte": return (byte) random.nextInt();
            case "short": case "Short": return (short) random.nextInt();
            case "int": case "Integer": return unsigned16 ? random.nextInt(65536) : random.nextInt();
            case "long": case "Long":
                return type.toString().equals("UINT32") ? random.nextInt() & 0xffffffffL : random.nextLong();
            case "double": return random.nextInt(1000) + 0.5;
            case "String": return string();
            case "Uuid": return new Uuid(random.nextLong(), random.nextLong());
            case "byte[]": return bytes();
            case "ByteBuffer": return ByteBuffer.wrap(bytes());
            case "BaseRecords":
                // Its package differs by release.
                return Class.forName(parameter.getPackageName() + ".MemoryRecords")
                        .getMethod("readableRecords", ByteBuffer.class).invoke(null, ByteBuffer.wrap(bytes()));
            default: throw new IllegalStateException(type + " " + parameter);
        }
    }

    private void fill(Object struct, Schema schema) throws Exception {
        List<Field> fields = fieldsOf(schema, false);
        if (variant != 1) {
            fields.addAll(fieldsOf(schema, true));
        }
        for (Field field : fields) {
            Method setter = setter(struct.getClass(), field.name);
            setter.invoke(struct,
                    value(field.type, setter.getParameterTypes()[0], setter.getGenericParameterTypes()[0]));
        }
    }

    private static String hex(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return HexFormat.of().formatHex(bytes);
    }

    private static void print(StringBuilder out, Object value, org.apache.kafka.common.protocol.types.Type type)
            throws Exception {
        if (value == null) {
            out.append("null");
        } else if (value instanceof Collection) {
            String separator = "";
            out.append('[');
            for (Object element : (Collection<?>) value) {
                out.append(separator);
                print(out, element, elementType(type));
                separator = ",";
            }
            out.append(']');
        } else if (type instanceof Schema) {
            printStruct(out, value, (Schema) type);
        } else if (value instanceof String) {
            out.append('"').append(value).append('"');
        } else if (value instanceof byte[]) {
            out.append("x'").append(HexFormat.of().formatHex((byte[]) value)).append('\'');
        } else if (value instanceof ByteBuffer) {
            out.append("x'").append(hex((ByteBuffer) value)).append('\'');
        } else if (value.getClass().getSimpleName().equals("MemoryRecords")) {
            Object buffer = value.getClass().getMethod("buffer").invoke(value);
            out.append("x'").append(hex((ByteBuffer) buffer)).append('\'');
        } else if (value instanceof Uuid) {
            Uuid id = (Uuid) value;
            out.append(String.format("%016x%016x", id.getMostSignificantBits(), id.getLeastSignificantBits()));
        } else {
            out.append(value);
        }
    }

    private static void printStruct(StringBuilder out, Object struct, Schema schema) throws Exception {
        List<Field> fields = fieldsOf(schema, false);
        fields.addAll(fieldsOf(schema, true));
        String separator = "";
        out.append('{');
        for (Field field : fields) {
            out.append(separator).append(field.name).append(':');
            print(out, get(struct, field.name), field.type);
            separator = ",";
        }
        out.append('}');
    }

    private static void emit(String name, Class<?> type, short version, int variant) throws Exception {
        Schema schema = ((Schema[]) type.getField("SCHEMAS").get(null))[version];
        Message message = (Message) type.getDeclaredConstructor().newInstance();
        new MessageMaker((name.hashCode() * 31L + version) * 31L + variant, variant).fill(message, schema);
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        buffer.flip();
        StringBuilder text = new StringBuilder();
        printStruct(text, message, schema);
        if (System.getenv("SHOW_TEXT") != null) {
            System.err.println(name + " " + version + " " + text);
        }
        CRC32C crc = new CRC32C();
        crc.update(text.toString().getBytes(StandardCharsets.UTF_8));
        System.out.printf("%s\t%d\t%08x\t%s%n", name, version, crc.getValue(), hex(buffer));
    }

    /** Message names of ours with the lowest and highest version. */
    private static Map<String, int[]> wanted(String folder) throws Exception {
        Map<String, int[]> out = new TreeMap<>();
        Pattern versions = Pattern.compile("\"validVersions\":\"(\\d+)(?:-(\\d+))?\"");
        try (Stream<Path> paths = Files.list(Path.of(folder))) {
            for (Path path : (Iterable<Path>) paths::iterator) {
                Matcher matcher = versions.matcher(Files.readString(path));
                if (!matcher.find()) {
                    throw new IllegalStateException("no versions in " + path);
                }
                int lowest = Integer.parseInt(matcher.group(1));
                int highest = matcher.group(2) == null ? lowest : Integer.parseInt(matcher.group(2));
                out.put(path.getFileName().toString().replace(".json", ""), new int[] {lowest, highest});
            }
        }
        return out;
    }

    public static void main(String[] args) throws Exception {
        Map<String, int[]> wanted = wanted(args[0]);
        for (int i = 1; i < args.length; i++) {
            try (JarFile jar = new JarFile(args[i])) {
                for (String entry : (Iterable<String>) jar.stream().map(e -> e.getName()).sorted()::iterator) {
                    String simple = entry.replaceAll(".*/", "").replace(".class", "");
                    String name = wanted.containsKey(simple) ? simple : simple.replaceAll("Data$", "");
                    if (!entry.endsWith(".class") || !wanted.containsKey(name)) {
                        continue;
                    }
                    Class<?> type = Class.forName(entry.replace(".class", "").replace('/', '.'));
                    if (!Message.class.isAssignableFrom(type)) {
                        continue;
                    }
                    int lowest = Math.max(wanted.get(name)[0], type.getField("LOWEST_SUPPORTED_VERSION").getShort(null));
                    int highest = Math.min(wanted.get(name)[1], type.getField("HIGHEST_SUPPORTED_VERSION").getShort(null));
                    for (int version = lowest; version <= highest; version++) {
                        for (int variant = 0; variant <= LONG_VARIANT; variant++) {
                            emit(name, type, (short) version, variant);
                        }
                    }
                }
            }
        }
    }
}

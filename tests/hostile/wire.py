# SPDX-License-Identifier: Apache-2.0
"""Requests of any served API and version, made from schemas/: a second reading of the protocol.

Message is a request's field table. encode() takes a dict of Kafka's field names, absent ones have
their defaults; random_value() makes a dict that a client could have sent, now and then hardly.
"""

import csv
import json
import pathlib
import socket
import struct

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
INT_FORMATS = {"int8": ">b", "int16": ">h", "int32": ">i", "int64": ">q", "uint16": ">H",
               "uint32": ">I", "float64": ">d"}
PRODUCE, FETCH, METADATA, CREATE_TOPICS, DELETE_TOPICS = 0, 1, 3, 19, 20


def in_range(version, text):
    if text in (None, "none"):
        return False
    low, _, high = text.partition("-")
    if text.endswith("+"):
        return version >= int(text[:-1])
    return int(low) <= version <= int(high or low)


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Message:
    def __init__(self, path):
        table = json.loads(path.read_text(encoding="utf-8"))
        self.name, self.key = table["name"], table["apiKey"]
        self.flexible, self.fields = table["flexibleVersions"], table["fields"]
        self.structs = {struct["name"]: struct["fields"] for struct in table.get("commonStructs", [])}

    def encode(self, version, value):
        return self._struct(self.fields, version, in_range(version, self.flexible), value)

    def _struct(self, fields, version, flexible, value):
        out, tags = b"", []
        for field in fields:
            if not in_range(version, field["versions"]):
                continue
            member = value.get(field["name"], self._default(field))
            if in_range(version, field.get("taggedVersions")):
                if field["name"] in value:
                    tags.append((field["tag"], self._member(field, version, flexible, member)))
            else:
                out += self._member(field, version, flexible, member)
        if flexible:
            out += varint(len(tags))
            for tag, data in sorted(tags):
                out += varint(tag) + varint(len(data)) + data
        return out

    @staticmethod
    def _default(field):
        kind, text = field["type"], field.get("default")
        if text == "null":
            return None
        if kind.startswith("[]"):
            return []
        if kind in INT_FORMATS:
            return int(text or "0", 0)
        return {"bool": text == "true", "uuid": bytes(16), "string": text or ""}.get(kind, {})

    def _member(self, field, version, flexible, value):
        kind = field["type"]
        if kind.startswith("[]"):
            item = {**field, "type": kind[2:], "nullableVersions": None}
            if value is None:
                return varint(0) if flexible else b"\xff\xff\xff\xff"
            count = varint(len(value) + 1) if flexible else struct.pack(">i", len(value))
            return count + b"".join(self._member(item, version, flexible, one) for one in value)
        if kind in INT_FORMATS:
            return struct.pack(INT_FORMATS[kind], value)
        if kind == "bool":
            return bytes([bool(value)])
        if kind == "uuid":
            return value
        if kind in ("string", "bytes", "records"):
            data = value.encode() if isinstance(value, str) else value
            if flexible:
                return varint(0) if data is None else varint(len(data) + 1) + data
            size = ">h" if kind == "string" else ">i"
            return struct.pack(size, -1) if data is None else struct.pack(size, len(data)) + data
        nullable = in_range(version, field.get("nullableVersions"))
        if value is None:
            return b"\xff"
        return (b"\x01" if nullable else b"") + self._struct(
            field.get("fields") or self.structs[kind], version, flexible, value)

    def random_value(self, version, rng, hints):
        return self._random_struct(self.fields, version, rng, hints)

    def _random_struct(self, fields, version, rng, hints):
        return {field["name"]: self._random_member(field, version, rng, hints) for field in fields
                if in_range(version, field["versions"])
                and (not in_range(version, field.get("taggedVersions")) or rng.random() < 0.1)}

    def _random_member(self, field, version, rng, hints):
        kind = field["type"]
        if in_range(version, field.get("nullableVersions")) and rng.random() < 0.15:
            return None
        if kind.startswith("[]"):
            item = {**field, "type": kind[2:], "nullableVersions": None}
            count = rng.choice((0, 1, 1, 1, 2, 3)) if rng.random() < 0.98 else rng.randint(4, 60)
            return [self._random_member(item, version, rng, hints) for _ in range(count)]
        if field["name"] in hints and rng.random() < 0.9:
            return hints[field["name"]](rng)
        if kind in INT_FORMATS:
            bits = 8 * struct.calcsize(INT_FORMATS[kind])
            return rng.choice((-1, 0, 1, 2, rng.randint(0, 100), 2 ** (bits - 1) - 1,
                               -2 ** (bits - 1)))
        if kind == "bool":
            return rng.random() < 0.5
        if kind == "uuid":
            return rng.choice((bytes(16), rng.randbytes(16)))
        if kind == "string":
            return rng.choice(("", "x", "a" * rng.randint(1, 400), "ä€\U0001f600", "a b/..", "\0",
                               b"\xff\xc0\x80"))
        if kind in ("bytes", "records"):
            return rng.randbytes(rng.choice((0, 1, 10, 61, 200)))
        return self._random_struct(field.get("fields") or self.structs[kind], version, rng, hints)


def served_apis():
    """(Message, first version, last version) of each API that this broker serves."""
    with open(ROOT / "schemas/apis.tsv", encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["served"] == "yes"]
    apis = []
    for row in rows:
        low, _, high = row["embedded"].partition("-")
        message = Message(ROOT / f"schemas/messages/{row['name']}Request.json")
        apis.append((message, int(low), int(high or low)))
    return apis


MESSAGES = {message.key: message for message, _, _ in served_apis()}


def header(key, version, correlation_id, client_id="hostile"):
    client = client_id.encode()
    out = struct.pack(">hhih", key, version, correlation_id, len(client)) + client
    flexible = in_range(version, MESSAGES[key].flexible) if key in MESSAGES else False
    return out + (b"\0" if flexible else b"")


def request(key, version, value, correlation_id=1):
    """A frame without its size."""
    return header(key, version, correlation_id) + MESSAGES[key].encode(version, value)


def frame(body):
    return struct.pack(">i", len(body)) + body


# --- record batches ---

def _crc_table():
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def zigzag(number):
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def record(delta, value, key=None):
    body = b"\0" + zigzag(0) + zigzag(delta)
    for part in (key, value):
        body += zigzag(-1) if part is None else zigzag(len(part)) + part
    body += zigzag(0)
    return zigzag(len(body)) + body


def batch_of(payload, count, attributes=0, producer=(-1, -1, -1), timestamp=1_700_000_000_000):
    """A batch whose CRC is right, whatever its payload claims."""
    body = struct.pack(">hiqqqhii", attributes, count - 1, timestamp, timestamp, *producer, count)
    body += payload
    return struct.pack(">qiibI", 0, len(body) + 9, -1, 2, crc32c(body)) + body


def batch(values, **options):
    return batch_of(b"".join(record(i, value) for i, value in enumerate(values)), len(values),
                    **options)


def produce(topic, partition, records, acks=-1, version=9, timeout_ms=5000):
    return request(PRODUCE, version, {
        "Acks": acks, "TimeoutMs": timeout_ms,
        "TopicData": [{"Name": topic, "PartitionData": [{"Index": partition, "Records": records}]}]})


# --- connections ---

class Closed(Exception):
    """The broker has closed the connection."""


class Connection:
    def __init__(self, port, timeout_s=10.0, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout_s)
        self.socket.connect(("127.0.0.1", port))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (ConnectionError, BrokenPipeError) as error:
            raise Closed from error

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(min(size - len(data), 1 << 20))
            except ConnectionError as error:
                raise Closed from error
            if not piece:
                raise Closed
            data += piece
        return data

    def receive(self):
        """A response without its size."""
        return self._exactly(struct.unpack(">i", self._exactly(4))[0])

    def ask(self, body):
        self.send(frame(body))
        return self.receive()

    def is_closed(self, timeout_s):
        """Whether the broker closes within that time; whatever it sends meanwhile is dropped."""
        self.socket.settimeout(timeout_s)
        try:
            while self.socket.recv(1 << 16):
                pass
            return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def answers_metadata(port):
    with Connection(port) as conn:
        answer = conn.ask(request(METADATA, 9, {"Topics": None}, 77))
        return struct.unpack(">i", answer[:4])[0] == 77


def create_topic(port, name, partitions=1, configs=None):
    with Connection(port) as conn:
        conn.ask(request(CREATE_TOPICS, 5, {
            "Topics": [{"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1,
                        "Configs": [{"Name": key, "Value": value}
                                    for key, value in (configs or {}).items()]}],
            "TimeoutMs": 10000}))

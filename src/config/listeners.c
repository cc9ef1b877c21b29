/* SPDX-License-Identifier: Apache-2.0 */
#include "config/listeners.h"

#include <strings.h>

enum {
    LISTENER_COUNT_MAX = 64,      /* far more than the four protocols on a few networks need */
    LISTENER_HOST_SIZE_MAX = 255, /* RFC 1035 */
};

static const char *const protocol_names[] = {
    [SECURITY_PROTOCOL_PLAINTEXT] = "PLAINTEXT",
    [SECURITY_PROTOCOL_SSL] = "SSL",
    [SECURITY_PROTOCOL_SASL_PLAINTEXT] = "SASL_PLAINTEXT",
    [SECURITY_PROTOCOL_SASL_SSL] = "SASL_SSL",
};

const char *security_protocol_name(enum security_protocol protocol)
{
    check_cmp(protocol, <=, SECURITY_PROTOCOL_SASL_SSL);
    return protocol_names[protocol];
}

static bool protocol_find(struct slice name, enum security_protocol *ret_protocol)
{
    for (size_t i = 0; i < sizeof(protocol_names) / sizeof(protocol_names[0]); i++) {
        if (name.size == strlen(protocol_names[i]) &&
            strncasecmp((const char *)name.data, protocol_names[i], name.size) == 0) {
            *ret_protocol = (enum security_protocol)i;
            return true;
        }
    }
    return false;
}

const struct listener_address *listeners_find(const struct listener_address *items, size_t count,
                                              const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(items[i].name, name) == 0) {
            return &items[i];
        }
    }
    return NULL;
}

/* What one call of listeners_parse shares. */
struct parser {
    const struct settings *settings;
    struct arena *arena;
    struct diagnoses *diagnoses;
    bool is_out_of_memory;
};

static const char *parser_copy(struct parser *parser, struct slice text)
{
    const struct slice copy = arena_copy(parser->arena, text);
    if (slice_is_null(copy)) {
        parser->is_out_of_memory = true;
        return "";
    }
    return (const char *)copy.data;
}

/* Listener names are compared and kept in upper case. */
static const char *parser_copy_name(struct parser *parser, struct slice text)
{
    char *name = arena_alloc(parser->arena, text.size + 1, 1);
    if (name == NULL) {
        parser->is_out_of_memory = true;
        return "";
    }
    for (size_t i = 0; i < text.size; i++) {
        const char c = (char)text.data[i];
        name[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    name[text.size] = '\0';
    return name;
}

static bool is_listener_name(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        const uint8_t c = name.data[i];
        const uint8_t lower = c | 0x20;
        if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
              c == '.')) {
            return false;
        }
    }
    return name.size > 0;
}

/* The colon before the port; none inside of the brackets of an IPv6 address counts. */
static const uint8_t *find_port_colon(struct slice address)
{
    const uint8_t *colon = NULL;
    for (size_t i = 0; i < address.size; i++) {
        if (address.data[i] == ':') {
            colon = &address.data[i];
        } else if (address.data[i] == ']') {
            colon = NULL;
        }
    }
    return colon;
}

static bool parse_port(struct slice text, uint16_t *ret_port)
{
    uint32_t port = 0;
    if (text.size == 0 || text.size > 5) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (port > UINT16_MAX) {
        return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

/* "", a name, an IPv4 address or an IPv6 address in brackets, which are taken off. */
static bool parse_host(struct slice text, struct slice *ret_host)
{
    const bool is_bracketed =
        text.size > 2 && text.data[0] == '[' && text.data[text.size - 1] == ']';
    if (is_bracketed) {
        text = slice_of(text.data + 1, text.size - 2);
    }
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        if (c <= ' ' || c >= 0x7f || c == '/' || c == '[' || c == ']' ||
            (c == ':' && !is_bracketed)) {
            return false;
        }
    }
    *ret_host = text;
    return text.size <= LISTENER_HOST_SIZE_MAX;
}

/* NAME://host:port. */
static bool parse_listener(struct parser *parser, struct slice text,
                           struct listener_address *listener)
{
    size_t name_size = 0;
    while (name_size < text.size && text.data[name_size] != ':') {
        name_size++;
    }
    const struct slice name = slice_of(text.data, name_size);
    const struct slice rest = slice_of(text.data + name_size, text.size - name_size);
    if (!is_listener_name(name) || rest.size < 3 || memcmp(rest.data, "://", 3) != 0) {
        return false;
    }
    const struct slice address = slice_of(rest.data + 3, rest.size - 3);
    const uint8_t *colon = find_port_colon(address);
    if (colon == NULL) {
        return false;
    }
    const size_t host_size = (size_t)(colon - address.data);
    struct slice host;
    if (!parse_host(slice_of(address.data, host_size), &host) ||
        !parse_port(slice_of(colon + 1, address.size - host_size - 1), &listener->port)) {
        return false;
    }
    listener->name = parser_copy_name(parser, name);
    listener->host = host.size == 0 ? "" : parser_copy(parser, host);
    return true;
}

static void check_duplicates(struct parser *parser, const char *setting,
                             const struct listener_address *items, size_t count,
                             bool is_port_unique)
{
    const struct listener_address *last = &items[count - 1];
    for (size_t i = 0; i + 1 < count; i++) {
        if (strcmp(items[i].name, last->name) == 0) {
            diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR,
                          "%s: the listener name %s is there twice; give each its own name",
                          setting, last->name);
        }
        /* One port on IPv4 and on IPv6 is allowed, as in KIP-797: only equal hosts collide. */
        if (is_port_unique && last->port != 0 && items[i].port == last->port &&
            (strcasecmp(items[i].host, last->host) == 0 || items[i].host[0] == '\0' ||
             last->host[0] == '\0')) {
            diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR,
                          "%s: %s and %s have the same port %u; give each its own", setting,
                          items[i].name, last->name, last->port);
        }
    }
}

static bool is_controller_listener(const struct parser *parser, const char *name)
{
    struct slice rest =
        slice_from_string(settings_text(parser->settings, SETTING_CONTROLLER_LISTENER_NAMES));
    struct slice item;
    while (setting_list_next(&rest, &item)) {
        if (item.size == strlen(name) &&
            strncasecmp((const char *)item.data, name, item.size) == 0) {
            return true;
        }
    }
    return false;
}

static void parse_list(struct parser *parser, enum setting_id id,
                       struct listener_address **ret_items, size_t *ret_count)
{
    const char *setting = setting_get(id)->name;
    struct slice rest = slice_from_string(settings_text(parser->settings, id));
    struct listener_address *items =
        ARENA_NEW_ARRAY(parser->arena, struct listener_address, LISTENER_COUNT_MAX);
    if (items == NULL) {
        parser->is_out_of_memory = true;
        return;
    }
    struct slice item;
    size_t count = 0;
    while (setting_list_next(&rest, &item)) {
        if (count == LISTENER_COUNT_MAX) {
            diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR, "%s: more than %d listeners", setting,
                          LISTENER_COUNT_MAX);
            break;
        }
        if (!parse_listener(parser, item, &items[count])) {
            diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR,
                          "%s: \"%.*s\" is not a listener; write NAME://host:port, for example "
                          "PLAINTEXT://127.0.0.1:9092 (no host: all interfaces)",
                          setting, (int)(item.size < 256 ? item.size : 256),
                          (const char *)item.data);
            continue;
        }
        count++;
        check_duplicates(parser, setting, items, count, id == SETTING_LISTENERS);
    }
    *ret_items = items;
    *ret_count = count;
}

/* From the map, or the protocol that has the listener's name while the map is the default. */
static bool map_find(struct parser *parser, const char *name, enum security_protocol *ret_protocol)
{
    struct slice rest =
        slice_from_string(settings_text(parser->settings, SETTING_LISTENER_SECURITY_PROTOCOL_MAP));
    struct slice item;
    while (setting_list_next(&rest, &item)) {
        const uint8_t *colon = item.size == 0 ? NULL : memchr(item.data, ':', item.size);
        if (colon == NULL) {
            continue; /* check_map has said so */
        }
        const size_t size = (size_t)(colon - item.data);
        const struct slice key = setting_trim(slice_of(item.data, size));
        const struct slice value = setting_trim(slice_of(colon + 1, item.size - size - 1));
        if (key.size == strlen(name) && strncasecmp((const char *)key.data, name, key.size) == 0 &&
            protocol_find(value, ret_protocol)) {
            return true;
        }
    }
    return false;
}

static void check_map(struct parser *parser)
{
    struct slice rest =
        slice_from_string(settings_text(parser->settings, SETTING_LISTENER_SECURITY_PROTOCOL_MAP));
    struct slice item;
    while (setting_list_next(&rest, &item)) {
        const uint8_t *colon = item.size == 0 ? NULL : memchr(item.data, ':', item.size);
        const size_t size = colon == NULL ? item.size : (size_t)(colon - item.data);
        enum security_protocol protocol;
        if (colon == NULL || !is_listener_name(setting_trim(slice_of(item.data, size))) ||
            !protocol_find(setting_trim(slice_of(colon + 1, item.size - size - 1)), &protocol)) {
            diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR,
                          "listener.security.protocol.map: \"%.*s\" is not NAME:PROTOCOL with "
                          "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
                          (int)(item.size < 256 ? item.size : 256), (const char *)item.data);
        }
    }
}

static void resolve_protocols(struct parser *parser, struct listener_address *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!map_find(parser, items[i].name, &items[i].protocol)) {
            diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR,
                          "listeners: %s has no protocol; add %s:PLAINTEXT to "
                          "listener.security.protocol.map",
                          items[i].name, items[i].name);
        } else if (items[i].protocol != SECURITY_PROTOCOL_PLAINTEXT) {
            diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR,
                          "listeners: %s asks for %s, which is not served yet; only PLAINTEXT is",
                          items[i].name, security_protocol_name(items[i].protocol));
        }
    }
}

/* Takes controller listeners out: they are not opened. */
static size_t drop_controllers(const struct parser *parser, struct listener_address *items,
                               size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_controller_listener(parser, items[i].name)) {
            items[kept++] = items[i];
        }
    }
    return kept;
}

static bool is_any_address(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void check_advertised(struct parser *parser, struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->advertised_count; i++) {
        struct listener_address *advertised = &listeners->advertised[i];
        const struct listener_address *open =
            listeners_find(listeners->items, listeners->count, advertised->name);
        if (open == NULL) {
            diagnoses_add(
                parser->diagnoses, DIAGNOSIS_ERROR,
                "advertised.listeners: %s is not in listeners; the names must be the same",
                advertised->name);
            continue;
        }
        advertised->protocol = open->protocol;
        if (advertised->host[0] == '\0' || is_any_address(advertised->host)) {
            diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR,
                          "advertised.listeners: %s needs a host that clients can reach, not all "
                          "interfaces; leave the setting out to answer with the address where a "
                          "client connected",
                          advertised->name);
        }
        if (advertised->port == 0) {
            diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR,
                          "advertised.listeners: %s needs a port from 1 to 65535",
                          advertised->name);
        }
    }
}

/* inter.broker.listener.name, or the first with security.inter.broker.protocol. */
static void resolve_inter_broker(struct parser *parser, struct listeners *listeners)
{
    const char *name = settings_text(parser->settings, SETTING_INTER_BROKER_LISTENER_NAME);
    const char *setting = "inter.broker.listener.name";
    if (name == NULL) {
        setting = "security.inter.broker.protocol";
        name = settings_text(parser->settings, SETTING_SECURITY_INTER_BROKER_PROTOCOL);
    } else if (settings_layer_value(parser->settings, CONFIG_SOURCE_STATIC_BROKER,
                                    SETTING_SECURITY_INTER_BROKER_PROTOCOL) != NULL) {
        diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR,
                      "inter.broker.listener.name and security.inter.broker.protocol are both set; "
                      "take one out");
    }
    const struct listener_address *found = listeners_find(listeners->items, listeners->count, name);
    if (found != NULL) {
        listeners->inter_broker = (size_t)(found - listeners->items);
        return;
    }
    const bool is_named = strcmp(setting, "inter.broker.listener.name") == 0;
    /* A single broker that names neither has nobody to talk to: any of its listeners will do. */
    if (is_named || settings_layer_value(parser->settings, CONFIG_SOURCE_STATIC_BROKER,
                                         SETTING_SECURITY_INTER_BROKER_PROTOCOL) != NULL) {
        diagnoses_add(parser->diagnoses, DIAGNOSIS_ERROR, "%s: %s is not in listeners", setting,
                      name);
    }
}

enum error listeners_parse(const struct settings *settings, struct arena *arena,
                           struct diagnoses *diagnoses, struct listeners *ret_listeners)
{
    struct parser parser = {.settings = settings, .arena = arena, .diagnoses = diagnoses};
    struct listeners listeners = {.count = 0};
    const size_t errors_before = diagnoses->error_count;
    check_map(&parser);
    parse_list(&parser, SETTING_LISTENERS, &listeners.items, &listeners.count);
    parse_list(&parser, SETTING_ADVERTISED_LISTENERS, &listeners.advertised,
               &listeners.advertised_count);
    if (parser.is_out_of_memory) {
        return E_LOCAL_NO_MEMORY;
    }
    listeners.count = drop_controllers(&parser, listeners.items, listeners.count);
    listeners.advertised_count =
        drop_controllers(&parser, listeners.advertised, listeners.advertised_count);
    resolve_protocols(&parser, listeners.items, listeners.count);
    if (listeners.count == 0 && diagnoses->error_count == errors_before) {
        diagnoses_add(diagnoses, DIAGNOSIS_ERROR,
                      "listeners: there is none for clients; add PLAINTEXT://127.0.0.1:9092");
    }
    if (diagnoses->error_count == errors_before) {
        check_advertised(&parser, &listeners);
        resolve_inter_broker(&parser, &listeners);
    }
    if (diagnoses->error_count != errors_before) {
        return E_INVALID_CONFIG;
    }
    *ret_listeners = listeners;
    return E_OK;
}

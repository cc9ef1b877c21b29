/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of ids and varints from outside: never read beyond the end, and what is accepted makes the
 * round trip. */
#include "base/bytes.h"
#include "base/uuid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_varints(const uint8_t *p, const uint8_t *end)
{
    uint8_t bytes[UVARINT64_SIZE_MAX];
    uint64_t value;
    uint64_t again;
    while ((p = uvarint64_read(p, end, &value)) != NULL) {
        const uint8_t *written = uvarint64_write(bytes, value);
        check((size_t)(written - bytes) == uvarint64_size(value));
        check(uvarint64_read(bytes, written, &again) == written);
        check(again == value);
    }
}

static void try_uuid(struct slice text)
{
    char formatted[UUID_TEXT_SIZE + 1];
    struct uuid uuid;
    if (!uuid_parse(text, &uuid)) {
        return;
    }
    uuid_format(&uuid, formatted);
    check(memcmp(formatted, text.data, UUID_TEXT_SIZE - 1) == 0); /* the last has unused bits */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int32_t value;
    (void)varint_read(data, data + size, &value);
    try_varints(data, data + size);
    try_uuid(slice_of(data, size));
    return 0;
}

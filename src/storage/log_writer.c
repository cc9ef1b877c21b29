/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/log_writer.h"

#include <stdlib.h>

#include "storage/log_private.h"

static void on_turn_end(struct deferred *deferred)
{
    log_writer_flush(container_of(deferred, struct log_writer, deferred));
}

enum error log_writer_new(struct loop *loop, struct log_writer **ret_writer)
{
    struct log_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return E_LOCAL_NO_MEMORY;
    }
    deferred_init(&writer->deferred, on_turn_end);
    writer->loop = loop;
    list_init(&writer->logs);
    *ret_writer = writer;
    return E_OK;
}

void log_writer_free(struct log_writer *writer)
{
    if (writer != NULL) {
        check(list_is_empty(&writer->logs));
        deferred_cancel(&writer->deferred);
        batch_builder_done(&writer->builder);
        free(writer);
    }
}

void log_writer_add(struct log_writer *writer, struct log *log)
{
    if (list_is_empty(&log->writer_node)) {
        list_push_back(&writer->logs, &log->writer_node);
    }
    if (writer->loop != NULL) {
        loop_defer(writer->loop, &writer->deferred, PHASE_WRITE);
    }
}

/* on_done may append again, to this log or to another: those go into the next round. */
static void complete(struct log *log)
{
    struct list done;
    list_init(&done);
    list_splice_back(&done, &log->written);
    struct list *node;
    while ((node = list_pop_front(&done)) != NULL) {
        struct append *append = container_of(node, struct append, node);
        struct shared *owner = append->owner;
        append->on_done(append); /* the storage of append is the caller's again */
        shared_unref(owner);
    }
}

void log_writer_flush(struct log_writer *writer)
{
    struct list logs;
    list_init(&logs);
    /* All writes first: what is acknowledged together is written together. */
    LIST_FOREACH (node, &writer->logs) {
        log_write_queued(container_of(node, struct log, writer_node));
    }
    list_splice_back(&logs, &writer->logs);
    struct list *node;
    while ((node = list_pop_front(&logs)) != NULL) {
        complete(container_of(node, struct log, writer_node));
    }
}

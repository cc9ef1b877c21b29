/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the log writer, for log_*.c: which logs have appends of this turn. See log.h. */

#include <sys/uio.h>

#include "io/loop.h"
#include "record/build.h"
#include "storage/log.h"

enum { WRITER_PIECES_MAX = 1024 }; /* IOV_MAX of Linux */

struct log_writer {
    struct deferred deferred;
    struct loop *loop;            /* NULL: flushed by hand */
    struct list logs;             /* log.writer_node */
    struct batch_builder builder; /* for what is converted or recompressed */
    struct iovec pieces[WRITER_PIECES_MAX];
};

/* The log will be written at the end of this turn. */
void log_writer_add(struct log_writer *writer, struct log *log);

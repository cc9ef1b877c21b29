/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of several threads all arrive, once each and in order per sender. */
#include "io/mailbox.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "base/list.h"

#include <cmocka.h>

enum {
    SENDER_COUNT = 3,
    MESSAGE_COUNT = 20000, /* each */
};

struct note {
    struct message message;
    int sender;
    int number;
};

struct sender {
    struct mailbox *mailbox;
    pthread_t thread;
    struct note notes[MESSAGE_COUNT];
};

static void *send_all(void *argument)
{
    struct sender *sender = argument;
    for (int i = 0; i < MESSAGE_COUNT; i++) {
        mailbox_push(sender->mailbox, &sender->notes[i].message);
    }
    return NULL;
}

static void test_many_senders(void **state)
{
    static struct sender senders[SENDER_COUNT];
    struct mailbox mailbox;
    int next[SENDER_COUNT] = {0};
    int received = 0;
    (void)state;
    mailbox_init(&mailbox);
    assert_true(mailbox_is_empty(&mailbox));
    assert_null(mailbox_take_all(&mailbox));
    for (int s = 0; s < SENDER_COUNT; s++) {
        senders[s].mailbox = &mailbox;
        for (int i = 0; i < MESSAGE_COUNT; i++) {
            senders[s].notes[i] = (struct note){.sender = s, .number = i};
        }
        assert_int_equal(pthread_create(&senders[s].thread, NULL, send_all, &senders[s]), 0);
    }
    while (received < SENDER_COUNT * MESSAGE_COUNT) {
        struct message *message = mailbox_take_all(&mailbox);
        if (message == NULL) {
            (void)sched_yield();
        }
        for (; message != NULL; message = message->next) {
            const struct note *note = container_of(message, struct note, message);
            assert_int_equal(note->number, next[note->sender]);
            next[note->sender]++;
            received++;
        }
    }
    for (int s = 0; s < SENDER_COUNT; s++) {
        assert_int_equal(pthread_join(senders[s].thread, NULL), 0);
    }
    assert_true(mailbox_is_empty(&mailbox));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_senders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

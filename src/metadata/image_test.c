/* SPDX-License-Identifier: Apache-2.0 */
#include "metadata/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "metadata/image_builder.h"
#include "metadata/image_private.h"

#include <cmocka.h>

enum {
    NAME_COUNT = 200,
    STEP_COUNT = 4000,
};

/* What the image must hold: topic i is "t<i>", with these partitions, or absent with 0. */
struct model {
    uint32_t partition_count[NAME_COUNT];
    struct uuid id[NAME_COUNT];
};

static struct slice model_name(int index, char text[16])
{
    return slice_of(text, (size_t)snprintf(text, 16, "t%d", index));
}

static void put(struct image_builder *builder, struct slice name, struct uuid id,
                uint32_t partition_count)
{
    static const int32_t replicas[] = {1, 2, 3};
    struct image_partition parts[8] = {{0}};
    assert_true(partition_count <= 8);
    for (uint32_t i = 0; i < partition_count; i++) {
        parts[i] = (struct image_partition){
            .leader = 1 + (int32_t)i % 3,
            .replica_count = 3,
            .isr_count = 1 + i % 3,
            .replicas = replicas,
            .isr = replicas,
        };
    }
    const struct config_entry configs[] = {
        {SLICE("retention.ms"), SLICE("5")},
        {SLICE("cleanup.policy"), SLICE("compact")},
    };
    assert_int_equal(
        image_builder_put_topic(builder, &(struct image_topic){.name = name,
                                                               .id = id,
                                                               .partition_count = partition_count,
                                                               .partitions = parts,
                                                               .config_count = 2,
                                                               .configs = configs}),
        E_OK);
}

static void assert_topic(const struct image_topic *topic, struct slice name, const struct uuid *id,
                         uint32_t partition_count)
{
    assert_non_null(topic);
    assert_true(slice_equal(topic->name, name));
    assert_true(uuid_equal(&topic->id, id));
    assert_int_equal(topic->partition_count, partition_count);
    for (uint32_t i = 0; i < partition_count; i++) {
        assert_int_equal(topic->partitions[i].leader, 1 + i % 3);
        assert_int_equal(topic->partitions[i].replicas[2], 3);
        assert_int_equal(topic->partitions[i].isr_count, 1 + i % 3);
        assert_int_equal(topic->partitions[i].isr[i % 3], 1 + i % 3);
    }
    assert_true(slice_equal_string(topic->configs[0].name, "cleanup.policy"));
    assert_true(slice_equal_string(topic->configs[1].value, "5"));
}

static void assert_equals_model(const struct image *image, const struct model *model)
{
    size_t topics = 0;
    size_t parts = 0;
    for (int i = 0; i < NAME_COUNT; i++) {
        char text[16];
        const struct slice name = model_name(i, text);
        const struct image_topic *topic = image_find_topic(image, name);
        if (model->partition_count[i] == 0) {
            assert_null(topic);
            continue;
        }
        topics++;
        parts += model->partition_count[i];
        assert_topic(topic, name, &model->id[i], model->partition_count[i]);
        assert_ptr_equal(topic, image_find_topic_by_id(image, &model->id[i]));
    }
    assert_int_equal(image->topic_count, topics);
    assert_int_equal(image->partition_count, parts);
    assert_true(image_tree_is_sound(image->topics_by_name, IMAGE_TREE_BY_NAME));
    assert_true(image_tree_is_sound(image->topics_by_id, IMAGE_TREE_BY_ID));

    const struct image_topic *previous = NULL;
    size_t seen = 0;
    for (const struct image_topic *it = image_next_topic(image, NULL); it != NULL;
         it = image_next_topic(image, it)) {
        assert_true(previous == NULL || slice_compare(previous->name, it->name) < 0);
        previous = it;
        seen++;
    }
    assert_int_equal(seen, topics);
}

static void random_change(struct image_builder *builder, struct model *model, struct rng *rng)
{
    const int index = (int)rng_below(rng, NAME_COUNT);
    const bool is_present = model->partition_count[index] > 0;
    char text[16];
    const struct slice name = model_name(index, text);
    if (is_present && rng_below(rng, 5) < 2) {
        assert_int_equal(image_builder_remove_topic(builder, name), E_OK);
        model->partition_count[index] = 0;
        return;
    }
    if (!is_present || rng_below(rng, 4) == 0) { /* remade under a new id now and then */
        model->id[index] = uuid_random(rng);
    }
    model->partition_count[index] = 1 + (uint32_t)rng_below(rng, 8);
    put(builder, name, model->id[index], model->partition_count[index]);
}

/* Random puts and removals in batches give the same as an array, by name, by id and in order, while
 * an older image that is still held never changes. */
static void behaves_like_an_array(void **state)
{
    (void)state;
    const uint64_t seed = 20261122;
    struct rng rng;
    rng_init(&rng, seed);
    struct image_source *source = image_source_new(NULL);
    static struct model model;
    struct model old_model = model;
    struct image *old = image_source_take(source);

    for (int step = 0; step < STEP_COUNT;) {
        struct image_builder *builder;
        assert_int_equal(image_builder_new(source, &builder), E_OK);
        for (uint64_t batch = rng_below(&rng, 30); batch > 0; batch--, step++) {
            random_change(builder, &model, &rng);
        }
        image_builder_publish(builder);
        step++;
        struct image *image = image_source_take(source);
        if (rng_below(&rng, 10) == 0) {
            assert_equals_model(image, &model);
            assert_equals_model(old, &old_model);
            image_unref(old);
            old = image_ref(image);
            old_model = model;
        }
        image_unref(image);
    }
    image_unref(old);
    image_source_free(source);
}

struct record {
    struct image_listener listener;
    char text[256];
};

static void on_change(void *context, const struct image *before, const struct image *after,
                      const struct image_delta_topic *topics, size_t topic_count,
                      bool settings_changed)
{
    struct record *record = context;
    size_t at = 0;
    assert_int_equal(after->version, before->version + 1);
    assert_false(settings_changed);
    for (size_t i = 0; i < topic_count; i++) {
        const struct image_topic *some =
            topics[i].after == NULL ? topics[i].before : topics[i].after;
        at +=
            (size_t)snprintf(record->text + at, sizeof(record->text) - at, "%s%.*s ",
                             topics[i].before == NULL ? "+" : (topics[i].after == NULL ? "-" : "="),
                             (int)some->name.size, (const char *)some->name.data);
    }
    record->text[at] = '\0';
}

/* A listener hears of each topic that differs, once, in order of name, and of a topic remade under
 * another id as deleted and then new. */
static void tells_what_changed(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    struct image_source *source = image_source_new(NULL);
    struct record record = {.listener = {.context = &record, .on_change = on_change}};
    image_source_subscribe(source, &record.listener);
    const struct uuid id_a = uuid_random(&rng);
    const struct uuid id_b = uuid_random(&rng);

    struct image_builder *builder;
    assert_int_equal(image_builder_new(source, &builder), E_OK);
    put(builder, SLICE("b"), id_b, 1);
    put(builder, SLICE("a"), id_a, 1);
    put(builder, SLICE("gone"), uuid_random(&rng), 1);
    put(builder, SLICE("a"), id_a, 2);
    assert_int_equal(image_builder_remove_topic(builder, SLICE("gone")), E_OK);
    assert_int_equal(image_builder_remove_topic(builder, SLICE("never")), E_OK);
    image_builder_publish(builder);
    assert_string_equal(record.text, "+a +b ");

    assert_int_equal(image_builder_new(source, &builder), E_OK);
    put(builder, SLICE("a"), uuid_random(&rng), 1);
    put(builder, SLICE("b"), id_b, 3);
    image_builder_publish(builder);
    assert_string_equal(record.text, "-a +a =b ");

    assert_int_equal(image_builder_new(source, &builder), E_OK);
    assert_int_equal(image_builder_remove_topic(builder, SLICE("b")), E_OK);
    image_builder_free(builder); /* dropped: nobody hears of it */
    assert_string_equal(record.text, "-a +a =b ");
    struct image *image = image_source_take(source);
    assert_int_equal(image->topic_count, 2);
    image_unref(image);
    image_source_free(source);
}

/* What belongs to the cluster is copied, sorted, found and kept over changes of topics. */
static void keeps_the_cluster(void **state)
{
    (void)state;
    struct image_source *source = image_source_new(NULL);
    const struct image_endpoint endpoint = {SLICE("PLAINTEXT"), SLICE("h"), 9092};
    const struct image_broker brokers[] = {
        {.id = 7, .epoch = 40, .rack = SLICE("r"), .endpoint_count = 1, .endpoints = &endpoint},
        {.id = 3, .epoch = 41},
    };
    const struct image_feature features[] = {{SLICE("transaction.version"), 2},
                                             {SLICE("group.version"), 1}};
    struct image_builder *builder;
    assert_int_equal(image_builder_new(source, &builder), E_OK);
    assert_int_equal(
        image_builder_set_cluster(builder, &(struct image_cluster_spec){.cluster_id = SLICE("c"),
                                                                        .controller_id = 7,
                                                                        .controller_epoch = 2,
                                                                        .brokers = brokers,
                                                                        .broker_count = 2,
                                                                        .features = features,
                                                                        .feature_count = 2}),
        E_OK);
    image_builder_publish(builder);
    assert_int_equal(image_builder_new(source, &builder), E_OK);
    put(builder, SLICE("a"), UUID_ZERO, 1);
    image_builder_publish(builder);

    struct image *image = image_source_take(source);
    image_source_free(source);
    assert_true(slice_equal_string(image->cluster_id, "c"));
    assert_int_equal(image->brokers[0].id, 3);
    const struct image_broker *broker = image_find_broker(image, 7);
    assert_true(slice_equal_string(broker->rack, "r"));
    assert_true(slice_equal_string(broker->endpoints[0].host, "h"));
    assert_null(image_find_broker(image, 1));
    assert_true(slice_equal_string(image->features[0].name, "group.version"));
    image_unref(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_an_array),
        cmocka_unit_test(tells_what_changed),
        cmocka_unit_test(keeps_the_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

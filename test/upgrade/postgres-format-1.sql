SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA junctura;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE junctura.claim_73300784 (
    fingerprint bytea NOT NULL,
    "position" bigint NOT NULL,
    expires_at_ms bigint NOT NULL
);
CREATE TABLE junctura.claim_bucket (
    bucket bigint NOT NULL
);
CREATE TABLE junctura.format (
    number integer NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE junctura.log_1 (
    "position" bigint NOT NULL,
    channel text NOT NULL COLLATE pg_catalog."C",
    slot integer NOT NULL,
    at_ms bigint NOT NULL,
    bytes bytea NOT NULL
);
ALTER TABLE ONLY junctura.log_1 ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE junctura.log_2 (
    "position" bigint NOT NULL,
    channel text NOT NULL COLLATE pg_catalog."C",
    slot integer NOT NULL,
    at_ms bigint NOT NULL,
    bytes bytea NOT NULL
);
ALTER TABLE ONLY junctura.log_2 ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE junctura.log_3 (
    "position" bigint NOT NULL,
    channel text NOT NULL COLLATE pg_catalog."C",
    slot integer NOT NULL,
    at_ms bigint NOT NULL,
    bytes bytea NOT NULL
);
ALTER TABLE ONLY junctura.log_3 ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE junctura.log_partition (
    id bigint NOT NULL,
    first_position bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    last_position bigint NOT NULL,
    first_at_ms bigint NOT NULL,
    last_at_ms bigint NOT NULL,
    bytes bigint NOT NULL
);
CREATE TABLE junctura.state_alerts (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_state bytea,
    by_last_at_ms bytea
);
CREATE TABLE junctura.state_dead_letters (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_state bytea,
    by_died_at_ms bytea,
    by_consumer bytea,
    by_cause bytea,
    by_message_id bytea
);
CREATE TABLE junctura.state_expired (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_at_ms bytea
);
CREATE TABLE junctura.state_held (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL
);
CREATE TABLE junctura.state_invalid (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_state bytea,
    by_received_at_ms bytea,
    by_cause bytea,
    by_webhook bytea
);
CREATE TABLE junctura.state_lanes (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_consumer bytea,
    by_state bytea,
    by_due_at_ms bytea
);
CREATE TABLE junctura.state_meta (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL
);
CREATE TABLE junctura.state_models (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL
);
CREATE TABLE junctura.state_once_results (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_consumer bytea,
    by_position bytea
);
CREATE TABLE junctura.state_operations (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_at_ms bytea
);
CREATE TABLE junctura.state_progress (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL
);
CREATE TABLE junctura.state_repeats (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_webhook bytea,
    by_last_at_ms bytea
);
CREATE TABLE junctura.state_replayed (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL
);
CREATE TABLE junctura.state_replays (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_state bytea,
    by_created_at_ms bytea
);
CREATE TABLE junctura.state_starts (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL
);
CREATE TABLE junctura.state_successors (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_lane bytea,
    by_position bytea
);
CREATE TABLE junctura.state_suspects (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_consumer bytea,
    by_position bytea
);
CREATE TABLE junctura.state_timers (
    key bytea NOT NULL,
    value text NOT NULL,
    checksum bigint NOT NULL,
    by_due_at_ms bytea
);
CREATE TABLE junctura.user_migration (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE junctura.writer (
    one boolean DEFAULT true NOT NULL,
    epoch bigint NOT NULL,
    owner text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    head bigint NOT NULL,
    CONSTRAINT writer_one_check CHECK (one)
);
INSERT INTO junctura.claim_73300784 VALUES ('\x8ef95d5f0e02f70d6f06122bd57c9cb9f42abb1e89e6e7b0f44ae84a52b3e0c1', 1, 9007199254740991);
INSERT INTO junctura.claim_73300784 VALUES ('\x3f964cf5956c4936363b09d7ee7c6fc05779200195652bf1434b6ea82c6d4120', 2, 9007199254740991);
INSERT INTO junctura.claim_73300784 VALUES ('\xfebacacbe80cc374954f37f47bb0a68a4925385e91c21cfe926ad774195bc5f7', 3, 9007199254740991);
INSERT INTO junctura.claim_bucket VALUES (73300784);
INSERT INTO junctura.format VALUES (1, '2026-11-21 10:53:59.331442+00');
INSERT INTO junctura.log_1 VALUES (1, 'orders', 0, 1, '\x4a5201005df2df02000100007b22636f646563223a226a736f6e222c22656e76656c6f7065223a7b227370656376657273696f6e223a22312e30222c226964223a226f6e65222c2274797065223a226f72646572732e706c61636564222c22736f75726365223a222f7075626c697368222c2274696d65223a22323032362d30312d30315430303a30303a30302e3030305a222c2264617461636f6e74656e7474797065223a226170706c69636174696f6e2f6a736f6e222c22636f6e747261637476657273696f6e223a312c22706172746974696f6e6b6579223a226f6e65222c22636f7272656c6174696f6e6964223a226f6e65222c2274656e616e74223a2264656661756c74227d7d020000007b7d');
INSERT INTO junctura.log_2 VALUES (2, 'orders', 0, 1, '\x4a520100750f8d8f000100007b22636f646563223a226a736f6e222c22656e76656c6f7065223a7b227370656376657273696f6e223a22312e30222c226964223a2274776f222c2274797065223a226f72646572732e706c61636564222c22736f75726365223a222f7075626c697368222c2274696d65223a22323032362d30312d30315430303a30303a30302e3030305a222c2264617461636f6e74656e7474797065223a226170706c69636174696f6e2f6a736f6e222c22636f6e747261637476657273696f6e223a312c22706172746974696f6e6b6579223a2274776f222c22636f7272656c6174696f6e6964223a2274776f222c2274656e616e74223a2264656661756c74227d7d020000007b7d');
INSERT INTO junctura.log_3 VALUES (3, 'orders', 0, 1, '\x4a520100957a70cf060100007b22636f646563223a226a736f6e222c22656e76656c6f7065223a7b227370656376657273696f6e223a22312e30222c226964223a227468726565222c2274797065223a226f72646572732e706c61636564222c22736f75726365223a222f7075626c697368222c2274696d65223a22323032362d30312d30315430303a30303a30302e3030305a222c2264617461636f6e74656e7474797065223a226170706c69636174696f6e2f6a736f6e222c22636f6e747261637476657273696f6e223a312c22706172746974696f6e6b6579223a227468726565222c22636f7272656c6174696f6e6964223a227468726565222c2274656e616e74223a2264656661756c74227d7d020000007b7d');
INSERT INTO junctura.log_partition VALUES (1, 1, 1795258439752, 1, 1, 1, 334);
INSERT INTO junctura.log_partition VALUES (2, 2, 1795258439774, 2, 1, 1, 334);
INSERT INTO junctura.log_partition VALUES (3, 3, 1795258439782, 3, 1, 1, 340);
INSERT INTO junctura.state_timers VALUES ('\x6f6e65', '{"owner":"o","reference":"one","dueAtMs":1}', 3917727113, '\x01bff0000000000000');
INSERT INTO junctura.state_timers VALUES ('\x74776f', '{"owner":"o","reference":"two","dueAtMs":1}', 377402899, '\x01bff0000000000000');
INSERT INTO junctura.state_timers VALUES ('\x7468726565', '{"owner":"o","reference":"three","dueAtMs":1}', 851725066, '\x01bff0000000000000');
INSERT INTO junctura.writer VALUES (true, 1, '91dc0890, process 14394', '-infinity', 3);
ALTER TABLE ONLY junctura.claim_73300784
    ADD CONSTRAINT claim_73300784_pkey PRIMARY KEY (fingerprint);
ALTER TABLE ONLY junctura.claim_bucket
    ADD CONSTRAINT claim_bucket_pkey PRIMARY KEY (bucket);
ALTER TABLE ONLY junctura.format
    ADD CONSTRAINT format_pkey PRIMARY KEY (number);
ALTER TABLE ONLY junctura.log_1
    ADD CONSTRAINT log_1_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY junctura.log_2
    ADD CONSTRAINT log_2_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY junctura.log_3
    ADD CONSTRAINT log_3_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY junctura.log_partition
    ADD CONSTRAINT log_partition_pkey PRIMARY KEY (id);
ALTER TABLE ONLY junctura.state_alerts
    ADD CONSTRAINT state_alerts_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_dead_letters
    ADD CONSTRAINT state_dead_letters_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_expired
    ADD CONSTRAINT state_expired_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_held
    ADD CONSTRAINT state_held_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_invalid
    ADD CONSTRAINT state_invalid_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_lanes
    ADD CONSTRAINT state_lanes_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_meta
    ADD CONSTRAINT state_meta_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_models
    ADD CONSTRAINT state_models_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_once_results
    ADD CONSTRAINT state_once_results_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_operations
    ADD CONSTRAINT state_operations_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_progress
    ADD CONSTRAINT state_progress_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_repeats
    ADD CONSTRAINT state_repeats_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_replayed
    ADD CONSTRAINT state_replayed_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_replays
    ADD CONSTRAINT state_replays_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_starts
    ADD CONSTRAINT state_starts_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_successors
    ADD CONSTRAINT state_successors_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_suspects
    ADD CONSTRAINT state_suspects_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.state_timers
    ADD CONSTRAINT state_timers_pkey PRIMARY KEY (key);
ALTER TABLE ONLY junctura.user_migration
    ADD CONSTRAINT user_migration_pkey PRIMARY KEY (name);
ALTER TABLE ONLY junctura.writer
    ADD CONSTRAINT writer_pkey PRIMARY KEY (one);
CREATE INDEX log_1_channel_position_idx ON junctura.log_1 USING btree (channel, "position");
CREATE INDEX log_2_channel_position_idx ON junctura.log_2 USING btree (channel, "position");
CREATE INDEX log_3_channel_position_idx ON junctura.log_3 USING btree (channel, "position");
CREATE INDEX state_alerts_by_state ON junctura.state_alerts USING btree (by_state, by_last_at_ms, key) WHERE ((by_state IS NOT NULL) AND (by_last_at_ms IS NOT NULL));
CREATE INDEX state_dead_letters_by_cause ON junctura.state_dead_letters USING btree (by_cause, by_state, by_died_at_ms, key) WHERE ((by_cause IS NOT NULL) AND (by_state IS NOT NULL) AND (by_died_at_ms IS NOT NULL));
CREATE INDEX state_dead_letters_by_consumer ON junctura.state_dead_letters USING btree (by_consumer, by_state, by_died_at_ms, key) WHERE ((by_consumer IS NOT NULL) AND (by_state IS NOT NULL) AND (by_died_at_ms IS NOT NULL));
CREATE INDEX state_dead_letters_by_message ON junctura.state_dead_letters USING btree (by_message_id, key) WHERE (by_message_id IS NOT NULL);
CREATE INDEX state_dead_letters_by_state ON junctura.state_dead_letters USING btree (by_state, by_died_at_ms, key) WHERE ((by_state IS NOT NULL) AND (by_died_at_ms IS NOT NULL));
CREATE INDEX state_expired_by_time ON junctura.state_expired USING btree (by_at_ms, key) WHERE (by_at_ms IS NOT NULL);
CREATE INDEX state_invalid_by_cause ON junctura.state_invalid USING btree (by_cause, by_state, by_received_at_ms, key) WHERE ((by_cause IS NOT NULL) AND (by_state IS NOT NULL) AND (by_received_at_ms IS NOT NULL));
CREATE INDEX state_invalid_by_state ON junctura.state_invalid USING btree (by_state, by_received_at_ms, key) WHERE ((by_state IS NOT NULL) AND (by_received_at_ms IS NOT NULL));
CREATE INDEX state_invalid_by_webhook ON junctura.state_invalid USING btree (by_webhook, by_state, by_received_at_ms, key) WHERE ((by_webhook IS NOT NULL) AND (by_state IS NOT NULL) AND (by_received_at_ms IS NOT NULL));
CREATE INDEX state_lanes_by_consumer ON junctura.state_lanes USING btree (by_consumer, by_state, by_due_at_ms, key) WHERE ((by_consumer IS NOT NULL) AND (by_state IS NOT NULL) AND (by_due_at_ms IS NOT NULL));
CREATE INDEX state_once_results_by_message ON junctura.state_once_results USING btree (by_consumer, by_position, key) WHERE ((by_consumer IS NOT NULL) AND (by_position IS NOT NULL));
CREATE INDEX state_operations_by_time ON junctura.state_operations USING btree (by_at_ms, key) WHERE (by_at_ms IS NOT NULL);
CREATE INDEX state_repeats_by_webhook ON junctura.state_repeats USING btree (by_webhook, by_last_at_ms, key) WHERE ((by_webhook IS NOT NULL) AND (by_last_at_ms IS NOT NULL));
CREATE INDEX state_replays_by_state ON junctura.state_replays USING btree (by_state, by_created_at_ms, key) WHERE ((by_state IS NOT NULL) AND (by_created_at_ms IS NOT NULL));
CREATE INDEX state_successors_by_lane ON junctura.state_successors USING btree (by_lane, by_position, key) WHERE ((by_lane IS NOT NULL) AND (by_position IS NOT NULL));
CREATE INDEX state_suspects_by_consumer ON junctura.state_suspects USING btree (by_consumer, by_position, key) WHERE ((by_consumer IS NOT NULL) AND (by_position IS NOT NULL));
CREATE INDEX state_timers_by_due ON junctura.state_timers USING btree (by_due_at_ms, key) WHERE (by_due_at_ms IS NOT NULL);

/** What a page adds to a metric's own words, by the metric's name: label values, traps. */
export const METRIC_NOTES: Readonly<Record<string, string>> = {
  junctura_health_duplicate_ratio:
    'The window is the last 15 minutes. 0 when nothing came. A high value is not an error: a partner that retries is answered from the record. A sudden rise says that our answers do not reach it.',
  junctura_health_dead_letters: 'Not a rate: it stays up until somebody retries or drops them.',
  junctura_health_contract_mismatch_ratio:
    "The window is the last 15 minutes. 0 when nothing came. Anything above 0 after a partner's release is worth a look at `junctura invalid groups`.",
  junctura_health_consumer_latency_seconds:
    '`percentile` is `p50`, `p95` or `p99`. The window is the last 15 minutes; 0 when nothing was done.',
  junctura_health_correlation_coverage_ratio:
    'The window is the last 15 minutes; 1 when nothing was appended. Counted are envelopes whose correlation id came from outside or from the message that caused them; a message that begins a flow gets its own id as correlation id and does not count.',
  junctura_ingress_latency_seconds:
    'Recorded for requests whose path named a webhook, whatever the answer.',
  junctura_ingress_duplicates: '`kind` is `repeat` or `mismatch`.',
  junctura_ingress_invalid:
    '`reason` is `schema`, `version`, `syntax` or `conflict`. Counted also when the shelf was full and the bytes were not kept.',
  junctura_ingress_refused:
    '`webhook` is `none` where no webhook was named. `reason` is `size`, `route`, `method`, `rate`, `overload`, `draining`, `content-type`, `encoding`, `body`, `signature`, `key`, `in-flight`, `store` or `internal`. `detail` is, of `signature`: `mismatch`, `too-old`, `too-new`, `missing-header`, `repeated-header`, `conflicting-headers`, `malformed`, `bad-message-id`, `too-many-signatures` or `no-secret`; of `body`: `too-slow` or `incomplete`; otherwise `none`.',
  junctura_ingress_refused_skew_seconds:
    "Only of requests whose signature fits, so a stranger cannot set it; an old request sent again by somebody else can. Positive: too old. Small and steady: somebody's clock is off. Large: a replay, or a queue at the partner.",
  junctura_contract_mismatches: '`reason` is `version` or `schema`.',
  junctura_ingress_signature_skew_seconds:
    "Positive: the sender's clock is behind ours, or the request was long on its way. Only schemes with a signed timestamp have it.",
  junctura_log_correlated:
    'Divided by `junctura_log_appended_total`: the coverage of health figure 5, over any window you like.',
  junctura_consumer_attempts:
    '`outcome` is `done`, `failed` or `timeout`. An attempt that took the process down is not counted here; the dead letter says how many there were (`crashes`).',
  junctura_dead_letters:
    '`stage` is `handler` or `transform`; for `transform`, `consumer` is the name of the webhook.',
  junctura_dead_letters_open:
    '`stage` is `handler` or `transform`; for `transform`, `consumer` is the name of the webhook. The sum over all series is health figure 2.',
  junctura_consumer_lag:
    'Exact while the consumer is at the head of the log. Behind it, an upper bound: positions of other channels are counted too.',
  junctura_consumer_parked_lanes:
    'Each holds the messages behind it until somebody retries or drops the dead letter at its head.',
  junctura_alerts_open:
    '`severity` is `critical` or `warning`; `state` is `open` or `acknowledged`.',
  junctura_alert_notifications:
    '`kind` is `opened`, `grown` or `resolved`; `outcome` is `sent` or `failed`. A failed one is tried again.',
  junctura_consumer_expired:
    '`consumer` is `all` in this release: retention does not say whose it was.',
  junctura_build: "`model` is the first 12 characters of the Model's hash.",
}

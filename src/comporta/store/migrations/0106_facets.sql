-- Sums by one property of calls at a time (and by none: facet and value are empty), made of the rollups once a minute or
-- an hour is over: figures of all calls, of one route or by model are then read from a few rows.
create table facet_minute (
    facet text not null,
    value text not null,
    period timestamptz not null,
    outcome_class text not null,
    calls bigint not null,
    streams bigint not null,
    retries bigint not null,
    cache_hits bigint not null,
    cache_lookups bigint not null,
    input_tokens bigint not null,
    cached_tokens bigint not null,
    cache_write_tokens bigint not null,
    audio_in_tokens bigint not null,
    image_in_tokens bigint not null,
    output_tokens bigint not null,
    reasoning_tokens bigint not null,
    audio_out_tokens bigint not null,
    hit_tokens bigint not null,
    estimated_calls bigint not null,
    cost_microusd bigint not null,
    unpriced_calls bigint not null,
    unpriced_tokens bigint not null,
    duration_us bigint not null,
    generating_us bigint not null,
    retried_calls bigint not null,
    cache_saved_microusd bigint not null,
    tokens_saved_microusd bigint not null,
    latency bigint[] not null,
    first_token bigint[] not null,
    primary key (facet, period, value, outcome_class)
);

create table facet_hour (like facet_minute including all);

-- Minutes and hours whose sums by property are not made, or not of all their calls: those are read from the rollups.
create table facet_stale_minute (period timestamptz not null);
create table facet_stale_hour (period timestamptz not null);
create index facet_stale_minute_period on facet_stale_minute (period);
create index facet_stale_hour_period on facet_stale_hour (period);

insert into facet_stale_minute select distinct period from rollup_minute;
insert into facet_stale_hour select distinct period from rollup_hour;

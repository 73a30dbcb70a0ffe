-- One row per call and one per span, in partitions by day (UTC), so that old ones go by dropping a table.
create table call (
    started_at timestamptz not null,
    id uuid not null,
    trace_id text not null,
    parent_id uuid,
    request_id text not null,
    duration_us bigint not null,
    first_us bigint,
    door text not null,
    kind text not null,
    stream boolean not null,
    asked text not null,
    route text,
    variant text,
    provider text,
    model text,
    credential text,
    reply_id text,
    reply_model text,
    key_id text not null,
    key_name text not null,
    team text,
    environment text,
    feature text,
    tags jsonb not null default '{}',
    user_id text,
    session text,
    -- Tokens in disjoint buckets; null where there is no usage.
    input_tokens bigint,
    cached_tokens bigint,
    cache_write_tokens bigint,
    audio_in_tokens bigint,
    image_in_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    audio_out_tokens bigint,
    estimated boolean not null,
    -- Null is unknown, never free.
    cost_microusd bigint,
    cache text not null,
    retries integer not null,
    dropped jsonb not null default '[]',
    outcome text not null,
    outcome_class text not null,
    status integer not null,
    error_type text,
    error_message text,
    malformed_frames integer not null,
    capture text not null,
    prompt jsonb,
    reply jsonb,
    primary key (started_at, id)
) partition by range (started_at);

create index call_id on call (id);
create index call_trace on call (trace_id);
create index call_session on call (session, started_at) where session is not null;
create index call_user on call (user_id, started_at) where user_id is not null;
create index call_key on call (key_id, started_at);

create table span (
    started_at timestamptz not null,
    call_id uuid not null,
    number integer not null,
    name text not null,
    start_us bigint not null,
    duration_us bigint not null,
    depth integer not null,
    error text,
    attributes jsonb,
    primary key (started_at, call_id, number)
) partition by range (started_at);

-- Sums by minute and by hour, and what they can be asked by; an absent value is the empty text.
create table rollup_minute (
    period timestamptz not null,
    route text not null,
    variant text not null,
    provider text not null,
    model text not null,
    key_id text not null,
    team text not null,
    environment text not null,
    feature text not null,
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
    estimated_calls bigint not null,
    cost_microusd bigint not null,
    -- Calls that used tokens whose price nobody knows: the cost above leaves them out.
    unpriced_calls bigint not null,
    duration_us bigint not null,
    latency bigint[] not null,
    first_token bigint[] not null,
    primary key (period, route, variant, provider, model, key_id, team, environment, feature, outcome_class)
);

create table rollup_hour (like rollup_minute including all);

-- A histogram is an array of `bucket << 40 | calls`; bucket b holds (1.08^(b-1), 1.08^b] microseconds, so that what is
-- read from it is off by 4 % at most.
create function histogram_bucket(duration_us bigint) returns bigint
language sql immutable parallel safe
as $$ select case when duration_us <= 1 then 0 else ceil(ln(duration_us::float8) / ln(1.08::float8))::bigint end $$;

create function histogram_merge(one bigint[], other bigint[]) returns bigint[]
language sql immutable parallel safe
as $$
    select coalesce(array_agg((bucket << 40) + calls order by bucket), '{}')
    from (
        select entry >> 40 as bucket, sum(entry & ((1::bigint << 40) - 1))::bigint as calls
        from unnest(one || other) as entry
        group by 1
    ) as merged
$$;

-- A partition is made beside its table and then attached, which does not shut out who reads or writes the others.
create function ensure_record_partitions(first_day date, last_day date) returns void
language plpgsql
as $$
declare
    parent text;
    part text;
    day date;
begin
    perform pg_advisory_xact_lock(hashtext('comporta.record_partitions'));
    foreach parent in array array['call', 'span'] loop
        for day in select first_day + n from generate_series(0, last_day - first_day) as n loop
            part := parent || '_' || to_char(day, 'YYYYMMDD');
            if to_regclass(part) is null then
                execute format('create table %I (like %I including all)', part, parent);
                execute format(
                    'alter table %I attach partition %I for values from (%L) to (%L)',
                    parent, part, to_char(day, 'YYYY-MM-DD 00:00:00+00'), to_char(day + 1, 'YYYY-MM-DD 00:00:00+00')
                );
            end if;
        end loop;
    end loop;
end
$$;

create function drop_record_partitions(before date) returns integer
language plpgsql
as $$
declare
    part text;
    dropped integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('comporta.record_partitions'));
    for part in
        select c.relname
        from pg_inherits as i
        join pg_class as c on c.oid = i.inhrelid
        where i.inhparent in ('call'::regclass, 'span'::regclass)
            and substring(c.relname from '_(\d{8})$') < to_char(before, 'YYYYMMDD')
    loop
        execute format('drop table %I', part);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

-- Traces of others: whose span a call took place in, spans that did not pass the gate, and calls to be told of elsewhere.
alter table call add column parent_span text;

-- Calls that are still to be exported, oldest first; filled where `otlp_target` has a row.
create table otlp_target (only_one boolean primary key default true check (only_one));
create table otlp_out (
    number bigint generated always as identity primary key,
    started_at timestamptz not null,
    call_id uuid not null
);

-- How far scores were exported.
create table otlp_scores (only_one boolean primary key default true check (only_one), told_at timestamptz not null);

-- Spans that others sent: chains, agents, tools. A call to a model among them has its row in `call` as well.
create table trace_span (
    started_at timestamptz not null,
    trace_id text not null,
    span_id text not null,
    parent_span_id text,
    -- Its row in `call`, where it is a call to a model, or the gate's own call that it stands for.
    call_id uuid,
    name text not null,
    kind text not null,
    duration_us bigint not null,
    error text,
    application text,
    scope text,
    team text,
    key_id text not null,
    user_id text,
    session text,
    attributes jsonb not null,
    primary key (started_at, trace_id, span_id)
) partition by range (started_at);

create index trace_span_trace on trace_span (trace_id);
create index trace_span_user on trace_span (user_id, started_at) where user_id is not null;
create index trace_span_session on trace_span (session, started_at) where session is not null;

create or replace function ensure_record_partitions(first_day date, last_day date) returns void
language plpgsql
as $$
declare
    parent text;
    part text;
    day date;
begin
    perform pg_advisory_xact_lock(hashtext('comporta.record_partitions'));
    foreach parent in array array['call', 'span', 'trace_span'] loop
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

create or replace function drop_record_partitions(before date) returns integer
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
        where i.inhparent in ('call'::regclass, 'span'::regclass, 'trace_span'::regclass)
            and substring(c.relname from '_(\d{8})$') < to_char(before, 'YYYYMMDD')
    loop
        execute format('drop table %I', part);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

-- What more is summed up of calls: how long answers took that a provider wrote, calls that were tried again, tokens
-- without a price, and what was saved by answers given again and by shorter prompts.
alter table rollup_minute add column generating_us bigint not null default 0;
alter table rollup_minute add column retried_calls bigint not null default 0;
alter table rollup_minute add column unpriced_tokens bigint not null default 0;
alter table rollup_minute add column cache_saved_microusd bigint not null default 0;
alter table rollup_minute add column tokens_saved_microusd bigint not null default 0;
alter table rollup_hour add column generating_us bigint not null default 0;
alter table rollup_hour add column retried_calls bigint not null default 0;
alter table rollup_hour add column unpriced_tokens bigint not null default 0;
alter table rollup_hour add column cache_saved_microusd bigint not null default 0;
alter table rollup_hour add column tokens_saved_microusd bigint not null default 0;

-- Scores summed up like calls, once they know theirs. `judge` and `label` tell guards' verdicts apart and are empty of
-- other scores: their words are anybody's. `low` counts values below a half.
create table score_minute (
    period timestamptz not null,
    name text not null,
    source text not null,
    judge text not null,
    label text not null,
    route text not null,
    variant text not null,
    provider text not null,
    model text not null,
    key_id text not null,
    team text not null,
    environment text not null,
    feature text not null,
    prompt_id text not null,
    prompt_version text not null,
    n bigint not null,
    total double precision not null,
    low bigint not null,
    primary key (
        period, name, source, judge, label, route, variant, provider, model, key_id, team, environment, feature,
        prompt_id, prompt_version
    )
);

create table score_hour (like score_minute including all);

-- Of scores that changed: what they were goes out of the sums and what they are comes in. Scores that are deleted stay
-- in them: figures outlive what they were made from.
create function score_rolled_up() returns trigger
language plpgsql
as $$
declare
    unit text;
begin
    foreach unit in array array['minute', 'hour'] loop
        execute format($insert$
            insert into %I as kept
            select date_trunc(%L, at, 'UTC'), left(name, 100), source,
                case when source = 'guard' then left(who, 50) else '' end,
                case when source = 'guard' then left(coalesce(label, ''), 20) else '' end,
                left(coalesce(route, ''), 100), left(coalesce(variant, ''), 100), left(coalesce(provider, ''), 100),
                left(coalesce(model, ''), 100), left(coalesce(key_id, ''), 100), left(coalesce(team, ''), 100),
                left(coalesce(environment, ''), 100), left(coalesce(feature, ''), 100),
                left(coalesce(prompt_id, ''), 100), left(coalesce(prompt_version, ''), 100),
                sum(sign), sum(sign * coalesce(number, 0)), coalesce(sum(sign) filter (where number < 0.5), 0)
            from (
                select 1 as sign, * from became where joined_at is not null
                union all
                select -1, * from was where joined_at is not null
            ) as changed
            group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
            having sum(sign) <> 0 or sum(sign * coalesce(number, 0)) <> 0
            order by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
            on conflict (
                period, name, source, judge, label, route, variant, provider, model, key_id, team, environment,
                feature, prompt_id, prompt_version
            ) do update set n = kept.n + excluded.n, total = kept.total + excluded.total, low = kept.low + excluded.low
        $insert$, 'score_' || unit, unit);
    end loop;
    return null;
end
$$;

-- Called again where the table is written anew, which leaves its triggers behind.
create function score_roll_up() returns void
language plpgsql
as $$
begin
    create trigger score_rolled_up after update on score
        referencing old table as was new table as became
        for each statement execute function score_rolled_up();
end
$$;

select score_roll_up();

-- What was judged before this table was there.
insert into score_hour
select date_trunc('hour', at, 'UTC'), left(name, 100), source,
    case when source = 'guard' then left(who, 50) else '' end,
    case when source = 'guard' then left(coalesce(label, ''), 20) else '' end,
    left(coalesce(route, ''), 100), left(coalesce(variant, ''), 100), left(coalesce(provider, ''), 100),
    left(coalesce(model, ''), 100), left(coalesce(key_id, ''), 100), left(coalesce(team, ''), 100),
    left(coalesce(environment, ''), 100), left(coalesce(feature, ''), 100), left(coalesce(prompt_id, ''), 100),
    left(coalesce(prompt_version, ''), 100), count(*), coalesce(sum(number), 0), count(*) filter (where number < 0.5)
from score where joined_at is not null
group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15;

-- Users and sessions with the most calls, cost, tokens or failures of an hour. `person` is whose row it is.
create table top_hour (
    period timestamptz not null,
    kind text not null check (kind in ('user', 'session')),
    name text not null,
    person text,
    calls bigint not null,
    failed_calls bigint not null,
    tokens bigint not null,
    cost_microusd bigint not null,
    duration_us bigint not null,
    primary key (period, kind, name)
);

create index top_hour_person on top_hour (person) where person is not null;

-- How an hour's list was made: when, from how many calls, how long that took, and whether it can change no more.
create table top_made (
    period timestamptz primary key,
    made_at timestamptz not null,
    calls bigint not null,
    took_s double precision not null
);

-- How each alert rule stands.
create table alert_state (
    rule text primary key,
    -- What the rule said: one that was changed begins anew.
    definition text not null,
    state text not null default 'ok' check (state in ('ok', 'warning', 'alert', 'no_data')),
    since timestamptz not null default now(),
    value double precision,
    calls bigint,
    -- Why there is no judgement, where there is none.
    reason text,
    looked_at timestamptz not null default now(),
    -- What it may become, and since when that was seen.
    pending text,
    pending_since timestamptz,
    -- What people were told last, and when.
    told text not null default 'ok',
    told_at timestamptz,
    -- The worst of the running event.
    worst text
);

-- One row for each change, and for each time that people were told.
create table alert_event (
    id bigint generated always as identity primary key,
    rule text not null,
    at timestamptz not null default now(),
    kind text not null,
    state_before text not null,
    state text not null,
    value double precision,
    calls bigint,
    reason text,
    silenced boolean not null default false,
    notice_id text
);

create index alert_event_rule on alert_event (rule, at desc, id desc);
create index alert_event_at on alert_event (at desc, id desc);

create table alert_silence (
    rule text primary key,
    ends_at timestamptz not null,
    reason text,
    made_by text not null,
    made_at timestamptz not null default now()
);

-- When the rules were looked at last, by whichever worker: one of them does it for all.
create table alert_round (
    only_one boolean primary key default true check (only_one),
    at timestamptz not null
);

insert into alert_round (at) values (timestamptz 'epoch');

-- A budget may ask for more than one thing of a call, hold for each user by itself, and act before it is used up.
alter table budget drop constraint budget_scope_check;
alter table budget add constraint budget_scope_check
    check (scope in ('key', 'team', 'environment', 'feature', 'user', 'tag', 'all'));
alter table budget
    add column also jsonb not null default '{}',
    add column per text check (per in ('user')),
    add column acts jsonb not null default '{}';

-- That a threshold of a budget was passed in a period: whoever puts the row in has people told, and nobody else.
create table budget_alert (
    budget_id text not null,
    -- Whose, where each user has a budget of its own: a hash.
    whose text not null default '',
    period text not null,
    begins_at timestamptz not null,
    threshold integer not null,
    spent_microusd bigint not null,
    limit_microusd bigint not null,
    at timestamptz not null default now(),
    primary key (budget_id, whose, period, begins_at, threshold)
);
create index budget_alert_begins on budget_alert (begins_at);

-- What was spent by the hour of calls that name a user or bear tags: the other rollups know neither. Users stand here
-- by a hash.
create table spent_hour (
    period timestamptz not null,
    key_id text not null,
    team text not null,
    environment text not null,
    feature text not null,
    user_sha256 bytea not null,
    tags_md5 uuid not null,
    tags jsonb not null,
    cost_microusd bigint not null,
    primary key (period, key_id, team, environment, feature, user_sha256, tags_md5)
);
create index spent_hour_user on spent_hour (user_sha256, period) where user_sha256 <> '';

-- The period that runs, and the week before it.
insert into spent_hour (
    period, key_id, team, environment, feature, user_sha256, tags_md5, tags, cost_microusd
)
select date_trunc('hour', started_at, 'UTC'), left(key_id, 100), left(coalesce(team, ''), 100),
    left(coalesce(environment, ''), 100), left(coalesce(feature, ''), 100),
    case when user_id is null then ''::bytea else sha256(convert_to(user_id, 'UTF8')) end, md5(tags::text)::uuid, tags,
    sum(cost_microusd)
from call
where started_at >= date_trunc('month', now(), 'UTC') - interval '7 days'
    and cost_microusd > 0 and (user_id is not null or tags <> '{}')
group by 1, 2, 3, 4, 5, 6, 7, 8;

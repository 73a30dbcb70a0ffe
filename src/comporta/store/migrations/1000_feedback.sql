-- What tokens of browsers are signed with. A new one is not used before every gate has read it.
create table feedback_key (
    id text primary key,
    secret bytea not null,
    made_at timestamptz not null default now()
);

-- What live quality spent on judges, by route and day (UTC): what is held counts until it is settled.
create table live_quality_day (
    route text not null,
    day date not null,
    cost_microusd bigint not null default 0,
    asked bigint not null default 0,
    primary key (route, day)
);

-- How far works beside the calls have looked.
create table feedback_mark (
    work text primary key,
    at timestamptz not null
);

-- Conversations (a session, else a trace) in which something went wrong, the worst first: made anew from scores and
-- calls whenever one of theirs comes in.
create table problem (
    kind text not null check (kind in ('session', 'trace')),
    id text not null,
    points double precision not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    calls integer not null,
    reasons jsonb not null,
    route text,
    prompt_id text,
    prompt_version text,
    team text,
    user_id text,
    trace_id text not null,
    call_id uuid not null,
    primary key (kind, id)
);
create index problem_points on problem (points desc, last_at desc, kind, id);
create index problem_route on problem (route, points desc, last_at desc, kind, id);
create index problem_last on problem (last_at);
create index problem_user on problem (user_id) where user_id is not null;
create index score_joined on score (joined_at) where joined_at is not null;

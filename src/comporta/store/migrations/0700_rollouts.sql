-- Rollouts and experiments: how a route's or a prompt label's calls are shared between side A and side B.
create table rollout (
    id uuid primary key,
    kind text not null check (kind in ('rollout', 'experiment')),
    name text not null,
    -- What it is about: a route (and which of its variants is A), or the label of a prompt (and its version on A).
    route text,
    variant text,
    prompt text,
    label text,
    -- What side B asks instead.
    change jsonb not null,
    -- What that came to at the start: provider, model, params, prompt.
    target jsonb,
    plan jsonb not null,
    shadow jsonb,
    -- The deploy: commit_sha, author, model_version.
    tags jsonb not null,
    state text not null check (
        state in ('shadow', 'running', 'paused', 'standing', 'done', 'rolled_back', 'aborted', 'stopped')
    ),
    -- The state that `resume` goes back to, and since when it is paused.
    paused_from text,
    paused_at timestamptz,
    stage integer not null default 0,
    share double precision not null check (share between 0 and 1),
    stage_at timestamptz not null,
    started_at timestamptz not null,
    started_by text not null,
    ended_at timestamptz,
    -- What keeps it from going on, for people.
    problem text,
    check ((route is null) <> (prompt is null)),
    check ((prompt is null) = (label is null))
);

-- One at a time for a route and for a label: two would make each other's figures mean nothing.
create unique index rollout_live_route on rollout (route) where ended_at is null and route is not null;
create unique index rollout_live_label on rollout (prompt, label) where ended_at is null and prompt is not null;
create index rollout_started on rollout (started_at desc);

-- Running sums of both sides, apart from the row above: they change every second.
create table rollout_figures (
    rollout uuid primary key references rollout (id),
    figures jsonb not null,
    shadow jsonb not null default '{}',
    -- What the last look found: the decision with its numbers.
    last jsonb,
    looked_at timestamptz
);

-- Everything that was done and decided, with the numbers that decided it.
create table rollout_event (
    id uuid primary key,
    number bigint generated always as identity,
    rollout uuid not null references rollout (id),
    at timestamptz not null,
    by text not null,
    act text not null,
    why text not null default '',
    before_share double precision,
    share double precision,
    stage integer,
    numbers jsonb
);
create index rollout_event_of on rollout_event (rollout, number);

create trigger rollout_event_keeps before update or delete or truncate on rollout_event
for each statement execute function comporta_keeps();

-- Ended calls of both sides that the figures do not hold yet. Written with the call's record, in one transaction;
-- taken out by whoever adds them to the figures, in one transaction too: none is lost, none counts twice.
create table rollout_call (
    number bigint generated always as identity primary key,
    -- As the call was tagged: whoever takes it out knows which rollouts there are.
    rollout text not null,
    side text not null,
    stage text not null,
    call_id uuid not null,
    started_at timestamptz not null,
    duration_us bigint not null,
    first_us bigint,
    cost_microusd bigint,
    cache text not null,
    outcome text not null,
    outcome_class text not null,
    -- The error that the side's own targets ended with, also where another target then answered.
    failed text
);
create index rollout_call_of on rollout_call (rollout, number);

-- Their scores, in the same way: written when a score has found its call.
create table rollout_score (
    number bigint generated always as identity primary key,
    rollout text not null,
    side text not null,
    stage text not null,
    at timestamptz not null,
    name text not null,
    kind text not null,
    value double precision,
    label text
);
create index rollout_score_of on rollout_score (rollout, number);

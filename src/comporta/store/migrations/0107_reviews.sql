-- What a person is to look at: an answer that models disagreed on, a guard in doubt, a complaint, a drift.
create table review (
    id text primary key,
    at timestamptz not null,
    taken_at timestamptz not null default now(),
    -- `consensus`, `guard`, `feedback`, `drift` …
    kind text not null,
    reason text not null,
    trace_id text,
    call_id uuid,
    route text,
    -- What there is to see: figures, and texts as far as they may be kept.
    payload jsonb not null default '{}',
    user_id text,
    state text not null default 'open' check (state in ('open', 'claimed', 'done')),
    -- Who claimed or decided it.
    by text,
    claimed_at timestamptz,
    decided_at timestamptz,
    verdict text check (verdict in ('accept', 'reject', 'correct')),
    -- Which of several answers was found right, and what would have been.
    choice text,
    correction text,
    note text
);
create index review_at on review (at, id);
create index review_waiting on review (at, id) where state <> 'done';
create index review_call on review (call_id) where call_id is not null;
create index review_trace on review (trace_id) where trace_id is not null;
create index review_user on review (user_id) where user_id is not null;

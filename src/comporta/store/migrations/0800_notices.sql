-- What people are told, and each way that it goes to them.
create table notice (
    id text primary key,
    kind text not null,
    severity text not null,
    title text not null,
    text text not null,
    link text,
    facts jsonb not null,
    -- When it happened, and when we were told.
    at timestamptz not null,
    taken_at timestamptz not null default now()
);

create index notice_taken on notice (taken_at);

create table delivery (
    notice_id text not null references notice (id) on delete cascade,
    channel text not null,
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'failed')),
    attempts integer not null default 0,
    -- When it is due; while it is being tried, when it is due again should its worker die.
    next_at timestamptz not null default now(),
    first_at timestamptz,
    ended_at timestamptz,
    -- How it was taken, or why not: neither addresses nor secrets.
    told text,
    primary key (notice_id, channel)
);

create index delivery_due on delivery (next_at) where state = 'waiting';

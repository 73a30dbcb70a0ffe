-- What was judged of calls. A row is put in as it was said (by trace, call or the id of a reply), and gets its call's
-- facts when the call's record is there: they outlive the record, so that figures do too.
create table score (
    -- Whose ids these are: '' the gate's own and administrators', else 'team/…' or 'key/…'; who may score what follows
    -- from it.
    owner text not null,
    id text not null,
    name text not null,
    -- When it was judged, and when we heard of it.
    at timestamptz not null,
    taken_at timestamptz not null default now(),
    kind text not null check (kind in ('number', 'boolean', 'text')),
    -- True is 1 and false is 0, so that a share is a mean; null in a text.
    number double precision,
    label text,
    source text not null,
    who text not null,
    reason text,
    -- What it was said of.
    trace_id text,
    call_id uuid,
    reply_id text,
    -- The call that a reply's id was made from, where it was made here.
    reply_call uuid,
    -- Of the call; null until its record is there.
    joined_at timestamptz,
    called_at timestamptz,
    route text,
    variant text,
    provider text,
    model text,
    key_id text,
    team text,
    environment text,
    feature text,
    prompt_id text,
    prompt_version text,
    user_id text,
    session text,
    primary key (owner, id, name)
);

create index score_at on score (at);
create index score_waiting on score (taken_at, owner, id, name) where joined_at is null;
create index score_trace on score (trace_id) where trace_id is not null;
create index score_call on score (call_id) where call_id is not null;
create index score_route on score (route, name, at) where joined_at is not null;
create index score_prompt on score (prompt_id, name, at) where prompt_id is not null;
create index score_user on score (user_id, at) where user_id is not null;
create index score_who on score (who, at) where who <> '';

-- A reply's id is what an application still has when its user judges.
create index call_reply on call (reply_id) where reply_id is not null;

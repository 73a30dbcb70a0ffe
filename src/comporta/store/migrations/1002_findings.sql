-- What was found to have changed, how much, and what was done about it. No content: examples are calls' ids.
create table finding (
    -- Names the event, so that whoever finds it again finds the same.
    id text primary key,
    kind text not null,
    measure text not null,
    title text not null,
    route text,
    prompt_id text,
    prompt_version text,
    since timestamptz not null,
    found_at timestamptz not null default now(),
    -- In the measure's unit; null where there is no such figure.
    before double precision,
    after double precision,
    size double precision not null,
    low double precision,
    high double precision,
    n_before integer not null default 0,
    n_after integer not null default 0,
    facts jsonb not null default '{}',
    state text not null default 'open' check (state in ('open', 'acknowledged', 'closed')),
    by text,
    note text,
    state_at timestamptz
);
create index finding_found on finding (found_at, id);
create index finding_open on finding (found_at, id) where state = 'open';

create table finding_example (
    finding_id text not null references finding (id) on delete cascade,
    place integer not null,
    call_id uuid not null,
    called_at timestamptz not null,
    user_id text,
    primary key (finding_id, place)
);
create index finding_example_user on finding_example (user_id) where user_id is not null;

-- Each action happens once for each finding.
create table finding_act (
    finding_id text not null references finding (id) on delete cascade,
    action text not null,
    state text not null default 'waiting' check (state in ('waiting', 'done', 'failed')),
    attempts integer not null default 0,
    told text not null default '',
    at timestamptz not null default now(),
    primary key (finding_id, action)
);
create index finding_act_waiting on finding_act (at) where state = 'waiting';

-- What drift is looked for in: the inputs of a route, the answers of a prompt version, the scores of one.
create table drift_stream (
    name text primary key,
    kind text not null,
    route text not null,
    prompt_id text not null default '',
    prompt_version text not null default '',
    -- What its vectors mean: those of another space can't be compared with them.
    space text not null,
    seen bigint not null default 0,
    tested bigint not null default 0,
    began_at timestamptz not null default now(),
    looked_at timestamptz not null default now()
);

-- The windows that are compared, of bounded length. A vector is float32, little-endian.
create table drift_item (
    stream text not null references drift_stream (name) on delete cascade,
    number bigint not null,
    reference boolean not null,
    call_id uuid,
    at timestamptz not null,
    user_id text,
    vector bytea not null,
    primary key (stream, number)
);
create index drift_item_user on drift_item (user_id) where user_id is not null;

-- How far calls, scores and comments were looked at.
create table drift_cursor (
    name text primary key,
    at timestamptz not null,
    id text not null default ''
);

-- How comments sound and which complaints are alike. The comments themselves stay in `score` alone.
create table comment_mood (
    owner text not null,
    id text not null,
    name text not null,
    at timestamptz not null,
    route text,
    prompt_id text,
    prompt_version text,
    language text not null,
    -- From -1 to 1.
    mood double precision not null,
    complaint boolean not null,
    cluster text,
    primary key (owner, id, name)
);
create index comment_mood_cluster on comment_mood (cluster, at) where cluster is not null;
create index comment_mood_at on comment_mood (at);

create table complaint_cluster (
    id text primary key,
    title text not null,
    language text not null,
    -- Its words with their weights: what it is recognised by in the next round.
    terms jsonb not null,
    complaints integer not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    made_at timestamptz not null default now()
);

-- Examples that findings gathered, for tests and tuning.
create table dataset_example (
    dataset text not null,
    id text not null,
    at timestamptz not null default now(),
    finding_id text,
    route text,
    prompt_id text,
    prompt_version text,
    call_id uuid,
    user_id text,
    input jsonb not null,
    variables jsonb,
    output text,
    -- What would have been right, where somebody said so.
    expected text,
    reason text not null default '',
    primary key (dataset, id)
);
create index dataset_example_user on dataset_example (user_id) where user_id is not null;

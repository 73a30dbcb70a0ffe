-- Files of requests that clients upload, line by line: a line may be a person's, and then it can be erased by itself.
create table uploaded_file (
    id text primary key,
    owner text not null,
    key_id text not null,
    filename text not null,
    purpose text not null,
    bytes bigint not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

create index uploaded_file_owner on uploaded_file (owner, created_at, id);

create table file_line (
    file_id text not null references uploaded_file on delete cascade,
    number integer not null,
    line text not null,
    user_id text,
    primary key (file_id, number)
);

create index file_line_user on file_line (user_id) where user_id is not null;

create table batch (
    id text primary key,
    owner text not null,
    key_id text not null,
    endpoint text not null,
    input_file_id text not null,
    status text not null,
    metadata jsonb,
    -- What is wrong with the input file, where it failed.
    mistakes jsonb,
    total integer not null default 0,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    in_progress_at timestamptz,
    finalizing_at timestamptz,
    completed_at timestamptz,
    failed_at timestamptz,
    expired_at timestamptz,
    cancelling_at timestamptz,
    cancelled_at timestamptz
);

create index batch_owner on batch (owner, created_at, id);
create index batch_open on batch (created_at) where status in ('validating', 'in_progress', 'finalizing', 'cancelling');

-- What is asked, and what was answered; output and error files are read out of here.
create table batch_row (
    batch_id text not null references batch on delete cascade,
    number integer not null,
    custom_id text not null,
    body text not null,
    user_id text,
    state text not null default 'waiting',
    -- A row whose worker died is asked again after this.
    lease_until timestamptz,
    status integer,
    request_id text,
    answer text,
    primary key (batch_id, number)
);

create index batch_row_open on batch_row (number, batch_id) where state in ('waiting', 'running');
create index batch_row_user on batch_row (user_id) where user_id is not null;

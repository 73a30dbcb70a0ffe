-- Rows of batches that a provider's own batch API answers.
alter table batch add column native boolean not null default false;

-- One batch at a provider. Its state is written down before each step that could not be taken back.
create table batch_handover (
    id text primary key,
    batch_id text not null references batch on delete cascade,
    provider text not null,
    credential text,
    model text not null,
    part text not null,
    state text not null default 'gathered',
    upload_id text,
    remote_id text,
    -- Whether it was found among the provider's batches rather than told by it, and which of those turned out others'.
    adopted boolean not null default false,
    strangers text[] not null default '{}',
    cancelled boolean not null default false,
    tries integer not null default 0,
    due_at timestamptz not null default now(),
    lease_until timestamptz,
    created_at timestamptz not null default now(),
    creating_at timestamptz,
    submitted_at timestamptz,
    ended_at timestamptz,
    reason text
);

create index batch_handover_open on batch_handover (due_at) where state <> 'closed';
create index batch_handover_batch on batch_handover (batch_id);
create unique index batch_handover_remote on batch_handover (provider, remote_id);

alter table batch_row
    -- What is known of the call, and the request that its wire wrote; both go once the answer is written down.
    add column parked text,
    add column request text,
    add column place text,
    add column handover_id text,
    -- Asked by itself, whatever the batch wishes.
    add column alone boolean not null default false,
    add column result text,
    add column result_status integer,
    add column result_at timestamptz,
    add column cost_microusd bigint,
    add column saved_microusd bigint;

create index batch_row_handover on batch_row (handover_id) where handover_id is not null;
create index batch_row_parked on batch_row (batch_id) where state = 'parked' and handover_id is null;

-- Who was erased, by a hash of the name. Records of calls that began before `at` and reach the database later (from a
-- spool that was not shipped yet) are made anonymous by it; and it is the proof that an erasure happened.
create table erasure (
    id bigint generated always as identity primary key,
    user_sha256 bytea not null check (octet_length(user_sha256) = 32),
    began_at timestamptz not null default clock_timestamp(),
    at timestamptz not null default clock_timestamp(),
    -- Null until all is removed: whoever asks again then goes on with this one.
    ended_at timestamptz,
    asked_by text not null default '',
    -- How many of each kind were removed.
    removed jsonb not null default '{}'
);
create index erasure_at on erasure (at);

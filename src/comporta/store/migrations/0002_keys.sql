create table virtual_key (
    id text primary key,
    name text not null,
    prefix text not null,
    last4 text not null,
    team text,
    environment text,
    feature text,
    tags jsonb not null default '{}',
    allow text[] not null default '{}',
    admin boolean not null default false,
    created_at timestamptz not null default now(),
    created_by text not null default '',
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    rotated_at timestamptz,
    updated_at timestamptz not null default clock_timestamp()
);

-- Workers read only what changed since they last looked.
create index virtual_key_updated on virtual_key (updated_at);

-- A name says who asks, so no two living keys share it; a revoked key's name is free again.
create unique index virtual_key_name on virtual_key (name) where revoked_at is null;

-- A key keeps its id through a rotation and has two secrets while the old one runs out.
create table virtual_key_secret (
    sha256 bytea primary key check (octet_length(sha256) = 32),
    key_id text not null references virtual_key (id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz
);

create index virtual_key_secret_key on virtual_key_secret (key_id);

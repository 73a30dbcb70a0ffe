-- Unlogged: a cache may be lost, and so a stored answer costs no write-ahead log. A crash of the server empties it.
create unlogged table cache_entry (
    key bytea primary key,
    tenant text not null,
    route text not null,
    user_name text,
    stored_at timestamptz not null,
    expires_at timestamptz not null,
    writer bigint not null,
    body bytea not null
);
create index cache_entry_stored on cache_entry (stored_at);
create index cache_entry_expires on cache_entry (expires_at);
create index cache_entry_user on cache_entry (user_name) where user_name is not null;

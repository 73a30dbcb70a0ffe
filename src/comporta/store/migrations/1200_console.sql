-- Who may open the console, and who is signed in.
create table console_user (
    name text collate "C" primary key,
    role text not null check (role in ('admin', 'viewer')),
    -- scrypt with its parameters; null for people whom an identity provider vouches for.
    password text,
    -- Of the identity provider: its address and the person's id there.
    subject text unique,
    created_at timestamptz not null default now(),
    created_by text not null,
    seen_at timestamptz
);

create table console_session (
    -- SHA-256 of the cookie: who reads this table can't sign in with it.
    digest bytea primary key,
    user_name text collate "C" not null references console_user (name) on delete cascade on update cascade,
    created_at timestamptz not null default now(),
    seen_at timestamptz not null default now()
);

create index console_session_user on console_session (user_name);

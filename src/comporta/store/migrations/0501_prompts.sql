create table prompt (
    id text collate "C" primary key,
    -- By semver's order, which SQL does not know; a pre-release is no release.
    highest text not null,
    highest_release text,
    versions integer not null default 0,
    pushed_at timestamptz not null default clock_timestamp()
);

create table prompt_version (
    prompt_id text collate "C" not null references prompt (id),
    version text not null,
    digest text not null,
    -- The whole prompt as JSON. No jsonb: that would change the order of its keys.
    content text not null,
    model text,
    commit_sha text,
    author text,
    message text not null default '',
    pushed_at timestamptz not null default clock_timestamp(),
    pushed_by text not null,
    primary key (prompt_id, version)
);

create trigger prompt_version_keeps before update or delete or truncate on prompt_version
for each statement execute function comporta_keeps();

-- The history of all labels. A rollback names the entry that is in effect again; going back from there leads to the
-- one before *that*, and not to what was just left.
create table prompt_deploy (
    number bigint generated always as identity primary key,
    kind text not null check (kind in ('deploy', 'rollback')),
    prompt_id text collate "C" not null,
    environment text not null,
    version text not null,
    digest text not null,
    before text,
    -- The deploy in effect after this entry: null means this one itself.
    entry bigint references prompt_deploy (number),
    -- The deploy in effect before this entry.
    previous bigint references prompt_deploy (number),
    by text not null,
    why text not null default '',
    tags jsonb not null default '{}',
    forced boolean not null default false,
    at timestamptz not null default clock_timestamp(),
    watch_until timestamptz,
    foreign key (prompt_id, version) references prompt_version (prompt_id, version)
);

create index prompt_deploy_label on prompt_deploy (prompt_id, environment, number);
create index prompt_deploy_watched on prompt_deploy (watch_until) where watch_until is not null;

create trigger prompt_deploy_keeps before update or delete or truncate on prompt_deploy
for each statement execute function comporta_keeps();

create table prompt_label (
    prompt_id text collate "C" not null,
    environment text not null,
    version text not null,
    digest text not null,
    -- The history's last entry, and the deploy that is in effect by it.
    number bigint not null references prompt_deploy (number),
    entry bigint not null references prompt_deploy (number),
    tags jsonb not null default '{}',
    moved_at timestamptz not null default clock_timestamp(),
    primary key (prompt_id, environment),
    foreign key (prompt_id, version) references prompt_version (prompt_id, version)
);

-- Workers read only what moved since they last looked.
create index prompt_label_moved on prompt_label (moved_at);

create table prompt_approval (
    number bigint generated always as identity primary key,
    prompt_id text collate "C" not null,
    version text not null,
    digest text not null,
    environment text not null,
    by text not null,
    why text not null default '',
    at timestamptz not null default clock_timestamp(),
    foreign key (prompt_id, version) references prompt_version (prompt_id, version)
);

create index prompt_approval_version on prompt_approval (prompt_id, version, environment, number);

-- Tests may run before a push: a run belongs to a digest.
create table prompt_test_run (
    number bigint generated always as identity primary key,
    prompt_id text collate "C" not null,
    version text not null,
    digest text not null,
    verdict text not null,
    green boolean not null,
    summary jsonb not null default '{}',
    by text not null,
    at timestamptz not null default clock_timestamp()
);

create index prompt_test_run_version on prompt_test_run (prompt_id, version, digest, number);
